"""Sessions whose sign-in ends while they are open: `exec` and the shell, on a real provider and a real PostgreSQL."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.conftest import LiveDatabase
from tests.oidc.machine import DBGATE, Machine
from tests.oidc.provider import OidcProvider, oidc_provider
from tests.shell.terminal import Terminal

pytestmark = pytest.mark.live

LASTS_S = 20
SCHEMA = """
CREATE SCHEMA IF NOT EXISTS ends;
CREATE TABLE IF NOT EXISTS ends.notes (id int PRIMARY KEY, note text);
TRUNCATE ends.notes;
GRANT USAGE ON SCHEMA ends TO PUBLIC;
GRANT SELECT, INSERT ON ends.notes TO PUBLIC;
"""
POLICY = """
version: 1
rules:
  - {id: all, when: {groups: [engineering]}, effect: allow}
"""


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider(tmp_path_factory.mktemp("oidc"), id_token_s=LASTS_S) as provider:
        yield provider


@pytest.fixture
def make_machine(oidc: OidcProvider, tmp_path: Path, module_database: LiveDatabase) -> Callable[[str], Machine]:
    module_database.execute(SCHEMA)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return lambda prompt: Machine(tmp_path / "home", configuration(oidc, tmp_path, module_database, prompt))


def configuration(oidc: OidcProvider, folder: Path, database: LiveDatabase, prompt: str) -> str:
    identity = {
        "provider": "oidc",
        "issuer": oidc.issuers["main"],
        "client_id": "dbgate-short",
        "ca_file": str(oidc.ca_file),
        "token_store": "file",
    }
    if prompt:
        identity["prompt"] = prompt
    target = {"engine": "postgres", "dsn": database.app_dsn, "policy": str(folder / "policy.yaml")}
    audit = {"key_store": "file", "bucket": (folder / "audit").as_uri()}
    return json.dumps({"identity": identity, "audit": audit, "targets": {"ends": target}})


def sign_in(machine: Machine, oidc: OidcProvider) -> None:
    """Sign alice in for `LASTS_S` seconds."""
    done = machine.run("login", **oidc.browser_environment("alice"))
    assert done.returncode == 0, done.stderr


def held_up(machine: Machine, database: LiveDatabase) -> subprocess.CompletedProcess[str]:
    """Two statements, of which the first waits for a lock until the token that it began under has ended."""
    with psycopg.connect(database.dsn) as blocker:
        blocker.execute("LOCK TABLE ends.notes IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen(
            [
                DBGATE,
                "exec",
                "ends",
                "-c",
                "SELECT count(*) FROM ends.notes; INSERT INTO ends.notes VALUES (1, 'late')",
            ],
            env=machine.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(LASTS_S + 2)
            assert process.poll() is None, process.communicate()
            blocker.rollback()
            shown, said = process.communicate(timeout=60)
            return subprocess.CompletedProcess([], process.returncode, shown, said)


def test_exec_goes_on_after_a_silent_renewal(
    make_machine: Callable[[str], Machine], oidc: OidcProvider, module_database: LiveDatabase
) -> None:
    machine = make_machine("consent")
    sign_in(machine, oidc)
    assert "targets:      ends (read, write, ddl, admin)\n" in machine.run("whoami").stdout
    done = held_up(machine, module_database)
    assert (done.returncode, done.stdout) == (0, "count\n0\n"), done.stderr
    assert module_database.query("SELECT note FROM ends.notes") == [("late",)]


def test_exec_stops_when_nobody_is_signed_in_any_more(
    make_machine: Callable[[str], Machine], oidc: OidcProvider, module_database: LiveDatabase
) -> None:
    machine = make_machine("")
    sign_in(machine, oidc)
    done = held_up(machine, module_database)
    assert (done.returncode, done.stdout) == (5, "count\n0\n"), done.stderr
    assert "error: the sign-in has expired, and the issuer gave nothing to renew it with\n" in done.stderr
    assert "hint: run: dbgate login\n" in done.stderr
    assert module_database.query("SELECT note FROM ends.notes") == []


def test_the_shell_asks_to_sign_in_again_and_goes_on_as_it_was(
    make_machine: Callable[[str], Machine], oidc: OidcProvider, module_database: LiveDatabase
) -> None:
    machine = make_machine("")
    sign_in(machine, oidc)
    environment = machine.environment | oidc.browser_environment("alice")
    with Terminal([sys.executable, "-m", "dbgate", "connect", "ends"], environment=environment) as terminal:
        terminal.prompt()
        started = time.time()
        terminal.line("set statement_timeout = '41s'; prepare p as select 40 + $1::int as sum;")
        terminal.see("PREPARE")
        terminal.line("begin; insert into ends.notes values (7, 'kept');")
        terminal.see("INSERT 0 1")
        time.sleep(max(0.0, LASTS_S + 1 - (time.time() - started)))

        terminal.line("execute p(2);")
        terminal.see("Sign in again as alice@example.com?")
        terminal.type("n\r")
        terminal.see("error: the statement was not run: nobody is signed in")
        terminal.see("the session is as it was")
        terminal.line("execute p(2);")
        terminal.see("Sign in again as alice@example.com?", count=2)
        terminal.type("\x03")
        terminal.see("error: the statement was not run: nobody is signed in", count=2)

        terminal.line("execute p(2);")
        terminal.see("Sign in again as alice@example.com?", count=3)
        terminal.type("\r")
        terminal.see("(1 row)")
        assert re.search(r"^\s*42$", terminal.screen, re.MULTILINE), terminal.screen
        terminal.line("show statement_timeout;")
        terminal.see("41s")
        terminal.line("commit;")
        terminal.see("COMMIT")
        terminal.line("\\q")
        assert terminal.end() == 0
    assert module_database.query("SELECT note FROM ends.notes") == [("kept",)]
