"""Which relations a judgement hangs on: they have to be unchanged when the statement runs."""

from __future__ import annotations

from dbgate.catalog import CatalogRelation
from dbgate.gate.findings import Findings
from dbgate.gate.relations import Schema

PINNED = frozenset(
    """SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt ExplainStmt CreateTableAsStmt PrepareStmt DeclareCursorStmt
    CopyStmt""".split()
)
"""Statements that read relations. Others define things: labels do not change what they show."""
NO_RELATION = 0
"""An OID that no relation has: the check then looks at the search path's schemas and at new functions only."""


def pinned(kind: str, found: Findings, schema: Schema) -> tuple[int, ...]:
    """The OIDs of what a statement reads and changes, of what views read, and of the tables that rows are inherited from
    and through.

    A new child stands in its parent's list of children: those without children of their own need not be looked at.
    """
    if kind not in PINNED:
        return ()
    entries = [*found.reads, *(entry for _, entry in found.targets)]
    seen: dict[int, None] = {}
    todo = [entry.relation for entry in entries if entry.relation is not None]
    while todo:
        relation = todo.pop()
        if relation.oid and relation.oid not in seen:
            seen[relation.oid] = None
            todo += _behind(relation, schema)
    return tuple(seen)


def _behind(relation: CatalogRelation, schema: Schema) -> list[CatalogRelation]:
    below = relation.depends if relation.kind == "v" else ()
    through = [oid for oid in schema.children.get(relation.oid, ()) if oid in schema.children]
    return [schema.by_oid[oid] for oid in (*below, *relation.parents, *through) if oid in schema.by_oid]
