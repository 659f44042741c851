"""Count the rows that a statement would touch, without running it.

Builds read-only queries from the text of the (rewritten) statement: its own FROM and WHERE around `count(*)`, MERGE's
branches one by one, and queries for what foreign keys would carry on. Each is parsed and has to hold the
statement's own conditions, node for node; a statement that cannot be counted gives None, and rules on rows count as met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from dbgate.catalog import CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.cascades import ROW, TABLE, Node, Rows, counting
from dbgate.gate.clause_text import Branch, ClauseText, branches
from dbgate.gate.lexer import tokens as tokens_of
from dbgate.gate.names import kind_of, qualified, quote
from dbgate.gate.relations import Schema
from dbgate.gate.splice import normal
from dbgate.gate.syntax import parse_one
from dbgate.model import CountQuery, Relation, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable


class Touched(msgspec.Struct, frozen=True):
    """What a statement touches itself: rows that it changes, and queries that count those that it inserts."""

    rows: tuple[Rows, ...]
    inserts: tuple[str, ...] = ()


def count_queries(
    text: str,
    parameters: Sequence[str | None] | None,
    schema: Schema,
    target: CatalogRelation,
    types: Mapping[int, str] | None = None,
) -> tuple[CountQuery, ...] | None:
    """The queries that count what `text`, a data-changing statement on `target`, would touch; None if unknown.

    `text` is the rewritten statement, with its `parameters` (None when they are not known) and their `types`, as far as
    they are declared: its names are qualified and its sources masked.
    """
    try:
        found = touched(text, parse_one(text), target)
        if found is None:
            return None
        counted = counting(schema, found.rows) if found.rows else []
        if counted is None or (found.inserts and _keys_on_conflict(text, schema, target)):
            return None
        queries = [_query(schema, target, "insert", text) for text in found.inserts]
        queries += [_query(schema, schema.by_oid[node.relation], node.action, text) for node, text in counted]
        return tuple(_with_own_parameters(query, parameters, types or {}) for query in queries)
    except (LookupError, StatementError):
        return None


def truncate_queries(schema: Schema, oids: Iterable[int], *, cascades: bool) -> tuple[CountQuery, ...]:
    """The queries that count what TRUNCATE would take; with CASCADE, of every table that refers to one of them."""
    seen = dict.fromkeys(oid for oid in oids if oid in schema.by_oid)
    todo = [*seen]
    while todo and cascades:
        oid = todo.pop()
        for part in (oid, *schema.descendants(oid)):
            for key in schema.keys_to.get(part, ()):
                if key.relation in schema.by_oid and key.relation not in seen:
                    seen[key.relation] = None
                    todo.append(key.relation)
    whole = [oid for oid in seen if seen.keys().isdisjoint(schema.ancestors(oid))]
    return tuple(
        _query(schema, r, "truncate", f"SELECT count(*) FROM {_named(r)}") for r in map(schema.by_oid.get, whole) if r
    )


def _query(schema: Schema, relation: CatalogRelation, verb: str, text: str) -> CountQuery:
    named = Relation(relation.schema, relation.name, relation.oid, relation.kind)
    return CountQuery(named, text, verb, oids=(relation.oid, *schema.descendants(relation.oid)))


def _named(relation: CatalogRelation) -> str:
    return qualified(relation.schema, relation.name)


def _with_own_parameters(
    query: CountQuery, values: Sequence[str | None] | None, types: Mapping[int, str]
) -> CountQuery:
    text, own = own_parameters(query.text, values, types)
    return replace(query, text=text, parameters=own)


def own_parameters(
    text: str, values: Sequence[str | None] | None, types: Mapping[int, str]
) -> tuple[str, tuple[str | None, ...]]:
    """A part of a statement with the parameters that it still has numbered from 1, and their values.

    Raises `LookupError` when it has some, and their values are not known.
    """
    order: dict[int, int] = {}
    pieces: list[str] = []
    position = 0
    for token in tokens_of(text):
        if token.kind == "param":
            number = int(token.text[1:])
            if values is None:
                raise LookupError(token.text)
            own = f"${order.setdefault(number, len(order) + 1)}"
            pieces += [text[position : token.start], f"({own}::{types[number]})" if number in types else own]
            position = token.end
    given = tuple(values[n - 1] for n in order if n <= len(values)) if values is not None else ()
    return "".join(pieces) + text[position:], given


def touched(text: str, tree: Tree, target: CatalogRelation) -> Touched | None:
    """What a statement touches itself; None when its parts cannot be told apart."""
    kind, body = kind_of(tree)
    match kind:
        case "InsertStmt":
            query = _count_insert(text, body)
            return Touched((), (query,)) if query else None
        case "UpdateStmt" | "DeleteStmt":
            rows = changed_rows(text, kind, body, target)
            return Touched((rows,)) if rows else None
        case "MergeStmt":
            return _merged(text, body, target)
    return None


def _names(body: Tree) -> frozenset[str] | None:
    return frozenset(n["ResTarget"]["name"] for n in body.get("targetList", ())) or None


def changed_rows(
    text: str, kind: str, body: Tree, target: CatalogRelation, selected: Sequence[str] = ()
) -> Rows | None:
    """`SELECT target.* FROM target, others WHERE condition`, each row once; with `selected` these expressions instead."""
    clauses = ClauseText(text, body)
    prefix = clauses.prefix(body)
    if prefix is None:
        return None
    sources = clauses.find("from" if kind == "UpdateStmt" else "using")
    where, end = clauses.find("where"), clauses.find("returning")
    stop = clauses.begin(end) if end is not None else len(text)
    name, table = called(body, target)
    others = ""
    if sources is not None:
        others = ", " + text[clauses.end(sources) : clauses.begin(where) if where is not None else stop]
    condition = " WHERE " + text[clauses.end(where) : stop] if where is not None else ""
    once = f"DISTINCT ON ({name}.tableoid, {name}.ctid) " if others else ""
    query = f"{prefix}SELECT {once}{', '.join(selected) or _items(name, target)} FROM {table}{others}{condition}\n"
    made = kind_of(parse_one(query))[1]
    if normal(made.get("whereClause")) != normal(body.get("whereClause")):
        return None
    if normal(made["fromClause"][1:]) != normal(body.get("fromClause" if kind == "UpdateStmt" else "usingClause", [])):
        return None
    if normal(made.get("withClause")) != normal(body.get("withClause")):
        return None
    deletes = kind == "DeleteStmt"
    return Rows(Node(target.oid, "delete") if deletes else Node(target.oid, "update", _names(body)), query)


def called(body: Tree, target: CatalogRelation) -> tuple[str, str]:
    """The target's name in its own statement, and how FROM names it."""
    alias = body["relation"].get("alias", {}).get("aliasname", "")
    only = "" if body["relation"].get("inh") else "ONLY "
    return quote(alias or target.name), f"{only}{_named(target)}" + (f" AS {quote(alias)}" if alias else "")


