"""How a table's columns are laid out: their texts, widths, and whether they fit the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dbgate.doors.formats.kinds import JSON, RIGHT_ALIGNED, base, is_text
from dbgate.doors.formats.width import width
from dbgate.model import Column
from dbgate.text import printable

LEAST_SHRUNK = 24
"""Columns are not made narrower than this to fit the terminal."""


class Cells(msgspec.Struct, frozen=True):
    """A column of a batch, ready to show. None stays None; `plain` tells that every text is a single ASCII line."""

    texts: Sequence[str | None]
    plain: bool

    def widest(self, null_width: int) -> int:
        """The width of the widest line."""
        known = [text for text in self.texts if text is not None]
        least = null_width if len(known) < len(self.texts) else 0
        if self.plain:
            return max(max(map(len, known), default=0), least)
        return max(max((width(line) for text in known for line in text.split("\n")), default=0), least)


def shown(cells: Sequence[str | None]) -> Cells:
    """Make a column of a batch harmless: control characters visible, tabs spaces; line feeds stay."""
    joined = "".join([cell for cell in cells if cell is not None])
    if joined.isascii() and joined.isprintable():
        return Cells(cells, plain=True)
    return Cells([cell if cell is None else shown_text(cell) for cell in cells], plain=False)


def shown_text(text: str) -> str:
    """The text of a cell, made harmless."""
    return printable(text, keep="\n\t").replace("\t", "    ")


class ColumnLayout(msgspec.Struct, frozen=True):
    """A column of a table: its heading, width, and how wide a cell may be before it is cut (None: never)."""

    heading: str
    width: int
    right: bool = False
    limit: int | None = None
    is_masked: bool = False

    def holds(self, cells: Cells) -> bool:
        """Whether every cell is a single ASCII line that need not be cut."""
        return cells.plain and (self.limit is None or cells.widest(0) <= self.limit)


class Layout(msgspec.Struct, frozen=True):
    """All columns of a table, and whether it is shown expanded, a line per cell."""

    columns: tuple[ColumnLayout, ...]
    expanded: bool = False


def lay_out(
    columns: Sequence[Column],
    headings: Sequence[str],
    widest: Sequence[int],
    masked: Sequence[int],
    *,
    terminal_width: int | None,
    max_cell: int | None,
    expanded: str,
) -> Layout:
    """Find the columns' widths for cells that are `widest` wide, and whether to expand (`on`, `off`, `auto`).

    Only text is ever cut, never a number or a date. In `auto`, long text is cut to fit the terminal; where that
    does not suffice, the result is expanded.
    """
    heads = [width(heading) for heading in headings]
    cuttable = [is_text(c.type) or base(c.type) in JSON or c.type.endswith("[]") for c in columns]
    limits: list[int | None] = [max_cell if may else None for may in cuttable]
    is_expanded = expanded == "on"
    if expanded == "auto" and terminal_width is not None:
        room = terminal_width - 3 * len(columns)
        cap = _cap(widest, heads, cuttable, limits, room)
        is_expanded = cap is None
        if cap is not None:
            limits = [_least(limit, cap) if may else None for limit, may in zip(limits, cuttable, strict=True)]
    laid_out = tuple(
        ColumnLayout(
            headings[i],
            max(_least(limits[i], widest[i]), heads[i]),
            right=base(column.type) in RIGHT_ALIGNED,
            limit=None if limits[i] is None else max(limits[i] or 0, heads[i]),
            is_masked=i in masked,
        )
        for i, column in enumerate(columns)
    )
    return Layout(laid_out, expanded=is_expanded)


def _cap(
    widest: Sequence[int], heads: Sequence[int], cuttable: Sequence[bool], limits: Sequence[int | None], room: int
) -> int | None:
    """The widest that text may be so that all columns fit into `room`; None when they cannot."""

    def total(cap: int) -> int:
        columns = zip(widest, heads, cuttable, limits, strict=True)
        return sum(max(min(w, _least(limit, cap)) if may else w, head) for w, head, may, limit in columns)

    low, high = LEAST_SHRUNK, max([*widest, LEAST_SHRUNK])
    if total(low) > room:
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if total(middle) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _least(limit: int | None, other: int) -> int:
    return other if limit is None else min(limit, other)
