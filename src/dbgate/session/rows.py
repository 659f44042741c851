"""Rows on their way to the display, watched: the policy's limits, and the number that a grant allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain

from dbgate.errors import DbgateError
from dbgate.model import Column
from dbgate.session.ports import Rows


class TouchesMore(DbgateError):
    """The statement touched more rows than its grant allows. Never shown: the driver rolls back."""

    def __init__(self, rows: int, allowed: int, relation: str = "", *, beyond: bool = False) -> None:
        super().__init__("more rows than approved")
        self.rows = rows
        self.allowed = allowed
        self.relation = relation
        self.beyond = beyond


class WatchedRows:
    """The rows of a result, cut at `max_rows` or `max_bytes` (characters of their text form).

    What lies beyond is thrown away for a statement that only `reads`, and drained otherwise, so that a change is
    not cut short. Raises `TouchesMore` once more than `at_most` rows were returned or changed.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        at_most: int | None = None,
        reads: bool = True,
    ) -> None:
        self._rows = rows
        self._source = rows.batches()
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._at_most = at_most
        self._reads = reads
        self.count = 0
        self.truncated = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result columns."""
        return self._rows.columns

    @property
    def status(self) -> str:
        """The command tag; of a result that was cut it is not known."""
        return self._rows.status or ("SELECT" if self.truncated else "")

    @property
    def affected(self) -> int:
        """Rows shown, where the result was cut; otherwise rows returned or changed."""
        return self.count if self.truncated else self._rows.affected

    def batches(self) -> Iterator[list[tuple[str | None, ...]]]:
        """The rows, up to the limits."""
        size = 0
        returned = 0
        for batch in self._source:
            returned += len(batch)
            self._check(returned)
            if self.truncated:
                continue
            kept = self._within_rows(batch)
            if self._max_bytes is not None:
                kept, size = self._within_bytes(kept, size)
            self.count += len(kept)
            if kept:
                yield kept
            if self.truncated and self._reads:
                self._rows.close()
                return
        self._check(self._rows.affected)

    def close(self) -> None:
        """Throw the remaining rows away; a change is brought to its end first."""
        if not self._reads:
            deque(self._source, maxlen=0)
        self._rows.close()

    def _check(self, rows: int) -> None:
        if self._at_most is not None and rows > self._at_most:
            raise TouchesMore(rows, self._at_most)

    def _within_rows(self, batch: list[tuple[str | None, ...]]) -> list[tuple[str | None, ...]]:
        if self._max_rows is None or self.count + len(batch) <= self._max_rows:
            return batch
        self.truncated = True
        return batch[: self._max_rows - self.count]

    def _within_bytes(self, batch: list[tuple[str | None, ...]], size: int) -> tuple[list[tuple[str | None, ...]], int]:
        total = size + sum(map(len, filter(None, chain.from_iterable(batch))))
        if self._max_bytes is None or total <= self._max_bytes:
            return batch, total
        self.truncated = True
        for number, row in enumerate(batch):
            size += sum(map(len, filter(None, row)))
            if size > self._max_bytes:
                return batch[:number], size
        return batch, size
