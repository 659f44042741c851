"""The nouns of dbgate, as frozen values.

They hold no behaviour beyond what follows from their own fields, do no I/O and know no clock.
Times are aware `datetime`s in UTC; durations are seconds in fields that end in `_s`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
"""What JSON can hold."""

Tree: TypeAlias = dict[str, Any]
"""A raw PostgreSQL parse tree, as libpg_query writes it in JSON."""


class Actor(StrEnum):
    """What kind of being acts."""

    HUMAN = "human"
    SERVICE = "service"
    AGENT = "agent"


class Assurance(StrEnum):
    """How far the identity was proven."""

    OIDC = "oidc"
    LOCAL = "local"


class Identity(msgspec.Struct, frozen=True):
    """Who acts.

    `issuer` and `subject` together name a person or a service for ever; `email` is for people to read.
    `on_behalf_of` is the e-mail or subject of the human behind an agent. With `Assurance.LOCAL`
    nothing was proven: every record says so.
    """

    issuer: str
    subject: str
    email: str = ""
    name: str = ""
    groups: tuple[str, ...] = ()
    actor: Actor = Actor.HUMAN
    on_behalf_of: str = ""
    assurance: Assurance = Assurance.LOCAL
    signed_in_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def label(self) -> str:
        """What a person reads: the e-mail, or else the subject."""
        return self.email or self.subject

    @property
    def key(self) -> str:
        """The text that tells two identities apart: issuer and subject."""
        return f"{self.issuer}#{self.subject}"

    def to_json(self) -> dict[str, Json]:
        """The identity as it stands in records, requests and grants."""
        return {
            "issuer": self.issuer,
            "subject": self.subject,
            "email": self.email,
            "name": self.name,
            "groups": list(self.groups),
            "actor": str(self.actor),
            "on_behalf_of": self.on_behalf_of,
            "assurance": str(self.assurance),
        }


class PasswordSource(msgspec.Struct, frozen=True):
    """Where a target's password comes from: `libpq`, `keyring`, `env` (a name) or `command` (an argv)."""

    kind: str = "libpq"
    env: str = ""
    command: tuple[str, ...] = ()


class Target(msgspec.Struct, frozen=True):
    """A named database. `policy` is an absolute path, or empty for the built-in default policy."""

    name: str
    engine: str
    dsn: str
    password: PasswordSource = msgspec.field(default_factory=PasswordSource)
    environment: str = ""
    policy: str = ""


class Access(StrEnum):
    """What a statement does to the database, weakest first."""

    TRANSACTION = "transaction"
    SESSION = "session"
    READ = "read"
    WRITE = "write"
    DDL = "ddl"
    ADMIN = "admin"

    @property
    def strength(self) -> int:
        """A rank: the strongest access anywhere in a statement is the statement's."""
        return tuple(Access).index(self)


class Relation(msgspec.Struct, frozen=True, order=True):
    """A table, view or the like, resolved. `oid` is 0 for a relation that does not exist yet."""

    schema: str
    name: str
    oid: int = 0
    kind: str = "r"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class ColumnName(msgspec.Struct, frozen=True, order=True):
    """A column of a relation. `str()` gives `schema.table.column`, the form of policy globs."""

    schema: str
    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"


class LabelledColumn(msgspec.Struct, frozen=True):
    """A labelled column that a statement met. `hidden` tells that the identity sees only its mask."""

    column: ColumnName
    tag: str
    hidden: bool

    def to_json(self) -> dict[str, Json]:
        """The column as records hold it."""
        return {"column": str(self.column), "tag": self.tag, "hidden": self.hidden}


class Touch(msgspec.Struct, frozen=True):
    """One verb on one relation within a statement. `relation` is None for a statement without one."""

    verb: str
    access: Access
    relation: Relation | None = None


