"""Runs one statement on the database and streams it to the display; wraps it when a grant limits its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec.structs import replace

from dbgate.counters import Counters
from dbgate.errors import ConnectionLost, DbgateError, DefinitionsChanged, Interrupted, StatementError
from dbgate.model import CountQuery, Measured, Outcome, Relation, Sample, SampleQuery, TransactionStatus
from dbgate.session.bulk import is_large
from dbgate.session.changes import changed_rows, check_changed
from dbgate.session.effects import Exceeded, Failed, Run
from dbgate.session.ports import Clock, CopiesOut, Database, Display, TakesCopies
from dbgate.session.rows import TouchesMore, WatchedRows
from dbgate.session.sampling import sampled

CUT = "cut at the policy's limit"
"""The message of an outcome whose result was cut by a limit, and not because nobody reads on."""

QUERY_CANCELED = "57014"
"""SQLSTATE of a statement that was cancelled, by a person or by a timeout."""

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_SAVEPOINT = "dbgate_grant"


class Cancellation:
    """What a person's Ctrl-C stops: the statement that runs, or the waiting for an approval."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._phase = ""
        self.asked = False
        self.forced = False

    def cancel(self) -> None:
        """Stop what is going on. Safe from a signal handler, out of which it may raise `Interrupted`.

        It raises while an approval is awaited, and when called again while a statement runs.
        """
        again, self.asked = self.asked, True
        if self._phase == "waiting" or (again and self._phase == "running"):
            self.forced = self._phase == "running"
            raise Interrupted("interrupted")
        if self._phase == "running":
            self._database.cancel()

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Mark what is going on: `running` or `waiting`. Raises `Interrupted` if a cancel is already asked for."""
        self._phase = phase
        try:
            if self.asked:
                raise Interrupted("interrupted")
            yield
        finally:
            self._phase = ""


class Runner(msgspec.Struct, frozen=True):
    """Performs `Run` and `Measure` with the ports of a session."""

    database: Database
    display: Display
    clock: Clock
    cancellation: Cancellation

    def run(self, run: Run) -> Outcome | Failed | Exceeded:
        """Send the statement; whatever happens is told by the reply."""
        started = self.clock.monotonic()
        try:
            with self.cancellation.during("running"):
                wraps = run.at_most is not None or run.counted
                outcome = self._wrapped(run) if wraps else self._stream(run)
        except TouchesMore as more:
            duration_ms = self._since(started)
            return Exceeded(more.rows, more.allowed, more.relation, duration_ms, more.beyond)
        except DbgateError as error:
            return self._failed(error, self._since(started))
        return replace(outcome, duration_ms=self._since(started))

    def measure(self, queries: tuple[CountQuery, ...]) -> Measured:
        """Count the rows of each query; rows of one relation add up."""
        counts: dict[Relation, int] = {}
        with self.cancellation.during("running"):
            for query in queries:
                rows = self.database.count(query.text, query.parameters)
                counts[query.relation] = counts.get(query.relation, 0) + rows
        return Measured(tuple(counts.items()))

    def look(self, queries: tuple[SampleQuery, ...]) -> tuple[Sample, ...]:
        """Take the few rows that each query gives. What cannot be taken leaves a note in its place."""
        with self.cancellation.during("running"):
            return tuple(sampled(self.database, query) for query in queries)

    def _since(self, started: float) -> float:
        return (self.clock.monotonic() - started) * 1000

    def _stream(self, run: Run) -> Outcome:
        if run.tables and isinstance(self.display, TakesCopies) and isinstance(self.database, CopiesOut):
            outcome = self._copy(run, self.database, self.display)
            if outcome is not None:
                return outcome
        if run.apart and run.pins:
            self.database.verify(run.pins)
        rows = WatchedRows(
            self.database.run(run.text, run.parameters, pins=() if run.apart else run.pins),
            max_rows=run.max_rows,
            max_bytes=run.max_bytes,
            at_most=run.at_most,
            reads=run.reads,
        )
        outcome = self.display.result(rows, statement_id=run.statement_id, masked=run.masked)
        return replace(outcome, truncated=True, message=CUT) if rows.truncated else outcome

    def _copy(self, run: Run, database: CopiesOut, display: TakesCopies) -> Outcome | None:
        """Let the server write the result of a query on a large table; None when that does not suit."""
        idle = self.database.transaction is TransactionStatus.IDLE
        if not (display.takes_copies and idle and is_large(self.database.catalog(), run.tables)):
            return None
        try:
            rows = self.database.run(f"SELECT * FROM ({run.text}\n) AS q LIMIT 0", pins=run.pins)
            columns = rows.columns
            rows.close()
        except DefinitionsChanged:
            raise
        except StatementError:
            return None
        if not columns:
            return None
        text = display.copy_text(run.text, columns, max_rows=run.max_rows)
        try:
            return display.copied(columns, database.copy_out(text), max_rows=run.max_rows, max_bytes=run.max_bytes)
        except StatementError as error:
            error.position = 0  # it counts from the beginning of the COPY
            raise

    def _wrapped(self, run: Run) -> Outcome:
        """Run in a transaction, or in a savepoint of the person's own, and roll back what exceeds the grant.

        What was approved is counted and run in one snapshot, if the transaction is our own; what others commit meanwhile
        fails the run. What the policy lets through by a number runs as it would without dbgate.
        """
        own = self.database.transaction is TransactionStatus.IDLE
        begin = _BEGIN if run.ceiling is None else "BEGIN"
        self.database.execute_unrecorded(begin if own else f"SAVEPOINT {_SAVEPOINT}")
        try:
            for table in run.locks:
                self.database.execute_unrecorded(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            self._recount(run)
            outcome = self._counted(run) if run.counts else self._stream(run)
        except ConnectionLost:
            raise
        except DbgateError:
            self._undo(own)
            raise
        self.database.execute_unrecorded("COMMIT" if own else f"RELEASE SAVEPOINT {_SAVEPOINT}")
        return outcome

    def _counted(self, run: Run) -> Outcome:
        before = self.database.counters()
        outcome = self._stream(run)
        return replace(outcome, changed=self._changed(run, before))

    def _changed(self, run: Run, before: Counters | None) -> dict[str, int] | None:
        """The rows changed since `before`, by table. Raises `TouchesMore` when they are more than a grant allows."""
        after = self.database.counters()
        if before is None or after is None:
            return None
        changed = changed_rows(before, after, run.recount)
        measured = {str(query.relation) for query in run.recount}
        total = sum(rows for name, rows in changed.items() if name in measured)
        if run.ceiling is not None and total > run.ceiling:
            raise TouchesMore(total, run.ceiling)
        if run.allowed:
            check_changed(changed, run.allowed)
        return changed

    def _undo(self, own: bool) -> None:
        if own:
            self.database.execute_unrecorded("ROLLBACK")
            return
        self.database.execute_unrecorded(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
        self.database.execute_unrecorded(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def _recount(self, run: Run) -> None:
        counts: dict[str, int] = {}
        for query in run.recount:
            name = str(query.relation)
            counts[name] = counts.get(name, 0) + self.database.count(query.text, query.parameters)
            if run.ceiling is None and counts[name] > run.allowed.get(name, 0):
                raise TouchesMore(counts[name], run.allowed.get(name, 0), name)
        total = sum(counts.values())
        if run.ceiling is not None and total > run.ceiling:
            raise TouchesMore(total, run.ceiling)

    def _failed(self, error: DbgateError, duration_ms: float) -> Failed:
        sqlstate = error.sqlstate if isinstance(error, StatementError) else ""
        if sqlstate == QUERY_CANCELED and self.cancellation.asked:
            error = Interrupted("cancelled")
        status = "unknown" if isinstance(error, ConnectionLost) else "error"
        if isinstance(error, Interrupted):
            status = "unknown" if self.cancellation.forced else "cancelled"
        return Failed(error, Outcome(status, duration_ms=duration_ms, sqlstate=sqlstate, message=error.message))
