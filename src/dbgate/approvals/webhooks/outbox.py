"""What still has to be told, on either back end: one line for each event and hook, until somebody took it or it is given up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from dbgate.approvals.queries import Reading, Row, Statements

WAITING, SENT, DEAD = "waiting", "sent", "dead"

KEPT_S = 30 * 24 * 3600
"""How long deliveries that are done are kept, in seconds."""


class Delivery(msgspec.Struct, frozen=True):
    """One event for one hook. `due_at` is when it is tried next, `error` why the last try failed."""

    number: int
    hook: str
    label: str
    event: int
    request: str
    status: str
    attempts: int
    due_at: datetime
    at: datetime
    error: str = ""


class Outbox:
    """The outbox inside a write transaction: the store's lock keeps other instances out."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def plan(self, hook: str, label: str, kinds: Sequence[str], now: datetime) -> int:
        """Write down what a hook has to be told since the last time; how much that is. A new hook is told what comes."""
        rows = self._statements.rows("SELECT told FROM hooks WHERE name = :hook", hook=hook)
        last = int(self._statements.rows("SELECT coalesce(max(number), 0) AS last FROM events")[0]["last"])
        told = int(rows[0]["told"]) if rows else last
        if not rows:
            self._statements.change("INSERT INTO hooks (name, told) VALUES (:hook, :last)", hook=hook, last=last)
        if last <= told:
            return 0
        planned = self._statements.change(
            "INSERT INTO deliveries (hook, label, event, request, status, attempts, due_at, at, error)"
            " SELECT :hook, :label, number, request, 'waiting', 0, :now, :now, '' FROM events"
            " WHERE number > :told AND number <= :last AND kind IN (SELECT value FROM MEMBERS(:kinds))"
            " ON CONFLICT DO NOTHING",
            hook=hook,
            label=label,
            now=_ms(now),
            told=told,
            last=last,
            kinds=msgspec.json.encode(list(kinds)).decode(),
        )
        self._statements.change("UPDATE hooks SET told = :last WHERE name = :hook", hook=hook, last=last)
        done_before = _ms(now - timedelta(seconds=KEPT_S))
        self._statements.change("DELETE FROM deliveries WHERE status <> 'waiting' AND at < :before", before=done_before)
        return planned

    def claim(self, hooks: Sequence[str], now: datetime, lease_s: float) -> Delivery | None:
        """Take what is due first, for `lease_s` seconds: if nothing is heard of it by then, it is due again."""
        found = self._statements.rows(
            "SELECT * FROM deliveries WHERE status = 'waiting' AND due_at <= :now"
            " AND hook IN (SELECT value FROM MEMBERS(:hooks)) ORDER BY due_at, number LIMIT 1",
            now=_ms(now),
            hooks=msgspec.json.encode(list(hooks)).decode(),
        )
        if not found:
            return None
        self._statements.change(
            "UPDATE deliveries SET due_at = :due, attempts = attempts + 1 WHERE number = :number",
            due=_ms(now + timedelta(seconds=lease_s)),
            number=found[0]["number"],
        )
        return _delivery({**found[0], "attempts": found[0]["attempts"] + 1})

    def settle(self, number: int, status: str, due_at: datetime, now: datetime, error: str = "") -> None:
        """Note how a try ended: `sent`, `dead`, or `waiting` for another one at `due_at`."""
        self._statements.change(
            "UPDATE deliveries SET status = :status, due_at = :due, at = :now, error = :error"
            " WHERE number = :number AND status = 'waiting'",
            status=status,
            due=_ms(due_at),
            now=_ms(now),
            error=error,
            number=number,
        )

    def again(self, number: int, now: datetime) -> bool:
        """Try once more what was given up, from the first attempt on; whether there was such a delivery."""
        text = (
            "UPDATE deliveries SET status = 'waiting', attempts = 0, due_at = :now, at = :now"
            " WHERE number = :number AND status = 'dead'"
        )
        return self._statements.change(text, number=number, now=_ms(now)) == 1


def deliveries(statements: Reading, *, status: str, limit: int) -> Sequence[Delivery]:
    """The deliveries in a status, latest first."""
    text = "SELECT * FROM deliveries WHERE status = :status ORDER BY number DESC LIMIT :limit"
    return [_delivery(row) for row in statements.rows(text, status=status, limit=limit)]


def is_any_due(statements: Reading, now: datetime) -> bool:
    """Whether any delivery is due."""
    text = "SELECT 1 AS one FROM deliveries WHERE status = 'waiting' AND due_at <= :now LIMIT 1"
    return bool(statements.rows(text, now=_ms(now)))


def counts(statements: Reading) -> dict[str, int]:
    """How many deliveries there are in each status."""
    rows = statements.rows("SELECT status, count(*) AS n FROM deliveries GROUP BY status")
    return {WAITING: 0, SENT: 0, DEAD: 0} | {row["status"]: int(row["n"]) for row in rows}


def _delivery(row: Row | dict[str, Any]) -> Delivery:
    return Delivery(
        number=row["number"],
        hook=row["hook"],
        label=row["label"],
        event=row["event"],
        request=row["request"],
        status=row["status"],
        attempts=row["attempts"],
        due_at=_moment(row["due_at"]),
        at=_moment(row["at"]),
        error=row["error"],
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
