"""A session, ready to be played from anywhere: where each frame stands in time, and what it shows. It may still be read."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from dbgate.audit.approvers import Approvers
from dbgate.audit.checked import VERDICT
from dbgate.audit.frames import MARKS, ROLES, Frame, decision_word, framed, joined
from dbgate.audit.record import END, INTENT, START
from dbgate.audit.replay.rows import Rows
from dbgate.audit.summary import moment
from dbgate.text import printable

MEMORY_BYTES = 8 * 1024 * 1024
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
    """The frames of a session, in order. Use it as a context manager: it may hold temporary files.

    Texts and places stand in those files: memory does not grow with the session.
    """

    def __init__(self, records: Iterable[dict[str, Any]], *, whole: bool = True) -> None:
        """Read the `records` (from `Archive.checked`) to their end; with `whole` false none yet: `read` does."""
        self.is_whole = False
        """Whether all records were read."""
        self.records = 0
        """So many were."""
        self.start: dict[str, Any] = {}
        self.cues: Rows[Cue] = Rows("dBBQQQQ", _cue)
        self.statements: Rows[Statement] = Rows("QQQ", self._statement)
        self.integrity = Integrity()
        self.widest = 0
        """The characters of the longest line."""
        self.marked: dict[str, Rows[int]] = {mark: Rows("Q", _one) for mark in MARKS}
        """The frames with each mark, by their places among `cues`."""
        self._began: Rows[int] = Rows("Q", _one)
        self._times: dict[float | None, Rows[float]] = {}
        self._texts = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115  closed by __exit__
        self._size = 0
        self._approvers = Approvers()
        self._coming = framed(records)
        if whole:
            self.read()

    def read(self, most: int | None = None) -> None:
        """Read on: so many records, or all. Raises what reading them raises."""
        before, kind = self.records, ""
        for record, shown in islice(self._coming, most):
            self.records, kind = self.records + 1, record["kind"]
            statement = self._note(record, shown)
            for frame in shown:
                self._add(frame, self.records, statement)
        self.is_whole = most is None or kind == VERDICT or self.records - before < most
        for idle_limit_s, found in self._times.items():
            self._lay_out(idle_limit_s, found)

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._texts.close()
        every: list[Rows[Any]] = [self.cues, self.statements, self._began, *self.marked.values(), *self._times.values()]
        for rows in every:
            rows.close()

    def text(self, index: int) -> str:
        """What a frame shows."""
        cue = self.cues[index]
        return self._kept(cue.offset, cue.size).decode("utf-8", "surrogatepass")

    def frames(self, first: int = 0) -> Iterator[Frame]:
        """The frames again, from one of them on."""
        for index in range(first, len(self.cues)):
            cue = self.cues[index]
            yield Frame(cue.at_s, cue.role, self.text(index), cue.marks)

    def statement_at(self, index: int) -> Statement | None:
        """The statement that a frame belongs to, if one has begun."""
        number = self.cues[index].statement if 0 <= index < len(self.cues) else 0
        return self.statements[number - 1] if number else None

    def begun(self, shown: int) -> int:
        """How many statements have begun within so many frames."""
        return bisect_left(self._began, shown)

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

    def times(self, idle_limit_s: float | None) -> Sequence[float]:
        """When each frame is shown, in seconds, with no pause longer than the limit (None: as recorded). Grows as more is read."""
        if idle_limit_s not in self._times:
            self._times[idle_limit_s] = Rows("d", _one)
            self._lay_out(idle_limit_s, self._times[idle_limit_s])
        return self._times[idle_limit_s]

    def _lay_out(self, idle_limit_s: float | None, found: Rows[float]) -> None:
        first = len(found)
        at_s, before_s = (found[-1], self.cues[first - 1].at_s) if first else (0.0, 0.0)
        for index in range(first, len(self.cues)):
            cue_s = self.cues[index].at_s
            gap_s = cue_s - before_s
            at_s += gap_s if idle_limit_s is None else min(gap_s, idle_limit_s)
            before_s = cue_s
            found.append(at_s)

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

    def _add(self, frame: Frame, record: int, statement: int) -> None:
        bits = 0
        for mark in frame.marks:
            bits |= 1 << MARKS.index(mark)
            self.marked[mark].append(len(self.cues))
        offset, size = self._keep(frame.text.encode("utf-8", "surrogatepass"))
        self.cues.append(frame.at_s, ROLES.index(frame.role), bits, record, statement, offset, size)
        self.widest = max(self.widest, max(map(len, frame.text.split("\n"))))

    def _keep(self, content: bytes) -> tuple[int, int]:
        """Where `content` stands from now on, and how long it is."""
        self._texts.seek(self._size)
        self._texts.write(content)
        offset, self._size = self._size, self._size + len(content)
        return offset, len(content)

    def _kept(self, offset: int, size: int) -> bytes:
        self._texts.seek(offset)
        return self._texts.read(size)

    def _statement(self, row: tuple[int, int, int]) -> Statement:
        cue, offset, size = row
        number, decision, rules, approved_by = msgspec.json.decode(self._kept(offset, size), type=list[str])
        return Statement(number, decision, rules, approved_by, cue)

    def _note(self, record: dict[str, Any], shown: list[Frame]) -> int:
        """Take what the status line says from a record; the statement that it belongs to, or 0."""
        if record["kind"] == START and not self.start:
            self.start = record
        elif record["kind"] == VERDICT:
            self.integrity.holds, self.integrity.text = record["holds"], printable(str(record["text"]))
        elif record["kind"] == INTENT:
            self._last = printable(str(record.get("id", "?")))
            said = [self._last, decision_word(record), joined(record.get("rules")), self._approvers.of(record)]
            self.statements.append(len(self.cues), *self._keep(msgspec.json.encode(said)))
            self._began.append(len(self.cues))
        else:
            self._approvers.take(record)
        if self.integrity.fault_cue is None and any("fault" in frame.marks for frame in shown):
            self.integrity.fault_cue = len(self.cues)
        is_of_another = record["kind"].startswith("approval.") and str(record.get("id")) != self._last
        return 0 if is_of_another or record["kind"] in (END, VERDICT) else len(self.statements)

    _last = ""
    """The id of the last statement."""


def _cue(row: tuple[Any, ...]) -> Cue:
    at_s, role, bits, *rest = row
    return Cue(at_s, ROLES[role], _MARKS[bits], *rest)


_MARKS = [tuple(mark for place, mark in enumerate(MARKS) if bits >> place & 1) for bits in range(1 << len(MARKS))]
"""The marks of each combination of bits."""


def _one(row: tuple[Any, ...]) -> Any:
    return row[0]
