"""Ctrl-C and termination in the shell."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dbgate.doors.shell.display import ShellDisplay
from dbgate.doors.shell.interface import Driver
from dbgate.doors.signals import SignalWatch


class Interrupts(SignalWatch):
    """While a statement runs, each cancels it. While a person reads in the pager, Ctrl-C is the pager's. At the prompt,
    SIGINT clears the line (a `KeyboardInterrupt`, unless prompt-toolkit takes the key). SIGTERM and SIGHUP also end
    the session, as `terminated` says.
    """

    def __init__(self, driver: Driver, display: ShellDisplay) -> None:
        super().__init__()
        self._driver = driver
        self._display = display
        self._is_busy = False
        self.terminated = ""
        """Why the session has to end; empty while it goes on."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Mark that the session is at work, so that signals cancel it."""
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Within `busy`: mark that a person is asked, and nothing runs that Ctrl-C could cancel."""
        self._is_busy = False
        try:
            yield
        finally:
            self._is_busy = True

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT:
            self.terminated = f"ended by {signal.Signals(number).name}"
        elif self._display.screen.waiting_for_pager:
            return
        if self._is_busy:
            self._display.is_line_broken = number == signal.SIGINT
            self._driver.cancel()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
