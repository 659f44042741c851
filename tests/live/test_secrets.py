"""Secrets of sign-ins show nowhere: not to child processes, in process lists, transcripts, output or tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import zstandard
from psycopg import conninfo
from tests.conftest import LiveDatabase
from tests.oidc.machine import DBGATE, OIDC, Machine
from tests.oidc.provider import OidcProvider
from tests.shell.terminal import Terminal

pytestmark = pytest.mark.live

POLICY = "version: 1\nrules:\n  - {id: all, when: {access: read}, effect: allow}\n"
SPY = """#!/bin/sh
tr '\\0' '\\n' < /proc/self/environ >> "$TEST_SPIED"
tr '\\0' ' ' < /proc/$PPID/cmdline >> "$TEST_SPIED"
cat "$@" > /dev/null
"""


@pytest.fixture
def service(oidc: OidcProvider, tmp_path: Path, module_database: LiveDatabase) -> Machine:
    """A machine on which a service with a client secret works on a target whose password stands in a variable."""
    (tmp_path / "policy.yaml").write_text(POLICY)
    identity = {
        "provider": "oidc",
        "issuer": oidc.issuers["main"],
        "client_id": "dbgate-service",
        "client_secret_env": "TEST_SECRET",
        "audience": "urn:dbgate:approvals",
        "ca_file": str(oidc.ca_file),
        "token_store": "file",
    }
    dsn = conninfo.conninfo_to_dict(module_database.app_dsn)
    password = str(dsn.pop("password"))
    target = {
        "engine": "postgres",
        "dsn": conninfo.make_conninfo("", **dsn),
        "password": {"env": "TEST_PASSWORD"},
        "policy": str(tmp_path / "policy.yaml"),
    }
    audit = {"key_store": "file", "bucket": (tmp_path / "bucket").as_uri()}
    machine = Machine(tmp_path / "home", json.dumps({"identity": identity, "audit": audit, "targets": {"db": target}}))
    machine.environment |= {"TEST_SECRET": oidc.secret, "TEST_PASSWORD": password}
    return machine


def secrets_of(machine: Machine) -> list[str]:
    """Whatever must not show: what came in variables, and every token in the store."""
    found = [machine.environment[name] for name in ("TEST_SECRET", "TEST_PASSWORD") if name in machine.environment]
    for path in machine.home.rglob("identity/*.json"):
        stored = json.loads(path.read_text())
        if "token" in stored:
            found.append(stored["token"])
            found += [one["secret"] for one in json.loads(stored["cache"] or "{}").get("RefreshToken", {}).values()]
    return found


def test_programs_that_the_shell_starts_inherit_no_secret(service: Machine, tmp_path: Path) -> None:
    spy, spied = tmp_path / "spy", tmp_path / "spied"
    spy.write_text(SPY)
    spy.chmod(0o755)
    environment = service.environment | {
        "DBGATE_PAGER": str(spy),
        "EDITOR": str(spy),
        "TEST_SPIED": str(spied),
        "TEST_HARMLESS": "inherited",
    }
    for _ in range(2):  # with a fresh token, and with a kept one
        with Terminal([sys.executable, "-m", "dbgate", "connect", "db"], environment=environment) as terminal:
            terminal.prompt()
            terminal.line("select * from generate_series(1, 200);")
            terminal.prompt()
            terminal.line("\\e")
            terminal.prompt()
            terminal.line("\\q")
            assert terminal.end() == 0
    seen = spied.read_text()
    assert seen.count("TEST_HARMLESS=inherited") >= 4, "the pager and the editor ran"
    tokens = secrets_of(service)
    assert len(tokens) == 3
    assert [secret for secret in tokens if secret in seen] == []


def test_no_process_shows_a_secret_in_its_arguments(service: Machine) -> None:
    seen: set[bytes] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert service.run("exec", "db", "-c", "select 1").returncode == 0
        time.sleep(1)
    finally:
        done.set()
        watcher.join()
    assert any(b"dbgate" in line and b"exec" in line for line in seen)
    found = secrets_of(service)
    assert [secret for secret in found if any(secret.encode() in line for line in seen)] == []


def test_transcripts_and_messages_hold_no_secret(service: Machine, tmp_path: Path) -> None:
    shown = service.run("exec", "db", "-c", "select 1; select broken")
    assert shown.returncode == 1
    service.run("audit", "ship")
    recorded = b""
    for path in [*tmp_path.joinpath("bucket").rglob("*"), *service.home.rglob("*")]:
        if path.is_file() and "identity" not in path.parts:
            data = path.read_bytes()
            recorded += zstandard.ZstdDecompressor().decompressobj().decompress(data) if path.suffix == ".zst" else data
    assert b"dbgate-service" in recorded
    found = secrets_of(service)
    for secret in found:
        assert secret.encode() not in recorded
        assert secret not in shown.stdout + shown.stderr
    for command in ("whoami", "doctor", "targets"):
        told = service.run(command)
        assert not [secret for secret in found if secret in told.stdout + told.stderr], command


def test_a_crash_shows_no_secret(service: Machine) -> None:
    crash = (
        "import sys\nimport dbgate.identity.{module} as module\n"
        "def crash(*_, **__):\n    1 / 0\n"
        "module.{function} = crash\n"
        "from dbgate.cli import main\nsys.argv = ['dbgate', 'login']\nsys.exit(main())\n"
    )
    for module, function in (("application", "granted"), ("stored", "verify"), ("file_store", "sync")):
        done = subprocess.run(
            [sys.executable, "-c", crash.format(module=module, function=function)],
            env=service.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "ZeroDivisionError" in done.stderr, "an error that nobody expects is a traceback"
        assert service.environment["TEST_SECRET"] not in done.stdout + done.stderr
        assert "eyJ" not in done.stdout + done.stderr


def test_without_a_keyring_nothing_is_kept_and_nobody_is_asked(oidc: OidcProvider, tmp_path: Path) -> None:
    configuration = OIDC.format(issuer=oidc.issuers["main"], ca_file=oidc.ca_file).replace("  token_store: file\n", "")
    machine = Machine(tmp_path / "home", configuration)
    for command in (["login"], ["login", "--device"], ["whoami"], ["logout"]):
        done = machine.run(*command, **oidc.browser_environment("alice"))
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        assert done.stderr.startswith("error: this machine has no keyring to keep the sign-in in\nhint: ")
        assert "set identity.token_store: file" in done.stderr
    assert [name for name in machine.kept() if not name.endswith(".lock")] == []


def test_the_browser_gets_an_address_without_secrets(oidc: OidcProvider, tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", OIDC.format(issuer=oidc.issuers["main"], ca_file=oidc.ca_file))
    spied = tmp_path / "spied"
    spy = tmp_path / "browser"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {spied}\n')
    spy.chmod(0o755)
    process = subprocess.Popen([DBGATE, "login"], env=machine.environment | {"BROWSER": f"{spy} --new %s $(id) ;id"})
    try:
        deadline = time.monotonic() + 30
        while not (spied.exists() and spied.read_text().count("\n") >= 2):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.terminate()
        process.wait(10)
    arguments = spied.read_text().splitlines()
    assert (arguments[0], arguments[2:]) == ("--new", ["$(id)", ";id"]), "no shell reads BROWSER"
    assert arguments[1].startswith(oidc.issuers["main"])
    assert "code_challenge=" in arguments[1]
    assert "verifier" not in arguments[1]
