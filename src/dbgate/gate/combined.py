"""Queries that are put together: the members of WITH, also recursive ones, and UNION, INTERSECT and EXCEPT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbgate.gate.findings import Columns, Cte, Ctes, Findings
from dbgate.gate.names import kind_of, strings
from dbgate.gate.scope import Item, Labels, Out, Scope, union
from dbgate.model import Tree


class CombinedQueries:
    """The part of the analysis that reads WITH and set operations. Mixed into `Analysis`."""

    found: Findings
    _in_cte: int

    if TYPE_CHECKING:

        def query(self, body: Tree, parent: Scope | None, ctes: Ctes | None, *, named: bool = False) -> Columns: ...
        def statement(
            self, kind: str, body: Tree, parent: Scope | None = None, ctes: Ctes | None = None, *, named: bool = False
        ) -> Columns: ...
        def _tail(self, body: Tree, scope: Scope, ctes: Ctes | None, outputs: Columns = ()) -> None: ...
        def _use(self, labels: Labels, *, predicate: bool) -> None: ...

    def _set_operation(self, body: Tree, parent: Scope | None, ctes: Ctes | None, named: bool) -> Columns:
        named = named and _joins_all(body)  # all other ones compare rows, by each of their columns
        left = self.query(_bare(body["larg"]), parent, ctes, named=named)
        right = self.query(_bare(body["rarg"]), parent, ctes, named=named)
        columns = merge(left, right)
        if columns is None:  # nobody can follow those of the side that is known
            self._use(union(c.labels for side in (left, right) for c in side or ()), predicate=False)
        if any(c.labels for c in columns or ()):
            self.found.derived_met = True
        if not body.get("all") and columns:
            self._use(union(c.labels for c in columns), predicate=True)
        self._tail(body, Scope([Item([], columns)], parent), ctes, columns)
        return columns

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
                    inner = self._with(body.get("withClause"), cte.parent, cte.ctes)
                    first = self.query(_bare(body["larg"]), cte.parent, inner, named=_joins_all(body))
                    cte.columns = self._named(cte, first)
                for _ in range(rounds):
                    cte.columns = self._named(cte, self.statement(kind, body, cte.parent, cte.ctes, named=True))
            finally:
                self._in_cte -= 1
        return cte.columns

    def _named(self, cte: Cte, columns: Columns) -> Columns:
        names = strings(cte.body.get("aliascolnames", ()))
        columns = rename(columns, names)
        if columns is None:
            return None
        added: list[Out] = []
        for kind in ("search", "cycle"):
            clause = cte.body.get(f"{kind}_clause", {})
            chosen = strings(clause.get(f"{kind}_col_list", ()))
            labels = union(c.labels for c in columns if c.name in chosen)
            if kind == "cycle":  # a row that is the same in these columns ends the recursion
                self._use(labels, predicate=True)
            made = (clause.get(key) for key in ("search_seq_column", "cycle_mark_column", "cycle_path_column"))
            added += [Out(name, labels) for name in made if name]
        return (*columns, *added)


def _joins_all(body: Tree) -> bool:
    """Whether a set operation only puts rows together."""
    return body.get("op") == "SETOP_UNION" and bool(body.get("all"))


def merge(left: Columns, right: Columns) -> Columns:
    """The columns of a set operation: names from the left, labels from both."""
    if left is None or right is None:
        return None
    return tuple(
        Out(a.name, a.labels | b.labels, (a.plain or not a.labels) and (b.plain or not b.labels))
        for a, b in zip(left, right, strict=False)
    )


def rename(columns: Columns, names: Sequence[str]) -> Columns:
    """Columns under the names of an alias list; an unknown result takes the names it is given."""
    if columns is None or not names:
        return columns
    return tuple(Out(names[i] if i < len(names) else c.name, c.labels, c.plain) for i, c in enumerate(columns))


def _bare(node: Tree) -> Tree:
    body: Tree = node.get("SelectStmt", node)
    return body


def _copy(ctes: Ctes) -> Ctes:
    copy = Ctes(ctes.outer)
    copy.names = dict(ctes.names)
    return copy
