"""One SQL statement: what it is, what it touches, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from dbgate.model.values import Json, Tree


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
