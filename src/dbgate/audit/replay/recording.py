"""A whole session, ready to be played from anywhere: where each frame stands in time, and what it shows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, NamedTuple

from dbgate.audit.approvers import Approvers
from dbgate.audit.checked import VERDICT
from dbgate.audit.frames import Frame, decision_word, framed, joined
from dbgate.audit.record import END, INTENT, START
from dbgate.audit.summary import moment
from dbgate.text import printable

MEMORY_BYTES = 64 * 1024 * 1024
"""Texts beyond this go to a temporary file that has no name."""


class Cue(NamedTuple):
    """A frame without its text. `record` counts the records and `statement` the statements, from 1; 0 is none of them."""

    at_s: float
    role: str
    marks: tuple[str, ...]
    record: int
    statement: int
    offset: int
    size: int


class Statement(NamedTuple):
    """What the status lines say of a statement. `number` is its id, `cue` where it begins."""

    number: str
    decision: str
    rules: str
    approved_by: str
    cue: int


@dataclass(slots=True)
class Integrity:
    """What the check of the chain says. `holds` is None when it depends on what is trusted, or the session is open."""

    holds: bool | None = None
    text: str = ""
    fault_cue: int | None = None
    """The first frame that is not proven."""


class Recording:
    """The frames of a session, in order. Use it as a context manager: it may hold a temporary file."""

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        """Read the `records` (from `Archive.checked`) to their end."""
        self.start: dict[str, Any] = {}
        self.cues: list[Cue] = []
        self.statements: list[Statement] = []
        self.integrity = Integrity()
        self.widest = 0
        """The characters of the longest line."""
        self._texts = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  closed by __exit__
        self._approvers = Approvers()
        size = 0
        for number, (record, shown) in enumerate(framed(records), 1):
            statement = self._note(record, shown)
            for frame in shown:
                content = frame.text.encode("utf-8", "surrogatepass")
                self._texts.write(content)
                self.cues.append(Cue(frame.at_s, frame.role, frame.marks, number, statement, size, len(content)))
                size += len(content)
                self.widest = max(self.widest, max(map(len, frame.text.split("\n"))))

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._texts.close()

    def text(self, index: int) -> str:
        """What a frame shows."""
        cue = self.cues[index]
        self._texts.seek(cue.offset)
        return self._texts.read(cue.size).decode("utf-8", "surrogatepass")

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """The frames again, from one of them on."""
        for index, cue in enumerate(self.cues[first:], first):
            yield Frame(cue.at_s, cue.role, self.text(index), cue.marks)

    def statement_at(self, index: int) -> Statement | None:
        """The statement that a frame belongs to, if one has begun."""
        number = self.cues[index].statement if 0 <= index < len(self.cues) else 0
        return self.statements[number - 1] if number else None

    def last_of_record(self, index: int) -> int:
        """The last frame that shows the same record."""
        record = self.cues[index].record
        while index + 1 < len(self.cues) and self.cues[index + 1].record == record:
            index += 1
        return index

    def clock(self, at_s: float) -> datetime | None:
        """What the recording's clock showed then, in UTC."""
        began = moment(self.start.get("time"))
        try:
            return (began + timedelta(seconds=at_s)).astimezone(UTC) if began else None
        except OverflowError:
            return None

    def times(self, idle_limit_s: float | None) -> list[float]:
        """When each frame is shown, in seconds, with no pause longer than the limit (None: as recorded)."""
        found, at_s, before_s = [], 0.0, 0.0
        for cue in self.cues:
            gap_s = cue.at_s - before_s
            at_s += gap_s if idle_limit_s is None else min(gap_s, idle_limit_s)
            before_s = cue.at_s
            found.append(at_s)
        return found

    def search(self, needle: str, start: int, *, forward: bool) -> int | None:
        """The next frame from `start` on that holds `needle`, from the other end when there is none; None without any.

        Case counts only when the needle has an upper-case letter.
        """
        exact = needle != needle.lower()
        count = len(self.cues)
        for step in range(count):
            index = (start + (step if forward else -step)) % count
            text = self.text(index)
            if needle in (text if exact else text.lower()):
                return index
        return None

    def _note(self, record: dict[str, Any], shown: list[Frame]) -> int:
        """Take what the status line says from a record; the statement that it belongs to, or 0."""
        if record["kind"] == START and not self.start:
            self.start = record
        elif record["kind"] == VERDICT:
            self.integrity.holds, self.integrity.text = record["holds"], printable(str(record["text"]))
        elif record["kind"] == INTENT:
            number, rules = printable(str(record.get("id", "?"))), joined(record.get("rules"))
            people = self._approvers.of(record)
            self.statements.append(Statement(number, decision_word(record), rules, people, len(self.cues)))
        else:
            self._approvers.take(record)
        if self.integrity.fault_cue is None and any("fault" in frame.marks for frame in shown):
            self.integrity.fault_cue = len(self.cues)
        last = self.statements[-1].number if self.statements else ""
        is_of_another = record["kind"].startswith("approval.") and str(record.get("id")) != last
        return 0 if is_of_another or record["kind"] in (END, VERDICT) else len(self.statements)
