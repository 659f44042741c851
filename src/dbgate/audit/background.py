"""Starting a shipper in the background, without importing what shipping needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dbgate.audit import spool


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


_started: list[subprocess.Popen[bytes]] = []


def _forget_finished() -> None:
    """Reap earlier shippers, so that a long session leaves no zombies."""
    _started[:] = [process for process in _started if process.poll() is None]
