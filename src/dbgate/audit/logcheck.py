"""Checking an installation's log in a bucket: signature, Merkle root, tiles, and what it says of sessions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from dbgate.audit import layout
from dbgate.audit.bucket import Bucket
from dbgate.audit.keys import PublicKey
from dbgate.audit.log import LEAF_END, LEAF_SHIP, LEAF_START, OF_NO_SESSION
from dbgate.audit.merkle import TILE_WIDTH, leaf_hash, root_hash, spans, split_bundle
from dbgate.audit.note import Checkpoint, open_checkpoint, size_of
from dbgate.audit.record import is_session_id
from dbgate.audit.succession import Succession, succession_of
from dbgate.audit.transcript import Verdict

_TILE = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?")


@dataclass(slots=True)
class Anchor:
    """What a log says of one session."""

    started_at: str = ""
    first_digest: str = ""
    last_digest: str = ""
    records: int = 0
    objects: dict[str, tuple[int, str]] = field(default_factory=dict)
    sealed_at: int = -1
    """The index of the leaf that says how the session was sealed."""


@dataclass(slots=True)
class LogFacts:
    """A log as it was found. `anchors` is empty unless the verdict holds."""

    origin: str
    verdict: Verdict
    size: int = 0
    signer: str = ""
    anchors: dict[str, Anchor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    keys: Succession = field(default_factory=lambda: Succession({}))
    times: list[datetime] = field(default_factory=list)

    def silence(self, now: datetime) -> tuple[datetime, datetime] | None:
        """The longest time in which the log gained no leaf, up to `now`; None while it has none."""
        ordered = sorted([*self.times, now])
        return max(pairwise(ordered), key=lambda pair: pair[1] - pair[0], default=None)


def check_log(bucket: Bucket, origin: str, keys: Iterable[PublicKey], seen: Sequence[Checkpoint] = ()) -> LogFacts:
    """Check the log `origin` in `bucket`. `seen` are checkpoints of earlier times, of any log.

    Raises `Unreachable`.
    """
    facts = LogFacts(origin, Verdict(False, ""))
    try:
        checkpoint, entries = _signed_entries(bucket, origin, list(keys), facts)
        hashes = [leaf_hash(entry) for entry in entries]
        if root_hash(hashes) != checkpoint.root:
            raise Fault("tile/entries", "the entries do not hash to the root that the checkpoint signs")
        for earlier in seen:
            if earlier.origin == origin:
                _check_extends(earlier, hashes)
        facts.notes += _check_tiles(bucket, origin, entries, hashes)
        facts.anchors = anchors_of(entries)
        facts.times = [datetime.fromisoformat(str(json.loads(entry).get("time"))) for entry in entries]
    except ValueError:
        facts.verdict = Verdict(False, "a leaf carries no time", layout.log_prefix(origin))
        return facts
    except Fault as fault:
        facts.verdict = Verdict(False, fault.reason, f"{layout.log_prefix(origin)}/{fault.place}")
        return facts
    facts.size, facts.signer = checkpoint.size, checkpoint.signer
    facts.verdict = Verdict(True, f"{checkpoint.size} leaves under a checkpoint signed by {checkpoint.signer}")
    return facts


def refuse_silence(logs: Iterable[LogFacts], longest_s: float, now: datetime) -> None:
    """Turn the verdict of every log that gained no leaf for longer than `longest_s` seconds, up to `now`."""
    for log in logs:
        silence = log.silence(now)
        if log.verdict.holds and silence and (silence[1] - silence[0]).total_seconds() > longest_s:
            start, end = (f"{moment:%Y-%m-%d %H:%M:%SZ}" for moment in silence)
            log.verdict = Verdict(False, f"nothing was logged from {start} to {end}", log.origin)


class Fault(Exception):
    """The first thing wrong with a log."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.reason = reason


def _signed_entries(
    bucket: Bucket, origin: str, keys: Sequence[PublicKey], facts: LogFacts
) -> tuple[Checkpoint, list[bytes]]:
    """The checkpoint, and its leaves. Who signed it may be a key that the trusted ones vouch for in these leaves."""
    note = bucket.get(f"{layout.log_prefix(origin)}/checkpoint")
    if note is None:
        raise Fault("checkpoint", "is missing")
    signers, entries = _signers(bucket, origin, keys, note)
    try:
        checkpoint = open_checkpoint(note, signers)
    except ValueError as error:
        raise Fault("checkpoint", str(error)) from None
    if checkpoint.origin != origin:
        raise Fault("checkpoint", f"is that of another log, {checkpoint.origin}")
    if entries is None:
        entries = read_entries(bucket, origin, checkpoint.size)
    facts.keys = _succession(origin, entries, keys)
    if checkpoint.signer in facts.keys.revoked:
        raise Fault("checkpoint", f"is signed by {checkpoint.signer}, which was revoked before")
    by = facts.keys.vouched
    facts.notes += [f"log {origin}: key {by[new]} vouches for {new}" for new in by]
    return checkpoint, entries


def keys_of_log(bucket: Bucket, origin: str, keys: Sequence[PublicKey]) -> list[PublicKey]:
    """The trusted `keys`, and those that they vouch for in the log `origin`. Nothing else of it is checked. Raises `Unreachable`."""
    return _signers(bucket, origin, keys, bucket.get(f"{layout.log_prefix(origin)}/checkpoint") or b"")[0]


