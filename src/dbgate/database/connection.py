"""`session.ports.Database` over one connection of psycopg's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.pq import DiagnosticField as Field
from psycopg.pq import ExecStatus
from psycopg.pq import TransactionStatus as Pq

from dbgate.catalog import names_in
from dbgate.database.opening import Limits, Session, open_connection, set_up
from dbgate.database.rows import Row, RowReader, StreamedRows
from dbgate.database.typenames import columns_of
from dbgate.database.wire import Wire, copied, lost
from dbgate.errors import DbgateError, StatementError, Unreachable
from dbgate.model import Target, TransactionStatus

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

    from dbgate.catalog import Catalog
    from dbgate.counters import Counters
    from dbgate.database.checked import Check

_STATUS = {
    Pq.IDLE: TransactionStatus.IDLE,
    Pq.INTRANS: TransactionStatus.OPEN,
    Pq.INERROR: TransactionStatus.FAILED,
}
_COUNT = "dbgate_count"
_SYNTAX_ERROR = "42601"
_FORGETTING = frozenset({"DEALLOCATE ALL", "DISCARD ALL"})
"""Statements after which the session has no prepared statements."""
GRAMMAR = 170000
"""The version whose grammar the gate reads: a syntax error of an older server's means syntax that is too new for it."""
_BLOCK_LINES = 4096
_MAX_NOTICES = 100
_TYPE_NAMES = "SELECT oid, pg_catalog.format_type(oid, NULL) FROM pg_catalog.pg_type"


def connect(
    target: Target,
    *,
    limits: Limits | None = None,
    state_dir: Path | None = None,
    application_name: str = "dbgate",
) -> Connection:
    """Connect to `target` and set the session up, in one round trip after the handshake.

    `limits` are enforced by the server, `state_dir` holds the cached catalog (None: no cache). Raises `UsageError`
    when the password's place holds none, and `Unreachable` with a hint, never with a password, for all else.
    """
    connection = open_connection(target, application_name)
    try:
        return Connection(connection, limits=limits, state_dir=state_dir)
    except DbgateError as error:
        connection.close()
        if isinstance(error, StatementError):
            raise Unreachable(f"target {target.name}: no session could be set up: {error.message}") from None
        raise


