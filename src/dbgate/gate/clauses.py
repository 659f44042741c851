"""Splices for clauses: row filters in writes, and GROUP BY a primary key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dbgate.catalog import CatalogRelation
from dbgate.gate.allow.system import shown_name
from dbgate.gate.findings import Findings
from dbgate.gate.lexer import Tokens
from dbgate.gate.names import column_references, kind_of, output_name, quote, strings
from dbgate.gate.protection import UNORDERED, Protection
from dbgate.gate.scope import Entry, Scope
from dbgate.gate.splice import Edit, RewriteError, Splices, expression_tree
from dbgate.model import Relation, Tree


class Clauses:
    """The part of the substitution that extends clauses. Mixed into `Substitution`."""

    text: str
    found: Findings
    protection: Protection
    tokens: Tokens
    splices: Splices
    filtered: list[Relation]
    _shielded: set[int]

    if TYPE_CHECKING:

        def _at(self, body: Tree) -> int: ...

    def _filter_write(self, kind: str, body: Tree, entry: Entry) -> None:
        """UPDATE, DELETE and ON CONFLICT DO UPDATE on a table with a row filter change the visible rows only."""
        relation = entry.relation
        if relation is None:
            return
        if not entry.alone and self.protection.filtered_part(relation):
            raise RewriteError(f"a part of {relation.schema}.{relation.name} has a row filter of its own")
        condition = self.protection.condition(relation)
        if not condition:
            return
        if kind == "MERGE":
            raise RewriteError(f"MERGE into {relation.schema}.{relation.name}, which has a row filter")
        if "CurrentOfExpr" in body.get("whereClause", {}):
            raise RewriteError(f"WHERE CURRENT OF on {relation.schema}.{relation.name}, which has a row filter")
        self.filtered.append(Relation(relation.schema, relation.name, relation.oid, relation.kind))
        row = quote(entry.name)
        visible = f"(SELECT {condition} FROM (SELECT {row}.*) AS {quote(relation.name)})"
        start = self._at(entry.body or {})
        clause = body if kind == "where" else body["onConflictClause"]
        if kind != "where":
            start = self._do(start)
        where = self._clause(start, "where")
        end_index = self._clause(start, "returning")
        end = self.tokens.list[end_index].start if end_index is not None else self._end_of_statement(start)
        original = clause.get("whereClause")
        if original is None or where is None:
            self.splices.edits.append(Edit(end, end, f" WHERE {visible} "))
            changed = {**clause, "whereClause": expression_tree(visible)}
        else:
            after = self.tokens.list[where].end
            self.splices.edits.append(Edit(after, after, f" CASE WHEN {visible} THEN ("))
            self.splices.edits.append(Edit(end, end, ") ELSE false END "))
            node = expression_tree(f"CASE WHEN {visible} THEN true ELSE false END")
            node["CaseExpr"]["args"][0]["CaseWhen"]["result"] = original
            changed = {**clause, "whereClause": node}
        if kind != "where":
            self.splices.bodies[id(clause)] = changed
            return
        self.splices.nodes[id(body)] = {"UpdateStmt" if "targetList" in body else "DeleteStmt": changed}

    def _do(self, start: int) -> int:
        """The index of DO, behind which the conditions of ON CONFLICT's action stand."""
        index = self._clause(start, "do")
        if index is None:
            raise RewriteError("ON CONFLICT could not be found in the text")
        return index

    def _guard_setting(self, call: Tree) -> None:
        """`current_setting(s.name)`: NULL for those where secrets may stand, as in `pg_settings`."""
        _, column = kind_of(call["args"][0])
        first = self._at(column)
        start, end = self.tokens.list[first].start, self.tokens.list[self.tokens.name_end(first) - 1].end
        if id(column) in self.splices.nodes:
            raise RewriteError("the name of a setting is a column that is replaced here")
        text = shown_name(self.text[start:end])
        self.splices.edits.append(Edit(start, end, text))
        self.splices.nodes[id(column)] = expression_tree(text)

    def _clause(self, start: int, word: str) -> int | None:
        """The index of a keyword at the same nesting as the token at `start`, behind it."""
        depth = 0
        for index in range(start, len(self.tokens.list)):
            token = self.tokens.list[index]
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            if depth < 0:
                return None
            if depth == 0 and token.word == word:
                return index
        return None

    def _end_of_statement(self, start: int) -> int:
        depth = 0
        for token in self.tokens.list[start:]:
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
            if depth < 0:
                return token.start
        return self.tokens.list[-1].end

    def _groups_whole(self, entry: Entry, relation: CatalogRelation) -> bool:
        """Whether GROUP BY a key stands for columns that cannot be named there instead."""
        if not entry.rows and all(column.base_type not in UNORDERED for column in relation.columns):
            return False
        grouped = (named for _, scope in self.found.groups for named in scope.entries())
        return any(entry is other for named in grouped for other in named.family())

    def _extend_group(self, body: Tree, scope: Scope) -> None:
        """GROUP BY a primary key: a sub-select has no key, so name the columns that depend on it."""
        missing: list[str] = []
        keys = [name for node in body["groupClause"] for name in _group_keys(node, body)]
        named = {name for node in body["groupClause"] for name in _names_in(node)}
        for item in scope.entries():
            grouped = {k[-1] for k in keys if len(k) == 1 or (k[-2] == item.name)}
            for entry, names in item.relations():
                if entry.relation is None or id(entry) not in self._shielded or not entry.relation.primary_key:
                    continue
                key = [names.get(c.name) for c in entry.relation.columns if c.number in entry.relation.primary_key]
                if not all(name in grouped for name in key):
                    continue
                sortable = (c.name for c in entry.relation.columns if c.base_type not in UNORDERED)
                wanted = [names[name] for name in sortable if name in entry.asked and name in names]
                missing += [f"{quote(item.sent_name)}.{quote(name)}" for name in wanted if name not in grouped | named]
        if not missing:
            return
        kind, first = next(iter(body["groupClause"][0].items()))
        index = self._at(first)
        while index > 0 and self.tokens.list[index - 1].text == "(":
            index -= 1
        start = self.tokens.list[index].start
        self.splices.edits.append(Edit(start, start, ", ".join(missing) + ", "))
        added = [expression_tree(name) for name in missing]
        kept = self.splices.nodes.get(id(first), {kind: dict(first)})
        self.splices.nodes[id(first)] = [*added, kept]


