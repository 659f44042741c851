"""What a format is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from dbgate.model import Column

Batch: TypeAlias = list[tuple[str | None, ...]]
"""Some rows, in PostgreSQL's text form."""

FORMATS = ("table", "csv", "json", "ndjson", "markdown")
"""The formats by name."""


class Writer(Protocol):
    """Writes the results of any number of statements to one stream.

    For each statement: `begin` once, `rows` for each batch, `end` once; at last `close`. A statement without
    rows begins with no columns. A result that broke off is ended too, with the status `error`. A batch is a list.
    """

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Start a result. `masked` are the positions (0-based) of columns that carry masks."""

    def rows(self, batch: Batch) -> None:
        """Write rows."""

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Finish the result: its command tag, the rows shown, and the names of the masked columns."""

    def close(self) -> None:
        """Finish the document and flush the stream, which stays open."""
