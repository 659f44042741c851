"""A bucket's segments as files that DuckDB can read, whatever store is behind: unpacked, and never written."""

from __future__ import annotations

import io
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from fsspec import AbstractFileSystem

from dbgate.audit.bucket import Bucket
from dbgate.audit.layout import SEGMENT_OBJECT, decompress
from dbgate.audit.search.places import Places
from dbgate.errors import DbgateError, Unreachable

PROTOCOL = "transcripts"
EVERY_SEGMENT = f"{PROTOCOL}://sessions/*/*/*/*.jsonl"
EVERY_START = f"{PROTOCOL}://starts/*/*/*/00000.jsonl"
"""The first lines of first segments alone: who a session is of is asked for often, and stands there."""
_FIRST = "/00000.jsonl"
NOTHING = f"{PROTOCOL}://sessions/date=/target=/none/00000.jsonl"
"""Stands for no segment at all: DuckDB wants at least one file."""
_PACKED = ".zst"
_KEPT = 4
"""DuckDB opens a file and asks for its size in turn: so many unpacked segments are kept."""


_HALF = re.compile(rb"\\u[dD][89a-fA-F]..")
_ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(u[dD][89a-fA-F]..)|\\.")


def without_halves(content: bytes) -> bytes:
    """Records with the text of the escape for each half of a surrogate pair that stands alone: DuckDB takes it for no JSON.

    A person can type such a text. One of theirs would keep everybody from searching.
    """
    if b"\\u" not in content or not _HALF.search(content):
        return content
    lines = content.split(b"\n")
    return b"\n".join(_whole(line) if _HALF.search(line) else line for line in lines)


def _whole(line: bytes) -> bytes:
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return _ESCAPES.sub(lambda found: b"\\\\" + found[1] if found[1] else found[0], line)
    except (ValueError, RecursionError):
        return line
    return line


class SegmentFiles(AbstractFileSystem):  # type: ignore[misc]
    """Segments under their names in the bucket, without `.zst`. Nothing else is there, and nothing can be written."""

    protocol = PROTOCOL
    cachable = False

    def __init__(self, bucket: Bucket, wanted_date: Callable[[str], bool], *, skip_damaged: bool = False) -> None:
        """`wanted_date` (YYYY-MM-DD) leaves out whole days. With `skip_damaged`, what cannot be read is empty and `damaged`."""
        super().__init__()
        self._bucket = bucket
        self._wanted_date = wanted_date
        self._skip_damaged = skip_damaged
        self._lock = threading.Lock()
        self._unpacked: OrderedDict[str, bytes] = OrderedDict()
        self._names: list[str] | None = None
        self._places = Places(self._first_line)
        self.damaged: dict[str, str] = {}
        self.failure: DbgateError | None = None

    def glob(self, path: str, **options: Any) -> list[str]:
        """Every segment of the wanted days, or their starts; DuckDB leaves out those that its filters rule out."""
        if path not in {EVERY_SEGMENT, EVERY_START}:
            raise FileNotFoundError(path)
        with self._lock:
            if self._names is None:
                self._names = self._noting(self._listed)
            if path == EVERY_SEGMENT or self._names == [NOTHING]:
                return self._names
            return [name.replace("://sessions/", "://starts/", 1) for name in self._names if name.endswith(_FIRST)]

    def _listed(self) -> list[str]:
        found = []
        for folder in self._bucket.folders("sessions"):
            if self._wanted_date(folder.rpartition("date=")[2]):
                names = (name for name in self._bucket.names(folder))
                found += [n for n in names if SEGMENT_OBJECT.fullmatch(n.rpartition("/")[2]) and n.count("/") == 4]
        self._refuse_gaps(found)
        return [f"{PROTOCOL}://{name.removesuffix(_PACKED)}" for name in sorted(found)] or [NOTHING]

    def _refuse_gaps(self, names: list[str]) -> None:
        """Segments are numbered from 00000: one that is not there was taken away."""
        present = set(names)
        for name in sorted(present):
            folder, _, file = name.rpartition("/")
            before = f"{folder}/{int(file[:5]) - 1:05d}{file[5:]}"
            if file[:5] != "00000" and before not in present:
                self._leave_out(before, "is missing")

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name and size (bytes) of a segment."""
        return {"name": path, "size": len(self._content(path)), "type": "file"}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        if mode != "rb":
            raise PermissionError("transcripts are only read")
        return io.BytesIO(self._content(path))

    def _content(self, path: str) -> bytes:
        if str(self._strip_protocol(path)) == self._strip_protocol(NOTHING):
            return b""
        name = str(self._strip_protocol(path)) + _PACKED
        with self._lock:
            if name in self._unpacked:
                self._unpacked.move_to_end(name)
                return self._unpacked[name]
        content: bytes = self._noting(lambda: self._read(name))
        with self._lock:
            self._unpacked[name] = content
            while len(self._unpacked) > _KEPT:
                self._unpacked.popitem(last=False)
        return content

    def _read(self, name: str) -> bytes:
        if name.startswith("starts/"):
            content = self._checked(name.replace("starts/", "sessions/", 1))
            return without_halves(content[: content.find(b"\n") + 1])
        return without_halves(self._checked(name))

    def _checked(self, name: str) -> bytes:
        """A segment that stands where it belongs; empty where it is left out. Raises `Unreachable`."""
        try:
            content = self._plain(name)
            fault = self._places.fault(name, content)
        except ValueError as error:
            fault = str(error)
        if fault:
            self._leave_out(name, fault)
            return b""
        return content

    def _plain(self, name: str) -> bytes:
        """A segment, unpacked. Raises `ValueError`, `Unreachable`."""
        packed = self._bucket.get(name)
        if packed is None:
            raise ValueError("is missing")
        return decompress(packed)

    def _first_line(self, folder: str) -> bytes:
        """The first line of a session. Raises `ValueError` when there is none, `Unreachable`."""
        try:
            return self._plain(f"{folder}/00000.jsonl{_PACKED}").split(b"\n", 1)[0]
        except ValueError as error:
            raise ValueError(f"the first segment of its session {error}") from None

    def _leave_out(self, name: str, why: str) -> None:
        """Note what is left out, or raise `Unreachable`."""
        if not self._skip_damaged:
            raise Unreachable(
                f"{name} cannot be read: {why}",
                hint="find out what happened: dbgate audit verify; leave out what cannot be read: --skip-damaged",
            )
        self.damaged[name] = why

    def _noting(self, read: Callable[[], Any]) -> Any:
        """Keep what went wrong: DuckDB passes on a text of it only."""
        try:
            return read()
        except DbgateError as error:
            self.failure = error
            raise OSError(error.message) from error
