"""Approvals on PostgreSQL: one store for any number of instances of the service on any number of machines.

Every write transaction first takes one advisory lock, as SQLite takes its only write lock. So instances decide one
after the other, and numbers of events become visible in their order: who has seen number 7 has missed nothing below it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

import psycopg

from dbgate.approvals import keeping, queries, schema
from dbgate.approvals.pool import Pool
from dbgate.approvals.queries import Row, SqlUnit
from dbgate.approvals.records import Event, StoredRequest
from dbgate.approvals.refusals import BadRequest
from dbgate.approvals.store import Query
from dbgate.approvals.webhooks import outbox
from dbgate.approvals.webhooks.outbox import Delivery
from dbgate.errors import UsageError

_LOCK_KEY = 0x6462_6761_7465
"""The advisory lock of all writers: `dbgate` in ASCII. Advisory locks are a database's own."""

_SETTINGS = (
    "SELECT set_config('search_path', 'dbgate', true), set_config('statement_timeout', '{statement_s}s', true),"
    " set_config('lock_timeout', '{lock_s}s', true), set_config('idle_in_transaction_session_timeout', '10s', true)"
)


def _opening(mode: str, what: str = "", *, statement_s: int = 10, lock_s: int = 5) -> tuple[str, str]:
    """What begins a transaction. An instance that hangs inside one loses it after ten seconds, and with it the lock."""
    return f"BEGIN {mode}", _SETTINGS.format(statement_s=statement_s, lock_s=lock_s) + what


_TAKE_LOCK = f", pg_advisory_xact_lock({_LOCK_KEY})"
_READ = _opening("ISOLATION LEVEL REPEATABLE READ READ ONLY")
_WRITE = _opening("ISOLATION LEVEL READ COMMITTED READ WRITE", _TAKE_LOCK)
_MIGRATE = _opening("ISOLATION LEVEL READ COMMITTED READ WRITE", _TAKE_LOCK, statement_s=300, lock_s=120)


class PostgresStore:
    """`store.Store` on a PostgreSQL database, in its schema `dbgate`. Safe from several threads and instances."""

    def __init__(self, dsn: str) -> None:
        """Connect, and bring the tables up to date.

        `dsn` is a libpq connection string or URI; passwords may come by libpq's own ways. Raises `UsageError`
        when it cannot be read or the tables are newer than this dbgate, `Unreachable` when nobody answers.
        """
        self._pool = Pool(dsn)
        try:
            self._migrate()
        except psycopg.errors.InsufficientPrivilege as error:
            self._pool.close()
            raise UsageError(
                f"the role of the approvals database may not make its tables: {error.diag.message_primary}",
                hint="GRANT CREATE ON DATABASE … TO the role, or CREATE SCHEMA dbgate AUTHORIZATION the role",
            ) from error
        except BaseException:
            self._pool.close()
            raise

    def _migrate(self) -> None:
        with self._transaction(_MIGRATE) as statements:
            if not statements.rows("SELECT 1 AS one FROM pg_namespace WHERE nspname = 'dbgate'"):
                statements.change("CREATE SCHEMA dbgate")
            statements.change(schema.VERSIONS)
            found = schema.version_of(statements)
            schema.check_version(found, len(schema.POSTGRES), "the approvals database")
            for number, script in enumerate(schema.POSTGRES[found:], start=found + 1):
                statements.script(script)
                schema.note_version(statements, number, time.time())

    @contextmanager
    def _transaction(self, opening: Sequence[str]) -> Iterator[PostgresStatements]:
        with self._pool.transaction(opening) as connection:
            statements = PostgresStatements(connection)
            yield statements
            statements.finish()

    @property
    def _reading(self) -> PostgresQuery:
        return PostgresQuery(self._pool)

    @contextmanager
    def begin(self) -> Iterator[SqlUnit]:
        """Begin a write transaction. Raises `Unreachable` when the lock or the database is not to be had."""
        with self._transaction(_WRITE) as statements:
            yield SqlUnit(statements)

    def get(self, request_id: str) -> StoredRequest | None:
        """A request, or None."""
        return queries.get(self._reading, request_id)

    def is_delivery_due(self, now: datetime) -> bool:
        """Whether any hook waits to be told."""
        return outbox.is_any_due(self._reading, now)

    def deliveries(self, status: str, limit: int = 200) -> Sequence[Delivery]:
        """Webhooks in a status, latest first."""
        return outbox.deliveries(self._reading, status=status, limit=limit)

    def delivery_counts(self) -> Mapping[str, int]:
        """How many webhooks there are in each status."""
        return outbox.counts(self._reading)

    def kept(self, name: str, now: datetime) -> tuple[str, datetime] | None:
        """What is kept under a name, and until when, or None."""
        return keeping.kept(self._reading, name, now)

    def find(self, query: Query) -> Sequence[StoredRequest]:
        """The requests that match, newest first."""
        return queries.find(self._reading, query)

    def live_counts(self) -> Mapping[str, int]:
        """How many requests there are in each live status."""
        return queries.live_counts(self._reading)

    def next_due(self, now: datetime) -> bool:
        """Whether any live request is past its deadline."""
        return queries.is_any_due(self._reading, now)

    def events(self, *, after: int = 0, request_id: str = "", limit: int = 1000) -> Sequence[Event]:
        """Events with a number above `after`, in order."""
        return queries.events(self._reading, after=after, request_id=request_id, limit=limit)

    def last_event(self) -> int:
        """The number of the latest event."""
        return queries.last_event(self._reading)

    @property
    def rates(self) -> PostgresRates:
        """The pace of identities at all instances."""
        return PostgresRates(self._pool)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class PostgresStatements:
    """`queries.Statements` on a psycopg connection, inside a transaction.

    What is added waits for the next statement, and goes to the server together with it: while a write transaction holds
    the lock of all writers, every round trip is one that the others wait for.
    """

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self._connection = connection
        self._waiting: list[tuple[bytes, dict[str, str | int | None]]] = []

    def rows(self, text: str, **values: str | int | None) -> Sequence[Row]:
        """Run a query and return its rows."""
        return self._run(_dialect(text), _checked(values)).fetchall()

    def change(self, text: str, **values: str | int | None) -> int:
        """Run a statement that changes rows, and tell how many."""
        return self._run(_dialect(text), _checked(values)).rowcount

    def add(self, text: str, **values: str | int | None) -> None:
        """Run a statement whose outcome nobody asks for, with the next one."""
        self._waiting.append((_dialect(text), _checked(values)))

    def finish(self) -> None:
        """Run what still waits."""
        if self._waiting:
            self._run(*self._waiting.pop())

    def _run(self, text: bytes, values: Mapping[str, str | int | None]) -> psycopg.Cursor[dict[str, Any]]:
        if not self._waiting:
            return self._connection.execute(text, values)
        waiting, self._waiting = self._waiting, []
        with self._connection.pipeline():
            for earlier in waiting:
                self._connection.execute(*earlier)
            return self._connection.execute(text, values)

    def script(self, text: str) -> None:
        """Run several statements without parameters."""
        self._connection.execute(text.encode())


