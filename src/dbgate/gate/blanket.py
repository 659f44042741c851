"""Does an UPDATE or DELETE really restrict its rows? `WHERE true`, `1 = 1` and `id = id` do not."""

from __future__ import annotations

from typing import Any

from dbgate.catalog import CatalogRelation
from dbgate.gate.names import kind_of, strings
from dbgate.gate.scope import SYSTEM_COLUMNS
from dbgate.gate.splice import normal
from dbgate.model import Tree

_REFLEXIVE = frozenset({"=", "<=", ">="})


def is_blanket(where: Tree | None, target: CatalogRelation) -> bool:
    """Whether a WHERE clause, seen by its shape, keeps every row of `target`."""
    kind, body = kind_of(where)
    match kind:
        case "BoolExpr":
            args = body.get("args", ())
            if body.get("boolop") == "AND_EXPR":
                return all(is_blanket(a, target) for a in args)
            if body.get("boolop") == "OR_EXPR":
                return any(is_blanket(a, target) for a in args) or _complementary(args)
            return not _names_columns(args) or _is_empty(args[0])
        case "A_Expr" if body.get("kind") in {"AEXPR_OP", "AEXPR_NOT_DISTINCT"}:
            name = strings(body.get("name", ()))[-1:]
            same = normal(body.get("lexpr")) == normal(body.get("rexpr"))
            reflexive = body["kind"] == "AEXPR_NOT_DISTINCT" or name[0] in _REFLEXIVE
            return (same and reflexive) or not _names_columns([where])
        case "A_Expr" if body.get("kind") in {"AEXPR_IN", "AEXPR_BETWEEN"} and strings(body["name"]) != ["<>"]:
            listed = body.get("rexpr", {}).get("List", {}).get("items", ())
            same = [normal(body.get("lexpr")) == normal(item) for item in listed]
            every = all(same) if body["kind"] == "AEXPR_BETWEEN" else any(same)
            return bool(same and every) or not _names_columns([where])
        case "NullTest":
            return body.get("nulltesttype") == "IS_NOT_NULL" and _never_null(body.get("arg"), target)
        case "SubLink":
            return _covers_itself(body, target)
        case _:
            return not _names_columns([where])


def is_blanket_merge(body: Tree, target: CatalogRelation) -> bool:
    """Whether a MERGE changes or deletes every row of `target`, seen by its shape."""
    everywhere = is_blanket(body.get("joinCondition"), target)
    source = body.get("sourceRelation", {}).get("RangeVar", {})
    everywhere = everywhere or source.get("relname") == target.name
    for node in body.get("mergeWhenClauses", ()):
        clause = node["MergeWhenClause"]
        if clause.get("commandType") not in {"CMD_UPDATE", "CMD_DELETE"}:
            continue
        if not is_blanket(clause.get("condition"), target):
            continue
        if everywhere or clause.get("matchKind") == "MERGE_WHEN_NOT_MATCHED_BY_SOURCE":
            return True
    return False


def _complementary(args: list[Tree]) -> bool:
    """`x IS NULL OR x IS NOT NULL`, `a = 1 OR a <> 1`, `a OR NOT a`."""
    seen = []
    for arg in args:
        kind, body = kind_of(arg)
        if kind == "NullTest":
            seen.append(("null", repr(normal(body.get("arg"))), body.get("nulltesttype")))
    return any((a[0], a[1]) == (b[0], b[1]) and a[2] != b[2] for a in seen for b in seen)


def _is_empty(node: Tree) -> bool:
    """`id <> id`, `id IS NULL` and the like under a NOT: true for no row, as far as the shape tells."""
    _, body = kind_of(node)
    if body.get("kind") in {"AEXPR_OP", "AEXPR_DISTINCT"}:
        name = strings(body.get("name", ()))[-1:]
        same = normal(body.get("lexpr")) == normal(body.get("rexpr"))
        return same and (body["kind"] == "AEXPR_DISTINCT" or name[0] in {"<>", "<", ">"})
    return False


def _never_null(arg: Any, target: CatalogRelation) -> bool:
    kind, body = kind_of(arg)
    if kind != "ColumnRef":
        return False
    name = strings(body["fields"])[-1:]
    if name and name[0] in SYSTEM_COLUMNS:
        return True
    return any(c.name == name[0] and c.not_null for c in target.columns) if name else False


def _covers_itself(body: Tree, target: CatalogRelation) -> bool:
    """`id IN (SELECT id FROM the_same_table)`, `EXISTS (SELECT … FROM t)` without a condition."""
    return _gives_all(body.get("subselect", {}).get("SelectStmt", {}), str(body.get("subLinkType")), target)


def _gives_all(select: Tree, link: str, target: CatalogRelation) -> bool:
    if select.get("op") == "SETOP_UNION":
        return any(_gives_all(select[arm].get("SelectStmt", select[arm]), link, target) for arm in ("larg", "rarg"))
    if "larg" in select or any(
        select.get(key) for key in ("whereClause", "groupClause", "havingClause", "limitCount", "limitOffset")
    ):
        return False
    sources = [item.get("RangeVar", {}).get("relname") for item in select.get("fromClause", ())]
    if link == "EXISTS_SUBLINK":
        return None not in sources
    return link == "ANY_SUBLINK" and sources == [target.name]


def _names_columns(nodes: list[Any]) -> bool:
    todo: list[Any] = list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            if "ColumnRef" in node or "CurrentOfExpr" in node:
                return True
            todo += list(node.values())
    return False
