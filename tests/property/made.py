"""Random databases: tables with odd names and many types, partitions, inheritance, views, and a random policy over them.

Each is made in three editions that hold the same rows where nothing is hidden: `a` is the one that statements run on, `b` has
other values in every hidden cell and hidden row, `m` holds the masks themselves and lacks the hidden rows. Who sees only
masks cannot tell `a` from `b`, and sees in `a` what stands in `m`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from dbgate.gate.names import quote
from dbgate.gate.policy.model import Classify, MaskMethod, Policy, RowFilter, Rule, Unmask, When
from dbgate.model import Access, RuleRef

ROWS = 9
PLACE = RuleRef("made", "made.yaml", 1)
EDITIONS = ("a", "b", "m")
_NAMES = ("person", "Team", "note", "select", "mixed Case", "ünïcode", 'qu"ote', "t", "n" * 60)
_COLUMNS = (
    "name",
    "code",
    "pay",
    "Town",
    "order",
    "größe",
    "a b",
    "value",
    "x",
    "data",
    "happened",
    "labels",
    "active",
)
_TYPES = ("text", "text", "text", "int", "int", "varchar(30)", "numeric(12,2)", "date", "jsonb", "text[]", "boolean")
_METHODS = ("redact", "redact", "null", "partial", "email")
_KEYED = ("token", "hash")


@dataclass(frozen=True)
class Column:
    """A column. `tag` is empty for one without a label; `hidden` tells that the reader sees its mask."""

    name: str
    type: str
    tag: str = ""
    hidden: bool = False
    method: str = ""

    @property
    def kind(self) -> str:
        """`int` or `text` for columns that expressions use as they are; the type for others."""
        return "text" if self.type.startswith("varchar") else self.type


@dataclass(frozen=True)
class Table:
    """A table or view; `parts` are partitions or inheriting tables, which have its columns. `where` filters its rows."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    shape: str = "plain"
    where: str = ""
    definition: str = ""

    @property
    def full(self) -> str:
        """Its qualified name."""
        return f"{quote(self.schema)}.{quote(self.name)}"


@dataclass(frozen=True)
class Made:
    """One random database."""

    number: int
    schemas: tuple[str, str]
    tables: tuple[Table, ...]
    views: tuple[Table, ...]
    policy: Policy
    keyed: bool
    extras: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"make({self.number})"

    @property
    def hides(self) -> bool:
        """Whether anything is hidden at all."""
        return any(c.hidden for t in self.tables for c in t.columns) or any(t.where for t in self.tables)


def make(number: int) -> Made:
    """The database of a number: the same one every time."""
    chance = random.Random(number)
    schemas = (f"w{number}", f"W{number} ö")
    keyed = chance.random() < 0.2
    tags = {
        tag: (chance.choice(_KEYED if keyed else _METHODS), chance.random() < 0.8)
        for tag in ("pii.a", "pii.b", "pay.c")
    }
    share = chance.choice((0.0, 0.2, 0.4, 0.8)) if number else 0.0
    names = chance.sample(_NAMES, 4)
    tables = []
    for place, name in enumerate(names):
        columns = [Column("id", "int"), Column("ref", "int"), Column("region", "text")]
        for column in chance.sample(_COLUMNS, chance.randint(3, 6)):
            tag = chance.choice(sorted(tags)) if chance.random() < share else ""
            method, hidden = tags.get(tag, ("", False))
            columns.append(Column(column, chance.choice(_TYPES), tag, hidden, method))
        if not any(c.kind == "text" for c in columns[3:]):
            columns.append(Column("words", "text", "", False, ""))
        shape = chance.choice(("plain", "plain", "plain", "partitioned", "inherited"))
        filtered = number and chance.random() < 0.25
        where = chance.choice(("region = 'EU'", "id % 2 = 0", "id IN (1, 3, 5) OR region IS NULL")) if filtered else ""
        tables.append(Table(schemas[place % 2], name, tuple(columns), shape, where))
    views = tuple(_view(chance, tables, n, schemas) for n in range(3))
    return Made(number, schemas, tuple(tables), views, _policy(number, tables, tags), keyed)


def _view(chance: random.Random, tables: list[Table], number: int, schemas: tuple[str, str]) -> Table:
    """A view over one table or two; whoever reads it reads masks."""
    table = chance.choice(tables)
    texts = [c for c in table.columns if c.kind == "text"]
    one = chance.choice(texts)
    name = f"view {number}"
    columns = (Column("id", "int"), Column("shown", "text"), Column("n", "int"))
    source = f"{table.full} AS s"
    shown = f"s.{quote(one.name)}"
    text = chance.choice(
        (
            f"SELECT s.id, {shown}::text AS shown, s.ref AS n FROM {source}",
            f"SELECT s.id, upper({shown}) AS shown, length({shown}) AS n FROM {source} WHERE {shown} IS NOT NULL",
            f"SELECT max(s.id) AS id, {shown}::text AS shown, count(*)::int AS n FROM {source} GROUP BY {shown}",
            f"SELECT s.id, o.region AS shown, o.id AS n FROM {source} LEFT JOIN {chance.choice(tables).full} AS o ON o.id = s.ref",
            f"WITH q AS (SELECT * FROM {source} WHERE {shown} > 'a') SELECT q.id, q.{quote(one.name)}::text AS shown, 1 AS n FROM q",
        )
    )
    return Table(schemas[number % 2], name, columns, "view", "", text)


def _policy(number: int, tables: list[Table], tags: dict[str, tuple[str, bool]]) -> Policy:
    classify = tuple(
        Classify((".".join(_glob(part) for part in (t.schema, t.name, c.name)),), c.tag, PLACE)
        for t in tables
        for c in t.columns
        if c.tag
    )
    return Policy(
        digest=f"made {number}",
        files=("made.yaml",),
        classify=classify,
        mask=tuple((tag, _method(method)) for tag, (method, _) in tags.items()),
        unmask=tuple(Unmask((tag,), ("staff",), PLACE) for tag, (_, hidden) in tags.items() if not hidden),
        rows=tuple(RowFilter(f"{_glob(t.schema)}.{_glob(t.name)}", t.where, PLACE) for t in tables if t.where),
        rules=(Rule(PLACE, When(access=(Access.READ, Access.WRITE)), "allow"),),
    )


def _glob(part: str) -> str:
    return "".join("?" if char in '."' else char for char in part)


def _method(name: str) -> MaskMethod:
    return MaskMethod(name, last=2) if name == "partial" else MaskMethod(name)
