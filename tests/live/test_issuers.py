"""Several issuers in one configuration, at a real provider: who acts where, and what the service takes from whom."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.oidc.machine import DBGATE, OIDC, Machine
from tests.oidc.provider import OidcProvider

BESIDE = """\
  issuers:
    partner:
      issuer: {partner}
      client_id: dbgate
      ca_file: {ca_file}
approvals:
  url: {service}
targets:
  own: {{engine: postgres, dsn: "postgresql://127.0.0.1:1/a"}}
  shared: {{engine: postgres, dsn: "postgresql://127.0.0.1:1/b", issuer: partner, policy: shared.yaml}}
"""
POLICY = """\
version: 1
rules:
  - {id: theirs, when: {groups: [partner/dba], access: read}, effect: allow}
  - {id: ours, when: {groups: [dba], access: write}, effect: allow}
"""


def configuration(oidc: OidcProvider, service: str = "http://127.0.0.1:1") -> str:
    main = OIDC.format(issuer=oidc.issuers["main"], ca_file=oidc.ca_file)
    return main + BESIDE.format(partner=oidc.issuers["same-port"], ca_file=oidc.ca_file, service=service)


@pytest.fixture
def machine(oidc: OidcProvider, tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "home", configuration(oidc))
    (made.home / "shared.yaml").write_text(POLICY)
    return made


def sign_in(machine: Machine, oidc: OidcProvider, login: str, *arguments: str) -> str:
    done = machine.run("login", *arguments, **oidc.browser_environment(login))
    assert done.returncode == 0, done.stderr
    return done.stderr


def who(machine: Machine, *arguments: str, **environment: str) -> tuple[str, str, list[str]]:
    done = machine.run("whoami", "--format", "json", *arguments, **environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["issuer"], found["subject"], found["groups"]


def test_one_subject_at_two_issuers(machine: Machine, oidc: OidcProvider) -> None:
    main, partner = oidc.issuers["main"], oidc.issuers["same-port"]
    assert "signed in as alice@example.com at main until" in sign_in(machine, oidc, "alice")
    lost = machine.run("whoami", "--issuer", "partner")
    assert lost.returncode == 5
    assert lost.stderr == f"error: nobody is signed in to {partner}\nhint: run: dbgate login --issuer partner\n"

    said = sign_in(machine, oidc, "alice", "--issuer", "partner")
    assert "signed in as alice@example.com at partner until" in said
    assert "redirect_uri=http%3A%2F%2F127.0.0.1%3A" in said
    assert "%2Fpartner" in said
    assert who(machine) == (main, "alice", ["engineering", "dba"])
    for arguments, environment in ((("--issuer", "partner"), {}), ((), {"DBGATE_ISSUER": partner})):
        theirs = who(machine, *arguments, **environment)
        assert theirs == (partner, "alice", ["partner/engineering", "partner/dba"])

    listed = json.loads(machine.run("whoami", "--all", "--format", "json").stdout)
    assert [(one["issuer"], one["issuer_name"], one["active"]) for one in listed] == [
        (main, "main", True),
        (partner, "partner", True),
    ]
    for name, url, shown in (("main", main, ()), ("partner", partner, ("--issuer", "partner"))):
        assert f"  {name}: {url}  " in machine.run("whoami", "--all").stdout
        assert f"issuer:       {name}: {url}\n" in machine.run("whoami", *shown).stdout
    targets = json.loads(machine.run("targets", "--format", "json").stdout)
    assert {one["name"]: sorted(one["access"]) for one in targets} == {"own": ["read"], "shared": ["read"]}
    shown = json.loads(machine.run("whoami", "--format", "json").stdout)
    assert list(shown["targets"]) == ["own"]

    left = machine.run("logout", "--issuer", "partner")
    assert (left.returncode, left.stderr) == (0, "notice: signed out\n")
    assert who(machine)[0] == main
    assert machine.run("whoami", "--issuer", "partner").returncode == 5
    sign_in(machine, oidc, "bob", "--issuer", "partner")
    gone = machine.run("logout", "--all")
    assert sorted(gone.stderr.splitlines()) == [
        "notice: alice@example.com: signed out",
        "notice: bob@example.com: signed out",
    ]
    assert machine.kept() == ["shared.yaml"]


def test_a_target_opens_to_its_issuer_only(machine: Machine, oidc: OidcProvider) -> None:
    sign_in(machine, oidc, "alice")
    closed = machine.run("exec", "shared", "-c", "select 1", DBGATE_ISSUER="main")
    assert closed.returncode == 5
    assert closed.stderr.endswith("hint: run: dbgate login --issuer partner\n")
    rows = {line.split()[0]: line.split()[-1] for line in machine.run("targets").stdout.splitlines()}
    assert (rows["own"], rows["shared"]) == ("read", "see")
    sign_in(machine, oidc, "hana", "--issuer", "partner")
    explained = machine.run("policy", "explain", "shared", "--offline", "--format", "json", "-c", "delete from t")
    assert json.loads(explained.stdout)["decision"] == "deny", explained.stderr
    started = machine.run("exec", "shared", "-c", "select 1")
    assert started.returncode == 7, started.stderr
    (session,) = (machine.home / ".local/state/dbgate/spool").glob("*/*.jsonl")
    start = json.loads(session.read_text().splitlines()[0])
    assert (start["identity"]["issuer"], start["identity"]["subject"]) == (oidc.issuers["same-port"], "hana")


@contextmanager
def service(machine: Machine, *options: str) -> Iterator[str]:
    """`dbgate serve` with the machine's configuration; gives its URL."""
    ready = machine.home / "ready"
    ready.unlink(missing_ok=True)
    command = [str(DBGATE), "serve", "--port", "0", "--ready-file", str(ready), *options]
    with subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + 30
            while not ready.exists() and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            assert ready.exists(), process.communicate(timeout=5)[1]
            yield ready.read_text().strip()
        finally:
            process.terminate()
            process.communicate(timeout=30)


