"""What the comparison asks of a statement's parse tree."""

from __future__ import annotations

from typing import Any

from dbgate.errors import StatementError
from dbgate.gate.names import kind_of, strings
from dbgate.gate.scope import SYSTEM_COLUMNS
from dbgate.gate.syntax import parse_one
from dbgate.model import Tree

_DATA_ONLY = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CopyStmt", "FetchStmt"})
"""Statements that leave the catalog as it is."""
_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_WHO = frozenset({"role", "session_authorization"})


def tree_of(text: str) -> Tree:
    """The parse tree; empty where the text is no single statement."""
    try:
        return parse_one(text)
    except StatementError:
        return {}


def is_select(tree: Tree) -> bool:
    """Whether the statement is a query: SELECT, VALUES or TABLE, that makes no table."""
    kind, body = _kind(tree)
    return kind == "SelectStmt" and not _first(body).get("intoClause")


def is_ordered(tree: Tree) -> bool:
    """Whether the query asks for an order."""
    kind, body = _kind(tree)
    return kind == "SelectStmt" and bool(body.get("sortClause"))


def defines(tree: Tree) -> bool:
    """Whether the statement may change the catalog, or where names are looked for."""
    return _kind(tree)[0] not in _DATA_ONLY


def cursor_of(tree: Tree) -> str:
    """The cursor that the statement moves or stands on; empty when none."""
    kind, body = _kind(tree)
    if kind == "FetchStmt":
        return str(body.get("portalname", ""))
    return str(kind_of(body.get("whereClause"))[1].get("cursor_name", "")) if "whereClause" in body else ""


def filled_table(tree: Tree) -> Tree | None:
    """The RangeVar of the table that the statement makes from a query; None when it makes none."""
    kind, body = _kind(tree)
    if kind == "SelectStmt":
        into = _first(body).get("intoClause")
    elif kind == "CreateTableAsStmt" and body.get("objtype") == "OBJECT_TABLE":
        into = body.get("into")
    else:
        return None
    return into["rel"] if into else None


def writes(tree: Any) -> bool:
    """Whether anything in the statement changes a table."""
    if isinstance(tree, list):
        return any(writes(part) for part in tree)
    return isinstance(tree, dict) and (kind_of(tree)[0] in _CHANGES or any(writes(part) for part in tree.values()))


def reads_system_column(tree: Any) -> bool:
    """Whether the statement asks where a row lies or what wrote it."""
    if isinstance(tree, list):
        return any(reads_system_column(part) for part in tree)
    if not isinstance(tree, dict):
        return False
    kind, body = kind_of(tree)
    if kind == "ColumnRef":
        return strings(body["fields"])[-1:] in [[name] for name in SYSTEM_COLUMNS - {"tableoid"}]
    return any(reads_system_column(part) for part in tree.values())


def from_prepared(tree: Tree) -> bool:
    """Whether the statement makes a table from a prepared statement, which may be a rewritten one."""
    kind, body = _kind(tree)
    return kind == "CreateTableAsStmt" and kind_of(body.get("query"))[0] == "ExecuteStmt"


def changed_setting(tree: Tree) -> tuple[str, bool]:
    """The setting that SET or RESET changes, and whether for the transaction only; empty for another statement.

    Who the session acts for is no setting here.
    """
    kind, body = _kind(tree)
    name = str(body.get("name", "")) if kind == "VariableSetStmt" else ""
    if name.lower() in _WHO or body.get("kind") == "VAR_SET_MULTI":
        return "", False
    return name, bool(body.get("is_local"))


def _first(body: Tree) -> Tree:
    """The first SELECT of a set operation."""
    while "larg" in body:
        body = body["larg"]
    return body


def _kind(tree: Tree) -> tuple[str, Tree]:
    return kind_of(tree) if tree else ("", {})
