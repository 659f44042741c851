from __future__ import annotations

from collections.abc import Iterator

import pytest

from dbgate.model import Column
from dbgate.session.rows import TouchesMore, WatchedRows

Row = tuple[str | None, ...]


class Result:
    """Batches of one-column rows, as a database would hand them out."""

    def __init__(self, *sizes: int, affected: int | None = None) -> None:
        self.sizes = list(sizes)
        self.columns = (Column("n", "integer"),)
        self.status = "SELECT"
        self.affected = sum(sizes) if affected is None else affected
        self.closed = False
        self.fetched = 0

    def batches(self) -> Iterator[list[Row]]:
        while self.sizes:
            size = self.sizes.pop(0)
            self.fetched += size
            yield [("x" * 10,) for _ in range(size)]

    def close(self) -> None:
        self.closed = True


def test_rows_pass_through_without_limits() -> None:
    rows = WatchedRows(Result(3, 2))
    assert [len(batch) for batch in rows.batches()] == [3, 2]
    assert (rows.count, rows.affected, rows.truncated) == (5, 5, False)


def test_exactly_the_limit_is_not_cut() -> None:
    rows = WatchedRows(Result(3, 2), max_rows=5)
    assert [len(batch) for batch in rows.batches()] == [3, 2]
    assert not rows.truncated


def test_a_read_beyond_the_limit_is_cut_and_not_fetched_further() -> None:
    result = Result(3, 3, 3)
    rows = WatchedRows(result, max_rows=4)
    assert [len(batch) for batch in rows.batches()] == [3, 1]
    assert (rows.count, rows.affected, rows.truncated) == (4, 4, True)
    assert (result.closed, result.fetched) == (True, 6)


def test_a_change_beyond_the_limit_is_brought_to_its_end() -> None:
    result = Result(3, 3, 3)
    rows = WatchedRows(result, max_rows=4, reads=False)
    assert [len(batch) for batch in rows.batches()] == [3, 1]
    assert (rows.truncated, result.closed, result.fetched) == (True, False, 9)


def test_closing_a_change_drains_it() -> None:
    result = Result(3, 3)
    rows = WatchedRows(result, reads=False)
    next(rows.batches())
    rows.close()
    assert (result.fetched, result.closed) == (6, True)


@pytest.mark.parametrize(("limit", "kept"), [(100, 10), (99, 9), (35, 3), (5, 0)])
def test_a_limit_in_bytes_cuts_whole_rows(limit: int, kept: int) -> None:
    rows = WatchedRows(Result(2, 8), max_bytes=limit)
    assert sum(len(batch) for batch in rows.batches()) == kept
    assert rows.truncated == (kept < 10)


def test_more_rows_than_approved_are_told_at_once() -> None:
    rows = WatchedRows(Result(3, 3), at_most=5, reads=False)
    batches = rows.batches()
    assert len(next(batches)) == 3
    with pytest.raises(TouchesMore) as caught:
        next(batches)
    assert (caught.value.rows, caught.value.allowed) == (6, 5)


def test_a_statement_without_rows_is_checked_by_its_count() -> None:
    with pytest.raises(TouchesMore):
        list(WatchedRows(Result(affected=6), at_most=5).batches())
    assert list(WatchedRows(Result(affected=5), at_most=5).batches()) == []
