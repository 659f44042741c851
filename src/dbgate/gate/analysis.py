"""Who reads what: resolve every name of a query and follow labelled columns through it.

Works on PostgreSQL's own parse tree, so that it covers whatever the grammar covers. What it finds is used in
three ways: relations that are read become masked sub-selects (`substitute.py`), statements that write are refused
when they read a hidden column, and the record says which labelled columns a result carries.
Safety of reads does not hang on it: masking happens at the source. Where a name cannot be resolved, it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbgate.gate.columns import ColumnNames, named_columns
from dbgate.gate.combined import CombinedQueries
from dbgate.gate.findings import Columns, Ctes, Findings
from dbgate.gate.from_items import FromItems
from dbgate.gate.names import kind_of, output_name, strings
from dbgate.gate.relations import Schema
from dbgate.gate.scope import NONE, Entry, Item, Labels, Out, Scope, mark_twins, union
from dbgate.gate.writes import Writes, constants_in
from dbgate.model import Tree

_SCALAR = (str, int, float, bool)
_VALUES = frozenset({"EXPR_SUBLINK", "ARRAY_SUBLINK"})
"""Sub-selects that give what they select; the others compare it."""


class Analysis(FromItems, ColumnNames, CombinedQueries, Writes):
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
        self._depth = 0
        self._nested = 0
        self._derived = 0
        self._target: Tree | None = None
        self._constants: list[Tree] = []
        self._row_kinds: dict[int, str] = {}

    # -- statements ------------------------------------------------------------------------------------------

    def statement(
        self, kind: str, body: Tree, parent: Scope | None = None, ctes: Ctes | None = None, *, named: bool = False
    ) -> Columns:
        """Analyse a query or a data-changing statement; return its output columns. `named`: see `query`."""
        if kind == "SelectStmt":
            return self.query(body, parent, ctes, named=named)
        inner = self._with(body.get("withClause"), parent, ctes)
        self._writing += 1
        try:
            scope = getattr(self, f"_{kind.removesuffix('Stmt').lower()}")(body, parent, inner)
        finally:
            self._writing -= 1
        return self._returning_list(body, scope, inner)

    def stored(self, body: Tree) -> Columns:
        """Analyse a query whose result is stored, as a write would: the whole of a statement."""
        self._writing += 1
        return self.query(body, None, None)

    def query(self, body: Tree, parent: Scope | None, ctes: Ctes | None, *, named: bool = False) -> Columns:
        """Analyse a SELECT, VALUES or set operation; return its output columns.

        A query that is `named` (by FROM or WITH) shows its columns to whoever names them: those count as read only there.
        """
        self._depth += 1
        try:
            return self._query(body, parent, self._with(body.get("withClause"), parent, ctes), named)
        finally:
            self._depth -= 1

    def _query(self, body: Tree, parent: Scope | None, inner: Ctes | None, named: bool) -> Columns:
        if body.get("op", "SETOP_NONE") != "SETOP_NONE":
            return self._set_operation(body, parent, inner, named)
        if "valuesLists" in body:
            columns = self._values(body, Scope(parent=parent), inner)
            self._tail(body, Scope([Item([], columns)], parent), inner, columns)
            return columns
        scope = Scope(parent=parent)
        first_read = len(self.found.reads)
        for node in body.get("fromClause", ()):
            scope.items.append(self.from_item(node, scope, inner))
        mark_twins(scope)
        self._use(self._expressions((body.get("whereClause"),), scope, inner), predicate=True)
        # The columns of groups and distinct rows decide how many there are, however GROUP BY names them.
        named = named and not body.get("groupClause") and not body.get("distinctClause")
        columns = self._targets(body.get("targetList", ()), scope, inner, named=named)
        self._tail(body, scope, inner, columns)
        if body.get("groupClause") and all(known is not body for known, _ in self.found.groups):
            self.found.groups.append((body, scope))
        for lock in body.get("lockingClause", ()):
            self._lock(lock["LockingClause"], scope, first_read)
        return columns

    def _tail(self, body: Tree, scope: Scope, ctes: Ctes | None, outputs: Columns = ()) -> None:
        """GROUP BY, HAVING, WINDOW, DISTINCT ON, ORDER BY, LIMIT."""
        names = {c.name: c.labels for c in outputs or ()}
        for clause in ("groupClause", "sortClause", "distinctClause"):
            for node in body.get(clause, ()):
                self._use(self._sort_key(node, scope, ctes, names, outputs or ()), predicate=True)
        for clause in ("havingClause", "windowClause", "limitOffset", "limitCount"):
            self._use(self.expression(body.get(clause), scope, ctes), predicate=True)
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

    def _values(self, body: Tree, scope: Scope, ctes: Ctes | None) -> Columns:
        start = len(self._constants)
        rows = [
            [self.expression(node, scope, ctes) for node in row["List"].get("items", ())] for row in body["valuesLists"]
        ]
        self.found.carried += self._constants[start:]
        width = max((len(row) for row in rows), default=0)
        return tuple(Out(f"column{i + 1}", union(r[i] for r in rows if i < len(r))) for i in range(width))

    def _targets(self, nodes: Sequence[Tree], scope: Scope, ctes: Ctes | None, *, named: bool = False) -> Columns:
        """A target list. `named` tells that plain columns count as read where the query's own columns are named."""
        columns: list[Out] = []
        known = True
        later = NONE
        for node in nodes:
            target = node["ResTarget"]
            kind, body = kind_of(target.get("val"))
            self.found.targets_of[id(body)] = target
            if kind == "ColumnRef" and "A_Star" in body["fields"][-1]:
                expanded = self._star(body, scope)
                known = known and expanded is not None
                columns += expanded or ()
                later |= union(entry.labels for entry in self.found.stars[-1].entries())
                continue
            outer, self._target = self._target, target if self._target is None else self._target
            start = len(self._constants)
            labels = self.expression(target.get("val"), scope, ctes)
            self._target = outer
            if self._depth > 1 or self._in_cte:
                self.found.carried += self._constants[start:]
            same = named_columns(target.get("val"), scope) if labels else ()
            if same:
                later |= labels
            else:
                self._use(labels, predicate=False)
            columns.append(Out(output_name(target), labels, plain=len(same) == 1 and same[0].plain))
        if named and known:
            self.found.outputs |= later
        else:  # nobody could follow them
            self._use(later, predicate=False)
        return tuple(columns) if known else None

    def _lock(self, clause: Tree, scope: Scope, first_read: int) -> None:
        """FOR UPDATE and the like: the relations that it locks, also those inside sub-selects of FROM."""
        names = [kind_of(node)[1].get("relname", "") for node in clause.get("lockedRels", ())]
        for entry in scope.entries():
            if names and entry.name not in names:
                continue
            inside = [entry] if entry.relation is not None else self.found.reads[first_read:]
            self.found.locks += [e for e in inside if all(known is not e for known in self.found.locks)]

    # -- expressions -----------------------------------------------------------------------------------------

    def _expressions(self, nodes: Iterable[Any], scope: Scope, ctes: Ctes | None) -> Labels:
        return union(self.expression(node, scope, ctes) for node in nodes)

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
            case "FuncCall":
                self._rows_of_call(body)
            case "RowExpr":
                self._row_kinds |= {id(kind_of(item)[1]): "any" for item in body.get("args", ())}
            case "":
                body = node
        if kind == "SubLink" and body.get("subLinkType") == "EXISTS_SUBLINK" and self._writing:
            # Which columns it lists is all the same: whatever decides that there are rows is noted on the way.
            self.query(body["subselect"]["SelectStmt"], scope, ctes, named=True)
            return NONE
        start, derived = len(self._constants), self._derived
        self._nested += kind == "SubLink"
        labels = NONE
        for key, value in body.items():
            if value.__class__ not in _SCALAR and key != "typeName":
                labels = labels | self.expression(value, scope, ctes)
        self._nested -= kind == "SubLink"
        if labels and kind == "FuncCall" and strings(body["funcname"])[-1] == "setval":
            self.found.write_reads |= labels
        if labels and kind == "FuncCall" and not self._nested and self._gives_rows(body):
            self.found.multiplies |= labels
        if kind == "SubLink" and body.get("subLinkType") not in _VALUES and labels:
            self.found.predicates |= {label for label in labels if label.hidden}
        if labels and kind not in {"BoolExpr", "", "List", "SubLink"}:
            self.mark(self._constants[start:])
            self.found.derived_met |= self._derived > derived
        if kind == "SubLink" and labels and body.get("testexpr"):
            self.mark(constants_in(body["testexpr"]))
            self.found.derived_met = True
        return labels

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

    def mark(self, constants: Iterable[Tree]) -> None:
        """Constants and parameters that meet a labelled column: they are recorded masked."""
        for body in constants:
            self.found.sensitive[id(body)] = body


def _has_columns(clause: Sequence[Tree]) -> bool:
    """Whether a distinctClause is `DISTINCT ON (…)`; plain DISTINCT is a list with one empty node."""
    return any(node for node in clause)
