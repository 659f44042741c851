"""A run is held to what was approved, table by table: what keys, triggers and functions change along counts as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import psycopg
import pytest
from tests.cli.reviewing import DORA, Reviewed, reviewed
from tests.cli.test_cli_exec import WORLD
from tests.conftest import LiveDatabase

from dbgate.database.connection import Connection

HEAD = """
version: 1
rules:
  - {id: read, when: {access: read}, effect: allow}
"""
POLICY = HEAD + "  - {id: care, when: {access: write}, effect: approve, reviewers: [{groups: [dba]}]}\n"
UPDATES = HEAD + (
    "  - {id: write, when: {verbs: insert}, effect: allow}\n"
    "  - {id: care, when: {verbs: update}, effect: approve, reviewers: [{groups: [dba]}]}\n"
)
COMMIT = HEAD + (
    "  - {id: write, when: {verbs: insert}, effect: allow}\n"
    "  - {id: care, when: {verbs: [update, delete]}, effect: approve, reviewers: [{groups: [dba]}], at: commit}\n"
)

TRIGGERS = """
DROP TABLE IF EXISTS payroll.log;
CREATE TABLE payroll.log (id bigint GENERATED ALWAYS AS IDENTITY, what text);
CREATE OR REPLACE FUNCTION payroll.write_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO payroll.log (what) SELECT TG_OP FROM generate_series(1, TG_ARGV[0]::int);
  RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER logged AFTER UPDATE OR DELETE ON payroll.pay FOR EACH ROW EXECUTE FUNCTION payroll.write_log(%s);
