"""What a scan asks a database: which relations, which columns, and the statements that sample them.

The statements go through the gate like everybody's: what the policy hides from a person stays hidden from their scan.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from dbgate.catalog import CatalogColumn, CatalogRelation
from dbgate.gate.labels import FIRST_USER_OID
from dbgate.gate.names import qualified, quote
from dbgate.gate.policy.globs import matches
from dbgate.gate.relations import Schema
from dbgate.model import ColumnName
from dbgate.scan.subject import Subject

VALUE_CHARACTERS = 600
DOCUMENT_CHARACTERS = 6000
COLUMNS_AT_ONCE = 50
LARGE_ROWS = 20_000
"""Tables that are estimated larger are sampled by pages (`TABLESAMPLE SYSTEM`), not from their start."""
SPARSE = 20
"""Columns with fewer values than this in the sample are asked for those that are not NULL."""

_OUT = frozenset({"boolean", "tsvector", "tsquery", "xid", "oid", "pg_lsn", "txid_snapshot", "pg_snapshot"})
_EXTENSION_TYPES = frozenset({"citext", "hstore"})
_DOCUMENTS = frozenset({"json", "jsonb", "hstore", "xml"})


class Query(msgspec.Struct, frozen=True):
    """A statement that samples `columns`, in the order of its result."""

    text: str
    columns: tuple[CatalogColumn, ...]


def is_wanted(relation: CatalogRelation, schema_glob: str, table_glob: str) -> bool:
    """Whether a relation is to be scanned: none of the session's own, and one that the globs hold."""
    own = relation.kind in "rpvmf" and not relation.schema.startswith("pg_")
    return own and matches(schema_glob, relation.schema) and matches(table_glob, relation.name)


def own_columns(relation: CatalogRelation, schema: Schema) -> tuple[CatalogColumn, ...]:
    """The columns that are not inherited: those of partitions and inheriting tables are sampled through the parent."""
    inherited = {c.name for oid in relation.parents if oid in schema.by_oid for c in schema.by_oid[oid].columns}
    return tuple(column for column in relation.columns if column.name not in inherited)


def subject_of(relation: CatalogRelation, column: CatalogColumn) -> Subject:
    """A column as the catalog describes it."""
    return Subject(
        ColumnName(relation.schema, relation.name, column.name),
        column.base_type,
        column.category,
        column.comment,
        relation.comment,
        tuple(other.name for other in relation.columns if other is not column),
    )


def estimated_rows(relation: CatalogRelation, schema: Schema) -> int:
    """Rows of a relation and its parts, as the server estimates them."""
    parts = (schema.by_oid[oid].row_estimate for oid in schema.descendants(relation.oid) if oid in schema.by_oid)
    return max(relation.row_estimate, 0) + sum(max(rows, 0) for rows in parts)


def sample_queries(
    relation: CatalogRelation, columns: Collection[CatalogColumn], *, rows: int, estimate: int
) -> Iterator[Query]:
    """The statements that sample `rows` rows of some columns of a relation.

    A column of a type of the database's own goes alone: what reads it may be refused, and nothing else suffers then.
    """
    sampled = [column for column in columns if can_be_sampled(column)]
    alone = [column for column in sampled if column.type_oid >= FIRST_USER_OID]
    sampled = [column for column in sampled if column.type_oid < FIRST_USER_OID]
    name = qualified(relation.schema, relation.name)
    part = _part(relation, rows, estimate)
    together = [tuple(sampled[start : start + COLUMNS_AT_ONCE]) for start in range(0, len(sampled), COLUMNS_AT_ONCE)]
    for some in [*together, *((column,) for column in alone)]:
        items = ", ".join(f"{_expression(column)} AS c{n}" for n, column in enumerate(some))
        yield Query(f"SELECT {items} FROM {name}{part} LIMIT {rows}", some)


def sparse_query(relation: CatalogRelation, column: CatalogColumn, *, rows: int) -> Query:
    """The statement that looks for values of a column that is mostly NULL."""
    name = qualified(relation.schema, relation.name)
    text = f"SELECT {_expression(column)} AS c0 FROM {name} WHERE {quote(column.name)} IS NOT NULL LIMIT {rows}"
    return Query(text, (column,))


def can_be_sampled(column: CatalogColumn) -> bool:
    """Whether a column's values are read: types of extensions and of the database's own could do anything as text."""
    if column.category in "BRTV" or column.base_type in _OUT:
        return False
    known = column.base_oid < FIRST_USER_OID or column.category in "EAC"
    return known or column.base_type.rpartition(".")[2] in _EXTENSION_TYPES


def _part(relation: CatalogRelation, rows: int, estimate: int) -> str:
    if relation.kind not in "rpm" or estimate <= LARGE_ROWS:
        return ""
    percent = min(100.0, max(0.001, 500.0 * rows / estimate))
    return f" TABLESAMPLE SYSTEM ({percent:.3f}) REPEATABLE (1)"


def _expression(column: CatalogColumn) -> str:
    name = quote(column.name)
    if column.category in "AC":
        return f"pg_catalog.left(pg_catalog.to_json({name})::text, {DOCUMENT_CHARACTERS})"
    wide = column.base_type.rpartition(".")[2] in _DOCUMENTS or column.base_type == "bytea"
    return f"pg_catalog.left({name}::text, {DOCUMENT_CHARACTERS if wide else VALUE_CHARACTERS})"