def _signers(
    bucket: Bucket, origin: str, keys: Sequence[PublicKey], note: bytes
) -> tuple[list[PublicKey], list[bytes] | None]:
    """`keys_of_log`, given the log's checkpoint. Its leaves are read only when none of `keys` signed it, and then come along."""
    try:
        open_checkpoint(note, keys)
        return list(keys), None
    except ValueError:
        pass
    try:
        entries = read_entries(bucket, origin, size_of(note))
        return list(_succession(origin, entries, keys).trusted.values()), entries
    except (ValueError, Fault):
        return list(keys), None


def _succession(origin: str, entries: Sequence[bytes], keys: Sequence[PublicKey]) -> Succession:
    try:
        return succession_of(origin, entries, keys)
    except (KeyError, TypeError, RecursionError):
        raise Fault("tile/entries", "an entry is no leaf of a log") from None
    except ValueError as error:
        raise Fault("tile/entries", str(error)) from None


def read_entries(bucket: Bucket, origin: str, size: int) -> list[bytes]:
    """The first `size` leaves of a log. Raises `Fault`, `Unreachable`."""
    entries: list[bytes] = []
    for start, path in spans("tile/entries", size):
        bundle = bucket.get(f"{layout.log_prefix(origin)}/{path}")
        if bundle is None:
            raise Fault(path, "is missing")
        try:
            part = split_bundle(bundle)
        except ValueError as error:
            raise Fault(path, str(error)) from None
        if len(part) != min(TILE_WIDTH, size - start):
            raise Fault(path, f"holds {len(part)} entries")
        entries += part
    return entries


def _check_extends(earlier: Checkpoint, hashes: Sequence[bytes]) -> None:
    if earlier.size > len(hashes):
        raise Fault("checkpoint", f"the log was rolled back: it had {earlier.size} leaves and has {len(hashes)}")
    if root_hash(hashes[: earlier.size]) != earlier.root:
        raise Fault("checkpoint", f"the log was forked: its first {earlier.size} leaves are others than before")


def _check_tiles(bucket: Bucket, origin: str, entries: Sequence[bytes], hashes: Sequence[bytes]) -> list[str]:
    """Compare every stored tile with what the entries give, byte for byte."""
    prefix = layout.log_prefix(origin) + "/"
    rows = [list(hashes)]
    while len(rows[-1]) >= TILE_WIDTH:
        row = rows[-1]
        full = range(len(row) // TILE_WIDTH)
        rows.append([root_hash(row[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in full])
    due = {path for level, row in enumerate(rows) for _, path in spans(f"tile/{level}", len(row))}
    ahead = False
    for name in bucket.names(prefix + "tile"):
        path = name.removeprefix(prefix)
        due.discard(path)
        expected = _tile(path, entries, rows)
        if expected is None:
            ahead = True
        elif bucket.get(name) != expected:
            raise Fault(path, "does not hold what the entries hash to")
    if due:
        raise Fault(min(due), "is missing")
    if ahead:
        return [f"log {origin} has tiles beyond its checkpoint: shipping was cut off, or the checkpoint rolled back"]
    return []


def _tile(path: str, entries: Sequence[bytes], rows: Sequence[Sequence[bytes]]) -> bytes | None:
    """What a tile must hold; None when it lies beyond the checkpoint."""
    match = _TILE.fullmatch(path)
    if match is None:
        raise Fault(path, "is no part of a log")
    level, index, partial = match[1], int(match[2].replace("/", "").replace("x", "")), match[3]
    width = int(partial) if partial else TILE_WIDTH
    start, stop = index * TILE_WIDTH, index * TILE_WIDTH + width
    if level == "entries":
        if stop > len(entries):
            return None
        return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries[start:stop])
    row = rows[int(level)] if int(level) < len(rows) else ()
    return b"".join(row[start:stop]) if stop <= len(row) else None


def anchors_of(entries: Sequence[bytes]) -> dict[str, Anchor]:
    """What leaves say of each session. Raises `Fault` when one is no leaf, or contradicts another."""
    anchors: dict[str, Anchor] = {}
    for number, entry in enumerate(entries):
        try:
            leaf = json.loads(entry)
            if leaf["kind"] in OF_NO_SESSION:
                continue
            session = leaf["session"]
            if not is_session_id(session):
                raise ValueError(session)
            anchor = anchors.setdefault(session, Anchor())
            _read_leaf(leaf, anchor)
            if leaf["kind"] == LEAF_END and anchor.sealed_at < 0:
                anchor.sealed_at = number
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Fault("tile/entries", f"entry {number} is no leaf of a log, or contradicts one before it") from None
    return anchors


def _read_leaf(leaf: Mapping[str, Any], anchor: Anchor) -> None:
    """Take one more leaf. A crash may leave the same leaf twice; two that differ are an attack."""
    kind = leaf["kind"]
    if kind == LEAF_START:
        anchor.started_at = anchor.started_at or str(leaf["time"])
        anchor.first_digest = _agreed(anchor.first_digest, str(leaf["record"]))
    elif kind == LEAF_END:
        anchor.last_digest = _agreed(anchor.last_digest, str(leaf["record"]))
        anchor.records = int(leaf["records"])
    elif kind == LEAF_SHIP:
        for name, size, sha256 in leaf["objects"]:
            found = (int(size), str(sha256))
            if anchor.objects.setdefault(str(name), found) != found:
                raise ValueError(name)
    else:
        raise ValueError(kind)


def _agreed(before: str, now: str) -> str:
    if before not in ("", now):
        raise ValueError(now)
    return now
