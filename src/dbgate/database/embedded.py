"""A PostgreSQL of our own, from a wheel: found or started, and gone with its last user.

A server lives in a folder: `data` (PostgreSQL's), `password`, `log`, and lock files (see `holds.py`). Every process that uses it holds a shared lock on `users`; the kernel lets go of it however the
process ends. A watchdog waits for the exclusive lock, stops the server and, for an ephemeral one, removes the
folder. A server whose watchdog was killed as well is found and watched again by the next start.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from dbgate.database import binaries, holds, places
from dbgate.database.places import Account
from dbgate.errors import Unreachable, UsageError

USER = "postgres"
START_S = 30.0
"""How long a start may take; recovery after a crash is the slow case."""

_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=50",
    "scram_iterations=1",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "jit=off",
    "logging_collector=off",
)
"""The password is random and long: stretching it would only slow down every connection."""
_EPHEMERAL_SETTINGS = ("fsync=off", "full_page_writes=off", "max_wal_size=4GB")


@dataclass(slots=True)
class EmbeddedServer:
    """A running server and this process's hold on it. `directory` is where it really stands.

    The server stops when every process has let go by `stop`, by leaving the `with` block, or by ending.
    `started` tells whether this call started it, or found it running.
    """

    directory: Path
    version: int
    host: str
    port: int
    pid: int
    password: str = field(repr=False)
    started: bool
    _users: int = field(repr=False)

    @property
    def dsn(self) -> str:
        """A URI with the password, as superuser, to the database `postgres`."""
        return self.dsn_of()

    def dsn_of(self, database: str = USER, *, user: str = USER, password: str | None = None) -> str:
        """A URI for `user` on `database`. Without `password` it carries the superuser's, and none for others."""
        if password is None and user == USER:
            password = self.password
        login = quote(user, safe="") + (":" + quote(password, safe="") if password else "")
        return f"postgresql://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    @property
    def password_file(self) -> Path:
        """The file (0600) with the superuser's password."""
        return self.directory / "password"

    def stop(self) -> None:
        """Let go of the server, and wait for its end if nobody else uses it."""
        if self._users < 0:
            return
        users, self._users = self._users, -1
        holds.release(self.directory, users)

    def detach(self) -> None:
        """Let go of the server and let it run on without any user, until `stop_server` is called for it."""
        (self.directory / "detached").touch(mode=0o600)
        self.stop()

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def start(data_dir: Path, *, version: int = 18, ephemeral: bool = False) -> EmbeddedServer:
    """Find the server of `data_dir` running, or start it, making a new database cluster at the first time.

    An ephemeral server forgoes durability, and its folder is removed with it. As root it runs as `nobody`; where
    that user cannot reach `data_dir`, the server stands in the temporary folder (see `EmbeddedServer.directory`).
    Raises `UsageError` if the programs are missing or the folder is unusable, `Unreachable` if the start fails.
    """
    binaries.installation(version)
    account = binaries.server_account()
    directory = places.place_for(data_dir.absolute(), account)
    users = holds.hold(directory, lambda: places.own_directory(directory, account))
    try:
        with holds.starting(directory):
            places.anchor(data_dir.absolute(), directory)
            return _find_or_start(directory, users, account, version=version, ephemeral=ephemeral)
    except BaseException:
        os.close(users)
        raise


def stop_server(data_dir: Path) -> bool:
    """End a server that was detached. Returns whether one was running. One that somebody uses ends with its users."""
    account = binaries.server_account()
    directory = places.place_for(data_dir.absolute(), account)
    if not (directory / "data" / "postmaster.pid").exists():
        return False
    users = holds.hold(directory, lambda: places.own_directory(directory, account))
    with holds.starting(directory):
        (directory / "detached").unlink(missing_ok=True)
        found = _running(directory)
        if found and not holds.watched(directory):
            _watch(directory, None, account, pid=found[0])
    holds.release(directory, users)
    return found is not None


def remove_server(data_dir: Path) -> None:
    """End the server of `data_dir` if it runs detached, and remove its folder, wherever it stands."""
    stop_server(data_dir)
    for directory in {data_dir.absolute(), places.place_for(data_dir.absolute(), binaries.server_account())}:
        shutil.rmtree(directory, ignore_errors=True)


def _find_or_start(
    directory: Path, users: int, account: Account | None, *, version: int, ephemeral: bool
) -> EmbeddedServer:
    made = directory / "data" / "PG_VERSION"
    if made.exists() and int(made.read_text()) != version:
        raise UsageError(
            f"{directory} holds PostgreSQL {made.read_text().strip()}, not {version}", hint="name another folder"
        )
    found = _running(directory)
    started = found is None
    if found is None:
        _initialize(directory, account, version)
        if ephemeral:
            (directory / "ephemeral").touch(mode=0o600)
        found = _launch(directory, account, version)
    elif not holds.watched(directory) and not (directory / "detached").exists():
        _watch(directory, None, account, pid=found[0])
    password = (directory / "password").read_text().strip()
    return EmbeddedServer(directory, version, "127.0.0.1", found[1], found[0], password, started, users)


