"""The lines that a person reads about a statement: errors with their place, denials with their rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dbgate.errors import StatementError
from dbgate.gate.positions import typed_position
from dbgate.model import ColumnName, Edits, RuleRef
from dbgate.session.effects import Refused

if TYPE_CHECKING:
    from dbgate.gate.syntax import Source

_WIDTH = 120


def in_statement(error: StatementError, source: Source, edits: Edits = ()) -> str:
    """The message of `error`, with its place in the statement as it was typed.

    `edits` led from the statement to what was sent; a place within them, a mask for one, is not shown.
    """
    position = typed_position(error.position, edits)
    if source.typed:
        return with_place(error.message, typed_position(position, source.edits), source.typed)
    return with_place(error.message, position, source.text)


def with_place(message: str, position: int, text: str) -> str:
    """The message, followed by the line of `text` that a 1-based position points at, and a caret beneath.

    The first line is the message alone; without a position it is the only one.
    """
    if not 1 <= position <= len(text) + 1:
        return message
    before = text[: position - 1]
    start = before.rfind("\n") + 1
    end = text.find("\n", position - 1)
    line = text[start : len(text) if end < 0 else end].replace("\t", " ").rstrip("\r")
    column = len(before) - start
    label = f"LINE {before.count(chr(10)) + 1}: "
    if len(line) > _WIDTH:
        cut = max(0, min(column - _WIDTH // 2, len(line) - _WIDTH))
        line, column = line[cut : cut + _WIDTH], column - cut
    return f"{message}\n{label}{line}\n{' ' * (len(label) + column)}^"


def denial(reason: str, rules: Sequence[RuleRef]) -> str:
    """What `denied:` says: the rules with their places, then the reason."""
    if not rules:
        return reason
    word = "rule" if len(rules) == 1 else "rules"
    return f"{word} {', '.join(map(str, rules))}: {reason}"


def compared_on_masks(columns: Iterable[ColumnName]) -> str:
    """The notice that a condition, join, order or group met masks, not values."""
    return f"compared on its mask: {', '.join(sorted({str(column) for column in columns}))}"


def not_granted(refused: Refused) -> tuple[str, str]:
    """Why a request gives no grant, and what to do about it."""
    name, detail = f"request {refused.request}", refused.detail
    reason = f": {detail}" if detail else ""
    match refused.status:
        case "refused":
            text = f"{name} cannot be used: {detail.replace(f'request {refused.request} ', 'it ', 1)}"
        case "expired":
            text = f"{name} has expired{reason}"
        case status:
            text = f"{name} was {detail if detail.startswith(status) else status + reason}"
    return text, refused.hint or _AFTER.get(refused.status, "ask for a new approval")


_AFTER = {
    "denied": "talk to the reviewer before asking again",
    "redeemed": "an approval is good for one run: ask for a new one",
}