def _items(name: str, target: CatalogRelation) -> str:
    """What is selected of the target: its rows' places, too, unless it is a view, which has none."""
    return f"{name}.*" if target.kind == "v" else f"{name}.tableoid AS {TABLE}, {name}.ctid AS {ROW}, {name}.*"


def _count_insert(text: str, body: Tree) -> str | None:
    select = body.get("selectStmt", {}).get("SelectStmt")
    if select is None:
        return "SELECT 1::bigint"
    if "valuesLists" in select:
        return f"SELECT {len(select['valuesLists'])}::bigint"
    source = inserted_query(text, body)
    return f"{source[0]}SELECT count(*) FROM ({source[1]}\n) AS touched" if source else None


def inserted_query(text: str, body: Tree) -> tuple[str, str] | None:
    """The WITH clause and the query of an INSERT … SELECT; None when its text cannot be told apart."""
    clauses = ClauseText(text, body)
    prefix = clauses.prefix(body)
    first = next((f for w in ("with", "select", "table", "values") if (f := clauses.find(w)) is not None), None)
    if first is None or prefix is None:
        return None
    end = clauses.find("returning")
    conflict = clauses.conflict() if body.get("onConflictClause") else None
    stops = [clauses.begin(i) for i in (end, conflict) if i is not None]
    inner = text[clauses.begin(first) : min(stops, default=len(text))]
    made = kind_of(parse_one(f"{prefix}SELECT count(*) FROM ({inner}\n) AS touched"))[1]
    query = made["fromClause"][0]["RangeSubselect"]["subquery"]["SelectStmt"]
    same = normal(query) == normal(body["selectStmt"]["SelectStmt"])
    return (prefix, inner) if same and normal(made.get("withClause")) == normal(body.get("withClause")) else None


