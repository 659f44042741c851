"""Shipping: from the spool to the bucket, at most one shipper at a time, resumable anywhere.

For each sealed session: put its objects (create-only), read them back byte for byte, name them in
the log, publish the log, and only then remove the spool's copy. Doing any step twice changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dbgate.audit import layout, spool
from dbgate.audit.bucket import Bucket, open_bucket
from dbgate.audit.keys import SigningKey, load_key, own_keys
from dbgate.audit.log import InstallationLog, ShippedObject, end_leaf, heartbeat_leaf, ship_leaves, start_leaf
from dbgate.audit.merkle import bundles, leaf_hash, root_hash, tiles
from dbgate.audit.note import open_checkpoint
from dbgate.audit.record import END, parse
from dbgate.audit.recovery import recover
from dbgate.errors import AuditUnavailable, TranscriptAltered, Unreachable

_KEPT = "the spool keeps the transcript"


@dataclass(slots=True)
class ShipReport:
    """What one run did. `waiting` are sessions still open; `refused` those that could not be shipped, and why."""

    shipped: list[str] = field(default_factory=list)
    objects: int = 0
    size_bytes: int = 0
    recovered: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    busy: bool = False


def ship(state_dir: Path, bucket: str, key_store: str = "", *, heartbeat: bool = False) -> ShipReport:
    """Ship every sealed session to the bucket at URL `bucket`, ending dead ones first.

    With `heartbeat` the log also gains a leaf that says that nothing else has happened.
    Raises `Unreachable` when the bucket is away (the spool keeps everything), `AuditUnavailable` when
    the state directory cannot be used, `TranscriptAltered` when the log was changed.
    """
    report = ShipReport()
    try:
        spool.private_dir(state_dir)
        while True:
            lock = spool.try_lock(state_dir / spool.SHIP_LOCK, create=True)
            if lock is None:
                report.busy = True
                return report
            try:
                if heartbeat:
                    InstallationLog(state_dir).append(heartbeat_leaf())
                    heartbeat = False
                _ship_all(state_dir, bucket, key_store, report)
            finally:
                os.close(lock)
            # A session sealed while we held the lock found its own shipper turned away: look again.
            if not spool.ready(state_dir, report.refused):
                return report
    except OSError as error:
        raise AuditUnavailable(
            f"the spool in {state_dir} cannot be used: {error.strerror}: {error.filename}",
            hint="free some space or make the state directory writable; nothing was removed",
        ) from None


def _ship_all(state_dir: Path, url: str, key_store: str, report: ShipReport) -> None:
    report.recovered += recover(state_dir, key_store)
    ready = spool.ready(state_dir, report.refused)
    log = InstallationLog(state_dir)
    if not ready and not log.entries():
        return
    bucket = open_bucket(url, create=True)
    done = []
    for session in ready:
        try:
            _ship_session(bucket, log, session, spool.session_dir(state_dir, session), report)
            done.append(session)
        except TranscriptAltered as error:
            report.refused[session] = error.message
    publish_log(bucket, log, load_key(state_dir, key_store), state_dir)
    for session in done:
        spool.remove(spool.session_dir(state_dir, session))
        report.shipped.append(session)
    report.waiting = [session for session in spool.spooled(state_dir) if session not in report.refused]


def _ship_session(bucket: Bucket, log: InstallationLog, session: str, directory: Path, report: ShipReport) -> None:
    files = spool.segments(directory)
    first, last = _ends(session, files)
    try:
        prefix = layout.session_prefix(parse(first))
        end = parse(last)
    except ValueError as error:
        raise TranscriptAltered(f"the spooled session {session} was changed: {error}") from None
    if end["kind"] != END:
        raise TranscriptAltered(f"the spooled session {session} does not end with a seal")
    objects = []
    for file in [*files, *spool.torn_files(directory)]:
        stored = _put_verified(bucket, f"{prefix}/{file.name}.zst", file.read_bytes())
        objects.append(ShippedObject(f"{file.name}.zst", len(stored), hashlib.sha256(stored).hexdigest()))
        report.objects += 1
        report.size_bytes += len(stored)
    log.ensure([start_leaf(session, first), end_leaf(session, last, end["seq"] + 1), *ship_leaves(session, objects)])


def _ends(session: str, files: list[Path]) -> tuple[bytes, bytes]:
    """The first and the last line of a session."""
    if not files:
        raise TranscriptAltered(f"the spooled session {session} is empty")
    with files[0].open("rb") as file:
        first = file.readline().removesuffix(b"\n")
    last = b""
    with files[-1].open("rb") as file:
        for line in file:
            last = line
    return first, last.removesuffix(b"\n")


def _put_verified(bucket: Bucket, path: str, content: bytes) -> bytes:
    """Put `content` compressed, read it back, and return the stored bytes.

    An object that is there already is ours if it holds the same content (a run before this one was cut off).
    """
    packed = layout.compress(content)
    _, stored = _put(bucket, path, packed)
    if stored != packed and _unpacked(stored) != content:
        raise TranscriptAltered(f"{path} in the bucket holds other bytes than the transcript")
    return stored


def _unpacked(stored: bytes) -> bytes | None:
    try:
        return layout.decompress(stored)
    except ValueError:
        return None


def publish_log(bucket: Bucket, log: InstallationLog, key: SigningKey, state_dir: Path) -> None:
    """Put the keys, the log's new tiles and its checkpoint. Raises `TranscriptAltered` on a fork."""
    for public in own_keys(state_dir):
        _put_same(bucket, layout.key_path(public.id), public.pem())
    note, entries = log.signed(key)
    prefix = layout.log_prefix(log.origin)
    hashes = [leaf_hash(entry) for entry in entries]
    known = _published_size(bucket, f"{prefix}/checkpoint", hashes, state_dir)
    if known < len(hashes):
        _publish(bucket, prefix, note, entries, known)
    log.remember_published(note)


