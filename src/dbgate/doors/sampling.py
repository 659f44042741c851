"""The display of a scan: takes rows in and shows them to nobody. Nothing of them is printed or recorded."""

from __future__ import annotations

from collections.abc import Sequence

from dbgate.model import Outcome
from dbgate.session.ports import RequestState, Rows

MAX_CHARACTERS = 8 * 1024 * 1024
"""Of one statement's result no more is taken in."""


class SampleDisplay:
    """Keeps the rows of the latest statement until they are taken, and the latest message."""

    def __init__(self) -> None:
        self._rows: list[tuple[str | None, ...]] = []
        self._masked: frozenset[int] = frozenset()
        self.said: list[tuple[str, str, str]] = []
        """Messages since the last `take_messages`: level, text, hint."""

    def __repr__(self) -> str:
        return f"<{len(self._rows)} rows>"

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        """Take the rows in. The outcome has no digest: one of few values would tell them."""
        self._rows, self._masked = [], frozenset(masked)
        size = 0
        for batch in rows.batches():
            self._rows += batch
            size += sum(len(cell) for row in batch for cell in row if cell)
            if size > MAX_CHARACTERS:
                rows.close()
                return Outcome(rows.status or "SELECT", rows=len(self._rows), size_bytes=size, truncated=True)
        return Outcome(rows.status, rows=rows.affected, size_bytes=size)

    def take(self) -> tuple[list[tuple[str | None, ...]], frozenset[int]]:
        """The rows since the last call, and the positions of columns that came masked."""
        taken, self._rows = (self._rows, self._masked), []
        return taken

    def take_messages(self) -> list[tuple[str, str, str]]:
        """The messages since the last call."""
        taken, self.said = self.said, []
        return taken

    def message(self, level: str, text: str, hint: str = "") -> None:
        """Keep a message."""
        self.said.append((level, text, hint))

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        """A scan asks nobody, so it never waits."""

    def output(self) -> tuple[str, bool]:
        """Nobody saw anything."""
        return "", False
