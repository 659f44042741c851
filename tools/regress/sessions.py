"""The two ways to the database: straight, and through dbgate's gate and session as `exec` goes."""

from __future__ import annotations

import re
import signal
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from msgspec.structs import replace
from psycopg.pq import ExecStatus
from tools.regress.labels import policy_for
from tools.regress.seen import Seen

from dbgate.catalog import Catalog
from dbgate.database.connection import Connection
from dbgate.database.failures import field
from dbgate.database.opening import open_connection
from dbgate.errors import DbgateError, StatementError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.names import literal
from dbgate.gate.policy.model import Policy
from dbgate.gate.script import Unread, read_script
from dbgate.gate.syntax import Source
from dbgate.gate.tracking import Changes
from dbgate.model import Identity, Json, Outcome, Target, TransactionStatus
from dbgate.session.driver import SessionDriver
from dbgate.session.ports import RequestState, Rows

STATEMENT_S = 90.0
"""After this many seconds a statement is cancelled, if the server's own timeout did not end it."""


class Watched(Connection):
    """dbgate's connection, which also keeps what the server itself said of the latest error."""

    latest: StatementError | None = None
    raw = ""

    def _failure(self, result: Any, text: str) -> DbgateError:
        from psycopg.pq import DiagnosticField

        error = super()._failure(result, text)
        self.raw = field(result, DiagnosticField.MESSAGE_PRIMARY)
        self.latest = error if isinstance(error, StatementError) else None
        return error


def _open(dsn: str) -> Watched:
    return Watched(open_connection(Target("regression", "postgres", dsn), "regress"), limits=None, state_dir=None)


@contextmanager
def _in_time(connection: Connection) -> Iterator[None]:
    """Cancel what runs too long."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGALRM, lambda *_: connection.cancel())
    signal.setitimer(signal.ITIMER_REAL, STATEMENT_S, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Direct:
    """A session straight on the database, over the same connection class."""

    def __init__(self, dsn: str) -> None:
        self.connection = _open(dsn)
        self.variables: dict[str, str] = {}

    def run(self, text: str) -> Seen:
        """Run one statement."""
        return run_directly(self.connection, text)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block of which nothing stays: no change, and no error in a transaction. Not for a failed one."""
        idle = self.connection.transaction is TransactionStatus.IDLE
        self.connection.execute_unrecorded("BEGIN" if idle else "SAVEPOINT regress_aside")
        try:
            yield
        finally:
            if idle:
                self.connection.execute_unrecorded("ROLLBACK")
            else:
                self.connection.execute_unrecorded("ROLLBACK TO SAVEPOINT regress_aside")
                self.connection.execute_unrecorded("RELEASE SAVEPOINT regress_aside")

    def probe(self, text: str) -> Seen:
        """Run one statement of the comparison's own, of which nothing stays."""
        if self.connection.transaction is TransactionStatus.FAILED:
            return Seen(sqlstate="25P02", message="the transaction has failed")
        with self.aside():
            return self.run(text)

    def copy_in(self, text: str, data: str) -> Seen:
        """Run COPY FROM STDIN."""
        return copy_in(self.connection, text, data)

    def close(self) -> None:
        """Disconnect."""
        self.connection.close()


def setting(connection: Connection, name: str) -> str | None:
    """The value of a setting; None where it cannot be asked: there is none, or the transaction has failed."""
    if connection.transaction is TransactionStatus.FAILED:
        return None
    try:
        return connection.ask(f"SELECT pg_catalog.current_setting({literal(name)}, true)")[0][0]
    except DbgateError:
        return None


def end_prepared(dsn: str) -> int:
    """Roll back what a script left prepared, which would hold its locks for ever; returns how many there were."""
    connection = _open(dsn)
    try:
        left = [gid or "" for (gid,) in connection.ask("SELECT gid FROM pg_catalog.pg_prepared_xacts")]
        for gid in left:
            connection.execute_unrecorded(f"ROLLBACK PREPARED {literal(gid)}")
    finally:
        connection.close()
    return len(left)


def run_directly(connection: Watched, text: str) -> Seen:
    """Run one statement over the extended protocol, whatever it is."""
    seen = Seen()
    try:
        with _in_time(connection):
            rows = connection.run(text)
            seen.names = [column.name for column in rows.columns]
            seen.types = [column.type_oid for column in rows.columns]
            for batch in rows.batches():
                seen.rows += batch
            seen.status = rows.status
    except StatementError as error:
        _note(seen, error, connection)
        seen.message = seen.raw or seen.message
    except DbgateError as error:
        seen.sqlstate, seen.message = "lost", error.message
    seen.transaction = str(connection.transaction)
    connection.notices()
    return seen


def _note(seen: Seen, error: StatementError, connection: Watched) -> None:
    seen.names, seen.types, seen.rows = [], [], []
    seen.sqlstate, seen.message = error.sqlstate, error.message
    seen.raw = connection.raw if error is connection.latest else error.message


def copy_in(connection: Watched, text: str, data: str) -> Seen:
    """Run COPY FROM STDIN with the lines that follow it in the script."""
    seen = Seen()
    connection.transaction  # noqa: B018 - notes where it stands
    pgconn = connection.wire.pgconn
    try:
        with _in_time(connection):
            connection._free()
            pgconn.nonblocking = 0
            result = pgconn.exec_(text.encode())  # the simple protocol: errors within the data leave nothing behind
            if result.status == ExecStatus.COPY_IN:
                pgconn.put_copy_data(data.encode())
                pgconn.put_copy_end()
                result = pgconn.get_result() or result
            if result.status == ExecStatus.FATAL_ERROR:
                error = connection._failure(result, text)
                seen.sqlstate, seen.message = getattr(error, "sqlstate", ""), connection.raw
            else:
                seen.status = (result.command_status or b"").decode()
            while pgconn.get_result() is not None:
                pass
            pgconn.nonblocking = 1
    except DbgateError as error:
        seen.sqlstate, seen.message = "lost", error.message
    seen.transaction = str(connection.transaction)
    connection.notices()
    return seen


