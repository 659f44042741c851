"""Sign-ins as files that only their owner can read: for machines without a keyring, and only when asked for."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from dbgate.errors import SignInRequired
from dbgate.private import make_private

SHARED = stat.S_IRWXG | stat.S_IRWXO


class FileStore:
    """One file a key, mode 0600, in a folder of mode 0700, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.folder / f"{key}.json"

    def read(self, key: str) -> bytes | None:
        """The bytes of `key`, or None. Refuses a file that is a link, another user's, or readable by others."""
        path = self.path(key)
        try:
            # O_NONBLOCK: a pipe in the file's place must not make us wait.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unusable(path, error.strerror or "cannot be opened") from None
        try:
            check_private(path, os.fstat(descriptor))
            check_folder(self.folder)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)

    def write(self, key: str, value: bytes) -> None:
        """Write beside the file, make it durable, then put it in its place (rename is atomic on POSIX)."""
        try:
            private_folder(self.folder)
            descriptor, name = tempfile.mkstemp(dir=self.folder, prefix=f".{key}-")
        except OSError as error:
            raise unusable(self.folder, error.strerror or "cannot be written") from None
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, 0o600)
                file.write(value)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(self.path(key))
            sync(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise unusable(self.folder, error.strerror or "cannot be written") from None

    def delete(self, key: str) -> bool:
        """Remove the file, whatever its mode, and anything an interrupted write left; whether it was there."""
        found = self.path(key).is_symlink() or self.path(key).exists()
        try:
            self.path(key).unlink(missing_ok=True)
            for left in self.folder.glob(f".{key}-*"):
                left.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self.path(key), error.strerror or "cannot be removed") from None
        return found

    def delete_all(self) -> None:
        """Remove every file that this store, or an interrupted write of it, may have left."""
        try:
            for pattern in ("*.json", "*.lock", ".*-*"):
                for left in self.folder.glob(pattern):
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise unusable(self.folder, error.strerror or "cannot be emptied") from None


def sync(folder: Path) -> None:
    """Make a rename in `folder` durable: after a crash the old file would bring back a refresh token that was used."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(folder: Path) -> None:
    """Make the folder with mode 0700, or check the one that is there. Raises `OSError`, `SignInRequired`."""
    make_private(folder)
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Refuse a folder in which others could replace files."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise unusable(folder, "is not a folder")
    if found.st_uid != os.geteuid():
        raise unusable(folder, f"belongs to user {found.st_uid}")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise unusable(folder, "can be written by others", hint=f"run: chmod 700 {folder}")


def check_private(path: Path, found: os.stat_result) -> None:
    """Refuse a file that others own or can read."""
    if not stat.S_ISREG(found.st_mode):
        raise unusable(path, "is not a file")
    if found.st_uid != os.geteuid():
        raise unusable(path, f"belongs to user {found.st_uid}")
    if found.st_mode & SHARED:
        raise unusable(
            path,
            "can be read by others",
            hint=f"who may have read it? run: dbgate logout, then dbgate login; or, if nobody: chmod 600 {path}",
        )


def unusable(path: Path, reason: str, *, hint: str = "") -> SignInRequired:
    """The error for a token file or folder that must not or cannot be used."""
    return SignInRequired(f"the token store cannot be used: {path}: {reason}", hint=hint)
