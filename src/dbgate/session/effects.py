"""What the session core asks of the world, one effect at a time.

`life.py` is a generator: it yields one of these and is sent the reply named in its docstring.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from dbgate.errors import DbgateError
from dbgate.model import ApprovalRequest, ColumnName, CountQuery, Grant, Json, Outcome, SampleQuery

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement


class Record(msgspec.Struct, frozen=True):
    """Append a record. Reply: None. Raises `AuditUnavailable` into the core, which then runs nothing."""

    kind: str
    fields: Mapping[str, Json]
    durable: bool = True


class Measure(msgspec.Struct, frozen=True):
    """Count rows, read-only. Reply: `Measured`."""

    queries: tuple[CountQuery, ...]


class AskApproval(msgspec.Struct, frozen=True):
    """File the request and wait as the door was told. Reply: `Grant`, or `Refused`."""

    request: ApprovalRequest


class Open(msgspec.Struct, frozen=True):
    """Show the tags of a verified grant in clear, or let its rules pass, while it lives. Reply: None."""

    grant: Grant


class Spend(msgspec.Struct, frozen=True):
    """A statement is about to run under session grants with these ids: count it, and its rows. Reply: None."""

    grants: tuple[str, ...]
    rows: int


class TakeBack(msgspec.Struct, frozen=True):
    """Roll the person's open transaction back, for what it did has not been agreed to. Reply: None. Raises `ConnectionLost`."""


class Look(msgspec.Struct, frozen=True):
    """Take a few rows that a statement would change, for reviewers, read-only. Reply: a tuple of `Sample`."""

    queries: tuple[SampleQuery, ...]


class Refused(msgspec.Struct, frozen=True):
    """No grant: `status` is pending, interrupted, denied, withdrawn, expired, redeemed, revoked, or refused for `detail`.

    `declined`: the person would rather have reviewers asked than break the glass.
    """

    status: str
    request: str
    detail: str = ""
    hint: str = ""


class Run(msgspec.Struct, frozen=True):
    """Send one statement and stream its rows to the display. Reply: `Outcome`, `Failed` or `Exceeded`.

    With `at_most` (rows that a grant or the policy allows) the run is wrapped so that touching more rolls it back; `recount`
    is counted again inside the wrap, before the run, and compared with what a grant has `allowed` (rows by
    `schema.table`), or with the `ceiling` that the policy sets for all of them together. The server's
    own count of rows changed, in tables that keys and triggers reach as well, is compared afterwards. `counted` wraps it
    for that count alone; `locks` are tables to lock first, so that nobody adds rows in between.
    `tables` are the OIDs that a plain query without parameters reads; large ones may go out by COPY.
    `pins` are the OIDs of relations that must not have changed since the judgement; `apart` tells that the statement
    cannot be sent together with the check of these.
    Beyond `max_rows` or `max_bytes` no more is shown; `reads` tells that the rest need not even be fetched.
    """

    text: str
    parameters: tuple[str | None, ...]
    statement_id: int
    masked: tuple[int, ...] = ()
    max_rows: int | None = None
    at_most: int | None = None
    scrub: bool = True
    max_bytes: int | None = None
    reads: bool = True
    recount: tuple[CountQuery, ...] = ()
    allowed: Mapping[str, int] = {}
    ceiling: int | None = None
    tables: tuple[int, ...] = ()
    pins: tuple[int, ...] = ()
    apart: bool = False
    counted: bool = False
    locks: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether the server's own count is asked for. Where the policy alone sets a limit, the status line may do."""
        return self.ceiling is None or self.counted or bool(self.recount)


class Failed(msgspec.Struct, frozen=True):
    """A run that ended in `error`, with what is known of it: rows shown before, time taken."""

    error: DbgateError
    outcome: Outcome


class Exceeded(msgspec.Struct, frozen=True):
    """A run that was rolled back: it touches `rows` of `relation` ("" for the whole statement), more than `allowed`.

    `beyond` tells that the relation was not counted beforehand: triggers or functions changed it.
    """

    rows: int
    allowed: int
    relation: str = ""
    duration_ms: float = 0.0
    beyond: bool = False


class Capture(msgspec.Struct, frozen=True):
    """Record what the person saw of the statement's result, without `hidden` values. Reply: None. Raises like `Record`.

    With `opened` columns, which a grant shows in clear, only their names are recorded: records outlive the grant.
    """

    statement_id: int
    hidden: frozenset[str] = frozenset()
    opened: tuple[ColumnName, ...] = ()


class Refresh(msgspec.Struct, frozen=True):
    """Read the catalog again if it changed. Reply: whether it had changed."""


class Abort(msgspec.Struct, frozen=True):
    """The text is in error, which the server was not asked to find: an open transaction fails all the same. Reply: None."""


class Adopt(msgspec.Struct, frozen=True):
    """The statement succeeded: follow what it changed in the session, and `changed` rows. Reply: None."""

    judgement: Judgement
    changed: Mapping[str, int] = {}


class Show(msgspec.Struct, frozen=True):
    """Show a message. `level` is `error`, `denied` or `notice`. Reply: None."""

    level: str
    text: str
    hint: str = ""


Effect: TypeAlias = (
    Record | Measure | Look | AskApproval | Open | Spend | TakeBack | Run | Show | Capture | Refresh | Abort | Adopt
)


class Finished(msgspec.Struct, frozen=True):
    """How a statement's life ended; `exit_code` is the process's if it was the last.

    `decision` is `allow`, `rewrite`, `approve`, `deny` or `error`. `closes` says why the session cannot go on, or is empty.
    """

    statement_id: int
    exit_code: int
    decision: str
    detail: Mapping[str, Json] = {}
    closes: str = ""
