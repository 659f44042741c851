"""GitHub-flavoured Markdown tables, for issues and reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dbgate.doors.formats.interface import Batch
from dbgate.doors.formats.kinds import RIGHT_ALIGNED, base
from dbgate.doors.formats.sink import Sink
from dbgate.model import Column
from dbgate.text import printable

NULL = "*NULL*"
"""Told apart from the text, in which an asterisk is escaped."""

_ACTIVE = re.compile(r"[\\`*|\[\]<~]|&(?=[#\w])|(?<![^\W_])_|_(?![^\W_])|!(?=\[)|(?<=\w)://|(?i:\bwww\.)")
"""What Markdown would take for markup, a link, an image or HTML."""


def literal(text: str) -> str:
    """Return `text` so that Markdown shows it as it is: no markup, links or images, and nothing that steers a terminal."""
    if text.isalnum():
        return text
    safe = _ACTIVE.sub(_escape, printable(text, keep="\n\t"))
    return safe.replace("\t", " ").replace("\n", "<br>")


def _escape(match: re.Match[str]) -> str:
    mark = match.group()
    if mark == "://":
        return "&#58;//"
    if mark.lower() == "www.":
        return f"{mark[:-1]}&#46;"
    return {"<": "&lt;", "&": "&amp;"}.get(mark, f"\\{mark}")


class MarkdownWriter:
    """Writes a table per result, with a line on masks beneath; the status of a statement without rows."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._columns: Sequence[Column] = ()
        self._results = 0
        self._bare_rows = 0

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Write the header."""
        self._columns = columns
        self._bare_rows = 0
        if self._results:
            self._sink.write("\n")
        self._results += 1
        if columns:
            rule = ["---:" if base(c.type) in RIGHT_ALIGNED else "---" for c in columns]
            self._sink.write(_line([literal(c.name) for c in columns]) + _line(rule))

    def rows(self, batch: Batch) -> None:
        """Write one line a row."""
        if not self._columns:
            self._bare_rows += len(batch)
            return
        lines = [_line([NULL if cell is None else literal(cell) for cell in row]) for row in batch]
        self._sink.write("".join(lines))

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Name the masked columns, or tell the status where there is no table."""
        if not self._columns:
            rows = f"({row_count} row{'' if row_count == 1 else 's'})"
            self._sink.write((rows if self._bare_rows else literal(status)) + "\n")
        if masked_names:
            self._sink.write(f"\nmasked: {', '.join(map(literal, masked_names))}\n")

    def close(self) -> None:
        """Flush."""
        self._sink.flush()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
