"""Takes the few rows that reviewers see of a change."""

from __future__ import annotations

from dbgate.errors import StatementError
from dbgate.model import Sample, SampleQuery
from dbgate.session.ports import Database

MAX_ROWS = 5
"""So many rows of a change are shown to reviewers."""

MAX_CHARACTERS = 120
"""Longer values are cut."""


def sampled(database: Database, query: SampleQuery) -> Sample:
    """The rows of a query, before and after the change, cut to a size that people read.

    A query that fails, for whatever reason, gives a note and no rows: nothing of the server's message is passed on.
    """
    name = str(query.relation)
    if not query.text:
        return Sample(name, query.verb, note=query.note)
    try:
        rows = database.look(query.text, query.parameters)
    except StatementError:
        return Sample(name, query.verb, note="a sample could not be taken")
    width = len(query.columns)
    if query.verb == "insert":
        return Sample(name, query.verb, query.columns, after=tuple(map(_cut, rows)), note=query.note)
    places = [query.columns.index(column) for column in query.changed]
    before = tuple(_cut(row[:width]) for row in rows)
    after = tuple(_cut(_changed(row, width, places)) for row in rows) if places else ()
    return Sample(name, query.verb, query.columns, before, after, query.note)


def _changed(row: tuple[str | None, ...], width: int, places: list[int]) -> tuple[str | None, ...]:
    """A row as it would be: the new values in the places of the old ones."""
    made = list(row[:width])
    for place, value in zip(places, row[width:], strict=True):
        made[place] = value
    return tuple(made)


def _cut(row: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return tuple(v if v is None or len(v) <= MAX_CHARACTERS else f"{v[: MAX_CHARACTERS - 1]}…" for v in row)
