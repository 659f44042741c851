"""The live line while an approval is awaited."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from dbgate.doors.formats.width import cut
from dbgate.session.ports import RequestState
from dbgate.text import printable

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_INTERVAL_S = 0.1
_CLEAR = "\r\x1b[K"
_MARGIN = 4
"""Columns left free, so that the terminal's `^C` does not break the line."""


class WaitingLine:
    """One line, redrawn in place by a thread of its own until `stop`: who is needed, and for how long we wait."""

    def __init__(self, stream: TextIO, columns: int) -> None:
        self._stream = stream
        self._columns = columns
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = 0.0
        self._text = ""
        self._ends: float | None = None
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
        self._frames = _FRAMES if encoding.startswith("utf") else _PLAIN_FRAMES

    @property
    def is_shown(self) -> bool:
        """Whether the line stands on the screen."""
        return self._thread is not None

    def show(self, state: RequestState, left_s: float | None) -> None:
        """Show the state of a request; called again when it changes."""
        with self._lock:
            self._text = printable(state.summary)
            self._ends = None if left_s is None else time.monotonic() + left_s
        if self._thread is None:
            self._started = time.monotonic()
            self._stopped.clear()
            self._thread = threading.Thread(target=self._draw, name="dbgate-waiting", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Take the line away."""
        if self._thread is None:
            return
        self._stopped.set()
        self._thread.join()
        self._thread = None
        self._stream.write(_CLEAR)
        self._stream.flush()

    def line(self, now: float, frame: int) -> str:
        """The line at the moment `now` (monotonic seconds)."""
        with self._lock:
            text, ends = self._text, self._ends
        left = "" if ends is None else f", {_clock(max(ends - now, 0))} left"
        spinner = self._frames[frame % len(self._frames)]
        times = f" · waiting {_clock(now - self._started)}{left} · Ctrl-C stops"
        room = self._columns - _MARGIN - len(times)
        return cut(f"{spinner} {cut(text, max(room, 20), '…')}{times}", self._columns - _MARGIN, "…")

    def _draw(self) -> None:
        frame = 0
        while True:
            self._stream.write(_CLEAR + self.line(time.monotonic(), frame))
            self._stream.flush()
            frame += 1
            if self._stopped.wait(_INTERVAL_S):
                return


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
