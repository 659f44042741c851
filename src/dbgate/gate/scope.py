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
        return next((c for c in self.columns or () if c.name == name), None)

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
            for entry in level.entries():
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


def mark_twins(scope: Scope) -> None:
    """Mark relations without an alias that share their name with another item: `FROM a.t, b.t`."""
    seen: dict[str, Entry] = {}
    for entry in scope.entries():
        other = seen.setdefault(entry.name, entry)
        if other is not entry:
            for twin in (entry, other):
                twin.twin = twin.relation is not None and bool(twin.schema) and not twin.target
