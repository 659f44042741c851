"""The rows of other tables that foreign keys change along, as queries: over any number of levels, and around cycles.

What happens to a table is a *node*: rows deleted, or rows whose columns of some names change. Keys lead from node to
node. Without a cycle among the nodes each level is a query around the one before; with one (a tree that refers to
itself) a recursive query follows single rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from dbgate.catalog import CatalogRelation, ForeignKey
from dbgate.gate.names import qualified, quote
from dbgate.gate.relations import Schema

MAX_NODES = 200
"""More are not followed: the rows count as unknown."""

TABLE, ROW = quote("dbgate table"), quote("dbgate row")
"""What queries for touched rows call a row's `tableoid` and `ctid`."""


class Node(msgspec.Struct, frozen=True):
    """What happens to a relation: `delete`, or `update` of the columns `names` (None: of any)."""

    relation: int
    action: str
    names: frozenset[str] | None = None


class Step(msgspec.Struct, frozen=True):
    """A foreign key that carries a change from the rows of one node to those of another."""

    source: Node
    target: Node
    here: tuple[str, ...]
    """The referring columns."""
    there: tuple[str, ...]
    """The referenced columns."""


class Rows(msgspec.Struct, frozen=True):
    """A query that gives the touched rows of a node, with `TABLE` and `ROW` before their columns."""

    node: Node
    text: str


def counting(schema: Schema, bases: Sequence[Rows]) -> list[tuple[Node, str]] | None:
    """Queries that count the rows of every node that follows from `bases`, these included; None when too many do.

    Rows that are deleted count once, over however many keys they are reached; updates count for each key.
    """
    steps = _steps(schema, [rows.node for rows in bases])
    if steps is None:
        return None
    if _has_cycle(steps):
        return _around(schema, bases, steps)
    found = [*bases]
    for rows in found:
        found += [_next(schema, rows, step) for step in steps if step.source == rows.node]
        if len(found) > MAX_NODES:
            return None
    return _counted(found)


def _counted(found: Iterable[Rows]) -> list[tuple[Node, str]]:
    deleted: dict[int, list[Rows]] = {}
    queries: list[tuple[Node, str]] = []
    for rows in found:
        if rows.node.action == "delete":
            deleted.setdefault(rows.node.relation, []).append(rows)
        else:
            queries.append((rows.node, f"SELECT count(*) FROM ({rows.text}) AS touched"))
    for several in deleted.values():
        union = " UNION ".join(f"SELECT {TABLE}, {ROW} FROM ({rows.text}) AS touched" for rows in several)
        text = f"SELECT count(*) FROM ({union if len(several) > 1 else several[0].text}) AS touched"
        queries.append((several[0].node, text))
    return queries


def _next(schema: Schema, rows: Rows, step: Step) -> Rows:
    child = schema.by_oid[step.target.relation]
    left = ", ".join(f"child.{quote(name)}" for name in step.here)
    right = ", ".join(f"parent.{quote(name)}" for name in step.there)
    text = (
        f"SELECT child.tableoid AS {TABLE}, child.ctid AS {ROW}, child.* FROM {_named(child)} AS child "
        f"WHERE ({left}) IN (SELECT {right} FROM ({rows.text}) AS parent)"
    )
    return Rows(step.target, text)


def _around(schema: Schema, bases: Sequence[Rows], steps: Sequence[Step]) -> list[tuple[Node, str]]:
    """Queries that follow keys row by row: what was reached before is not followed again."""
    nodes = list(dict.fromkeys([*(rows.node for rows in bases), *(s.target for s in steps)]))
    number = {node: n for n, node in enumerate(nodes)}
    start = " UNION ALL ".join(f"SELECT {number[r.node]}, {TABLE}, {ROW} FROM ({r.text}) AS base" for r in bases)
    carried = " UNION ALL ".join(_carried(schema, step, number) for step in steps)
    head = (
        f"WITH RECURSIVE touched (node, tab, tid) AS (({start}) UNION "
        f"SELECT step.* FROM touched AS t, LATERAL ({carried}) AS step)"
    )
    groups: dict[tuple[int, str], list[Node]] = {}
    for node in nodes:
        groups.setdefault((node.relation, node.action), []).append(node)
    return [
        (
            same[0],
            f"{head} SELECT count(*) FROM (SELECT DISTINCT tab, tid FROM touched WHERE node IN "
            f"({', '.join(str(number[node]) for node in same)})) AS rows",
        )
        for same in groups.values()
    ]


