"""Records as events: a statement with its outcome is one, and so is each step of an approval. Pure.

An event is told once it is final: a statement with its outcome, a denied one at once. What has no outcome when its
session ends is told then, as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dbgate.audit.record import DECIDED, DECISION, END, ENVELOPE, INTENT, OUTCOME, REFUSED, START, opens

STATEMENT = "statement"
APPROVAL = "approval."

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a session.

    `kind` is `statement` or the record's kind. `start` is the session's first record, `record` the one that tells of it
    first, `outcome` how it ended (empty when nothing was due, or nobody saw it). `seq` is that of the record that made
    it final.
    """

    kind: str
    start: Fields
    record: Fields
    outcome: Fields
    seq: int

    @property
    def uid(self) -> str:
        """The same for this event in every export: the session and the number of its record."""
        return f"{self.record['session']}.{self.record['seq']}"

    @property
    def session(self) -> str:
        """The session's id."""
        return str(self.record["session"])

    @property
    def time(self) -> str:
        """When it began to happen, RFC 3339 in UTC: for a statement, when it was put on record."""
        return str(self.record["time"])

    @property
    def identity(self) -> Fields:
        """Whose session it is; of a decision of the approvals service, who decided (empty for the clock)."""
        who = self.record.get("by") if self.kind in (DECISION, REFUSED) else self.start.get("identity")
        return who if isinstance(who, Mapping) else {}

    @property
    def person(self) -> str:
        """The e-mail, or else the subject."""
        return words(self.identity.get("email")) or words(self.identity.get("subject"))


def events_of(records: Iterable[Fields], *, after: int = -1) -> Iterator[Event]:
    """The events of one session, in the order in which they become final; those final by record `after` are left out.

    `records` are the session's from its start. What is still open when they end without a `session.end` is not told.
    """
    start: Fields = {}
    open_: dict[tuple[str, int], Fields] = {}
    for record in records:
        kind, seq = record["kind"], record["seq"]
        for event in _final(start or record, record, open_):
            if event.seq > after:
                yield event
        if kind == START:
            start = record
        due = opens(kind, record)
        if due is not None:
            if due in open_ and seq > after:
                yield Event(_kind(open_[due]), start, open_[due], {}, seq)
            open_[due] = record
        if kind == END:
            for intent in open_.values():
                if seq > after:
                    yield Event(_kind(intent), start, intent, {}, seq)
            open_.clear()


def _final(start: Fields, record: Fields, open_: dict[tuple[str, int], Fields]) -> Iterator[Event]:
    """The events that `record` makes final."""
    kind, seq = record["kind"], record["seq"]
    if kind in (OUTCOME, DECIDED):
        number = record.get("id")
        intent = open_.pop((kind, number), None) if isinstance(number, int) else None
        if intent is not None:
            yield Event(_kind(intent), start, intent, record, seq)
        else:
            yield Event(kind, start, record, {}, seq)
    elif (kind == INTENT and opens(kind, record) is None) or kind in (START, END, REFUSED) or kind.startswith(APPROVAL):
        yield Event(_kind(record), start, record, {}, seq)


def _kind(record: Fields) -> str:
    return STATEMENT if record["kind"] == INTENT else str(record["kind"])


def own_fields(record: Fields) -> dict[str, Any]:
    """The fields of a record that are not its envelope's."""
    return {name: value for name, value in record.items() if name not in ENVELOPE}


def words(value: object) -> str:
    """A field that should be text: empty when it is missing or something else."""
    return value if isinstance(value, str) else ""


def listed(value: object) -> list[str]:
    """A field that should be a list of texts: what of it is text."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def number(value: object) -> int | None:
    """A field that should be a whole number."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def shortened(value: Any, length: int) -> Any:
    """`value` with every text in it cut to `length` characters and every list to a sixteenth as many items, marked by `…`."""
    match value:
        case str():
            return value if len(value) <= length else value[:length] + "…"
        case Mapping():
            return {str(name)[:64]: shortened(item, length) for name, item in value.items()}
        case list() | tuple():
            most = max(length // 16, 4)
            kept = [shortened(item, length) for item in value[:most]]
            return [*kept, "…"] if len(value) > most else kept
    return value
