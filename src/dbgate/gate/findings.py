"""What the analysis of one statement finds, and the common table expressions that it knows."""

from __future__ import annotations

import msgspec

from dbgate.gate.scope import Entry, Item, Label, Out, Scope
from dbgate.model import Tree

Columns = tuple[Out, ...] | None
"""Output columns; None when they cannot be known."""


class Cte:
    """A common table expression, analysed when it is first named."""

    def __init__(self, name: str, body: Tree, ctes: Ctes, parent: Scope | None) -> None:
        self.name = name
        self.body = body
        self.ctes = ctes
        self.parent = parent
        self.columns: Columns = None
        self.state = "new"


class Ctes:
    """The common table expressions that can be named at one place; inner ones hide outer ones."""

    def __init__(self, outer: Ctes | None = None) -> None:
        self.outer = outer
        self.names: dict[str, Cte] = {}

    def find(self, name: str) -> Cte | None:
        """The expression of that name."""
        ctes: Ctes | None = self
        while ctes is not None:
            if name in ctes.names:
                return ctes.names[name]
            ctes = ctes.outer
        return None


class Reference(msgspec.Struct, frozen=True):
    """A node that names columns of an entry: one `column`, or all of them (`column` empty).

    `parts` is the number of name parts; `target` the item of a RETURNING list that it stands in.
    """

    body: Tree
    entry: Entry
    column: str
    parts: int
    target: Tree | None = None


class Star(msgspec.Struct, frozen=True):
    """A `*` or `name.*`: the FROM items that it stands for, or the one entry."""

    body: Tree
    items: tuple[Item, ...]
    entry: Entry | None = None

    def entries(self) -> list[Entry]:
        """The entries whose columns it gives."""
        if self.entry is not None:
            return [self.entry]
        return [e for item in self.items for e in item.entries if not e.implicit]


class Findings(msgspec.Struct):
    """What the analysis of one statement found.

    `targets` are the relations that it changes, each with its verb; `further` what ON CONFLICT and MERGE do beside.
    `write_reads` are labelled columns whose real or masked values decide what a write does, `cte_reads` those that a WITH
    reads, which a write may name: they stand among `outputs` and `predicates` too. `assigned_names` are the columns
    that it sets, by the OID of their relation, `inserted_names` those that new rows get (`*`: no names are given). `rows` are
    whole rows of their relation's type that it names, `records` others. `multiplies` are labelled columns whose values
    decide how many rows a function gives. `analyze` tells that EXPLAIN runs it. `setting_calls` are calls of `current_setting`
    with a column.
    """

    reads: list[Entry] = msgspec.field(default_factory=list)
    targets: list[tuple[str, Entry]] = msgspec.field(default_factory=list)
    further: list[tuple[str, Entry]] = msgspec.field(default_factory=list)
    locks: list[Entry] = msgspec.field(default_factory=list)
    predicates: set[Label] = msgspec.field(default_factory=set)
    multiplies: set[Label] = msgspec.field(default_factory=set)
    outputs: set[Label] = msgspec.field(default_factory=set)
    write_reads: set[Label] = msgspec.field(default_factory=set)
    cte_reads: set[Label] = msgspec.field(default_factory=set)
    assigned: set[Label] = msgspec.field(default_factory=set)
    sensitive: dict[int, Tree] = msgspec.field(default_factory=dict)
    carried: list[Tree] = msgspec.field(default_factory=list)
    derived_met: bool = False
    returning: list[Reference] = msgspec.field(default_factory=list)
    long_names: list[Reference] = msgspec.field(default_factory=list)
    targets_of: dict[int, Tree] = msgspec.field(default_factory=dict)
    rows: list[Reference] = msgspec.field(default_factory=list)
    records: list[Reference] = msgspec.field(default_factory=list)
    stars: list[Star] = msgspec.field(default_factory=list)
    groups: list[tuple[Tree, Scope]] = msgspec.field(default_factory=list)
    filters: list[tuple[str, Tree, Entry]] = msgspec.field(default_factory=list)
    dotted: list[str] = msgspec.field(default_factory=list)
    columns: Columns = ()
    analyze: bool = False
    setting_calls: dict[int, Tree] = msgspec.field(default_factory=dict)
    assigned_names: dict[int, set[str]] = msgspec.field(default_factory=dict)
    inserted_names: dict[int, set[str]] = msgspec.field(default_factory=dict)

    def masked_constants(self) -> list[Tree]:
        """The constants and parameters that are recorded masked: they meet, or may meet, a labelled column.

        Those of sub-selects and VALUES (`carried`) count where a labelled column meets anything derived.
        """
        if not self.derived_met:
            return list(self.sensitive.values())
        return list((self.sensitive | {id(body): body for body in self.carried}).values())


def labels_met(found: Findings) -> set[Label]:
    """The labelled columns that a statement reads, compares or writes, hidden or in clear."""
    return found.outputs | found.predicates | found.write_reads | found.assigned


def guessed(found: Findings) -> tuple[str, ...]:
    """The hidden columns that a statement writes values to."""
    return tuple(sorted({str(label.column) for label in found.assigned if label.hidden}))
