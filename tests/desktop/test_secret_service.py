"""Sign-ins in a real Secret Service: gnome-keyring on a session bus of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.oidc.machine import OIDC, Machine
from tests.oidc.provider import OidcProvider, oidc_provider

LASTS_S = 5
ADDRESS = "DBUS_SESSION_BUS_ADDRESS"


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider(tmp_path_factory.mktemp("oidc"), id_token_s=LASTS_S) as provider:
        yield provider


@contextmanager
def desktop(home: Path) -> Iterator[str]:
    """A session bus with an unlocked gnome-keyring, for `home`; yields the bus's address."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    script = 'echo "$DBUS_SESSION_BUS_ADDRESS"; exec gnome-keyring-daemon --foreground --unlock --components=secrets'
    with (home / "desktop.log").open("wb") as log:
        session = subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", script],
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert session.stdin is not None
    assert session.stdout is not None
    try:
        address = session.stdout.readline().decode().strip()
        session.stdin.write(b"the keyring's password")
        session.stdin.close()
        wait_for(address)
        yield address
    finally:
        session.terminate()
        session.wait(10)
        session.stdout.close()


def wait_for(address: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if not ours(address, "locked"):
                return
        except Exception as error:
            if time.monotonic() > deadline:
                raise AssertionError("gnome-keyring did not come up") from error
        assert time.monotonic() < deadline, "gnome-keyring stays locked"
        time.sleep(0.2)


def ours(address: str, what: str) -> Any:
    """Ask the Secret Service directly, without dbgate: the labels of dbgate's items, or whether it is locked, or lock it."""
    code = (
        "import json, secretstorage, sys\n"
        "bus = secretstorage.dbus_init()\n"
        "collection = secretstorage.get_default_collection(bus)\n"
        "if sys.argv[1] == 'lock': collection.lock()\n"
        "items = [] if collection.is_locked() else list(collection.search_items({'service': 'dbgate'}))\n"
        "print(json.dumps(collection.is_locked() if sys.argv[1] != 'items' else\n"
        "    [len(item.get_secret()) for item in items]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, what],
        env={"PATH": os.environ["PATH"], ADDRESS: address},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture
def machine(oidc: OidcProvider, tmp_path: Path) -> Iterator[Machine]:
    configuration = OIDC.format(issuer=oidc.issuers["main"], ca_file=oidc.ca_file)
    configuration = configuration.replace("token_store: file", "prompt: consent").replace(
        "client_id: dbgate", "client_id: dbgate-short"
    )
    made = Machine(tmp_path / "home", configuration)
    with desktop(made.home) as address:
        made.environment[ADDRESS] = address
        yield made


def test_a_sign_in_lives_in_the_secret_service_and_leaves_it(machine: Machine, oidc: OidcProvider) -> None:
    address = machine.environment[ADDRESS]
    for login in ("alice", "bob"):
        done = machine.run("login", **oidc.browser_environment(login))
        assert done.returncode == 0, done.stderr
    sizes = ours(address, "items")
    assert len(sizes) == 6, "a head and a piece for the list and for each account"
    assert max(sizes) > 1000

    shown = json.loads(machine.run("whoami", "--format", "json").stdout)
    assert (shown["email"], shown["store"]) == ("bob@example.com", "keyring (SecretService Keyring)")
    time.sleep(LASTS_S + 1)
    renewed = json.loads(machine.run("whoami", "--format", "json", "--account", "alice").stdout)
    assert (renewed["email"], renewed["expires_at"] > shown["expires_at"]) == ("alice@example.com", True)

    for path in machine.home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"eyJ" not in content, f"a token in clear: {path}"
            assert b"alice@example.com" not in content, f"an account in clear: {path}"

    left = machine.run("logout", "--all")
    assert (left.returncode, left.stderr.count("signed out\n")) == (0, 2), left.stderr
    assert ours(address, "items") == []
    assert not (machine.home / ".local/state/dbgate/identity").exists()


def test_a_locked_keyring_is_a_reason_and_nobody_falls_back_to_files(machine: Machine, oidc: OidcProvider) -> None:
    assert machine.run("login", **oidc.browser_environment("alice")).returncode == 0
    assert ours(machine.environment[ADDRESS], "lock") is True
    for command in (["whoami"], ["login", "--no-browser"]):
        done = machine.run(*command)
        assert (done.returncode, done.stdout) == (5, "")
        assert done.stderr.startswith("error: the keyring cannot be used: "), done.stderr
        assert "token_store: file" in done.stderr
    assert not list(machine.home.rglob("identity/*.json"))


def test_a_desktop_that_went_away_is_a_reason(machine: Machine, oidc: OidcProvider) -> None:
    machine.environment[ADDRESS] = "unix:path=/nowhere"
    done = machine.run("whoami")
    assert (done.returncode, "error: this machine has no keyring" in done.stderr) == (5, True), done.stderr
