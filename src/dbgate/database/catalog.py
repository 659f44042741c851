"""Reads `dbgate.catalog.Catalog` from the server in one round trip, and keeps it in a file while nothing changed."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dbgate.catalog import (
    Catalog,
    CatalogOperator,
    CatalogRelation,
    Numbering,
)
from dbgate.database import catalog_queries as queries
from dbgate.database import catalog_rows as rows
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
    queries.BEHIND,
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
    behind: list[Row],
    rest: list[Row],
) -> Catalog:
    known = {
        int(row[0] or 0): rows.TypeRow(row[3] or "", row[4] or "", int(row[5] or 0), row[6] or "") for row in types
    }
    by_relation = rows.columns(columns, known, texts)
    made: list[CatalogRelation] = []
    composites: list[CatalogRelation] = []
    system: dict[str, tuple[str, ...]] = {}
    for row in relations:
        own = by_relation.get(row[0] or "", ())
        if row[1] in SYSTEM:
            system[f"{row[1]}.{row[2]}"] = tuple(column.name for column in own)
        else:
            (composites if row[3] == "c" else made).append(rows.relation(row, own))
    session = connection.session
    return Catalog(
        database=session.database,
        role=session.role,
        server_version=session.server_version,
        search_path=session.search_path,
        fingerprint=_digest(marks),
        schemas=tuple(row[1] or "" for row in rest if row[0] == "schema"),
        relations=tuple(made),
        foreign_keys=tuple(rows.foreign_key(row) for row in foreign_keys),
        constraints=tuple(rows.constraint(row) for row in constraints),
        composites=tuple(composites),
        functions=tuple(rows.function(row) for row in functions),
        operators=tuple(
            CatalogOperator(row[1] or "", row[2] or "", int(row[3] or 0), int(row[4] or 0), int(row[5] or 0))
            for row in rest
            if row[0] == "operator"
        ),
        types=tuple(
            rows.kind_of_type(row, known) for row in types if row[1] not in SYSTEM and (row[8] == "t" or row[9])
        ),
        extensions=tuple(row[1] or "" for row in rest if row[0] == "extension"),
        system=system,
        casts=tuple(rows.cast(row) for row in behind if row[0] == "cast"),
        type_functions={int(row[1] or 0): rows.numbers(row[2]) for row in behind if row[0] == "use"},
        type_checks={int(row[1] or 0): rows.numbers(row[2]) for row in behind if row[0] == "check"},
        type_parts={int(row[1] or 0): rows.numbers(row[2]) for row in behind if row[0] == "part"},
        type_names={oid: kind.written for oid, kind in known.items() if oid not in BUILT_IN},
        newest=marks[0][1] or "",
        numberings=tuple(
            Numbering(int(row[3] or 0), int(row[4] or 0), int(row[5] or 0)) for row in rest if row[0] == "numbering"
        ),
    )
