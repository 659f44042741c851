"""The error for a qualifier that names nothing, worded as PostgreSQL words it.

A FROM item of that name may well stand in the statement, but under an alias, inside a join that has one, or beside the
sub-select that names it. Source: PostgreSQL's `errorMissingRTE` and `searchRangeTableForRel`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dbgate.errors import StatementError
from dbgate.gate.names import kind_of
from dbgate.model import Tree

_LEVELS = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


class MissingEntry(StatementError):
    """The statement's `name.column` at byte `location` names no FROM item that can be named there."""

    def __init__(self, name: str, location: int) -> None:
        super().__init__(f'missing FROM-clause entry for table "{name}"', sqlstate="42P01", position=location + 1)
        self.name = name
        self.location = location


def explain_missing(error: MissingEntry, tree: Tree) -> None:
    """Reword the error where the statement has such a FROM item after all."""
    levels = _levels_around(tree, error.location, ())
    if levels is None:
        return
    for level, inside_from in reversed(levels):
        for name, alias, location in _items(level):
            if error.name in {name, alias} and not (inside_from and location > error.location):
                error.message = f'invalid reference to FROM-clause entry for table "{error.name}"'
                error.args = (error.message,)
                if alias and alias != error.name:
                    error.hint = f'perhaps you meant to reference the table alias "{alias}"'
                return


_Levels = tuple[tuple[Tree, bool], ...]
"""Query levels from the outermost, each with whether the way inwards leads through its FROM."""


def _levels_around(node: Any, location: int, levels: _Levels, *, inside_from: bool = False) -> _Levels | None:
    """The query levels around the column at `location`; None where it is not below `node`."""
    if isinstance(node, list):
        return next(
            (f for n in node if (f := _levels_around(n, location, levels, inside_from=inside_from)) is not None), None
        )
    if not isinstance(node, dict):
        return None
    kind, body = kind_of(node)
    if kind == "ColumnRef":
        return levels if body.get("location", 0) == location else None
    if kind in _LEVELS:
        return _in_level(body, location, levels)
    for part in node.values():
        found = _levels_around(part, location, levels, inside_from=inside_from)
        if found is not None:
            return found
    return None


def _in_level(body: Tree, location: int, levels: _Levels) -> _Levels | None:
    for key, part in body.items():
        inner = (*levels, (body, key in {"fromClause", "usingClause"}))
        bare = key in {"larg", "rarg"}  # a side of a set operation, which comes without its wrapper
        found = _in_level(part, location, inner) if bare else _levels_around(part, location, inner)
        if found is not None:
            return found
    return None


def _items(level: Tree) -> Iterator[tuple[str, str, int]]:
    """The FROM items of one level: name, alias (each empty when none), byte location."""
    for key in ("relation", "sourceRelation"):
        if key in level:
            yield from _named(level[key] if kind_of(level[key])[0] else {"RangeVar": level[key]})
    for key in ("fromClause", "usingClause"):
        for item in level.get(key, ()):
            yield from _named(item)
    if "onConflictClause" in level:
        yield "excluded", "", 0


def _named(item: Any) -> Iterator[tuple[str, str, int]]:
    kind, body = kind_of(item)
    alias = body.get("alias", {}).get("aliasname", "")
    if kind == "JoinExpr":
        yield from _named(body.get("larg"))
        yield from _named(body.get("rarg"))
    if kind:
        yield body.get("relname", "") if kind == "RangeVar" else "", alias, body.get("location", 0)
