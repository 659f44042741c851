"""What is seen of one statement, and whether two answers are the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

GONE = "…"
HIDDEN = "<insufficient privilege>"
"""What stands in a system view instead of the text of a statement."""
Row = tuple[str | None, ...]


@dataclass(slots=True)
class Seen:
    """An answer: columns, rows as text, command tag; or an error.

    `message` is the error as it was shown, `raw` as the server wrote it (the same for a direct session). `transaction`
    is where the connection stood afterwards.
    """

    names: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    status: str = ""
    sqlstate: str = ""
    message: str = ""
    raw: str = ""
    transaction: str = "idle"

    @property
    def failed(self) -> bool:
        """Whether the statement ended in an error."""
        return bool(self.sqlstate or self.message)


def difference(direct: Seen, gated: Seen, *, ordered: bool = False) -> str:
    """In what the answers differ: the first of error, transaction, status, names, types, rows; empty when in nothing.

    Rows in another order count as different only when the query asks for one (`ordered`).
    """
    if direct.failed or gated.failed:
        return _difference_of_errors(direct, gated)
    if direct.transaction != gated.transaction:
        return f"transaction: {direct.transaction} / {gated.transaction}"
    if direct.names != gated.names:
        return f"names: {direct.names} / {gated.names}"
    if not same_types(direct.types, gated.types):
        return f"types: {direct.types} / {gated.types}"
    if direct.rows != gated.rows and (ordered or Counter(direct.rows) != Counter(gated.rows)):
        return f"rows: {sample(direct.rows, gated.rows)}"
    if direct.status != gated.status:
        return f"status: {direct.status} / {gated.status}"
    return ""


def same_types(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether the columns have the same types; types of the suite's own have the numbers of their server."""
    return len(one) == len(other) and all(
        a == b or (a >= 16384 and b >= 16384) for a, b in zip(one, other, strict=True)
    )


def sample(one: list[Row], other: list[Row]) -> str:
    """Where two lists of rows first differ."""
    if len(one) != len(other):
        return f"{len(one)} / {len(other)} rows"
    place = next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), 0)
    return f"row {place + 1}: {one[place]} / {other[place]}"[:400]


def _difference_of_errors(direct: Seen, gated: Seen) -> str:
    if direct.failed != gated.failed:
        return f"error: {_error(direct)} / {_error(gated)}"
    if direct.sqlstate != gated.sqlstate:
        return f"error: {_error(direct)} / {_error(gated)}"
    if not says(gated.message, direct.message):
        return f"message: {_error(direct)} / {_error(gated)}"
    if direct.transaction != gated.transaction:
        return f"transaction: {direct.transaction} / {gated.transaction} after {_error(direct)}"
    return ""


def _error(seen: Seen) -> str:
    return f"{seen.sqlstate} {seen.message}"[:200] if seen.failed else f"none ({seen.status})"


_WITHHELD = re.compile(r"a function or trigger raised an error: .* \(text withheld\)")


def says(shown: str, message: str) -> bool:
    """Whether `shown` is the server's `message`, perhaps with values taken out of it."""
    shown, message = " ".join(shown.split()), " ".join(message.split())
    if shown == message or _WITHHELD.fullmatch(shown):
        return True
    if len(shown) >= 500:
        message = message[: len(message)]
    pattern = ".*".join(re.escape(piece) for piece in shown.replace(f'"{GONE}"', GONE).split(GONE))
    return GONE in shown and re.fullmatch(pattern + (".*" if len(shown) >= 500 else ""), message) is not None
