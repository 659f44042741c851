"""Syntax that came after the grammar that dbgate reads (PostgreSQL 17's), told by name instead of as a syntax error."""

from __future__ import annotations

import re

_NEWER = (
    (r"\breturning", r"with\b", "RETURNING WITH (OLD AS …, NEW AS …)", "write old.column and new.column"),
    (r"", r"without\s+overlaps\b", "WITHOUT OVERLAPS", ""),
    (r"", r"period\b", "PERIOD in a foreign key", ""),
    (r",\s*period", r"", "PERIOD in a foreign key", ""),
    (r"", r"(?:not\s+)?enforced\b", "NOT ENFORCED", ""),
    (r"\bnot", r"enforced\b", "NOT ENFORCED", ""),
    (r"\bgenerated\s+always\s+as\s*\(.*\)", r"", "virtual generated columns", "write STORED"),
)
"""What stands before a syntax error, what stands at it, the feature of PostgreSQL 18 that it is, and what to do."""

_MIGRATE = "run it past dbgate, as a migration"


def newer_syntax(text: str, position: int) -> tuple[str, str] | None:
    """The message and hint for a syntax error at `position` (1-based) that PostgreSQL 18 would not make; else None."""
    if position < 1:
        return None
    before, rest = text[: position - 1], text[position - 1 :]
    for ahead, at, name, hint in _NEWER:
        if re.search(ahead + r"\s*\Z", before, re.IGNORECASE | re.DOTALL) and re.match(at, rest, re.IGNORECASE):
            return f"{name} is syntax of PostgreSQL 18; dbgate reads that of 17", hint or _MIGRATE
    return None
