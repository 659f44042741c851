"""What was verified before, so that a long verification can be taken up again: sessions, by the digests of their objects.

A file of JSON lines: first what it is good for, then a session a line as soon as it was found whole. Every object is read and hashed
again; what is spared is unpacking and checking it. The file is trusted as keys are: only its owner may be able to write it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dbgate import __version__
from dbgate.audit.examination import Examined
from dbgate.audit.keys import PublicKey
from dbgate.audit.transcript import Transcript
from dbgate.errors import UsageError

FORMAT = 1
_START = ("session", "time", "identity", "target", "log")


class VerifiedSessions:
    """The file, open for more. Use it as a context manager."""

    def __init__(self, path: Path, bucket: str, keys: Iterable[PublicKey]) -> None:
        """Open or make the file, for one bucket and the trusted `keys`. What another version of dbgate found counts for nothing.

        Raises `UsageError` when it is no such file, is another bucket's, is in use, or others could have written it.
        """
        head = {"verified": FORMAT, "dbgate": __version__, "bucket": bucket, "keys": sorted(key.id for key in keys)}
        self._known: dict[str, dict[str, Any]] = {}
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "r+b")
        except OSError as error:
            raise _unusable(path, error) from None
        try:
            self._check_owner(path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(path, head)
        except BlockingIOError:
            self._file.close()
            raise UsageError(f"{path} is in use", hint="another verification is at work with it") from None
        except OSError as error:
            self._file.close()
            raise _unusable(path, error) from None
        except UsageError:
            self._file.close()
            raise

    def _load(self, path: Path, head: Mapping[str, Any]) -> None:
        lines = self._file.read().split(b"\n")
        found = _read(lines[0])
        if lines != [b""] and "verified" not in found:
            raise UsageError(f"{path} holds something else", hint="name a new file, or one that --resume made")
        for name in ("bucket", "keys"):
            if found and found.get(name) != head[name]:
                what = "another bucket" if name == "bucket" else "other keys"
                raise UsageError(f"{path} was made with {what}", hint="name a file for this one")
        if found == head:
            self._known = {one["folder"]: one for one in map(_read, lines[1:-1]) if _is_whole(one)}
            self._file.truncate(self._file.tell() - len(lines[-1]))
            self._file.seek(0, os.SEEK_END)
            return
        self._file.seek(0)
        self._file.truncate()
        self._write(head)

    def __enter__(self) -> VerifiedSessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def digests(self, folder: str, trusted: Container[str]) -> Mapping[str, str]:
        """The digests of the objects of a session that was found good, by name; empty for others.

        `trusted` are the ids of the keys whose seals count now: a key may have been revoked since.
        """
        one = self._known.get(folder)
        return one["objects"] if one is not None and one["key"] in trusted else {}

    def recall(self, folder: str) -> Transcript:
        """What was found of a session whose objects are still the same."""
        one = self._known[folder]
        found = Transcript(str(one["start"]["session"]), dict(one["start"]), {"seal": {"key": one["key"]}})
        found.records, found.first_digest, found.last_digest = one["records"], one["first"], one["last"]
        found.sealed_by = one["key"]
        return found

    def keep(self, folder: str, examined: Examined) -> None:
        """Remember a session that is intact and complete. Raises `UsageError`."""
        found = examined.found
        if examined.is_known or found.faults or found.gaps:
            return
        line = {
            "folder": folder,
            "objects": {name: digest for name, (_, digest) in examined.stored.items()},
            "start": {name: found.start.get(name) for name in _START},
            "records": found.records,
            "first": found.first_digest,
            "last": found.last_digest,
            "key": found.sealed_by,
        }
        try:
            self._write(line)
        except OSError as error:
            raise UsageError(f"cannot write {self._file.name}: {error.strerror}") from None

    def _write(self, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(value).encode("ascii") + b"\n")
        self._file.flush()

    def _check_owner(self, path: Path) -> None:
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UsageError(
                f"{path} could have been written by others",
                hint="it has to be a file of yours: chmod 600, or name a new one",
            )


def _unusable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot use {path}: {error.strerror or error}", hint="name a file of your own")


def _is_whole(one: Mapping[str, Any]) -> bool:
    """Whether a line is one that `keep` wrote."""
    kinds = {"folder": str, "objects": dict, "start": dict, "records": int, "first": str, "last": str, "key": str}
    return all(isinstance(one.get(name), kind) for name, kind in kinds.items()) and one["start"].keys() == set(_START)


def _read(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
