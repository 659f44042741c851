"""Names: quoting them, and the name that PostgreSQL gives an output column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dbgate.model import Tree

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")
_RESERVED = frozenset(
    """all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast
    char character check coalesce collate collation column concurrently constraint create cross current_catalog
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
    desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group
    grouping having ilike in initially inner inout int integer intersect interval into is isnull join json json_array
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value
    lateral leading least left like limit localtime localtimestamp merge_action national natural nchar none normalize not
    notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision primary
    real references returning right row select session_user setof similar smallint some substring symmetric system_user
    table tablesample then time timestamp to trailing treat trim true union unique user using values varchar variadic
    verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi
    xmlroot xmlserialize xmltable""".split()
)

UNNAMED = "?column?"


def quote(name: str) -> str:
    """Quote an identifier where SQL needs it."""
    if _PLAIN.match(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """`schema.name`, quoted where needed."""
    return f"{quote(schema)}.{quote(name)}"


_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([A-Za-z_][A-Za-z0-9_$]*))\s*(\.|\Z)')


def identifiers(text: str) -> list[str]:
    """The parts of a dotted name in a string, as `regclass` reads them; empty when it is none."""
    parts: list[str] = []
    position = 0
    while (match := _PART.match(text, position)) is not None:
        parts.append(match[1].replace('""', '"') if match[1] else match[2].lower())
        position = match.end()
        if match[3] != ".":
            return parts if len(parts) < 3 else []
    return []


def literal(text: str) -> str:
    """A string constant (`standard_conforming_strings` is on)."""
    return "'" + text.replace("'", "''") + "'"


def strings(nodes: Sequence[Tree]) -> list[str]:
    """The values of a list of `String` nodes; anything else ends the list."""
    return [node["String"].get("sval", "") for node in nodes if "String" in node]


def kind_of(node: Any) -> tuple[str, Tree]:
    """Split a wrapped node into its type and body."""
    if node.__class__ is dict and len(node) == 1:
        ((name, body),) = node.items()
        if body.__class__ is dict and name[:1].isupper():
            return name, body
    return "", {}


def column_references(node: Any) -> Iterator[Sequence[Tree]]:
    """The parts of every column name below a node: `String` nodes, and an `A_Star` for all columns."""
    todo = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            kind, body = kind_of(current)
            if kind == "ColumnRef":
                yield body["fields"]
            else:
                todo += [v for v in current.values() if isinstance(v, dict | list)]


def output_name(target: Tree) -> str:
    """The name of the output column for a `ResTarget` body. Source: PostgreSQL's FigureColname."""
    name = target.get("name")
    if name:
        return str(name)
    return _figure(target.get("val", {}))[0] or UNNAMED


_FIXED = {
    "CoalesceExpr": "coalesce",
    "A_ArrayExpr": "array",
    "RowExpr": "row",
    "GroupingFunc": "grouping",
    "MergeSupportFunc": "merge_action",
    "XmlSerialize": "xmlserialize",
    "JsonParseExpr": "json",
    "JsonScalarExpr": "json_scalar",
    "JsonSerializeExpr": "json_serialize",
    "JsonObjectConstructor": "json_object",
    "JsonArrayConstructor": "json_array",
    "JsonArrayQueryConstructor": "json_array",
    "JsonObjectAgg": "json_objectagg",
    "JsonArrayAgg": "json_arrayagg",
}
_JSON_FUNC = {"JSON_EXISTS_OP": "json_exists", "JSON_QUERY_OP": "json_query", "JSON_VALUE_OP": "json_value"}


def _figure(node: Any) -> tuple[str, int]:
    """The name of an expression and its strength: 2 a real name, 1 a type name, 0 none."""
    kind, body = kind_of(node)
    match kind:
        case "ColumnRef":
            names = strings(body["fields"])
            return (names[-1], 2) if names and "A_Star" not in body["fields"][-1] else ("", 0)
        case "A_Indirection":
            names = strings(body.get("indirection", ()))
            return (names[-1], 2) if names else _figure(body.get("arg"))
        case "FuncCall":
            return strings(body["funcname"])[-1], 2
        case "A_Expr" if body.get("kind") == "AEXPR_NULLIF":
            return "nullif", 2
        case "TypeCast":
            name, strength = _figure(body.get("arg"))
            types = strings(body.get("typeName", {}).get("names", ()))
            return (types[-1], 1) if strength <= 1 and types else (name, strength)
        case "CollateClause":
            return _figure(body.get("arg"))
        case "SubLink":
            return _figure_sublink(body)
        case "CaseExpr":
            name, strength = _figure(body.get("defresult"))
            return ("case", 1) if strength <= 1 else (name, strength)
        case "MinMaxExpr":
            return ("greatest" if body.get("op") == "IS_GREATEST" else "least"), 2
        case "SQLValueFunction":
            return _sql_value_name(str(body.get("op", ""))), 2
        case "XmlExpr":
            return str(body.get("op", "")).removeprefix("IS_").lower(), 2
        case "JsonFuncExpr":
            return _JSON_FUNC.get(str(body.get("op")), ""), 2
        case _:
            return (_FIXED[kind], 2) if kind in _FIXED else ("", 0)


def _figure_sublink(body: Tree) -> tuple[str, int]:
    match body.get("subLinkType"):
        case "EXISTS_SUBLINK":
            return "exists", 2
        case "ARRAY_SUBLINK":
            return "array", 2
        case "EXPR_SUBLINK":
            select = body.get("subselect", {}).get("SelectStmt", {})
            targets = select.get("targetList")
            if targets:
                target = targets[0].get("ResTarget", {})
                return (str(target["name"]), 2) if target.get("name") else _figure(target.get("val"))
    return "", 0


def _sql_value_name(op: str) -> str:
    name = op.removeprefix("SVFOP_").lower()
    return name.removesuffix("_n") if name.endswith("_n") else name
