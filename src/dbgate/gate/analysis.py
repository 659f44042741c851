"""Who reads what: resolve every name of a query and follow labelled columns through it.

Works on PostgreSQL's own parse tree, so that it covers whatever the grammar covers. What it finds is used in
three ways: relations that are read become masked sub-selects (`substitute.py`), statements that write are refused
when they read a hidden column, and the record says which labelled columns a result carries.
Safety of reads does not hang on it: masking happens at the source. Where a name cannot be resolved, it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dbgate.errors import StatementError
from dbgate.gate.from_items import FromItems
from dbgate.gate.names import kind_of, output_name, strings
from dbgate.gate.relations import Schema
from dbgate.gate.scope import NONE, SYSTEM_COLUMNS, Entry, Item, Label, Labels, Out, Scope, union
from dbgate.model import Tree

Columns = tuple[Out, ...] | None
"""Output columns; None when they cannot be known."""

_DML = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_SCALAR = (str, int, float, bool)


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


@dataclass(frozen=True, slots=True)
class Reference:
    """A node that names columns of an entry: one `column`, or all of them (`column` empty).

    `parts` is the number of name parts; `scope` is where it stands.
    """

    body: Tree
    entry: Entry
    column: str
    parts: int


@dataclass(slots=True)
class Findings:
    """What the analysis of one statement found."""

    reads: list[Entry] = field(default_factory=list)
    targets: list[tuple[str, Entry]] = field(default_factory=list)
    locks: list[Entry] = field(default_factory=list)
    predicates: set[Label] = field(default_factory=set)
    outputs: set[Label] = field(default_factory=set)
    write_reads: set[Label] = field(default_factory=set)
    cte_reads: set[Label] = field(default_factory=set)
    assigned: set[Label] = field(default_factory=set)
    sensitive: dict[int, Tree] = field(default_factory=dict)
    returning: list[Reference] = field(default_factory=list)
    long_names: list[Reference] = field(default_factory=list)
    targets_of: dict[int, Tree] = field(default_factory=dict)
    stars: list[tuple[Tree, tuple[Entry, ...]]] = field(default_factory=list)
    groups: list[tuple[Tree, Scope]] = field(default_factory=list)
    filters: list[tuple[str, Tree, Entry]] = field(default_factory=list)
    dotted: list[str] = field(default_factory=list)
    columns: Columns = ()


class Analysis(FromItems):
    """The walk over one statement. `labels` maps a relation's OID to its labelled columns by name."""

    def __init__(self, schema: Schema, labels: Mapping[int, Mapping[str, Labels]], search_path: Sequence[str]) -> None:
        self.schema = schema
        self.labels = labels
        self.search_path = search_path
        self.found = Findings()
        self._entries: dict[int, Entry] = {}
        self._writing = 0
        self._returning = 0
        self._in_cte = 0
        self._constants: list[Tree] = []

    # -- statements ------------------------------------------------------------------------------------------

    def statement(self, kind: str, body: Tree, parent: Scope | None = None, ctes: Ctes | None = None) -> Columns:
        """Analyse a query or a data-changing statement; return its output columns."""
        if kind == "SelectStmt":
            return self.query(body, parent, ctes)
        inner = self._with(body.get("withClause"), parent, ctes)
        self._writing += 1
        try:
            scope = getattr(self, f"_{kind.removesuffix('Stmt').lower()}")(body, parent, inner)
        finally:
            self._writing -= 1
        return self._returning_list(body, scope)

    def query(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Columns:
        """Analyse a SELECT, VALUES or set operation; return its output columns."""
        inner = self._with(body.get("withClause"), parent, ctes)
        if body.get("op", "SETOP_NONE") != "SETOP_NONE":
            return self._set_operation(body, parent, inner)
        if "valuesLists" in body:
            columns = self._values(body, Scope(parent=parent), inner)
            self._tail(body, Scope([Item([], columns)], parent), inner)
            return columns
        scope = Scope(parent=parent)
        for node in body.get("fromClause", ()):
            scope.items.append(self.from_item(node, scope, inner))
        self._use(self._expressions((body.get("whereClause"),), scope, inner), predicate=True)
        columns = self._targets(body.get("targetList", ()), scope, inner)
        self._tail(body, scope, inner, columns)
        if body.get("groupClause"):
            self.found.groups.append((body, scope))
        for lock in body.get("lockingClause", ()):
            self._lock(lock["LockingClause"], scope)
        return columns

    def _tail(self, body: Tree, scope: Scope, ctes: Ctes | None, outputs: Columns = ()) -> None:
        """GROUP BY, HAVING, WINDOW, DISTINCT ON, ORDER BY, LIMIT."""
        names = {c.name: c.labels for c in outputs or ()}
        for clause in ("groupClause", "sortClause", "distinctClause"):
            for node in body.get(clause, ()):
                self._use(self._sort_key(node, scope, ctes, names, outputs or ()), predicate=True)
        for clause in ("havingClause", "windowClause", "limitOffset", "limitCount"):
            value = body.get(clause)
            nodes = value if isinstance(value, list) else (value,)
            self._use(self._expressions(nodes, scope, ctes), predicate=True)
        if body.get("distinctClause") and outputs and not _has_columns(body["distinctClause"]):
            self._use(union(c.labels for c in outputs), predicate=True)

    def _sort_key(
        self, node: Tree, scope: Scope, ctes: Ctes | None, names: Mapping[str, Labels], outputs: Sequence[Out]
    ) -> Labels:
        """A key of ORDER BY, GROUP BY or DISTINCT ON, which may name an output column or its position."""
        kind, body = kind_of(node)
        inner = body.get("node", {}) if kind == "SortBy" else node
        kind, body = kind_of(inner)
        if kind == "A_Const" and "ival" in body:
            position = body["ival"].get("ival", 0)
            return outputs[position - 1].labels if 0 < position <= len(outputs) else NONE
        if kind == "ColumnRef" and len(body["fields"]) == 1:
            name = strings(body["fields"])
            if name and name[0] in names:
                known = scope.columns_named(name[0])
                here = self.expression(inner, scope, ctes) if known else NONE
                return names[name[0]] | here
        return self.expression(inner, scope, ctes)

    def _set_operation(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Columns:
        left = self.query(_bare(body["larg"]), parent, ctes)
        right = self.query(_bare(body["rarg"]), parent, ctes)
        columns = merge(left, right)
        if not body.get("all") and columns:
            self._use(union(c.labels for c in columns), predicate=True)
        self._tail(body, Scope([Item([], columns)], parent), ctes, columns)
        return columns

    def _values(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Columns:
        rows = [
            [self.expression(node, scope, ctes) for node in row["List"].get("items", ())] for row in body["valuesLists"]
        ]
        width = max((len(row) for row in rows), default=0)
        return tuple(Out(f"column{i + 1}", union(r[i] for r in rows if i < len(r))) for i in range(width))

    def _targets(self, nodes: Sequence[Tree], scope: Scope, ctes: Ctes | None) -> Columns:
        columns: list[Out] = []
        known = True
        for node in nodes:
            target = node["ResTarget"]
            kind, body = kind_of(target.get("val"))
            self.found.targets_of[id(body)] = target
            if kind == "ColumnRef" and "A_Star" in body["fields"][-1]:
                expanded = self._star(body, scope)
                known = known and expanded is not None
                columns += expanded or ()
                self._use(union(c.labels for c in expanded or ()), predicate=False)
                continue
            labels = self.expression(target.get("val"), scope, ctes)
            self._use(labels, predicate=False)
            columns.append(Out(output_name(target), labels))
        return tuple(columns) if known else None

    def _star(self, body: Tree, scope: Scope) -> Columns:
        """The columns of `*` or `name.*`."""
        names = strings(body["fields"])
        if not names:
            self.found.stars.append((body, tuple(e for e in scope.entries() if not e.implicit)))
            for entry in scope.entries():
                entry.whole = True
            if any(item.columns is None for item in scope.items):
                return None
            return tuple(c for item in scope.items for c in item.columns or ())
        entry = self._entry(names, scope, body)
        entry.whole = True
        self.found.stars.append((body, (entry,)))
        if len(names) > 1:
            self.found.long_names.append(Reference(body, entry, "", len(names) + 1))
        return entry.columns

    # -- WITH ------------------------------------------------------------------------------------------------

    def _with(self, clause: Tree | None, parent: Scope | None, outer: Ctes | None) -> Ctes | None:
        if not clause:
            return outer
        recursive = bool(clause.get("recursive"))
        ctes = Ctes(outer)
        made: list[Cte] = []
        for node in clause["ctes"]:
            body = node["CommonTableExpr"]
            # Without RECURSIVE an expression sees only those before it.
            sees = ctes if recursive else _copy(ctes)
            made.append(Cte(body["ctename"], body, sees, parent))
            if recursive:
                ctes.names[body["ctename"]] = made[-1]
            else:
                sees_next = Ctes(outer)
                sees_next.names = {**ctes.names, body["ctename"]: made[-1]}
                ctes = sees_next
        for cte in made:
            self.cte_columns(cte)
        return ctes

    def cte_columns(self, cte: Cte) -> Columns:
        """The output columns of a common table expression; while it is being analysed, those of its first part."""
        if cte.state == "new":
            cte.state = "busy"
            self._in_cte += 1
            try:
                kind, body = kind_of(cte.body["ctequery"])
                rounds = 1
                if cte.ctes.find(cte.name) is cte and body.get("op", "SETOP_NONE") != "SETOP_NONE":
                    rounds = 2  # the second round carries labels around the recursion
                    cte.columns = self._named(cte, self.query(_bare(body["larg"]), cte.parent, cte.ctes))
                for _ in range(rounds):
                    cte.columns = self._named(cte, self.statement(kind, body, cte.parent, cte.ctes))
            finally:
                self._in_cte -= 1
            cte.state = "done"
        return cte.columns

    def _named(self, cte: Cte, columns: Columns) -> Columns:
        names = strings(cte.body.get("aliascolnames", ()))
        columns = rename(columns, names)
        extra = [cte.body.get(key, {}) for key in ("search_clause", "cycle_clause")]
        added = [
            Out(name)
            for clause in extra
            for name in (
                clause.get("search_seq_column"),
                clause.get("cycle_mark_column"),
                clause.get("cycle_path_column"),
            )
            if name
        ]
        return (*columns, *added) if columns is not None else None

    # -- data-changing statements ----------------------------------------------------------------------------

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
            outputs = self.query(select, parent, ctes)
            self._use(union(c.labels for c in outputs or ()), predicate=False)
        scope = Scope([Item([entry], entry.columns)], parent)
        conflict = body.get("onConflictClause")
        if conflict:
            if conflict.get("action") == "ONCONFLICT_UPDATE":
                self.found.filters.append(("INSERT ON CONFLICT DO UPDATE", body, entry))
            plain = tuple(Out(c.name) for c in entry.columns or ())
            inner = Scope([*scope.items, Item([Entry("excluded", plain)], ())], parent)
            self._assignments(conflict.get("targetList", ()), entry, inner, ctes)
            self._use(self._expressions((conflict.get("whereClause"),), inner, ctes), predicate=True)
            infer = conflict.get("infer", {})
            for node in infer.get("indexElems", ()):
                self._use(self._expressions((node["IndexElem"].get("expr"),), scope, ctes), predicate=True)
            self._use(self._expressions((infer.get("whereClause"),), scope, ctes), predicate=True)
        return scope

    def _merge(self, body: Tree, parent: Scope | None, ctes: Ctes | None) -> Scope:
        entry = self.target_entry("merge", body["relation"])
        scope = Scope([Item([entry], entry.columns)], parent)
        scope.items.append(self.from_item(body["sourceRelation"], Scope(parent=parent), ctes))
        self.found.filters.append(("MERGE", body, entry))
        self._use(self._expressions((body.get("joinCondition"),), scope, ctes), predicate=True)
        for node in body.get("mergeWhenClauses", ()):
            clause = node["MergeWhenClause"]
            self._use(self._expressions((clause.get("condition"),), scope, ctes), predicate=True)
            if clause.get("commandType") == "CMD_INSERT":
                names = [t["ResTarget"].get("name", "") for t in clause.get("targetList", ())]
                columns = [entry.find(n) for n in names] if any(names) else list(entry.columns or ())
                self._mark_positions(clause.get("values", ()), columns)
                self._use(self._expressions(clause.get("values", ()), scope, ctes), predicate=False)
            else:
                self._assignments(clause.get("targetList", ()), entry, scope, ctes)
        return scope

    def _assignments(self, nodes: Sequence[Tree], entry: Entry, scope: Scope, ctes: Ctes | None) -> None:
        """The items of SET. Constants that are assigned to a labelled column are recorded masked."""
        for node in nodes:
            target = node["ResTarget"]
            labels = self.expression(target.get("val"), scope, ctes)
            self._use(labels, predicate=False)
            self._mark_positions([target.get("val")], [entry.find(target.get("name", ""))])
            for index in target.get("indirection", ()):
                self._use(self.expression(index, scope, ctes), predicate=False)

    def _returning_list(self, body: Tree, scope: Scope) -> Columns:
        if not body.get("returningList"):
            return ()
        target = next(scope.entries())
        for name in ("old", "new"):  # PostgreSQL 18
            if all(entry.name != name for entry in scope.entries()):
                alias = Entry(name, target.columns, relation=target.relation, target=True, implicit=True)
                scope.items.append(Item([alias], ()))
        self._returning += 1
        writing, self._writing = self._writing, 0
        try:
            return self._targets(body["returningList"], scope, None)
        finally:
            self._returning -= 1
            self._writing = writing

    def _lock(self, clause: Tree, scope: Scope) -> None:
        names = [kind_of(node)[1].get("relname", "") for node in clause.get("lockedRels", ())]
        for entry in scope.entries():
            if entry.relation is not None and (not names or entry.name in names):
                self.found.locks.append(entry)

    # -- expressions -----------------------------------------------------------------------------------------

    def _expressions(self, nodes: Iterable[Any], scope: Scope, ctes: Ctes | None) -> Labels:
        return union(self.expression(node, scope, ctes) for node in nodes if node)

    def expression(self, node: Any, scope: Scope, ctes: Ctes | None) -> Labels:
        """The labelled columns that feed an expression."""
        if isinstance(node, list):
            return union(self.expression(item, scope, ctes) for item in node)
        if not isinstance(node, dict):
            return NONE
        kind, body = kind_of(node)
        match kind:
            case "ColumnRef":
                return self._column(body, scope)
            case "A_Const" | "ParamRef":
                self._constants.append(body)
                return NONE
            case "SelectStmt":
                return union(c.labels for c in self.query(body, scope, ctes) or ())
            case "A_Indirection":
                return self._indirection(body, scope, ctes)
            case "":
                body = node
        start = len(self._constants)
        labels = NONE
        for key, value in body.items():
            if value.__class__ not in _SCALAR and key != "typeName":
                labels = labels | self.expression(value, scope, ctes)
        if kind == "SubLink" and body.get("subLinkType") != "EXPR_SUBLINK" and labels:
            self.found.predicates |= {label for label in labels if label.hidden}
        if labels and kind not in {"BoolExpr", "", "List", "SubLink"}:
            self.mark(self._constants[start:])
        return labels

    def _indirection(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Labels:
        """`(row).column`, `(row).*`, `array[1]`."""
        first = body["indirection"][0]
        kind, column = kind_of(body.get("arg"))
        if kind == "ColumnRef" and "String" in first:
            names = strings(column["fields"])
            entry = scope.entry(names[-1]) if len(names) == 1 and not scope.columns_named(names[0]) else None
            if entry is not None:
                entry.whole = True
                self._note_returning(column, entry, "", 1)
                names = strings(body["indirection"])
                found = entry.find(names[0])
                self.found.dotted += names if found is None else names[1:]
                return found.labels if found else entry.labels
        self.found.dotted += [n["String"]["sval"] for n in body["indirection"] if "String" in n]
        labels = self.expression(body.get("arg"), scope, ctes)
        return labels | self._expressions([n for n in body["indirection"] if "A_Indices" in n], scope, ctes)

    def _column(self, body: Tree, scope: Scope) -> Labels:
        fields = body["fields"]
        names = strings(fields)
        if "A_Star" in fields[-1]:
            columns = self._star(body, scope)
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
        found = entry.find(name)
        if found is None:  # `row.function`, or a column that nobody knows
            self.found.dotted.append(name)
            entry.whole = True
            self._note_returning(body, entry, "", parts)
            return entry.labels
        entry.used.add(name)
        self._note_returning(body, entry, name, parts)
        return found.labels

    def _bare_column(self, body: Tree, name: str, scope: Scope) -> Labels:
        for level in scope.levels():
            hits = [(e, c) for e in level.entries() if (c := e.find(name)) is not None]
            merged = [c for item in level.items for c in item.columns or () if c.name == name]
            if hits or merged:
                labels = union(c.labels for c in merged)
                for entry, column in hits:
                    entry.used.add(name)
                    self._note_returning(body, entry, name, 1)
                    labels = labels | column.labels
                return labels
            if name in SYSTEM_COLUMNS:
                owner = next((e for e in level.entries() if e.relation is not None), None)
                if owner is not None:
                    owner.system.add(name)
                    return NONE
        row = scope.entry(name)
        for entry in [row] if row is not None else [e for level in scope.levels() for e in level.entries()]:
            entry.whole = True
        if row is not None:
            self._note_returning(body, row, "", 1)
            return row.labels
        return scope.unknown

    def _entry(self, names: Sequence[str], scope: Scope, body: Tree) -> Entry:
        entry = scope.entry(names[-1], names[-2] if len(names) > 1 else "")
        if entry is None:
            raise StatementError(
                f'missing FROM-clause entry for table "{names[-1]}"',
                sqlstate="42P01",
                position=int(body.get("location", -1)) + 1,
            )
        return entry

    # -- notes -----------------------------------------------------------------------------------------------

    def _use(self, labels: Labels, *, predicate: bool) -> None:
        """Note the use of labelled columns where the walk stands."""
        if not labels:
            return
        if self._writing:
            self.found.write_reads |= labels
        elif self._in_cte and not self._returning:
            self.found.cte_reads |= labels
        if predicate:
            self.found.predicates |= labels
        else:
            self.found.outputs |= labels

    def _note_returning(self, body: Tree, entry: Entry, column: str, parts: int) -> None:
        """Note a reference to the changed relation in RETURNING: it has to be masked in place."""
        if self._returning and entry.target:
            self.found.returning.append(Reference(body, entry, column, parts))

    def mark(self, constants: Iterable[Tree]) -> None:
        """Constants and parameters that meet a labelled column: they are recorded masked."""
        for body in constants:
            self.found.sensitive[id(body)] = body

    def _mark_positions(self, values: Sequence[Any], columns: Sequence[Out | None]) -> None:
        for value, column in zip(values, columns, strict=False):
            if column is not None and column.labels:
                self.found.assigned |= column.labels
                self.mark(list(constants_in(value)))


def labels_met(found: Findings) -> set[Label]:
    """The labelled columns that a statement reads, compares or writes, hidden or in clear."""
    return found.outputs | found.predicates | found.write_reads | found.cte_reads | found.assigned


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


def merge(left: Columns, right: Columns) -> Columns:
    """The columns of a set operation: names from the left, labels from both."""
    if left is None or right is None:
        return None
    return tuple(Out(a.name, a.labels | b.labels) for a, b in zip(left, right, strict=False))


def rename(columns: Columns, names: Sequence[str]) -> Columns:
    """Columns under the names of an alias list; an unknown result takes the names it is given."""
    if columns is None or not names:
        return columns
    return tuple(Out(names[i] if i < len(names) else c.name, c.labels) for i, c in enumerate(columns))


def _bare(node: Tree) -> Tree:
    body: Tree = node.get("SelectStmt", node)
    return body


def _copy(ctes: Ctes) -> Ctes:
    copy = Ctes(ctes.outer)
    copy.names = dict(ctes.names)
    return copy


def _has_columns(clause: Sequence[Tree]) -> bool:
    """Whether a distinctClause is `DISTINCT ON (…)`; plain DISTINCT is a list with one empty node."""
    return any(node for node in clause)
