"""Small texts that are kept by name until a moment, on either back end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbgate.approvals.queries import Reading, Statements


class SqlKept:
    """`store.Kept`, inside a write transaction."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    def put(self, name: str, content: str, until: datetime, now: datetime) -> None:
        """Keep something new, and forget what is over."""
        self._statements.change("DELETE FROM kept WHERE until <= :now", now=_ms(now))
        text = "INSERT INTO kept (name, content, until) VALUES (:name, :content, :until)"
        self._statements.change(text, name=name, content=content, until=_ms(until))

    def take(self, name: str, now: datetime) -> str | None:
        """What is kept, for whoever asks first: the transaction's lock keeps others out."""
        found = kept(self._statements, name, now)
        self.remove(name)
        return found[0] if found else None

    def extend(self, name: str, until: datetime) -> None:
        """Keep it until another moment, if it is still there."""
        self._statements.change("UPDATE kept SET until = :until WHERE name = :name", name=name, until=_ms(until))

    def remove(self, name: str) -> None:
        """Forget it."""
        self._statements.change("DELETE FROM kept WHERE name = :name", name=name)


def kept(statements: Reading, name: str, now: datetime) -> tuple[str, datetime] | None:
    """What is kept under a name, and until when, or None."""
    text = "SELECT content, until FROM kept WHERE name = :name AND until > :now"
    rows = statements.rows(text, name=name, now=_ms(now))
    return (rows[0]["content"], datetime.fromtimestamp(rows[0]["until"] / 1000, UTC)) if rows else None


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
