"""The text of a statement as it may be recorded: constants that meet a labelled column are taken out.

With them go its comments: in the statement that looks for somebody's number, a comment may hold the number, too.
"""

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
    found = Tokens(text)
    pieces: list[str] = []
    position = 0
    for start in sorted(starts):
        index = found.index_after(start)
        # A sign may be the start of a constant, and stick to an operator before it.
        while index < len(found.list) and found.list[index].kind == "operator":
            index += 1
        if index == len(found.list) or start < position:
            continue
        last = found.list[index]
        # A string may go on after a line break.
        while last.kind == "string" and index + 1 < len(found.list) and found.list[index + 1].kind == "string":
            index += 1
            last = found.list[index]
        pieces += [text[position:start], f"'{MASKED}'"]
        position = last.end
    return without_comments("".join(pieces) + text[position:])


def without_comments(text: str) -> str:
    """Replace every comment by `/* … */`, on a line of its own where it was one."""
    pieces: list[str] = []
    end = 0
    for token in (*tokens(text), None):
        start = token.start if token is not None else len(text)
        gap = text[end:start]
        if gap.strip():
            gap = " /* … */" + ("\n" if "\n" in gap else " ")
        pieces += [gap, token.text if token is not None else ""]
        end = token.end if token is not None else end
    return "".join(pieces).strip()


def without_constants(text: str) -> str:
    """Replace every string and number: for statements that could not be analysed."""
    pieces: list[str] = []
    position = 0
    for token in tokens(text):
        if token.kind in {"string", "number"}:
            pieces += [text[position : token.start], f"'{MASKED}'"]
            position = token.end
    return without_comments("".join(pieces) + text[position:])


def recorded_parameters(values: Sequence[str | None], sensitive: Iterable[Tree]) -> tuple[str | None, ...]:
    """Replace the parameters that meet a labelled column."""
    numbers = {int(b["number"]) for b in sensitive if "number" in b}
    return tuple(MASKED if n in numbers and v is not None else v for n, v in enumerate(values, 1))
