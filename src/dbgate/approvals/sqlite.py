"""Approvals on SQLite: the store of one machine, for any number of processes on it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dbgate.approvals.records import Approval, Event, StoredRequest
from dbgate.approvals.refusals import WrongState
from dbgate.approvals.reviewers import fold
from dbgate.approvals.schema import MIGRATIONS
from dbgate.approvals.states import Status
from dbgate.approvals.store import Query
from dbgate.errors import UsageError
from dbgate.model import ApprovalRequest, Identity

_BUSY_TIMEOUT_S = 15.0

_LOAD = "SELECT r.* FROM requests r "


class SqliteStore:
    """`store.Store` on one SQLite file (WAL, every commit synced). Safe from several threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, readable by its owner only. Raises `UsageError` when that cannot be."""
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._connection = _connect(path)
            try:
                self._migrate(path)
            except BaseException:
                self._connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"cannot use {path} for approvals: {error}", hint="name another file with --database sqlite:///PATH"
            ) from error

    def _migrate(self, path: Path) -> None:
        with self._transaction() as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise UsageError(f"{path} was written by a newer dbgate", hint="upgrade dbgate, or name another file")
            for script in MIGRATIONS[version:]:
                for statement in _statements(script):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")

    @contextmanager
    def begin(self) -> Iterator[SqliteUnit]:
        """Begin a write transaction: SQLite's one write lock is taken at once."""
        with self._transaction() as connection:
            yield SqliteUnit(connection)

    def get(self, request_id: str) -> StoredRequest | None:
        """A request, or None."""
        with self._snapshot() as connection:
            return _get(connection, request_id)

    def find(self, query: Query) -> Sequence[StoredRequest]:
        """The requests that match, newest first."""
        text, values = _find_sql(query)
        with self._snapshot() as connection:
            return [_request(connection, row) for row in connection.execute(text, values).fetchall()]

    def next_due(self, now: datetime) -> bool:
        """Whether any live request is past its deadline."""
        text = "SELECT 1 FROM requests WHERE status IN ('pending', 'approved') AND deadline <= ? LIMIT 1"
        with self._lock:
            return self._connection.execute(text, (_ms(now),)).fetchone() is not None

    def events(self, *, after: int = 0, request_id: str = "", limit: int = 1000) -> Sequence[Event]:
        """Events with a number above `after`, in order."""
        text = "SELECT * FROM events WHERE number > :after AND (:id = '' OR request = :id) ORDER BY number LIMIT :limit"
        values = {"after": after, "id": request_id, "limit": limit}
        with self._lock:
            return [_event(row) for row in self._connection.execute(text, values).fetchall()]

    def last_event(self) -> int:
        """The number of the latest event."""
        with self._lock:
            return int(self._connection.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


class SqliteUnit:
    """`store.Unit`: one write transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, request_id: str) -> StoredRequest | None:
        """The request; the transaction's lock keeps other writers out."""
        return _get(self._connection, request_id)

    def live_of(self, requester: Identity) -> Sequence[StoredRequest]:
        """The pending and approved requests of an identity, newest first."""
        text = _LOAD + "WHERE r.person = ? AND r.status IN ('pending', 'approved') ORDER BY r.position DESC"
        return [_request(self._connection, row) for row in self._connection.execute(text, (requester.key,)).fetchall()]

    def due(self, now: datetime) -> Sequence[StoredRequest]:
        """Live requests whose deadline has passed."""
        text = _LOAD + "WHERE r.status IN ('pending', 'approved') AND r.deadline <= ? ORDER BY r.position"
        return [_request(self._connection, row) for row in self._connection.execute(text, (_ms(now),)).fetchall()]

    def insert(self, request: StoredRequest) -> None:
        """Add a request without approvals."""
        asked = request.asked
        self._connection.execute(
            "INSERT INTO requests (id, person, behind, target, binding, asked, requester, status, created_at,"
            " deadline, uses, uses_left) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.id,
                request.requester.key,
                fold(request.requester.on_behalf_of),
                asked.target,
                asked.binding,
                _json(asked),
                _json(request.requester),
                request.status.value,
                _ms(request.created_at),
                _ms(request.deadline),
                request.uses,
                request.uses_left,
            ),
        )
        groups = {group for clause in asked.clauses for group in clause.groups}
        self._connection.executemany(
            "INSERT INTO reviewer_groups (request, name) VALUES (?, ?)", [(request.id, group) for group in groups]
        )

    def add_approval(self, request_id: str, approval: Approval) -> None:
        """Add one person's approval. Raises `WrongState` when that person already approved."""
        try:
            self._connection.execute(
                "INSERT INTO approvals (request, person, identity, at, note) VALUES (?, ?, ?, ?, ?)",
                (request_id, approval.by.key, _json(approval.by), _ms(approval.at), approval.note),
            )
        except sqlite3.IntegrityError as error:
            raise WrongState("you have already approved this request", status=Status.PENDING.value) from error

    def set_status(self, request_id: str, before: Status, after: Status) -> bool:
        """Change the status if it still is `before`, and tell whether it was."""
        text = "UPDATE requests SET status = ? WHERE id = ? AND status = ?"
        return self._connection.execute(text, (after.value, request_id, before.value)).rowcount == 1

    def start_grant(self, request_id: str, *, approved_at: datetime, deadline: datetime) -> bool:
        """Make a pending request approved, with its new deadline, and tell whether it was pending."""
        text = (
            "UPDATE requests SET status = 'approved', approved_at = ?, deadline = ? WHERE id = ? AND status = 'pending'"
        )
        return self._connection.execute(text, (_ms(approved_at), _ms(deadline), request_id)).rowcount == 1

    def use(self, request_id: str, *, after: Status, now: datetime) -> bool:
        """Take one use of an approved, unexpired request, in one statement, and tell whether there was one."""
        text = (
            "UPDATE requests SET uses_left = uses_left - 1, status = ?"
            " WHERE id = ? AND status = 'approved' AND uses_left > 0 AND deadline > ?"
        )
        return self._connection.execute(text, (after.value, request_id, _ms(now))).rowcount == 1

    def append(self, request_id: str, kind: str, at: datetime, by: Identity | None, note: str = "") -> None:
        """Add an event to the history; triggers refuse to change or delete one."""
        self._connection.execute(
            "INSERT INTO events (request, at, kind, identity, note) VALUES (?, ?, ?, ?, ?)",
            (request_id, _ms(at), kind, _json(by) if by else None, note),
        )


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


