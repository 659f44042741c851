"""A recorded session in one line, and which sessions somebody wants to see."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dbgate.audit.record import END, INTENT, OUTCOME, START

OUTCOMES = ("ok", "denied", "failed", "unknown", "approved", "crashed", "open", "damaged")
_OF_STATEMENTS = frozenset({"denied", "failed", "unknown", "approved"})
"""Outcomes that a statement has, and through it its session."""


class Touch(NamedTuple):
    """What a statement did to what, as far as a filter asks: many statements of a session share one."""

    verb: str
    tables: frozenset[str]
    tags: frozenset[str]
    outcomes: frozenset[str]


@dataclass(slots=True)
class Summary:
    """A session in one line. `failed` counts statements that ended in an error or unknown; `approved` those under a grant."""

    session: str
    place: str
    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    last_at: str = ""
    records: int = 0
    statements: int = 0
    denied: int = 0
    failed: int = 0
    unknown: int = 0
    approved: int = 0
    rows: int = 0
    live: bool = False
    damaged: bool = False
    """Whether something that stands there cannot: what is counted here may then be wrong."""
    _touches: set[Touch] = field(default_factory=set)
    _open: dict[str, Touch] = field(default_factory=dict)

    @property
    def person(self) -> str:
        """The e-mail, or else the subject."""
        identity = self.identity
        return str(identity.get("email") or identity.get("subject") or "")

    @property
    def identity(self) -> dict[str, Any]:
        """Who it was, as recorded."""
        identity = self.start.get("identity")
        return identity if isinstance(identity, dict) else {}

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
        """All of `OUTCOMES` that apply, the gravest first."""
        found = {
            "damaged": self.damaged,
            "crashed": self.end.get("reason") == "crashed" or (not self.end and not self.live),
            "open": self.live,
            "unknown": self.unknown > 0,
            "denied": self.denied > 0,
            "failed": self.failed > 0,
        }
        grave = [word for word, holds in found.items() if holds] or ["ok"]
        return [*grave, "approved"] if self.approved else grave

    @property
    def verbs(self) -> set[str]:
        """The verbs of its statements."""
        return {touch.verb for touch in self.touches()} - {""}

    @property
    def tables(self) -> set[str]:
        """The tables that its statements read or wrote."""
        return {table for touch in self.touches() for table in touch.tables}

    @property
    def tags(self) -> set[str]:
        """The tags of the labelled columns that its statements met."""
        return {tag for touch in self.touches() for tag in touch.tags}

    def touches(self) -> Iterator[Touch]:
        """What its statements did, each thing once."""
        yield from self._touches
        yield from self._open.values()

    def take(self, record: dict[str, Any]) -> None:
        """Count one more record."""
        kind = record["kind"]
        self.records += 1
        self.last_at = record.get("time") or self.last_at
        if kind == START:
            self.start = self.start or record
        elif kind == END:
            self.end = record
        elif kind == INTENT:
            self._take_intent(record)
        elif kind == OUTCOME:
            self._take_outcome(record)

    def _take_intent(self, record: dict[str, Any]) -> None:
        decision, approved = record.get("decision"), bool(record.get("grant") or record.get("unmasked"))
        self.statements += 1
        self.denied += decision == "deny"
        self.failed += decision == "error"
        self.approved += approved
        words = {"denied": decision == "deny", "failed": decision == "error", "approved": approved}
        labelled = (label.get("tag") for label in _list(record, "labelled") if isinstance(label, dict))
        touch = Touch(
            str(record.get("verb", "")).lower(),
            frozenset(map(str, [*_list(record, "relations"), *_list(record, "writes")])),
            frozenset(map(str, [*_list(record, "tags"), *labelled])),
            frozenset(word for word, holds in words.items() if holds),
        )
        number = str(record.get("id"))
        if number in self._open:
            self._touches.add(self._open[number])
        self._open[number] = touch

    def _take_outcome(self, record: dict[str, Any]) -> None:
        status = record.get("status")
        self.failed += status in ("error", "unknown")
        self.unknown += status == "unknown"
        self.rows += record["rows"] if isinstance(record.get("rows"), int) else 0
        touch = self._open.pop(str(record.get("id")), None)
        if touch is not None:
            words = {"failed": status in ("error", "unknown"), "unknown": status == "unknown"}
            added = frozenset(word for word, holds in words.items() if holds)
            self._touches.add(touch._replace(outcomes=touch.outcomes | added))

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
            "unknown": self.unknown,
            "approved": self.approved,
            "rows": self.rows,
            "verbs": sorted(self.verbs),
            "tables": sorted(self.tables),
            "tags": sorted(self.tags),
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sessions are wanted. Empty fields want all.

    `person` is a part of the name; `target`, `table` and `tag` are globs. `verb`, `table`, `tag` and the outcomes of statements
    have to hold of one and the same statement.
    """

    person: str = ""
    target: str = ""
    since: datetime | None = None
    until: datetime | None = None
    outcome: str = ""
    verb: str = ""
    table: str = ""
    tag: str = ""
    actor: str = ""

    def wants(self, summary: Summary) -> bool:
        """Whether a session is wanted."""
        return self.wants_start(summary) and self._wants_end(summary)

    def wants_start(self, summary: Summary) -> bool:
        """Whether a session may be wanted, as far as its `session.start` says."""
        at = summary.started_at
        return (
            self.person.lower() in summary.person.lower()
            and (not self.actor or self.actor == summary.identity.get("actor"))
            and self.wants_target(summary.target)
            and (self.since is None or (at is not None and at >= self.since))
            and (self.until is None or (at is not None and at <= self.until))
        )

    def wants_target(self, target: str) -> bool:
        """Whether sessions on a target may be wanted."""
        return not self.target or fnmatch.fnmatchcase(target, self.target)

    def wants_date(self, date: str) -> bool:
        """Whether a session that began on `date` (YYYY-MM-DD, UTC) may be wanted."""
        early = self.since is not None and date < self.since.astimezone(UTC).date().isoformat()
        late = self.until is not None and date > self.until.astimezone(UTC).date().isoformat()
        return not early and not late

    def _wants_end(self, summary: Summary) -> bool:
        if self.outcome and self.outcome not in summary.outcomes:
            return False
        of_statement = self.outcome if self.outcome in _OF_STATEMENTS else ""
        if not (self.verb or self.table or self.tag):
            return True
        return any(
            (not self.verb or self.verb.lower() == touch.verb)
            and (not self.table or any(fnmatch.fnmatchcase(table, self.table) for table in touch.tables))
            and (not self.tag or any(fnmatch.fnmatchcase(tag, self.tag) for tag in touch.tags))
            and (not of_statement or of_statement in touch.outcomes)
            for touch in summary.touches()
        )


def moment(text: object) -> datetime | None:
    """A record's time, or None when it is not one."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else None


def _list(record: dict[str, Any], name: str) -> list[Any]:
    found = record.get(name)
    return found if isinstance(found, list) else []
