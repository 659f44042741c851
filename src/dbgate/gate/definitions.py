"""Definitions on tables with hidden columns or rows that neither read those nor take the policy off them.

`ADD COLUMN`, an index on other columns, a key to other columns: what they are built from, everybody sees. Everything
that is not known to be so is refused (`refusals.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from dbgate.catalog import CatalogRelation
from dbgate.gate.names import column_references, kind_of, strings
from dbgate.gate.protection import Protection
from dbgate.model import Tree

_ON_THE_WHOLE = frozenset({"CONSTR_NOTNULL", "CONSTR_NULL", "CONSTR_DEFAULT", "CONSTR_IDENTITY"})
_KEYS = frozenset({"CONSTR_UNIQUE", "CONSTR_PRIMARY"})
_COMPUTED = frozenset({"CONSTR_CHECK", "CONSTR_GENERATED"})
_ATTRIBUTES = frozenset({"CONSTR_ATTR_DEFERRABLE", "CONSTR_ATTR_NOT_DEFERRABLE", "CONSTR_ATTR_IMMEDIATE"})


class _Table(msgspec.Struct, frozen=True):
    """A table as a definition may use it: its `open` columns, and whether rows of it are `filtered`."""

    name: str
    open: frozenset[str]
    filtered: bool

    def shows(self, names: Iterable[str], *new: str) -> bool:
        """Whether all these columns are seen in clear, in all rows."""
        return not self.filtered and all(name in self.open or name in new for name in names)

    def computes(self, expression: Any, *new: str) -> bool:
        """Whether an expression is made of such columns alone."""
        names = list(_columns(expression))
        return None not in names and self.shows([name for name in names if name], *new)


def is_harmless(kind: str, body: Tree, relation: CatalogRelation, protection: Protection) -> bool:
    """Whether a definition of that kind may touch `relation`, of which something is hidden."""
    hidden = protection.hidden_columns(relation)
    table = _Table(
        relation.name,
        frozenset(column.name for column in relation.columns if column.name not in hidden),
        bool(protection.filters(relation) or protection.filtered_part(relation)),
    )
    keys = [node for node in _foreign_keys(body) if node["pktable"].get("relname") == relation.name]
    if not all(_refers_openly(key, table, relation) for key in keys):
        return False
    if body.get("relation", {}).get("relname") != relation.name:
        return bool(keys) and kind in {"CreateStmt", "AlterTableStmt"} and not _copies(body, relation.name)
    match kind:
        case "IndexStmt":
            return _index(body, table)
        case "AlterTableStmt":
            return all(_command(node["AlterTableCmd"], table) for node in body.get("cmds", ()))
        case "RenameStmt":
            column = body.get("renameType") == "OBJECT_COLUMN" and body.get("relationType") == "OBJECT_TABLE"
            return column and table.shows([body.get("subname", "")])
        case _:
            return False


def _index(body: Tree, table: _Table) -> bool:
    elements = [node["IndexElem"] for key in ("indexParams", "indexIncludingParams") for node in body.get(key, ())]
    if table.filtered:  # neither a failure nor the size may hang on rows behind the filter
        plain = all(element.get("name") in table.open for element in elements)
        return plain and not body.get("unique") and not body.get("whereClause")
    named = table.shows(element["name"] for element in elements if element.get("name"))
    computed = all(table.computes(element["expr"]) for element in elements if element.get("expr"))
    return named and computed and table.computes(body.get("whereClause"))


def _command(command: Tree, table: _Table) -> bool:
    """One action of ALTER TABLE."""
    name, (kind, inner) = command.get("name", ""), kind_of(command.get("def"))
    match command.get("subtype"):
        case "AT_AddColumn":
            new = inner.get("colname", "")
            return all(_constraint(node["Constraint"], table, new) for node in inner.get("constraints", ()))
        case "AT_AddConstraint":
            return kind == "Constraint" and _constraint(inner, table)
        case "AT_ColumnDefault" | "AT_DropNotNull":
            return name in table.open
        case "AT_SetNotNull" | "AT_SetStatistics":
            return table.shows([name])
        case "AT_DropColumn":
            return table.shows([name]) and command.get("behavior") != "DROP_CASCADE"
        case "AT_AlterColumnType":
            return table.shows([name]) and table.computes(inner.get("raw_default"))
        case _:
            return False


def _constraint(body: Tree, table: _Table, *new: str) -> bool:
    kind = body.get("contype")
    if kind in _ON_THE_WHOLE:
        return bool(new)
    if kind in _ATTRIBUTES:
        return True
    if kind in _COMPUTED:
        return table.computes(body.get("raw_expr"), *new)
    if kind in _KEYS:
        return not body.get("indexname") and table.shows([*strings(body.get("keys", ())), *new], *new)
    if kind == "CONSTR_FOREIGN":
        return table.shows([*strings(body.get("fk_attrs", ())), *new], *new)
    return False


def _foreign_keys(node: Any) -> Iterator[Tree]:
    todo = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, list):
            todo += current
        elif isinstance(current, dict):
            if current.get("contype") == "CONSTR_FOREIGN" and "pktable" in current:
                yield current
            todo += [v for v in current.values() if isinstance(v, dict | list)]


def _refers_openly(key: Tree, table: _Table, relation: CatalogRelation) -> bool:
    """Whether a foreign key refers to columns that are seen: it fails where there is no such row."""
    numbers = set(relation.primary_key)
    names = strings(key.get("pk_attrs", ())) or [c.name for c in relation.columns if c.number in numbers]
    return bool(names) and table.shows(names)


def _copies(body: Tree, name: str) -> bool:
    """Whether a table is made like another one, of its kind or as its part."""
    bodies = [node["RangeVar"] for node in body.get("inhRelations", ())]
    bodies += [e["TableLikeClause"]["relation"] for e in body.get("tableElts", ()) if "TableLikeClause" in e]
    for command in body.get("cmds", ()):
        bodies += [v for v in kind_of(command)[1].get("def", {}).values() if isinstance(v, dict) and "relname" in v]
    return any(inner.get("relname") == name for inner in bodies)


def _columns(node: Any) -> Iterator[str | None]:
    """The columns that an expression names; None for whatever is more than the plain name of one."""
    for fields in column_references(node):
        names = strings(fields)
        yield names[0] if len(names) == len(fields) == 1 else None
