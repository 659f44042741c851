"""Signed notes (C2SP signed-note) and the checkpoints written in them (C2SP tlog-checkpoint)."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from dbgate.audit.keys import PublicKey, SigningKey

_ED25519 = b"\x01"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: `size` leaves under the Merkle root `root` (32 bytes). `signer` is a key id."""

    origin: str
    size: int
    root: bytes
    signer: str = ""

    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The checkpoint as a signed note; the key's name is the origin."""
    text = checkpoint.text()
    tagged = _note_key_id(checkpoint.origin, key.public) + key.sign(text.encode("utf-8"))
    return f"{text}\n".encode() + signature_line(checkpoint.origin, tagged)


def signature_line(name: str, tagged: bytes) -> bytes:
    """A line of a signed note: `tagged` is the key's four bytes and the signature."""
    return f"\u2014 {name} {base64.b64encode(tagged).decode('ascii')}\n".encode()


def signatures_of(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """A note's text, and its signatures as (name, tagged bytes). Nothing is verified. Raises `ValueError`."""
    text, lines = _split(note)
    _parse(text)
    return text, [_signature(line) for line in lines]


def size_of(note: bytes) -> int:
    """How many leaves a checkpoint covers; nothing is verified. Raises `ValueError`."""
    return _parse(_split(note)[0])[1]


def open_checkpoint(note: bytes, keys: Iterable[PublicKey]) -> Checkpoint:
    """Read a checkpoint that one of `keys` has signed under its origin's name.

    Raises `ValueError` with the reason when it is malformed or no trusted key signed it.
    """
    text, signatures = _split(note)
    origin, size, root = _parse(text)
    for line in signatures:
        name, tagged = _signature(line)
        for key in keys:
            if name != origin or tagged[:4] != _note_key_id(name, key):
                continue
            if not key.verifies(tagged[4:], text.encode("utf-8")):
                raise ValueError("the signature of the checkpoint does not fit its text")
            return Checkpoint(origin, size, root, key.id)
    raise ValueError("no trusted key has signed the checkpoint")


def _split(note: bytes) -> tuple[str, list[str]]:
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("the checkpoint is not UTF-8") from None
    if any(char < " " and char != "\n" for char in whole) or not whole.endswith("\n"):
        raise ValueError("the checkpoint is not a signed note")
    text, blank, signatures = whole.rpartition("\n\n")
    if not blank:
        raise ValueError("the checkpoint carries no signature")
    return text + "\n", signatures.split("\n")[:-1]


def _parse(text: str) -> tuple[str, int, bytes]:
    lines = text.split("\n")[:-1]
    if len(lines) != 3 or not lines[0]:
        raise ValueError("the checkpoint does not have its three lines")
    size = int(lines[1]) if lines[1].isascii() and lines[1].isdigit() else -1
    root = _decode(lines[2])
    if str(size) != lines[1] or len(root) != 32:
        raise ValueError("the checkpoint has no proper size or root")
    return lines[0], size, root


def _signature(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014":
        raise ValueError("the checkpoint has a malformed signature line")
    return parts[1], _decode(parts[2])


def _decode(text: str) -> bytes:
    """Base 64 in its one canonical form only."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if base64.b64encode(raw).decode("ascii") != text:
        raise ValueError("the checkpoint holds something that is not base64")
    return raw


def _note_key_id(name: str, key: PublicKey) -> bytes:
    return hashlib.sha256(name.encode("utf-8") + b"\n" + _ED25519 + key.raw).digest()[:4]
