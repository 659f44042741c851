"""Where results appear: on the screen when they fit, in the pager when they do not, in a file when asked for."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from dbgate.doors.formats import Sink
from dbgate.doors.formats.style import Style, unstyled
from dbgate.doors.formats.width import width
from dbgate.doors.shell.options import Options
from dbgate.doors.shell.pager import Pager, pager_command

if TYPE_CHECKING:
    from prompt_toolkit.output import Output


def use_color(stream: TextIO) -> bool:
    """Whether to colour what goes to `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Screen:
    """The terminal for results, and the beginning of what was shown there since the last `seen`."""

    def __init__(self, stream: TextIO, options: Options, *, keep_bytes: int = 1024 * 1024) -> None:
        self.stream = stream
        self.options = options
        self.is_terminal = stream.isatty()
        self.style = Style(use_color(stream))
        self.waiting_for_pager = False
        """Whether the person is reading: Ctrl-C belongs to the pager then."""
        self.paused_s = 0.0
        """How long the person has read in pagers so far."""
        self._sink = Sink(stream, encoding=None)
        self._keep_bytes = self._room = keep_bytes
        self._kept: list[str] = []
        self._was_cut = False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal."""
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    def write(self, text: str) -> None:
        """Write to the terminal itself."""
        self._sink.write(text)
        self._sink.flush()

    def page(self, *, is_kept: bool = True) -> Page:
        """A new result. `is_kept` tells whether `seen` gives it back."""
        return Page(self, is_kept=is_kept)

    def keep(self, text: str) -> None:
        """Remember what is shown, as far as there is room, without colours."""
        if not self._room:
            self._was_cut = self._was_cut or bool(text)
            return
        data = unstyled(text).encode("utf-8", "backslashreplace")
        piece = data[: self._room]
        self._kept.append(piece.decode("utf-8", "ignore"))
        self._room -= len(piece)
        self._was_cut = self._was_cut or len(piece) < len(data)

    def seen(self) -> tuple[str, bool]:
        """What was shown since the last call, and whether there was more."""
        text, was_cut = "".join(self._kept), self._was_cut
        self._kept, self._room, self._was_cut = [], self._keep_bytes, False
        return text, was_cut

    def open_pager(self) -> Pager | None:
        """A pager, if one is wanted and can be had."""
        if not self.is_terminal or not self.options.pager:
            return None
        argv = pager_command(os.environ)
        if not argv:
            return None
        try:
            return Pager(argv)
        except OSError:
            return None


class Page:
    """One result on its way to the screen: held back until it is clear that it fits, or else paged.

    `is_gone` becomes true when the person leaves the pager, or the terminal or file cannot be written any more.
    """

    encoding = "utf-8"

    def __init__(self, screen: Screen, *, is_kept: bool) -> None:
        self._screen = screen
        self._is_kept = is_kept
        self._held: list[str] = []
        self._lines = 0
        self._pager: Pager | None = None
        self._write: Callable[[str], object] | None = None
        self.failure: OSError | None = None
        if screen.options.output is not None:
            self._write = screen.options.output.write
        elif not screen.is_terminal:
            self._write = screen.write

    @property
    def is_gone(self) -> bool:
        """Whether writing on is in vain."""
        return self.failure is not None or (self._pager is not None and self._pager.is_gone)

    def write(self, data: bytes) -> int:
        """Take the text of a result."""
        text = data.decode("utf-8")
        if self._is_kept:
            self._screen.keep(text)
        if self._write is None:
            self._held.append(text)
            if self._exceeds(text):
                self._pager = self._screen.open_pager()
                self._begin(self._pager.write if self._pager else self._screen.write)
        else:
            self._pass(text)
        return len(data)

    def flush(self) -> None:
        """Nothing to do before the end."""

    def close(self) -> None:
        """Show what was held back; wait for the pager to be left."""
        if self._write is None:
            self._begin(self._screen.write)
        if self._screen.options.output is not None:
            self._try(self._screen.options.output.flush)
        if self._pager is not None:
            started = time.monotonic()
            self._screen.waiting_for_pager = True
            try:
                self._pager.close()
            finally:
                self._screen.waiting_for_pager = False
                self._screen.paused_s += time.monotonic() - started

    def _begin(self, write: Callable[[str], object]) -> None:
        held, self._held = self._held, []
        self._write = write
        self._pass("".join(held))

    def _pass(self, text: str) -> None:
        write = self._write
        if write is not None:
            self._try(lambda: write(text))

    def _try(self, action: Callable[[], object]) -> None:
        if self.failure is not None:
            return
        try:
            action()
        except OSError as error:
            self.failure = error

    def _exceeds(self, text: str) -> bool:
        """Whether the result is too long or too wide for the screen. Two lines are left for the next prompt."""
        columns, lines = self._screen.size
        for line in text.split("\n")[: lines + 1]:
            self._lines += 1
            if width(unstyled(line)) > columns:
                return True
        self._lines += max(text.count("\n") - lines, 0)
        return self._lines > lines - 2


def other_terminal() -> Output:
    """Where to prompt when standard output goes elsewhere: standard error, if that is a terminal."""
    from prompt_toolkit.output import create_output

    return create_output(always_prefer_tty=True)
