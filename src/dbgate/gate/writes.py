"""Data-changing statements: what they change, what they read for it, what RETURNING shows.

A changed relation cannot be a sub-select: its values stand in the statement in clear. Every reference to one of its
labelled columns is noted: in RETURNING it is masked in place, anywhere else the write is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dbgate.gate.findings import Columns, Ctes, Findings
from dbgate.gate.names import kind_of
from dbgate.gate.relations import Schema
from dbgate.gate.scope import Entry, Item, Labels, Out, Scope, union
from dbgate.model import Tree


class Writes:
    """The part of the analysis that reads INSERT, UPDATE, DELETE and MERGE. Mixed into `Analysis`."""

    schema: Schema
    found: Findings
    _returning: int
    _writing: int

    if TYPE_CHECKING:

        def query(self, body: Tree, parent: Scope | None, ctes: Ctes | None, *, named: bool = False) -> Columns: ...
        def from_item(self, node: Tree, scope: Scope, ctes: Ctes | None) -> Item: ...
        def expression(self, node: Any, scope: Scope, ctes: Ctes | None) -> Labels: ...
        def relation_entry(self, body: Tree, *, target: bool = False) -> Entry: ...
        def mark(self, constants: Iterable[Tree]) -> None: ...
        def _expressions(self, nodes: Iterable[Any], scope: Scope, ctes: Ctes | None) -> Labels: ...
        def _targets(
            self, nodes: Sequence[Tree], scope: Scope, ctes: Ctes | None, *, named: bool = False
        ) -> Columns: ...
        def _use(self, labels: Labels, *, predicate: bool) -> None: ...

    def target_entry(self, verb: str, body: Tree) -> Entry:
        """The entry of the relation that a statement changes."""
        entry = self.relation_entry(body, target=True)
        if all(known is not entry for _, known in self.found.targets):
            self.found.targets.append((verb, entry))
        return entry

    def _update(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Scope:
        entry = self.target_entry("update", body["relation"])
        scope = Scope([Item([entry], entry.columns)], parent)
        for node in body.get("fromClause", ()):
            scope.items.append(self.from_item(node, scope, ctes))
        self._assignments(body.get("targetList", ()), entry, scope, ctes)
        self._write_filter(body, entry, scope, ctes)
        return scope

    def _delete(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Scope:
        entry = self.target_entry("delete", body["relation"])
        scope = Scope([Item([entry], entry.columns)], parent)
        for node in body.get("usingClause", ()):
            scope.items.append(self.from_item(node, scope, ctes))
        self._write_filter(body, entry, scope, ctes)
        return scope

    def _write_filter(self, body: Tree, entry: Entry, scope: Scope, ctes: Ctes | None) -> None:
        self.found.filters.append(("where", body, entry))
        self._use(self._expressions((body.get("whereClause"),), scope, ctes), predicate=True)

    def _insert(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Scope:
        entry = self.target_entry("insert", body["relation"])
        names = [node["ResTarget"]["name"] for node in body.get("cols", ())]
        columns = [entry.find(n) for n in names] if names else list(entry.columns or ())
        select = body.get("selectStmt", {}).get("SelectStmt")
        if select is not None:
            if "valuesLists" in select:
                for row in select["valuesLists"]:
                    self._mark_positions(row["List"].get("items", ()), columns)
            else:
                self._mark_positions([n["ResTarget"].get("val") for n in select.get("targetList", ())], columns)
                # Constants may come from anywhere inside: other arms of a UNION, sub-selects.
                self.found.derived_met |= any(c is not None and bool(c.labels) for c in columns)
            outputs = self.query(select, parent, ctes)
            self._use(union(c.labels for c in outputs or ()), predicate=False)
            filled = columns if outputs is None else columns[: len(outputs)]
            self.found.assigned |= union(c.labels for c in filled if c is not None)
        self._note_inserted(entry, names)
        scope = Scope([Item([entry], entry.columns)], parent)
        conflict = body.get("onConflictClause")
        if conflict:
            self._conflict(conflict, body, entry, scope, ctes)
        return scope

    def _note_inserted(self, entry: Entry, names: Sequence[str]) -> None:
        oid = entry.relation.oid if entry.relation else 0
        self.found.inserted_names.setdefault(oid, set()).update(names or ("*",))

    def _conflict(self, conflict: Tree, body: Tree, entry: Entry, scope: Scope, ctes: Ctes | None) -> None:
        if conflict.get("action") == "ONCONFLICT_UPDATE":
            self.found.filters.append(("INSERT ON CONFLICT DO UPDATE", body, entry))
            self.found.further.append(("update", entry))
            self._use(self._arbiters(conflict.get("infer", {}), entry), predicate=True)
        plain = tuple(Out(c.name) for c in entry.columns or ())
        inner = Scope([*scope.items, Item([Entry("excluded", plain)], ())], scope.parent)
        self._assignments(conflict.get("targetList", ()), entry, inner, ctes)
        self._use(self._expressions((conflict.get("whereClause"),), inner, ctes), predicate=True)
        infer = conflict.get("infer", {})
        for node in infer.get("indexElems", ()):
            self._use(self._expressions((node["IndexElem"].get("expr"),), scope, ctes), predicate=True)
        self._use(self._expressions((infer.get("whereClause"),), scope, ctes), predicate=True)

    def _arbiters(self, infer: Tree, entry: Entry) -> Labels:
        """The labelled columns by whose equal values DO UPDATE chooses the row that it changes."""
        names = {node["IndexElem"].get("name", "") for node in infer.get("indexElems", ())}
        oid = entry.relation.oid if entry.relation else 0
        if infer.get("conname"):
            chosen = [c for c in self.schema.constraints.get(oid, ()) if c.name == infer["conname"]]
            numbers = {n for constraint in chosen for n in constraint.columns}
            columns = entry.relation.columns if entry.relation else ()
            names |= {c.name for c in columns if c.number in numbers or not chosen}
        return union(c.labels for n in names if (c := entry.find(n)) is not None)

    def _merge(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Scope:
        entry = self.target_entry("merge", body["relation"])
        own = Item([entry], entry.columns)
        source = self.from_item(body["sourceRelation"], Scope(parent=parent), ctes)
        scope = Scope([own, source], parent)
        self.found.filters.append(("MERGE", body, entry))
        self._use(self._expressions((body.get("joinCondition"),), scope, ctes), predicate=True)
        for node in body.get("mergeWhenClauses", ()):
            clause = node["MergeWhenClause"]
            verb = clause.get("commandType", "").removeprefix("CMD_").lower()
            if verb != "nothing" and (verb, entry) not in self.found.further:
                self.found.further.append((verb, entry))
            self._use(self._expressions((clause.get("condition"),), scope, ctes), predicate=True)
            if verb == "insert":
                names = [t["ResTarget"].get("name", "") for t in clause.get("targetList", ())]
                columns = [entry.find(n) for n in names] if any(names) else list(entry.columns or ())
                self._note_inserted(entry, [name for name in names if name])
                self._mark_positions(clause.get("values", ()), columns)
                self._use(self._expressions(clause.get("values", ()), scope, ctes), predicate=False)
            else:
                self._assignments(clause.get("targetList", ()), entry, scope, ctes)
        # In RETURNING, `*` gives the source's columns first.
        return Scope([source, own], parent)

    def _assignments(self, nodes: Sequence[Tree], entry: Entry, scope: Scope, ctes: Ctes | None) -> None:
        """The items of SET. Constants that are assigned to a labelled column are recorded masked."""
        _share_sources(nodes)
        oid = entry.relation.oid if entry.relation else 0
        for node in nodes:
            target = node["ResTarget"]
            self.found.assigned_names.setdefault(oid, set()).add(target.get("name", ""))
            labels = self.expression(target.get("val"), scope, ctes)
            self._use(labels, predicate=False)
            self._mark_positions([target.get("val")], [entry.find(target.get("name", ""))])
            for index in target.get("indirection", ()):
                self._use(self.expression(index, scope, ctes), predicate=False)

    def _mark_positions(self, values: Sequence[Any], columns: Sequence[Out | None]) -> None:
        for value, column in zip(values, columns, strict=False):
            if column is not None and column.labels:
                self.found.assigned |= column.labels
                constants = list(constants_in(value))
                self.mark(constants)
                self.found.derived_met |= kind_of(value)[0] not in {"A_Const", "ParamRef"}

    def _returning_list(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Columns:
        if not body.get("returningList"):
            return ()
        target = next(entry for entry in scope.entries() if entry.target)
        for name in ("old", "new"):  # PostgreSQL 18
            if all(entry.name != name for entry in scope.entries()):
                alias = Entry(name, target.columns, relation=target.relation, target=True, implicit=True)
                scope.items.append(Item([alias], ()))
        self._returning += 1
        writing, self._writing = self._writing, 0
        try:
            return self._targets(body["returningList"], scope, ctes)
        finally:
            self._returning -= 1
            self._writing = writing


def _share_sources(nodes: Sequence[Tree]) -> None:
    """`SET (a, b) = (SELECT …)`: the tree repeats the source for every column; make it one again."""
    known: dict[str, Any] = {}
    for node in nodes:
        assigned = node["ResTarget"].get("val", {}).get("MultiAssignRef")
        if assigned is None:
            continue
        if assigned.get("colno") == 1:
            known = assigned["source"]
        else:
            assigned["source"] = known


def constants_in(node: Any) -> Iterable[Tree]:
    """The bodies of all constants and parameters below a node."""
    todo = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            kind, body = kind_of(current)
            if kind in {"A_Const", "ParamRef"}:
                yield body
            else:
                todo += [v for v in current.values() if isinstance(v, dict | list)]