def _initialize(directory: Path, account: Account | None, version: int) -> None:
    """Make the database cluster unless it is there; never leaves half of one under its name."""
    data, new = directory / "data", directory / "data.new"
    if (data / "PG_VERSION").exists():
        return
    shutil.rmtree(new, ignore_errors=True)
    password = secrets.token_urlsafe(24)
    programs = binaries.usable_installation(version, directory, account)
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if version >= 17 else []
    new.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile("w", dir=directory, prefix="first-") as first:
        first.write(password)
        first.flush()
        if account:
            os.chown(new, account.uid, account.gid)
            os.chown(first.name, account.uid, account.gid)
        command = [str(programs / "bin" / "initdb"), "-D", str(new), "-U", USER, f"--pwfile={first.name}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", *locale, "--no-sync", "--no-instructions"]
        command += ["--set=scram_iterations=1"] if version >= 16 else []
        done = subprocess.run(
            command,
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["initdb failed"]
        raise Unreachable(f"the embedded PostgreSQL cannot be made: {lines[-1]}", hint="see " + str(directory))
    write_private(directory / "password", password + "\n")
    new.rename(data)


def write_private(path: Path, text: str) -> None:
    """Write `text` to a new file that only its owner can read, and put it in place at once."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600, exist_ok=False)
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _launch(directory: Path, account: Account | None, version: int) -> tuple[int, int]:
    """Start the server on a free port and wait until it is ready; return its pid and port."""
    (directory / "detached").unlink(missing_ok=True)
    programs = binaries.usable_installation(version, directory, account)
    settings = _SETTINGS + (_EPHEMERAL_SETTINGS if (directory / "ephemeral").exists() else ())
    if version < 16:
        settings = tuple(setting for setting in settings if not setting.startswith("scram_iterations"))
    for _ in range(5):
        command = [str(programs / "bin" / "postgres"), "-D", str(directory / "data"), "-p", str(_free_port())]
        for setting in settings:
            command += ["-c", setting]
        pid = _watch(directory, command, account)
        found = _await_ready(directory, pid)
        if found:
            return found
    log = directory / "log"
    last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
    raise Unreachable("the embedded PostgreSQL does not start", hint="\n".join([*last, f"see {log}"]))


def _await_ready(directory: Path, pid: int) -> tuple[int, int] | None:
    """Wait for the server; None when it ended instead."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        found = _postmaster(directory)
        if found and found[0] == pid and found[2] == "ready":
            return found[0], found[1]
        if not _is_server(pid, directory) and not holds.watched(directory):
            return None
        time.sleep(0.005)
    raise Unreachable(f"the embedded PostgreSQL is not ready after {START_S:.0f} s", hint=f"see {directory / 'log'}")


def _watch(directory: Path, command: list[str] | None, account: Account | None, *, pid: int = 0) -> int:
    """Start a watchdog that runs `command`, or watches `pid`; return the server's pid."""
    order = {
        "directory": str(directory),
        "command": command,
        "pid": pid,
        "environment": _environment(),
        "uid": account.uid if account else None,
        "gid": account.gid if account else None,
    }
    program = str(Path(__file__).with_name("watchdog.py"))
    done = subprocess.run(
        [sys.executable, "-I", "-S", program, json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
    )
    if not done.stdout.strip().isdigit():
        raise Unreachable("the watchdog of the embedded PostgreSQL does not start", hint=f"see {directory / 'log'}")
    return int(done.stdout)


def _postmaster(directory: Path) -> tuple[int, int, str] | None:
    """Pid, port and state from `postmaster.pid` (PostgreSQL's `miscadmin.h` names its lines)."""
    try:
        lines = (directory / "data" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None
    if len(lines) < 8 or not (lines[0].isdigit() and lines[3].isdigit()):
        return None
    return int(lines[0]), int(lines[3]), lines[7].strip()


def _running(directory: Path) -> tuple[int, int] | None:
    """Pid and port of the server if it runs. A stale pid file, whose number belongs to others now, is removed."""
    found = _postmaster(directory)
    if found is None:
        return None
    if _is_server(found[0], directory):
        return _await_ready(directory, found[0])
    (directory / "data" / "postmaster.pid").unlink(missing_ok=True)
    return None


def _is_server(pid: int, directory: Path) -> bool:
    """Whether `pid` is a live server on the data of `directory` (a zombie has no command line)."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        command = listed.stdout
    except ProcessLookupError:
        return False
    program, _, options = command.partition(b" -D ")
    return program.endswith(b"/postgres") and options.startswith(os.fsencode(directory / "data") + b" ")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
