"""Proofs over the log: that a leaf is in it (inclusion), and that it only ever grew (consistency).

The mathematics is that of RFC 6962, section 2.1; verification follows RFC 9162, sections 2.1.3.2 and 2.1.4.2, and
shares nothing with how the proofs are made. A proof that is given away is a C2SP *tlog-proof*: leaf, index, hashes
and checkpoint in one text, which proves itself offline with nothing but the log's public key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dbgate.audit.keys import PublicKey
from dbgate.audit.merkle import leaf_hash, node_hash, root_hash
from dbgate.audit.note import Checkpoint, open_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_HASHES = 63
"""A tree of 2^63 leaves."""


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index` among `leaves` (leaf hashes), from the leaf up."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"there is no leaf {index}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion(leaves[:split], index), root_hash(leaves[split:])]
    return [*inclusion(leaves[split:], index - split), root_hash(leaves[:split])]


def consistency(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """The proof that the first `size` of `leaves` are the beginning of all of them."""
    if not 0 < size <= len(leaves):
        raise ValueError(f"there is no tree of {size} leaves")
    return _subproof(leaves, size, whole=True)


def _subproof(leaves: Sequence[bytes], size: int, *, whole: bool) -> list[bytes]:
    if size == len(leaves):
        return [] if whole else [root_hash(leaves)]
    split = _split(len(leaves))
    if size <= split:
        return [*_subproof(leaves[:split], size, whole=whole), root_hash(leaves[split:])]
    return [*_subproof(leaves[split:], size - split, whole=False), root_hash(leaves[:split])]


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` (its hash) is at `index` of the tree of `size` leaves with this `root` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, made = index, size - 1, leaf
    for part in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = node_hash(part, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node_hash(made, part)
        at, last = at >> 1, last >> 1
    return last == 0 and made == root


def consistent(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `new` begins with that of `old` (RFC 9162, 2.1.4.2)."""
    if not 0 < old.size <= new.size:
        return False
    if old.size == new.size:
        return not proof and old.root == new.root
    parts = list(proof)
    if old.size & (old.size - 1) == 0:
        parts.insert(0, old.root)
    if not parts:
        return False
    at, last = old.size - 1, new.size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = parts[0]
    for part in parts[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(part, first), node_hash(part, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, part)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old.root and second == new.root


@dataclass(frozen=True, slots=True)
class LeafProof:
    """A leaf of a log with its proof. `note` is the checkpoint as signed, cosignatures included."""

    entry: bytes
    index: int
    hashes: tuple[bytes, ...]
    note: bytes

    def text(self) -> bytes:
        """The proof as a C2SP *tlog-proof*; the leaf itself is its extra data."""
        lines = [HEADER, f"extra {_coded(self.entry)}", f"index {self.index}", *map(_coded, self.hashes), ""]
        return "\n".join(lines).encode("ascii") + b"\n" + self.note

    def verify(self, keys: Iterable[PublicKey]) -> Checkpoint:
        """The checkpoint that the leaf is proven to stand under. Raises `ValueError` with the reason."""
        checkpoint = open_checkpoint(self.note, keys)
        if not included(leaf_hash(self.entry), self.index, checkpoint.size, self.hashes, checkpoint.root):
            raise ValueError(f"leaf {self.index} is not in the tree that the checkpoint signs")
        return checkpoint


def prove(entries: Sequence[bytes], index: int, note: bytes) -> LeafProof:
    """The proof that `entries[index]` stands in the log of these entries, whose checkpoint is `note`."""
    hashes = [leaf_hash(entry) for entry in entries]
    return LeafProof(entries[index], index, tuple(inclusion(hashes, index)), note)


def parse_proof(text: bytes) -> LeafProof:
    """Read a *tlog-proof* whose extra data is the leaf. Nothing is verified. Raises `ValueError`."""
    head, blank, note = text.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        lines = []
    if not blank or len(lines) < 3 or lines[0] != HEADER or len(lines) - 3 > MAX_PROOF_HASHES:
        raise ValueError("not a proof of a log's leaf")
    extra, index = lines[1].partition("extra "), lines[2].partition("index ")
    if extra[0] or not extra[1] or index[0] or not index[1] or not _is_number(index[2]):
        raise ValueError("the proof names no leaf, or not where it stands")
    hashes = tuple(_decoded(line) for line in lines[3:])
    if any(len(item) != 32 for item in hashes):
        raise ValueError("the proof holds something that is not a hash")
    return LeafProof(_decoded(extra[2]), int(index[2]), hashes, note)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and str(int(text)) == text


def _coded(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _decoded(text: str) -> bytes:
    """Base 64 in its one canonical form only."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the proof holds something that is not base64") from None
    if _coded(raw) != text:
        raise ValueError("the proof holds something that is not base64")
    return raw