def _carried(schema: Schema, step: Step, number: Mapping[Node, int]) -> str:
    child, parent = schema.by_oid[step.target.relation], schema.by_oid[step.source.relation]
    pairs = zip(step.here, step.there, strict=True)
    same = " AND ".join(f"child.{quote(a)} = parent.{quote(b)}" for a, b in pairs)
    return (
        f"SELECT {number[step.target]}, child.tableoid, child.ctid FROM {_named(parent)} AS parent, {_named(child)} "
        f"AS child WHERE t.node = {number[step.source]} AND parent.tableoid = t.tab AND parent.ctid = t.tid AND {same}"
    )


def _named(relation: CatalogRelation) -> str:
    return qualified(relation.schema, relation.name)


def _steps(schema: Schema, bases: Iterable[Node]) -> list[Step] | None:
    """All steps that follow from nodes, directly or over others; None when they reach too many nodes."""
    seen = dict.fromkeys(bases)
    todo, steps = [*seen], []
    while todo:
        node = todo.pop()
        for key in _keys(schema, node.relation):
            step = _step(schema, node, key)
            if step is None:
                continue
            steps.append(step)
            if step.target not in seen:
                seen[step.target] = None
                todo.append(step.target)
        if len(seen) > MAX_NODES:
            return None
    return steps


def _step(schema: Schema, node: Node, key: ForeignKey) -> Step | None:
    rule = key.on_delete if node.action == "delete" else key.on_update
    if rule not in "cnd" or key.relation not in schema.by_oid:
        return None
    there = {c.number: c.name for c in schema.by_oid[key.referenced].columns}
    here = {c.number: c.name for c in schema.by_oid[key.relation].columns}
    referenced, referring = (
        tuple(there[n] for n in key.referenced_columns),
        tuple(here[n] for n in key.columns),
    )
    if node.action == "update" and node.names is not None and node.names.isdisjoint(referenced):
        return None
    deletes = node.action == "delete" and rule == "c"
    target = Node(key.relation, "delete") if deletes else Node(key.relation, "update", frozenset(referring))
    return Step(node, target, referring, referenced)


def _keys(schema: Schema, oid: int) -> list[ForeignKey]:
    """The keys that refer to a relation or its parts; one for each, though the server keeps more for partitions."""
    found = [key for part in (oid, *schema.descendants(oid)) for key in schema.keys_to.get(part, ())]
    found.sort(key=lambda key: (key.referenced != oid, len(schema.ancestors(key.relation))))
    chosen: list[ForeignKey] = []
    for key in found:
        above = {key.relation, *schema.ancestors(key.relation)}
        if not any(c.relation in above and _columns(schema, c) == _columns(schema, key) for c in chosen):
            chosen.append(key)
    return chosen


def _columns(schema: Schema, key: ForeignKey) -> list[str]:
    relation = schema.by_oid.get(key.relation)
    names = {c.number: c.name for c in relation.columns} if relation else {}
    return [names.get(n, str(n)) for n in key.columns]


def _has_cycle(steps: Iterable[Step]) -> bool:
    """Whether some node follows from itself (Kahn 1962: what cannot be put in order lies on a cycle)."""
    edges = {(step.source, step.target) for step in steps}
    nodes = {node for edge in edges for node in edge}
    while free := {node for node in nodes if all(target != node for _, target in edges)}:
        nodes -= free
        edges = {(source, target) for source, target in edges if source not in free}
    return bool(nodes)
