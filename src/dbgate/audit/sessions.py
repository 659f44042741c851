"""Finding and reading recorded sessions, in the spool and in the bucket."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbgate.audit import layout, spool
from dbgate.audit.bucket import Bucket
from dbgate.audit.keys import own_keys
from dbgate.audit.record import END, INTENT, OUTCOME, START, is_session_id, parse
from dbgate.audit.transcript import Segment, check_transcript
from dbgate.audit.verification import read_object
from dbgate.errors import AuditUnavailable, UsageError
from dbgate.text import suggest

OUTCOMES = ("ok", "denied", "failed", "crashed", "open")
DAMAGED = "damaged"
"""The kind given to a line that cannot be read. It stands in no transcript."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session was found: a folder of the bucket, or a directory of the spool."""

    session: str
    folder: str = ""
    directory: Path | None = None

    @property
    def name(self) -> str:
        """`bucket` or `spool`."""
        return "spool" if self.directory else "bucket"


@dataclass(slots=True)
class Summary:
    """A session in one line. `outcomes` are all of `OUTCOMES` that apply, the gravest first."""

    session: str
    place: str
    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    last_at: str = ""
    records: int = 0
    statements: int = 0
    denied: int = 0
    failed: int = 0
    rows: int = 0
    verbs: set[str] = field(default_factory=set)
    live: bool = False

    @property
    def person(self) -> str:
        """The e-mail, or else the subject."""
        identity = self.start.get("identity")
        if not isinstance(identity, dict):
            return ""
        return str(identity.get("email") or identity.get("subject") or "")

    @property
    def target(self) -> str:
        """The target's name."""
        return str(self.start.get("target", ""))

    @property
    def started_at(self) -> datetime | None:
        """When it began."""
        return moment(self.start.get("time"))

    @property
    def duration_s(self) -> float:
        """From the first record to the last."""
        first, last = self.started_at, moment(self.last_at)
        return (last - first).total_seconds() if first and last else 0.0

    @property
    def outcomes(self) -> list[str]:
        """What can be said of it, the gravest first."""
        found = {
            "crashed": self.end.get("reason") == "crashed" or (not self.end and not self.live),
            "open": self.live,
            "denied": self.denied > 0,
            "failed": self.failed > 0,
        }
        return [word for word, holds in found.items() if holds] or ["ok"]

    def take(self, record: dict[str, Any]) -> None:
        """Count one more record."""
        kind = record["kind"]
        self.records += 1
        self.last_at = record.get("time") or self.last_at
        if kind == START:
            self.start = record
        elif kind == END:
            self.end = record
        elif kind == INTENT:
            self.statements += 1
            self.denied += record.get("decision") == "deny"
            self.failed += record.get("decision") == "error"
            self.verbs.add(str(record.get("verb", "")).lower())
        elif kind == OUTCOME:
            self.failed += record.get("status") in ("error", "unknown")
            self.rows += record["rows"] if isinstance(record.get("rows"), int) else 0

    def to_json(self) -> dict[str, Any]:
        """The summary for `--format json`."""
        return {
            "session": self.session,
            "place": self.place,
            "started_at": self.start.get("time", ""),
            "duration_s": round(self.duration_s, 3),
            "identity": self.start.get("identity", {}),
            "target": self.target,
            "environment": self.start.get("environment", ""),
            "door": self.start.get("door", ""),
            "reason": self.start.get("reason", ""),
            "ended": self.end.get("reason", ""),
            "outcomes": self.outcomes,
            "records": self.records,
            "statements": self.statements,
            "denied": self.denied,
            "failed": self.failed,
            "rows": self.rows,
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are wanted. Empty fields want all. `target` is a glob, `person` a part of the name."""

    person: str = ""
    target: str = ""
    since: datetime | None = None
    until: datetime | None = None
    outcome: str = ""
    verb: str = ""

    def wants(self, summary: Summary) -> bool:
        """Whether a session is wanted."""
        at = summary.started_at
        return (
            self.person.lower() in summary.person.lower()
            and (not self.target or fnmatch.fnmatchcase(summary.target, self.target))
            and (self.since is None or (at is not None and at >= self.since))
            and (self.until is None or (at is not None and at <= self.until))
            and (not self.outcome or self.outcome in summary.outcomes)
            and (not self.verb or self.verb.lower() in summary.verbs)
        )

    def wants_date(self, date: str) -> bool:
        """Whether a session that began on `date` (YYYY-MM-DD, UTC) may be wanted."""
        early = self.since is not None and date < self.since.astimezone(UTC).date().isoformat()
        late = self.until is not None and date > self.until.astimezone(UTC).date().isoformat()
        return not early and not late


class Archive:
    """The sessions of the spool and of the bucket; either may be None."""

    def __init__(self, state_dir: Path | None, bucket: Bucket | None) -> None:
        self._state_dir = state_dir
        self._bucket = bucket

    def in_spool(self) -> list[Place]:
        """The sessions that wait here, newest first. Raises `AuditUnavailable`."""
        if self._state_dir is None:
            return []
        try:
            names = spool.spooled(self._state_dir)
        except OSError as error:
            path = spool.spool_dir(self._state_dir)
            raise AuditUnavailable(
                f"the spool {path} cannot be read: {error.strerror}", hint=f"make {path} a directory of your own"
            ) from None
        return [Place(name, directory=spool.session_dir(self._state_dir, name)) for name in reversed(names)]

    def in_bucket(self, wanted: Filter) -> Iterator[Place]:
        """The sessions of the bucket that may be wanted, newest first. Raises `Unreachable`."""
        if self._bucket is None:
            return
        for date in reversed(self._bucket.folders("sessions")):
            if not wanted.wants_date(date.rpartition("date=")[2]):
                continue
            found = [folder for target in self._bucket.folders(date) for folder in self._bucket.folders(target)]
            for folder in sorted(found, key=lambda folder: folder.rpartition("/")[2], reverse=True):
                name = folder.rpartition("/")[2]
                if is_session_id(name):
                    yield Place(name, folder=folder)

    def find(self, text: str) -> Place:
        """The one session whose id begins or ends with `text`; the spool's copy when there are two.

        Raises `UsageError` when there is none or more than one, `Unreachable`.
        """
        wanted = text.lower()
        known: dict[str, Place] = {place.session: place for place in self.in_spool()}
        if wanted in known:
            return known[wanted]
        for place in self.in_bucket(Filter()):
            known.setdefault(place.session, place)
        matches = [name for name in known if wanted and (name.startswith(wanted) or name.endswith(wanted))]
        if len(matches) == 1:
            return known[matches[0]]
        if matches:
            listed = "\n".join(sorted(matches)[-5:])
            raise UsageError(
                f"{len(matches)} sessions begin or end with {text}", hint=f"give more of one of:\n{listed}"
            )
        near = suggest(wanted, known) if len(wanted) > 20 else ""
        raise UsageError(f"no such session: {text}", hint=near or "list them with: dbgate sessions list")

    def records(self, place: Place) -> Iterator[dict[str, Any]]:
        """The records of a session. What cannot be read becomes a record of kind `damaged`."""
        for segment in self._segments(place):
            if segment.damage:
                yield _damaged(f"{segment.name}: {segment.damage}")
            for number, line in enumerate(segment.content.split(b"\n"), 1):
                if line:
                    yield _read(line, f"{segment.name} line {number}")

    def first_fault(self, place: Place) -> str:
        """Where the transcript does not hold together, or the empty text. A stranger's seal passes here."""
        keys = {key.id: key for key in own_keys(self._state_dir)} if self._state_dir else {}
        intact = check_transcript(place.session, self._segments(place), keys, unsafe_any_key=True).intact
        return "" if intact.holds or self._is_being_written(place) else str(intact)

    def summary(self, place: Place) -> Summary:
        """A session in one line."""
        return summarise(place, self.records(place))

    def _segments(self, place: Place) -> Iterator[Segment]:
        if place.directory is not None:
            for path in spool.segments(place.directory):
                yield Segment(path.name, path.read_bytes())
        elif self._bucket is not None:
            for name in sorted(self._bucket.names(place.folder)):
                if layout.SEGMENT_OBJECT.fullmatch(name.rpartition("/")[2]):
                    yield read_object(self._bucket, place.folder, name.rpartition("/")[2])[0]

    def _is_being_written(self, place: Place) -> bool:
        return place.directory is not None and spool.is_live(place.directory)


def _read(line: bytes, where: str) -> dict[str, Any]:
    try:
        return parse(line)
    except ValueError as error:
        return _damaged(f"{where}: {error}")


def _damaged(text: str) -> dict[str, Any]:
    return {"kind": DAMAGED, "time": "", "text": text}


def summarise(place: Place, records: Iterable[dict[str, Any]]) -> Summary:
    """A session in one line, from its records."""
    summary = Summary(place.session, place.name)
    for record in records:
        summary.take(record)
    summary.live = place.directory is not None and not summary.end and spool.is_live(place.directory)
    return summary


def moment(text: object) -> datetime | None:
    """A record's time, or None when it is not one."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else None
