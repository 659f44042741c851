"""One record: its canonical bytes, its hash, its place in the chain.

A record is one line of ASCII JSON. The bytes are made once, here; everything after that (hashing,
shipping, verifying) works on those bytes and never on a second serialisation. See docs/transcript.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dbgate.model import Json

VERSION = 1
FIRST_PREV = "0" * 64
ENVELOPE = ("v", "session", "seq", "prev", "time", "kind")
MAX_RECORD_BYTES = 64 * 1024 * 1024
"""A record longer than this is refused, so that readers can bound their memory."""
SEGMENT_BYTES = 16 * 1024 * 1024
"""A segment is closed once it has grown beyond this."""

START, END = "session.start", "session.end"
INTENT, OUTCOME = "statement.intent", "statement.outcome"
DECISION, DECIDED, REFUSED = "decision.intent", "decision.outcome", "decision.refused"
"""What the approvals service decides: before it counts, whether it then did, and attempts that it refused."""
ACCESS = "access"
"""Who came into the web console, and who watched which recording there."""
NOTICE = "notice"
NOT_RUN = frozenset({"deny", "error"})
"""Decisions after which nothing was sent: no outcome is due."""

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_SESSION_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


def new_session_id() -> str:
    """A new session id: a ULID in lower case. Sorts by time (ms), unique by 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def is_session_id(text: str) -> bool:
    """Whether `text` has the form of a session id. Anything else never becomes part of a path."""
    return _SESSION_ID.fullmatch(text) is not None


def timestamp(at_ns: int | None = None) -> str:
    """A time (nanoseconds since the epoch, now by default) as RFC 3339 in UTC with microseconds."""
    nanoseconds = time.time_ns() if at_ns is None else at_ns
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).replace(
        microsecond=nanoseconds // 1000 % 1_000_000
    )
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def plain(value: Any) -> Any:
    """What the JSON encoder makes of mappings and sequences that are not dicts and lists."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=plain).encode


def encode(session: str, seq: int, prev: str, kind: str, fields: Mapping[str, Json]) -> bytes:
    """The canonical line of a record, without its newline.

    `prev` is the hash of the line before, in hex. Raises `ValueError` or `TypeError` when the fields
    are not JSON, name a field of the envelope, or make a line longer than `MAX_RECORD_BYTES`.
    """
    envelope = {"v": VERSION, "session": session, "seq": seq, "prev": prev, "time": timestamp(), "kind": kind}
    taken = envelope.keys() & fields.keys()
    if taken:
        raise ValueError(f"a record may not set {', '.join(sorted(taken))}")
    line = _encode(envelope | dict(fields)).encode("ascii")
    if len(line) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(line)} bytes is longer than {MAX_RECORD_BYTES}")
    return line


def canonical(value: Mapping[str, Json]) -> bytes:
    """A mapping as one line of the same ASCII JSON, for the log's leaves."""
    return _encode(dict(value)).encode("ascii")


def digest(line: bytes) -> str:
    """SHA-256 of a line's bytes without the newline, in hex: the `prev` of the next record."""
    return hashlib.sha256(line).hexdigest()


def parse(line: bytes) -> dict[str, Any]:
    """Read a line back. Raises `ValueError` when it is not a record of this version."""
    try:
        record = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise ValueError("not a line of JSON") from None
    if not isinstance(record, dict) or tuple(record)[: len(ENVELOPE)] != ENVELOPE:
        raise ValueError("not a record: the envelope is missing or out of order")
    if type(record["v"]) is not int or record["v"] != VERSION:
        raise ValueError(f"a record of version {record['v']!r}, not {VERSION}")
    texts = (record["session"], record["prev"], record["time"], record["kind"])
    if type(record["seq"]) is not int or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a record: a field of the envelope has the wrong type")
    return record


def is_record_of(text: bytes, session: str, seq: int, at: int = 0) -> bool:
    """Whether record `seq` of `session` begins in `text` at `at`, as far as its beginning says. Cheap: for readers that verify nothing."""
    return text.startswith(f'{{"v":1,"session":"{session}","seq":{seq},"prev":"'.encode(), at)


def broken_link(record: Mapping[str, Any], *, session: str, seq: int, prev: str) -> str:
    """Why the record does not follow, or the empty text when it does."""
    if record["session"] != session:
        return f"belongs to session {record['session']}"
    if record["seq"] != seq:
        return f"has seq {record['seq']} where {seq} is due"
    if record["prev"] != prev:
        return "does not carry the hash of the record before it"
    return ""


Due = tuple[str, int]
"""An outcome that has to follow: its kind, and the id of the intent."""


def opens(kind: str, fields: Mapping[str, Any]) -> Due | None:
    """The outcome that has to follow a record, if it is an intent with one."""
    number = fields.get("id")
    if not isinstance(number, int):
        return None
    if kind == INTENT and str(fields.get("decision")) not in NOT_RUN:
        return OUTCOME, number
    return (DECIDED, number) if kind == DECISION else None


def closes(kind: str, fields: Mapping[str, Any]) -> Due | None:
    """The due outcome that a record is, if it is one."""
    number = fields.get("id")
    return (kind, number) if kind in (OUTCOME, DECIDED) and isinstance(number, int) else None


def unknown_outcome(due: Due) -> dict[str, Json]:
    """The fields of an outcome that nobody saw."""
    kind, number = due
    if kind == DECIDED:
        return {"id": number, "status": "unknown"}
    return {
        "id": number,
        "status": "unknown",
        "rows": 0,
        "bytes": 0,
        "duration_ms": 0.0,
        "masked": [],
        "digest": "",
        "sqlstate": "",
        "message": "dbgate ended before the outcome was known",
    }
