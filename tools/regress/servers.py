"""Three servers in the same first state: roles and object numbers are a server's, so that databases are not enough."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from dbgate.database import binaries, places
from dbgate.database.places import Account
from dbgate.errors import Unreachable, UsageError

USER = "postgres"
DATABASE = "regression"
SYSTEM = Path("/usr/lib/postgresql")
"""Where Debian keeps servers, by major version."""
START_S = 60.0

_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "jit=off",
    "shared_buffers=64MB",
    "max_wal_size=4GB",
    "max_prepared_transactions=2",
    "max_parallel_workers=0",
    "deadlock_timeout=200ms",
    "lock_timeout=2s",
    "statement_timeout=60s",
    "timezone=PST8PDT",
    "logging_collector=off",
)
"""Without what a server does on its own, so that two of them give the same answers in the same order.

Nobody else works there: a lock that does not come within seconds is held by something that will not end, and no
statement may hold up the rest.
"""

_DATABASE = """
CREATE DATABASE regression TEMPLATE template0;
ALTER DATABASE regression SET lc_messages TO 'C';
ALTER DATABASE regression SET lc_monetary TO 'C';
ALTER DATABASE regression SET lc_numeric TO 'C';
ALTER DATABASE regression SET lc_time TO 'C';
ALTER DATABASE regression SET timezone_abbreviations TO 'Default';
ALTER DATABASE regression SET standard_conforming_strings TO 'on';
"""
"""As the suite's own runner makes it."""


def programs(version: int, place: Path, account: Account | None) -> Path:
    """The folder `bin` of PostgreSQL `version`: the machine's own, or the embedded one. Raises `UsageError`."""
    folder = SYSTEM / str(version) / "bin"
    if (folder / "postgres").is_file():
        return folder
    if version in binaries.VERSIONS:
        return binaries.usable_installation(version, place, account) / "bin"
    known = sorted({int(p.name) for p in SYSTEM.glob("*") if p.name.isdigit()} | set(binaries.VERSIONS))
    raise UsageError(f"there is no PostgreSQL {version}", hint=f"--server takes one of {', '.join(map(str, known))}")


def best_version() -> int:
    """15, the suite's own, where the machine has it; else the oldest embedded one."""
    return 15 if (SYSTEM / "15" / "bin" / "postgres").is_file() else min(binaries.VERSIONS)


@dataclass(frozen=True, slots=True)
class Running:
    """Servers by their DSNs to the database `regression`, and the suite's folder as they can read and write it."""

    dsns: list[str]
    suite: Path
    libraries: Path


@contextmanager
def servers(count: int, *, version: int, folder: Path, suite: Path) -> Iterator[Running]:
    """`count` fresh servers with a copy of `suite`; they and their data are gone afterwards.

    Raises `UsageError` without programs, `Unreachable` when a start fails.
    """
    account = binaries.server_account()
    place = places.place_for(folder.absolute() / "servers", account)
    shutil.rmtree(place, ignore_errors=True)
    places.own_directory(place, account)
    bin_folder = programs(version, place, account)
    try:
        with ExitStack() as stack:
            first = place / "0"
            _initialize(bin_folder, first, account)
            _readable_copy(suite, place / "suite")
            with (
                _server(bin_folder, first, account, "postgres") as dsn,
                psycopg.connect(dsn, autocommit=True) as admin,
            ):
                for line in _DATABASE.strip().splitlines():
                    admin.execute(line.encode())
            for number in range(1, count):
                subprocess.run(["cp", "-a", str(first), str(place / str(number))], check=True)
            dsns = [stack.enter_context(_server(bin_folder, place / str(n), account, DATABASE)) for n in range(count)]
            yield Running(dsns, place / "suite", bin_folder.parent / "lib")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _readable_copy(source: Path, folder: Path) -> None:
    """Copy the suite to where the servers' user can read it, with a folder `results` to write to."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("expected"))
    (folder / "results").mkdir()
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o644)


def _initialize(bin_folder: Path, data: Path, account: Account | None) -> None:
    data.mkdir(mode=0o700)
    if account:
        os.chown(data, account.uid, account.gid)
    command = [str(bin_folder / "initdb"), "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8"]
    command += ["--locale=C", "--no-sync", "--no-instructions"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=_ENVIRONMENT,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode:
        raise Unreachable(f"no server can be made: {done.stderr.strip().splitlines()[-1]}", hint=str(data))


@contextmanager
def _server(bin_folder: Path, data: Path, account: Account | None, database: str) -> Iterator[str]:
    """A running server; ends with the block, and with this process however that ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [str(bin_folder / "postgres"), "-D", str(data), "-p", str(port)]
    for setting in _SETTINGS:
        command += ["-c", setting]
    with (data.parent / f"{data.name}.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            preexec_fn=_dying(),
            env=_ENVIRONMENT,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    dsn = f"postgresql://{USER}@127.0.0.1:{port}/{database}"
    try:
        _await(server, dsn, data)
        yield dsn
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(START_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await(server: subprocess.Popen[bytes], dsn: str, data: Path) -> None:
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise Unreachable("a server does not start", hint=f"see {data}.log")


_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def _dying() -> Callable[[], None] | None:
    """Has the kernel stop a server whose parent ended (`prctl(2)`, PR_SET_PDEATHSIG)."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(1, signal.SIGQUIT)
