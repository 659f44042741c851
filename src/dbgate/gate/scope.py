"""Scopes: which columns a name can mean at one place of a query, and which labelled columns feed them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from dbgate.catalog import CatalogRelation
from dbgate.gate.policy.model import MaskMethod
from dbgate.model import ColumnName, Tree

SYSTEM_COLUMNS = frozenset({"tableoid", "ctid", "xmin", "cmin", "xmax", "cmax"})


class Label(msgspec.Struct, frozen=True):
    """A labelled column. `hidden` tells that this identity sees only the mask.

    `exact` is false for a column that holds something made from labelled values rather than one of them.
    """

    column: ColumnName
    tag: str
    method: MaskMethod
    hidden: bool
    exact: bool = True


Labels: TypeAlias = frozenset[Label]
NONE: Labels = frozenset()


class Out(msgspec.Struct, frozen=True):
    """An output column of a query or a FROM item, and the labelled columns that feed it.

    `plain` tells that it holds the value of a labelled column as it is, not something made from it.
    """

    name: str
    labels: Labels = NONE
    plain: bool = False


class Entry(msgspec.Struct):
    """A named FROM item. `columns` is None where they cannot be known (some functions' results); `extra`
    are the labelled columns behind unknown ones.

    For a relation: `relation`, its `body` in the tree, and what the query asks of it: `system` columns and
    the names of ordinary ones (`used`), or all of them (`whole`). `target` marks the relation that a statement
    changes, `implicit` its `old` and `new` rows in RETURNING. `twin` tells that a relation of another schema stands
    beside it under the same name. `open` tells that the server would also look at columns that the catalog does not know
    (yet), `rows` how its rows are values: of `any` type, of its `own` type, which is seen, or `needed` by a function.
    `nullable` tells that an outer join may put NULL in the place of its rows.

    For the alias of a join: the entries `beneath` it, and per column what it is made of (`sources`): entries and names.
    `placed` tells that the alias names their columns by position.
    """

    name: str
    columns: tuple[Out, ...] | None
    schema: str = ""
    relation: CatalogRelation | None = None
    body: Tree | None = None
    target: bool = False
    implicit: bool = False
    twin: bool = False
    sample: Tree | None = None
    extra: Labels = NONE
    system: set[str] = msgspec.field(default_factory=set)
    used: set[str] = msgspec.field(default_factory=set)
    whole: bool = False
    open: bool = False
    rows: set[str] = msgspec.field(default_factory=set)
    nullable: bool = False
    placed: bool = False
    beneath: tuple[Entry, ...] = ()
    sources: tuple[tuple[tuple[Entry, str], ...], ...] = ()

    def use(self, name: str) -> None:
        """Note that a column is asked for."""
        self.used.add(name)
        for column, made_of in zip(self.columns or (), self.sources, strict=False):
            for source, below in made_of if column.name == name else ():
                source.use(below)

    def use_all(self, *, unknown: bool) -> None:
        """Note that all columns are asked for; `unknown`: also those that the catalog does not know."""
        self.whole, self.open = True, self.open or unknown
        for entry in self.beneath:
            # Nothing writes out what `*` or a row of a join gives: a sub-select in its place may have no other columns.
            entry.use_all(unknown=not entry.system)

    def family(self) -> Iterator[Entry]:
        """Itself and, for the alias of a join, what lies beneath it at any depth."""
        yield self
        for entry in self.beneath:
            yield from entry.family()

    def relations(self) -> Iterator[tuple[Entry, dict[str, str]]]:
        """The relations behind it, each with the names that its columns have here, by their own names."""
        if self.relation is not None:
            yield self, {c.name: out.name for c, out in zip(self.relation.columns, self.columns or (), strict=False)}
        made = list(zip(self.columns or (), self.sources, strict=False))
        for entry in self.beneath:
            here = {below: column.name for column, made_of in made for source, below in made_of if source is entry}
            for other, names in entry.relations():
                yield other, {own: here[name] for own, name in names.items() if name in here}

    def place(self) -> None:
        """Note that its columns are named by their positions: none may be missing, those that nobody asks for are empty."""
        for entry in self.family():
            entry.placed, entry.open = True, entry.open or not entry.system

    @property
    def alone(self) -> bool:
        """Whether `ONLY` leaves out the tables that inherit from it, and its partitions."""
        return self.body is not None and not self.body.get("inh")

    @property
    def renames(self) -> bool:
        """Whether the statement gives the columns other names, by their positions."""
        return bool((self.body or {}).get("alias", {}).get("colnames"))

    @property
    def asked(self) -> dict[str, str]:
        """The columns of the relation that are asked for, by their own names, with those that they have here."""
        own = self.relation.columns if self.relation is not None else ()
        pairs = zip(own, self.columns or (), strict=False)
        return {column.name: out.name for column, out in pairs if self.whole or out.name in self.used}

    @property
    def shown(self) -> dict[str, str] | None:
        """The columns of the relation that a sub-select in its place has, like `asked`; None for all, under their own names."""
        if self.whole or not self.placed or self.relation is None:
            return None if self.whole else self.asked
        return {c.name: out.name for c, out in zip(self.relation.columns, self.columns or (), strict=False)}

    @property
    def shows_unknown(self) -> bool:
        """Whether the statement, sent as it is, would show a column that was added since the catalog was read."""
        return "needed" not in self.rows and (self.open or self.rows == {"any"})

    @property
    def sent_name(self) -> str:
        """The name that a sub-select in its place gets: its own, unless a twin has that."""
        return f"{self.schema}.{self.name}" if self.twin else self.name

    def find(self, name: str) -> Out | None:
        """The column of that name."""
        for column in self.columns or ():
            if column.name == name:
                return column
        return None

    @property
    def labels(self) -> Labels:
        """The labelled columns behind all columns."""
        return self.extra | union(c.labels for c in self.columns or ())


class Item(msgspec.Struct):
    """One element of a FROM list: the entries that can be named, and the columns that `*` gives.

    `join` holds the two sides of a join without an alias, and the names that USING or NATURAL merged.
    """

    entries: list[Entry]
    columns: tuple[Out, ...] | None
    join: tuple[Item, Item, tuple[str, ...]] | None = None

    @property
    def labels(self) -> Labels:
        """The labelled columns behind all columns of its entries."""
        return union(entry.labels for entry in self.entries)


class Scope(msgspec.Struct):
    """What can be named at one query level. `parent` is the level outside."""

    items: list[Item] = msgspec.field(default_factory=list)
    parent: Scope | None = None

    def entries(self) -> Iterator[Entry]:
        """All named FROM items of this level."""
        for item in self.items:
            yield from item.entries

    def levels(self) -> Iterator[Scope]:
        """This level and those outside, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def entry(self, name: str, schema: str = "") -> Entry | None:
        """The FROM item that a qualifier names, in the innermost level that has it."""
        for level in self.levels():
            for item in level.items:
                for entry in item.entries:
                    if entry.name == name and (not schema or entry.schema == schema):
                        return entry
        return None

    def columns_named(self, name: str) -> list[Out] | None:
        """The columns that a bare name can mean, in the innermost level that has any; None if none has."""
        for level in self.levels():
            found = [c for item in level.items for c in item.columns or () if c.name == name]
            if found:
                return found
        return None

    @property
    def unknown(self) -> Labels:
        """The labelled columns that may stand behind a name that no known column has."""
        return union(entry.extra for level in self.levels() for entry in level.entries())


def union(many: Iterable[Labels]) -> Labels:
    """The union of label sets; fast where most are empty."""
    result = NONE
    for labels in many:
        if labels:
            result = result | labels
    return result


def sources(item: Item) -> Iterator[tuple[tuple[Entry, str], ...]]:
    """What each column of a FROM item is made of: entries and their columns, several where a join merges them."""
    if item.join is None:
        entry = item.entries[0]
        yield from (((entry, column.name),) for column in entry.columns or ())
        return
    left, right, merged = item.join
    made = [
        (c.name, found) for side in (left, right) for c, found in zip(side.columns or (), sources(side), strict=False)
    ]
    for name in merged:
        yield tuple(source for other, found in made if other == name for source in found)
    yield from (found for name, found in made if name not in merged)


def mark_twins(scope: Scope) -> None:
    """Mark relations without an alias that share their name with another item: `FROM a.t, b.t`."""
    seen: dict[str, Entry] = {}
    for entry in scope.entries():
        other = seen.setdefault(entry.name, entry)
        if other is not entry:
            for twin in (entry, other):
                twin.twin = twin.relation is not None and bool(twin.schema) and not twin.target