def _keys_on_conflict(text: str, schema: Schema, target: CatalogRelation) -> bool:
    """Whether ON CONFLICT DO UPDATE changes a column that keys carry on: which rows it meets cannot be told."""
    conflict = kind_of(parse_one(text))[1].get("onConflictClause", {})
    names = _names(conflict)
    return names is not None and len(counting(schema, [Rows(Node(target.oid, "update", names), "")]) or ()) > 1


def _merged(text: str, body: Tree, target: CatalogRelation) -> Touched | None:
    """What every branch of a MERGE touches."""
    clauses = ClauseText(text, body)
    using, on, when = (clauses.find(word) for word in ("using", "on", "when"))
    prefix = clauses.prefix(body)
    if using is None or on is None or when is None or prefix is None or target.kind == "v":
        return None
    source, condition = clauses.between(using, on), clauses.between(on, when)
    name, table = called(body, target)
    made = kind_of(parse_one(f"{prefix}SELECT FROM {table} RIGHT JOIN {source} ON {condition}"))[1]
    join = made["fromClause"][0].get("JoinExpr", {})
    found = branches(clauses, body)
    if (
        found is None
        or normal(join.get("quals")) != normal(body["joinCondition"])
        or normal(join.get("rarg")) != normal(body["sourceRelation"])
        or normal(made.get("withClause")) != normal(body.get("withClause"))
    ):
        return None
    pairs = {
        "matched": f"{table} JOIN {source} ON {condition} WHERE",
        "by target": f"{source} LEFT JOIN {table} ON {condition} WHERE {name}.ctid IS NULL AND",
        "by source": f"{table} WHERE NOT EXISTS (SELECT FROM {source} WHERE {condition}) AND",
    }
    rows: list[Rows] = []
    inserts: list[str] = []
    for kind, sources in pairs.items():
        of_kind = [branch for branch in found if branch.matched == kind]
        for does, chosen in _chosen(of_kind).items():
            picked = f"{sources} {_first_of(of_kind, chosen)}\n"
            if does == "insert":
                inserts.append(f"{prefix}SELECT count(*) FROM {picked}")
                continue
            names = frozenset(n for b in chosen for n in b.assigned) if does == "update" else None
            once = f"DISTINCT ON ({name}.tableoid, {name}.ctid) "
            rows.append(
                Rows(Node(target.oid, does, names), f"{prefix}SELECT {once}{_items(name, target)} FROM {picked}")
            )
    return Touched(tuple(rows), tuple(inserts))


def _chosen(of_kind: Sequence[Branch]) -> dict[str, list[Branch]]:
    """The branches by what they do; those that do nothing are left out."""
    found: dict[str, list[Branch]] = {}
    for branch in of_kind:
        if branch.does:
            found.setdefault(branch.does, []).append(branch)
    return found


def _first_of(of_kind: Sequence[Branch], chosen: Sequence[Branch]) -> str:
    """A condition: the first branch whose own condition holds is one of `chosen`."""
    cases = " ".join(f"WHEN {f'({b.condition})' if b.condition else 'true'} THEN {n}" for n, b in enumerate(of_kind))
    numbers = ", ".join(str(n) for n, branch in enumerate(of_kind) if branch in chosen)
    return f"CASE {cases} ELSE -1 END IN ({numbers})"
