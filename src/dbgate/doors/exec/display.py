"""The display of `dbgate exec`: results in a format, messages as `error:`, `denied:`, `notice:` and `hint:` lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from msgspec.structs import replace

from dbgate.doors.exec.output import Output
from dbgate.doors.formats import Sink, Writer, write_result
from dbgate.doors.formats.message import message_lines
from dbgate.doors.formats.style import Style
from dbgate.doors.formats.wanted import RowsWhileWanted
from dbgate.errors import EXIT_APPROVAL, EXIT_DENIED, EXIT_OK
from dbgate.model import Column, Json, Outcome
from dbgate.session.effects import Finished
from dbgate.session.ports import RequestState, Rows
from dbgate.text import span

REMIND_S = 60.0
"""While an approval is awaited and nothing happens, it is told again after so many seconds."""


class ExecDisplay:
    """Writes results through `writer` to `output`, and messages to the text stream `messages`."""

    def __init__(
        self,
        writer: Writer,
        output: Output,
        messages: TextIO,
        *,
        color: bool = False,
        takes_copies: bool = False,
        is_json: bool = False,
        for_terminal: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`takes_copies` tells that the format is CSV for a program, which the server may write itself.

        `is_json` tells that the format is one of JSON, `for_terminal` that people read the output directly.
        """
        self._is_json = is_json
        self._for_terminal = for_terminal
        self.takes_copies = takes_copies
        self._writer = writer
        self._output = output
        self._messages = messages
        self._style = Style(color)
        self._waited_for = ""
        self._told_s = 0.0
        self._clock = clock
        self._said = ("", "")

    @property
    def failure(self) -> OSError | None:
        """Why no more results can be written; a `BrokenPipeError` when the reader went away."""
        return self._output.failure

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        """Stream the rows. When the output fails, the statement still ends properly; the rest is not shown."""
        wanted = RowsWhileWanted(rows, lambda: self._output.failure is None)
        outcome = write_result(wanted, self._writer_of(rows), masked)
        self._output.flush()
        return replace(outcome, truncated=wanted.stopped)

    def copy_text(self, query: str, columns: Sequence[Column], *, max_rows: int | None) -> str:
        """The COPY statement that gives the result of `query` as CSV."""
        from dbgate.doors.exec.copying import copy_text

        return copy_text(query, columns, max_rows=max_rows)

    def copied(
        self, columns: Sequence[Column], blocks: Iterator[bytes], *, max_rows: int | None, max_bytes: int | None
    ) -> Outcome:
        """Write CSV that the server made, as it comes."""
        from dbgate.doors.exec.copying import header, pour

        outcome = pour(header(columns), blocks, self._output, max_rows=max_rows, max_bytes=max_bytes)
        self._output.flush()
        return outcome

    def message(self, level: str, text: str, hint: str = "") -> None:
        """Write a message; further lines of its text (a place in the statement) stand as they are."""
        self._said = (text.split("\n", 1)[0], hint)
        self._say(message_lines(level, text, hint, self._style))

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        """Tell what is waited for: once for every change, and again after a while."""
        told, now = f"{state.id} {state.summary}", self._clock()
        if told == self._waited_for and now - self._told_s < REMIND_S:
            return
        is_first = not self._waited_for.startswith(state.id)
        still = "still " if told == self._waited_for else ""
        self._waited_for, self._told_s = told, now
        left = "" if left_s is None else f", {span(left_s)} at most"
        hint = f"a reviewer may run: dbgate requests approve {state.id}" if is_first else ""
        self.message("notice", f"{still}waiting for approval of request {state.id}{left}: {state.summary}", hint)

    def ended(self, finished: Finished) -> None:
        """Give programs the end of a statement without a result: in JSON, an object in its place, with the last message."""
        from dbgate.doors.formats.json import JsonWriter, NdjsonWriter

        (text, hint), self._said = self._said, ("", "")
        detail = finished.detail
        if "dry_run" in detail:
            if isinstance(self._writer, JsonWriter) and "text" in detail:  # a statement's, not that of --unmask
                self._writer.rehearsal(finished.decision, detail["rules"], detail["masked"], str(detail["text"]))
            return
        if finished.exit_code == EXIT_OK or not isinstance(self._writer, JsonWriter | NdjsonWriter):
            return
        kind = {EXIT_DENIED: "denied", EXIT_APPROVAL: "denied"}.get(finished.exit_code, "error")
        if detail.get("status") == "pending":
            kind = "pending"
        error: dict[str, Json] = {"kind": kind, "code": detail.get("sqlstate") or None, "message": text}
        if hint:
            error["hint"] = hint
        if detail.get("rules"):
            error["rules"] = detail["rules"]
        request = str(detail.get("request") or "")
        self._writer.failure(error, status=str(detail["status"]) if request else None, request=request)

    def output(self) -> tuple[str, bool]:
        """What was written since the last call, and whether there was more."""
        return self._output.seen()

    def finish(self) -> None:
        """Finish the document."""
        self._writer.close()
        self._output.flush()

    def _writer_of(self, rows: Rows) -> Writer:
        """What COPY gives is data already; only JSON wraps it."""
        from dbgate.doors.formats.raw import RawWriter, is_copy

        if not is_copy(rows.columns) or self._is_json:
            return self._writer
        return RawWriter(Sink(self._output), for_terminal=self._for_terminal)

    def _say(self, lines: Sequence[str]) -> None:
        try:
            encoding = getattr(self._messages, "encoding", None) or "utf-8"
            text = "".join(f"{line}\n" for line in lines)
            self._messages.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._messages.flush()
        except OSError:
            # Nobody reads the messages; the records hold them.
            return
