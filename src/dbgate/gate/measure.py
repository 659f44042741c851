"""Count the rows that a statement would touch, without running it.

Builds read-only queries from the text of the (rewritten) statement: its own FROM and WHERE around `count(*)`, and
one more query per foreign key that would carry the change on. Each query is parsed and has to hold the statement's
own conditions, node for node; a statement that cannot be counted gives None, and rules on rows count as met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from dbgate.catalog import CatalogRelation, ForeignKey
from dbgate.errors import StatementError
from dbgate.gate.lexer import Offsets, Tokens, clause
from dbgate.gate.lexer import tokens as tokens_of
from dbgate.gate.names import kind_of, qualified, quote
from dbgate.gate.relations import Schema
from dbgate.gate.splice import normal
from dbgate.gate.syntax import parse_one
from dbgate.model import CountQuery, Relation, Tree

_MAX_CASCADE = 8


class _Rows(msgspec.Struct, frozen=True):
    """A query that gives the whole rows of a relation that are touched."""

    relation: CatalogRelation
    text: str


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
        queries = _count_queries(text, parse_one(text), schema, target)
        return None if queries is None else tuple(_with_own_parameters(q, parameters, types or {}) for q in queries)
    except (LookupError, StatementError):
        return None


def _with_own_parameters(
    query: CountQuery, values: Sequence[str | None] | None, types: Mapping[int, str]
) -> CountQuery:
    """Number the parameters that the query still has from 1, and take their values along."""
    order: dict[int, int] = {}
    pieces: list[str] = []
    position = 0
    for token in tokens_of(query.text):
        if token.kind == "param":
            number = int(token.text[1:])
            if values is None:
                raise LookupError(token.text)
            own = f"${order.setdefault(number, len(order) + 1)}"
            pieces += [query.text[position : token.start], f"({own}::{types[number]})" if number in types else own]
            position = token.end
    text = "".join(pieces) + query.text[position:]
    given = tuple(values[n - 1] for n in order if n <= len(values)) if values is not None else ()
    return CountQuery(query.relation, text, query.verb, given)


def _count_queries(text: str, tree: Tree, schema: Schema, target: CatalogRelation) -> tuple[CountQuery, ...] | None:
    kind, body = kind_of(tree)
    verb = kind.removesuffix("Stmt").lower()
    relation = _relation(target)
    match kind:
        case "InsertStmt":
            query = _count_insert(text, body)
            return (CountQuery(relation, query, verb),) if query else None
        case "UpdateStmt" | "DeleteStmt":
            rows = _touched_rows(text, kind, body, target)
            if rows is None:
                return None
            carried = _cascades(schema, rows, verb, _assigned(body))
            return tuple(_count(r, verb) for r in (rows, *carried))
        case "TruncateStmt":
            return (_count(_Rows(target, f"SELECT * FROM {qualified(target.schema, target.name)}"), verb),)
        case "MergeStmt":
            query = _count_merge(text, body)
            return (CountQuery(relation, query, verb),) if query else None
        case _:
            return None


def _relation(relation: CatalogRelation) -> Relation:
    return Relation(relation.schema, relation.name, relation.oid, relation.kind)


def _count(rows: _Rows, verb: str) -> CountQuery:
    return CountQuery(_relation(rows.relation), f"SELECT count(*) FROM ({rows.text}) AS touched", verb)


def _assigned(body: Tree) -> set[str]:
    return {n["ResTarget"]["name"] for n in body.get("targetList", ())}


def _touched_rows(text: str, kind: str, body: Tree, target: CatalogRelation) -> _Rows | None:
    """`SELECT target.* FROM target, others WHERE condition`, each row once."""
    tokens = Tokens(text)
    start = tokens.index_at(Offsets(text).to_chars(int(body["relation"]["location"])))
    prefix = _with_prefix(text, tokens, start, body)
    if prefix is None:
        return None
    sources = clause(tokens, start, "from" if kind == "UpdateStmt" else "using")
    where = clause(tokens, start, "where")
    end = clause(tokens, start, "returning")
    stop = tokens.list[end].start if end is not None else len(text)
    alias = body["relation"].get("alias", {}).get("aliasname", "")
    name = quote(alias or target.name)
    only = "" if body["relation"].get("inh") else "ONLY "
    table = f"{only}{qualified(target.schema, target.name)}" + (f" AS {quote(alias)}" if alias else "")
    others = ""
    if sources is not None:
        until = tokens.list[where].start if where is not None else stop
        others = ", " + text[tokens.list[sources].end : until]
    condition = " WHERE " + text[tokens.list[where].end : stop] if where is not None else ""
    inner = f"SELECT DISTINCT ON ({name}.tableoid, {name}.ctid) {name}.* FROM {table}{others}{condition}"
    if not others:
        inner = f"SELECT {name}.* FROM {table}{condition}"
    query = f"{prefix}{inner}\n"
    made = kind_of(parse_one(query))[1]
    if normal(made.get("whereClause")) != normal(body.get("whereClause")):
        return None
    if normal(made["fromClause"][1:]) != normal(body.get("fromClause" if kind == "UpdateStmt" else "usingClause", [])):
        return None
    if normal(made.get("withClause")) != normal(body.get("withClause")):
        return None
    return _Rows(target, query)


def _with_prefix(text: str, tokens: Tokens, start: int, body: Tree) -> str | None:
    """The text of the statement's WITH clause; None when it changes data itself."""
    with_clause = body.get("withClause")
    if not with_clause:
        return ""
    if any("SelectStmt" not in n["CommonTableExpr"]["ctequery"] for n in with_clause["ctes"]):
        return None
    index = start
    while index > 0 and tokens.list[index].word not in {"update", "delete", "merge", "insert"}:
        index -= 1
    return text[: tokens.list[index].start]


