"""Statements that write sequences, or read their last number.

`nextval('s')`, `setval('s', 1)`, `setval(pg_get_serial_sequence('t', 'id'), 1)`, `currval('s')`, `lastval()`.
"""

from __future__ import annotations

from collections.abc import Sequence

from dbgate.catalog import CatalogRelation
from dbgate.gate.contents import Contents, Numbered
from dbgate.gate.names import identifiers
from dbgate.gate.protection import Protection
from dbgate.gate.relations import Schema
from dbgate.gate.statement import Examined, relation_value
from dbgate.model import Access, Touch


def use_sequences(examined: Examined, contents: Contents, protection: Protection, path: Sequence[str]) -> None:
    """Count the written sequences as updated. Those that are not known are refused, and those that number a hidden column."""
    for sequence in _known(contents.sequences, contents, protection.schema, path):
        _refuse_hidden(sequence, contents, protection, "leave the column to its default")
        examined.touches.append(Touch("update", Access.WRITE, relation_value(sequence)))
        if examined.access.strength < Access.WRITE.strength:
            examined.verb, examined.access = "update", Access.WRITE
    read = _known(contents.numbers, contents, protection.schema, path)
    if contents.any_number:  # which sequence gave the session's last number only the server knows
        read += [relation for relation in protection.schema.catalog.relations if relation.kind == "S"]
    for sequence in read:
        _refuse_hidden(sequence, contents, protection, "name another sequence by currval, or use RETURNING")


def _refuse_hidden(sequence: CatalogRelation, contents: Contents, protection: Protection, hint: str) -> None:
    if protection.hidden_columns(sequence):
        contents.refuse(f"{sequence.schema}.{sequence.name} numbers a column that you see only masked", hint)


def _known(named: Sequence[Numbered], contents: Contents, schema: Schema, path: Sequence[str]) -> list[CatalogRelation]:
    """The sequences that a statement names; none where one of them is not known, which refuses the statement."""
    found: list[CatalogRelation] = []
    for name in named:
        if isinstance(name, str):
            meant = _named(name, schema, path)
            sequences = [meant] if meant is not None and meant.kind == "S" else []
            why = f"{name} is not a sequence that dbgate knows"
        else:
            sequences = _numbering(*name, schema, path)
            why = f"{name[0]} has no column {name[1]} with a sequence that dbgate knows"
        if not sequences:
            contents.refuse(why)
            return []
        found += sequences
    return found


def _named(name: str, schema: Schema, path: Sequence[str]) -> CatalogRelation | None:
    """The relation that a string names, as `regclass` reads it."""
    parts = identifiers(name)
    return schema.lookup(parts[-2] if len(parts) > 1 else "", parts[-1], path) if parts else None


def _numbering(table: str, column: str, schema: Schema, path: Sequence[str]) -> list[CatalogRelation]:
    """The sequences that give a column its values. The column's name is taken as it is, quotes and capitals too.

    Source: PostgreSQL 18 manual, 9.27.5 (`pg_get_serial_sequence`). One that only stands in the column's default counts as
    well, so that none is missed.
    """
    relation = _named(table, schema, path)
    numbers = {c.number for c in relation.columns if c.name == column} if relation is not None else set()
    oids = dict.fromkeys(
        numbering.sequence
        for numbering in schema.catalog.numberings
        if relation is not None and numbering.relation == relation.oid and numbering.column in numbers
    )
    known = [schema.by_oid[oid] for oid in oids if oid in schema.by_oid]
    return known if len(known) == len(oids) else []
