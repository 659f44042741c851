"""Rows in columns for people, without the start-up time of a table library."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from unicodedata import combining, east_asian_width

from dbgate.text import printable

MIN_ELASTIC = 6
"""An elastic column never gets narrower than this."""


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, elastic: Sequence[str] = ()) -> None:
    """Print columns. A heading with `>` aligns right; on a narrow terminal the `elastic` columns give way.

    `rows` are gone through twice, and need not all be in memory.
    """
    names = [heading.lstrip(">") for heading in headings]
    widths = [width(name) for name in names]
    for row in rows:
        widths = [max(size, width(printable(cell))) for size, cell in zip(widths, row, strict=True)]
    terminal = sys.stdout.isatty()
    if terminal:
        _shrink(widths, [names.index(name) for name in elastic], shutil.get_terminal_size().columns)
    colour = terminal and not os.environ.get("NO_COLOR")
    for number, row in enumerate(chain([names], rows)):
        parts = [
            _cell(printable(text), size, right=heading.startswith(">"), style=_style(text, number) if colour else "")
            for text, size, heading in zip(row, widths, headings, strict=True)
        ]
        print("  ".join(parts).rstrip())


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _shrink(widths: list[int], elastic: Sequence[int], available: int) -> None:
    """Take columns from the widest elastic one until the line fits or none can give more."""
    while sum(widths) + 2 * (len(widths) - 1) > available:
        widest = max(elastic, key=lambda column: widths[column], default=None)
        if widest is None or widths[widest] <= MIN_ELASTIC:
            return
        widths[widest] -= 1


def _cell(text: str, size: int, *, right: bool, style: str) -> str:
    if width(text) > size:
        while width(text) > size - 1:
            text = text[:-1]
        text += "…"
    space = " " * (size - width(text))
    shown = f"{style}{text}\x1b[0m" if style else text
    return space + shown if right else shown + space


def _style(text: str, line: int) -> str:
    return "\x1b[1m" if line == 0 else _STYLES.get(text, "")


_GREEN, _YELLOW, _RED, _MAGENTA, _CYAN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[35m", "\x1b[36m"
_STYLES = {
    "ok": _GREEN,
    "yes": _GREEN,
    "allow": _GREEN,
    "deny": _RED,
    "error": _RED,
    "crashed": _RED,
    "damaged": _RED,
    "NO": _RED,
    "no": _YELLOW,
    "open": _CYAN,
    "rewrite": _YELLOW,
    "approve": _MAGENTA,
}
