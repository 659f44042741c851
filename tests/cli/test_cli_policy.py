"""`dbgate policy` and `dbgate targets`: what they print, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.conftest import LiveDatabase

from dbgate.cli.app import run
from dbgate.errors import EXIT_DENIED, EXIT_OK, EXIT_SIGN_IN, EXIT_STATEMENT, EXIT_UNREACHABLE, EXIT_USAGE

POLICY = """\
version: 1
extends: [default.yaml]
classify:
  - {columns: ["app.users.ssn", "app.userz.ssn"], tag: pii.ssn}
mask:
  pii.ssn: {method: partial, last: 4}
rules:
  - {id: read, when: {groups: [staff], access: read}, effect: allow}
  - {id: write, when: {groups: [staff], access: write, tables: ["app.*"]}, effect: allow}
  - {id: bulk, when: {groups: [staff], access: write, rows: ">5"}, effect: approve, reviewers: [{groups: [dba], count: 2}]}
tests:
  - {sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, expect: mask, masked: [app.users.ssn]}
"""

CONFIG = """\
identity: {provider: local, email: ann@example.com, groups: [staff]}
targets:
  app: {engine: postgres, dsn: "%s", environment: test, policy: app.yaml}
  away: {engine: postgres, dsn: "postgresql://someone:s3cret@127.0.0.1:1/x?connect_timeout=2"}
