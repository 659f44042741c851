"""Recorded sessions for auditors: a list of the sealed transcripts in the audit bucket, and a player.

What was masked when it was recorded stays masked: a recording holds what its person saw and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from dbgate.approvals.ledger import Access
from dbgate.audit.record import is_session_id

if TYPE_CHECKING:
    from starlette.responses import Response

    from dbgate.audit.frames import Frame
    from dbgate.audit.sessions import Archive, Place
    from dbgate.audit.summary import Filter, Summary
    from dbgate.console.calls import Call
    from dbgate.console.rendering import Pages

PAGE = 25
MAX_FRAMES = 4000
MAX_CHARACTERS = 4 * 1024 * 1024
"""What a page plays at most; longer recordings are for `dbgate replay`."""

MAX_LOOKED_AT = 500
"""How many sessions one page reads at most to find those that a filter wants."""


class Recordings:
    """The pages of the archive. `open_archive` is called for every page: buckets come and go."""

    def __init__(self, pages: Pages, open_archive: Callable[[], Archive], note: Callable[[Access], None]) -> None:
        """`note` records who watches what, before they do."""
        self._pages = pages
        self._open = open_archive
        self._note = note

    def listing(self, call: Call) -> Response:
        """Sessions, newest first, filtered."""
        from dbgate.audit.summary import OUTCOMES

        filters = {name: call.query.get(name, "").strip()[:200] for name in ("person", "target", "since", "until")}
        outcome = call.query.get("outcome", "")
        filters["outcome"] = outcome if outcome in OUTCOMES else ""
        before = call.query.get("before", "").lower()
        archive, wanted = self._open(), _wanted(filters)
        places = archive.in_bucket(wanted)
        if is_session_id(before):
            places = (place for place in places if place.session < before)
        found: list[dict[str, Any]] = []
        looked_at, last, more = 0, "", ""
        with closing(archive.summaries(wanted, islice(places, MAX_LOOKED_AT + 1))) as summaries:
            for place, summary in summaries:
                if len(found) == PAGE or looked_at == MAX_LOOKED_AT:
                    more = last
                    break
                looked_at, last = looked_at + 1, place.session
                if summary is not None:
                    found.append(_row(summary))
        return self._pages.page(
            "sessions.html", call, sessions=found, filters=filters, outcomes=OUTCOMES, more=more, looked_at=looked_at
        )

    def show(self, call: Call) -> Response:
        """One session, with a player; without scripts, as one long text. On record before it is read."""
        from dbgate.audit.frames import frames

        archive = self._open()
        place = _find(archive, call.path["id"])
        self._note(Access("watched", call.identity, place.session))
        summary = archive.summary(place)
        shown = list(islice(_bounded(frames(archive.records(place))), MAX_FRAMES))
        return self._pages.page(
            "replay.html",
            call,
            session=_row(summary),
            start=summary.start,
            frames=shown,
            is_cut=len(shown) == MAX_FRAMES or sum(len(frame.text) for frame in shown) >= MAX_CHARACTERS,
            fault=archive.first_fault(place),
            is_sealed=bool(summary.end),
        )


def _find(archive: Archive, session: str) -> Place:
    """A session of the bucket by its whole id. Raises `HTTPException` 404."""
    from dbgate.audit.summary import Filter

    if is_session_id(session):
        for place in archive.in_bucket(Filter()):
            if place.session == session:
                return place
    raise HTTPException(404, "there is no such session in the audit bucket")


def _bounded(shown: Iterator[Frame]) -> Iterator[Frame]:
    size = 0
    for frame in shown:
        yield frame
        size += len(frame.text)
        if size >= MAX_CHARACTERS:
            return


def _row(summary: Summary) -> dict[str, Any]:
    return summary.to_json() | {"person": summary.person}


def _wanted(filters: dict[str, str]) -> Filter:
    from dbgate.audit.summary import Filter

    until = _day(filters["until"])
    return Filter(
        person=filters["person"],
        target=filters["target"],
        since=_day(filters["since"]),
        until=until + timedelta(days=1, microseconds=-1) if until else None,
        outcome=filters["outcome"],
    )


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        return None
