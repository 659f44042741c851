"""The display of the shell: results on the screen or in the pager, messages between them, a live line while waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TextIO

from msgspec.structs import replace

from dbgate.doors.formats import Batch, Sink, Writer, masked_names, write_result
from dbgate.doors.formats.message import message_lines
from dbgate.doors.formats.raw import RawWriter, is_copy
from dbgate.doors.formats.style import Style
from dbgate.doors.formats.table import TableWriter
from dbgate.doors.formats.wanted import RowsWhileWanted
from dbgate.doors.shell.options import Options
from dbgate.doors.shell.screen import Page, Screen, use_color
from dbgate.doors.shell.waiting import WaitingLine
from dbgate.errors import DbgateError, UsageError
from dbgate.model import Column, Outcome
from dbgate.session.ports import RequestState, Rows

MAX_CELL = 2000
"""Text beyond this many columns is cut on the screen; `exec` never cuts."""


class ShellDisplay:
    """Shows results on `stdout` and messages on `stderr`. `keep_bytes` limits what is kept for the transcript."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, keep_bytes: int = 1024 * 1024) -> None:
        self.options = Options()
        self.screen = Screen(stdout, self.options, keep_bytes=keep_bytes)
        self.masked_columns: tuple[str, ...] = ()
        """The names of the latest result's masked columns."""
        self.tags: Callable[[], Mapping[str, str]] = dict
        """Gives the tags of the latest statement's masked columns, by column name."""
        self.expanded_once = False
        r"""Whether the next result is expanded (`\gx`)."""
        self._messages = stderr
        self._style = Style(use_color(stderr))
        self._waiting: WaitingLine | None = None
        self._waited_for = ("", "")
        self.is_line_broken = False
        """Whether the terminal has echoed a `^C` that the next message should not follow on."""

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        """Show the rows; when the person leaves the pager, the rest is thrown away."""
        if self._waiting is not None:
            self.message("notice", "approved")
        self.settle()
        self.is_line_broken = False
        self.masked_columns = tuple(masked_names(rows.columns, masked))
        page = self.screen.page()
        wanted = RowsWhileWanted(rows, lambda: not page.is_gone)
        try:
            writer = self._raw(page) if is_copy(rows.columns) else self._writer(page)
            outcome = write_result(wanted, writer, masked, names=list(self._described(self.masked_columns)))
            writer.close()
        except DbgateError:
            page.close()
            raise
        page.close()
        if page.failure is not None:
            self.message("error", f"the result cannot be written: {page.failure.strerror}")
        return replace(outcome, truncated=wanted.stopped)

    def message(self, level: str, text: str, hint: str = "") -> None:
        """Show a message."""
        self.settle()
        self.say(message_lines(level, text, hint, self._style))

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        """Tell once which request is waited for; then show the live line, or without a terminal a notice a change."""
        is_new, is_changed = state.id != self._waited_for[0], state.summary != self._waited_for[1]
        self._waited_for = (state.id, state.summary)
        if is_new:
            hint = f"a reviewer may run: dbgate requests approve {state.id}"
            self.message("notice", f"waiting for approval of request {state.id}", hint)
        if not self._messages.isatty():
            if is_changed:
                self.message("notice", f"request {state.id}: {state.summary}")
            return
        if self._waiting is None:
            self._waiting = WaitingLine(self._messages, self.screen.size[0])
        self._waiting.show(state, left_s)

    def output(self) -> tuple[str, bool]:
        """What was shown since the last call, and whether there was more."""
        return self.screen.seen()

    def show_on_screen(self) -> None:
        r"""Bring results back from the file of `\o`. Raises `UsageError` when the file could not be finished."""
        output, self.options.output = self.options.output, None
        try:
            if output is not None:
                output.close()
        except OSError as error:
            raise UsageError(f"the file of results is not complete: {error.strerror}") from None

    def settle(self) -> None:
        """Take the live line away."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
            self.is_line_broken = False

    def say(self, lines: Sequence[str]) -> None:
        """Write lines that are harmless already to where messages go."""
        encoding = getattr(self._messages, "encoding", None) or "utf-8"
        text = "".join(f"{line}\n" for line in lines)
        if self.is_line_broken and self._messages.isatty():
            text = "\n" + text
        self.is_line_broken = False
        self._messages.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._messages.flush()

    def table(self, columns: Sequence[str], rows: Batch, *, title: str = "", notes: Sequence[str] = ()) -> None:
        """Show a table of dbgate's own, titled, with notes beneath. It is no statement's result, so nothing is kept."""
        page = self.screen.page(is_kept=False)
        if title:
            page.write((self.screen.style.heading(title) + "\n").encode("utf-8", "backslashreplace"))
        if rows or not notes:
            writer = TableWriter(Sink(page), style=self._table_style, max_cell=MAX_CELL, null="", footer=False)
            writer.begin([Column(name, "text") for name in columns], ())
            writer.rows(list(rows))
            writer.end("SELECT", len(rows), ())
        page.write(("".join(f"{note}\n" for note in notes) + "\n").encode("utf-8", "backslashreplace"))
        page.close()

    def lines(self, lines: Sequence[str]) -> None:
        """Show lines of dbgate's own where results go."""
        page = self.screen.page(is_kept=False)
        page.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        page.close()

    @property
    def _table_style(self) -> Style:
        return Style(self.screen.style.is_on and self.options.output is None)

    def _writer(self, page: Page) -> Writer:
        once, self.expanded_once = self.expanded_once, False
        on_screen = self.screen.is_terminal and self.options.output is None
        return TableWriter(
            Sink(page),
            style=self._table_style,
            terminal_width=self.screen.size[0] if on_screen else None,
            expanded="on" if once else self.options.expanded,
            null=self.options.null,
            max_cell=MAX_CELL if on_screen else None,
        )

    def _raw(self, page: Page) -> Writer:
        return RawWriter(Sink(page), for_terminal=self.screen.is_terminal and self.options.output is None)

    def _described(self, names: Sequence[str]) -> Iterator[str]:
        tags = self.tags() if names else {}
        for name in names:
            yield f"{name} ({tags[name]})" if name in tags else name
