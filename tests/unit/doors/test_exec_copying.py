from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator

import pytest

from dbgate.doors.exec.copying import copy_text, count_rows, first_rows, header, pour
from dbgate.doors.exec.output import Output
from dbgate.model import Column

LINES = [b"1,a\n", b'2,"b\nb"\n', b'3,"c ""q""\n,"\n', b"4,\n", b'5,""\n', b'"6","\n\n"\n']


@pytest.mark.parametrize("rows", range(len(LINES) + 1))
def test_rows_are_counted_and_cut_as_csv_has_them(rows: int) -> None:
    block = b"".join(LINES)
    assert count_rows(b"".join(LINES[:rows])) == rows
    assert first_rows(block, rows) == b"".join(LINES[:rows])
    assert len(list(csv.reader(io.StringIO(first_rows(block, rows).decode())))) == rows


class Blocks:
    """Blocks that tell whether they were closed before their end."""

    def __init__(self, *blocks: bytes) -> None:
        self.left = list(blocks)
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if not self.left:
            raise StopIteration
        return self.left.pop(0)

    def close(self) -> None:
        self.closed = True


def poured(blocks: Blocks, *, max_rows: int | None = None, max_bytes: int | None = None) -> tuple[bytes, int, bool]:
    out = io.BytesIO()
    outcome = pour(b"a,b\n", blocks, Output(out, keep_bytes=10), max_rows=max_rows, max_bytes=max_bytes)
    assert outcome.digest == f"sha256-csv:{hashlib.sha256(out.getvalue()).hexdigest()}"
    assert outcome.status == f"SELECT {outcome.rows}"
    return out.getvalue(), outcome.rows, outcome.truncated


def test_everything_goes_out_with_its_header() -> None:
    assert poured(Blocks(b"1,2\n", b"3,4\n")) == (b"a,b\n1,2\n3,4\n", 2, False)
    assert poured(Blocks()) == (b"a,b\n", 0, False)


def test_the_limits_cut_and_let_go() -> None:
    blocks = Blocks(b"1,2\n3,4\n", b"5,6\n7,8\n", b"9,9\n")
    assert poured(blocks, max_rows=3) == (b"a,b\n1,2\n3,4\n5,6\n", 3, True)
    assert (blocks.closed, blocks.left) == (True, [b"9,9\n"])
    assert poured(Blocks(b"1,2\n3,4\n"), max_rows=2) == (b"a,b\n1,2\n3,4\n", 2, False)
    assert poured(Blocks(b"1,2\n", b"3,4\n"), max_bytes=7) == (b"a,b\n1,2\n", 1, True)


def test_an_output_that_fails_lets_go() -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError

    blocks = Blocks(b"1,2\n", b"3,4\n", b"5,6\n")
    outcome = pour(b"a\n", blocks, Output(Gone(), keep_bytes=0), max_rows=None, max_bytes=None)
    assert outcome.truncated
    assert blocks.closed


def test_only_text_is_defused_and_names_never_reach_the_statement() -> None:
    columns = (Column('x"; DROP TABLE t; --', "integer"), Column("=1+1", "text"))
    text = copy_text("SELECT 1, 'a' -- end", columns, max_rows=5)
    assert "DROP" not in text
    assert text.startswith("COPY (SELECT c1, CASE WHEN pg_catalog.ascii(c2::pg_catalog.text)")
    inner = "(SELECT * FROM (SELECT 1, 'a' -- end\n) AS p OFFSET 0) AS q(c1, c2) LIMIT 6"
    assert text.endswith(f" FROM {inner}) TO STDOUT (FORMAT csv)")
    assert header(columns) == b'"x""; DROP TABLE t; --",\'=1+1\n'
