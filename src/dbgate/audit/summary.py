"""A recorded session in one line, and which sessions somebody wants to see."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dbgate.audit.record import END, INTENT, OUTCOME, START

OUTCOMES = ("ok", "denied", "failed", "crashed", "open")


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


def moment(text: object) -> datetime | None:
    """A record's time, or None when it is not one."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else None
