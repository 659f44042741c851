"""The log of this installation: which sessions began, how they were sealed, what was shipped.

    STATE/log/origin       the log's name, made once
    STATE/log/leaves       one leaf a line, append-only
    STATE/log/checkpoint   the last checkpoint signed: the log never signs a smaller or different one
    STATE/log/published    the last checkpoint that a bucket acknowledged
    STATE/log/lock         held while leaves are added or signed

A leaf is written without waiting for the disk, because the session's own records are durable and
recovery writes the leaf again; it is made durable before a checkpoint that covers it is signed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from dbgate.audit import spool
from dbgate.audit.keys import PublicKey, SigningKey, own_keys
from dbgate.audit.record import canonical, digest, timestamp
from dbgate.errors import AuditUnavailable, TranscriptAltered
from dbgate.model import Json

LEAF_START, LEAF_END, LEAF_SHIP = "session.start", "session.end", "session.ship"
LEAF_HEARTBEAT = "heartbeat"
LEAF_KEY, LEAF_REVOKED = "key.new", "key.revoked"
OF_NO_SESSION = frozenset({LEAF_HEARTBEAT, LEAF_KEY, LEAF_REVOKED})
OBJECTS_PER_LEAF = 200
"""A leaf has at most 65,535 bytes: a session of more objects has several `session.ship` leaves."""


class ShippedObject(msgspec.Struct, frozen=True):
    """An object in the bucket as it was read back. `name` is relative to the session."""

    name: str
    size_bytes: int
    sha256: str


def start_leaf(session: str, line: bytes) -> dict[str, Json]:
    """The leaf that says that a session began, and with which record."""
    return {"v": 1, "kind": LEAF_START, "session": session, "time": timestamp(), "record": digest(line)}


def end_leaf(session: str, line: bytes, records: int) -> dict[str, Json]:
    """The leaf that says how a session was sealed."""
    return {
        "v": 1,
        "kind": LEAF_END,
        "session": session,
        "time": timestamp(),
        "records": records,
        "record": digest(line),
    }


def ship_leaves(session: str, objects: Sequence[ShippedObject]) -> list[dict[str, Json]]:
    """The leaves that name the objects of a session, with size and SHA-256 of their bytes."""
    listed: list[Json] = [[item.name, item.size_bytes, item.sha256] for item in objects]
    parts = [listed[i : i + OBJECTS_PER_LEAF] for i in range(0, len(listed), OBJECTS_PER_LEAF)]
    return [
        {"v": 1, "kind": LEAF_SHIP, "session": session, "time": timestamp(), "part": number, "objects": part}
        for number, part in enumerate(parts)
    ]


def heartbeat_leaf() -> dict[str, Json]:
    """The leaf that says that the installation is there, and that no session but those before it has begun."""
    return {"v": 1, "kind": LEAF_HEARTBEAT, "time": timestamp()}


def key_leaf(origin: str, key: PublicKey, by: SigningKey | None) -> dict[str, Json]:
    """The leaf that says that a key signs for the log `origin` from now on. `by` vouches for it, if it can still be read."""
    return {
        "v": 1,
        "kind": LEAF_KEY,
        "time": timestamp(),
        "key": key.id,
        "public": key.raw.hex(),
        "by": by.public.id if by else "",
        "signature": by.sign(vouching_for(origin, key.raw)).hex() if by else "",
    }


def vouching_for(origin: str, raw: bytes) -> bytes:
    """What the old key of the log `origin` signs to vouch for a new one, given its 32 bytes."""
    return f"dbgate key v1\n{origin}\n{raw.hex()}\n".encode()


def revocation_leaf(key_id: str, reason: str) -> dict[str, Json]:
    """The leaf behind which nothing holds that this key signs."""
    return {"v": 1, "kind": LEAF_REVOKED, "time": timestamp(), "key": key_id, "reason": reason[:2000]}


class InstallationLog:
    """The log's files. Every method raises `AuditUnavailable` when they cannot be used."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self.directory = state_dir / "log"

    @property
    def origin(self) -> str:
        """The name of the log, unique to this installation; made at first use."""
        file = self.directory / "origin"
        try:
            if not file.exists():
                spool.private_dir(self.directory)
                with spool.locked(self.directory / "lock"):
                    if not file.exists():
                        spool.replace_file(file, f"dbgate/{os.urandom(8).hex()}\n".encode("ascii"))
            return file.read_text("ascii").strip()
        except OSError as error:
            raise _unavailable(error) from None

    def append(self, leaf: Mapping[str, Json], *, durable: bool = False) -> None:
        """Add a leaf at the end. With `durable`, return only once it is on disk: for what recovery could not write again."""
        with self._writing():
            self._write([canonical(leaf)])
            if durable:
                self._sync()

    def ensure(self, leaves: Iterable[Mapping[str, Json]]) -> None:
        """Add those leaves that the log does not have yet: same kind, session and part."""
        with self._writing():
            known = {_key(entry) for entry in self.entries()}
            self._write([canonical(leaf) for leaf in leaves if _leaf_key(leaf) not in known])

    def entries(self) -> list[bytes]:
        """All leaves, oldest first."""
        try:
            content = (self.directory / "leaves").read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unavailable(error) from None
        return content.split(b"\n")[:-1]

    def signed(self, key: SigningKey) -> tuple[bytes, list[bytes]]:
        """Sign the log as it stands; return the checkpoint and its entries.

        Raises `TranscriptAltered` when the log no longer begins with what was signed before.
        """
        from dbgate.audit.merkle import leaf_hash, root_hash
        from dbgate.audit.note import Checkpoint, sign_checkpoint

        origin = self.origin
        with self._locked():
            self._repair()
            entries = self._healed()
            hashes = [leaf_hash(entry) for entry in entries]
            last = self.last_checkpoint()
            if last is not None:
                self._check_prefix(hashes, last)
                if last[1] == len(hashes):
                    return last[0], entries
            note = sign_checkpoint(Checkpoint(origin, len(hashes), root_hash(hashes)), key)
            try:
                self._sync()
                spool.replace_file(self.directory / "checkpoint", note)
            except OSError as error:
                raise _unavailable(error) from None
        return note, entries

    def last_checkpoint(self) -> tuple[bytes, int, bytes] | None:
        """The last checkpoint signed: the note, its size and root; None before the first."""
        from dbgate.audit.note import open_checkpoint

        try:
            note = (self.directory / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unavailable(error) from None
        try:
            checkpoint = open_checkpoint(note, own_keys(self._state_dir))
        except ValueError as error:
            raise TranscriptAltered(f"{self.directory / 'checkpoint'}: {error}") from None
        return note, checkpoint.size, checkpoint.root

    def remember_published(self, note: bytes) -> None:
        """Keep the checkpoint that a bucket has acknowledged: `verify` holds the bucket to it."""
        try:
            if self.published() != note:
                spool.replace_file(self.directory / "published", note)
        except OSError as error:
            raise _unavailable(error) from None

    def published(self) -> bytes | None:
        """The last checkpoint that a bucket has acknowledged."""
        file = self.directory / "published"
        return file.read_bytes() if file.exists() else None

    def _healed(self) -> list[bytes]:
        """The leaves without the garbage that a power cut may leave after the last signed one."""
        entries = self.entries()
        last = self.last_checkpoint()
        size = last[1] if last is not None else 0
        healed = entries[:size] + [entry for entry in entries[size:] if _key(entry) != _GARBAGE]
        if len(healed) < len(entries):
            try:
                spool.replace_file(self.directory / "leaves", b"".join(entry + b"\n" for entry in healed))
            except OSError as error:
                raise _unavailable(error) from None
        return healed

    def _check_prefix(self, hashes: Sequence[bytes], last: tuple[bytes, int, bytes]) -> None:
        from dbgate.audit.merkle import root_hash

        _, size, root = last
        if len(hashes) < size or root_hash(hashes[:size]) != root:
            raise TranscriptAltered(
                f"the log in {self.directory} was changed: its first {size} leaves are not the ones signed before",
                hint="keep the directory as it is, and compare it with the log in the bucket",
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the log's lock, with its last line whole."""
        try:
            spool.private_dir(self.directory)
            with self._locked():
                self._repair()
                yield
        except OSError as error:
            raise _unavailable(error) from None

    def _write(self, entries: Sequence[bytes]) -> None:
        descriptor = os.open(self.directory / "leaves", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            if entries:
                spool.write_all(descriptor, b"".join(entry + b"\n" for entry in entries))
        finally:
            os.close(descriptor)

    def _repair(self) -> None:
        """Cut off a line that a crash left half written: no checkpoint covers it yet."""
        file = self.directory / "leaves"
        if not file.exists():
            return
        with file.open("r+b") as leaves:
            size = leaves.seek(0, os.SEEK_END)
            if size == 0:
                return
            leaves.seek(size - 1)
            if leaves.read(1) == b"\n":
                return
            leaves.seek(0)
            leaves.truncate(leaves.read().rfind(b"\n") + 1)

    def _sync(self) -> None:
        descriptor = os.open(self.directory / "leaves", os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _locked(self) -> AbstractContextManager[None]:
        return spool.locked(self.directory / "lock")


_GARBAGE = ("", "", 0)


def _key(entry: bytes) -> tuple[str, str, int]:
    try:
        return _leaf_key(json.loads(entry))
    except (ValueError, KeyError, TypeError):
        return _GARBAGE


def _leaf_key(leaf: Mapping[str, Any]) -> tuple[str, str, int]:
    kind = str(leaf["kind"])
    about = str(leaf.get("key", "")) if kind in OF_NO_SESSION else str(leaf["session"])
    return kind, about, int(leaf.get("part", 0))


def _unavailable(error: OSError) -> AuditUnavailable:
    return AuditUnavailable(
        f"the audit log cannot be written: {error.strerror}: {error.filename}",
        hint="make the state directory writable, or free some space; nothing runs unrecorded",
    )