def _names_in(node: Any) -> Iterator[str]:
    """The last parts of all column names below a node: grouping sets group by them already."""
    for fields in column_references(node):
        yield from strings(fields)[-1:]


def _group_keys(node: Tree, body: Tree) -> list[list[str]]:
    """The columns that one item of GROUP BY groups by in every row: of several grouping sets, those in all of them."""
    kind, inner = kind_of(node)
    if kind == "RowExpr":
        return [name for part in inner.get("args", ()) for name in _group_keys(part, body)]
    if kind != "GroupingSet":
        name = _group_key(node, body)
        return [name] if name else []
    if inner.get("kind") != "GROUPING_SET_SETS":  # ROLLUP and CUBE have a set of none
        return []
    sets = [_group_keys(part, body) for part in inner.get("content", ())]
    return [name for name in sets[0] if all(name in other for other in sets)] if sets else []


def _group_key(node: Tree, body: Tree) -> list[str]:
    """The column that a key of GROUP BY names: itself, by the position or by the name of an output column."""
    kind, inner = kind_of(node)
    targets = [target["ResTarget"] for target in body.get("targetList", ())]
    if kind == "A_Const" and "ival" in inner:
        position = inner["ival"].get("ival", 0)
        kind, inner = kind_of(targets[position - 1].get("val")) if 0 < position <= len(targets) else ("", {})
    elif kind == "ColumnRef" and len(inner["fields"]) == 1:
        name = strings(inner["fields"])
        named = next((t for t in targets if t.get("name") and [output_name(t)] == name), None)
        if named is not None:
            kind, inner = kind_of(named.get("val"))
    return strings(inner["fields"]) if kind == "ColumnRef" else []