class _Shown:
    """The door of the comparison: keeps the latest answer."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.denied = ""
        self.error = ""

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        """Keep the rows."""
        self.seen.names = [column.name for column in rows.columns]
        self.seen.types = [column.type_oid for column in rows.columns]
        for batch in rows.batches():
            self.seen.rows += batch
        self.seen.status = rows.status
        return Outcome(rows.status, rows=len(self.seen.rows))

    def message(self, level: str, text: str, hint: str = "") -> None:
        """Keep what was denied, and the first line of an error."""
        if level == "denied":
            self.denied = text
        elif level == "error":
            self.error = text.partition("\n")[0]

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        """Nobody is asked here."""

    def output(self) -> tuple[str, bool]:
        """Nothing is recorded here."""
        return "", False


class _NoRecord:
    """A transcript that keeps nothing: what is recorded has its own tests."""

    session = "regress"

    def record(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> int:
        """Nothing."""
        return 0

    def close(self, totals: Mapping[str, Json]) -> None:
        """Nothing."""


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()


class Gated(SessionDriver):
    """A session through the gate, under the policy of `labels` for the database as it is at each statement."""

    def __init__(self, dsn: str) -> None:
        self.connection = _open(dsn)
        self.variables: dict[str, str] = {}
        self.shown = _Shown()
        self.error: StatementError | None = None
        self.last_judgement: Judgement | None = None
        self._labels: tuple[Catalog, Policy] | None = None
        super().__init__(
            judge=self._judge_noting,
            read_script=self._read_noting,
            policy=policy_for(self.connection.catalog()),
            identity=Identity("local:regress", "regress"),
            target=Target("regression", "postgres", dsn),
            recorder=_NoRecord(),
            database=self.connection,
            approvals=None,
            display=self.shown,
            clock=_Clock(),
            keep_going=True,
        )

    @property
    def policy(self) -> Policy:
        """The policy of the latest judgement."""
        return self._labels[1] if self._labels else super().policy

    def run(self, text: str) -> Seen:
        """Have one statement judged and run. `last_judgement`, `shown.denied` and the answer tell what came of it."""
        self.shown.seen = Seen()
        self.shown.denied = ""
        self.error = self.connection.latest = self.last_judgement = None
        try:
            with _in_time(self.connection):
                finished = list(self.execute(text))
        except Exception as crash:  # noqa: BLE001 - a crash of the gate is a finding, and the next statement another one
            place = traceback.extract_tb(crash.__traceback__)[-1]
            told = f"{type(crash).__name__}: {crash} ({place.filename.rpartition('/')[2]}:{place.lineno})"
            return Seen(sqlstate="crash", message=told, transaction=str(self.connection.transaction))
        seen = self.shown.seen
        error = self.error or self.connection.latest
        if error is not None and finished and finished[-1].exit_code:
            _note(seen, error, self.connection)
            told = str(finished[-1].detail.get("sqlstate", seen.sqlstate))
            if told != seen.sqlstate:  # the session told something else than the gate
                seen.sqlstate, seen.message = told, self.shown.error
        elif finished and finished[-1].exit_code and not self.shown.denied:
            seen.sqlstate, seen.message = "lost", self.closed or "unknown"
        seen.transaction = str(self.connection.transaction)
        return seen

    def bypass(self, text: str, data: str | None = None, *, defines: bool = True) -> Seen:
        """Run a statement past the gate, so that this database stays in step with the others.

        What `defines` may change the catalog or the search path, which are then read anew.
        """
        seen = run_directly(self.connection, text) if data is None else copy_in(self.connection, text, data)
        if defines:
            self._performer.state.adopt(Changes(catalog=True))
            self._performer.state.adopt(Changes(search_path=True))
        return seen

    def rewrote_cursor(self, name: str) -> bool:
        """Whether the query of a cursor was sent in another form than typed."""
        cursor = self._performer.state.objects.cursors.get(name) if name else None
        return cursor is not None and cursor.text != cursor.source.text

    def rewrote_prepared(self, text: str) -> bool:
        """Whether a function that is given EXECUTE as a string finds a prepared statement in another form than typed."""
        prepared = self._performer.state.objects.prepared
        words = re.findall(r"'[^']*\bexecute\s+(\w+)", text, re.IGNORECASE)
        return any(name in prepared and prepared[name].text != prepared[name].source.text for name in words)

    def _read_noting(self, script: str, values: Mapping[str, str | None]) -> list[Source | Unread]:
        pieces = read_script(script, values)
        self.error = next((piece.error for piece in pieces if isinstance(piece, Unread)), self.error)
        return pieces

    def _judge_noting(self, source: Source, context: Context) -> Judgement:
        try:
            if self._labels is None or self._labels[0] is not context.catalog:
                self._labels = context.catalog, policy_for(context.catalog)
            self.last_judgement = judge(source, replace(context, policy=self._labels[1]))
        except StatementError as error:
            self.error = error
            raise
        return self.last_judgement

    def close(self, reason: str = "") -> None:
        """Disconnect."""
        with suppress(DbgateError):
            super().close(reason)
