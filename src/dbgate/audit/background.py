"""Starting a shipper in the background, without importing what shipping needs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from dbgate.audit import spool

SHIPPER_WAIT_S = 15.0
"""How long anybody waits for a shipper, in seconds."""


def ship_in_background(state_dir: Path, settings_file: Path | None = None) -> bool:
    """Start `dbgate audit ship --quiet` as a process of its own, and do not wait for it.

    It shares nothing with this process: no pipes, no terminal, no signals. False when a shipper is
    already at work (it will see our session) or nothing waits.
    """
    _forget_finished()
    try:
        lock = spool.try_lock(state_dir / spool.SHIP_LOCK, create=True) if spool.ready(state_dir) else None
    except OSError:
        return False
    if lock is None:
        return False
    os.close(lock)
    environment = dict(os.environ)
    if settings_file is not None:
        environment["DBGATE_CONFIG"] = str(settings_file.absolute())
    # -P: never import from the folder we happen to stand in.
    command = [sys.executable, "-P", "-m", "dbgate", "audit", "ship", "--quiet"]
    try:
        _started.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )
        )
    except OSError:
        return False
    return True


def await_shipper(state_dir: Path) -> int | None:
    """Wait until no shipper of this installation works, and take its lock: a descriptor to close.

    None where there was none yet, or where it works for longer than `SHIPPER_WAIT_S`. Raises `OSError`.
    """
    path, until = state_dir / spool.SHIP_LOCK, time.monotonic() + SHIPPER_WAIT_S
    while path.exists() and time.monotonic() < until:
        lock = spool.try_lock(path)
        if lock is not None:
            return lock
        time.sleep(0.05)
    return None


def let_shipper_finish(state_dir: Path) -> None:
    """Wait for a shipper of this installation: in the middle of its work nothing would fit. Raises `OSError`."""
    lock = await_shipper(state_dir)
    if lock is not None:
        os.close(lock)


_started: list[subprocess.Popen[bytes]] = []


def _forget_finished() -> None:
    """Reap earlier shippers, so that a long session leaves no zombies."""
    _started[:] = [process for process in _started if process.poll() is None]
