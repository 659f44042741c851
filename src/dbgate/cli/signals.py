"""Ctrl-C and termination while a session is open: what runs is cancelled, recorded, and the session ends properly."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from dbgate.errors import Interrupted

if TYPE_CHECKING:
    from dbgate.session.driver import SessionDriver

_WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Takes over SIGINT, SIGTERM and SIGHUP for a `with` block, and puts the old handlers back.

    Before `forward_to` a signal raises `Interrupted`, afterwards it cancels what the driver does.
    """

    def __init__(self) -> None:
        self._driver: SessionDriver | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        for number in _WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def forward_to(self, driver: SessionDriver) -> None:
        """From now on signals cancel what `driver` does."""
        self._driver = driver

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._driver is None:
            raise Interrupted("interrupted")
        self._driver.cancel()
