"""`dbgate login`, `logout` and `whoami` as people run them, at a real provider."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pexpect
import pytest
from tests.oidc.machine import DBGATE, OIDC, Machine
from tests.oidc.provider import OidcProvider

LOCAL = """
identity:
  provider: local
  groups: [engineering]
"""


@pytest.fixture
def machine(oidc: OidcProvider, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "home", OIDC.format(issuer=oidc.issuers["main"], ca_file=oidc.ca_file))


def test_from_login_to_logout(machine: Machine, oidc: OidcProvider) -> None:
    before = machine.run("whoami")
    assert (before.returncode, before.stdout) == (5, "")
    assert before.stderr == f"error: nobody is signed in to {oidc.issuers['main']}\nhint: run: dbgate login\n"

    done = machine.run("login", **oidc.browser_environment("alice"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "notice: opening the browser to sign in; if nothing opens, visit\n  https://127.0.0.1:" in done.stderr
    assert re.search(
        r"^notice: signed in as alice@example\.com until [-0-9]{10} [:0-9]{8} UTC; groups: engineering, dba$",
        done.stderr,
        re.MULTILINE,
    )

    shown = machine.run("whoami")
    assert shown.returncode == 0
    facts = dict(re.split(r":\s+", line, maxsplit=1) for line in shown.stdout.splitlines())
    assert facts.pop("since") < facts.pop("until")
    assert facts == {
        "who": "alice@example.com",
        "name": "Alice Adams",
        "groups": "engineering, dba",
        "assurance": "oidc",
        "issuer": oidc.issuers["main"],
        "subject": "alice",
        "store": f"files in {machine.home / '.local/state/dbgate/identity'}",
        "targets": "none configured",
    }
    exact = json.loads(machine.run("whoami", "--format", "json").stdout)
    assert exact["groups"] == ["engineering", "dba"]
    assert exact["assurance"] == "oidc"
    assert exact["signed_in_at"] < exact["expires_at"]

    left = machine.run("logout")
    assert (left.returncode, left.stdout, left.stderr) == (0, "", "notice: signed out\n")
    assert machine.kept() == []
    assert machine.run("logout").stderr == "notice: nobody was signed in\n"
    assert machine.run("whoami").returncode == 5


def test_a_code_for_another_device(machine: Machine, oidc: OidcProvider) -> None:
    with subprocess.Popen(
        [str(DBGATE), "login", "--device"], env=machine.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        code = re.search(r"visit (\S+) on any device and enter the code (\S+)$", process.stderr.readline())
        assert code is not None
        oidc.browse(f"{code[1]}?user_code={code[2]}", "bob")
        rest = process.stderr.read()
        assert process.wait(30) == 0, rest
    assert f"notice: or visit {code[1]}?user_code={code[2]}\n" in rest
    assert "notice: the code is good for 10 minutes; Ctrl-C gives up\n" in rest
    assert "notice: signed in as bob@example.com" in rest


@pytest.mark.parametrize("flow", ["--device", "--no-browser"])
def test_control_c_leaves_nothing(machine: Machine, flow: str) -> None:
    child = pexpect.spawn(str(DBGATE), ["login", flow], env=machine.environment, timeout=30, encoding="utf-8")
    child.expect("waiting… [0-9]+:[0-9]{2}" if flow == "--device" else r"visit\r\n  https://127.0.0.1:\S+")
    child.sendintr()
    child.expect("error: the sign-in was interrupted; nothing was kept\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert machine.kept() == []


def test_who_is_refused_reads_why(machine: Machine, oidc: OidcProvider) -> None:
    done = machine.run("login", **oidc.browser_environment("mallory"))
    assert done.returncode == 5
    assert f"error: {oidc.issuers['main']} refused the sign-in: no such user\nhint: run: dbgate login\n" in done.stderr
    assert not [name for name in machine.kept() if name.endswith(".json")]


def test_who_has_no_groups_reads_which_claim_was_looked_at(tmp_path: Path, oidc: OidcProvider) -> None:
    configuration = OIDC.format(issuer=oidc.issuers["main"], ca_file=oidc.ca_file) + "  groups_claim: roles\n"
    done = Machine(tmp_path / "home", configuration).run("login", **oidc.browser_environment("alice"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(
        "; groups: none\nhint: policies go by groups: the issuer sent no claim 'roles', or an empty one\n"
    )


def test_an_issuer_that_is_away(tmp_path: Path, oidc: OidcProvider) -> None:
    machine = Machine(tmp_path / "home", OIDC.format(issuer="https://127.0.0.1:1/tenant", ca_file=oidc.ca_file))
    done = machine.run("login", "--no-browser")
    assert done.returncode == 7
    assert "error: the issuer https://127.0.0.1:1/tenant cannot be reached: Connection refused\n" in done.stderr


def test_the_local_user_is_unverified(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "home", LOCAL)
    shown = machine.run("whoami")
    assert (shown.returncode, shown.stderr) == (0, "")
    facts = dict(re.split(r":\s+", line, maxsplit=1) for line in shown.stdout.splitlines())
    assert facts["assurance"] == "unverified (local)"
    assert facts["groups"] == "engineering"
    assert facts["issuer"] == f"local:{os.uname().nodename}"
    exact = json.loads(machine.run("whoami", "--format", "json").stdout)
    assert (exact["assurance"], exact["expires_at"]) == ("local", None)
    assert machine.run("login").stderr.startswith("notice: identity.provider is local: you are ")
    assert machine.run("logout").stderr == "notice: identity.provider is local: there is nothing to sign out of\n"


def test_a_wrong_format_is_named(tmp_path: Path) -> None:
    done = Machine(tmp_path / "home", LOCAL).run("whoami", "--format", "jsn")
    assert (done.returncode, done.stderr) == (2, "error: no such format: jsn\nhint: did you mean json?\n")
