"""Finding and reading recorded sessions, in the spool and in the bucket."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dbgate.audit import layout, spool
from dbgate.audit.bucket import Bucket
from dbgate.audit.checked import checked, damaged, read_line
from dbgate.audit.examination import read_file, read_object
from dbgate.audit.keys import PublicKey, own_keys
from dbgate.audit.record import is_record_of, is_session_id
from dbgate.audit.rotation import unrevoked_keys
from dbgate.audit.summary import Filter, Summary
from dbgate.audit.transcript import Checker, Segment, check_transcript
from dbgate.errors import AuditUnavailable, UsageError
from dbgate.text import suggest

READERS = 8
"""So many sessions of a bucket are read at once."""
_OUTPUT = re.compile(rb'\{"v":1,"session":"[^"]*","seq":\d+,"prev":"[^"]*","time":"([^"]*)","kind":"output",')
"""What people saw is most of a transcript, and counts for nothing in a summary."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session was found: a folder of the bucket, or a directory of the spool or of a copy."""

    session: str
    folder: str = ""
    directory: Path | None = None

    @property
    def name(self) -> str:
        """`bucket` or `spool`."""
        return "spool" if self.directory else "bucket"


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
            targets = [
                target
                for target in self._bucket.folders(date)
                if wanted.wants_target(unquote(target.rpartition("target=")[2]))
            ]
            found = [folder for target in targets for folder in self._bucket.folders(target)]
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

    def in_folder(self, folder: Path) -> Place:
        """The session whose segments stand alone in a folder, as evidence or a copy. Raises `UsageError`."""
        try:
            first = next(iter(_segment_files(folder)), None)
        except OSError as error:
            raise UsageError(f"cannot read {folder}: {error.strerror}") from None
        session = str(read_line(read_file(first).content.split(b"\n", 1)[0], "").get("session", "")) if first else ""
        if not is_session_id(session):
            raise UsageError(
                f"there is no transcript in {folder}", hint="name a session, or a folder with its 00000.jsonl.zst"
            )
        return Place(session, directory=folder)

    def records(self, place: Place) -> Iterator[dict[str, Any]]:
        """The records of a session. What cannot be read becomes a record of kind `damaged`."""
        for segment in self._segments(place):
            if segment.damage:
                yield damaged(f"{segment.name}: {segment.damage}")
            for number, line in enumerate(segment.content.split(b"\n"), 1):
                if line:
                    yield read_line(line, f"{segment.name} line {number}")

    def checked(self, place: Place, keys: Sequence[PublicKey] | None = None) -> Iterator[dict[str, Any]]:
        """The records of a session, checked as they are read: see `checked.checked`. `keys` are by default one's own."""
        trusted = keys if keys is not None else unrevoked_keys(self._state_dir) if self._state_dir else ()
        checker = Checker(place.session, {key.id: key for key in trusted}, unsafe_any_key=True)
        return checked(checker, self._segments(place), is_live=self.is_being_written(place))

    def first_fault(self, place: Place) -> str:
        """Where the transcript does not hold together, or the empty text. A stranger's seal passes here."""
        keys = {key.id: key for key in own_keys(self._state_dir)} if self._state_dir else {}
        intact = check_transcript(place.session, self._segments(place), keys, unsafe_any_key=True).intact
        return "" if intact.holds or self.is_being_written(place) else str(intact)

    def summary(self, place: Place) -> Summary:
        """A session in one line."""
        return self.summary_if(Filter(), place) or Summary(place.session, place.name)

    def summary_if(self, wanted: Filter, place: Place) -> Summary | None:
        """A session in one line, or None when it is not wanted: then no more of it is read than says so."""
        summary = Summary(place.session, place.name)
        for where, line in self._own_lines(place, summary):
            output = _OUTPUT.match(line)
            if output:
                summary.records += 1
                summary.last_at = output[1].decode("ascii", "replace")
            else:
                summary.take(read_line(line, where))
            if summary.records == 1 and not wanted.wants_start(summary):
                return None
        summary.damaged |= bool(place.folder) and not _stands_in(place.folder, summary.start)
        summary.live = not summary.end and self.is_being_written(place)
        return summary if wanted.wants(summary) else None

    def _own_lines(self, place: Place, summary: Summary) -> Iterator[tuple[str, bytes]]:
        """The lines of a session with their places, and without those of other sessions. Notes in `summary` that it is damaged
        when they are not its records one after the other. No hash is looked at."""
        own = f'{{"v":1,"session":"{place.session}",'.encode()
        due = 0
        for segment in self._segments(place):
            *lines, rest = segment.content.split(b"\n")
            summary.damaged |= bool(segment.damage) or (bool(rest) and bool(place.folder))
            for number, line in enumerate(lines, 1):
                summary.damaged |= not is_record_of(line, place.session, due)
                due += 1
                if line.startswith(own):
                    yield f"{segment.name} line {number}", line
            if rest:
                yield f"{segment.name} line {len(lines) + 1}", rest

    def wanted_in_bucket(self, wanted: Filter) -> Iterator[Summary]:
        """The sessions of the bucket that are wanted, newest first, some read ahead at once. Raises `Unreachable`."""
        return (summary for _, summary in self.summaries(wanted, self.in_bucket(wanted)) if summary)

    def summaries(self, wanted: Filter, places: Iterable[Place]) -> Generator[tuple[Place, Summary | None]]:
        """Each place in its turn with its session's summary, or None when it is not wanted. Some are read ahead at once."""
        from concurrent.futures import Future, ThreadPoolExecutor

        ahead: deque[tuple[Place, Future[Summary | None]]] = deque()
        with ThreadPoolExecutor(READERS) as readers:
            try:
                for place in places:
                    ahead.append((place, readers.submit(self.summary_if, wanted, place)))
                    if len(ahead) >= 2 * READERS:
                        read, summary = ahead.popleft()
                        yield read, summary.result()
                while ahead:
                    read, summary = ahead.popleft()
                    yield read, summary.result()
            finally:
                for _, future in ahead:
                    future.cancel()

    def _segments(self, place: Place) -> Iterator[Segment]:
        if place.directory is not None:
            for path in _segment_files(place.directory):
                packed_or_odd = path.suffix == ".zst" or (path.exists() and not path.is_file())
                yield read_file(path) if packed_or_odd else Segment(path.name, path.read_bytes())
        elif self._bucket is not None:
            for name in sorted(self._bucket.names(place.folder)):
                folder, _, file = name.rpartition("/")
                if folder == place.folder and layout.SEGMENT_OBJECT.fullmatch(file):
                    yield read_object(self._bucket, place.folder, file)[0]

    def is_being_written(self, place: Place) -> bool:
        """Whether a running process records this session."""
        return place.directory is not None and spool.is_live(place.directory)


def _stands_in(folder: str, start: dict[str, Any]) -> bool:
    """Whether a session with this `session.start` belongs into a folder of the bucket."""
    try:
        return bool(start) and layout.session_prefix(start) == folder
    except ValueError:
        return False


def _segment_files(directory: Path) -> list[Path]:
    """A session's segments in the spool, or in a copy of its folder of the bucket, in order."""
    packed = (path for path in directory.iterdir() if layout.SEGMENT_OBJECT.fullmatch(path.name))
    return spool.segments(directory) or sorted(packed)
