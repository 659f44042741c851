"""Checking one transcript: does every record follow, is it whole, does its seal hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbgate.audit.keys import PublicKey
from dbgate.audit.record import (
    END,
    FIRST_PREV,
    NOTICE,
    START,
    Due,
    broken_link,
    closes,
    digest,
    opens,
    parse,
)
from dbgate.audit.seal import broken_seal, sealing_key


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something holds, the evidence, and the first place where it fails."""

    holds: bool
    evidence: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.evidence}" if self.place else self.evidence


@dataclass(slots=True)
class Segment:
    """A file of a transcript: its name, and its bytes or why they cannot be had."""

    name: str
    content: bytes = b""
    damage: str = ""


@dataclass(slots=True)
class Transcript:
    """What was found in a transcript: two verdicts, and the facts that the log is compared with."""

    session: str
    start: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] = field(default_factory=dict)
    records: int = 0
    first_digest: str = ""
    last_digest: str = ""
    sealed_by: str = ""
    faults: list[Verdict] = field(default_factory=list)
    gaps: list[Verdict] = field(default_factory=list)
    torn: dict[str, str] = field(default_factory=dict)

    @property
    def intact(self) -> Verdict:
        """Every record follows the one before it, and the seal fits."""
        if self.faults:
            return self.faults[0]
        seal = "the seal holds" if self.end else "no seal yet"
        return Verdict(True, f"{self.records} records in one chain, {seal}")

    @property
    def complete(self) -> Verdict:
        """From the start to the sealed end, with an outcome for every statement."""
        return self.gaps[0] if self.gaps else Verdict(True, "from session.start to a sealed session.end")


class Checker:
    """Checks a transcript as it is read, segment by segment and line by line, against the trusted `keys` (by id).

    With `unsafe_any_key` the seal of a key that is not among them goes unchecked. Nothing is checked behind the first line
    that does not follow.
    """

    def __init__(self, session: str, keys: Mapping[str, PublicKey], *, unsafe_any_key: bool = False) -> None:
        self.found = Transcript(session)
        self._keys = keys
        self._unsafe_any_key = unsafe_any_key
        self._due: dict[Due, str] = {}
        self._place = ""
        self._segments = 0
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether nothing more is checked: what follows cannot be relied on."""
        return self._stopped

    def trusts(self, key: str) -> bool:
        """Whether the key with this id is among the trusted ones."""
        return key in self._keys

    def segment(self, segment: Segment) -> str:
        """Take the next segment, before its lines; why it cannot stand there, or nothing."""
        number, self._segments = self._segments, self._segments + 1
        if self._stopped:
            return ""
        fault = segment.damage
        if not fault and not segment.name.startswith(f"{number:05d}."):
            fault = f"segment {number:05d} is missing"
        if fault:
            self._stopped = True
        elif not segment.content.endswith(b"\n"):
            fault = "the last line is cut off"
        return self._noted(fault, segment.name)

    def line(self, place: str, line: bytes) -> str:
        """Take the next line, without its line feed; why it cannot stand there, or nothing."""
        if self._stopped:
            return ""
        self._place = place
        fault = _take(self.found, line, self._keys, self._due, place, unsafe_any_key=self._unsafe_any_key)
        self._stopped = bool(fault)
        return self._noted(fault, place)

    def finish(self) -> Transcript:
        """What was found, after the last line."""
        _find_gaps(self.found, self._due, self._place)
        return self.found

    def _noted(self, fault: str, place: str) -> str:
        if fault:
            self.found.faults.append(Verdict(False, fault, place))
        return fault


def check_transcript(
    session: str, segments: Iterable[Segment], keys: Mapping[str, PublicKey], *, unsafe_any_key: bool = False
) -> Transcript:
    """Check the segments of `session`, in order, as `Checker` does. Stops at the first fault. Memory is bounded by one segment."""
    checker = Checker(session, keys, unsafe_any_key=unsafe_any_key)
    for segment in segments:
        checker.segment(segment)
        for place, line in lines_of(segment):
            checker.line(place, line)
            if checker.stopped:
                return checker.finish()
    return checker.finish()


def lines_of(segment: Segment) -> Iterator[tuple[str, bytes]]:
    """The lines that end in a line feed, each with its place."""
    for number, line in enumerate(segment.content.split(b"\n")[:-1], 1):
        yield f"{segment.name} line {number}", line


def check_torn(found: Transcript, aside: Iterable[Segment]) -> None:
    """Compare what recovery set aside with what its record says."""
    present = {}
    for segment in aside:
        present[segment.name] = segment.damage or hashlib.sha256(segment.content).hexdigest()
    for name, expected in found.torn.items():
        if present.pop(name, "") != expected:
            found.faults.append(Verdict(False, "is not what recovery set aside", name))
    for name in present:
        found.faults.append(Verdict(False, "is not named by any record", name))


def _take(
    found: Transcript,
    line: bytes,
    keys: Mapping[str, PublicKey],
    due: dict[Due, str],
    place: str,
    *,
    unsafe_any_key: bool,
) -> str:
    """Take one more line; say why it cannot stand there, or nothing."""
    if found.end:
        return "a record stands behind the sealed end"
    try:
        record = parse(line)
    except ValueError as error:
        return str(error)
    prev = found.last_digest or FIRST_PREV
    fault = broken_link(record, session=found.session, seq=found.records, prev=prev)
    if fault:
        return f"record {found.records} {fault}"
    if (record["kind"] == START) is not (found.records == 0):
        return "session.start is not the first record, or not the only one"
    if record["kind"] == END:
        found.sealed_by = sealing_key(line)
        stranger = unsafe_any_key and found.sealed_by and found.sealed_by not in keys
        fault = ("" if stranger else broken_seal(line, keys)) or _wrong_totals(record, found)
        if fault:
            return fault
        found.end = record
    if not found.records:
        found.start, found.first_digest = record, digest(line)
    _note(found, record, due, place)
    found.records += 1
    found.last_digest = digest(line)
    return ""


def _wrong_totals(record: dict[str, Any], found: Transcript) -> str:
    if record.get("records") != found.records + 1 or record.get("head") != found.last_digest:
        return "session.end counts other records than these"
    return ""


def _note(found: Transcript, record: dict[str, Any], due: dict[Due, str], place: str) -> None:
    opened, closed = opens(record["kind"], record), closes(record["kind"], record)
    if opened:
        due[opened] = place
    elif closed:
        due.pop(closed, None)
    elif record["kind"] == NOTICE and isinstance(record.get("torn"), dict):
        found.torn[str(record["torn"].get("file"))] = str(record["torn"].get("sha256"))


def _find_gaps(found: Transcript, due: Mapping[Due, str], place: str) -> None:
    if found.faults:
        found.gaps.append(Verdict(False, "what follows the first fault cannot be relied on", found.faults[0].place))
    elif not found.records:
        found.gaps.append(Verdict(False, "there are no records"))
    elif not found.end:
        found.gaps.append(Verdict(False, "the session has no sealed end: it is open, or its tail was cut off", place))
    elif due:
        (kind, number), where = next(iter(due.items()))
        found.gaps.append(Verdict(False, f"{kind.partition('.')[0]} {number} has no outcome", where))
