"""Who uses an embedded server: locks (`flock`) on files in its folder, which the kernel lets go with their process.

`users` is held shared by every process that uses the server, `watchdog` exclusively by the watchdog, and
`starting` exclusively while one process looks for the server or starts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

STOP_S = 30.0
"""How long to wait for a shutdown."""


def hold(directory: Path, make: Callable[[], None]) -> int:
    """Join the users of the server in `directory` and return the lock's file descriptor.

    Waits for a shutdown that goes on. `make` makes the folder, which goes away with an ephemeral server.
    """
    while True:
        make()
        with contextlib.suppress(FileNotFoundError):
            users = os.open(directory / "users", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(users, fcntl.LOCK_SH)
            if _is_file(users, directory / "users"):
                return users
            os.close(users)


def release(directory: Path, users: int) -> None:
    """Leave the users of the server. If nobody else uses it, wait for its end."""
    deadline = time.monotonic() + STOP_S
    with _opened(directory / "watchdog") as watchdog:
        try:
            while not _shared(users):
                fcntl.flock(users, fcntl.LOCK_UN)
                if not _is_locked(watchdog) or time.monotonic() > deadline:
                    return
                time.sleep(0.002)
        finally:
            os.close(users)


def watched(directory: Path) -> bool:
    """Whether the server's watchdog lives."""
    with _opened(directory / "watchdog") as watchdog:
        return _is_locked(watchdog)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    """Whether another process holds the lock alone. Afterwards it is not ours either."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


@contextlib.contextmanager
def starting(directory: Path) -> Iterator[None]:
    """Keep other processes from starting the same server."""
    with _opened(directory / "starting") as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _shared(users: int) -> bool:
    """Whether another user holds the lock too; the watchdog, which holds it alone, is none."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            fcntl.flock(users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    return False
