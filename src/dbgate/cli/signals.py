"""Ctrl-C and termination while a session is open: what runs is cancelled, recorded, and the session ends properly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbgate.doors.signals import SignalWatch
from dbgate.errors import Interrupted

if TYPE_CHECKING:
    from types import FrameType

    from dbgate.session.driver import SessionDriver


class Signals(SignalWatch):
    """Before `forward_to` a signal raises `Interrupted`, afterwards it cancels what the driver does."""

    def __init__(self) -> None:
        super().__init__()
        self._driver: SessionDriver | None = None

    def forward_to(self, driver: SessionDriver) -> None:
        """From now on signals cancel what `driver` does."""
        self._driver = driver

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._driver is None:
            raise Interrupted("interrupted")
        self._driver.cancel()