"""
UPDATE = "UPDATE payroll.pay SET amount = 11 WHERE id <= 5"


@pytest.fixture
def desk(
    dbgate_home: Path,
    database: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reviewed]:
    database.execute(WORLD.format(app=database.app_user))
    with reviewed(dbgate_home, database, capsys, tmp_path, monkeypatch) as made:
        made.setup(POLICY)
        yield made


def test_rows_that_came_since_are_not_taken_along(desk: Reviewed) -> None:
    text = "DELETE FROM payroll.employees WHERE id = 5"
    name = desk.approved(text)
    desk.database.execute("INSERT INTO payroll.pay SELECT 500 + n, 5, 10 FROM generate_series(1, 4) n")
    done = desk.exec("--request", name, "-c", text)
    assert done.code == 3
    assert "it touches 7 rows of payroll.pay now, and was approved for 3" in done.err
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE employee = 5") == [(7,)]


RUNS = {"BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SAVEPOINT dbgate_grant"}
"""How dbgate begins to run a statement whose rows are limited."""


class Racer:
    """Another session, which adds rows in the moment after dbgate has counted for the last time."""

    def __init__(self, desk: Reviewed, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk, self.armed, self.raced = desk, False, 0
        real = Connection.execute_unrecorded
        count = Connection.count

        def begins(connection: Connection, text: str) -> None:
            real(connection, text)
            self.armed = self.armed or text in RUNS

        def counts(connection: Connection, text: str, parameters: Sequence[str | None] = ()) -> int:
            rows = count(connection, text, parameters)
            if self.armed and "payroll.pay" in text:
                self.raced += 1
                with psycopg.connect(desk.database.dsn) as other:
                    other.execute(f"INSERT INTO payroll.pay VALUES ({500 + self.raced}, 5, 10)")
            return rows

        monkeypatch.setattr(Connection, "execute_unrecorded", begins)
        monkeypatch.setattr(Connection, "count", counts)


@pytest.mark.parametrize("around", [("", ""), ("BEGIN; ", "; COMMIT")])
def test_a_row_that_comes_between_counting_and_running_is_not_taken_along(
    desk: Reviewed, monkeypatch: pytest.MonkeyPatch, around: tuple[str, str]
) -> None:
    text = "DELETE FROM payroll.employees WHERE id = 5"
    name = desk.approved(text)
    racer = Racer(desk, monkeypatch)
    before, after = around
    done = desk.exec("--request", name, "-c", f"{before}{text}{after}")
    assert racer.raced == 1, "the other session came too late, or too often"
    assert done.code in {1, 3}, done.err
    assert "could not serialize access" in done.err or "payroll.pay" in done.err
    assert desk.database.query("SELECT count(*) FROM payroll.employees WHERE id = 5") == [(1,)]
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE employee = 5") == [(4,)]
    assert desk.records("statement.outcome")[-1]["status"] in {"error", "rolled back"}


def test_a_row_that_comes_after_a_rule_on_rows_was_not_met_rolls_back(
    desk: Reviewed, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.setup(HEAD + (
        "  - {id: write, when: {access: write}, effect: allow}\n"
        '  - {id: bulk, when: {verbs: delete, rows: ">4"}, effect: approve, reviewers: [{groups: [dba]}]}\n'
    ))  # fmt: skip
    racer = Racer(desk, monkeypatch)
    done = desk.exec("--no-wait", "-c", "DELETE FROM payroll.employees WHERE id = 5")
    assert racer.raced == 1, "the other session came too late, or too often"
    assert done.code in {3, 4}, done.err
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE employee = 5") == [(4,)]
    assert desk.database.query("SELECT count(*) FROM payroll.employees WHERE id = 5") == [(1,)]


def test_what_triggers_write_is_counted_and_recorded(desk: Reviewed) -> None:
    desk.database.execute(TRIGGERS % 1)
    name = desk.approved(UPDATE)
    done = desk.exec("--request", name, "-c", UPDATE)
    assert (done.code, desk.total()) == (0, 305), done.err
    assert desk.records("statement.outcome")[-1]["changed"] == {"payroll.log": 5, "payroll.pay": 5}


def test_triggers_that_change_more_than_was_approved_are_rolled_back(desk: Reviewed) -> None:
    desk.database.execute(TRIGGERS % 2)
    name = desk.approved(UPDATE)
    done = desk.exec("--request", name, "-c", UPDATE)
    assert (done.code, desk.total()) == (3, 300)
    assert done.err == (
        "denied: triggers or functions may change as many rows of a table as were approved in all, 5, "
        "but they changed 10 of payroll.log: rolled back\nhint: run it again to ask for a new approval\n"
    )
    assert desk.database.query("SELECT count(*) FROM payroll.log") == [(0,)]
    outcome = desk.records("statement.outcome")[-1]
    assert (outcome["status"], outcome["message"]) == ("rolled back", "10 rows of payroll.log, approved for 5")


def test_a_trigger_that_changes_the_table_itself_again_is_rolled_back(desk: Reviewed) -> None:
    desk.database.execute("""
        CREATE FUNCTION payroll.more() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN UPDATE payroll.pay SET amount = amount + 100 WHERE id > 5; RETURN NULL; END $$;
        CREATE TRIGGER more AFTER UPDATE ON payroll.pay FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
        EXECUTE FUNCTION payroll.more()""")
    name = desk.approved(UPDATE)
    done = desk.exec("--request", name, "-c", UPDATE)
    assert (done.code, desk.total()) == (3, 300)
    assert "approved for 5 rows of payroll.pay but touches 30: rolled back" in done.err


def test_in_an_open_transaction_only_the_statement_is_undone(desk: Reviewed) -> None:
    desk.database.execute(TRIGGERS % 2)
    desk.setup(UPDATES)
    name = desk.approved(UPDATE)
    done = desk.exec(
        *("--request", name, "--keep-going"),
        *("-c", "BEGIN; INSERT INTO payroll.pay VALUES (900, 1, 7)"),
        *("-c", UPDATE),
        *("-c", "COMMIT"),
    )
    assert done.code == 3
    assert desk.total() == 307


def test_a_statement_that_nobody_approves_rolls_its_transaction_back(desk: Reviewed) -> None:
    desk.setup(UPDATES)
    done = desk.exec(
        "--no-wait", "--keep-going", "-c", f"BEGIN; INSERT INTO payroll.pay VALUES (900, 1, 7); {UPDATE}; COMMIT"
    )
    assert (done.code, desk.total()) == (4, 300)
    assert "notice: the transaction was rolled back: nothing that it did is kept\n" in done.err


def test_a_commit_waits_for_the_approval_of_its_transaction(desk: Reviewed) -> None:
    desk.setup(COMMIT)
    script = (
        f"BEGIN; INSERT INTO payroll.pay VALUES (900, 1, 7); {UPDATE}; DELETE FROM payroll.pay WHERE id = 30; COMMIT"
    )
    done = desk.exec("--format", "json", "--no-wait", "-c", script)
    assert (done.code, desk.total()) == (4, 300)
    assert "notice: the transaction was rolled back: nothing that it did is kept\n" in done.err
    name = str(done.json[-1]["request"])
    view = desk.service.client(DORA).state(name).view
    assert (view["kind"], view["verb"]) == ("transaction", "commit")
    assert view["statement"] == (
        f"INSERT INTO payroll.pay VALUES (900, 1, 7);\n{UPDATE};\nDELETE FROM payroll.pay WHERE id = 30;\n"
    )
    assert view["measured"] == {"payroll.pay": 7}
    desk.service.client(DORA).decide(name, "approve")
    again = desk.exec("--request", name, "-c", script)
    assert (again.code, desk.total()) == (0, 300 + 7 + 5 - 10), again.err
    assert desk.records("approval.redeemed")[0]["request_kind"] == "transaction"
    used = desk.exec("--request", name, "-c", script.replace("900", "901"))
    assert (used.code, desk.total()) == (4, 302)


def test_another_transaction_is_not_the_approved_one(desk: Reviewed) -> None:
    desk.setup(COMMIT)
    done = desk.exec("--format", "json", "--no-wait", "-c", f"BEGIN; {UPDATE}; COMMIT")
    name = str(done.json[-1]["request"])
    desk.service.client(DORA).decide(name, "approve")
    for script in (
        f"BEGIN; {UPDATE}; DELETE FROM payroll.pay WHERE id = 30; COMMIT",
        f"BEGIN; DELETE FROM payroll.pay WHERE id = 30; {UPDATE}; COMMIT",
        f"BEGIN; {UPDATE}; SAVEPOINT a; {UPDATE}; ROLLBACK TO SAVEPOINT a; COMMIT",
    ):
        other = desk.exec("--request", name, "--no-wait", "-c", script)
        assert (other.code, desk.total()) == (4, 300), script
        assert "it is for another transaction, target or policy" in other.err
    assert [asked.id for asked in desk.service.client(DORA).find(role="review")] == [name]


def test_a_transaction_that_changes_more_rows_by_now_is_not_committed(desk: Reviewed) -> None:
    desk.setup(COMMIT)
    script = "BEGIN; UPDATE payroll.pay SET amount = 11 WHERE employee = 1; COMMIT"
    name = str(desk.exec("--format", "json", "--no-wait", "-c", script).json[-1]["request"])
    desk.service.client(DORA).decide(name, "approve")
    desk.database.execute("INSERT INTO payroll.pay SELECT 600 + n, 1, 10 FROM generate_series(1, 3) n")
    done = desk.exec("--request", name, "-c", script)
    assert (done.code, desk.total()) == (3, 330)
    assert "it touches 6 rows of payroll.pay now, and was approved for 3" in done.err
    assert "the transaction was rolled back" in done.err


@pytest.mark.parametrize(
    "script",
    [f"BEGIN; {UPDATE}; END", f"BEGIN; {UPDATE}; COMMIT AND CHAIN", f"START TRANSACTION; {UPDATE}; COMMIT WORK"],
)
def test_every_way_to_commit_waits(desk: Reviewed, script: str) -> None:
    desk.setup(COMMIT)
    assert desk.exec("--no-wait", "-c", script).code == 4
    assert desk.total() == 300


def test_what_is_read_is_not_put_off(desk: Reviewed) -> None:
    desk.setup(
        COMMIT.replace("verbs: [update, delete]", "tables: [payroll.employees]").replace(
            "access: read", "tables: [payroll.pay]"
        )
    )
    done = desk.exec("--no-wait", "-c", "BEGIN; SELECT full_name FROM payroll.employees; COMMIT")
    assert (done.code, done.out) == (4, "")
    assert "approval pending" in done.err


def test_truncate_is_counted_and_held_to_it(desk: Reviewed) -> None:
    desk.database.execute(f"GRANT TRUNCATE ON payroll.pay TO {desk.database.app_user}")
    name = desk.approved("TRUNCATE payroll.pay")
    assert desk.service.client(DORA).state(name).view["measured"] == {"payroll.pay": 30}
    desk.database.execute("INSERT INTO payroll.pay VALUES (700, 1, 1)")
    more = desk.exec("--request", name, "-c", "TRUNCATE payroll.pay")
    assert (more.code, desk.total()) == (3, 301)
    desk.database.execute("DELETE FROM payroll.pay WHERE id = 700")
    assert desk.exec("--request", desk.approved("TRUNCATE payroll.pay"), "-c", "TRUNCATE payroll.pay").code == 0
    assert desk.database.query("SELECT count(*) FROM payroll.pay") == [(0,)]


def test_prepared_statements_are_not_held(desk: Reviewed) -> None:
    desk.setup(COMMIT)
    done = desk.exec("--no-wait", "-c", f"BEGIN; PREPARE p AS {UPDATE}; EXECUTE p; COMMIT")
    assert (done.code, desk.total()) == (3, 300)


def test_outside_of_a_transaction_the_statement_itself_waits(desk: Reviewed) -> None:
    desk.setup(COMMIT)
    done = desk.exec("--no-wait", "-c", UPDATE)
    assert (done.code, desk.total()) == (4, 300)
    assert "approval pending" in done.err


def test_a_transaction_without_such_statements_commits(desk: Reviewed) -> None:
    desk.setup(COMMIT)
    assert desk.exec("--no-wait", "-c", "BEGIN; INSERT INTO payroll.pay VALUES (900, 1, 7); COMMIT").code == 0
    rolled = desk.exec(
        "--no-wait", "-c", f"BEGIN; {UPDATE}; ROLLBACK; BEGIN; INSERT INTO payroll.pay VALUES (901, 1, 7); COMMIT"
    )
    assert (rolled.code, desk.total()) == (0, 314)
