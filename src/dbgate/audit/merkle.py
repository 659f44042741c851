"""Merkle tree hashes (RFC 6962, section 2.1) and their layout in tiles (C2SP tlog-tiles)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

TILE_WIDTH = 256
MAX_ENTRY_BYTES = 0xFFFF
"""An entry is preceded by its length as a big-endian uint16."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256 over 0x00 and the entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 over 0x01 and the two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_hash(leaves: Sequence[bytes]) -> bytes:
    """The Merkle Tree Hash of a list of leaf hashes; SHA-256 of nothing for an empty list."""
    if not leaves:
        return hashlib.sha256().digest()
    row = list(leaves)
    while len(row) > 1:
        paired = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)]
        row = paired + row[len(paired) * 2 :]
    return row[0]


def index_path(index: int) -> str:
    """A tile's index in path form: 1234067 → `x001/x234/067`."""
    path = f"{index % 1000:03d}"
    while index := index // 1000:
        path = f"x{index % 1000:03d}/{path}"
    return path


def tiles(leaves: Sequence[bytes], *, known: int = 0) -> Iterator[tuple[str, bytes]]:
    """The tiles of a tree as (path, bytes); without full tiles that a tree of size `known` had."""
    level, row, old = 0, list(leaves), known
    while row:
        yield from _row_tiles(f"tile/{level}", row, old)
        full = len(row) // TILE_WIDTH
        row = [root_hash(row[i * TILE_WIDTH : (i + 1) * TILE_WIDTH]) for i in range(full)]
        old //= TILE_WIDTH
        level += 1


def _row_tiles(prefix: str, row: Sequence[bytes], known: int) -> Iterator[tuple[str, bytes]]:
    for start, path in spans(prefix, len(row), known=known):
        yield path, b"".join(row[start : start + TILE_WIDTH])


def bundles(entries: Sequence[bytes], *, known: int = 0) -> Iterator[tuple[str, bytes]]:
    """The entry bundles as (path, bytes); without full ones that a log of size `known` had."""
    for start, path in spans("tile/entries", len(entries), known=known):
        part = entries[start : start + TILE_WIDTH]
        yield path, b"".join(len(entry).to_bytes(2, "big") + entry for entry in part)


def spans(prefix: str, count: int, *, known: int = 0) -> Iterator[tuple[int, str]]:
    """Where each tile of a row of `count` begins, and its path; the last one may be partial."""
    for start in range(known // TILE_WIDTH * TILE_WIDTH, count, TILE_WIDTH):
        width = min(TILE_WIDTH, count - start)
        partial = f".p/{width}" if width < TILE_WIDTH else ""
        yield start, f"{prefix}/{index_path(start // TILE_WIDTH)}{partial}"


def split_bundle(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises `ValueError` when its lengths do not add up."""
    entries, at = [], 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if at + 2 > len(bundle) or end > len(bundle):
            raise ValueError("an entry is cut off")
        entries.append(bundle[at + 2 : end])
        at = end
    return entries
