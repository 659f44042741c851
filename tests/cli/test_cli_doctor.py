"""`dbgate doctor`: one line for each thing that can be wrong, and the exit code that goes with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbgate.cli.app import run
from dbgate.errors import EXIT_AUDIT, EXIT_OK, EXIT_SIGN_IN, EXIT_UNREACHABLE, EXIT_USAGE

AWAY = 'targets:\n  away: {engine: postgres, dsn: "postgresql://127.0.0.1:1/x?connect_timeout=2"'


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """The exit code, and level, text and hint by name; of several with one name the worst."""
    code = run(["doctor", "--format", "json", *arguments])
    found: dict[str, tuple[str, str, str]] = {}
    for line in sorted(json.loads(capsys.readouterr().out), key=lambda f: ("ok", "warn", "fail").index(f["level"])):
        found[line["name"]] = (line["level"], line["text"], line["hint"])
    return code, found


def test_a_fresh_machine(
    dbgate_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DBGATE_CONFIG")
    code, found = doctor(capsys, "--offline")
    assert code == EXIT_OK
    assert found["configuration"][0] == "warn"
    assert found["configuration"][2] == f"write {dbgate_home / 'config' / 'dbgate' / 'config.yaml'}"
    assert found["identity"][:2] == ("ok", found["identity"][1])
    assert "unverified (provider: local)" in found["identity"][1]
    assert "will be made" in found["state"][1]
    assert "the first session makes one" in found["signing key"][1]
    assert "no retention" in found["bucket"][2]
    assert list(dbgate_home.iterdir()) == []


def test_lines_for_people(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text(AWAY + "}\n")
    assert run(["doctor"]) == EXIT_UNREACHABLE
    out, err = capsys.readouterr()
    assert err == ""
    assert f"ok    configuration: {dbgate_home / 'config.yaml'}, 1 target\n" in out
    assert "warn  policy of away: none of its own: the built-in read-only.yaml holds\n" in out
    assert "fail  target away: 127.0.0.1:1 refuses connections\n      hint: start the server" in out


def test_a_wrong_configuration_ends_the_visit(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text("targts: {}\n")
    code, found = doctor(capsys)
    assert code == EXIT_USAGE
    assert list(found) == ["configuration"]
    assert found["configuration"][0] == "fail"
    assert found["configuration"][1].endswith("config.yaml:1: unknown key: targts")
    assert found["configuration"][2] == "did you mean targets?"


def test_an_unknown_target(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text(AWAY + "}\n")
    code, found = doctor(capsys, "awy")
    assert (code, found["configuration"]) == (EXIT_USAGE, ("fail", "no such target: awy", "did you mean away?"))


def test_files_that_others_can_write(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, policy = dbgate_home / "config.yaml", dbgate_home / "p.yaml"
    config.write_text(AWAY + ", policy: p.yaml}\n")
    policy.write_text("version: 1\nrules: [{id: a, effect: allow, when: {access: read}}]\n")
    config.chmod(0o666)
    policy.chmod(0o664)
    code, found = doctor(capsys, "--offline")
    assert code == EXIT_OK
    assert found["configuration"] == ("warn", f"others can write {config}", f"chmod go-w {config}")
    assert found["policy of away"] == ("warn", f"others can write {policy}", f"chmod go-w {policy}")


def test_a_policy_that_cannot_be_read(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text(AWAY + ", policy: p.yaml}\n")
    code, found = doctor(capsys, "--offline")
    assert (code, found["policy of away"][0]) == (EXIT_USAGE, "fail")
    (dbgate_home / "p.yaml").write_text("version: 1\nrules: [{id: a, effect: deny, when: {access: read}}]\n")
    code, found = doctor(capsys, "--offline")
    assert code == EXIT_OK
    assert "allows anything" in found["policy of away"][1]


def test_nobody_signed_in(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text(
        "identity: {provider: oidc, issuer: 'https://login.example.com/t', client_id: x, token_store: file}\n"
        "approvals: {url: 'http://127.0.0.1:1'}\n"
    )
    code, found = doctor(capsys)
    assert (code, found["identity"][0]) == (EXIT_SIGN_IN, "fail")
    assert found["identity"][2] == "run: dbgate login"
    assert found["approvals"] == ("warn", "http://127.0.0.1:1 was not asked: nobody is signed in", "dbgate login")


def test_approvals_that_do_not_answer(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text("approvals: {url: 'http://127.0.0.1:1'}\n")
    code, found = doctor(capsys)
    assert (code, found["approvals"][0]) == (EXIT_UNREACHABLE, "fail")


def test_approvals_that_are_needed_but_not_there(dbgate_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text(AWAY + ", policy: p.yaml}\n")
    (dbgate_home / "p.yaml").write_text(
        "version: 1\nrules: [{id: a, effect: approve, when: {access: read}, reviewers: [{groups: [b]}]}]\n"
    )
    _, found = doctor(capsys)
    assert found["approvals"][:2] == ("warn", "no service is configured, but rules ask for approval")


def test_a_state_directory_that_is_none(
    dbgate_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBGATE_STATE_DIR", str(dbgate_home / "file"))
    (dbgate_home / "file").write_text("x")
    (dbgate_home / "config.yaml").write_text(AWAY + "}\n")
    code, found = doctor(capsys, "--offline")
    assert (code, found["state"][0]) == (EXIT_AUDIT, "fail")


def test_a_state_directory_that_is_open(
    dbgate_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = dbgate_home / "st"
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    monkeypatch.setenv("DBGATE_STATE_DIR", str(place))
    (dbgate_home / "config.yaml").write_text(AWAY + "}\n")
    code, found = doctor(capsys, "--offline")
    assert (code, found["state"]) == (EXIT_OK, ("warn", f"{place} is open to others", f"chmod 700 {place}, and own it"))


def test_a_keyring_that_is_asked_for_and_not_there(
    dbgate_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import keyring
    from keyring.backends.fail import Keyring

    (dbgate_home / "config.yaml").write_text("audit: {key_store: keyring}\n")
    monkeypatch.setattr(keyring, "get_keyring", Keyring)
    code, found = doctor(capsys, "--offline")
    assert (code, found["signing key"][0]) == (EXIT_AUDIT, "fail")
    assert "audit.key_store: file" in found["signing key"][2]


@pytest.mark.parametrize(
    ("rest", "level", "text"),
    [
        (", password: {env: NOT_SET_ANYWHERE}", "fail", "the variable NOT_SET_ANYWHERE is not set"),
        (", password: {command: [no-such-program-x]}", "fail", "there is no command no-such-program-x"),
    ],
)
def test_passwords_that_are_not_there(
    dbgate_home: Path, rest: str, level: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (dbgate_home / "config.yaml").write_text(AWAY + rest + "}\n")
    code, found = doctor(capsys, "--offline")
    assert (code, found["password of away"][:2]) == (EXIT_USAGE, (level, text))


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:geheim@h/d", "host=h password=geheim", "postgresql://h/d?password=geheim"]
)
def test_passwords_in_the_configuration(dbgate_home: Path, dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    (dbgate_home / "config.yaml").write_text(f'targets:\n  t: {{engine: postgres, dsn: "{dsn}"}}\n')
    code, found = doctor(capsys, "--offline")
    assert code == EXIT_OK
    assert found["password of t"][:2] == ("warn", "it stands in the configuration, in the DSN")
    assert "geheim" not in str(found)