class Connection:
    """One session on a database. Not thread-safe but for `cancel`."""

    def __init__(
        self, connection: psycopg.Connection[tuple[object, ...]], *, limits: Limits | None, state_dir: Path | None
    ) -> None:
        self._wire = Wire(connection)
        self._reader = RowReader(connection)
        self._state_dir = state_dir
        self._rows: StreamedRows | None = None
        self._notices: list[str] = []
        self._stood = TransactionStatus.IDLE
        self._catalog: Catalog | None = None
        self._check: Check | None = None
        self._names: frozenset[str] | None = None
        self._types: dict[int, str] | None = None
        self._english = True
        self._sent = ""
        self._wire.pgconn.notice_handler = self._notice
        self.session: Session = set_up(self._wire, limits, self.ask)
        self._english = self.session.english

    @property
    def wire(self) -> Wire:
        """The messages of this connection, for `database.catalog`."""
        return self._wire

    def catalog(self, *, refresh: bool = False) -> Catalog:
        """The catalog, cached; `refresh` compares its fingerprint and reads it again if that changed."""
        from dbgate.database.catalog import current_catalog

        if self._catalog is None or refresh:
            self._free()
            catalog = current_catalog(self, self._catalog, self._state_dir)
            if catalog is not self._catalog:
                self._catalog, self._names = catalog, None
                self._types = dict(catalog.type_names)
        return self._catalog if self._catalog is not None else catalog

    def run(
        self,
        text: str,
        parameters: Sequence[str | None] = (),
        *,
        max_rows: int | None = None,
        pins: Sequence[int] = (),
    ) -> StreamedRows:
        """Send one statement and return its result, streamed. Beyond `max_rows` no more is read.

        `pins` are the OIDs of relations that have to be as the catalog has them (not for COPY). Raises `StatementError`
        (scrubbed), `DefinitionsChanged`, `ConnectionLost`, `Interrupted`; all but the second also while rows are read."""
        self._free()
        self._know_types()
        in_transaction = self._wire.status != Pq.IDLE
        self._sent = text
        if not pins:
            self._wire.send(text, parameters, streamed=True)
        elif (failed := self._checks().send(self.catalog(), text, parameters, pins)) is not None:
            raise self._failure(failed, text)
        self._rows = StreamedRows(
            self._wire,
            self._reader,
            columns=lambda result: columns_of(result, self._types or {}, self.session.search_path),
            failure=lambda result: self._failure(result, text),
            max_rows=max_rows,
            in_transaction=in_transaction,
        )
        return self._rows

    def _checks(self) -> Check:
        if self._check is None:
            from dbgate.database.checked import Check

            self._check = Check(self._wire)
        return self._check

    def verify(self, pins: Sequence[int]) -> None:
        """Raise `DefinitionsChanged` unless the relations with these OIDs are as the catalog has them."""
        self.run("SELECT", pins=pins).close()

    def ask(self, text: str, parameters: Sequence[str | None] = ()) -> list[Row]:
        """Run a small query of dbgate's own and return all its rows. Raises like `run`."""
        self._free()
        self._sent = text
        self._wire.send(text, parameters)
        rows: list[Row] = []
        failed: DbgateError | None = None
        while (result := self._wire.result()) is not None:
            if result.status == ExecStatus.TUPLES_OK:
                self._reader.start(result)
                rows += self._reader.read(result)
            elif result.status not in (ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY):
                failed = self._failure(result, text)
        if failed is not None:
            raise failed
        return rows

    def ask_all(self, texts: Sequence[str]) -> list[list[Row]]:
        """Run several queries of dbgate's own in one round trip and return the rows of each. Raises like `run`."""
        from dbgate.database.pipeline import ask_all

        self._free()
        self._sent = ""
        return ask_all(self._wire, self._reader, texts, lambda result: self._failure(result, ""))

    @property
    def is_open(self) -> bool:
        """Whether the connection can still be used."""
        return self._wire.is_open

    def count(self, text: str, parameters: Sequence[str | None] = ()) -> int:
        """Run a counting query where nothing can be written, and return its single number. See `look`."""
        rows = self.look(text, parameters)
        if len(rows) != 1 or len(rows[0]) != 1 or not (rows[0][0] or "").isdigit():
            raise StatementError("the rows that the statement would touch could not be counted")
        return int(rows[0][0] or 0)

    def look(self, text: str, parameters: Sequence[str | None] = ()) -> list[Row]:
        """Run a query where nothing can be written, and return all its rows.

        Outside a transaction that is a read-only one on one snapshot; within one, a savepoint that is read-only and
        rolled back, so that the person's transaction sees and keeps nothing of it.
        """
        if self.transaction is TransactionStatus.IDLE:
            begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            after: tuple[str, ...] = ("ROLLBACK",)
        else:
            begin = f"SAVEPOINT {_COUNT}"
            after = (f"ROLLBACK TO SAVEPOINT {_COUNT}", f"RELEASE SAVEPOINT {_COUNT}")
        self.execute_unrecorded(begin)
        try:
            self.execute_unrecorded("SELECT pg_catalog.set_config('transaction_read_only', 'on', true)")
            return self.ask(text, parameters)
        finally:
            if self._wire.is_open:
                for statement in after:
                    self.execute_unrecorded(statement)

    def counters(self) -> Counters | None:
        """What the server has counted of the open transaction's changes; None when it does not count."""
        from dbgate.database.counting import COUNTERS, counters_in

        return counters_in(self.ask(COUNTERS))

    def execute_unrecorded(self, text: str) -> None:
        """Run a statement of dbgate's own. Never a person's text. Raises like `run`."""
        self.ask(text)

    def copy_out(self, text: str, parameters: Sequence[str | None] = ()) -> Iterator[bytes]:
        """Send `COPY (…) TO STDOUT` and yield its output in blocks. Raises like `run`.

        Leaving the iteration early throws the rest away. PostgreSQL takes no parameters in COPY.
        """
        self._free()
        self._sent = text
        self._wire.send(text, parameters)
        result = self._wire.result()
        if result is None or result.status != ExecStatus.COPY_OUT:
            failed = self._failure(result, text) if result and result.status == ExecStatus.FATAL_ERROR else None
            if self._wire.is_open:
                self._wire.drain()
            raise failed or StatementError("the statement copies nothing out", hint="write COPY (SELECT …) TO STDOUT")
        ended = False
        try:
            while lines := copied(self._wire, _BLOCK_LINES):
                yield b"".join(lines)
            ended = True
        finally:
            if not ended and self._wire.is_open:
                self._wire.abandon()
        self._end_copy(text)

    def cancel(self) -> None:
        """Ask the server to cancel what runs. Safe from a signal handler or another thread; never raises."""
        self._wire.cancel()

    @property
    def transaction(self) -> TransactionStatus:
        """Where the transaction stands. While something runs: where it stood before."""
        status = self._wire.status
        if status == Pq.ACTIVE and self._rows is not None:
            return TransactionStatus.OPEN if self._rows.in_transaction else TransactionStatus.IDLE
        if status != Pq.ACTIVE:
            self._stood = _STATUS.get(status, TransactionStatus.UNKNOWN)
        return self._stood

    def notices(self) -> list[str]:
        """Notices since the last call: severity and primary message without values, or that there was one."""
        taken, self._notices = self._notices, []
        return taken

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back by that."""
        if self._rows is not None and self._wire.is_open:
            self._wire.cancel()
        self._wire.close()

    def _free(self) -> None:
        """Make the connection ready for another statement. Raises `ConnectionLost` if it is gone."""
        if self._rows is not None:
            self._rows.close()
            if self._check is not None and self._rows.status in _FORGETTING:
                self._check.forget()
            self._rows = None
        if not self._wire.is_open:
            raise lost()

    def _end_copy(self, text: str) -> None:
        failed: DbgateError | None = None
        while (result := self._wire.result()) is not None:
            if result.status != ExecStatus.COMMAND_OK:
                failed = self._failure(result, text)
        if failed is not None:
            raise failed

    def _failure(self, result: PGresult, text: str) -> DbgateError:
        from dbgate.database.failures import ends_connection, field, statement_error

        if ends_connection(result) or not self._wire.is_open:
            self._wire.close()
            return lost(field(result, Field.SQLSTATE))
        error = statement_error(result, text, self._known_names(), english=self._english)
        version = self._wire.pgconn.server_version
        if error.sqlstate == _SYNTAX_ERROR and version < GRAMMAR:
            error.hint = f"the server is PostgreSQL {version // 10000}, which lacks the syntax of later versions"
        return error

    def _notice(self, result: PGresult) -> None:
        from dbgate.database.failures import notice_text

        if len(self._notices) < _MAX_NOTICES:
            self._notices.append(notice_text(result, self._sent, self._known_names(), english=self._english))

    def _known_names(self) -> frozenset[str]:
        """Names that the catalog knows: no message that quotes one gives a value away."""
        if self._names is None and self._catalog is not None:
            self._names = names_in(self._catalog)
        return self._names or frozenset()

    def _know_types(self) -> None:
        """Learn the names of the database's own types before the first result, once, unless the catalog told them."""
        if self._types is None and self._wire.status in (Pq.IDLE, Pq.INTRANS):
            rows = self.ask(_TYPE_NAMES)
            self._types = {int(oid or 0): name or "" for oid, name in rows}
