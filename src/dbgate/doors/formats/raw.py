"""Raw copy data, as `psql` prints what `COPY … TO STDOUT` gives: one line a row, no header, nothing quoted."""

from __future__ import annotations

from collections.abc import Sequence

from dbgate.doors.formats.interface import Batch
from dbgate.doors.formats.sink import Sink
from dbgate.model import Column
from dbgate.text import printable

COPY_DATA = "copy data"
"""The type of the only column of what a COPY gives."""


def is_copy(columns: Sequence[Column]) -> bool:
    """Whether a result is the raw data of a COPY."""
    return len(columns) == 1 and columns[0].type == COPY_DATA


class RawWriter:
    """Writes copy data. For a terminal (`for_terminal`) control characters are made visible."""

    def __init__(self, sink: Sink, *, for_terminal: bool = False) -> None:
        self._sink = sink
        self._for_terminal = for_terminal

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Nothing: raw data has no header but its own."""

    def rows(self, batch: Batch) -> None:
        """Write one line a row."""
        text = "".join(f"{row[0] or ''}\n" for row in batch)
        self._sink.write(printable(text, keep="\n\t") if self._for_terminal else text)

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Nothing: raw data has no place for it."""

    def close(self) -> None:
        """Flush."""
        self._sink.flush()
