"""CSV after RFC 4180, for programs and spreadsheets.

Lines end with a bare line feed, as psql's do. NULL is an empty field, the empty string is `""`. Text that a
spreadsheet would take for a formula gets an apostrophe in front (`defuse`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dbgate.doors.formats.interface import Batch
from dbgate.doors.formats.kinds import is_text
from dbgate.doors.formats.sink import Sink
from dbgate.model import Column
from dbgate.text import printable

FORMULA_STARTS = "=+-@\t\r"
"""Characters with which a spreadsheet begins a formula (OWASP, "CSV Injection")."""

_SPECIAL = '",\r\n'
_BETWEEN = "\0"  # PostgreSQL's text values hold no NUL


def defuse(cell: str) -> str:
    """Return the text of a cell so that no spreadsheet runs it: a leading `= + - @` TAB or CR gets an apostrophe."""
    return f"'{cell}" if cell.startswith(tuple(FORMULA_STARTS)) else cell


def quote(cell: str | None) -> str:
    """A field: NULL is empty, and what needs quotes gets them."""
    if cell is None:
        return ""
    if cell and not any(mark in cell for mark in _SPECIAL):
        return cell
    return '"' + cell.replace('"', '""') + '"'


class CsvWriter:
    """Writes CSV. For a terminal (`for_terminal`) control characters are made visible, otherwise data goes out as it is.

    Works column by column: only columns in which some cell needs a change are touched cell by cell.
    """

    def __init__(self, sink: Sink, *, for_terminal: bool = False) -> None:
        self._sink = sink
        self._for_terminal = for_terminal
        self._text: list[bool] = []

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Write the header line, for a result with columns."""
        self._text = [is_text(column.type) for column in columns]
        if columns:
            names = [defuse(column.name) for column in columns]
            self._sink.write(",".join(quote(self._shown(name)) for name in names) + "\n")

    def rows(self, batch: Batch) -> None:
        """Write one line a row."""
        if not batch:
            return
        columns = [
            self._column(cells, is_text=text) for cells, text in zip(zip(*batch, strict=True), self._text, strict=True)
        ]
        if not columns:
            self._sink.write("\n" * len(batch))
            return
        self._sink.write("\n".join(map(",".join, zip(*columns, strict=True))) + "\n")

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Nothing: CSV has no place for it."""

    def close(self) -> None:
        """Flush."""
        self._sink.flush()

    def _column(self, cells: tuple[str | None, ...], *, is_text: bool) -> Iterable[str]:
        """The fields of one column."""
        changes: list[Callable[[str], str]] = []
        known = [cell for cell in cells if cell is not None]
        joined = _BETWEEN + _BETWEEN.join(known)
        if is_text and any(_BETWEEN + start in joined for start in FORMULA_STARTS):
            changes.append(defuse)
        if self._for_terminal and not "".join(known).isprintable():
            changes.append(self._shown)
        if "" in cells or any(mark in joined for mark in _SPECIAL):
            changes.append(quote)
        if not changes:
            return cells if len(known) == len(cells) else [cell or "" for cell in cells]  # type: ignore[return-value]
        return [_changed(cell, changes) for cell in cells]

    def _shown(self, text: str) -> str:
        return printable(text, keep="\n\t") if self._for_terminal else text


def _changed(cell: str | None, changes: Sequence[Callable[[str], str]]) -> str:
    if cell is None:
        return ""
    for change in changes:
        cell = change(cell)
    return cell
