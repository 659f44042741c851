"""Heartbeats of an open session: that nothing happened is recorded too."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from dbgate.errors import AuditUnavailable

if TYPE_CHECKING:
    from dbgate.audit.recorder import SessionRecorder

PULSE_S = 300.0
"""How long a session's record may be silent."""


class Pulse:
    """Records a `heartbeat` whenever a session's record has been silent for `every_s`, within a `with` block.

    A transcript then says of every five minutes either what happened or that nothing did. When a heartbeat cannot be
    recorded, the recorder refuses everything from then on: the next statement does not run.
    """

    def __init__(self, recorder: SessionRecorder, every_s: float = PULSE_S) -> None:
        self._recorder = recorder
        self._every_s = every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @property
    def is_beating(self) -> bool:
        """Whether heartbeats go on: not before it begins, nor after the end or a failure."""
        return self._thread.is_alive()

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        wait_s = self._every_s
        while not self._done.wait(wait_s):
            silent_s = time.monotonic() - self._recorder.recorded_at
            if silent_s < self._every_s:
                wait_s = self._every_s - silent_s
                continue
            try:
                self._recorder.record("heartbeat", {"silent_s": round(silent_s, 1)})
            except AuditUnavailable:
                return
            wait_s = self._every_s