def _statements(script: str) -> Iterator[str]:
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""


def _find_sql(query: Query) -> tuple[str, dict[str, Any]]:
    mine = "(r.person = :person OR (r.behind <> '' AND r.behind IN (:email, :subject)))"
    review = (
        "(r.id IN (SELECT request FROM reviewer_groups WHERE name IN (SELECT value FROM json_each(:groups)))"
        " OR r.id IN (SELECT request FROM approvals WHERE person = :person))"
    )
    seen = {"mine": mine, "review": f"({review} AND NOT {mine})"}.get(query.role, f"({mine} OR {review})")
    conditions = [seen]
    if query.statuses:
        conditions.append("r.status IN (SELECT value FROM json_each(:statuses))")
    if query.target:
        conditions.append("r.target = :target")
    if query.id_prefix:
        conditions.append("substr(r.id, 1, length(:prefix)) = :prefix")
    if query.before:
        conditions.append("r.position < (SELECT position FROM requests WHERE id = :before)")
    viewer = query.viewer
    values = {
        "person": viewer.key,
        "email": fold(viewer.email),
        "subject": fold(viewer.subject),
        "groups": _json(viewer.groups),
        "statuses": _json([status.value for status in query.statuses]),
        "target": query.target,
        "prefix": query.id_prefix,
        "before": query.before,
        "limit": query.limit,
    }
    return f"{_LOAD}WHERE {' AND '.join(conditions)} ORDER BY r.position DESC LIMIT :limit", values


def _get(connection: sqlite3.Connection, request_id: str) -> StoredRequest | None:
    row = connection.execute(_LOAD + "WHERE r.id = ?", (request_id,)).fetchone()
    return _request(connection, row) if row else None


def _request(connection: sqlite3.Connection, row: sqlite3.Row) -> StoredRequest:
    request = (row["id"],)
    approvals = connection.execute("SELECT * FROM approvals WHERE request = ? ORDER BY rowid", request).fetchall()
    last = connection.execute("SELECT * FROM events WHERE request = ? ORDER BY number DESC LIMIT 1", request).fetchone()
    return StoredRequest(
        id=row["id"],
        asked=msgspec.json.decode(row["asked"], type=ApprovalRequest),
        requester=msgspec.json.decode(row["requester"], type=Identity),
        status=Status(row["status"]),
        created_at=_moment(row["created_at"]),
        deadline=_moment(row["deadline"]),
        approved_at=_moment(row["approved_at"]) if row["approved_at"] is not None else None,
        uses=row["uses"],
        uses_left=row["uses_left"],
        approvals=tuple(
            Approval(by=msgspec.json.decode(a["identity"], type=Identity), at=_moment(a["at"]), note=a["note"])
            for a in approvals
        ),
        last=_event(last) if last else None,
    )


def _event(row: sqlite3.Row) -> Event:
    by = msgspec.json.decode(row["identity"], type=Identity) if row["identity"] else None
    return Event(row["number"], row["request"], _moment(row["at"]), row["kind"], by, row["note"])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
