"""What an approval is good for: several runs, a session, or none because the glass was broken. All against the real parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.approvals.kit import person
from tests.cli.reviewing import DORA, Reviewed, reviewed
from tests.cli.test_cli_exec import WORLD
from tests.conftest import LiveDatabase

from dbgate.cli.app import run as dbgate

HEAD = """
version: 1
classify:
  - {columns: [payroll.employees.ssn], tag: pii.ssn}
mask:
  pii.ssn: {method: partial, last: 4}
rules:
  - {id: read, when: {access: read}, effect: allow}
"""
FIVE = HEAD + "  - {id: bulk, when: {verbs: update}, effect: approve, reviewers: [{groups: [dba]}], uses: 3}\n"
SESSION = HEAD + (
    "  - {id: care, when: {verbs: [update, delete]}, effect: approve, reviewers: [{groups: [dba]}],"
    " grant: session, for: 1h, statements: 3, rows: 40}\n"
)
GLASS = HEAD + (
    "  - {id: care, when: {verbs: [update]}, effect: approve, reviewers: [{groups: [dba]}],"
    " break_glass: {groups: [engineering]}}\n"
)
UPDATE = "UPDATE payroll.pay SET amount = amount + 1"


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute(WORLD.format(app=module_database.app_user))
    return module_database


@pytest.fixture
def desk(
    dbgate_home: Path,
    world: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reviewed]:
    with reviewed(dbgate_home, world, capsys, tmp_path, monkeypatch) as made:
        world.execute("UPDATE payroll.pay SET amount = 10")
        yield made


def test_a_statement_runs_as_often_as_was_approved_and_not_once_more(desk: Reviewed) -> None:
    desk.setup(FIVE)
    name = desk.approved(UPDATE)
    for times in (1, 2, 3):
        done = desk.exec("--no-wait", "-c", UPDATE)
        assert (done.code, desk.total()) == (0, 300 + 30 * times), done.err
    history = [event["kind"] for event in desk.service.client(DORA).history(name)]
    assert history == ["requested", "approval", "approved", "used", "used", "redeemed"]
    again = desk.exec("--request", name, "-c", UPDATE)
    assert (again.code, desk.total()) == (4, 390)
    assert f"request {name} was redeemed" in again.err
    anew = desk.exec("--no-wait", "-c", UPDATE)
    assert (anew.code, name in anew.err, desk.total()) == (4, False, 390)


def test_a_reviewer_sees_for_how_many_runs(desk: Reviewed) -> None:
    desk.setup(FIVE)
    name = str(desk.exec("--format", "json", "--no-wait", "-c", UPDATE).json[0]["request"])
    assert dbgate(["requests", "show", name]) == 0
    assert "good for          3 runs, 3 left\n" in desk.capsys.readouterr().out


def test_a_session_passes_its_rule_within_limits(desk: Reviewed) -> None:
    desk.setup(SESSION)
    one = "UPDATE payroll.pay SET amount = 11 WHERE id <= 10"
    asked = desk.exec("--format", "json", "--no-wait", "-c", one)
    name = str(asked.json[0]["request"])
    assert (asked.code, desk.total()) == (4, 300)
    desk.service.client(DORA).decide(name, "approve")
    more = [
        "UPDATE payroll.pay SET amount = 12 WHERE id <= 10",
        "DELETE FROM payroll.pay WHERE id = 1000",
        "UPDATE payroll.pay SET amount = 13 WHERE id <= 10",
    ]
    done = desk.exec("--request", name, "--no-wait", *(f"-c{text}" for text in (one, *more)))
    assert (done.code, desk.total()) == (4, 320)
    assert (
        "notice: what care asks approval for runs in this session, at most 3 statements and 40 rows, for 1 h"
        in done.err
    )
    intents = desk.records("statement.intent")
    grant = desk.records("approval.redeemed")[0]["grant"]
    assert [intent.get("session_grants") for intent in intents] == [[grant], [grant], [grant], None]
    assert [outcome["status"] for outcome in desk.records("statement.outcome")] == [
        "UPDATE 10",
        "UPDATE 10",
        "DELETE 0",
        "not run",
    ]


def test_a_session_may_touch_no_more_rows_than_are_left(desk: Reviewed) -> None:
    desk.setup(SESSION)
    name = desk.approved("UPDATE payroll.pay SET amount = 11 WHERE id <= 25")
    done = desk.exec(
        *("--request", name, "--no-wait"),
        *("-c", "UPDATE payroll.pay SET amount = 11 WHERE id <= 25"),
        *("-c", "UPDATE payroll.pay SET amount = 12 WHERE id <= 16"),
    )
    assert (done.code, desk.total()) == (4, 325)
    assert [intent["decision"] for intent in desk.records("statement.intent")] == ["allow", "approve"]


def test_a_session_grant_is_one_session_s(desk: Reviewed) -> None:
    desk.setup(SESSION)
    one = "UPDATE payroll.pay SET amount = 11 WHERE id = 1"
    name = desk.approved(one)
    assert desk.exec("--request", name, "-c", one).code == 0
    other = desk.exec("--request", name, "--no-wait", "-c", one)
    assert other.code == 4
    assert f"request {name} cannot be used: it is already in use by a session" in other.err


def test_a_session_grant_that_was_revoked_opens_no_session(desk: Reviewed) -> None:
    desk.setup(SESSION)
    one = "UPDATE payroll.pay SET amount = 11 WHERE id = 1"
    name = desk.approved(one)
    desk.service.client(DORA).decide(name, "revoke", "wrong week")
    done = desk.exec("--request", name, "--no-wait", "-c", one)
    assert (done.code, desk.total()) == (4, 300)
    assert f"request {name} was revoked by dora@example.com (local, unverified): wrong week" in done.err


def test_the_glass_is_broken_with_a_reason_only(desk: Reviewed) -> None:
    desk.setup(GLASS)
    without = desk.exec("-c", UPDATE)
    assert (without.code, desk.total()) == (2, 300)
    assert without.err == (
        "error: breaking the glass needs a reason: it runs at once, and is reviewed afterwards\n"
        "hint: give one with --reason TEXT\n"
    )
    done = desk.exec("--reason", "payments stand still", "-c", UPDATE)
    assert (done.code, desk.total()) == (0, 330), done.err
    name = str(desk.records("approval.redeemed")[0]["request"])
    assert f"request {name} is due for review" in done.err
    due = desk.service.client(DORA).state(name)
    assert (due.status, due.kind, due.view["reason"]) == ("review-due", "break-glass", "payments stand still")
    assert due.view["may"] == ["approve", "deny"]
    assert due.summary.endswith("without approval (break-glass): the review of dba (1) is due")
    assert desk.service.client(DORA).decide(name, "approve", "right so").status == "reviewed"


def test_who_asks_again_with_another_reason_reads_which_one_stands(desk: Reviewed) -> None:
    desk.setup(FIVE)
    first = desk.exec("--no-wait", "-c", UPDATE)
    name = first.err.split("approval pending: request ")[1][:16]
    again = desk.exec("--no-wait", "--reason", "TICKET-42", "-c", UPDATE)
    assert again.err.startswith(
        f"notice: request {name} is open already, and its reason stands: (none)\n"
        f"hint: to ask anew with yours: dbgate requests withdraw {name}\n"
    )
    assert dbgate(["requests", "withdraw", name]) == 0
    anew = desk.exec("--no-wait", "--reason", "TICKET-42", "-c", UPDATE)
    same = desk.exec("--no-wait", "--reason", "TICKET-42", "-c", UPDATE)
    assert "its reason stands" not in anew.err + same.err


@pytest.mark.parametrize("reason", [(), ("--reason", "TICKET-42")])
def test_a_request_that_is_named_is_used_and_no_glass_broken(desk: Reviewed, reason: tuple[str, ...]) -> None:
    desk.setup(GLASS.replace("groups: [engineering]}", "groups: [oncall]}"))
    name = desk.approved(UPDATE)
    config = desk.home / "config.yaml"
    config.write_text(config.read_text().replace("[engineering]", "[engineering, oncall]"))
    done = desk.exec("--request", name, *reason, "-c", UPDATE)
    assert (done.code, desk.total()) == (0, 330), done.err
    assert desk.records("approval.redeemed")[-1]["request"] == name
    assert desk.service.client(DORA).find(status="review-due") == []


def test_who_is_in_no_such_group_asks_as_usual(desk: Reviewed) -> None:
    desk.setup(GLASS.replace("groups: [engineering]}", "groups: [oncall]}"))
    done = desk.exec("--reason", "payments stand still", "--no-wait", "-c", UPDATE)
    assert (done.code, desk.total()) == (4, 300)
    assert "approval pending" in done.err


def test_nothing_runs_while_nobody_can_be_alerted(desk: Reviewed) -> None:
    desk.setup(GLASS)
    desk.configure("approvals: {url: 'http://127.0.0.1:1'}\n", GLASS)
    done = desk.exec("--reason", "payments stand still", "-c", UPDATE)
    assert (done.code, desk.total()) == (7, 300)


def test_reviews_that_are_due_are_listed(desk: Reviewed) -> None:
    desk.setup(GLASS)
    assert desk.exec("--reason", "payments stand still", "-c", UPDATE).code == 0
    found = desk.service.client(person("dora", "dba")).find(status="review-due")
    assert [state.status for state in found] == ["review-due"]
    assert dbgate(["requests"]) == 0
    assert "review-due" in desk.capsys.readouterr().out


def test_scripts_read_the_request_in_both_forms_of_json(desk: Reviewed) -> None:
    desk.setup(FIVE)
    whole = desk.exec("--format", "json", "--no-wait", "-c", UPDATE)
    lines = desk.exec("--format", "ndjson", "--no-wait", "-c", f"SELECT 1 AS one; {UPDATE}")
    assert (whole.code, lines.code) == (4, 4)
    [told] = whole.json
    row, waits = map(json.loads, lines.out.splitlines())
    assert row == {"one": 1}
    assert (waits["status"], waits["request"]) == ("pending", told["request"])
    assert waits["error"]["kind"] == told["error"]["kind"] == "pending"


def test_waiting_ends_in_time_and_the_request_stays(desk: Reviewed) -> None:
    desk.setup(FIVE)
    done = desk.exec("--wait", "1s", "-c", UPDATE)
    assert (done.code, done.out) == (4, "")
    assert "notice: waiting for approval of request" in done.err
    assert "notice: approval pending: request" in done.err
    name = done.err.split("approval pending: request ")[1][:16]
    desk.service.client(DORA).decide(name, "approve")
    assert desk.exec("--request", name, "-c", UPDATE).code == 0
