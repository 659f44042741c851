"""Approvals on SQLite: the store of one machine, for any number of processes on it."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from dbgate.approvals import keeping, queries, schema
from dbgate.approvals.queries import Row, SqlUnit
from dbgate.approvals.records import Event, StoredRequest
from dbgate.approvals.store import Query
from dbgate.approvals.webhooks import outbox
from dbgate.approvals.webhooks.outbox import Delivery
from dbgate.errors import Unreachable, UsageError
from dbgate.private import make_private

_BUSY_TIMEOUT_S = 15.0


class SqliteStore:
    """`store.Store` on one SQLite file (WAL, every commit synced). Safe from several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, readable by its owner only. Raises `UsageError` when that cannot be."""
        self._lock = threading.RLock()
        self._reading = threading.Lock()
        try:
            make_private(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = _connect(path)
            try:
                self._migrate(path)
                self._reader = _connect(path)
                self._reader.execute("PRAGMA query_only = ON")
            except BaseException:
                self._connection.close()
                raise
        except (OSError, sqlite3.Error, Unreachable) as error:
            raise UsageError(
                f"cannot use {path} for approvals: {error}", hint="name another file with --database sqlite:///PATH"
            ) from error

    @property
    def rates(self) -> None:
        """Each process counts for itself: to share would cost a write to disk."""
        return

    def _migrate(self, path: Path) -> None:
        """Apply what is missing. Files from before `schema_version` counted in `PRAGMA user_version` alone."""
        with self._transaction("BEGIN IMMEDIATE") as statements:
            statements.change(schema.VERSIONS)
            counted = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
            found = schema.check_version(max(counted, schema.version_of(statements)), len(schema.SQLITE), str(path))
            for number, script in enumerate(schema.SQLITE, start=1):
                if number > found:
                    for statement in _split(script):
                        self._connection.execute(statement)
                schema.note_version(statements, number, time.time())
            self._connection.execute(f"PRAGMA user_version = {len(schema.SQLITE)}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[SqliteStatements]:
        """A transaction. Raises `Unreachable` when the file is locked for too long, or cannot be read or written."""
        with self._lock:
            try:
                self._connection.execute(begin)
                try:
                    yield SqliteStatements(self._connection)
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise _unusable(error) from error

    @contextmanager
    def _read(self) -> Iterator[SqliteStatements]:
        """A read-only transaction on a connection of its own: it waits for no writer, who waits for the disk."""
        with self._reading:
            try:
                self._reader.execute("BEGIN")
                try:
                    yield SqliteStatements(self._reader)
                finally:
                    if self._reader.in_transaction:
                        self._reader.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                raise _unusable(error) from error

    @contextmanager
    def begin(self) -> Iterator[SqlUnit]:
        """Begin a write transaction: SQLite's one write lock is taken at once."""
        with self._transaction("BEGIN IMMEDIATE") as statements:
            yield SqlUnit(statements)

    def get(self, request_id: str) -> StoredRequest | None:
        """A request, or None."""
        with self._read() as statements:
            return queries.get(statements, request_id)

    def is_delivery_due(self, now: datetime) -> bool:
        """Whether any hook waits to be told."""
        with self._read() as statements:
            return outbox.is_any_due(statements, now)

    def deliveries(self, status: str, limit: int = 200) -> Sequence[Delivery]:
        """Webhooks in a status, latest first."""
        with self._read() as statements:
            return outbox.deliveries(statements, status=status, limit=limit)

    def delivery_counts(self) -> Mapping[str, int]:
        """How many webhooks there are in each status."""
        with self._read() as statements:
            return outbox.counts(statements)

    def kept(self, name: str, now: datetime) -> tuple[str, datetime] | None:
        """What is kept under a name, and until when, or None."""
        with self._read() as statements:
            return keeping.kept(statements, name, now)

    def find(self, query: Query) -> Sequence[StoredRequest]:
        """The requests that match, newest first."""
        with self._read() as statements:
            return queries.find(statements, query)

    def live_counts(self) -> Mapping[str, int]:
        """How many requests there are in each live status."""
        with self._read() as statements:
            return queries.live_counts(statements)

    def next_due(self, now: datetime) -> bool:
        """Whether any live request is past its deadline."""
        with self._read() as statements:
            return queries.is_any_due(statements, now)

    def events(self, *, after: int = 0, request_id: str = "", limit: int = 1000) -> Sequence[Event]:
        """Events with a number above `after`, in order."""
        with self._read() as statements:
            return queries.events(statements, after=after, request_id=request_id, limit=limit)

    def last_event(self) -> int:
        """The number of the latest event."""
        with self._read() as statements:
            return queries.last_event(statements)

    def close(self) -> None:
        """Close the file."""
        with self._lock, self._reading:
            self._connection.close()
            self._reader.close()


def _unusable(error: sqlite3.OperationalError) -> Unreachable:
    return Unreachable(f"the approvals database cannot be used now: {error}", hint="nothing was changed; try again")


class SqliteStatements:
    """`queries.Statements` on an SQLite connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, text: str, **values: str | int | None) -> Sequence[Row]:
        """Run a query and return its rows."""
        return [dict(row) for row in self._connection.execute(_dialect(text), values).fetchall()]

    def change(self, text: str, **values: str | int | None) -> int:
        """Run a statement that changes rows, and tell how many."""
        return self._connection.execute(_dialect(text), values).rowcount

    def add(self, text: str, **values: str | int | None) -> None:
        """Run a statement whose outcome nobody asks for."""
        self._connection.execute(_dialect(text), values)


@lru_cache
def _dialect(text: str) -> str:
    return re.sub(r"\bMEMBERS\((:\w+)\)", r"json_each(\1)", text)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _split(script: str) -> Iterator[str]:
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""
