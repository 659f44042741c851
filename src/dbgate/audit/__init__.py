"""Transcripts: records, hash chain, seal, spool, buckets, shipping, verification, replay.

Knows nothing of SQL, policies or terminals other than how to play a recording.

    open_session(…)                begin a transcript; `SessionRecorder` is what a session records with
    Pulse                          record a heartbeat whenever a session is silent
    ship_in_background(…)          start a shipper that nobody waits for
    recovery.recover(…)            end the sessions of processes that died
    shipping.ship(…)               ship what is sealed, now
    verification.verify_bucket(…)  intact, complete, anchored?
    sessions.Archive               find and read sessions, in the spool and in the bucket

Only the first three are on the path of every session; the rest is imported where it is used.
"""

from __future__ import annotations

from dbgate.audit.background import ship_in_background
from dbgate.audit.pulse import Pulse
from dbgate.audit.recorder import SessionRecorder, open_session

__all__ = ["Pulse", "SessionRecorder", "open_session", "ship_in_background"]
