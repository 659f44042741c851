"""The text of a statement as it may be recorded: constants that meet a labelled column are taken out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dbgate.gate.lexer import Offsets, Tokens, tokens
from dbgate.model import Tree

MASKED = "***"


def recorded_text(text: str, sensitive: Iterable[Tree]) -> str:
    """Replace the constants whose bodies are `sensitive` by `'***'`."""
    bodies = [b for b in sensitive if "number" not in b and int(b.get("location", -1)) >= 0]
    if not bodies:
        return text
    offsets = Offsets(text)
    starts = {offsets.to_chars(int(b["location"])) for b in bodies if not b.get("isnull")}
    found = Tokens(text).list
    pieces: list[str] = []
    position = 0
    for index, token in enumerate(found):
        # A negative number's constant begins at its sign.
        number = token.text in {"-", "+"} and index + 1 < len(found)
        if token.start in starts and token.start >= position:
            last = found[index + 1] if number else token
            pieces += [text[position : token.start], f"'{MASKED}'"]
            position = last.end
    return "".join(pieces) + text[position:]


def without_constants(text: str) -> str:
    """Replace every string and number: for statements that could not be analysed."""
    pieces: list[str] = []
    position = 0
    for token in tokens(text):
        if token.kind in {"string", "number"}:
            pieces += [text[position : token.start], f"'{MASKED}'"]
            position = token.end
    return "".join(pieces) + text[position:]


def recorded_parameters(values: Sequence[str | None], sensitive: Iterable[Tree]) -> tuple[str | None, ...]:
    """Replace the parameters that meet a labelled column."""
    numbers = {int(b["number"]) for b in sensitive if "number" in b}
    return tuple(MASKED if n in numbers and v is not None else v for n, v in enumerate(values, 1))