def _publish(bucket: Bucket, prefix: str, note: bytes, entries: list[bytes], known: int) -> None:
    hashes = [leaf_hash(entry) for entry in entries]
    for path, content in _tile_objects(entries, hashes, known):
        _put_same(bucket, f"{prefix}/{path}", content)
    bucket.replace(f"{prefix}/checkpoint", note)
    if bucket.get(f"{prefix}/checkpoint") != note:
        raise _lost(f"{prefix}/checkpoint")


def _tile_objects(entries: list[bytes], hashes: list[bytes], known: int) -> Iterator[tuple[str, bytes]]:
    yield from bundles(entries, known=known)
    yield from tiles(hashes, known=known)


def _published_size(bucket: Bucket, path: str, hashes: list[bytes], state_dir: Path) -> int:
    """How many leaves the bucket's checkpoint covers, once it proves to be a beginning of ours."""
    note = bucket.get(path)
    if note is None:
        return 0
    try:
        theirs = open_checkpoint(note, own_keys(state_dir))
    except ValueError as error:
        raise TranscriptAltered(f"{path} in the bucket: {error}") from None
    if theirs.size > len(hashes) or root_hash(hashes[: theirs.size]) != theirs.root:
        raise TranscriptAltered(
            f"{path} in the bucket does not fit the log of this installation",
            hint="the log here or there was rolled back or replaced; keep both, and run: dbgate audit verify",
        )
    return theirs.size


def _put_same(bucket: Bucket, path: str, content: bytes) -> None:
    is_new, stored = _put(bucket, path, content)
    if stored != content and is_new:
        raise Unreachable(f"the audit bucket took {path} and gives back other bytes", hint=_KEPT)
    if stored != content:
        raise TranscriptAltered(f"{path} in the bucket holds other bytes than this installation's")


def _put(bucket: Bucket, path: str, content: bytes) -> tuple[bool, bytes]:
    """Put an object unless it is there; whether it is new, and what the bucket gives back."""
    is_new, stored = bucket.put_new(path, content), bucket.get(path)
    if stored is None:
        raise _lost(path)
    return is_new, stored


def _lost(path: str) -> Unreachable:
    return Unreachable(f"the audit bucket took {path} and does not have it", hint=_KEPT)