def _count_insert(text: str, body: Tree) -> str | None:
    select = body.get("selectStmt", {}).get("SelectStmt")
    if select is None:
        return "SELECT 1::bigint"
    if "valuesLists" in select:
        return f"SELECT {len(select['valuesLists'])}::bigint"
    tokens = Tokens(text)
    start = tokens.index_at(Offsets(text).to_chars(int(body["relation"]["location"])))
    prefix = _with_prefix(text, tokens, start, body)
    if prefix is None:
        return None
    first = next((f for w in ("with", "select", "table") if (f := clause(tokens, start, w)) is not None), None)
    if first is None:
        return None
    end = clause(tokens, start, "returning")
    conflict = _conflict(tokens, start) if body.get("onConflictClause") else None
    stops = [tokens.list[i].start for i in (end, conflict) if i is not None]
    inner = text[tokens.list[first].start : min(stops, default=len(text))]
    query = f"{prefix}SELECT count(*) FROM ({inner}\n) AS touched"
    made = kind_of(parse_one(query))[1]
    counted = made["fromClause"][0]["RangeSubselect"]["subquery"]["SelectStmt"]
    same = normal(made.get("withClause")) == normal(body.get("withClause")) and normal(counted) == normal(select)
    return query if same else None


def _conflict(tokens: Tokens, start: int) -> int | None:
    """The index of ON CONFLICT: the last one before DO. A join may have an ON, too, and a column may be called conflict."""
    do = clause(tokens, start, "do")
    pairs = [i for i in range(start, do or 0) if tokens.list[i].word == "on" and tokens.list[i + 1].word == "conflict"]
    return pairs[-1] if pairs else None


def _count_merge(text: str, body: Tree) -> str | None:
    """An upper bound: all pairs that MERGE looks at, matched or not."""
    tokens = Tokens(text)
    start = tokens.index_at(Offsets(text).to_chars(int(body["relation"]["location"])))
    prefix = _with_prefix(text, tokens, start, body)
    if prefix is None:
        return None
    using, on, when = (clause(tokens, start, w) for w in ("using", "on", "when"))
    if using is None or on is None or when is None:
        return None
    table = text[tokens.list[start].start : tokens.list[using].start]
    source = text[tokens.list[using].end : tokens.list[on].start]
    condition = text[tokens.list[on].end : tokens.list[when].start]
    by_source = any(
        n["MergeWhenClause"].get("matchKind") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE" for n in body["mergeWhenClauses"]
    )
    join = "FULL" if by_source else "RIGHT"
    query = f"{prefix}SELECT count(*) FROM {table} {join} JOIN {source} ON {condition}"
    made = kind_of(parse_one(query))[1]
    joined = made["fromClause"][0].get("JoinExpr", {})
    found = [joined.get("quals"), joined.get("rarg"), made.get("withClause")]
    wanted = [body["joinCondition"], body["sourceRelation"], body.get("withClause")]
    return query if normal(found) == normal(wanted) else None


def _cascades(schema: Schema, rows: _Rows, verb: str, assigned: set[str]) -> Iterator[_Rows]:
    """The rows of other tables that foreign keys would change along, level by level."""
    todo: list[tuple[_Rows, str, set[str] | None, int]] = [(rows, verb, assigned or None, 0)]
    while todo:
        current, action, names, depth = todo.pop(0)
        if depth >= _MAX_CASCADE:
            continue
        for oid in (current.relation.oid, *schema.descendants(current.relation.oid)):
            for key in schema.keys_to.get(oid, ()):
                step = _step(schema, current, key, action, names)
                if step is not None:
                    carried, next_action, next_names = step
                    yield carried
                    todo.append((carried, next_action, next_names, depth + 1))


def _step(
    schema: Schema, current: _Rows, key: ForeignKey, action: str, names: set[str] | None
) -> tuple[_Rows, str, set[str] | None] | None:
    rule = key.on_delete if action == "delete" else key.on_update
    if rule not in "cnd" or key.relation not in schema.by_oid:
        return None
    there = {c.number: c.name for c in schema.by_oid[key.referenced].columns}
    child = schema.by_oid[key.relation]
    here = {c.number: c.name for c in child.columns}
    referenced = [there[n] for n in key.referenced_columns]
    if action == "update" and names is not None and not names & set(referenced):
        return None
    left = ", ".join(f"child.{quote(here[n])}" for n in key.columns)
    right = ", ".join(f"parent.{quote(n)}" for n in referenced)
    text = (
        f"SELECT child.* FROM {qualified(child.schema, child.name)} AS child "
        f"WHERE ({left}) IN (SELECT {right} FROM ({current.text}) AS parent)"
    )
    deletes = action == "delete" and rule == "c"
    changed: set[str] | None = None if deletes else {here[n] for n in key.columns}
    return _Rows(child, text), "delete" if deletes else "update", changed
