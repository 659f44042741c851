"""Tables for people, aligned as psql's are; expanded (a line per cell) when asked for or when too wide."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from dbgate.doors.formats.interface import Batch
from dbgate.doors.formats.layout import Cells, ColumnLayout, Layout, lay_out, shown, shown_text
from dbgate.doors.formats.sink import Sink
from dbgate.doors.formats.style import Style
from dbgate.doors.formats.width import cut, pad, width
from dbgate.model import Column
from dbgate.text import printable

MEASURED_ROWS = 1000
"""Rows that are looked at to find the widths; later rows are shown with these."""

MEASURED_CHARS = 4_000_000
"""Fewer rows are held back when they are as long as this."""

MAX_SHOWN_CHARS = 100_000
"""Where cells are cut at all, no value shows more than this, expanded or not."""

QUIET_STATUS = frozenset({"SELECT", "FETCH", "SHOW", "EXPLAIN", "VALUES", "TABLE"})
"""Command tags that say no more than the number of rows does."""


class TableWriter:
    """Writes tables. `terminal_width` is None where there is no terminal: then nothing is cut and `auto` never expands.

    `max_cell` cuts text cells (None: never), `null` stands for NULL. Without `footer` there is just the table.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        style: Style | None = None,
        terminal_width: int | None = None,
        expanded: str = "off",
        null: str = "NULL",
        max_cell: int | None = None,
        footer: bool = True,
    ) -> None:
        self._sink = sink
        self._has_footer = footer
        self._style = style or Style(False)
        self._terminal_width = terminal_width
        self._expanded = expanded
        self._null = printable(null)
        self._max_cell = max_cell
        self._dots, self._bullet = ("…", "•") if sink.can_write("…•") else ("...", "*")
        self._start((), ())

    def _start(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        self._columns = columns
        self._masked = frozenset(masked)
        self._waiting: Batch = []
        self._waiting_chars = 0
        self._layout: Layout | None = None
        self._shown_rows = 0
        self._was_cut = False
        self._was_clipped = False

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Start a result; nothing is written before the widths are known."""
        self._start(columns, masked)

    def rows(self, batch: Batch) -> None:
        """Take rows: the first 1,000 are held back for the widths."""
        if not self._columns:
            self._shown_rows += len(batch)
            return
        if self._max_cell is not None:
            batch = self._clipped(batch)
        if self._layout is not None:
            self._write(batch, self._layout)
            return
        self._waiting += batch
        self._waiting_chars += sum(len(cell) for row in batch for cell in row if cell is not None)
        if len(self._waiting) >= MEASURED_ROWS or self._waiting_chars >= MEASURED_CHARS:
            self._begin_table()

    def _clipped(self, batch: Batch) -> Batch:
        """On a screen, the beginning of a value that is far too long for it has to do."""
        if not any(len(cell) > MAX_SHOWN_CHARS for row in batch for cell in row if cell is not None):
            return batch
        self._was_clipped = True
        dots = self._dots
        return [
            tuple(c if c is None or len(c) <= MAX_SHOWN_CHARS else c[:MAX_SHOWN_CHARS] + dots for c in row)
            for row in batch
        ]

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Write what was held back and the footer; for a statement without rows its status."""
        failed = status == "error"
        if failed and not self._waiting and self._layout is None:
            return
        if not self._columns:
            bare = f"--\n({_rows(row_count)})\n\n" if self._shown_rows and not failed else ""
            self._sink.write(bare or (f"{printable(status)}\n" if status else ""))
            return
        if self._layout is None:
            self._begin_table()
        if self._has_footer:
            self._footer(status, row_count, masked_names, failed=failed)

    def close(self) -> None:
        """Flush."""
        self._sink.flush()

    def _begin_table(self) -> None:
        waiting, self._waiting = self._waiting, []
        cells = [shown(column) for column in zip(*waiting, strict=True)] or [Cells((), True)] * len(self._columns)
        headings = [
            shown_text(column.name).replace("\n", "\\n") + (f" {self._bullet}" if i in self._masked else "")
            for i, column in enumerate(self._columns)
        ]
        self._layout = lay_out(
            self._columns,
            headings,
            [column.widest(width(self._null)) for column in cells],
            sorted(self._masked),
            terminal_width=self._terminal_width,
            max_cell=self._max_cell,
            expanded=self._expanded,
        )
        if not self._layout.expanded:
            self._heading(self._layout)
        if waiting:
            self._write_cells(cells, self._layout)

    def _write(self, batch: Batch, layout: Layout) -> None:
        if batch:
            self._write_cells([shown(column) for column in zip(*batch, strict=True)], layout)

    def _write_cells(self, cells: Sequence[Cells], layout: Layout) -> None:
        if layout.expanded:
            self._records(cells, layout)
        else:
            self._lines(cells, layout)

    def _heading(self, layout: Layout) -> None:
        style = self._style
        names = [style.heading(pad(c.heading, c.width, right=c.right)) for c in layout.columns]
        rule = "+".join("-" * (column.width + 2) for column in layout.columns)
        bar = style.faint("|")
        self._sink.write(f" {f' {bar} '.join(names)}".rstrip() + "\n" + style.faint(rule) + "\n")

    def _lines(self, cells: Sequence[Cells], layout: Layout) -> None:
        bar = self._style.faint("|")
        if all(column.holds(texts) for column, texts in zip(layout.columns, cells, strict=True)):
            padded = [self._padded(texts, column) for column, texts in zip(layout.columns, cells, strict=True)]
            between = f" {bar} "
            self._sink.write("".join([f" {between.join(row)}".rstrip() + "\n" for row in zip(*padded, strict=True)]))
            return
        for row in zip(*(c.texts for c in cells), strict=True):
            self._sink.write(self._row(row, layout, bar))

    def _padded(self, cells: Cells, layout: ColumnLayout) -> list[str]:
        """A column whose cells are single ASCII lines that fit."""
        columns = layout.width
        null = self._style.null(pad(self._null, columns, right=layout.right))
        if layout.is_masked and self._style.is_on:
            mask = self._style.mask
            return [null if t is None else mask(t.ljust(columns)) for t in cells.texts]
        if layout.right:
            return [null if t is None else t.rjust(columns) for t in cells.texts]
        return [null if t is None else t.ljust(columns) for t in cells.texts]

    def _row(self, row: Sequence[str | None], layout: Layout, bar: str) -> str:
        """One row, over as many lines as its tallest cell has; `+` marks a cell that goes on in the next line."""
        tall = [self._cut_lines(text, column) for text, column in zip(row, layout.columns, strict=True)]
        height = max(map(len, tall))
        result = []
        for number in range(height):
            parts = []
            for text, lines, column in zip(row, tall, layout.columns, strict=True):
                line = lines[number] if number < len(lines) else ""
                goes_on = "+" if number + 1 < len(lines) else " "
                parts.append(f" {self._styled(text, pad(line, column.width, right=column.right), column)}{goes_on}")
            result.append(bar.join(parts).rstrip() + "\n")
        return "".join(result)

    def _cut_lines(self, text: str | None, column: ColumnLayout) -> list[str]:
        if text is None:
            return [self._null]
        lines = text.split("\n")
        if column.limit is None:
            return lines
        cut_lines = [cut(line, column.limit, self._dots) for line in lines]
        self._was_cut = self._was_cut or cut_lines != lines
        return cut_lines

    def _styled(self, text: str | None, line: str, column: ColumnLayout) -> str:
        if text is None:
            return self._style.null(line)
        return self._style.mask(line) if column.is_masked else line

    def _records(self, cells: Sequence[Cells], layout: Layout) -> None:
        style = self._style
        label = max(width(column.heading) for column in layout.columns)
        labels = [style.heading(pad(column.heading, label)) for column in layout.columns]
        bar = style.faint("|")
        for row in zip(*(c.texts for c in cells), strict=True):
            self._shown_rows += 1
            title = f"-[ RECORD {self._shown_rows} ]".ljust(label + 1, "-")
            parts = [style.faint(title + ("+" if len(title) == label + 1 else "-") + "-" * 12) + "\n"]
            for text, head, column in zip(row, labels, layout.columns, strict=True):
                lines = [self._null] if text is None else text.split("\n")
                for line, name in zip_longest(lines, [head], fillvalue=" " * label):
                    parts.append(f"{name} {bar} {self._styled(text, line, column)}\n")
            self._sink.write("".join(parts))

    def _footer(self, status: str, row_count: int, masked_names: Sequence[str], *, failed: bool) -> None:
        faint = self._style.faint
        rows = f"{_rows(row_count)}{' before the error' if failed else ''}"
        hint = "; long values are cut, \\x shows them whole" if self._was_cut else ""
        if self._was_clipped:
            hint = f"; values are cut after {MAX_SHOWN_CHARS:,} characters, dbgate exec writes them whole"
        lines = [faint(f"({rows}{hint})")]
        if masked_names:
            lines.append(faint(f"masked: {', '.join(map(printable, masked_names))}"))
        if not failed and status.partition(" ")[0] not in QUIET_STATUS:
            lines.append(printable(status))
        self._sink.write("\n".join(lines) + "\n\n")


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
