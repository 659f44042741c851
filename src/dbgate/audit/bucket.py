"""The bucket: where transcripts end up. `file://`, `s3://`, `gs://` and `az://`, all through obstore.

Objects are put once and never replaced, but for a log's `checkpoint`. A file bucket is durable
before `put_new` returns; its directories take the mode of the bucket's root, its files the read bits.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from dbgate.audit import spool
from dbgate.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("file", "s3", "gs", "az")
STAGING = "tmp"
_STALE_S = 3600
_AWAY = (
    "check its URL (audit.bucket, or the one that was named), the network and the credentials; "
    "nothing is lost: what is recorded here waits in the spool for dbgate audit ship"
)


class Bucket:
    """A bucket behind obstore. Every method raises `Unreachable` when it cannot be reached or refuses."""

    def __init__(self, url: str, store: ObjectStore) -> None:
        self.url = url
        self._store = store

    def put_new(self, path: str, content: bytes) -> bool:
        """Put an object that must not exist yet. False when it exists; it is then left alone."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._reached():
            try:
                obstore.put(self._store, path, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def replace(self, path: str, content: bytes) -> None:
        """Put an object in the place of an older one. For checkpoints only."""
        import obstore

        with self._reached():
            obstore.put(self._store, path, content)

    def get(self, path: str) -> bytes | None:
        """The bytes of an object, or None when there is none."""
        import obstore

        with self._reached():
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except FileNotFoundError:
                return None

    def names(self, prefix: str) -> Iterator[str]:
        """The paths of all objects below `prefix`, in no order."""
        import obstore

        with self._reached():
            for batch in obstore.list(self._store, prefix):
                for item in batch:
                    yield item["path"]

    def folders(self, prefix: str) -> list[str]:
        """The paths of the folders right below `prefix`, sorted."""
        import obstore

        with self._reached():
            return sorted(obstore.list_with_delimiter(self._store, prefix)["common_prefixes"])

    def signed_url(self, path: str, lasts: timedelta) -> str:
        """A URL that gives an object to whoever has it, for a while. Not of directories. Raises `Unreachable`."""
        import obstore

        with self._reached():
            return obstore.sign(self._store, "GET", path, lasts)  # type: ignore[call-overload, no-any-return]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            raise Unreachable(
                f"the audit bucket {self.url} refused access: {_first_line(error)}",
                hint="check the credentials and their right to put, get and list objects",
            ) from None
        except InvalidPathError as error:
            raise Unreachable(
                f"the audit bucket {self.url} holds an object with a name that dbgate never gives: {_first_line(error)}",
                hint="find out who put it there, and take it away: nothing can be listed while it is there",
            ) from None
        except (BaseError, OSError) as error:
            raise Unreachable(
                f"the audit bucket {self.url} cannot be reached: {_first_line(error)}",
                hint=_AWAY,
            ) from None


class FileBucket(Bucket):
    """A bucket in a directory: staged, synced, then given its name, which must be free."""

    def __init__(self, url: str, store: ObjectStore, root: Path) -> None:
        super().__init__(url, store)
        self._root = root

    def get(self, path: str) -> bytes | None:
        """The bytes of a regular file, or None when there is none: whoever gives a directory away may leave a pipe in it."""
        file = self._root / path
        with self._reached():
            try:
                return file.read_bytes() if file.is_file() else None
            except FileNotFoundError:
                return None

    def names(self, prefix: str) -> Iterator[str]:
        """The paths of all that is no directory below `prefix`, in no order: pipes, devices and links that lead nowhere, too.

        Links are followed, but for those to a directory that they stand in.
        """
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [(prefix, frozenset())]
        with self._reached():
            while waiting:
                path, above = waiting.pop()
                place = self._root / path
                if not place.is_dir():
                    if os.path.lexists(place):
                        yield path
                    continue
                found = place.stat()
                here = (found.st_dev, found.st_ino)
                if here in above:
                    yield path
                    continue
                waiting += [(f"{path}/{item.name}", above | {here}) for item in place.iterdir()]

    def folders(self, prefix: str) -> list[str]:
        """The paths of the directories right below `prefix`, sorted."""
        place = self._root / prefix
        with self._reached():
            items = place.iterdir() if place.is_dir() else ()
            return sorted(f"{prefix}/{item.name}" for item in items if item.is_dir())

    def put_new(self, path: str, content: bytes) -> bool:
        """Put an object durably, with its directories. False when it exists."""
        return self._put(path, content, overwrite=False)

    def replace(self, path: str, content: bytes) -> None:
        """Put an object durably in the place of an older one."""
        self._put(path, content, overwrite=True)

    def sweep(self) -> None:
        """Remove what a crash left in the staging folder more than an hour ago."""
        for file in (self._root / STAGING).glob("*"):
            if time.time() - file.stat().st_mtime > _STALE_S:
                file.unlink(missing_ok=True)

    def _put(self, path: str, content: bytes, *, overwrite: bool) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        staged = f"{STAGING}/{secrets.token_hex(8)}"
        with self._reached():
            mode = stat.S_IMODE(self._root.stat().st_mode)
            self._make_folder(self._root / STAGING, mode)
            self._make_folder((self._root / path).parent, mode)
            obstore.put(self._store, staged, content, mode="create")
            (self._root / staged).chmod(mode & 0o444)
            _sync_file(self._root / staged)
            try:
                obstore.rename(self._store, staged, path, overwrite=overwrite)
            except AlreadyExistsError:
                obstore.delete(self._store, staged)
                _sync_file(self._root / path)
                spool.sync_dir((self._root / path).parent)
                return False
            spool.sync_dir((self._root / path).parent)
        return True

    def _make_folder(self, folder: Path, mode: int) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for directory in reversed(missing):
            try:
                directory.mkdir()
                directory.chmod(mode)
            except FileExistsError:
                continue
            spool.sync_dir(directory.parent)


def open_bucket(url: str, *, create: bool = False) -> Bucket:
    """Open a bucket by its URL. With `create`, a file bucket's directory is made.

    Raises `UsageError` for a wrong URL, `Unreachable` when a directory is not there.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise UsageError(
            f"not a bucket: {url or '(empty)'}", hint=f"a bucket is {', '.join(f'{s}://…' for s in SCHEMES)}"
        )
    if parts.scheme == "file":
        return _file_bucket(url, parts, create=create)
    from dbgate.audit.stores import open_store

    return Bucket(url, open_store(parts))


def _file_bucket(url: str, parts: SplitResult, *, create: bool) -> FileBucket:
    from obstore.store import LocalStore

    root = Path(unquote(parts.path))
    if parts.netloc not in ("", "localhost") or parts.query or not root.is_absolute():
        raise UsageError(f"not a file bucket: {url}", hint="write file:///absolute/path")
    try:
        if create:
            spool.private_dir(root)
        if not root.is_dir():
            raise NotADirectoryError(20, "there is no such directory", str(root))
    except OSError as error:
        raise Unreachable(
            f"the audit bucket {url} cannot be reached: {error.strerror}",
            hint=_AWAY,
        ) from None
    bucket = FileBucket(url, LocalStore(root), root)
    if create:
        bucket.sweep()
    return bucket


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: BaseException) -> str:
    """obstore's messages go on for pages: the first line says it."""
    return str(error).split("\n", 1)[0][:300]
