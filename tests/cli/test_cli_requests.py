"""`dbgate requests` and `dbgate serve`, against a real service."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
import requests as http
from msgspec.structs import replace
from tests.approvals.kit import ALICE, CARA, DBA, OWNERS, Running, request_of, running_service

from dbgate.approvals.layout import format_statement
from dbgate.cli.app import run
from dbgate.config import load_settings
from dbgate.identity import current_identity
from dbgate.model import Identity
from dbgate.settings import Settings

DBGATE = [sys.executable, "-c", "import sys; sys.argv[0] = 'dbgate'; from dbgate.cli import main; main()"]


@dataclass
class Desk:
    """Where the person at the command line sits: their settings, their identity, the service they use."""

    running: Running
    settings: Settings
    me: Identity

    def ask(self, who: Identity = ALICE, **changes: Any) -> str:
        return self.running.client(who).ask(request_of(who, **changes)).id

    def status(self, name: str, who: Identity = ALICE) -> str:
        return self.running.client(who).state(name).status


def configure(folder: Path, monkeypatch: pytest.MonkeyPatch, url: str = "") -> Settings:
    """Settings of a laptop with an empty home, where the person is a DBA."""
    for name in [name for name in os.environ if name.startswith(("DBGATE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("NO_COLOR", "1")
    file = folder / "config.yaml"
    approvals = f"approvals: {{url: '{url}'}}\n" if url else ""
    file.write_text(f"identity: {{provider: local, email: me@example.com, groups: [dba]}}\n{approvals}")
    monkeypatch.setenv("DBGATE_CONFIG", str(file))
    return load_settings()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    state_dir = configure(tmp_path, monkeypatch).state_dir
    with running_service(state_dir) as running:
        settings = configure(tmp_path, monkeypatch, running.url)
        yield Desk(running, settings, current_identity(settings))


def dbgate(*arguments: str) -> int:
    return run(arguments)


def test_the_list(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert dbgate("requests") == 0
    assert capsys.readouterr().err == "notice: no open requests\n"
    for_me, others, mine = desk.ask(), desk.ask(clauses=(OWNERS,)), desk.ask(desk.me, target="billing")
    assert dbgate("requests") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "ASKED", "BY", "TARGET", "STATEMENT", "STANDS", "YOU", "MAY"]
    assert [line.split()[:2] for line in lines[1:]] == [[mine, "pending"], [for_me, "pending"]]
    assert others not in printed
    assert "alice@example.com (local, unverified)" in lines[2]
    assert "needs dba (1)" in lines[2]
    assert dbgate("requests", "list", "--target", "billing", "--format", "json") == 0
    views = json.loads(capsys.readouterr().out)
    assert [(view["id"], view["may"]) for view in views] == [(mine, ["withdraw"])]
    assert dbgate("requests", "withdraw", mine) == 0
    capsys.readouterr()
    assert dbgate("requests", "--format", "json") == 0
    assert [view["id"] for view in json.loads(capsys.readouterr().out)] == [for_me]
    assert dbgate("requests", "list", "--all") == 0
    assert f"{mine}  withdrawn" in capsys.readouterr().out


def test_what_a_reviewer_is_shown(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    name = desk.ask(
        measured={"payroll.pay": 1200, "payroll.audit": 34},
        clauses=(DBA, OWNERS),
        parameters=("1.02", None),
        message="Bulk changes need two people.",
    )
    desk.running.client(CARA).decide(name, "approve", "for the yearly raise")
    assert dbgate("requests", "show", name[:8]) == 0
    shown = capsys.readouterr().out
    for piece in (
        f"request           {name}  pending",
        "stands            1 of 2 approvals: needs dba (1), until ",
        "asked by          alice@example.com (local, unverified), ",
        "reason            yearly raise",
        "target            prod-payroll (production)",
        "reads and writes  update: payroll.pay",
        "rules             bulk (payroll.yaml:31)",
        "rule says         Bulk changes need two people.",
        "reviewers         dba (1), data-owners (1)",
        "masked columns    payroll.pay.iban",
        "you may           approve, deny",
        "  payroll.pay          1,200\n",
        "  payroll.audit           34\n",
        "  in all               1,234\n",
        "parameter $1      '1.02'",
        "parameter $2      NULL",
        "statement (formatted; as it was typed with --raw)\n  UPDATE payroll.pay SET amount = amount * $1\n  WHERE\n",
        "approval by cara@example.com (local, unverified): for the yearly raise",
    ):
        assert piece in shown
    assert dbgate("requests", "show", name, "--raw") == 0
    assert capsys.readouterr().out == request_of(ALICE).statement + "\n"
    assert dbgate("requests", "show", name, "--format", "json") == 0
    view = json.loads(capsys.readouterr().out)
    assert view["statement"] == request_of(ALICE).statement
    assert [event["kind"] for event in view["history"]] == ["requested", "approval"]


def test_nothing_shown_can_steer_the_terminal(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066\x9b31m\r"
    mallory = replace(ALICE, subject=f"m{evil}", email=f"m{evil}@example.com", name=evil)
    name = desk.ask(
        mallory,
        target=f"prod{evil}",
        environment=evil,
        statement=f"SELECT '{evil}' -- {evil}\nFROM t",
        parameters=(evil,),
        reason=evil,
        message=f"[bold red]{evil}",
        relations=(evil,),
        rules=(evil,),
        masked=(evil,),
        measured={evil: 1, "t": 2},
    )
    for command in (["list"], ["show", name], ["show", name, "--raw"], ["show", name, "--format", "json"]):
        assert dbgate("requests", *command) == 0
        printed = capsys.readouterr().out
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\r"} & set(printed), command
    assert dbgate("requests", "show", name) == 0
    assert "rule says         [bold red]\\x1b]0;owned" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("select a,b from t where x=1", "SELECT\n  a,\n  b\nFROM t\nWHERE\n  x = 1"),
        ("delete from t using u where t.id=u.id", "DELETE FROM t USING   u\nWHERE\n  t.id = u.id"),
        ("select -0b1000", None),
        ("select 1; drop table t", None),
        ("this is not sql", None),
        ("select 1\0", None),
        ("select " + "(" * 3000 + "1" + ")" * 3000, None),
        ("select a /* b */ from t", "SELECT\n  a /* b */\nFROM t"),
    ],
)
def test_a_statement_is_formatted_only_when_postgresql_reads_the_same(text: str, formatted: str | None) -> None:
    assert format_statement(text) == formatted


def test_approve(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    name = desk.ask()
    assert dbgate("requests", "approve", name[:6], "--note", "looks right") == 0
    assert capsys.readouterr().out.startswith(
        f"{name} approved: approved by me@example.com (local, unverified), usable until "
    )
    assert desk.status(name) == "approved"
    assert desk.running.client(ALICE).history(name)[1]["note"] == "looks right"
    assert dbgate("requests", "approve", name) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[0] == f"error: request {name} is already approved"
    assert printed.err.splitlines()[1].startswith("hint: ")
    assert dbgate("requests", "revoke", name) == 0
    assert desk.status(name) == "revoked"


def test_deny(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    name = desk.ask()
    assert dbgate("requests", "deny", name) == 2
    assert "note" in capsys.readouterr().err
    assert dbgate("requests", "deny", name, "--note", "wait for Monday") == 0
    assert capsys.readouterr().out == f"{name} denied: denied by me@example.com (local, unverified): wait for Monday\n"
    assert desk.status(name) == "denied"


@pytest.mark.parametrize("action", [["approve"], ["deny", "--note", "x"]])
def test_my_own_request(desk: Desk, capsys: pytest.CaptureFixture[str], action: Sequence[str]) -> None:
    name = desk.ask(desk.me)
    assert dbgate("requests", action[0], name, *action[1:]) == 3
    printed = capsys.readouterr()
    assert printed.err == "denied: nobody decides their own request\nhint: ask somebody else in: dba\n"
    assert printed.out == ""
    assert desk.status(name, desk.me) == "pending"


def test_ids_that_fit_nothing_or_too_much(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    names = [desk.ask(parameters=(str(number),)) for number in range(17)]
    first = next(letter for letter in "0123456789abcdef" if sum(name.startswith(letter) for name in names) > 1)
    assert dbgate("requests", "show", first) == 2
    error = capsys.readouterr().err
    assert f"error: {first} is the beginning of several requests" in error
    assert all(name in error for name in names if name.startswith(first))
    wrong = names[0][:-1] + ("0" if names[0][-1] != "0" else "1")
    assert dbgate("requests", "approve", wrong) == 2
    assert capsys.readouterr().err == f"error: no such request: {wrong}\nhint: did you mean {names[0]}?\n"
    for odd in ("../keys", "%", "", "\x1b[2J"):
        assert dbgate("requests", "show", odd) == 2
        assert "\x1b" not in capsys.readouterr().err


def test_the_service_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configure(tmp_path, monkeypatch, f"http://127.0.0.1:{port}")
    assert dbgate("requests") == 7
    error = capsys.readouterr().err
    assert error.startswith(f"error: cannot reach http://127.0.0.1:{port}")
    assert "hint: is `dbgate serve` running there?" in error


def test_no_service_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(tmp_path, monkeypatch)
    assert dbgate("requests") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: no approvals service is configured\nhint: set approvals.url in ")


@pytest.mark.parametrize(
    ("action", "question", "answers"),
    [
        ("approve", r"approve this\? \[y/N\]: ", (("n", "pending", 130), ("y", "approved", 0))),
        (
            "deny",
            r"why do you deny this\? \(empty: go back\): ",
            (("", "pending", 130), ("wait for Monday", "denied", 0)),
        ),
    ],
)
def test_a_terminal_shows_what_is_decided_and_asks(
    desk: Desk, action: str, question: str, answers: tuple[tuple[str, str, int], ...]
) -> None:
    name = desk.ask()
    for answer, status, code in answers:
        child = pexpect.spawn(DBGATE[0], [*DBGATE[1:], "requests", action, name], encoding="utf-8", timeout=30)
        child.expect("yearly raise")
        child.expect(question)
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code
        assert desk.status(name) == status


def test_watch_shows_what_happens(desk: Desk) -> None:
    before = desk.ask()
    with subprocess.Popen([*DBGATE, "requests", "watch"], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            lines = iter(child.stdout.readline, "")
            assert next(lines).startswith("ID ")
            assert next(lines).startswith(before)
            later = desk.ask(target="billing")
            asked = f"{later}  requested by alice@example.com (local, unverified): update on billing"
            assert next(lines).rstrip().endswith(asked)
            desk.running.client(ALICE).withdraw(later)
            withdrawn = next(lines)
            assert f"{later}  withdrawn by alice@example.com" in withdrawn
            assert withdrawn.rstrip().endswith("update on billing for alice@example.com")
        finally:
            child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return configure(tmp_path, monkeypatch)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_starts_and_stops(laptop: Settings, tmp_path: Path, stop: signal.Signals) -> None:
    ready = tmp_path / "ready"
    arguments = ["serve", "--local", "--port", "0", "--ready-file", str(ready)]
    with subprocess.Popen([*DBGATE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            for _ in range(300):
                if ready.exists() or child.poll() is not None:
                    break
                time.sleep(0.1)
            url = ready.read_text().strip()
            with http.Session() as session:
                session.trust_env = False
                assert session.get(f"{url}/api/v1/health", timeout=10).json() == {"status": "ok"}
        finally:
            child.send_signal(stop)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 0
    assert out == ""
    first, console, last = err.splitlines()
    assert first == f"notice: approvals service listening on {url}"
    assert re.fullmatch(rf"notice: web console: {url}/sign-in/once\?code=[\w-]{{43}} \(works once\)", console)
    assert last == "notice: identities are local and unverified (--local)"
    assert (laptop.state_dir / "approvals" / "approvals.db").exists()
    assert (laptop.state_dir / "approvals" / "grants.key").stat().st_mode & 0o777 == 0o600


def test_serve_on_postgresql_shows_no_password(
    laptop: Settings, tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, password = tmp_path / "ready", re.search("password=([0-9a-f]+)", backend)
    monkeypatch.setenv("DBGATE_SERVE_DATABASE", backend)
    arguments = ["serve", "--local", "--port", "0", "--ready-file", str(ready)]
    with subprocess.Popen([*DBGATE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            for _ in range(300):
                if ready.exists() or child.poll() is not None:
                    break
                time.sleep(0.1)
            url = ready.read_text().strip()
            shown = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(child.pid)], capture_output=True, text=True)
            with http.Session() as session:
                session.trust_env = False
                assert session.get(f"{url}/api/v1/health", timeout=10).json() == {"status": "ok"}
        finally:
            child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=20)
    assert child.returncode == 0
    assert "--ready-file" in shown.stdout
    assert (password is not None) == backend.startswith("postgresql")
    assert password is None or password[1] not in f"{out}{err}{shown.stdout}"
    assert (laptop.state_dir / "approvals" / "grants.key").exists()
    assert not (laptop.state_dir / "approvals" / "approvals.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--local", "--host", "0.0.0.0"], "--local takes unverified identities"),
        (["--local", "--host", "::"], "--local takes unverified identities"),
        ([], "no issuer is named"),
        (["--host", "0.0.0.0"], "no issuer is named"),
        (["--issuer", "https://login.example.com"], "no audience is named"),
        (["--issuer", "http://login.example.com", "--audience", "x"], "the issuer must be an https URL"),
        (["--local", "--issuer", "https://login.example.com"], "--local does not go with --issuer"),
        (["--local", "--database", "postgresql://user:secret@127.0.0.1/approvals"], "a password on the command line"),
        (["--local", "--database", "postgresql:///approvals?password=secret"], "a password on the command line"),
        (["--local", "--database", "mysql://127.0.0.1/x"], "names neither an SQLite file nor a PostgreSQL database"),
        (["--local", "--database", "sqlite:///"], "names neither an SQLite file nor a PostgreSQL database"),
        (["--local", "--certificate", "x.pem"], "belong together"),
        (["--local", "--certificate", "/none.pem", "--private-key", "/none.pem"], "cannot use the certificate"),
        (["--local", "--port", "70000"], "65535"),
        (["--lokal"], "lokal"),
    ],
)
def test_serve_refuses(
    laptop: Settings, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    port = [] if "--port" in arguments else ["--port", "0"]
    assert dbgate("serve", *port, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "hint: " in error
    assert "secret" not in error


def test_serve_says_when_the_port_is_taken(laptop: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert dbgate("serve", "--local", "--port", port) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: cannot listen on 127.0.0.1 port {port}: ")
    assert "hint: name another with --port" in error
