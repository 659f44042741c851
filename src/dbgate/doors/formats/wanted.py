"""Rows that stop when nobody wants them any more: the output failed, or the pager was left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dbgate.doors.formats.interface import Batch
from dbgate.model import Column
from dbgate.session.ports import Rows


class RowsWhileWanted:
    """Passes `rows` on while `is_wanted()` holds, and then throws the rest away; `stopped` tells that it did."""

    def __init__(self, rows: Rows, is_wanted: Callable[[], bool]) -> None:
        self._rows = rows
        self._is_wanted = is_wanted
        self.stopped = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result columns."""
        return self._rows.columns

    @property
    def status(self) -> str:
        """The command tag."""
        return self._rows.status

    @property
    def affected(self) -> int:
        """Rows returned or changed."""
        return self._rows.affected

    def batches(self) -> Iterator[Batch]:
        """The rows, while somebody wants them."""
        for batch in self._rows.batches():
            if not self._is_wanted():
                self.stopped = True
                self._rows.close()
                return
            yield batch

    def close(self) -> None:
        """Throw the rest away."""
        self._rows.close()