class Statement(msgspec.Struct, frozen=True):
    """One SQL statement, parsed and resolved.

    `text` is exactly what the person typed, trimmed; `parameters` are the bound values, text form, in
    the order of `$1…`. `touches` lists every verb on every relation; `verb` and `access` are the
    strongest of them. `functions` and `settings` are the names used.
    """

    text: str
    tree: Tree
    verb: str
    access: Access
    touches: tuple[Touch, ...] = ()
    functions: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    parameters: tuple[str | None, ...] = ()
    has_where: bool = True

    @property
    def reads(self) -> tuple[Relation, ...]:
        """Relations that are only read."""
        return tuple(t.relation for t in self.touches if t.relation and t.access is Access.READ)

    @property
    def writes(self) -> tuple[Relation, ...]:
        """Relations that are changed, made or dropped."""
        return tuple(t.relation for t in self.touches if t.relation and t.access is not Access.READ)


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


Edits: TypeAlias = tuple[tuple[int, int, int], ...]
"""Replacements in a text, in order: the characters from a start to an end became so many others."""


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


class Sample(msgspec.Struct, frozen=True):
    """A few rows that a statement would change, labelled columns masked for everybody.

    `before` are the rows as they stand, `after` as they would be; either may be empty (an INSERT has no before). `note`
    says what is left out, and why.
    """

    relation: str
    verb: str
    columns: tuple[str, ...] = ()
    before: tuple[tuple[str | None, ...], ...] = ()
    after: tuple[tuple[str | None, ...], ...] = ()
    note: str = ""


class ApprovalRequest(msgspec.Struct, frozen=True):
    """What reviewers are asked. `binding` binds what the grant is for (see `dbgate.binding`).

    Of a statement: the exact `statement` and `parameters`, the rows it would touch, the `masked` columns it meets, a
    `sample` of what would change, and for how many `uses`. Of a transaction: its statements, in one text.
    To unmask: the `tags`, the `columns` that carry them on the target, and `expires_s`, for how long; no statement.
    Of a session: the `rules` that it may pass, for `expires_s` and within `limits`; the statement is the first of it.
    `break_glass` are the groups that may run it before anybody agrees.
    """

    target: str
    environment: str
    statement: str
    parameters: tuple[str | None, ...]
    binding: str
    policy_digest: str
    verb: str
    relations: tuple[str, ...]
    clauses: tuple[ReviewClause, ...]
    rules: tuple[str, ...]
    reason: str = ""
    message: str = ""
    measured: Mapping[str, int] = msgspec.field(default_factory=dict)
    masked: tuple[str, ...] = ()
    session: str = ""
    expires_s: int = 3600
    kind: RequestKind = RequestKind.STATEMENT
    tags: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    uses: int = 1
    limits: SessionLimits = SessionLimits()
    break_glass: tuple[str, ...] = ()
    sample: tuple[Sample, ...] = ()


class Grant(msgspec.Struct, frozen=True):
    """A verified, signed approval. `binding` ties it to one statement, or to `tags` on a target (see `approvals.grants`).

    `clauses` are the reviewers that were asked for: they have to be those that the policy asks for now. One for a session
    names the `rules` that it satisfies, its `limits` and the `session` that may use it.
    """

    id: str
    request: str
    identity: str
    target: str
    binding: str
    policy_digest: str
    approved_by: tuple[str, ...]
    expires_at: datetime
    uses: int
    measured: Mapping[str, int] = msgspec.field(default_factory=dict)
    token: str = ""
    clauses: tuple[ReviewClause, ...] = ()
    kind: RequestKind = RequestKind.STATEMENT
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limits: SessionLimits = SessionLimits()
    session: str = ""


class TransactionStatus(StrEnum):
    """Where the connection stands, as the server says."""

    IDLE = "idle"
    OPEN = "open"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Column(msgspec.Struct, frozen=True):
    """A result column: name and PostgreSQL type name as `format_type` writes it."""

    name: str
    type: str
    type_oid: int = 0
    masked: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How a statement ended. `status` is the command tag, `error`, `cancelled`, `rolled back`,
    `not run` or `unknown`. `changed` are the rows that the server counted as changed, by `schema.table`, where that was
    asked; None where the server does not count."""

    status: str
    rows: int = 0
    size_bytes: int = 0
    duration_ms: float = 0.0
    sqlstate: str = ""
    message: str = ""
    digest: str = ""
    truncated: bool = False
    changed: Mapping[str, int] | None = msgspec.field(default_factory=dict)
