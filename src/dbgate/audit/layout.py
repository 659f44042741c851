"""Where things stand in a bucket, and how segments are compressed.

sessions/date=YYYY-MM-DD/target=NAME/SESSION/00000.jsonl.zst …   and torn-00000.bin.zst
log/ORIGIN/checkpoint, log/ORIGIN/tile/…                          C2SP tlog-tiles
keys/KEYID.pub
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from dbgate.audit.record import MAX_RECORD_BYTES, SEGMENT_BYTES

SEGMENT_OBJECT = re.compile(r"[0-9]{5}\.jsonl\.zst")
TORN_OBJECT = re.compile(r"torn-[0-9]{5}\.bin\.zst")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T")


def session_prefix(start: dict[str, Any]) -> str:
    """The folder of a session, from its `session.start`. Raises `ValueError` when it names no date."""
    if not _DATE.match(start["time"]):
        raise ValueError("session.start carries no date")
    target = quote(str(start.get("target", "")), safe="")
    return f"sessions/date={start['time'][:10]}/target={target}/{start['session']}"


def log_prefix(origin: str) -> str:
    """The folder of an installation's log."""
    return f"log/{origin}"


def key_path(key_id: str) -> str:
    """The object of a public key."""
    return f"keys/{key_id}.pub"


def compress(content: bytes) -> bytes:
    """A segment as one zstd frame with its size and a checksum."""
    import zstandard

    return zstandard.ZstdCompressor(level=6, write_checksum=True, write_content_size=True).compress(content)


def decompress(content: bytes) -> bytes:
    """The bytes of exactly one zstd frame. Raises `ValueError`; never yields more than a segment may hold."""
    import zstandard

    limit = SEGMENT_BYTES + 2 * MAX_RECORD_BYTES
    try:
        if zstandard.frame_content_size(content) not in range(limit + 1):
            raise ValueError("the zstd frame claims an impossible size")
        reader = zstandard.ZstdDecompressor().decompressobj()
        plain = reader.decompress(content)
    except zstandard.ZstdError as error:
        raise ValueError(f"not a whole zstd frame ({error})") from None
    if not reader.eof or reader.unused_data:
        raise ValueError("not exactly one zstd frame")
    return plain
