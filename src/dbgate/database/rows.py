"""The result of one statement, streamed from the connection in text form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.types.string import TextLoader

from dbgate.database.wire import copied
from dbgate.errors import ConnectionLost, DbgateError, StatementError
from dbgate.model import Column

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGresult

    from dbgate.database.wire import Wire

Row = tuple[str | None, ...]

CHUNKS = frozenset({ExecStatus.TUPLES_CHUNK, ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_OK})
"""Results with rows: the last one of a statement is `TUPLES_OK`."""

COPY_COLUMN = Column("copy", "copy data")
"""The one column of `COPY … TO STDOUT`: each row is a line of it, as the server wrote it."""
COPY_LINES = 256
_COPY_HINT = "use INSERT, or COPY (SELECT …) TO STDOUT"


def text_only() -> AdaptersMap:
    """Adapters that leave every value of a result in its text form."""
    adapters = AdaptersMap()
    adapters.register_loader(0, TextLoader)
    return adapters


class TextContext(msgspec.Struct, frozen=True):
    """What psycopg's `Transformer` needs to know: no types, the connection's encoding."""

    connection: psycopg.Connection[Any] | None
    adapters: AdaptersMap = msgspec.field(default_factory=text_only)


class RowReader:
    """Reads the rows of results: psycopg's own loop in C, about a microsecond for a row of six columns."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._transformer = Transformer(TextContext(connection))

    def start(self, result: PGresult) -> None:
        """Get ready for the results of a statement whose first one is `result`."""
        self._transformer.set_pgresult(result, format=Format.TEXT)

    def read(self, result: PGresult) -> list[Row]:
        """The rows of `result`. Raises `StatementError` where the server breaks its word to send UTF-8."""
        self._transformer.set_pgresult(result, set_loaders=False)
        try:
            return self._transformer.load_rows(0, result.ntuples, tuple)
        except UnicodeDecodeError:
            raise StatementError("the server sent text that is not UTF-8", sqlstate="22021") from None


class StreamedRows:
    """`session.ports.Rows`: iterate `batches` once, then read `status` and `affected`."""

    def __init__(
        self,
        wire: Wire,
        reader: RowReader,
        *,
        columns: Callable[[PGresult], tuple[Column, ...]],
        failure: Callable[[PGresult], DbgateError],
        max_rows: int | None = None,
        in_transaction: bool = False,
    ) -> None:
        self._wire = wire
        self._reader = reader
        self._failure = failure
        self._max_rows = max_rows
        self.in_transaction = in_transaction
        self._open = True
        self._held: DbgateError | None = None
        self._read = 0
        self.status = ""
        self.affected = 0
        self._copying = False
        self._next = self._take()
        self.columns: tuple[Column, ...] = ()
        if self._copying:
            self.columns = (COPY_COLUMN,)
        elif self._next and self._next.nfields:
            self.columns = columns(self._next)
            self._reader.start(self._next)

    def batches(self) -> Iterator[list[Row]]:
        """Rows in text form, chunk by chunk. Raises `StatementError`, `ConnectionLost`, `Interrupted`."""
        while self._next is not None or self._copying:
            rows = self._rows()
            if self._max_rows is not None and self._read + len(rows) > self._max_rows:
                rows = rows[: self._max_rows - self._read]
                self._read += len(rows)
                if rows:
                    yield rows
                self.close()
                self.status, self.affected = f"SELECT {self._read}", self._read
                return
            self._read += len(rows)
            self._next = None
            if rows:
                yield rows
            if self._open and not self._copying:
                self._next = self._take()

    def _rows(self) -> list[Row]:
        if self._copying:
            try:
                lines = copied(self._wire, COPY_LINES)
            except DbgateError:
                self._open = self._copying = False
                raise
            self._copying = bool(lines)
            return [(bytes(line).removesuffix(b"\n").decode("utf-8", "backslashreplace"),) for line in lines]
        if self._next is None:
            return []
        return self._reader.read(self._next) if self.columns else [()] * self._next.ntuples

    def close(self) -> None:
        """Throw the remaining rows away: by cancelling, but in a transaction, which that would abort, by reading on."""
        if not self._open:
            return
        self._open, self._copying, self._next = False, False, None
        if self.in_transaction:
            with self._wire.interruptible():
                self._wire.drain()
        else:
            self._wire.abandon()

    def _take(self) -> PGresult | None:
        """The next result with rows; None at the end, after which the connection is free for other statements."""
        try:
            result = self._wire.result()
            if result is not None and result.status in CHUNKS:
                if result.status != ExecStatus.TUPLES_OK:
                    self._note(result)
                    return result
                self._finish(result)
                return result if result.ntuples or not self._read else None
            if result is not None and result.status == ExecStatus.COPY_OUT and not result.binary_tuples:
                self._copying = True
                return None
            if result is not None:
                self._finish(result)
        except DbgateError:
            self._open = False
            raise
        return None

    def _finish(self, last: PGresult) -> None:
        """Read to the end of the statement's results; raise its error if it failed."""
        self._open = False
        failure: DbgateError | None = None
        if last.status in (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.NONFATAL_ERROR):
            failure = self._failure(last)
        elif last.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.EMPTY_QUERY):
            failure = StatementError("COPY from the client, and COPY in binary, are not possible here", hint=_COPY_HINT)
            if last.status == ExecStatus.COPY_IN:
                self._wire.refuse_copy_in()
            else:
                self._wire.cancel()
        if not isinstance(failure, ConnectionLost):
            self._wire.drain()
        if failure is not None:
            raise failure
        self._note(last)

    def _note(self, result: PGresult) -> None:
        """Keep the command tag: libpq puts it on the last result that has rows, if that was not full."""
        if tag := result.command_status:
            self.status = tag.decode()
            self.affected = result.command_tuples or 0
