"""`--unmask` from the command line to the transcript: a real PostgreSQL, a real approvals service, two people."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.approvals.kit import Running, person, running_service
from tests.cli.test_cli_exec import POLICY, WORLD, Desk
from tests.conftest import LiveDatabase

from dbgate.audit import spool
from dbgate.cli.app import run
from dbgate.config import load_settings
from dbgate.model import Identity

ENTRIES = """\
unmask:
  - {tags: [pii.*], groups: [engineering], approval: {groups: [dba], count: 1, for: 30m}}
  - {tags: [finance.*], groups: [engineering], approval: {groups: [cfo], count: 1, for: 10m}}
rules:"""
TWO_TAGS = POLICY.replace("mask:", "  - {columns: [payroll.employees.salary], tag: finance.pay}\nmask:", 1)
UNMASKING = TWO_TAGS.replace("rules:", ENTRIES, 1)
SSN = "SELECT id, ssn, salary FROM payroll.employees WHERE id = 1"
DORA = person("dora", "dba")


class Office(Desk):
    """A desk with an approvals service, and reviewers who use the command line too."""

    service: Running

    def as_reviewer(
        self, *arguments: str, email: str = "dora@example.com", groups: str = "dba"
    ) -> tuple[int, str, str]:
        """Run `dbgate` as somebody else of this machine."""
        mine = os.environ["DBGATE_CONFIG"]
        theirs = self.home / f"{email}.yaml"
        text = (self.home / "config.yaml").read_text()
        ours = "{provider: local, email: ann@example.com, groups: [engineering]}"
        assert ours in text
        theirs.write_text(text.replace(ours, f"{{provider: local, user: {email}, email: {email}, groups: [{groups}]}}"))
        os.environ["DBGATE_CONFIG"] = str(theirs)
        try:
            self.capsys.readouterr()
            code = run(list(arguments))
            captured = self.capsys.readouterr()
            return code, captured.out, captured.err
        finally:
            os.environ["DBGATE_CONFIG"] = mine

    def setup(self, policy: str = UNMASKING) -> None:
        """Write the configuration anew, with the service in it."""
        self.configure(f"approvals: {{url: '{self.service.url}'}}\n", policy)

    def pending(self) -> str:
        """The id of the one request that reviewers see."""
        (found,) = self.service.client(DORA).find(status="pending")
        return found.id


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute(WORLD.format(app=module_database.app_user))
    return module_database


@pytest.fixture
def office(
    dbgate_home: Path,
    world: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Office]:
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBGATE_CONFIG", str(dbgate_home / "config.yaml"))
    (tmp_path / "state").mkdir(mode=0o700)
    lock = spool.try_lock(tmp_path / "state" / spool.SHIP_LOCK, create=True)
    assert lock is not None
    made = Office(dbgate_home, world, capsys)
    with running_service(load_settings().state_dir) as service:
        made.service = service
        made.setup()
        yield made
    made.close()
    os.close(lock)


def test_the_whole_way(office: Office) -> None:
    masked = office.exec("-c", SSN)
    assert (masked.code, masked.out) == (0, "id,ssn,salary\n1,***6001,\n")
    assert "pii.ssn may be opened for 30 min with approval by 1 of dba" in masked.err
    assert "hint: dbgate exec pay … --unmask pii.ssn" in masked.err

    asked = office.exec("--unmask", "pii.ssn", "--reason", "TICKET-42", "-c", SSN)
    name = office.pending()
    assert (asked.code, asked.out) == (4, "")
    assert (
        f"notice: pii.ssn stays masked, approval pending: request {name}: 0 of 1 approvals: needs dba (1)" in asked.err
    )
    assert "hint: once it is approved: dbgate exec pay … --unmask pii.ssn" in asked.err
    assert office.records("statement.intent") == []

    _, shown, _ = office.as_reviewer("requests", "show", name)
    for piece in (
        "asked by          ann@example.com (local, unverified)",
        "reason            TICKET-42",
        "asks to           see pii.ssn in clear for 30 min, in every statement that only reads",
        "target            pay (test)",
        "reviewers         dba (1)",
        "you may           approve, deny",
        "columns in clear\n  payroll.employees.ssn\n",
    ):
        assert piece in shown
    assert "statement" not in shown.replace("in every statement", "")
    _, listed, _ = office.as_reviewer("requests")
    assert "see pii.ssn in clear for 30 min" in listed
    assert office.as_reviewer("requests", "approve", name, "--yes", "--note", "heard the call")[0] == 0

    opened = office.exec("--unmask", "pii.ssn", "-c", SSN)
    assert (opened.code, opened.out) == (0, "id,ssn,salary\n1,123-45-6001,\n")
    assert "notice: pii.ssn is in clear for 30 min, approved by dora@example.com" in opened.err
    resumed = office.exec("--unmask", "pii.ssn", "--request", name, "--format", "json", "-c", SSN)
    assert resumed.json[0]["rows"] == [[1, "123-45-6001", None]]
    assert resumed.json[0]["masked"] == ["salary"]
    assert office.exec("-c", SSN).out == "id,ssn,salary\n1,***6001,\n"


def test_the_records_name_column_and_grant_and_hold_no_value(office: Office) -> None:
    grant_request(office, "pii.ssn")
    sql = "SELECT ssn FROM payroll.employees WHERE ssn = '123-45-6001'"
    done = office.exec("--unmask", "pii.ssn", "-c", sql, "-c", "SELECT full_name FROM payroll.employees WHERE id = 1")
    assert done.out == "ssn\n123-45-6001\nfull_name\nPerson 1\n"
    (redeemed,) = office.records("approval.redeemed")
    first, second = office.records("statement.intent")
    assert first["unmasked"] == [{"column": "payroll.employees.ssn", "tag": "pii.ssn", "grant": redeemed["grant"]}]
    assert "unmasked" not in second
    outcome = office.records("statement.outcome")[0]
    assert (outcome["unmasked"], outcome["digest"], outcome["rows"]) == (["payroll.employees.ssn"], "", 1)
    outputs = [record["text"] for record in office.records("output")]
    assert outputs == [
        "(not kept: it shows payroll.employees.ssn in clear under a grant)\n",
        "full_name\nPerson 1\n",
    ]
    assert "6001" not in json.dumps(office.sessions())


def test_what_else_a_statement_does_stays_masked_or_denied(office: Office) -> None:
    grant_request(office, "pii.ssn")
    unmasked = ("--unmask", "pii.ssn", "-c")
    assert office.exec(*unmasked, "SELECT salary FROM payroll.employees WHERE id = 1").out == "salary\n\n"
    kept = office.exec(*unmasked, "UPDATE payroll.employees SET note = ssn WHERE id = 1")
    assert kept.code == 3
    assert "is for reading only" in kept.err
    assert office.database.query("SELECT note FROM payroll.employees WHERE id = 1") == [(None,)]
    returned = office.exec(*unmasked, "UPDATE payroll.employees SET note = 'seen' WHERE id = 1 RETURNING ssn")
    assert returned.out == "ssn\n***6001\n"
    office.database.execute("UPDATE payroll.employees SET note = NULL")
    assert office.exec(*unmasked, "DROP TABLE payroll.employees").code == 3
    broken = office.exec(*unmasked, "SELECT ssn::int FROM payroll.employees WHERE id = 1")
    assert broken.code == 1
    assert "6001" not in broken.err


def test_two_tags_of_two_entries_need_two_approvals(office: Office) -> None:
    asked = office.exec("--format", "json", "--unmask", "*", "-c", SSN)
    assert asked.code == 4
    assert [entry["status"] for entry in asked.json] == ["pending", "pending"]
    office.as_reviewer("requests", "approve", office.pending(), "--yes")
    half = office.exec("--unmask", "*", "-c", SSN)
    assert (half.code, half.out) == (4, "")
    assert office.exec("--unmask", "pii.*", "-c", SSN).out == "id,ssn,salary\n1,123-45-6001,\n"
    money = next(entry["request"] for entry in asked.json if entry["request"] in half.err)
    assert office.as_reviewer("requests", "approve", money, "--yes")[0] == 2
    assert office.as_reviewer("requests", "approve", money, "--yes", email="carl@example.com", groups="cfo")[0] == 0
    assert office.exec("--unmask", "*", "-c", SSN).out == "id,ssn,salary\n1,123-45-6001,1000.00\n"


def test_nobody_approves_their_own(office: Office) -> None:
    office.exec("--unmask", "pii.ssn", "-c", SSN)
    name = office.pending()
    assert run(["requests", "approve", name, "--yes"]) == 3
    assert office.as_reviewer("requests", "approve", name, "--yes", email="ann@example.com")[0] == 3
    assert office.exec("--unmask", "pii.ssn", "-c", SSN).code == 4


@pytest.mark.parametrize(("action", "status"), [("deny", "denied"), ("revoke", "revoked")])
def test_what_is_denied_or_revoked_opens_nothing(office: Office, action: str, status: str) -> None:
    office.exec("--unmask", "pii.ssn", "-c", SSN)
    name = office.pending()
    if action == "revoke":
        office.as_reviewer("requests", "approve", name, "--yes")
    assert office.as_reviewer("requests", action, name, "--note", "not today")[0] == 0
    done = office.exec("--unmask", "pii.ssn", "--request", name, "-c", SSN)
    assert (done.code, done.out) == (4, "")
    assert f"pii.ssn stays masked: request {name} was {status}" in done.err
    assert office.records(f"approval.{status}")[0]["request"] == name


def test_a_changed_policy_needs_a_new_approval(office: Office) -> None:
    name = grant_request(office, "pii.ssn")
    office.setup(UNMASKING + "# changed\n")
    done = office.exec("--unmask", "pii.ssn", "-c", SSN)
    assert (done.code, done.out) == (4, "")
    assert office.pending() != name
    assert office.exec("--unmask", "pii.ssn", "--request", name, "-c", SSN).code == 4
    office.setup(POLICY)
    taken_back = office.exec("--unmask", "pii.ssn", "-c", SSN)
    assert (taken_back.code, taken_back.out) == (3, "")
    assert "denied: no unmask entry of the policy lets you ask to see pii.ssn in clear" in taken_back.err


def test_an_approval_is_for_one_person_and_one_target(office: Office) -> None:
    grant_request(office, "pii.ssn")
    code, out, _ = office.as_reviewer(
        "exec", "pay", "--unmask", "pii.ssn", "-c", SSN, email="eve@example.com", groups="engineering"
    )
    assert (code, out) == (4, "")
    text = (office.home / "config.yaml").read_text()
    (office.home / "config.yaml").write_text(text.replace("  pay:", "  twin:"))
    done = office.exec("--unmask", "pii.ssn", "-c", SSN, target="twin")
    assert (done.code, done.out) == (4, "")


def test_neither_kind_of_request_serves_as_the_other(office: Office) -> None:
    name = grant_request(office, "pii.ssn")
    update = "UPDATE payroll.pay SET amount = amount + 1 WHERE id <= 5"
    wrong = office.exec("--request", name, "-c", update)
    assert wrong.code == 2
    assert f"error: request {name} is to see tags in clear, not to run a statement" in wrong.err
    office.exec("--no-wait", "-c", update)
    statement = office.pending()
    office.as_reviewer("requests", "approve", statement, "--yes")
    office.as_reviewer("requests", "revoke", name)
    mixed = office.exec("--unmask", "pii.ssn", "--request", statement, "-c", SSN)
    assert (mixed.code, mixed.out) == (4, "")


def test_a_tag_nobody_knows_and_one_that_is_not_offered(office: Office) -> None:
    wrong = office.exec("--unmask", "pii.snn", "-c", SSN)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == "error: no such tag: pii.snn\nhint: did you mean pii.ssn?\n"
    assert office.records("notice")[0]["text"] == "no such tag: pii.snn"
    office.setup(UNMASKING.replace("tags: [finance.*], groups: [engineering]", "tags: [finance.*], groups: [payroll]"))
    assert office.exec("--unmask", "finance.pay", "-c", SSN).code == 3


def test_a_dry_run_asks_nobody(office: Office) -> None:
    done = office.exec("--dry-run", "--unmask", "pii.ssn", "-c", SSN)
    assert (done.code, done.out) == (4, "")
    assert "1 of dba would have to approve; nobody was asked" in done.err
    assert office.service.client(DORA).find() == []


def test_the_environment_gives_tags(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBGATE_UNMASK", "pii.ssn finance.pay")
    assert office.exec("-c", SSN).code == 4
    assert len(office.service.client(me()).find(role="mine")) == 2


def test_a_run_waits_for_its_approval(office: Office) -> None:
    process = office.start("--wait", "60", "--unmask", "pii.ssn", "-c", SSN)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("notice: waiting for approval of request "), line
    office.as_reviewer("requests", "approve", office.pending(), "--yes")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "id,ssn,salary\n1,123-45-6001,\n")
    assert "pii.ssn is in clear" in err


def me() -> Identity:
    from dbgate.identity import current_identity

    return current_identity(load_settings())


def grant_request(office: Office, tag: str) -> Any:
    """Ask for a tag, and have it approved; the request's id."""
    assert office.exec("--unmask", tag, "-c", SSN).code == 4
    name = office.pending()
    assert office.as_reviewer("requests", "approve", name, "--yes")[0] == 0
    return name
