"""What a session needs from the world, as protocols. `cli` hands in the concrete parts.

The session core (`life.py`) is pure: it yields effects (`effects.py`); `driver.py` performs them
with these ports. Shell, `exec` and later doors differ only in their `Display`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from dbgate.catalog import Catalog
from dbgate.counters import Counters
from dbgate.model import (
    ApprovalRequest,
    Column,
    Grant,
    Json,
    Outcome,
    TransactionStatus,
)


class Recorder(Protocol):
    """The transcript of one session."""

    @property
    def session(self) -> str:
        """The session's id."""

    def record(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> int:
        """Append a record and return its `seq`. With `durable`, return only after fsync.

        Raises `AuditUnavailable` when it cannot be written; then nothing may run.
        """

    def close(self, totals: Mapping[str, Json]) -> None:
        """Write the signed `session.end`. Raises `AuditUnavailable`."""


class Rows(Protocol):
    """The result of one statement, streamed. Iterate once, then read `outcome`."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result columns; empty for a statement without rows. Known before the first row."""

    def batches(self) -> Iterator[list[tuple[str | None, ...]]]:
        """Rows in text form, some hundred at a time. Raises `StatementError`, `ConnectionLost`, `Interrupted`."""

    @property
    def status(self) -> str:
        """The command tag, known once the rows are exhausted, e.g. `SELECT 3`."""

    @property
    def affected(self) -> int:
        """Rows returned or changed, known at the end."""

    def close(self) -> None:
        """Throw the remaining rows away, so that the connection can be used again."""


class Database(Protocol):
    """One connection. Not thread-safe but for `cancel`."""

    def catalog(self, *, refresh: bool = False) -> Catalog:
        """The catalog, cached; `refresh` reads it again when the fingerprint changed."""

    def run(
        self,
        text: str,
        parameters: Sequence[str | None] = (),
        *,
        max_rows: int | None = None,
        pins: Sequence[int] = (),
    ) -> Rows:
        """Send one statement over the extended protocol and return its result.

        Never sends more than one statement of a person's. `pins` are the OIDs of relations that have to be as the
        catalog has them. Raises `StatementError` with a scrubbed message, `DefinitionsChanged` when they are not.
        """

    def verify(self, pins: Sequence[int]) -> None:
        """Raise `DefinitionsChanged` unless the relations with these OIDs are as the catalog has them."""

    def count(self, text: str, parameters: Sequence[str | None] = ()) -> int:
        """Run a counting query in a read-only transaction or savepoint and return its single number."""

    def look(self, text: str, parameters: Sequence[str | None] = ()) -> list[tuple[str | None, ...]]:
        """Run a query of dbgate's own where nothing can be written, like `count`, and return all its rows."""

    def counters(self) -> Counters | None:
        """What the server has counted of the open transaction's changes; None when it does not count."""

    def execute_unrecorded(self, text: str) -> None:
        """Run a statement of dbgate's own (savepoints, settings). Never a person's text."""

    def cancel(self) -> None:
        """Ask the server to cancel what runs. Safe from a signal handler or another thread."""

    @property
    def transaction(self) -> TransactionStatus:
        """Where the transaction stands."""

    def notices(self) -> list[str]:
        """Notices since the last call: severity and primary message only."""

    def close(self) -> None:
        """Close the connection."""


class RequestState(Protocol):
    """Where an approval request stands. `status`: pending, approved, denied, withdrawn, expired, redeemed, revoked."""

    @property
    def id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def summary(self) -> str:
        """One line for a status display: who has approved, who is still needed, until when."""


class FiledRequest(RequestState, Protocol):
    """A request as the service knows it: where it stands, and what it is for."""

    @property
    def kind(self) -> str:
        """What was asked, as `RequestKind` names it."""

    @property
    def binding(self) -> str:
        """What the request is bound to."""

    @property
    def policy_digest(self) -> str:
        """The policy under which it was asked."""

    @property
    def reason(self) -> str:
        """Why it was asked for, as reviewers read it."""


class Approvals(Protocol):
    """The approvals service as a client sees it. Every method raises `Unreachable`, `SignInRequired`."""

    def ask(self, request: ApprovalRequest) -> FiledRequest:
        """File a request, or return the live one with the same binding."""

    def state(self, request_id: str) -> FiledRequest:
        """Where a request stands now."""

    def watch(self, request_id: str, *, timeout_s: float) -> FiledRequest:
        """Wait for a change, at most `timeout_s`, and return the state."""

    def redeem(self, request_id: str, *, binding: str) -> Grant:
        """Redeem the approval, atomically, and return the grant after verifying signature and binding.

        Raises `UsageError` when there is nothing to redeem.
        """

    def open(self, request_id: str, request: ApprovalRequest) -> Grant:
        """Redeem an approval of another kind for this session, and return the grant after verifying all it is bound to.

        Raises `UsageError` when there is nothing to redeem.
        """

    def break_glass(self, request: ApprovalRequest) -> Grant:
        """Put a run that nobody agreed to on record with its reviewers, and return the grant after verifying it.

        Raises `UsageError` and `NotAllowed` when it may not be.
        """

    def withdraw(self, request_id: str) -> RequestState:
        """Take the request back."""


class Display(Protocol):
    """A door's side of the session: where results and messages go."""

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        """Show the rows as they come and return the outcome. Lets the errors of `Rows` through."""

    def message(self, level: str, text: str, hint: str = "") -> None:
        """Show a line: `level` is `error`, `denied`, `notice`."""

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        """Show that an approval is awaited; called again whenever the state changes."""

    def output(self) -> tuple[str, bool]:
        """What the person saw since the last call (for the `output` record), and whether it was cut."""


@runtime_checkable
class CopiesOut(Protocol):
    """A database that can also hand out the result of a query in COPY's form."""

    def copy_out(self, text: str) -> Iterator[bytes]:
        """Send `COPY (…) TO STDOUT` and yield blocks of whole lines. Raises like `Database.run`."""


@runtime_checkable
class TakesCopies(Protocol):
    """A display that can also take a large result in COPY's form, which saves taking every cell in hand."""

    @property
    def takes_copies(self) -> bool:
        """Whether it does, as it was set up."""

    def copy_text(self, query: str, columns: Sequence[Column], *, max_rows: int | None) -> str:
        """The COPY statement that gives the result of `query` as this display wants it, one row beyond `max_rows`."""

    def copied(
        self, columns: Sequence[Column], blocks: Iterator[bytes], *, max_rows: int | None, max_bytes: int | None
    ) -> Outcome:
        """Show the blocks and return the outcome. Lets the errors of `blocks` through."""


class Clock(Protocol):
    """Time, so that the core needs none of its own."""

    def now(self) -> datetime:
        """Now, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
