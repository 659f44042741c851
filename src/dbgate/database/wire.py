"""One libpq connection at the level of messages: send one statement, wait, take results, cancel.

Everything goes by the extended protocol (PostgreSQL's manual, 54.2.3): a message with two statements is an error
of the server's there, never two statements run. Waiting can be interrupted: Ctrl-C cancels the statement, reads
what is left of it, and raises `Interrupted`; the connection stays usable.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus, PollingStatus, TransactionStatus

from dbgate.errors import ConnectionLost, Interrupted, StatementError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

CANCEL_S = 5.0
"""How long a cancel request may take to get through."""
DRAIN_S = 15.0
"""How long a cancelled statement may take to end before the connection is given up."""
CHUNK_ROWS = 64
"""Rows that libpq hands over at once: more is hardly faster, and wide rows take memory."""

_COPYING = frozenset({ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH})


class Wire:
    """A connection's messages. Not thread-safe but for `cancel`."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self._connection = connection
        self.pgconn: PGconn = connection.pgconn
        self.pgconn.nonblocking = 1
        self._poll = select.poll()
        self._poll.register(self.pgconn.socket, select.POLLIN)
        self._cancelling = threading.Lock()
        self._pipelined = False

    @property
    def status(self) -> TransactionStatus:
        """The transaction status as libpq knows it."""
        return TransactionStatus(self.pgconn.transaction_status)

    @property
    def is_open(self) -> bool:
        """Whether the connection can be used."""
        return self.pgconn.status == ConnStatus.OK

    def send(self, text: str, parameters: Sequence[str | None] = (), *, streamed: bool = False) -> None:
        """Send one statement. `streamed` asks for its rows in chunks. Raises `StatementError`, `ConnectionLost`."""
        command, values = (
            encoded(text, "the statement"),
            [None if value is None else encoded(value, "a parameter") for value in parameters],
        )
        with self.losing():
            self.pgconn.send_query_params(command, values)
            if streamed:
                self.stream()
        self.flush()

    def begin_pipeline(self) -> None:
        """Several statements in one message from here on; `result` ends the mode behind the last of them."""
        self.pgconn.enter_pipeline_mode()
        self._pipelined = True

    def step(self, deadline: float | None = None) -> PGresult | None:
        """Within a pipeline: the next result, or None behind the results of each statement. Raises like `take`."""
        with self.losing():
            while self.pgconn.is_busy():
                self.wait(deadline)
                self.pgconn.consume_input()
            return self.pgconn.get_result()

    def end_pipeline(self, deadline: float | None = None) -> None:
        """Throw away what is left of a pipeline, and leave it."""
        while True:
            result = self.step(deadline)
            if result is not None and result.status == ExecStatus.PIPELINE_SYNC:
                break
        with self.losing():
            self.pgconn.exit_pipeline_mode()
        self._pipelined = False

    def stream(self) -> None:
        """Take the rows of the statement that was sent in chunks."""
        if psycopg.pq.__build_version__ >= 170000:
            self.pgconn.set_chunked_rows_mode(CHUNK_ROWS)
        else:
            self.pgconn.set_single_row_mode()

    def flush(self) -> None:
        """Push out what libpq still holds, taking in what comes meanwhile."""
        with self.interruptible(), self.losing():
            while self.pgconn.flush():
                self._poll.modify(self.pgconn.socket, select.POLLIN | select.POLLOUT)
                ready = self._poll.poll()
                self._poll.modify(self.pgconn.socket, select.POLLIN)
                if ready and ready[0][1] & ~select.POLLOUT:
                    self.pgconn.consume_input()

    def result(self) -> PGresult | None:
        """The next result of what was sent, or None at its end. Raises `ConnectionLost`, `Interrupted`."""
        with self.interruptible():
            return self.take()

    def take(self, deadline: float | None = None) -> PGresult | None:
        """Like `result`, but lets a Ctrl-C through, and raises `TimeoutError` after `deadline` (monotonic seconds)."""
        result = self.step(deadline)
        if result is None and self._pipelined:
            self.end_pipeline(deadline)
        return result

    def wait(self, deadline: float | None = None) -> None:
        """Wait for the server to say something; until `deadline` (monotonic seconds), then `TimeoutError`."""
        timeout_ms = None if deadline is None else max(0.0, (deadline - time.monotonic()) * 1000)
        if not self._poll.poll(timeout_ms):
            raise TimeoutError

    def cancel(self) -> None:
        """Ask the server to cancel what runs. Safe from a signal handler or another thread; never raises."""
        if not self._cancelling.acquire(blocking=False):
            return
        try:
            if self.is_open and self.status == TransactionStatus.ACTIVE:
                with contextlib.suppress(psycopg.Error):
                    self._request_cancel()
        finally:
            self._cancelling.release()

    def _request_cancel(self) -> None:
        if psycopg.pq.__build_version__ < 170000:
            self.pgconn.get_cancel().cancel()
            return
        request = self.pgconn.cancel_conn()
        try:
            request.start()
            deadline = time.monotonic() + CANCEL_S
            while (state := request.poll()) not in (PollingStatus.OK, PollingStatus.FAILED):
                waited = select.poll()
                waited.register(request.socket, select.POLLIN if state == PollingStatus.READING else select.POLLOUT)
                if not waited.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
                    return
        finally:
            request.finish()

    def abandon(self) -> None:
        """Cancel what runs and throw the rest of it away; give the connection up if that takes too long."""
        try:
            self.cancel()
            self.drain(time.monotonic() + DRAIN_S)
        except (TimeoutError, KeyboardInterrupt, Interrupted):
            self.close()

    def drain(self, deadline: float | None = None) -> None:
        """Throw away what is left of the results. Raises `ConnectionLost`; `TimeoutError` after `deadline`."""
        self._drain_copy(deadline)
        while (result := self.take(deadline)) is not None:
            if result.status in _COPYING:
                self._drain_copy(deadline)
            elif result.status == ExecStatus.COPY_IN:
                self.close()  # it may have been cancelled, see `refuse_copy_in`
                return

    def _drain_copy(self, deadline: float | None) -> None:
        with contextlib.suppress(psycopg.Error):
            while (size := self.pgconn.get_copy_data(1)[0]) >= 0:
                if size == 0:
                    self.wait(deadline)
                    self.pgconn.consume_input()

    def refuse_copy_in(self) -> None:
        """End a COPY from the client that was begun and is not wanted.

        It is not cancelled: a cancel that came first would end it before the server has read the second Sync that libpq
        sends behind it, and the answer to that would stand before the next statement's.
        """
        with contextlib.suppress(psycopg.Error):
            self.pgconn.put_copy_end(b"refused")
            self.flush()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Turn a Ctrl-C that comes meanwhile into a cancelled statement and `Interrupted`."""
        try:
            yield
        except (KeyboardInterrupt, Interrupted):
            self.abandon()
            raise Interrupted("interrupted") from None

    @contextlib.contextmanager
    def losing(self) -> Iterator[None]:
        """Turn libpq's errors into `ConnectionLost`, with the server's last word if it said one."""
        try:
            yield
        except psycopg.Error:
            sqlstate = self._last_word()
            self.close()
            raise lost(sqlstate) from None

    def _last_word(self) -> str:
        """The code of an error that came with the end of the connection."""
        with contextlib.suppress(psycopg.Error):
            result = self.pgconn.get_result() if not self.is_open else None
            code = result.error_field(DiagnosticField.SQLSTATE) if result is not None else None
            return code.decode() if code else ""
        return ""

    def close(self) -> None:
        """Close the connection, whatever its state."""
        self._connection.close()


def lost(sqlstate: str = "") -> ConnectionLost:
    """The error for a connection that is gone; `sqlstate` is why, if the server said so."""
    hint = "the outcome of a statement that ran is unknown; connect again and look"
    if sqlstate:
        return ConnectionLost(f"the server ended the connection ({sqlstate})", hint=hint)
    return ConnectionLost("the connection to the database was lost", hint=hint)


def copied(wire: Wire, at_most: int) -> list[memoryview]:
    """The next lines of a COPY that goes on, as they come, one at least; none at its end. Raises like `result`.

    The caller reads what `result` gives afterwards: the outcome of the COPY.
    """
    lines: list[memoryview] = []
    take, pgconn = lines.append, wire.pgconn
    with wire.interruptible():
        while True:
            try:
                while len(lines) < at_most:
                    size, data = pgconn.get_copy_data(1)
                    if size <= 0:
                        break
                    take(data)
            except psycopg.Error:
                return lines
            if lines or size < 0:
                return lines
            with wire.losing():
                wire.wait()
                pgconn.consume_input()


def encoded(text: str, what: str) -> bytes:
    """`text` in UTF-8. Raises `StatementError` for a NUL, at which libpq would cut it, and for lone surrogates."""
    if "\0" in text:
        raise StatementError(f"{what} contains a NUL character", sqlstate="22021", position=text.index("\0") + 1)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        message = f"{what} is not valid Unicode"
        raise StatementError(message, sqlstate="22021", position=error.start + 1) from None
