"""Ending the sessions of processes that died.

What is whole stays byte for byte. What a crash left half written is set aside in a file of its own
and named in a record; statements without an outcome get the outcome `unknown`; then the session is
sealed with the reason `crashed`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dbgate.audit import spool
from dbgate.audit.keys import load_key
from dbgate.audit.log import InstallationLog, end_leaf, start_leaf
from dbgate.audit.record import (
    END,
    FIRST_PREV,
    INTENT,
    MAX_RECORD_BYTES,
    NOTICE,
    OUTCOME,
    SEGMENT_BYTES,
    Due,
    broken_link,
    closes,
    digest,
    encode,
    opens,
    parse,
    unknown_outcome,
)
from dbgate.audit.seal import sealed_end
from dbgate.errors import AuditUnavailable
from dbgate.model import Json

STALE_S = 3600
"""A session that was not even begun after this many seconds never will be."""


class Remains(msgspec.Struct):
    """What a dead session left: the records that hold together, and where they stop."""

    first: bytes = b""
    last: bytes = b""
    seq: int = 0
    prev: str = FIRST_PREV
    ended: bool = False
    due: dict[Due, None] = msgspec.field(default_factory=dict)
    statements: int = 0
    denied: int = 0
    failed: int = 0
    segment: Path | None = None
    good_bytes: int = 0
    torn: bool = False
    named: set[str] = msgspec.field(default_factory=set)

    def take(self, line: bytes, record: dict[str, Any]) -> None:
        """Count one more record that holds."""
        self.first = self.first or line
        self.last, self.prev, self.seq = line, digest(line), self.seq + 1
        kind = record["kind"]
        opened, closed = opens(kind, record), closes(kind, record)
        if opened:
            self.due[opened] = None
        if closed:
            self.due.pop(closed, None)
        if kind == INTENT:
            self.statements += 1
            self.denied += record.get("decision") == "deny"
            self.failed += record.get("decision") == "error"
        elif kind == OUTCOME:
            self.failed += record.get("status") == "error"
        elif kind == NOTICE and isinstance(record.get("torn"), dict):
            self.named.add(str(record["torn"].get("file")))
        self.ended = kind == END


def recover(state_dir: Path, key_store: str = "") -> list[str]:
    """End every session whose process is gone, and return their ids.

    Cheap when there is none: it lists the spool and looks for lock files. Raises `AuditUnavailable`.
    """
    ended = []
    for session in spool.unsealed(state_dir):
        directory = spool.session_dir(state_dir, session)
        try:
            descriptor = spool.try_lock(directory / spool.LOCK)
            if descriptor is None:
                continue
            try:
                _end(state_dir, session, directory, key_store)
                ended.append(session)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AuditUnavailable(
                f"the session {session} of a process that died cannot be ended: {error.strerror}",
                hint=f"free some space or make {directory} writable; nothing runs unrecorded",
            ) from None
    _sweep(spool.spool_dir(state_dir))
    return ended


def _sweep(directory: Path) -> None:
    """Remove what was being made or removed when a process died."""
    if not directory.exists():
        return
    with os.scandir(directory) as entries:
        hidden = [Path(entry.path) for entry in entries if entry.name.startswith((".new-", ".shipped-"))]
    for path in hidden:
        try:
            if path.name.startswith(".shipped-") or time.time() - path.stat().st_mtime > STALE_S:
                spool.remove_tree(path)
        except OSError:
            continue


def _end(state_dir: Path, session: str, directory: Path, key_store: str) -> None:
    remains = examine(session, directory)
    log = InstallationLog(state_dir)
    if not remains.ended:
        _set_aside(directory, remains)
        _write_end(session, directory, remains, load_key(state_dir, key_store))
    leaves = [end_leaf(session, remains.last, remains.seq)]
    log.ensure([start_leaf(session, remains.first), *leaves])
    (directory / spool.LOCK).unlink(missing_ok=True)
    spool.sync_dir(directory)


def examine(session: str, directory: Path) -> Remains:
    """Read a dead session up to the first byte that does not hold."""
    remains = Remains()
    for path, at, line, whole in _lines(directory):
        record = _following(session, remains, line) if whole and not remains.torn and not remains.ended else None
        if record is None:
            remains.torn = True
            continue
        remains.take(line, record)
        remains.segment, remains.good_bytes = path, at + len(line) + 1
    return remains


def _following(session: str, remains: Remains, line: bytes) -> dict[str, Any] | None:
    try:
        record = parse(line)
    except ValueError:
        return None
    if broken_link(record, session=session, seq=remains.seq, prev=remains.prev):
        return None
    return record


def _lines(directory: Path) -> Iterator[tuple[Path, int, bytes, bool]]:
    """Every line with its file, its offset, and whether it is terminated."""
    for path in spool.segments(directory):
        with path.open("rb") as file:
            at = 0
            while raw := file.readline(MAX_RECORD_BYTES + 1):
                yield path, at, raw.removesuffix(b"\n"), raw.endswith(b"\n")
                at += len(raw)


def _set_aside(directory: Path, remains: Remains) -> None:
    """Move what does not hold into a file of its own, durably, before cutting it off."""
    files = spool.segments(directory)
    if remains.segment is None or not files:
        raise AuditUnavailable(
            f"the transcript in {directory} does not even begin with a whole record",
            hint="keep a copy of that directory, move it out of the spool, and look into why",
        )
    if remains.torn:
        _keep_torn(directory, remains)
    for path in files[files.index(remains.segment) + 1 :]:
        path.unlink()
    with remains.segment.open("r+b") as file:
        file.truncate(remains.good_bytes)
        os.fsync(file.fileno())
    spool.sync_dir(directory)


def _keep_torn(directory: Path, remains: Remains) -> None:
    """Write the torn bytes to files of their own, each not longer than a segment. What an interrupted recovery wrote of
    them before is replaced."""
    taken = spool.torn_files(directory)
    number = max((int(file.stem.removeprefix("torn-")) for file in taken), default=-1) + 1
    before = [file for file in taken if file.name not in remains.named]
    for place, piece in enumerate(_torn_pieces(directory, remains)):
        if place < len(before) and piece.startswith(before[place].read_bytes()):
            before[place].unlink()
        spool.create_file(directory / f"torn-{number + place:05d}.bin", piece)
    spool.sync_dir(directory)


def _torn_pieces(directory: Path, remains: Remains) -> Iterator[bytes]:
    """Everything behind the last record that holds, in pieces."""
    piece, at = b"", remains.good_bytes
    files = spool.segments(directory)
    for path in files[files.index(remains.segment) :] if remains.segment else []:
        with path.open("rb") as file:
            file.seek(at)
            at = 0
            while more := file.read(SEGMENT_BYTES - len(piece)):
                piece += more
                if len(piece) == SEGMENT_BYTES:
                    yield piece
                    piece = b""
    if piece:
        yield piece


def _write_end(session: str, directory: Path, remains: Remains, key: Any) -> None:
    if remains.segment is None:
        return
    lines: list[bytes] = []

    def add(kind: str, fields: dict[str, Json]) -> None:
        line = encode(session, remains.seq, remains.prev, kind, fields)
        lines.append(line)
        remains.last, remains.prev, remains.seq = line, digest(line), remains.seq + 1

    for file in spool.torn_files(directory):
        if file.name not in remains.named:
            add(NOTICE, _torn_notice(file.name, file.read_bytes()))
    unknown = list(remains.due)
    for due in unknown:
        add(due[0], unknown_outcome(due))
    totals: dict[str, Json] = {
        "reason": "crashed",
        "statements": remains.statements,
        "denied": remains.denied,
        "failed": remains.failed,
        "unknown": len(unknown),
    }
    end = sealed_end(session, remains.seq, remains.prev, totals, key)
    lines.append(end)
    remains.last, remains.prev, remains.seq = end, digest(end), remains.seq + 1
    descriptor = os.open(remains.segment, os.O_WRONLY | os.O_APPEND)
    try:
        spool.write_all(descriptor, b"".join(line + b"\n" for line in lines))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _torn_notice(name: str, content: bytes) -> dict[str, Json]:
    return {
        "text": f"dbgate ended in the middle of a write: {len(content)} bytes that do not hold were set aside",
        "torn": {"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }
