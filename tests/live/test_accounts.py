"""Several accounts and issuers side by side, and what becomes of refresh tokens that rotate, at a real provider."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tests.oidc.machine import DBGATE, OIDC, Machine
from tests.oidc.provider import OidcProvider


def configuration(oidc: OidcProvider, issuer: str = "main", client: str = "dbgate-short") -> str:
    text = OIDC.format(issuer=oidc.issuers[issuer], ca_file=oidc.ca_file)
    return text.replace("client_id: dbgate", f"client_id: {client}") + "  prompt: consent\n"


@pytest.fixture
def machine(oidc: OidcProvider, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "home", configuration(oidc, client="dbgate"))


@pytest.fixture
def short(oidc: OidcProvider, tmp_path: Path) -> Machine:
    """A machine whose tokens last two seconds."""
    return Machine(tmp_path / "short", configuration(oidc))


def who(machine: Machine, *arguments: str, **environment: str) -> str:
    done = machine.run("whoami", "--format", "json", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["email"])


def signed_in(machine: Machine, oidc: OidcProvider, *logins: str) -> None:
    for login in logins:
        done = machine.run("login", **oidc.browser_environment(login))
        assert done.returncode == 0, done.stderr


def test_accounts_stand_side_by_side(machine: Machine, oidc: OidcProvider) -> None:
    signed_in(machine, oidc, "alice", "bob")
    assert who(machine) == "bob@example.com"
    assert who(machine, "--account", "alice@example.com") == "alice@example.com"
    assert who(machine, DBGATE_ACCOUNT="alice") == "alice@example.com"

    switched = machine.run("login", "--account", "Alice@Example.com", BROWSER="/bin/false")
    assert (switched.returncode, "signed in as alice@example.com" in switched.stderr) == (0, True)
    assert "browser" not in switched.stderr
    assert who(machine) == "alice@example.com"

    listed = json.loads(machine.run("whoami", "--all", "--format", "json").stdout)
    assert {one["account"]: (one["active"], one["state"], one["issuer"]) for one in listed} == {
        "alice@example.com": (True, "valid", oidc.issuers["main"]),
        "bob@example.com": (False, "valid", oidc.issuers["main"]),
    }
    table = machine.run("whoami", "--all").stdout.splitlines()
    assert table[0].split() == ["ACCOUNT", "ISSUER", "CLIENT", "STATE", "UNTIL"]
    assert [line.split()[:2] for line in table[1:]] == [
        ["bob@example.com", oidc.issuers["main"]],
        ["*", "alice@example.com"],
    ]

    left = machine.run("logout")
    assert left.stderr == "notice: alice@example.com: signed out\nnotice: bob@example.com is the active account now\n"
    assert who(machine) == "bob@example.com"
    gone = machine.run("whoami", "--account", "alice@example.com")
    assert gone.returncode == 5
    assert "hint: run: dbgate login --account alice@example.com\nhint: signed in are: bob@example.com\n" in gone.stderr
    assert machine.run("logout").stderr == "notice: signed out\n"
    assert machine.kept() == []


def test_only_the_wanted_account_will_do(machine: Machine, oidc: OidcProvider) -> None:
    signed_in(machine, oidc, "bob")
    done = machine.run("login", "--account", "alice@example.com", **oidc.browser_environment("grace"))
    assert done.returncode == 5
    assert "error: grace@example.com signed in, not alice@example.com: nothing was kept\n" in done.stderr
    assert "prompt=login" in done.stderr
    assert "login_hint=alice" in done.stderr
    assert who(machine) == "bob@example.com"
    assert [one["account"] for one in json.loads(machine.run("whoami", "--all", "--format", "json").stdout)] == [
        "bob@example.com"
    ]
    assert machine.run("logout", "--account", "carol").stderr.startswith("error: carol is not signed in to ")


def test_none_is_active_until_one_is_chosen(machine: Machine, oidc: OidcProvider) -> None:
    signed_in(machine, oidc, "alice", "bob", "grace")
    machine.run("logout")
    lost = machine.run("whoami")
    assert lost.returncode == 5
    assert lost.stderr.startswith(f"error: no account is active at {oidc.issuers['main']}\nhint: signed in are: ")
    machine.config.write_text(configuration(oidc, client="dbgate") + "  account: bob@example.com\n")
    assert who(machine) == "bob@example.com"


def test_issuers_stand_side_by_side_and_leave_together(machine: Machine, oidc: OidcProvider) -> None:
    people = {"main": "alice", "same-port": "bob", "same-path": "alice", "root": "bob"}
    for issuer, login in people.items():
        machine.config.write_text(configuration(oidc, issuer))
        signed_in(machine, oidc, login)
    for issuer, login in people.items():
        machine.config.write_text(configuration(oidc, issuer))
        assert who(machine) == f"{login}@example.com"
    listed = json.loads(machine.run("whoami", "--all", "--format", "json").stdout)
    assert [(one["issuer"], one["active"]) for one in listed] == [
        (oidc.issuers[issuer], issuer == "root") for issuer in people
    ]
    stolen = machine.home.parent / "stolen"
    shutil.copytree(machine.home / ".local", stolen)
    left = machine.run("logout", "--all")
    assert (left.returncode, left.stderr.count("signed out\n")) == (0, 4), left.stderr
    assert machine.kept() == []
    shutil.rmtree(machine.home / ".local", ignore_errors=True)
    shutil.move(stolen, machine.home / ".local")
    time.sleep(3)
    for issuer in people:
        machine.config.write_text(configuration(oidc, issuer))
        revoked = machine.run("whoami")
        assert (revoked.returncode, "the issuer ended the sign-in" in revoked.stderr) == (5, True), revoked.stderr


def test_processes_that_renew_at_once_share_one_renewal(short: Machine, oidc: OidcProvider) -> None:
    signed_in(short, oidc, "alice")
    for _ in range(2):
        time.sleep(2.5)
        racing = [
            subprocess.Popen(
                [DBGATE, "whoami", "--format", "json"],
                env=short.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in racing:
            shown, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
            assert json.loads(shown)["email"] == "alice@example.com"


def test_a_replayed_refresh_token_ends_the_sign_in_and_says_so(short: Machine, oidc: OidcProvider) -> None:
    signed_in(short, oidc, "alice")
    state = short.home / ".local/state/dbgate/identity"
    shutil.copytree(state, short.home / "thief")
    time.sleep(2.5)
    assert who(short) == "alice@example.com"
    thief = Machine(short.home.parent / "thief", short.config.read_text())
    shutil.copytree(short.home / "thief", thief.home / ".local/state/dbgate/identity", copy_function=shutil.copy2)
    (thief.home / ".local/state/dbgate/identity").chmod(0o700)
    for one in (thief, short, short):
        time.sleep(2.5)
        done = one.run("whoami")
        assert done.returncode == 5
        assert done.stderr.startswith("error: the issuer ended the sign-in: ")
        assert "hint: run: dbgate login\nhint: if nobody ended it, somebody else may have used" in done.stderr
    signed_in(short, oidc, "alice")
    assert who(short) == "alice@example.com"