"""


@pytest.fixture
def app(dbgate_home: Path) -> Path:
    """A configuration whose database is not there; returns the policy file."""
    (dbgate_home / "config.yaml").write_text(CONFIG % "postgresql://127.0.0.1:1/x?connect_timeout=2")
    policy = dbgate_home / "app.yaml"
    policy.write_text(POLICY)
    return policy


def test_check_says_what_is_in_a_file(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check", str(app)]) == EXIT_OK
    out, err = capsys.readouterr()
    assert out.startswith(f"ok {app}: 5 rules, ")
    assert out.endswith("1 test, extends labels.yaml, default.yaml\n")
    assert err == ""


def test_check_names_every_wrong_file(app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("version: 1\nrules:\n  - {id: a, when: {verb: drop}, effect: deny}\n")
    gone = tmp_path / "gone.yaml"
    assert run(["policy", "check", str(wrong), str(gone), str(app)]) == EXIT_USAGE
    out, err = capsys.readouterr()
    assert out.startswith(f"ok {app}: ")
    assert err.splitlines() == [
        f"error: {wrong}:3: unknown key in when: verb",
        "hint: did you mean verbs?",
        f"error: {gone} cannot be read: No such file or directory",
        "hint: check the path and its permissions",
    ]


def test_check_notices_a_policy_that_allows_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deny.yaml"
    file.write_text("version: 1\nrules: [{id: a, effect: deny, when: {verbs: drop}}]\n")
    assert run(["policy", "check", str(file)]) == EXIT_OK
    assert capsys.readouterr().err == (
        f"notice: {file}: no rule allows anything: alone, it denies every statement\nhint: extend it, or add rules\n"
    )


def test_check_with_a_target_names_idle_globs(
    dbgate_home: Path, database: LiveDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    database.execute("CREATE SCHEMA app; CREATE TABLE app.users (id int, ssn text)")
    (dbgate_home / "config.yaml").write_text(CONFIG % database.app_dsn)
    policy = dbgate_home / "app.yaml"
    policy.write_text(POLICY)
    assert run(["policy", "check", str(policy), "--target", "app"]) == EXIT_OK
    err = capsys.readouterr().err
    assert err == f"notice: {policy}:4: app.userz.ssn matches nothing in app\nhint: correct or remove it\n"
    assert run(["policy", "check", "--target", "app"]) == EXIT_OK  # its own policy
    assert capsys.readouterr().err == err
    assert run(["policy", "check"]) == EXIT_USAGE
    assert capsys.readouterr().err.startswith("error: missing argument 'FILE…'\nhint: name policy files, or a target")
    assert run(["policy", "test", str(policy), "--target", "app"]) == EXIT_OK
    assert run(["policy", "explain", "app", "-c", "SELECT * FROM app.users"]) == EXIT_OK
    assert "masked:   app.users.ssn (pii.ssn: partial, last 4; labelled in app.yaml:4)" in capsys.readouterr().out
    assert run(["policy", "explain", "app", "-c", "SELECT * FROM app.user"]) == EXIT_STATEMENT
    assert run(["doctor", "app"]) == EXIT_OK
    out = capsys.readouterr().out
    assert "ok    target app: PostgreSQL " in out
    assert "warn  target app: app.userz.ssn matches nothing" in out


def test_tests_run_without_a_database(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "test", str(app)]) == EXIT_OK
    assert capsys.readouterr().out == f"1 of 1 tests passed in {app}\n"


def test_a_failing_test_is_shown_with_its_line(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.write_text(POLICY + '  - {sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, expect: allow}\n')
    assert run(["policy", "test", str(app)]) == EXIT_DENIED
    assert capsys.readouterr().out.splitlines() == [
        f"failed {app}:13: SELECT ssn FROM app.users",
        "       expected allow, got mask by read",
        "       masked: app.users.ssn",
        f"1 of 2 tests passed in {app}",
    ]


def test_a_test_may_hold_for_several_identities_and_expect_a_text(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app.write_text(
        POLICY
        + '  - {sql: "SELECT id FROM app.users", as: [{groups: [staff]}, {email: eve@example.com}], expect: allow}\n'
        + '  - {sql: "SELECT  id FROM app.users", as: {groups: [staff]}, expect: allow, rewritten: "SELECT id FROM app.user"}\n'
    )
    assert run(["policy", "test", str(app), "--verbose"]) == EXIT_DENIED
    assert capsys.readouterr().out.splitlines() == [
        f"ok {app}:12: SELECT ssn FROM app.users",
        f"ok {app}:13: SELECT id FROM app.users as staff",
        f"failed {app}:13: SELECT id FROM app.users as eve@example.com",
        "       expected allow, got deny: no rule allows select on app.users",
        "       touches: select app.users",
        f"failed {app}:14: SELECT  id FROM app.users",
        "       another text would be sent:",
        "       - SELECT id FROM app.user",
        "       + SELECT id FROM (SELECT id FROM app.users) AS users",
        "                        ^",
        f"2 of 4 tests passed in {app}",
    ]


def test_results_of_tests_as_junit(app: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.write_text(POLICY + '  - {sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, expect: allow}\n')
    place = tmp_path / "results.xml"
    assert run(["policy", "test", str(app), "--junit", str(place)]) == EXIT_DENIED
    suite = ElementTree.parse(place).getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == (str(app), "2", "1")
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"]]
    assert (suite[1].get("line"), suite[1][0].text) == ("13", "expected allow, got mask by read\nmasked: app.users.ssn")
    assert run(["policy", "test", str(app), "--junit", str(tmp_path / "none" / "x.xml")]) == EXIT_USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_explain_tells_decision_rules_masks_and_rewriting(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", "app", "--offline", "-c", "SELECT id, ssn FROM app.users"]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0] == "decision: allow, masked; stopped after 15 min"
    assert lines[1] == f"rules:    read ({app}:8)"
    assert lines[2] == "touches:  select app.users"
    assert lines[3] == "masked:   app.users.ssn (pii.ssn: partial, last 4; labelled in app.yaml:4)"
    assert lines[4].startswith("runs:     SELECT id, ssn FROM (SELECT id, ")


def test_explain_for_somebody_else(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["policy", "explain", "app", "--offline", "-c", "SELECT id FROM app.users"]
    assert run([*ask, "--as", "bob@example.com", "--group", "sales"]) == EXIT_OK
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "decision: deny: no rule allows select on app.users",
        "rules:    none",
        "touches:  select app.users",
        f"to pass:  being in staff (read ({app}:8))",
        "runs:     nothing",
    ]
    assert run([*ask, "--actor", "robot"]) == EXIT_USAGE
    assert "no such actor: robot" in capsys.readouterr().err


def test_explain_asks_for_the_rows_that_a_rule_hangs_on(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["policy", "explain", "app", "--offline", "-c", "UPDATE app.users SET name = :n WHERE id < 9", "-p", "n=x"]
    assert run(ask) == EXIT_OK
    assert (
        "decision: depends on the rows that it touches: up to 5 rows: allow; more than 5 rows: approve, by 2 of dba\n"
        in capsys.readouterr().out
    )
    assert run([*ask, "--rows", "6"]) == EXIT_OK
    out = capsys.readouterr().out
    assert "decision: approve, by 2 of dba" in out
    assert "to pass:  approval by 2 of dba, good for 1 h: run it, and they are asked\n" in out
    assert run([*ask, "--rows", "5", "--format", "json"]) == EXIT_OK
    found = json.loads(capsys.readouterr().out)
    assert (found["decision"], found["verb"], found["touches"]) == (
        "allow",
        "update",
        [{"verb": "update", "relation": "app.users"}],
    )
    assert found["rules"] == [{"id": "write", "file": str(app), "line": 9}]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["policy", "explain", "ap", "-c", "SELECT 1"], EXIT_USAGE, "hint: did you mean app?"),
        (["policy", "explain", "app", "--offline", "-c", "SELEC 1"], EXIT_STATEMENT, "syntax error"),
        (["policy", "explain", "app", "--offline", "-c", " "], EXIT_USAGE, "no statement in -c"),
        (["policy", "explain", "app", "--offline", "-c", "x", "--format", "jsn"], EXIT_USAGE, "did you mean json?"),
        (["policy", "explain", "app", "--offline", "-c", "x", "-p", "n"], EXIT_USAGE, "not a parameter: n"),
        (["policy", "explain", "app", "-c", "SELECT 1"], EXIT_UNREACHABLE, "refuses connections"),
        (["policy", "check", "x.yaml", "--taget", "app"], EXIT_USAGE, "--target"),
    ],
)
def test_bad_input(
    app: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_control_characters_are_shown_not_obeyed(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", "app", "--offline", "-c", 'SELECT 1 AS "\x1b[2J"']) == EXIT_OK
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


def test_targets_tell_what_is_open_to_me(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["targets"]) == EXIT_OK
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()] == [
        ["TARGET", "ENVIRONMENT", "ENGINE", "POLICY", "ACCESS"],
        ["app", "test", "postgres", "app.yaml", "read,", "write"],
        ["away", "-", "postgres", "(built-in)", "read-only.yaml", "read"],
    ]
    assert run(["targets", "--format", "json"]) == EXIT_OK
    out = capsys.readouterr().out
    assert "s3cret" not in out
    assert json.loads(out)[0] == {
        "name": "app",
        "engine": "postgres",
        "environment": "test",
        "policy": "app.yaml",
        "access": {"read": "allow", "write": "allow"},
        "error": None,
    }


def test_targets_with_a_broken_policy_or_nobody_signed_in(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.write_text("version: 3\n")
    assert run(["targets"]) == EXIT_USAGE
    out, err = capsys.readouterr()
    assert out.splitlines()[1].endswith("error")
    assert f"error: {app}:1: there is no version 3" in err
    app.write_text(POLICY)
    config = app.parent / "config.yaml"
    signed = "identity: {provider: oidc, issuer: 'https://login.example.com/t', client_id: x, token_store: file}\n"
    config.write_text(signed + CONFIG.split("\n", 1)[1] % "postgresql://h/d")
    assert run(["targets"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert "sign in to see" in out
    assert "hint: run: dbgate login" in err
    assert run(["policy", "explain", "app", "--offline", "-c", "SELECT 1"]) == EXIT_SIGN_IN


def test_targets_without_configuration(
    dbgate_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DBGATE_CONFIG")
    assert run(["targets"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("notice: no targets are configured\nhint: describe them under targets: in ")


UNMASK = "unmask: [{tags: [pii.ssn], groups: [staff], approval: {groups: [privacy], count: 2, for: 30m}}]\nrules:"


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """The lines of an explanation, by name."""
    assert run(["policy", "explain", "app", "--offline", *arguments]) == EXIT_OK
    lines = (line.partition(":") for line in capsys.readouterr().out.splitlines())
    return {name: value.strip() for name, _, value in lines}


def test_explain_says_what_may_be_opened_and_what_it_would_be(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.write_text(POLICY.replace("rules:", UNMASK, 1))
    sql = ("-c", "SELECT ssn FROM app.users")
    how = "may be opened for 30 min with approval by 2 of privacy"
    assert (
        explained(capsys, *sql)["masked"] == f"app.users.ssn (pii.ssn: partial, last 4; labelled in app.yaml:4; {how})"
    )
    assert "masked" not in explained(capsys, *sql, "--as", "eve@example.com")
    opened = explained(capsys, *sql, "--unmasked", "pii.ssn")
    assert (opened["decision"], opened["masked"]) == ("allow; stopped after 15 min", "-")
    assert opened["in clear"] == "app.users.ssn (pii.ssn, by an approval)"
    assert opened["runs"] == "SELECT ssn FROM app.users"
    assert run(["policy", "explain", "app", "--offline", *sql, "--format", "json"]) == EXIT_OK
    fields = json.loads(capsys.readouterr().out)
    assert fields["openable"][0]["tags"] == ["pii.ssn"]
    assert (fields["openable"][0]["reviewers"], fields["openable"][0]["for_s"]) == (
        [{"groups": ["privacy"], "count": 2}],
        1800,
    )
    assert fields["unmasked"] == []


def test_explain_opens_only_what_could_be_asked_for(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.write_text(POLICY.replace("rules:", UNMASK, 1))
    command = ["policy", "explain", "app", "--offline", "-c", "SELECT ssn FROM app.users"]
    assert run([*command, "--unmasked", "pii.snn"]) == EXIT_USAGE
    assert capsys.readouterr().err == "error: no such tag: pii.snn\nhint: did you mean pii.ssn?\n"
    assert run([*command, "--unmasked", "pii.ssn", "--as", "eve@example.com", "--group", "guests"]) == EXIT_USAGE
    assert capsys.readouterr().err == (
        "error: no unmask entry of the policy lets you ask to see pii.ssn in clear\nhint: your groups: guests\n"
    )