def test_the_service_takes_both_and_each_for_itself(machine: Machine, oidc: OidcProvider) -> None:
    sign_in(machine, oidc, "alice")
    sign_in(machine, oidc, "bob", "--issuer", "partner")
    with service(machine) as url:
        for issuer in ("main", "partner"):
            done = machine.run("requests", "list", DBGATE_APPROVALS_URL=url, DBGATE_ISSUER=issuer)
            assert (done.returncode, done.stderr) == (0, "notice: no open requests\n")
            said = machine.run("requests", "list", "--issuer", issuer, DBGATE_APPROVALS_URL=url)
            assert (said.returncode, said.stderr) == (0, "notice: no open requests\n")
        elsewhere = machine.run("requests", "--issuer", "partner", "--account", "alice", DBGATE_APPROVALS_URL=url)
        assert (elsewhere.returncode, "error: alice is not signed in to" in elsewhere.stderr) == (5, True)
        lost = machine.run("requests", "--issuer", "partner", "list", DBGATE_APPROVALS_URL=url)
        assert lost.returncode == 2
        assert lost.stderr == "error: --issuer goes behind the command\nhint: dbgate requests list … --issuer …\n"
    with service(machine, "--issuer", "main") as url:
        assert machine.run("requests", "list", DBGATE_APPROVALS_URL=url).returncode == 0
        refused = machine.run("requests", "list", "--issuer", "partner", DBGATE_APPROVALS_URL=url)
        assert (refused.returncode, "the token was refused" in refused.stderr) == (5, True)
    machine.run("logout")
    nobody = machine.run("requests")
    assert nobody.returncode == 5
    assert nobody.stderr.endswith("hint: run: dbgate login\nhint: --issuer NAME acts at another issuer: partner\n")


@pytest.mark.parametrize("option", ["--audience", "--client", "--issuer-ca"])
def test_what_is_said_for_one_issuer_is_not_taken_for_all(machine: Machine, option: str) -> None:
    done = machine.run("serve", "--port", "0", option, "x")
    assert done.returncode == 2
    assert "are for one issuer, and the configuration has several" in done.stderr
