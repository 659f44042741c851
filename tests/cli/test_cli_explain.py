"""`dbgate policy explain` on denials, filters, several statements and faults: what it says to whom."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dbgate.cli.app import run
from dbgate.errors import EXIT_OK, EXIT_STATEMENT

POLICY = """\
version: 1
classify: [{columns: ["app.users.ssn"], tag: pii.ssn}]
rows: [{table: app.users, where: "region = 'EU'"}]
rules:
  - {id: read, when: {groups: [staff], access: read}, effect: allow}
  - {id: write, when: {groups: [staff], access: write, tables: ["app.*"]}, effect: allow}
  - {id: blanket, when: {verbs: [update, delete], where: missing}, effect: deny, message: "Say which rows."}
  - {id: agents, when: {actor: agent, access: write}, effect: deny}
  - {id: freeze, when: {verbs: merge, inside: "Mon-Sun 00:00-24:00 Europe/Berlin"}, effect: deny}
  - {id: small, when: {groups: [staff], verbs: insert, rows: ">5"}, effect: approve, reviewers: [{groups: [staff], count: 1}]}
  - {id: huge, when: {verbs: insert, rows: ">=50"}, effect: deny}
  - {id: secret, when: {tags: ["pii.*"], groups: [interns]}, effect: deny}
  - {id: drop, when: {verbs: drop}, effect: deny, message: "Never."}
limits: {rows: 1000, statement_timeout: 2m}
"""


@pytest.fixture
def app(dbgate_home: Path) -> Path:
    (dbgate_home / "app.yaml").write_text(POLICY)
    (dbgate_home / "config.yaml").write_text(
        "identity: {provider: local, email: ann@example.com, groups: [staff]}\n"
        'targets: {app: {engine: postgres, dsn: "postgresql://127.0.0.1:1/x", policy: app.yaml}}\n'
    )
    return dbgate_home / "app.yaml"


def explained(capsys: pytest.CaptureFixture[str], sql: str, *options: str) -> dict[str, str]:
    assert run(["policy", "explain", "app", "--offline", "-c", sql, *options]) == EXIT_OK
    lines = (line.partition(":") for line in capsys.readouterr().out.splitlines())
    return {name: value.strip() for name, _, value in lines}


@pytest.mark.parametrize(
    ("sql", "options", "way"),
    [
        ("DELETE FROM app.users", [], "a WHERE that leaves rows out (blanket)"),
        ("DELETE FROM app.users WHERE id = 1", ["--actor", "agent", "--group", "staff"], "being no agent (agents)"),
        ("DROP TABLE app.users", [], "nothing: drop denies every drop, and no approval lifts it"),
        ("INSERT INTO app.t VALUES (1)", ["--rows", "60"], "other than >=50 rows (huge)"),
        ("SELECT ssn FROM app.users", ["--group", "interns"], "leaving out the columns labelled pii.ssn or not being in interns (secret)"),
        ("MERGE INTO app.t USING app.s ON t.a = s.a WHEN MATCHED THEN DO NOTHING", [],
         "another time than Mon, Tue, Wed, Thu, Fri, Sat, Sun 00:00-24:00 Europe/Berlin (freeze)"),
        ("GRANT SELECT ON app.users TO bob", [], "a rule with effect: allow for grant on app.users; the policy has none for anybody"),
        ("SELECT nosuch(1)", [], "check the name with \\df; functions: {allow: [schema.name(types)]} in the policy allows a function of your own"),
    ],
)  # fmt: skip
def test_denials_say_what_would_pass(
    app: Path, capsys: pytest.CaptureFixture[str], sql: str, options: list[str], way: str
) -> None:
    found = explained(capsys, sql, *options)
    assert found["decision"].startswith("deny: ")
    assert found["to pass"] == way
    assert found["runs"] == "nothing"
    assert "masked" not in found


def test_those_who_may_not_read_hear_who_may(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        explained(capsys, "SELECT 1 FROM app.t", "--group", "guests")["to pass"] == f"being in staff (read ({app}:5))"
    )


def test_rows_turn_decisions(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "INSERT INTO app.t VALUES (1)")
    assert found["decision"] == (
        "depends on the rows that it touches: up to 5 rows: allow; 6 to 49 rows: approve, by 1 of staff; more than 49 rows: deny"
    )
    assert found["runs"] == "say --rows N to see what runs for so many rows"
    asked = explained(capsys, "INSERT INTO app.t VALUES (1)", "--rows", "9")
    assert asked["to pass"].endswith("you are in staff, but nobody approves their own")


def test_filters_limits_and_comparisons_are_told(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys, "SELECT id FROM app.users WHERE ssn LIKE '9%'")
    assert found["decision"] == "allow, masked and rows filtered; at most 1,000 rows, stopped after 2 min"
    assert found["masked"] == "app.users.ssn (pii.ssn: redact; labelled in app.yaml:2; compared on its mask)"
    assert found["rows"] == "app.users only where region = 'EU' (app.yaml:3)"


def test_several_statements_are_told_apart(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "explain", "app", "--offline", "-c", "SELECT 1; DROP TABLE app.users"]) == EXIT_OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "statement 1 of 2: SELECT 1"
    assert lines[5:8] == ["runs:     SELECT 1", "", "statement 2 of 2: DROP TABLE app.users"]


def test_a_fault_is_shown_in_its_place_and_the_others_go_on(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["policy", "explain", "app", "--offline", "-c", "SELECT 1 FORM x y z", "-c", "SELECT 2"]
    assert run(options) == EXIT_STATEMENT
    out, err = capsys.readouterr()
    assert err.splitlines()[1] == "LINE 1: SELECT 1 FORM x y z"
    assert err.splitlines()[2].endswith("^")
    assert out.splitlines()[-1] == "runs:     SELECT 2"
    assert run([*options, "--format", "json"]) == EXIT_STATEMENT
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["decision"], second["decision"], second["runs"]) == ("error", "allow", "SELECT 2")


def test_a_terminal_gets_colours_for_the_decision_and_the_statement(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(["policy", "explain", "app", "--offline", "-c", "SELECT id FROM app.users"]) == EXIT_OK
    out = capsys.readouterr().out
    assert out.startswith("decision: \x1b[32mallow\x1b[0m, ")
    assert "\x1b[" in out.splitlines()[-1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(["policy", "explain", "app", "--offline", "-c", "SELECT id FROM app.users"]) == EXIT_OK
    assert "\x1b" not in capsys.readouterr().out


def test_json_tells_the_same(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["policy", "explain", "app", "--offline", "--format", "json", "-c"]
    assert run([*command, "SELECT ssn FROM app.users"]) == EXIT_OK
    found = json.loads(capsys.readouterr().out)
    assert found["masked"] == [
        {
            "column": "app.users.ssn",
            "tag": "pii.ssn",
            "method": "redact",
            "labelled": [{"file": str(app), "line": 2}],
            "compared": False,
        }
    ]
    assert found["limits"] == {"rows": 1000, "statement_timeout_s": 120.0}
    assert run([*command, "DROP TABLE app.users"]) == EXIT_OK
    assert json.loads(capsys.readouterr().out)["to_pass"] == [
        "nothing: drop denies every drop, and no approval lifts it"
    ]
