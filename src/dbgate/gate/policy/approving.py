"""What an `approve` rule asks for: who has to agree, when, and what their grant is good for."""

from __future__ import annotations

from msgspec.structs import replace

from dbgate.document import Reader, Value
from dbgate.gate.policy.conditions import read_clauses
from dbgate.gate.policy.model import Rule
from dbgate.model import SessionLimits

GRANTS = ("statement", "session")
MOMENTS = ("statement", "commit")
MAX_USES = 1000
"""How many runs one grant may be good for."""

MAX_SESSION_S = 24 * 3600
"""How long one grant may hold for a session, in seconds."""

APPROVAL_KEYS = ("reviewers", "expires", "uses", "grant", "for", "statements", "rows", "break_glass", "at")


def read_approval(reader: Reader, rule: Rule) -> Rule:
    """The rule with what its approval needs and gives. `reader` is the rule's mapping. Raises `DocumentError`."""
    rule = replace(rule, clauses=read_clauses(reader.required("reviewers")), break_glass=_break_glass(reader))
    at, grant = reader.value("at"), reader.choice("grant", GRANTS, "statement")
    if grant == "session":
        return _for_session(reader, rule, at)
    for key in ("for", "statements", "rows"):
        stray = reader.value(key)
        if stray is not None:
            raise stray.error(f"{key} goes with grant: session only", "say grant: session, or leave it out")
    expires, uses = reader.value("expires"), reader.value("uses")
    at_commit = at is not None and at.choice(MOMENTS) == "commit"
    if at is not None and at_commit and uses is not None:
        raise at.error("at: commit does not go with uses", "a transaction is committed once")
    return replace(
        rule,
        expires_s=whole_seconds(expires) if expires else 3600,
        uses=uses.integer(minimum=1, maximum=MAX_USES) if uses else 1,
        at_commit=at_commit,
    )


def _for_session(reader: Reader, rule: Rule, at: Value | None) -> Rule:
    for key, why in (("uses", "statements: limits a session"), ("expires", "for: says how long a session may go on")):
        stray = reader.value(key)
        if stray is not None:
            raise stray.error(f"{key} does not go with grant: session", why)
    if at is not None and at.choice(MOMENTS) == "commit":
        raise at.error("at: commit does not go with grant: session", "leave one of them out")
    length, statements, rows = reader.required("for"), reader.value("statements"), reader.value("rows")
    for_s = whole_seconds(length)
    if for_s > MAX_SESSION_S:
        raise length.error("for: a session is granted a day at most", "say for: 1h, or 24h at most")
    limits = SessionLimits(
        statements.integer(minimum=1) if statements else None, rows.integer(minimum=1) if rows else None
    )
    return replace(rule, expires_s=for_s, session=limits)


def _break_glass(reader: Reader) -> tuple[str, ...]:
    """`{groups: […]}`: who may run it before anybody agrees."""
    value = reader.value("break_glass")
    if value is None:
        return ()
    with value.mapping() as inner:
        return inner.texts("groups")


def whole_seconds(value: Value) -> int:
    """A duration of at least a second."""
    seconds = int(value.duration())
    if seconds < 1:
        raise value.wrong("a duration of at least 1s")
    return seconds
