"""Connections to PostgreSQL for the threads of the service, and what becomes of them when the database goes away.

A transaction's first statement shows whether an idle connection still lives; if not, all idle ones are let go and a
new one is made. So the service is there again with the first request after the database is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg.rows import dict_row

from dbgate.errors import DbgateError, Unreachable, UsageError

_LOG = logging.getLogger("dbgate.approvals")

_GONE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
)
"""Broken, refused, timed out, or a standby that takes no writes."""

_DEFAULTS = {
    "application_name": "dbgate-approvals",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "target_session_attrs": "read-write",
}
"""libpq's parameters (PostgreSQL manual, 34.1.2), where the DSN does not say otherwise: a dead peer is noticed."""

_Connection = psycopg.Connection[dict[str, Any]]
_T = TypeVar("_T")


class Pool:
    """At most `size` connections. Safe from several threads."""

    def __init__(self, dsn: str, *, size: int = 10, wait_s: float = 5.0) -> None:
        """Raises `UsageError` when the DSN cannot be read; the message holds nothing of it, for it may hold a password."""
        try:
            given = conninfo.conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            raise UsageError(
                "--database is not a PostgreSQL connection string",
                hint="write it as postgresql://USER@HOST/DATABASE, with special characters percent-encoded",
            ) from None
        self._parameters = conninfo.make_conninfo("", **(_DEFAULTS | {k: v for k, v in given.items() if v is not None}))
        self._places = threading.Semaphore(size)
        self._wait_s = wait_s
        self._idle: list[_Connection] = []
        self._is_closed = False
        self._is_down = False

    def query(
        self, opening: Sequence[str], text: bytes, values: Mapping[str, str | float | None]
    ) -> Sequence[dict[str, Any]]:
        """The rows of a query in a transaction of its own that `opening` begins, in one round trip. Raises `Unreachable`."""

        def ask(connection: _Connection) -> Sequence[dict[str, Any]]:
            with connection.pipeline():
                _run(connection, opening)
                found = connection.execute(text, values)
                connection.execute("COMMIT")
            return found.fetchall()

        with self._place():
            connection, rows = self._on_a_living_one(ask)
            self._give_back(connection)
            return rows

    @contextmanager
    def transaction(self, opening: Sequence[str]) -> Iterator[_Connection]:
        """A connection inside the transaction that `opening` begins; commits at the end, or undoes all on an exception.

        Raises `Unreachable`, with whether anything may have happened.
        """

        def begin(connection: _Connection) -> None:
            with connection.pipeline():
                _run(connection, opening)

        with self._place():
            connection, _ = self._on_a_living_one(begin)
            try:
                try:
                    yield connection
                except BaseException:
                    _undo(connection)
                    raise
                self._commit(connection)
            except psycopg.errors.ReadOnlySqlTransaction:
                connection.close()
                raise
            finally:
                self._give_back(connection)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Room for one more connection. Raises `Unreachable` where there is none, or the database is away."""
        if not self._places.acquire(timeout=self._wait_s):
            raise Unreachable("the approvals database is too busy", hint="nothing was changed; try again")
        try:
            yield
        except _GONE as error:
            raise self._down(error, "nothing was changed; try again") from error
        finally:
            self._places.release()

    def close(self) -> None:
        """Close the idle connections; those in use close when they are given back."""
        self._is_closed = True
        self._let_idle_go()

    def _on_a_living_one(self, work: Callable[[_Connection], _T]) -> tuple[_Connection, _T]:
        """Do the first work of a transaction on an idle connection that still lives, or on a new one; both are returned."""
        while connection := self._take_idle():
            try:
                return connection, _done(connection, work)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
                raise  # it lives, and another one would wait as long
            except psycopg.Error:
                self._let_idle_go()
        connection = psycopg.connect(self._parameters, autocommit=True, row_factory=dict_row, prepare_threshold=None)
        result = _done(connection, work)
        if self._is_down:
            self._is_down = False
            _LOG.warning("the approvals database is there again")
        return connection, result

    def _commit(self, connection: _Connection) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            connection.close()
            hint = "it may have taken effect: look before you try again"
            raise self._down(error, hint, "went away during the commit") from error

    def _down(self, error: Exception, hint: str, what: str = "cannot be used now") -> DbgateError:
        """The error to raise; the reason goes to the service's log, once until it works again."""
        if not self._is_down:
            self._is_down = True
            _LOG.warning("the approvals database %s: %s", what, str(error).strip())
        return Unreachable(f"the approvals database {what}", hint=hint)

    def _take_idle(self) -> _Connection | None:
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _give_back(self, connection: _Connection) -> None:
        if self._is_closed or connection.closed:
            connection.close()
        else:
            self._idle.append(connection)

    def _let_idle_go(self) -> None:
        while connection := self._take_idle():
            connection.close()


def _done(connection: _Connection, work: Callable[[_Connection], _T]) -> _T:
    """What the work gives; the connection is closed when it fails."""
    try:
        return work(connection)
    except BaseException:
        connection.close()
        raise


def _run(connection: _Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement.encode())


def _undo(connection: _Connection) -> None:
    """Roll back, or let the connection go."""
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()
