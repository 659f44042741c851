"""CSV that the server writes: the COPY statement, and counting and cutting what comes of it.

Looks as `dbgate.doors.formats.csv` writes it: the same header, NULL an empty field, formulas defused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

from dbgate.doors.exec.output import Output
from dbgate.doors.formats.csv import FORMULA_STARTS, defuse, quote
from dbgate.doors.formats.kinds import is_text
from dbgate.model import Column, Outcome

_CODES = ", ".join(str(ord(char)) for char in FORMULA_STARTS)


def copy_text(query: str, columns: Sequence[Column], *, max_rows: int | None) -> str:
    """COPY the result of `query`, one row beyond `max_rows`, with an apostrophe before what a spreadsheet would run.

    `OFFSET 0` keeps PostgreSQL from pulling the query up, which would compute each mask twice.
    """
    names = [f"c{number}" for number in range(1, len(columns) + 1)]
    cells = [_defused(name) if is_text(c.type) else name for name, c in zip(names, columns, strict=True)]
    limit = "" if max_rows is None else f" LIMIT {max_rows + 1}"
    inner = f"SELECT {', '.join(cells)} FROM (SELECT * FROM ({query}\n) AS p OFFSET 0) AS q({', '.join(names)}){limit}"
    return f"COPY ({inner}) TO STDOUT (FORMAT csv)"


def _defused(name: str) -> str:
    text = f"{name}::pg_catalog.text"
    return (
        f"CASE WHEN pg_catalog.ascii({text}) OPERATOR(pg_catalog.=) ANY (ARRAY[{_CODES}])"
        f" THEN '''' OPERATOR(pg_catalog.||) {text} ELSE {text} END"
    )


def header(columns: Sequence[Column]) -> bytes:
    """The header line."""
    return (",".join(quote(defuse(column.name)) for column in columns) + "\n").encode()


def count_rows(block: bytes) -> int:
    """The rows of a block of whole CSV lines: its line feeds outside of quotes."""
    if b'"' not in block:
        return block.count(b"\n")
    return sum(piece.count(b"\n") for piece in block.split(b'"')[::2])


def first_rows(block: bytes, rows: int) -> bytes:
    """The first `rows` rows of a block of whole CSV lines."""
    position = 0
    for _ in range(rows):
        end = block.index(b"\n", position)
        while block.count(b'"', position, end) % 2:
            end = block.index(b"\n", end + 1)
        position = end + 1
    return block[:position]


def pour(
    header: bytes, blocks: Iterator[bytes], output: Output, *, max_rows: int | None, max_bytes: int | None
) -> Outcome:
    """Write header and blocks, up to the limits and as long as the output lasts.

    The outcome's digest is `sha256-csv:` over all bytes written for the statement, header included.
    """
    digest = hashlib.sha256(header)
    rows, size, truncated = 0, 0, False
    first = next(blocks, b"")
    output.write(header)
    for block in chain([first], blocks):
        taken, count = block, count_rows(block)
        if max_rows is not None and rows + count > max_rows:
            count, truncated = max_rows - rows, True
            taken = first_rows(block, count)
        elif max_bytes is not None and size + len(block) > max_bytes:
            taken, count, truncated = b"", 0, True
        rows += count
        size += len(taken)
        digest.update(taken)
        output.write(taken)
        if truncated or output.failure is not None:
            break
    close = getattr(blocks, "close", None)
    if close is not None:
        close()
    return Outcome(
        f"SELECT {rows}",
        rows=rows,
        size_bytes=size,
        digest=f"sha256-csv:{digest.hexdigest()}",
        truncated=truncated or output.failure is not None,
        message="cut at the policy's limit" if truncated else "",
    )