class PostgresQuery:
    """`queries.Reading` on a pool: each query in a read-only transaction of its own, in one round trip."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def rows(self, text: str, **values: str | int | None) -> Sequence[Row]:
        """Run a query and return its rows."""
        return self._pool.query(_READ, _dialect(text), _checked(values))


class PostgresRates:
    """`rates.Bucket` in the database: one row for each identity, changed in one round trip, by the database's clock.

    It waits for no decision: only for others at the same row. The table is unlogged, so it costs no write to disk; after
    a crash all buckets are full.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def take(self, identity: str, *, most: int, burst: float, per_s: float) -> tuple[int, float]:
        """Take up to `most` requests out of an identity's bucket: how many, and what is left. Raises `Unreachable`."""
        values = {"person": _checked({"person": identity})["person"], "most": most, "burst": burst, "per_s": per_s}
        row = self._pool.query(_TAKE, _TAKE_RATE.encode(), values)[0]
        return int(row["granted"]), float(row["level"])


_TAKE = _opening("ISOLATION LEVEL READ COMMITTED READ WRITE")

_TAKE_RATE = """
    INSERT INTO rates AS r (person, level, at, granted)
    VALUES (%(person)s, %(burst)s::float8 - %(most)s, extract(epoch FROM clock_timestamp()), %(most)s)
    ON CONFLICT (person) DO UPDATE SET (level, at, granted) = (
        SELECT here - taken, now, taken FROM (
            SELECT here, now, least(%(most)s, floor(here)) AS taken FROM (
                SELECT now, least(%(burst)s, r.level + greatest(now - r.at, 0) * %(per_s)s) AS here
                FROM (SELECT extract(epoch FROM clock_timestamp())::float8 AS now) AS clock
            ) AS bucket
        ) AS share
    )
    RETURNING granted, level"""


@lru_cache
def _dialect(text: str) -> bytes:
    text = re.sub(r"\bMEMBERS\(:(\w+)\)", r"jsonb_array_elements_text(%(\1)s::jsonb) AS members (value)", text)
    return re.sub(r"(?<![:\w]):([a-z]\w*)", r"%(\1)s", text).encode()


def _checked(values: dict[str, str | int | None]) -> dict[str, str | int | None]:
    """The values. Raises `BadRequest` for texts that PostgreSQL cannot hold."""
    for value in values.values():
        if isinstance(value, str):
            if "\0" in value:
                raise BadRequest("a text holds a NUL character")
            try:
                value.encode()
            except UnicodeError as error:
                raise BadRequest("a text is not Unicode") from error
    return values
