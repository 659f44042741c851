"""The spool: where transcripts stand until the bucket has them.

    STATE/spool/SESSION/00000.jsonl …   segments, one record a line
    STATE/spool/SESSION/lock            held (flock) by the process that records; gone once sealed
    STATE/spool/SESSION/torn-00000.bin  bytes that a crash left behind, set aside by recovery
    STATE/spool/.new-SESSION/           being made; nothing has run yet
    STATE/spool/.shipped-SESSION/       acknowledged by the bucket, being removed

Directories are 0700 and files 0600.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dbgate.audit.record import is_session_id
from dbgate.private import make_private

LOCK = "lock"
SHIP_LOCK = "ship.lock"
"""In the state directory: held by the one shipper at work."""
_SEGMENT = re.compile(r"\d{5}\.jsonl")

sync_data = getattr(os, "fdatasync", os.fsync)
"""`fdatasync` where there is one."""


def spool_dir(state_dir: Path) -> Path:
    """The directory of all spooled sessions."""
    return state_dir / "spool"


def session_dir(state_dir: Path, session: str) -> Path:
    """The directory of one spooled session."""
    return spool_dir(state_dir) / session


def spooled(state_dir: Path) -> list[str]:
    """The ids of the sessions in the spool, oldest first."""
    try:
        return sorted(path.name for path in spool_dir(state_dir).iterdir() if is_session_id(path.name))
    except FileNotFoundError:
        return []


def segments(directory: Path) -> list[Path]:
    """The segment files of a session, in order."""
    return sorted(path for path in directory.iterdir() if _SEGMENT.fullmatch(path.name))


def torn_files(directory: Path) -> list[Path]:
    """What recovery set aside, in order."""
    return sorted(directory.glob("torn-*.bin"))


def segment_name(number: int) -> str:
    """The file name of a segment, counted from 0."""
    return f"{number:05d}.jsonl"


def private_dir(path: Path) -> None:
    """Make a directory, and the missing ones above it, for this user only. Raises `OSError`."""
    for made in make_private(path):
        sync_dir(made.parent)


def keep_private(path: Path) -> None:
    """Take every right of other people from a directory that stands open. Raises `OSError`."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o700)


def sync_dir(path: Path) -> None:
    """Make the names in a directory durable. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_file(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a new file durably. Raises `FileExistsError` and other `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of a file, durably and at once. Raises `OSError`."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    create_file(staged, content)
    staged.replace(path)
    sync_dir(path.parent)


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything, however many writes it takes. Raises `OSError`."""
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, content[written:])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` exclusively, waiting for it. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(path: Path, *, create: bool = False) -> int | None:
    """Lock `path` without waiting: a descriptor to close, or None when another process holds it.

    None too when the file is gone, or was replaced while we looked. Raises other `OSError`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def is_sealed(directory: Path) -> bool:
    """Whether the session has ended and nobody writes to it any more."""
    return not (directory / LOCK).exists()


def ready(state_dir: Path, refused: Container[str] = ()) -> list[str]:
    """The sealed sessions that wait to be shipped, without those of `refused`."""
    return [name for name in spooled(state_dir) if name not in refused and is_sealed(session_dir(state_dir, name))]


def waiting(state_dir: Path, *, older_than_s: float) -> int:
    """How many sealed sessions still wait for the bucket that long after they ended; never raises `OSError`."""
    ended_before = time.time() - older_than_s
    count = 0
    for session in spooled(state_dir):
        directory = session_dir(state_dir, session)
        with suppress(OSError):  # shipped meanwhile
            count += is_sealed(directory) and directory.stat().st_mtime < ended_before
    return count


def unsealed(state_dir: Path) -> list[str]:
    """The sessions that have not ended: their processes record, or died."""
    return [name for name in spooled(state_dir) if not is_sealed(session_dir(state_dir, name))]


def is_live(directory: Path) -> bool:
    """Whether a running process records this session."""
    descriptor = try_lock(directory / LOCK)
    if descriptor is not None:
        os.close(descriptor)
        return False
    return (directory / LOCK).exists()


def remove(directory: Path) -> None:
    """Remove a session's directory so that a crash in between leaves no half session behind."""
    doomed = directory.with_name(f".shipped-{directory.name}")
    directory.rename(doomed)
    sync_dir(directory.parent)
    remove_tree(doomed)


def remove_tree(directory: Path) -> None:
    """Remove a flat directory. Somebody else may be removing it at the same time."""
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            path.unlink(missing_ok=True)
        directory.rmdir()
