"""How wide text is on a terminal, and cutting and padding it by that measure."""

from __future__ import annotations


def width(text: str) -> int:
    """Columns that one line of printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(wcswidth(text), 0)


def cut(text: str, limit: int, mark: str) -> str:
    """Return `text` if it is at most `limit` columns wide, or else as much of it as fits with `mark` behind it."""
    if width(text) <= limit:
        return text
    room = limit - width(mark)
    if text.isascii():
        return text[:room] + mark
    # A line is cut where its width reaches the room, found by halving: widths of prefixes never shrink.
    low, high = 0, min(len(text), max(room, 0) * 8 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        if width(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + mark


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Fill `text` with spaces to `columns`, on the left when `right`-aligned."""
    if text.isascii():
        return text.rjust(columns) if right else text.ljust(columns)
    space = " " * (columns - width(text))
    return space + text if right else text + space
