"""What the names of columns mean: bare and qualified ones, `*`, whole rows, `(row).column`.

The names are found as the server finds them, level by level. Where the columns of a FROM item cannot be known, a name may
stand for one of them or for a column outside: both are noted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dbgate.errors import StatementError
from dbgate.gate.allow.functions import safe
from dbgate.gate.findings import Columns, Ctes, Findings, Reference, Star
from dbgate.gate.missing import MissingEntry
from dbgate.gate.names import kind_of, strings
from dbgate.gate.relations import Schema
from dbgate.gate.scope import NONE, SYSTEM_COLUMNS, Entry, Labels, Out, Scope, union
from dbgate.model import Tree

_TAKES_ANY_ROW = frozenset("row_to_json to_json to_jsonb json_agg jsonb_agg count num_nulls num_nonnulls".split())
"""Functions that take a row of any type: they need no relation's own row type."""


class ColumnNames:
    """The part of the analysis that resolves columns. Mixed into `Analysis`."""

    schema: Schema
    found: Findings
    _returning: int
    _derived: int
    _target: Tree | None
    _row_kinds: dict[int, str]

    if TYPE_CHECKING:

        def expression(self, node: Any, scope: Scope, ctes: Ctes | None) -> Labels: ...
        def _expressions(self, nodes: Iterable[Any], scope: Scope, ctes: Ctes | None) -> Labels: ...

    def _star(self, body: Tree, scope: Scope, *, listed: bool = True) -> Columns:
        """The columns of `*` or `name.*`; `listed` in a target list, not as a value in an expression."""
        names = strings(body["fields"])
        if not names:
            self.found.stars.append(Star(body, tuple(scope.items)))
            for entry in scope.entries():
                if not entry.implicit:
                    entry.use_all(unknown=listed)
            if any(item.columns is None for item in scope.items):
                return None
            return tuple(c for item in scope.items for c in item.columns or ())
        entry = self._entry(names, scope, body)
        entry.use_all(unknown=listed)
        self._note_target(body, entry, "", 0)
        self.found.stars.append(Star(body, (), entry))
        if len(names) > 1:
            self.found.long_names.append(Reference(body, entry, "", len(names) + 1))
        return entry.columns

    def _indirection(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Labels:
        """`(row).column`, `(row).*`, `array[1]`."""
        first = body["indirection"][0]
        kind, column = kind_of(body.get("arg"))
        if "A_Star" in first:
            self._row_kinds[id(column)] = "any"
        if kind == "ColumnRef" and "String" in first:
            names = strings(column["fields"])
            entry = scope.entry(names[-1]) if len(names) == 1 and not scope.columns_named(names[0]) else None
            if entry is not None:
                entry.use_all(unknown=False)
                self._note_target(column, entry, "", 1)
                names = strings(body["indirection"])
                found = entry.find(names[0])
                self._unknown(entry, names[0], known=found is not None)
                self.found.dotted += names if found is None else names[1:]
                return found.labels if found else entry.labels
        self.found.dotted += [n["String"]["sval"] for n in body["indirection"] if "String" in n]
        labels = self.expression(body.get("arg"), scope, ctes)
        return labels | self._expressions([n for n in body["indirection"] if "A_Indices" in n], scope, ctes)

    def _column(self, body: Tree, scope: Scope) -> Labels:
        fields = body["fields"]
        names = strings(fields)
        if "A_Star" in fields[-1]:
            columns = self._star(body, scope, listed=False)
            for entry in self.found.stars[-1].entries():
                entry.rows.add(self._row_kind(body))
                if names:
                    needed = self._row_kind(body) == "needed"  # elsewhere `*` may be written out
                    self._note_row(Reference(body, entry, "", len(names) + 1), typed=needed)
            return union(c.labels for c in columns or ())
        if len(names) == 1:
            return self._bare_column(body, names[0], scope)
        entry = self._entry(names[:-1], scope, body)
        name = names[-1]
        if len(names) > 2:
            self.found.long_names.append(Reference(body, entry, name, len(names)))
        return self._column_of(body, entry, name, len(names))

    def _column_of(self, body: Tree, entry: Entry, name: str, parts: int) -> Labels:
        if name in SYSTEM_COLUMNS and entry.relation is not None and entry.find(name) is None:
            entry.system.add(name)
            return NONE
        self._derived += entry.relation is None
        found = entry.find(name)
        if found is None:  # `row.function`, or a column that nobody knows
            if entry.target and name not in self.schema.functions and name not in safe():
                raise _no_column(name, body)
            self.found.dotted.append(name)
            entry.use_all(unknown=False)
            self._unknown(entry, name)
            self._note_target(body, entry, "", parts)
            return entry.labels
        entry.use(name)
        self._note_target(body, entry, name, parts)
        return found.labels

    def _bare_column(self, body: Tree, name: str, scope: Scope) -> Labels:
        unknown = NONE
        for level in scope.levels():
            hits = [(e, c) for e in level.entries() if (c := e.find(name)) is not None]
            merged = [c for item in level.items for c in item.columns or () if c.name == name]
            if hits or merged:
                labels = unknown | union(c.labels for c in merged)
                for entry, column in hits:
                    entry.use(name)
                    self._derived += entry.relation is None
                    self._note_target(body, entry, name, 1)
                    labels = labels | column.labels
                return labels
            if name in SYSTEM_COLUMNS:
                owner = next((e for e in level.entries() if e.relation is not None), None)
                if owner is not None:
                    owner.system.add(name)
                    return NONE
            unknown = unknown | union(e.extra for e in level.entries() if e.columns is None)
        row = scope.entry(name)
        entries = [row] if row is not None else [e for level in scope.levels() for e in level.entries()]
        if row is None and any(e.target for e in entries) and all(e.columns is not None for e in entries):
            raise _no_column(name, body)
        for entry in entries:
            entry.use_all(unknown=row is None)
            if row is not None:
                entry.rows.add(self._row_kind(body))
                typed = self._row_kind(body) != "any" or entry.renames
                self._note_row(Reference(body, entry, "", 1), typed=typed)
        self._derived += 1
        if row is not None:
            self._note_target(body, row, "", 1)
            return row.labels | unknown
        return scope.unknown

    def _rows_of_call(self, body: Tree) -> None:
        """Note which arguments of a function would be rows of any type or of a relation's own, and settings named by columns."""
        name = strings(body["funcname"])[-1]
        arguments = {id(kind_of(argument)[1]) for argument in body.get("args", ())}
        if name == "current_setting" and _is_column(body.get("args", ())):
            self.found.setting_calls[id(body)] = body
        if name in self.schema.functions:
            self._row_kinds |= dict.fromkeys(arguments, "needed")
        elif name in _TAKES_ANY_ROW:
            self._row_kinds |= dict.fromkeys(arguments, "any")

    def _note_row(self, reference: Reference, *, typed: bool) -> None:
        """Note a whole row that is a value; `typed` where it has to be of its relation's type."""
        (self.found.rows if typed else self.found.records).append(reference)

    def _row_kind(self, body: Tree) -> str:
        """Which type a row has to have where a node names it."""
        return self._row_kinds.get(id(body), "own")

    def _unknown(self, entry: Entry, name: str, *, known: bool = False) -> None:
        """Note `row.name`: a function of the relation's row type, or a column that the catalog does not know."""
        if known:
            return
        if name in self.schema.functions:
            entry.rows.add("needed")
        else:
            entry.open = True

    def _entry(self, names: Sequence[str], scope: Scope, body: Tree) -> Entry:
        entry = scope.entry(names[-1], names[-2] if len(names) > 1 else "")
        if entry is None:
            raise MissingEntry(names[-1], int(body.get("location", -1)))
        return entry

    def _note_target(self, body: Tree, entry: Entry, column: str, parts: int) -> None:
        """Note a reference to the changed relation, whose values stand there in clear.

        In RETURNING it is masked in place; anywhere else the write reads it.
        """
        if not entry.target:
            return
        if self._returning:
            if parts:  # a star is written out instead
                self.found.returning.append(Reference(body, entry, column, parts, self._target))
            return
        found = entry.find(column) if column else None
        self.found.write_reads |= found.labels if found is not None else entry.labels


def _is_column(arguments: Sequence[Tree]) -> bool:
    """Whether the first argument of a call is a plain column."""
    kind, body = kind_of(arguments[0]) if arguments else ("", {})
    return kind == "ColumnRef" and "A_Star" not in body["fields"][-1]


def _no_column(name: str, body: Tree) -> StatementError:
    """The error for a column of a changed relation that the catalog does not know: nothing can stand in its place."""
    position = int(body.get("location", -1)) + 1
    return StatementError(f'column "{name}" does not exist', sqlstate="42703", position=position)


def named_columns(node: Any, scope: Scope) -> Sequence[Out]:
    """The columns of known FROM items that an expression names, if it is no more than that, not a row nor `row.function`."""
    kind, body = kind_of(node)
    if kind != "ColumnRef" or "A_Star" in body["fields"][-1]:
        return ()
    names = strings(body["fields"])
    if len(names) == 1:
        return scope.columns_named(names[0]) or ()
    entry = scope.entry(names[-2], names[-3] if len(names) > 2 else "")
    column = entry.find(names[-1]) if entry is not None else None
    return () if column is None else (column,)
