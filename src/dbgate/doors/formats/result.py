"""From a running statement to a format: the part that every door shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from dbgate.doors.formats.interface import Batch, Writer
from dbgate.errors import DbgateError
from dbgate.model import Column, Outcome
from dbgate.session.ports import Rows


def write_result(rows: Rows, writer: Writer, masked: Sequence[int], *, names: Sequence[str] | None = None) -> Outcome:
    """Stream `rows` through `writer` and return the outcome, without its duration.

    `names` stand for the masked columns at the end; by default the columns' own. Lets the errors of `rows` through,
    after the result was ended with the status `error`.

    The outcome's `digest` is `sha256:` over the rows as compact JSON arrays, one a line, UTF-8; `size_bytes` is the
    length of these lines; without columns and rows both stay empty.
    """
    columns = rows.columns
    writer.begin(columns, masked)
    meter = Meter()
    try:
        for batch in meter.watch(rows.batches()):
            writer.rows(batch)
    except DbgateError:
        writer.end("error", meter.rows, names if names is not None else masked_names(columns, masked))
        raise
    count = meter.rows if columns or meter.rows else rows.affected
    writer.end(rows.status, count, names if names is not None else masked_names(columns, masked))
    digest = f"sha256:{meter.hash.hexdigest()}" if columns or meter.rows else ""
    return Outcome(rows.status, rows=count, size_bytes=meter.size_bytes, digest=digest)


def masked_names(columns: Sequence[Column], masked: Sequence[int]) -> list[str]:
    """The names of the columns at the positions `masked`."""
    return [columns[i].name for i in masked if i < len(columns)]


class Meter:
    """Counts and hashes the rows that pass."""

    def __init__(self) -> None:
        self.rows = 0
        self.size_bytes = 0
        self.hash = hashlib.sha256()

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, counted."""
        import msgspec

        encode = msgspec.json.Encoder().encode_lines
        for batch in batches:
            lines = encode(batch)
            self.rows += len(batch)
            self.size_bytes += len(lines)
            self.hash.update(lines)
            yield batch
