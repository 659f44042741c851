"""What came of one statement in the comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How dbgate's answer stands to PostgreSQL's own.

    `IDENTICAL` in columns, types, rows, status or error. `MASKED` as a twin database that holds the masks answers;
    `COLUMNS` masked, and what is not masked is the same; `PLAN` an EXPLAIN of the masked statement. `UNSTABLE`
    differs from one direct run to the next, or with the order of rows in the tables. `BROKEN` reads a view whose printed
    definition PostgreSQL itself contradicts. `UNCHECKED` is masked, and nothing vouches for it. `REFUSED` is what dbgate
    refuses and PostgreSQL answers; `BOTH` what PostgreSQL gives an error to, as well.
    """

    IDENTICAL = "identical"
    MASKED = "masked"
    COLUMNS = "masked columns"
    PLAN = "masked plan"
    UNSTABLE = "unstable"
    BROKEN = "broken view"
    UNCHECKED = "unchecked"
    REFUSED = "refused"
    BOTH = "refused by both"
    DIFFERENT = "different"


REFUSALS = (Verdict.REFUSED, Verdict.BOTH)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One compared statement. `reason` says why it was refused or in what it differs, `note` what else is to know."""

    file: str
    line: int
    text: str
    verdict: Verdict
    is_select: bool
    reason: str = ""
    note: str = ""


_QUOTED = re.compile(r'"[^"]*"')
_WHERE = (
    (re.compile(r"the function (\S+) is refused: (.*)"), r"function refused: \2"),
    (re.compile(r"the function \S+ is not (known|allowed by the policy)"), r"function not \1"),
    (re.compile(r"the operator \S+ calls \S+ which the policy does not allow"), "operator not allowed"),
    (re.compile(r".* has columns that you see only masked: .*"), "definition over masked columns"),
    (re.compile(r"the statement writes and reads .*, which you see only masked"), "write that reads masked columns"),
    (re.compile(r"the new relation would store masks of .*"), "new relation would store masks"),
    (re.compile(r"the setting (\S+) cannot be (changed|read|shown): (.*)"), r"setting \1 cannot be \2"),
    (re.compile(r"no (prepared statement|cursor) .* was (made|declared) in this session"), r"no \1 known"),
    (re.compile(r".* is a view over masked columns or filtered rows"), "write to a view over masked columns"),
    (re.compile(r".* has rewrite rules, which dbgate cannot look into"), "table with rewrite rules"),
    (re.compile(r"(\S+\.\S+) is refused: (.*)"), r"system relation \1"),
)


def group_of(reason: str) -> str:
    """The class of a denial: its reason without the names in it."""
    reason = re.sub(r"\Arule \S+ \(\S+\): ", "", reason)
    for pattern, group in _WHERE:
        if match := pattern.fullmatch(reason):
            return match.expand(group)
    return _QUOTED.sub('"…"', reason)
