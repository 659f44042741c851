"""Walking a bucket: session by session, day by day, a segment in memory at a time."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from dbgate.audit import layout
from dbgate.audit.bucket import Bucket
from dbgate.audit.examination import read_object
from dbgate.audit.record import END, FIRST_PREV, START, broken_link, digest, is_session_id, parse
from dbgate.audit.siem.events import Event, events_of
from dbgate.audit.summary import moment


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is told. Empty fields want all. `target` is a glob, `person` a part of the name."""

    target: str = ""
    person: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def wants_date(self, date: str) -> bool:
        """Whether a session that began on `date` may hold something: one that began before `since` may have gone on."""
        return self.until is None or date <= self.until.astimezone(UTC).date().isoformat()

    def wants(self, event: Event) -> bool:
        """Whether an event is wanted. One without a time that can be read is."""
        at = moment(event.time)
        early = at is not None and self.since is not None and at < self.since
        late = at is not None and self.until is not None and at > self.until
        return not early and not late and self.person.lower() in event.person.lower()


MAX_DEPTH = 40
"""Records of dbgate's own are nested a few levels; nothing deeper than this is followed."""


class Damaged(Exception):
    """A session cannot be read on from here. Says where and why."""


@dataclass(slots=True)
class Feed:
    """The events of a bucket. `damaged` are folders with why they could not be read on, `open` those without an end yet."""

    bucket: Bucket
    wanted: Wanted
    damaged: dict[str, str] = field(default_factory=dict)
    open: list[str] = field(default_factory=list)

    def folders(self) -> Iterator[str]:
        """The folders of sessions that may be wanted, the oldest day first. Raises `Unreachable`."""
        for date in self.bucket.folders("sessions"):
            if not self.wanted.wants_date(date.rpartition("date=")[2]):
                continue
            for target in self.bucket.folders(date):
                if not self._wants_target(target):
                    continue
                for folder in self.bucket.folders(target):
                    if is_session_id(folder.rpartition("/")[2]):
                        yield folder

    def _wants_target(self, folder: str) -> bool:
        name = unquote(folder.rpartition("target=")[2])
        return not self.wanted.target or fnmatch.fnmatchcase(name, self.wanted.target)

    def session(self, folder: str, after: int, mark: Callable[[int, bool], None]) -> Iterator[Event]:
        """The wanted events of one session that are not final by record `after` (-1: all).

        `mark` is told, after each event was taken and at the end, up to which record all is told, and whether the session
        has ended. Raises `Unreachable`.
        """
        ended = False
        last = after

        def noting() -> Iterator[dict[str, Any]]:
            nonlocal ended
            for record in self._records(folder):
                ended = ended or record["kind"] == END
                yield record

        try:
            for event in events_of(noting(), after=after):
                if self.wanted.wants(event):
                    yield event
                # Others may become final by the same record: only those before it are surely told.
                last = event.seq
                mark(last - 1, False)
        except Damaged as damage:
            self.damaged[folder] = str(damage)
        if not ended and folder not in self.damaged:
            self.open.append(folder)
        mark(last, ended and folder not in self.damaged)

    def _records(self, folder: str) -> Iterator[dict[str, Any]]:
        """The records of a session, each held to the chain. Raises `Damaged`, `Unreachable`."""
        session = folder.rpartition("/")[2]
        seq, prev = 0, FIRST_PREV
        names = sorted(name.rpartition("/")[2] for name in self.bucket.names(folder))
        for place, name in enumerate(n for n in names if layout.SEGMENT_OBJECT.fullmatch(n)):
            if name != f"{place:05}.jsonl.zst":
                raise Damaged(f"segment {place:05} is missing")
            segment, _ = read_object(self.bucket, folder, name)
            if segment.damage:
                raise Damaged(f"{name}: {segment.damage}")
            for row, line in enumerate(segment.content.split(b"\n"), 1):
                if not line:
                    continue
                try:
                    record = parse(line)
                    fault = broken_link(record, session=session, seq=seq, prev=prev)
                    if record["kind"] == START and layout.session_prefix(record) != folder:
                        fault = f"the session belongs to {layout.session_prefix(record)}"
                    fault = fault or ("is nested too deeply" if _is_deep(record) else "")
                except ValueError as error:
                    fault = str(error)
                if fault or (record["kind"] == START) != (seq == 0):
                    raise Damaged(f"{name} line {row}: {fault or 'session.start is not where it belongs'}")
                yield record
                seq, prev = seq + 1, digest(line)


def _is_deep(record: dict[str, Any]) -> bool:
    level: list[Any] = [record]
    for _ in range(MAX_DEPTH):
        below = [item for value in level for item in (value.values() if isinstance(value, dict) else value)]
        level = [item for item in below if isinstance(item, (dict, list))]
        if not level:
            return False
    return True
