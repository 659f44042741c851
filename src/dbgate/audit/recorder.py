"""Writing one session's transcript: append, make durable, chain, seal.

This is on the path of every statement. A durable record costs one `write` and one `fdatasync`.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec.structs import replace

from dbgate.audit import spool
from dbgate.audit.keys import ensure_key, load_key
from dbgate.audit.log import InstallationLog, end_leaf, start_leaf
from dbgate.audit.record import (
    END,
    FIRST_PREV,
    SEGMENT_BYTES,
    START,
    Due,
    closes,
    digest,
    encode,
    new_session_id,
    opens,
    unknown_outcome,
)
from dbgate.audit.seal import sealed_end
from dbgate.errors import AuditUnavailable, DbgateError
from dbgate.model import Json

HINT = "free some space or make {path} writable; nothing runs unrecorded"


class Place(msgspec.Struct, frozen=True):
    """Where the transcript stands: replaced as one, so that Ctrl-C never leaves half a step."""

    seq: int = 0
    prev: str = FIRST_PREV
    size_bytes: int = 0
    due: frozenset[Due] = frozenset()

    def after(self, line: bytes, due: frozenset[Due]) -> Place:
        """The place behind one more line, with the outcomes then still due."""
        return Place(self.seq + 1, digest(line), self.size_bytes + len(line) + 1, due)


class SessionRecorder:
    """The transcript of one session, open for writing. Safe to use from several threads.

    After the first failure it refuses everything: a gap in the record would be worse than a stop.
    Use it as a context manager, or end it with `close` or `abandon`.
    """

    def __init__(self, state_dir: Path, session: str, directory: Path, lock: int, key_store: str) -> None:
        self._state_dir = state_dir
        self._session = session
        self._directory = directory
        self._lock_descriptor = lock
        self._key_store = key_store
        self._guard = threading.Lock()
        self._place = Place()
        self._next: Place | None = None
        self._segment = -1
        self._descriptor = -1
        self._refusal = ""
        self.recorded_at = time.monotonic()
        """When the last record was written, on the monotonic clock, in seconds."""

    @property
    def session(self) -> str:
        """The session's id."""
        return self._session

    @property
    def directory(self) -> Path:
        """Where the transcript stands until it is shipped."""
        return self._directory

    def record(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> int:
        """Append a record and return its `seq`. With `durable`, return only after fdatasync.

        Raises `AuditUnavailable` when it cannot be written; then nothing may run.
        """
        with self._guard:
            if kind in (START, END):
                raise self._failed(f"{kind} is not for others to write")
            self._append(kind, fields, durable=durable)
            return self._place.seq - 1

    def close(self, totals: Mapping[str, Json]) -> None:
        """Write the signed `session.end` with `totals` and let go of the session.

        A statement whose outcome was not recorded gets the outcome `unknown` first. Raises
        `AuditUnavailable`; the transcript then stays as it is, and recovery ends it.
        """
        with self._guard:
            try:
                self._seal(totals)
            finally:
                self._release()

    def abandon(self) -> None:
        """Let go without an end: the next start ends the session as crashed."""
        with self._guard:
            self._refusal = self._refusal or "the session was abandoned"
            self._release()

    def __enter__(self) -> SessionRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock_descriptor >= 0:
            self.abandon()

    def begin(self, start: Mapping[str, Json]) -> bytes:
        """Write `session.start` and return its line. For `open_session` only."""
        return self._append(START, start, durable=True)

    def moved(self, directory: Path) -> None:
        """Tell the recorder where its directory stands now. For `open_session` only."""
        self._directory = directory

    def _append(self, kind: str, fields: Mapping[str, Json], *, durable: bool) -> bytes:
        self._settle()
        try:
            line = encode(self._session, self._place.seq, self._place.prev, kind, fields)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._failed(f"a {kind} record cannot be written: {error}") from None
        self._write(line, self._due(kind, fields), durable=durable)
        return line

    def _write(self, line: bytes, due: frozenset[Due], *, durable: bool) -> None:
        try:
            self._open_segment()
            self._check_untouched()
            self._next = self._place.after(line, due)
            spool.write_all(self._descriptor, line + b"\n")
            if durable:
                spool.sync_data(self._descriptor)
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from None
        self._place = self._next
        self.recorded_at = time.monotonic()

    def _settle(self) -> None:
        """Refuse after a failure; after Ctrl-C in the middle of a write, count the line if it is there."""
        if self._refusal:
            raise self._failed(self._refusal)
        if self._next is not None and self._next.seq > self._place.seq:
            if os.fstat(self._descriptor).st_size == self._next.size_bytes:
                self._place = self._next
            self._next = None

    def _check_untouched(self) -> None:
        """Refuse to write into a file that was removed, cut or written by somebody else."""
        status = os.fstat(self._descriptor)
        if status.st_nlink == 0:
            raise self._failed("the transcript was removed while the session was open")
        if status.st_size != self._place.size_bytes:
            raise self._failed("the transcript was changed by somebody else while the session was open")

    def _due(self, kind: str, fields: Mapping[str, Json]) -> frozenset[Due]:
        """The outcomes that are still due after this record."""
        opened, closed = opens(kind, fields), closes(kind, fields)
        return (self._place.due | ({opened} if opened else set())) - ({closed} if closed else set())

    def _open_segment(self) -> None:
        if self._descriptor >= 0 and self._place.size_bytes < SEGMENT_BYTES:
            return
        if self._descriptor >= 0:
            spool.sync_data(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        path = self._directory / spool.segment_name(self._segment + 1)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        self._segment += 1
        self._place = replace(self._place, size_bytes=0)
        spool.sync_dir(self._directory)

    def _seal(self, totals: Mapping[str, Json]) -> None:
        self._settle()
        key = load_key(self._state_dir, self._key_store)
        for due in sorted(self._place.due):
            self._append(due[0], unknown_outcome(due), durable=False)
        try:
            line = sealed_end(self._session, self._place.seq, self._place.prev, totals, key)
        except (TypeError, ValueError) as error:
            raise self._failed(f"session.end cannot be written: {error}") from None
        self._write(line, frozenset(), durable=True)
        self._refusal = "the session has ended"
        InstallationLog(self._state_dir).append(end_leaf(self._session, line, self._place.seq))
        (self._directory / spool.LOCK).unlink(missing_ok=True)

    def _release(self) -> None:
        self._refusal = self._refusal or "the session was closed"
        for descriptor in (self._descriptor, self._lock_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock_descriptor = -1

    def _failed(self, reason: str) -> AuditUnavailable:
        self._refusal = self._refusal or reason
        return AuditUnavailable(
            f"the record cannot be written: {self._refusal}", hint=HINT.format(path=self._directory.parent)
        )


def open_session(*, state_dir: Path, bucket: str, start: Mapping[str, Json], key_store: str = "") -> SessionRecorder:
    """Begin a session and return its recorder, with `session.start` durable.

    `start` holds identity, target, door and the like; `bucket` (where the transcript is to go), `log`
    and `key` are added. Ends sessions that died before. Raises `AuditUnavailable`.
    """
    try:
        spool.private_dir(spool.spool_dir(state_dir))
        spool.keep_private(spool.spool_dir(state_dir))
        if spool.unsealed(state_dir):
            from dbgate.audit.recovery import recover

            recover(state_dir, key_store)
    except OSError as error:
        raise _no_spool(state_dir, error) from None
    log = InstallationLog(state_dir)
    whole = {**start, "bucket": bucket, "log": log.origin, "key": ensure_key(state_dir, key_store)}
    recorder = _new_recorder(state_dir, key_store)
    try:
        line = recorder.begin(whole)
        final = spool.session_dir(state_dir, recorder.session)
        recorder.directory.rename(final)
        recorder.moved(final)
        spool.sync_dir(final.parent)
        log.append(start_leaf(recorder.session, line))
    except OSError as error:
        _undo(recorder)
        raise _no_spool(state_dir, error) from None
    except DbgateError:
        _undo(recorder)
        raise
    return recorder


def _undo(recorder: SessionRecorder) -> None:
    """Let go of a session that could not begin; remove it if it never became visible."""
    recorder.abandon()
    if recorder.directory.name.startswith("."):
        with suppress(OSError):
            spool.remove_tree(recorder.directory)


def _new_recorder(state_dir: Path, key_store: str) -> SessionRecorder:
    """A recorder on a directory that is not visible as a session yet, with the lock held."""
    session = new_session_id()
    directory = spool.spool_dir(state_dir) / f".new-{session}"
    try:
        directory.mkdir(mode=0o700)
        lock = os.open(directory / spool.LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise _no_spool(state_dir, error) from None
    return SessionRecorder(state_dir, session, directory, lock, key_store)


def _no_spool(state_dir: Path, error: OSError) -> AuditUnavailable:
    path = spool.spool_dir(state_dir)
    return AuditUnavailable(f"the spool {path} cannot be written: {error.strerror}", hint=HINT.format(path=path))
