"""Runs the embedded server and ends it with its last user. Started as a script of its own, never imported.

`embedded.py` starts it with one argument, a JSON object: `directory` (the server's), `command` (the server's
argv, or null to watch the process `pid`), `environment`, and `uid` and `gid` to drop to (null to keep).
It writes the server's pid to standard output, goes into the background, and then waits for the exclusive
lock on the file `users`, which it gets when the last process that uses the server let go or died, however
it died. It holds the lock on the file `watchdog` as long as it lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

FAST_S = 20.0
"""How long a fast shutdown may take before it becomes an immediate one."""
IMMEDIATE_S = 5.0


def main(order: dict[str, Any]) -> None:
    """Start or adopt the server, say its pid, wait for the last user, stop the server."""
    directory = Path(order["directory"])
    users = os.open(directory / "users", os.O_RDWR)
    alive = os.open(directory / "watchdog", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    pid = launch(order, directory) if order["command"] else int(order["pid"])
    print(pid, flush=True)
    silence()
    if await_last_user(users, pid) and not (directory / "detached").exists():
        stop(pid)
        if (directory / "ephemeral").exists():
            remove(directory)


def await_last_user(users: int, pid: int) -> bool:
    """Wait for the last user to let go, or for SIGTERM. False when the server ended by itself."""
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, interrupt)
    try:
        if gone(pid):
            return False
        fcntl.flock(users, fcntl.LOCK_EX)
    except Interruption as interruption:
        return interruption.number == signal.SIGTERM
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return True


class Interruption(Exception):
    """A signal came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def interrupt(number: int, _: object) -> None:
    """Handle a signal by leaving what waits."""
    raise Interruption(number)


def launch(order: dict[str, Any], directory: Path) -> int:
    """Start the server as a child, with privileges dropped, its messages in the file `log`."""
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    pid = os.fork()
    if pid:
        os.close(log)
        return pid
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for source, number in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, number)
        os.chdir("/")
        if order["uid"] is not None:
            os.setgroups([])
            os.setgid(order["gid"])
            os.setuid(order["uid"])
        os.execve(order["command"][0], order["command"], order["environment"])  # noqa: S606
    finally:
        os._exit(127)


def silence() -> None:
    """Let go of the standard streams, so that nobody waits for the end of the pipe."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def stop(pid: int) -> None:
    """Ask the server to shut down fast, then at once, then kill it."""
    for number, patience_s in ((signal.SIGINT, FAST_S), (signal.SIGQUIT, IMMEDIATE_S), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if gone(pid):
                return
            time.sleep(0.005)


def remove(directory: Path) -> None:
    """Remove the server's folder, and the empty one that it stands for."""
    with contextlib.suppress(OSError):
        Path(os.fsdecode((directory / "anchor").read_bytes())).rmdir()
    shutil.rmtree(directory, ignore_errors=True)


def gone(pid: int) -> bool:
    """Whether the process has ended; reaps a child, and does not wait for others to reap theirs."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    os.setsid()
    main(json.loads(sys.argv[1]))
