"""What the policy says of a statement, and what it had to know for that."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from dbgate.model.statements import ColumnName, Relation
from dbgate.model.values import Edits, Json


class RuleRef(msgspec.Struct, frozen=True):
    """A policy rule, by id and place, for people to find."""

    id: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.id} ({self.file}:{self.line})" if self.file else self.id


class ReviewClause(msgspec.Struct, frozen=True):
    """`count` distinct people, each in one of `groups`, must approve."""

    groups: tuple[str, ...]
    count: int = 1

    def to_json(self) -> dict[str, Json]:
        """The clause as it stands in requests and records."""
        return {"groups": list(self.groups), "count": self.count}


class MaskedColumn(msgspec.Struct, frozen=True):
    """A labelled column that a result or a predicate meets as its mask."""

    column: ColumnName
    tag: str
    method: str


class OpenedColumn(msgspec.Struct, frozen=True):
    """A labelled column that a statement meets in clear because the grant with the id `grant` opens its tag."""

    column: ColumnName
    tag: str
    grant: str

    def to_json(self) -> dict[str, Json]:
        """The column as it stands in records."""
        return {"column": str(self.column), "tag": self.tag, "grant": self.grant}


class Allow(msgspec.Struct, frozen=True):
    """The statement runs as typed. `text` differs from the person's only by qualified names, put in by `edits`.

    `under` are the ids of session grants that it needs, `measured` the rows that it may touch then. `held` are approvals
    that the COMMIT of its transaction waits for.
    `ceiling` are the rows that it may touch, where rules let it through by a number.
    """

    text: str
    rules: tuple[RuleRef, ...] = ()
    edits: Edits = ()
    under: tuple[str, ...] = ()
    measured: Measured | None = None
    held: tuple[HeldRule, ...] = ()
    ceiling: int | None = None


class Rewrite(msgspec.Struct, frozen=True):
    """The statement runs as `text`, in which labelled columns are masks and rows are filtered.

    `masked` are the labelled columns behind masks; `output` the names of result columns that carry one,
    by position (0-based); `predicates` the labelled columns that a condition, join, order or group met;
    `filtered` the relations with a row filter; `edits` what was replaced in the person's text. For `under`, `measured`
    and `held` see `Allow`.
    """

    text: str
    rules: tuple[RuleRef, ...] = ()
    masked: tuple[MaskedColumn, ...] = ()
    output: tuple[int, ...] = ()
    predicates: tuple[ColumnName, ...] = ()
    filtered: tuple[Relation, ...] = ()
    lineage_known: bool = True
    edits: Edits = ()
    under: tuple[str, ...] = ()
    measured: Measured | None = None
    held: tuple[HeldRule, ...] = ()
    ceiling: int | None = None


class HeldRule(msgspec.Struct, frozen=True):
    """An approval that a rule asks for at the COMMIT of the transaction."""

    rule: RuleRef
    clauses: tuple[ReviewClause, ...]
    message: str = ""
    expires_s: int = 3600


class RequestKind(StrEnum):
    """What reviewers are asked to agree to.

    That one statement runs; that tags are seen in clear for a while; that a session does for a while what rules ask
    approval for; that a transaction is committed. `BREAK_GLASS` asks nobody beforehand: a statement that ran, to review.
    """

    STATEMENT = "statement"
    UNMASK = "unmask"
    SESSION = "session"
    TRANSACTION = "transaction"
    BREAK_GLASS = "break-glass"


class SessionLimits(msgspec.Struct, frozen=True):
    """How many statements a session may run under a grant, and how many rows they may touch in all. None: any number."""

    statements: int | None = None
    rows: int | None = None

    def to_json(self) -> dict[str, Json]:
        """The limits as they stand in requests, grants and records."""
        return {"statements": self.statements, "rows": self.rows}


class CountQuery(msgspec.Struct, frozen=True):
    """A read-only query that counts the rows of `relation` that a statement would touch.

    `parameters` are the values of its own `$1…`, which differ from the statement's. `oids` are the relation's and those of
    its partitions and children. `is_own` tells of the first query that the server's status line says its number, too, when
    the statement has run.
    """

    relation: Relation
    text: str
    verb: str = ""
    parameters: tuple[str | None, ...] = ()
    oids: tuple[int, ...] = ()
    is_own: bool = True


class SampleQuery(msgspec.Struct, frozen=True):
    """A read-only query for a few rows that a statement would change, masked for everybody.

    Its columns are those of `columns` as they stand, then, for each of `changed` (names among `columns`), its new value;
    an INSERT's are new values only. `rows` stand for a query where the statement itself holds the values. `note` tells
    reviewers what is left out.
    """

    relation: Relation
    verb: str
    columns: tuple[str, ...]
    text: str = ""
    parameters: tuple[str | None, ...] = ()
    changed: tuple[str, ...] = ()
    note: str = ""


class NeedsMeasure(msgspec.Struct, frozen=True):
    """A rule, or reviewers, ask for the number of rows: run `queries` read-only, then decide again.

    `otherwise` is the decision where it hangs on no number: then the rows are counted for reviewers, and to hold the run to.
    """

    queries: tuple[CountQuery, ...]
    rules: tuple[RuleRef, ...] = ()
    otherwise: NeedsApproval | Allow | Rewrite | None = None


class NeedsApproval(msgspec.Struct, frozen=True):
    """People have to agree first. `run` is what happens once a grant was redeemed.

    By `kind`, the grant is good for `uses` runs, or for a session for `expires_s` seconds and within `limits`, or `clauses`
    review a run afterwards (break-glass, open to `break_glass` groups). At a COMMIT, `statement` and `parameters` are those
    of the whole transaction, and `changed` the rows that it has changed.
    """

    clauses: tuple[ReviewClause, ...]
    rules: tuple[RuleRef, ...]
    run: Allow | Rewrite
    reason: str = ""
    expires_s: int = 3600
    measured: Measured | None = None
    kind: RequestKind = RequestKind.STATEMENT
    uses: int = 1
    limits: SessionLimits = SessionLimits()
    break_glass: tuple[str, ...] = ()
    statement: str = ""
    parameters: tuple[str | None, ...] = ()
    changed: Mapping[str, int] = {}


class Deny(msgspec.Struct, frozen=True):
    """The statement does not run. `reason` is one line; `hint` says what to do instead."""

    reason: str
    rules: tuple[RuleRef, ...] = ()
    hint: str = ""


Decision: TypeAlias = Allow | Rewrite | NeedsMeasure | NeedsApproval | Deny
"""What the gate says of one statement: a closed union."""


class Measured(msgspec.Struct, frozen=True):
    """Rows that a statement would touch: per relation, and in all."""

    counts: tuple[tuple[Relation, int], ...]

    @property
    def total(self) -> int:
        """Rows over all relations."""
        return sum(count for _, count in self.counts)

    @property
    def by_name(self) -> dict[str, int]:
        """Counts by `schema.table`."""
        found: dict[str, int] = {}
        for relation, count in self.counts:
            found[str(relation)] = found.get(str(relation), 0) + count
        return found

    def to_json(self) -> dict[str, Json]:
        """Counts by `schema.table`, as they stand in requests, grants and records."""
        return dict(self.by_name)
