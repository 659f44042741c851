"""How the few rows that a statement would change look: old and new values, one row a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dbgate.doors.formats.width import cut, pad, width
from dbgate.text import printable

MAX_CELL = 40
"""Wider cells are cut, in columns of the terminal."""


def sample_lines(samples: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The samples of a request, each under its relation and verb. Labelled columns are masked in them already."""
    if samples:
        yield "sample (a few rows, labelled columns masked)"
    for sample in samples:
        note = f" ({sample['note']})" if sample["note"] else ""
        yield printable(f"  {sample['verb']} {sample['relation']}{note}")
        rows = list(_rows(sample))
        if rows:
            table = [[printable(str(name)) for name in sample["columns"]], *rows]
            widths = [max(map(width, column)) for column in zip(*table, strict=True)]
            for row in table:
                cells = (pad(cell, columns) for cell, columns in zip(row, widths, strict=True))
                yield f"    {'  '.join(cells)}".rstrip()


def _rows(sample: Mapping[str, Any]) -> Iterator[list[str]]:
    """Rows as cells: `old → new` where a value changes."""
    before, after = sample["before"], sample["after"]
    if not before or not after:
        yield from ([_cell(value) for value in row] for row in before or after)
        return
    for old, new in zip(before, after, strict=False):
        yield [_cell(a) if a == b else f"{_cell(a)} → {_cell(b)}" for a, b in zip(old, new, strict=True)]


def _cell(value: str | None) -> str:
    return "NULL" if value is None else cut(printable(value), MAX_CELL, "…")
