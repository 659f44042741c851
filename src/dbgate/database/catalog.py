"""Reads `dbgate.catalog.Catalog` from the server in one round trip, and keeps it in a file while nothing changed."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from dbgate.catalog import (
    Catalog,
    CatalogCast,
    CatalogColumn,
    CatalogFunction,
    CatalogOperator,
    CatalogRelation,
    CatalogType,
    Constraint,
    ForeignKey,
)
from dbgate.database import catalog_queries as queries
from dbgate.database.catalog_cache import CatalogCache
from dbgate.database.typenames import BUILT_IN
from dbgate.errors import StatementError
from dbgate.model import TransactionStatus

if TYPE_CHECKING:
    from dbgate.database.connection import Connection
    from dbgate.database.rows import Row

SYSTEM = frozenset({"pg_catalog", "information_schema"})
# A temporary table of the session must not stand for a system catalog: pg_temp comes last.
_ALONE = "SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)"
_SAVEPOINT = "dbgate_catalog"
_TEMPORARY = "pg_temp_"
_DROPPED_MEANWHILE = frozenset({"XX000", "42P01", "42704", "42883"})
_QUERIES = [
    queries.FINGERPRINT,
    queries.RELATIONS,
    queries.COLUMNS,
    queries.TYPES,
    queries.COLUMN_TEXTS,
    queries.FOREIGN_KEYS,
    queries.CONSTRAINTS,
    queries.FUNCTIONS,
    queries.REST,
]


def current_catalog(connection: Connection, known: Catalog | None, state_dir: Path | None) -> Catalog:
    """The catalog as it is now: `known` or the one in the file if its fingerprint still holds, or read anew.

    In a failed transaction the server answers nothing: `known` stays then. Raises like `Connection.run`.
    """
    if known is not None and connection.transaction is TransactionStatus.FAILED:
        return known
    now = fingerprint(connection)
    if known is not None and known.fingerprint == now:
        return known
    session = connection.session
    cache = CatalogCache(state_dir, f"{session.address}/{session.database}/{session.role}/{session.server_version}")
    catalog = cache.read(now)
    if catalog is None:
        catalog = load(connection)
        if not any(schema.startswith(_TEMPORARY) for schema in catalog.schemas):
            cache.write(catalog)
    return msgspec.structs.replace(catalog, search_path=session.search_path)


def fingerprint(connection: Connection) -> str:
    """A short text that changes with every change of definitions, privileges or comments; one cheap query."""
    return _digest(_ask(connection, [queries.FINGERPRINT])[0])


def load(connection: Connection) -> Catalog:
    """Read the whole catalog, in one round trip. Raises like `Connection.run`.

    What is dropped by others in the middle of it makes the server stumble over its own names: then once more.
    """
    try:
        answers = _ask(connection, _QUERIES)
    except StatementError as error:
        if error.sqlstate not in _DROPPED_MEANWHILE:
            raise
        answers = _ask(connection, _QUERIES)
    with _without_collector():
        return _assemble(connection, *answers)


def _ask(connection: Connection, texts: list[str]) -> list[list[Row]]:
    """Ask with an empty search path, which holds for these queries only, in a transaction or out of one."""
    if connection.transaction is TransactionStatus.IDLE:
        return connection.ask_all([_ALONE, *texts])[1:]
    back = f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}"
    connection.execute_unrecorded(f"SAVEPOINT {_SAVEPOINT}")
    try:
        return connection.ask_all([_ALONE, *texts])[1:]
    finally:
        if connection.is_open:
            connection.execute_unrecorded(back)
            connection.execute_unrecorded(f"RELEASE SAVEPOINT {_SAVEPOINT}")


def _digest(rows: list[Row]) -> str:
    return hashlib.sha256((rows[0][0] or "").encode()).hexdigest()[:32]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Hundreds of thousands of new values, none of them garbage: collecting meanwhile only costs time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Type(NamedTuple):
    kind: str
    category: str
    base: int
    written: str


def _assemble(
    connection: Connection,
    marks: list[Row],
    relations: list[Row],
    columns: list[Row],
    types: list[Row],
    texts: list[Row],
    foreign_keys: list[Row],
    constraints: list[Row],
    functions: list[Row],
    rest: list[Row],
) -> Catalog:
    known = {int(row[0] or 0): _Type(row[3] or "", row[4] or "", int(row[5] or 0), row[6] or "") for row in types}
    by_relation = _columns(columns, known, texts)
    made: list[CatalogRelation] = []
    composites: list[CatalogRelation] = []
    system: dict[str, tuple[str, ...]] = {}
    for row in relations:
        own = by_relation.get(row[0] or "", ())
        if row[1] in SYSTEM:
            system[f"{row[1]}.{row[2]}"] = tuple(column.name for column in own)
        else:
            (composites if row[3] == "c" else made).append(_relation(row, own))
    session = connection.session
    return Catalog(
        database=session.database,
        role=session.role,
        server_version=session.server_version,
        search_path=session.search_path,
        fingerprint=_digest(marks),
        schemas=tuple(row[1] or "" for row in rest if row[0] == "schema"),
        relations=tuple(made),
        foreign_keys=tuple(_foreign_key(row) for row in foreign_keys),
        constraints=tuple(_constraint(row) for row in constraints if row[0] == "constraint"),
        casts=tuple(
            CatalogCast(row[1] or "", row[2] or "", int(row[3] or 0), row[4] or "")
            for row in constraints
            if row[0] == "cast"
        ),
        composites=tuple(composites),
        functions=tuple(_function(row) for row in functions),
        operators=tuple(
            CatalogOperator(row[1] or "", row[2] or "", int(row[3] or 0)) for row in rest if row[0] == "operator"
        ),
        types=tuple(_type(row, known) for row in types if row[1] not in SYSTEM and (row[8] == "t" or row[9])),
        extensions=tuple(row[1] or "" for row in rest if row[0] == "extension"),
        system=system,
        type_names={oid: kind.written for oid, kind in known.items() if oid not in BUILT_IN},
        newest=marks[0][1] or "",
    )


def _columns(rows: list[Row], types: dict[int, _Type], texts: list[Row]) -> dict[str, tuple[CatalogColumn, ...]]:
    """The columns of each relation, by its OID as text; `rows` are in order of relation and number."""
    expressions: dict[tuple[str | None, str | None], str] = {}
    comments: dict[tuple[str | None, str | None], str] = {}
    written: dict[tuple[str | None, str | None], str] = {}
    for relation, number, kind, text in texts:
        {"default": expressions, "comment": comments}.get(kind or "", written)[relation, number] = text or ""
    described: dict[tuple[str | None, str | None], tuple[str, int, int, str, str]] = {}
    found: dict[str, list[CatalogColumn]] = {}
    for relation, number, name, oid, modifier, not_null, generated in rows:
        about = described.get((oid, modifier))
        if about is None:
            about = described[oid, modifier] = _described(int(oid or 0), written.get((oid, modifier), ""), types)
        column = CatalogColumn(
            int(number or 0),
            name or "",
            *about,
            not_null == "t",
            generated or "",
            expressions.get((relation, number), "") if generated else "",
            comments.get((relation, number), "") if comments else "",
        )
        found.setdefault(relation or "", []).append(column)
    return {relation: tuple(columns) for relation, columns in found.items()}


def _described(oid: int, written: str, types: dict[int, _Type]) -> tuple[str, int, int, str, str]:
    """Of a column's type: as written, OID, OID without domains, name of that, category."""
    unknown = _Type("", "U", 0, f"type {oid}")
    declared = types.get(oid, unknown)
    base, base_oid = declared, oid
    while base.kind == "d" and base.base in types:
        base_oid = base.base
        base = types[base_oid]
    return written or declared.written, oid, base_oid, base.written, base.category


