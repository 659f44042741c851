"""The transcript of the approvals service: `approvals.ledger.Ledger` on the audit package.

It is a session like any other, of the door `serve`: chained, sealed, shipped, verified. A service runs for months and a
transcript reaches the bucket once it is sealed, so it is sealed every hour, and the next one names it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from dbgate import __version__
from dbgate.errors import AuditUnavailable, DbgateError
from dbgate.model import Json

if TYPE_CHECKING:
    from dbgate.approvals.ledger import Access, Decision, Refusal
    from dbgate.audit import Pulse, SessionRecorder
    from dbgate.settings import Settings

TARGET = "approvals"
"""The target's name in these transcripts, and in their path in the bucket."""

_TICK_S = 5.0


class TranscriptLedger:
    """Records what the service decides. Use within a `with` block; safe from several threads."""

    def __init__(self, settings: Settings, *, backend: str, every_s: float) -> None:
        """`backend` is `sqlite` or `postgresql`; a transcript is sealed after `every_s` seconds."""
        self._settings = settings
        self._backend = backend
        self._every_s = every_s
        self._guard = threading.RLock()
        self._recorder: SessionRecorder | None = None
        self._pulse: Pulse | None = None
        self._began_at = 0.0
        self._number = 0
        self._open: dict[int, SessionRecorder] = {}
        self._counts: dict[str, int] = {}
        self._previous = ""
        self._stopping = threading.Event()
        self._turner = threading.Thread(target=self._turn, name="transcript", daemon=True)

    def __enter__(self) -> TranscriptLedger:
        """Begin the first transcript. Raises `AuditUnavailable`."""
        with self._guard:
            self._current()
        self._turner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Seal the last transcript and ship it. Raises `AuditUnavailable`."""
        self._stopping.set()
        self._turner.join()
        with self._guard:
            self._end("closed")
        self._ship()

    def intend(self, decisions: Sequence[Decision]) -> Sequence[int]:
        """Make decisions durable that are about to count. Raises `AuditUnavailable`."""
        with self._guard:
            return [
                self._write("decision.intent", decision.to_json(), decision.action, durable=decision is decisions[-1])
                for decision in decisions
            ]

    def settle(self, numbers: Sequence[int], *, is_done: bool) -> None:
        """Tell whether decisions count now. What cannot be written any more reads as unknown."""
        with self._guard:
            for number in numbers:
                recorder = self._open.pop(number, None)
                if recorder is not None:
                    fields: dict[str, Json] = {"id": number, "status": "done" if is_done else "unknown"}
                    with suppress(AuditUnavailable):
                        recorder.record("decision.outcome", fields, durable=False)

    def refuse(self, refusal: Refusal) -> None:
        """Make a refused attempt durable. Raises `AuditUnavailable`."""
        with self._guard:
            self._write("decision.refused", refusal.to_json(), "refused")

    def note(self, access: Access) -> None:
        """Make an access durable, before it is given. Raises `AuditUnavailable`."""
        with self._guard:
            self._write("access", access.to_json(), access.action)

    def check(self) -> None:
        """Raise `AuditUnavailable` when nothing can be recorded now."""
        with self._guard:
            self._current()

    def _write(self, kind: str, fields: dict[str, Json], counted: str, *, durable: bool = True) -> int:
        recorder = self._current()
        self._number += 1
        try:
            recorder.record(kind, {"id": self._number, **fields}, durable=durable)
        except AuditUnavailable:
            self._let_go()
            raise
        if kind == "decision.intent":
            self._open[self._number] = recorder
        self._counts[counted] = self._counts.get(counted, 0) + 1
        return self._number

    def _current(self) -> SessionRecorder:
        """The open transcript; a new one when there is none, or when writing the last one failed."""
        if self._recorder is None or not (self._pulse and self._pulse.is_beating):
            from dbgate.audit import Pulse, open_session

            self._let_go()
            settings = self._settings
            self._recorder = open_session(
                state_dir=settings.state_dir,
                bucket=settings.audit.bucket,
                start=self._start(),
                key_store=settings.audit.key_store,
            )
            self._pulse = Pulse(self._recorder)
            self._pulse.__enter__()
            self._began_at, self._counts = time.monotonic(), {}
        return self._recorder

    def _start(self) -> dict[str, Json]:
        host = socket.gethostname()
        return {
            "identity": {"issuer": "dbgate-serve", "subject": host, "email": "", "actor": "service"},
            "target": TARGET,
            "engine": self._backend,
            "environment": "",
            "policy": [],
            "policy_digest": "",
            "door": "serve",
            "reason": "",
            "host": host,
            "client": {"pid": os.getpid()},
            "version": __version__,
            "follows": self._previous,
        }

    def _turn(self) -> None:
        """Seal what is old enough, ship it, and go on in a new one."""
        while not self._stopping.wait(min(_TICK_S, self._every_s / 4)):
            with self._guard:
                if self._open or self._recorder is None or time.monotonic() - self._began_at < self._every_s:
                    continue
                with suppress(DbgateError):
                    self._end("turned")
                    self._current()
            self._ship()

    def _end(self, reason: str) -> None:
        recorder, self._recorder = self._recorder, None
        self._stop_pulse()
        if recorder is not None:
            self._previous = recorder.session
            recorder.close({"reason": reason, "statements": 0, "decisions": dict(sorted(self._counts.items()))})

    def _let_go(self) -> None:
        """Leave a transcript that cannot be written: recovery ends it, with what was open as unknown."""
        recorder, self._recorder = self._recorder, None
        self._stop_pulse()
        self._open.clear()
        if recorder is not None:
            self._previous = recorder.session
            recorder.abandon()

    def _stop_pulse(self) -> None:
        pulse, self._pulse = self._pulse, None
        if pulse is not None:
            pulse.__exit__(None, None, None)

    def _ship(self) -> None:
        from dbgate.audit import ship_in_background

        ship_in_background(self._settings.state_dir, self._settings.file)
