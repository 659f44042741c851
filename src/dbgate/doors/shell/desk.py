"""What the parts of the shell share: the session, the display, what is known of the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec

from dbgate.doors.shell.display import ShellDisplay
from dbgate.doors.shell.interface import About, Driver
from dbgate.doors.shell.names import Names
from dbgate.errors import EXIT_OK, DbgateError


class Directory:
    """The names of the database, read in the background once, so that the prompt need not wait for them.

    The connection is not shared between threads: nothing may use the driver before `settle`.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._names: Names | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start to read."""
        self._thread = threading.Thread(target=self._read_quietly, name="dbgate-catalog", daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait until the background has done with the connection."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def current(self) -> Names | None:
        """The names as last read, without asking anybody; None before that. For any thread."""
        return self._names

    def names(self) -> Names:
        """The names now. Raises the errors of the database."""
        self.settle()
        catalog, path = self._driver.catalog, self._driver.search_path
        known = self._names
        if known is None or known.catalog is not catalog or known.search_path != path:
            self._names = known = Names(catalog, path)
        return known

    def refresh(self) -> None:
        """Follow what a statement may have changed; what cannot be asked now is asked later."""
        try:
            self.names()
        except DbgateError:
            return

    def _read_quietly(self) -> None:
        try:
            self._names = Names(self._driver.catalog, self._driver.search_path)
        except DbgateError:
            # The first statement runs into the same error, and shows it.
            return


class Desk(msgspec.Struct):
    """What backslash commands work with."""

    driver: Driver
    display: ShellDisplay
    about: About
    directory: Directory
    run_text: Callable[[str], bool]
    """Run statements and commands, as of a file; false when it stopped at a failure."""
    unmask: Callable[[Sequence[str], str], int]
    """Ask to see tags in clear, with a reason; the exit code of the first failure."""
    past: Callable[[], Sequence[str]] = msgspec.field(default=list)
    """What was typed before, latest first."""
    latest: str = ""
    """The latest statement."""
    prefill: str = ""
    """What the next prompt begins with."""
    is_leaving: bool = False
    failed: int = EXIT_OK
    """The exit code of a command that failed, and has said so."""
    is_verbose: bool = False
    """Whether the command has a `+`."""
    depth: int = 0
    """How many files run one another."""

    def tell(self, *lines: str) -> None:
        """Show lines that are harmless already, where messages go."""
        self.display.say(lines)

    def show(self, *lines: str) -> None:
        """Show lines that are harmless already, where results go; in the pager when they are many."""
        self.display.lines(lines)
