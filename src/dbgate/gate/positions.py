"""Where a place of the text that was sent stands in the text that a person typed."""

from __future__ import annotations

from collections.abc import Collection

from dbgate.gate.lexer import tokens
from dbgate.model import Edits


def typed_position(position: int, edits: Edits) -> int:
    """The 1-based position in the text before `edits` of a position in the text after them.

    0 for a place within what an edit put in: nothing that was typed stands there. Its beginning is where the typed
    text began that it replaced.
    """
    moved = 0
    for start, end, length in edits:
        if position - 1 < start + moved:
            break
        if position - 1 == start + moved and end > start:
            return start + 1
        if position - 1 < start + moved + length:
            return 0
        moved += length - (end - start)
    return position - moved


def parameter_edits(text: str, names: Collection[str]) -> Edits:
    """The edits that put `$1`, `$2`, … for the `:name` placeholders of `text`, numbered in order of appearance."""
    numbers: dict[str, int] = {}
    found = []
    for token in tokens(text):
        if token.kind == "name" and token.text[1:] in names:
            number = numbers.setdefault(token.text[1:], len(numbers) + 1)
            found.append((token.start, token.end, len(f"${number}")))
    return tuple(found)