def _relation(row: Row, columns: tuple[CatalogColumn, ...]) -> CatalogRelation:
    oid, schema, name, kind, parents, definition, depends, readable, key, rules, triggers, rows, *rest = row
    comment, type_oid, partition_key, mark = rest
    return CatalogRelation(
        oid=int(oid or 0),
        schema=schema or "",
        name=name or "",
        kind=kind or "",
        columns=columns,
        parents=_numbers(parents),
        definition=definition or "",
        depends=_numbers(depends),
        readable=readable == "t",
        primary_key=_numbers(key),
        has_rules=rules == "t",
        has_triggers=triggers == "t",
        row_estimate=int(rows or 0),
        comment=comment or "",
        type_oid=int(type_oid or 0),
        partition_key=partition_key or "",
        mark=mark or "",
    )


def _constraint(row: Row) -> Constraint:
    _, name, kind, relation, columns = row
    return Constraint(name or "", int(relation or 0), kind or "", _numbers(columns))


def _foreign_key(row: Row) -> ForeignKey:
    name, relation, columns, referenced, referenced_columns, on_delete, on_update = row
    return ForeignKey(
        name or "",
        int(relation or 0),
        _numbers(columns),
        int(referenced or 0),
        _numbers(referenced_columns),
        on_delete or "",
        on_update or "",
    )


def _function(row: Row) -> CatalogFunction:
    oid, schema, name, arguments, kind, language, definer, extension, returns, *rest = (value or "" for value in row)
    counts = int(rest[0]), rest[1] == "t"
    return CatalogFunction(
        int(oid), schema, name, arguments, kind, language, definer == "t", extension, returns, *counts
    )


def _type(row: Row, types: dict[int, _Type]) -> CatalogType:
    oid, kind = int(row[0] or 0), row[3] or ""
    base = _described(oid, "", types)[3] if kind == "d" else ""
    return CatalogType(oid, row[1] or "", row[2] or "", kind, row[7] or "", _numbers(row[9]), base)


def _numbers(text: str | None) -> tuple[int, ...]:
    """The numbers in a JSON array."""
    return tuple(int(number) for number in json.loads(text)) if text else ()
