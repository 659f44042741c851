"""A catalog imagined from a statement: the tables and columns that it names, as if they existed.

For trying a policy without a database. Whatever the statement and the policy name exists, as text; `*` stands for what
else the statement and the policy name of that table.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dbgate.catalog import Catalog, CatalogColumn, CatalogFunction, CatalogRelation
from dbgate.gate.names import kind_of, strings
from dbgate.gate.policy.globs import is_glob
from dbgate.gate.policy.match import table_matches
from dbgate.gate.policy.model import FunctionList, Policy
from dbgate.gate.syntax import parse_one
from dbgate.model import Relation, Tree

SCHEMA = "public"
TEMPORARY = "pg_temp_1"
_SYSTEM = ("pg_catalog", "information_schema")
_FIRST_OID = 16384
_TEXT_OID = 25

Name = tuple[str, str]
"""Schema and name of a relation."""


class _Mentions(msgspec.Struct):
    """What a statement mentions. `made` are the bodies of relations that it makes."""

    relations: dict[Name, dict[str, None]] = msgspec.field(default_factory=dict)
    aliases: dict[str, Name] = msgspec.field(default_factory=dict)
    references: list[list[str]] = msgspec.field(default_factory=list)
    queries: set[str] = msgspec.field(default_factory=set)
    made: set[int] = msgspec.field(default_factory=set)


def imagine(tree: Tree, policy: Policy) -> Catalog:
    """The catalog in which every table and column that a statement names exists. `tree` is the raw parse tree."""
    found = _Mentions()
    _find_names(tree, found)
    _find_relations(tree, found)
    for parts in found.references:
        _place(parts, found)
    for name, columns in found.relations.items():
        columns.update(dict.fromkeys(_of_policy(name, policy)))
    system = {f"{s}.{n}": tuple(columns) for (s, n), columns in found.relations.items() if s in _SYSTEM}
    own = [(name, tuple(columns)) for name, columns in found.relations.items() if name[0] not in _SYSTEM]
    schemas = dict.fromkeys([SCHEMA, *(name[0] for name, _ in own), TEMPORARY])
    return Catalog(
        database="imagined",
        role="imagined",
        server_version=170000,
        search_path=(SCHEMA,),
        fingerprint="imagined",
        schemas=tuple(schemas),
        relations=tuple(_relation(number, name, columns) for number, (name, columns) in enumerate(own, _FIRST_OID)),
        functions=_functions(policy.functions),
        extensions=policy.functions.extensions,
        system=system,
    )


def _find_names(node: Any, found: _Mentions) -> None:
    """Names of common table expressions, and relations that the statement makes."""
    for current in _nodes(node):
        kind, body = kind_of(current)
        if kind == "CommonTableExpr":
            found.queries.add(body.get("ctename", ""))
        for key in ("into", "intoClause"):
            if isinstance(current.get(key), dict):
                found.made.add(id(current[key].get("rel")))
        if kind in {"CreateStmt", "CreateForeignTableStmt"}:
            found.made.add(id(body.get("relation")))
        if kind == "ViewStmt":
            found.made.add(id(body.get("view")))


def _find_relations(node: Any, found: _Mentions) -> None:
    """Relations with their aliases, columns that are named, and columns that are written."""
    for current in _nodes(node):
        if "relname" in current and "relpersistence" in current and id(current) not in found.made:
            _relation_named(current, found)
        kind, body = kind_of(current)
        if kind == "ColumnRef":
            found.references.append(strings(body["fields"]))
        target = current.get("relation")
        if isinstance(target, dict) and "relname" in target and id(target) not in found.made:
            columns = _relation_named(target, found)
            written = [*current.get("cols", ()), *(current.get("targetList", ()) if "cols" not in current else ())]
            columns.update(dict.fromkeys(_written(written)))
            columns.update(dict.fromkeys(strings(current.get("attlist", ()))))
            for clause in current.get("mergeWhenClauses", ()):
                columns.update(dict.fromkeys(_written(clause["MergeWhenClause"].get("targetList", ()))))
            conflict = current.get("onConflictClause")
            columns.update(dict.fromkeys(_written((conflict or {}).get("targetList", ()))))


def _written(targets: Any) -> list[str]:
    return [t["ResTarget"]["name"] for t in targets if "name" in t.get("ResTarget", {})]


def _relation_named(body: Tree, found: _Mentions) -> dict[str, None]:
    """The columns of the relation that a `RangeVar` body names; a new dict for a common table expression."""
    schema, name = body.get("schemaname", ""), body["relname"]
    if not schema and name in found.queries:
        return {}
    key = (TEMPORARY if schema == "pg_temp" else schema or SCHEMA, name)
    alias = body.get("alias", {}).get("aliasname", name)
    found.aliases.setdefault(alias, key)
    return found.relations.setdefault(key, {})


def _place(parts: list[str], found: _Mentions) -> None:
    """Give a column that is named to a relation: the one it names, or the first."""
    if not parts or not found.relations:
        return
    column = parts[-1]
    if len(parts) == 1:
        if column not in found.aliases and not any(column in columns for columns in found.relations.values()):
            next(iter(found.relations.values()))[column] = None
        return
    key = found.aliases.get(parts[-2]) if len(parts) == 2 else (parts[-3], parts[-2])
    if key in found.relations:
        found.relations[key][column] = None


def _of_policy(name: Name, policy: Policy) -> list[str]:
    """The columns that the policy names of a relation: in classify entries, and in the filters of its rows."""
    columns: list[str] = []
    for entry in policy.classify:
        for glob in entry.columns:
            schema, table, column = glob.split(".")
            if (schema, table) == name and not is_glob(column):
                columns.append(column)
    for rows in policy.rows:
        if table_matches((rows.table,), Relation(*name)):
            tree = parse_one(f"SELECT WHERE ({rows.where})")
            references = (kind_of(node) for node in _nodes(tree))
            columns += [strings(body["fields"])[-1] for kind, body in references if kind == "ColumnRef"]
    return columns


def _relation(oid: int, name: Name, columns: tuple[str, ...]) -> CatalogRelation:
    return CatalogRelation(
        oid=oid,
        schema=name[0],
        name=name[1],
        kind="r",
        columns=tuple(
            CatalogColumn(number, column, "text", _TEXT_OID, _TEXT_OID, "text", "S")
            for number, column in enumerate(columns, 1)
        ),
    )


def _functions(functions: FunctionList) -> tuple[CatalogFunction, ...]:
    made = []
    for number, signature in enumerate(functions.allow, 1):
        name, _, arguments = signature.removesuffix(")").partition("(")
        schema, _, bare = name.partition(".")
        made.append(CatalogFunction(number, schema, bare, arguments))
    return tuple(made)


def _nodes(node: Any) -> list[dict[str, Any]]:
    """All dicts of a parse tree, in the order of the text."""
    found: list[dict[str, Any]] = []
    todo: list[Any] = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, dict):
            found.append(current)
            todo += reversed(current.values())
        elif isinstance(current, list):
            todo += reversed(current)
    return found
