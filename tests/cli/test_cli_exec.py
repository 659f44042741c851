"""`dbgate exec` against a real PostgreSQL: what goes to stdout, to stderr and on record, and every exit code."""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.approvals.kit import person, running_service
from tests.conftest import LiveDatabase

from dbgate.audit import spool
from dbgate.cli.app import run
from dbgate.config import load_settings
from dbgate.identity import current_identity

WORLD = """
CREATE SCHEMA payroll;
CREATE TABLE payroll.employees (
  id integer PRIMARY KEY, full_name text NOT NULL, ssn text, salary numeric(10, 2), note text);
CREATE TABLE payroll.pay (
  id integer PRIMARY KEY, employee integer NOT NULL REFERENCES payroll.employees ON DELETE CASCADE, amount numeric);
INSERT INTO payroll.employees SELECT n, 'Person ' || n, '123-45-' || 6000 + n, 1000 * n FROM generate_series(1, 9) n;
INSERT INTO payroll.pay SELECT n, 1 + n % 9, 10 FROM generate_series(1, 30) n;
GRANT USAGE ON SCHEMA payroll TO {app};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA payroll TO {app};
"""

POLICY = """
version: 1
classify:
  - {columns: [payroll.employees.ssn], tag: pii.ssn}
mask:
  pii.ssn: {method: partial, last: 4}
rules:
  - {id: read, when: {groups: [engineering], access: read}, effect: allow}
  - {id: write, when: {groups: [engineering], verbs: [insert, update, delete], tables: ["payroll.*"]}, effect: allow}
  - {id: no-destruction, when: {verbs: [drop, truncate, alter]}, effect: deny, message: Schema changes go through migrations.}
  - {id: bulk, when: {verbs: [update, delete], rows: ">3"}, effect: approve, reviewers: [{groups: [dba], count: 1}], expires: 1h}
limits: {rows: 50, statement_timeout: 20s}
"""

CONFIG = """
identity: {provider: local, email: ann@example.com, groups: [engineering]}
audit: {key_store: file}
targets:
  pay: {engine: postgres, dsn: "%s", environment: test, policy: policy.yaml}
  away: {engine: postgres, dsn: "postgresql://127.0.0.1:1/x?connect_timeout=2", policy: policy.yaml}
"""

DBGATE = [sys.executable, "-m", "dbgate"]


@dataclass(frozen=True)
class Done:
    """What a run left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A laptop with a configuration, a policy and a target."""

    def __init__(self, home: Path, database: LiveDatabase, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.database = database
        self.capsys = capsys
        self.processes: list[subprocess.Popen[str]] = []
        self.configure()

    def configure(self, extra: str = "", policy: str = POLICY) -> None:
        (self.home / "policy.yaml").write_text(policy, encoding="utf-8")
        text = CONFIG % self.database.app_dsn.replace('"', "") if "://" in self.database.app_dsn else CONFIG % self.url
        (self.home / "config.yaml").write_text(text + extra, encoding="utf-8")

    @property
    def url(self) -> str:
        return self.database.app_dsn

    def exec(self, *arguments: str, target: str = "pay") -> Done:
        """Run `dbgate exec` in this process."""
        self.capsys.readouterr()
        code = run(["exec", target, *arguments])
        captured = self.capsys.readouterr()
        return Done(code, captured.out, captured.err)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `dbgate exec` as a process of its own."""
        process = subprocess.Popen(
            [*DBGATE, "exec", "pay", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Leave no process behind."""
        for process in self.processes:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    def sessions(self) -> list[list[dict[str, Any]]]:
        """The records of all spooled sessions, oldest session first."""
        found = []
        for folder in sorted((load_settings().state_dir / "spool").iterdir()):
            if not folder.name.startswith("."):
                lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
                found.append([json.loads(line) for line in lines])
        return found

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The records of one kind of the latest session."""
        return [record for record in self.sessions()[-1] if record["kind"] == kind]


@pytest.fixture
def desk(
    dbgate_home: Path,
    world: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    """A desk whose transcripts stay in the spool: the shipper's lock is taken."""
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "state").mkdir(mode=0o700)
    lock = spool.try_lock(tmp_path / "state" / spool.SHIP_LOCK, create=True)
    assert lock is not None
    made = Desk(dbgate_home, world, capsys)
    yield made
    made.close()
    os.close(lock)


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute(WORLD.format(app=module_database.app_user))
    return module_database


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def feed(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return feed


def test_a_masked_result_goes_to_stdout_and_the_session_on_record(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT id, ssn FROM payroll.employees WHERE id < 3 ORDER BY id", "--reason", "ticket 7")
    assert (done.code, done.out, done.err) == (0, "id,ssn\n1,***6001\n2,***6002\n", "")
    kinds = [record["kind"] for record in desk.sessions()[-1]]
    assert kinds == ["session.start", "statement.intent", "output", "statement.outcome", "session.end"]
    start, intent, output, outcome, end = desk.sessions()[-1]
    assert (start["target"], start["door"], start["reason"]) == ("pay", "exec", "ticket 7")
    assert start["identity"]["email"] == "ann@example.com"
    assert (intent["decision"], intent["masked"]) == ("rewrite", ["payroll.employees.ssn"])
    assert output["text"] == done.out
    assert (outcome["status"], outcome["rows"]) == ("SELECT 2", 2)
    assert (end["reason"], end["statements"], end["rows"]) == ("ended", 1, 2)
    assert "123-45" not in json.dumps(desk.sessions()[-1])


def test_json_holds_one_object_per_statement(desk: Desk) -> None:
    done = desk.exec("--format", "json", "-c", "SELECT id, ssn FROM payroll.employees WHERE id = 1; BEGIN; ROLLBACK")
    first, second, third = done.json
    assert first["rows"] == [[1, "***6001"]]
    assert (first["row_count"], first["masked"], first["status"]) == (1, ["ssn"], "SELECT 1")
    assert (second["columns"], second["status"], third["status"]) == ([], "BEGIN", "ROLLBACK")


def test_an_unknown_column_gets_the_nearest_one(desk: Desk) -> None:
    assert "hint: did you mean amount?" in desk.exec("-c", "SELECT amout FROM payroll.pay").err


def test_json_tells_why_a_statement_gave_nothing(desk: Desk) -> None:
    script = "SELECT 1 AS n; DROP TABLE payroll.pay; SELECT nothing FROM payroll.pay; SELECT 1 / (n - 1) FROM generate_series(3, 1, -1) n"
    done = desk.exec("--keep-going", "--format", "json", "-c", script)
    first, denied, missing, broken = done.json
    assert "error" not in first
    assert (denied["status"], denied["rows"], denied["error"]["kind"]) == (None, [], "denied")
    assert denied["error"]["rules"] == ["no-destruction"]
    assert (missing["error"]["kind"], missing["error"]["code"]) == ("error", "42703")
    assert missing["error"]["message"] == 'column "nothing" does not exist'
    assert (broken["error"]["code"], broken["error"]["message"]) == ("22012", "division by zero")
    [unread] = desk.exec("--format", "json", "-c", "SELECT 1 FORM t").json
    assert (unread["status"], unread["error"]["code"]) == (None, "42601")


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ("SELECT ssn, nothing FROM payroll.employees", "nothing"),
        ("SELECT id\n FROM payroll.employees e\n WHERE e.ssn = 'ü' AND nothing > 3", "nothing"),
        ("SELECT nothing FROM employees", "employees"),
        ("SELECT 'ü', e.id FROM payroll.employees", "e.id"),
        ("UPDATE payroll.pay SET nothing = 1 WHERE id = 1 RETURNING *", "nothing"),
        ("SELECT :a, :b, nothing FROM payroll.employees WHERE ssn = :a", "nothing"),
        ("SELECT :a, :b, 1 FROM FROM x", "FROM x"),
    ],
)
def test_errors_point_into_what_was_typed(desk: Desk, sql: str, at: str) -> None:
    done = desk.exec("-c", sql, "-p", "a=some value", "-p", "b=2")
    assert (done.code, done.out) == (1, "")
    line, caret = [text for text in done.err.split("\n") if not text.startswith(("notice:", "error:", "hint:"))][:2]
    label, _, shown = line.partition(": ")
    number = sql[: sql.rindex(at)].count("\n")
    assert (label, shown) == (f"LINE {number + 1}", sql.split("\n")[number])
    assert caret.index("^") == line.rindex(at)


def test_errors_of_masks_and_casts_show_no_value(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT id FROM payroll.employees WHERE ssn::int > 3")
    assert done.code == 1
    assert "6001" not in done.err
    assert "123" not in done.err


@pytest.mark.parametrize(
    ("form", "expected"), [("table", "--\n(3 rows)\n\n"), ("csv", "\n" * 3), ("ndjson", "{}\n" * 3)]
)
def test_rows_without_columns(desk: Desk, form: str, expected: str) -> None:
    done = desk.exec("--format", form, "-c", "SELECT FROM payroll.employees WHERE id < 4")
    assert (done.code, done.out) == (0, expected)
    assert desk.records("statement.outcome")[0]["rows"] == 3


@pytest.mark.parametrize("form", ["table", "csv", "json", "ndjson", "markdown"])
def test_no_format_shows_what_is_masked(desk: Desk, form: str) -> None:
    done = desk.exec("--format", form, "-c", "SELECT * FROM payroll.employees ORDER BY id")
    assert done.code == 0
    assert "6001" in done.out
    assert "123-45" not in done.out


def test_commands_and_files_run_in_the_order_given(desk: Desk, tmp_path: Path, stdin: Callable[[bytes], None]) -> None:
    file = tmp_path / "two.sql"
    file.write_bytes(b"\xef\xbb\xbfSELECT 2 AS n;\n")
    stdin(b"SELECT 3 AS n; SELECT 4 AS n")
    done = desk.exec("-f", str(file), "-c", "SELECT 1 AS n", "-f", "-", "-cSELECT 5 AS n", "--format", "ndjson")
    assert [json.loads(line)["n"] for line in done.out.splitlines()] == [2, 1, 3, 4, 5]


def test_standard_input_is_the_default_script(desk: Desk, stdin: Callable[[bytes], None]) -> None:
    stdin(b"SELECT 1 AS n")
    assert desk.exec().out == "n\n1\n"
    stdin(b"-- nothing here\n")
    assert desk.exec("--format", "json").out == "[]\n"


def test_parameters_are_values(desk: Desk) -> None:
    text = "'; DROP TABLE payroll.pay; --"
    done = desk.exec("-c", "SELECT :a::text AS a, ':a' AS b", "-p", f"a={text}", "--format", "json")
    assert done.json[0]["rows"] == [[text, ":a"]]
    assert desk.records("statement.intent")[0]["parameters"] == [text]


def test_a_parameter_that_meets_a_labelled_column_is_not_recorded(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT id FROM payroll.employees WHERE ssn = :ssn", "-p", "ssn=123-45-6001")
    assert (done.code, done.out) == (0, "id\n")
    assert done.err == "notice: compared on its mask: payroll.employees.ssn\n"
    assert desk.records("statement.intent")[0]["parameters"] == ["***"]


def test_the_environment_gives_options(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBGATE_COMMAND", "SELECT :a::int + 1 AS n")
    monkeypatch.setenv("DBGATE_PARAM", "a=1")
    monkeypatch.setenv("DBGATE_FORMAT", "markdown")
    assert "| 2 |" in desk.exec().out.replace("  ", " ")


def test_an_output_file(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("old" * 100, encoding="utf-8")
    assert desk.exec("-c", "DROP TABLE payroll.pay", "-o", str(file)).code == 3
    assert file.read_text(encoding="utf-8") == "old" * 100
    done = desk.exec("-c", "SELECT 1 AS n", "-o", str(file))
    assert (done.code, done.out, file.read_text(encoding="utf-8")) == (0, "", "n\n1\n")


def test_a_result_beyond_the_policy_s_limit_is_cut(desk: Desk) -> None:
    done = desk.exec("-c", "BEGIN; SELECT n FROM generate_series(1, 5000) n; SELECT 1 AS still_here; COMMIT")
    assert done.code == 0
    assert done.out.splitlines() == ["n", *(str(n) for n in range(1, 51)), "still_here", "1"]
    assert done.err.startswith("notice: the result was cut after 50 rows\nhint: the policy allows 50 rows")
    assert desk.records("statement.outcome")[1]["truncated"] is True


BIG = """
DROP TABLE IF EXISTS payroll.big;
CREATE TABLE payroll.big AS SELECT n AS id, CASE n % 7 WHEN 0 THEN '=cmd()' WHEN 1 THEN E'two\nlines' WHEN 2 THEN NULL
  WHEN 3 THEN '' WHEN 4 THEN 'say "no", please' WHEN 5 THEN '-1' ELSE 'plain' END AS note, '123-45-' || n AS ssn,
  -n::numeric / 4 AS amount, n % 2 = 0 AS even, '{a,"b c"}'::text[] AS list FROM generate_series(1, 30000) n;
ANALYZE payroll.big;
GRANT SELECT ON payroll.big TO {app};
"""


def test_what_the_server_writes_is_what_we_would_write(desk: Desk) -> None:
    desk.database.execute(BIG.replace("{app}", desk.database.app_user))
    desk.configure(policy=POLICY.replace("rows: 50, ", "").replace("employees.ssn]", "employees.ssn, payroll.big.ssn]"))
    query = 'SELECT *, note AS note, 1 AS "=x" FROM payroll.big WHERE id <> 77 ORDER BY id DESC -- all'
    server = desk.exec("-c", query)
    assert desk.records("statement.outcome")[0]["digest"].startswith("sha256-csv:")
    ours = desk.exec("-c", query.replace("77", ":x::int"), "-p", "x=77")
    assert desk.records("statement.outcome")[0]["digest"].startswith("sha256:")
    assert server.out == ours.out
    assert server.out.count("***") == 29999
    assert desk.records("statement.outcome")[0]["rows"] == 29999
    assert "123-45-" not in server.out
    desk.configure(policy=POLICY.replace("rows: 50", "rows: 1000").replace("ssn]", "ssn, payroll.big.ssn]"))
    done = desk.exec("-c", "SELECT id, note FROM payroll.big ORDER BY id", "-c", "SELECT 1 AS n")
    assert desk.records("statement.outcome")[0]["rows"] == 1000
    assert desk.records("statement.outcome")[0]["truncated"] is True
    assert done.out.endswith("n\n1\n")
    assert done.err.startswith("notice: the result was cut after 1000 rows\n")


def test_1_the_database_refuses(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT 1/0; SELECT 2")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: division by zero")
    assert desk.records("statement.outcome")[0]["sqlstate"] == "22012"
    assert len(desk.records("statement.intent")) == 1


def test_1_a_syntax_error_has_a_place_and_is_not_sent(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT * FORM t WHERE a = 'S3CRET'")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[0] == 'error: syntax error at or near "FORM"'
    assert done.err.splitlines()[2].index("^") == done.err.splitlines()[1].index("FORM")
    assert [record["kind"] for record in desk.sessions()[-1]] == ["session.start", "statement.intent", "session.end"]
    assert "S3CRET" not in json.dumps(desk.sessions()[-1])


def test_1_a_syntax_error_stops_the_script_where_it_stands(desk: Desk) -> None:
    script = "SELECT 1 AS n;\nSELEC 'S3CRET; DROP TABLE payroll.pay';\nSELECT 3 AS n"
    done = desk.exec("-c", script)
    assert (done.code, done.out) == (1, "n\n1\n")
    assert done.err.splitlines()[:2] == [
        'error: syntax error at or near "SELEC"',
        "LINE 1: SELEC 'S3CRET; DROP TABLE payroll.pay'",
    ]
    assert [record["decision"] for record in desk.records("statement.intent")] == ["allow", "error"]
    assert "S3CRET" not in json.dumps(desk.sessions()[-1])
    done = desk.exec("--keep-going", "--format", "json", "-c", script)
    results = json.loads(done.out)
    assert (done.code, [result.get("rows") for result in results]) == (1, [[[1]], [], [[3]]])
    assert results[1]["error"]["code"] == "42601"


def test_keep_going_runs_the_rest_and_returns_the_first_failure(desk: Desk) -> None:
    done = desk.exec("--keep-going", "-c", "SELECT 1/0; DROP TABLE payroll.pay; SELECT 2 AS n", "-c", "SELECT 3 AS n")
    assert (done.code, done.out) == (1, "n\n2\nn\n3\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-c", "SELECT 1", "--format", "cvs"], "error: no such format: cvs\nhint: did you mean csv?\n"),
        (["-c", "SELECT 1", "--formt", "csv"], "error: no such option: --formt"),
        (["-c", "SELECT 1", "-p", "a"], "error: not a parameter: a\n"),
        (["-c", "SELECT 1", "-p", "1a=b"], "error: not a parameter: 1a\n"),
        (["-c", "SELECT 1", "-p", "a=1", "-p", "a=2"], "error: the parameter a is given twice\n"),
        (["-c", "SELECT 1", "--wait", "soon"], "error: not a duration: soon\n"),
        (["-c", "SELECT 1", "--wait", "1", "--no-wait"], "error: --wait and --no-wait exclude each other\n"),
        (["-f", "missing.sql"], "error: cannot read missing.sql: No such file or directory\n"),
        (["-c", "SELECT 1", "-o", "missing/out.csv"], "error: cannot write missing/out.csv: No such file"),
    ],
)
def test_2_usage(desk: Desk, arguments: list[str], said: str) -> None:
    done = desk.exec(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(said)
    assert not (load_settings().state_dir / "spool").exists()


def test_2_an_unknown_target(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT 1", target="pya")
    assert (done.code, done.err) == (2, "error: no such target: pya\nhint: did you mean pay?\n")


def test_2_a_script_that_is_not_text(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "binary.sql"
    file.write_bytes(b"SELECT '\xff\xfe'")
    assert desk.exec("-f", str(file)).err.startswith(f"error: {file} is not UTF-8 text (byte 9)")


def test_2_a_required_reason(desk: Desk) -> None:
    desk.configure(policy=POLICY + "reason: required\n")
    done = desk.exec("-c", "SELECT 1")
    assert (done.code, done.out) == (2, "")
    assert "hint: give one with --reason TEXT" in done.err
    assert desk.exec("-c", "SELECT 1", "--reason", "audit").code == 0


def test_3_denied_with_rule_and_file(desk: Desk) -> None:
    done = desk.exec("-c", "DROP TABLE payroll.pay")
    place = f"{desk.home}/policy.yaml:10"
    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines()[0] == f"denied: rule no-destruction ({place}): Schema changes go through migrations."
    assert desk.records("statement.intent")[0]["rules"] == [f"no-destruction ({place})"]
    assert desk.database.query("SELECT to_regclass('payroll.pay') IS NOT NULL") == [(True,)]


def test_a_dry_run_decides_and_runs_nothing(desk: Desk) -> None:
    done = desk.exec("--dry-run", "-c", "SELECT ssn FROM payroll.employees")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("notice: dry run: it would run rewritten")
    assert "SELECT ssn FROM (SELECT" in done.err
    assert desk.exec("--dry-run", "-c", "UPDATE payroll.pay SET amount = 0 WHERE id > 0").code == 4
    assert desk.exec("--dry-run", "-c", "DROP TABLE payroll.pay").code == 3
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE amount = 0") == [(0,)]


def test_a_dry_run_tells_programs_what_it_decided(desk: Desk) -> None:
    held_by = "SELECT (SELECT count(*) FROM payroll.employees), count(*), sum(amount) FROM payroll.pay"
    before = desk.database.query(held_by)
    statements = (
        "SELECT ssn FROM payroll.employees; SELECT 1 AS one; DROP TABLE payroll.pay; SELECT nothing FROM nowhere;"
        "UPDATE payroll.pay SET amount = 0 WHERE id > 0; INSERT INTO payroll.employees (id, full_name) VALUES (77, e'a\\e[31m')"
    )
    done = desk.exec("--dry-run", "--keep-going", "--format", "json", "-c", statements)
    masked, plain, denied, missing, held, written = done.json
    assert masked.pop("rewritten").startswith("SELECT ssn FROM (SELECT")
    assert masked == {
        "columns": [],
        "rows": [],
        "row_count": 0,
        "masked": ["payroll.employees.ssn"],
        "status": "dry run",
        "decision": "rewrite",
        "rules": ["read"],
    }
    assert (plain["decision"], plain["masked"], plain["rewritten"]) == ("allow", [], "SELECT 1 AS one")
    assert (denied["status"], denied["error"]["kind"], denied["error"]["rules"]) == (None, "denied", ["no-destruction"])
    assert (missing["status"], missing["error"]["code"]) == (None, "42P01")
    assert (held["status"], held["decision"], held["rules"]) == ("dry run", "approve", ["bulk"])
    assert (written["decision"], written["rules"]) == ("allow", ["write"])
    assert done.code == 3
    assert desk.database.query(held_by) == before
    assert [record["dry_run"] for record in desk.records("statement.intent")] == [True] * 6
    assert desk.records("output") == []


def test_a_dry_run_prints_no_rows(desk: Desk) -> None:
    script = ("--keep-going", "-c", "SELECT id FROM payroll.pay WHERE id < 3; DROP TABLE payroll.pay; SELECT 1 AS one")
    for form in ("ndjson", "csv", "table", "markdown"):
        assert desk.exec("--dry-run", "--format", form, *script).out == ""
    done = desk.exec("--format", "ndjson", *script)
    assert [json.loads(line) for line in done.out.splitlines()] == [{"id": 1}, {"id": 2}, {"one": 1}]


def test_5_nobody_is_signed_in(desk: Desk) -> None:
    file = desk.home / "config.yaml"
    oidc = "identity: {provider: oidc, issuer: https://login.example.com/t, client_id: c, token_store: file}"
    local = "identity: {provider: local, email: ann@example.com, groups: [engineering]}"
    file.write_text(file.read_text(encoding="utf-8").replace(local, oidc), encoding="utf-8")
    done = desk.exec("-c", "SELECT 1")
    assert done.code == 5
    assert "dbgate login" in done.err


def test_6_an_unwritable_spool_runs_nothing(desk: Desk) -> None:
    state = load_settings().state_dir
    (state / "spool").write_text("not a directory", encoding="utf-8")
    done = desk.exec("-c", "UPDATE payroll.pay SET amount = 0 WHERE id = 1")
    assert (done.code, done.out) == (6, "")
    assert "hint: " in done.err
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE amount = 0") == [(0,)]


def test_6_a_full_spool_runs_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> None:
        if b'"statement.intent"' in content:
            raise OSError(28, "No space left on device")
        os.write(descriptor, content)

    monkeypatch.setattr(spool, "write_all", full)
    done = desk.exec("--keep-going", "-c", "UPDATE payroll.pay SET amount = 0 WHERE id = 1; SELECT 1")
    assert (done.code, done.out) == (6, "")
    assert done.err.startswith("error: nothing was run, for it cannot be recorded: ")
    assert done.err.count("error:") == 1
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE amount = 0") == [(0,)]


def test_7_the_database_is_away(desk: Desk) -> None:
    done = desk.exec("-c", "SELECT 1", target="away")
    assert (done.code, done.out) == (7, "")
    assert [record["kind"] for record in desk.sessions()[-1]] == ["session.start", "session.end"]
    assert desk.records("session.end")[0]["reason"] == "no connection"


def test_7_a_connection_lost_in_the_middle_of_a_statement(desk: Desk, slow: str) -> None:
    process = desk.start("--keep-going", "-c", f"{slow}; SELECT 1")
    wait_for_statement(desk, slow)
    killed = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query = '{slow}'"
    desk.database.query(killed)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (7, "")
    assert err.startswith("error: ")
    assert desk.records("statement.outcome")[0]["status"] == "unknown"
    assert desk.records("session.end")[0]["reason"] == "connection lost"
    assert len(desk.records("statement.intent")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_130_a_signal_cancels_records_and_ends_the_session(desk: Desk, slow: str, number: signal.Signals) -> None:
    process = desk.start("-c", slow)
    wait_for_statement(desk, slow)
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert desk.records("statement.outcome")[0]["status"] == "cancelled"
    assert "seal" in desk.records("session.end")[0]
    assert running_statements(desk, slow) == 0


def test_a_killed_process_leaves_an_unknown_outcome_at_the_next_start(desk: Desk, slow: str) -> None:
    process = desk.start("-c", slow)
    wait_for_statement(desk, slow)
    process.kill()
    process.communicate(timeout=20)
    assert desk.records("statement.outcome") == []
    assert desk.exec("-c", "SELECT 1").code == 0
    dead = desk.sessions()[-2]
    assert [record["kind"] for record in dead] == [
        "session.start",
        "statement.intent",
        "statement.outcome",
        "session.end",
    ]
    assert (dead[2]["status"], dead[3]["reason"]) == ("unknown", "crashed")
    desk.database.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = '{slow}'")


def test_a_reader_that_goes_away_ends_the_session_properly(desk: Desk) -> None:
    desk.configure(policy=POLICY.replace("rows: 50, ", ""))
    process = desk.start("-c", "SELECT repeat('x', 1000) FROM generate_series(1, 100000)", "-c", "SELECT 2")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=20) == 141
    assert err == ""
    assert desk.records("statement.outcome")[0]["truncated"] is True
    assert len(desk.records("statement.intent")) == 1
    assert "seal" in desk.records("session.end")[0]


@pytest.fixture
def slow() -> str:
    """A statement that runs for minutes, and that no other test runs."""
    return f"SELECT count(*) FROM generate_series(1, {10**11 + secrets.randbelow(10**9)})"


def running_statements(desk: Desk, text: str) -> int:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = '{text}'"
    return int(desk.database.query(query)[0][0])


def wait_for_statement(desk: Desk, text: str) -> None:
    deadline = time.monotonic() + 20
    while not running_statements(desk, text):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def reviewed(desk: Desk) -> Iterator[Any]:
    """A desk with an approvals service; `approve(id)` is a DBA's."""
    with running_service(load_settings().state_dir) as service:
        desk.configure(f"approvals: {{url: '{service.url}'}}\n")
        yield service


UPDATE = "UPDATE payroll.pay SET amount = amount + 1 WHERE id <= 5"


def test_4_pending_then_approved_then_run_once(desk: Desk, reviewed: Any) -> None:
    before = desk.database.query("SELECT sum(amount) FROM payroll.pay")[0][0]
    done = desk.exec("--format", "json", "--no-wait", "-c", UPDATE, "--reason", "raise")
    assert done.code == 4
    [pending] = done.json
    assert pending["status"] == "pending"
    assert f"--request {pending['request']}" in done.err
    assert desk.database.query("SELECT sum(amount) FROM payroll.pay")[0][0] == before
    assert desk.records("approval.requested")[0]["measured"] == {"payroll.pay": 5}

    reviewed.client(person("dora", "dba")).decide(pending["request"], "approve", "")
    other = desk.exec("--request", pending["request"], "-c", UPDATE.replace("+ 1", "+ 1000"))
    assert other.code == 4
    assert desk.database.query("SELECT sum(amount) FROM payroll.pay")[0][0] == before

    done = desk.exec("--format", "json", "--request", pending["request"], "-c", UPDATE, "--reason", "raise")
    assert (done.code, done.json[0]["status"]) == (0, "UPDATE 5")
    assert desk.database.query("SELECT sum(amount) FROM payroll.pay")[0][0] == before + 5
    assert desk.records("approval.redeemed")[0]["request"] == pending["request"]
    assert desk.records("statement.intent")[0]["grant"]

    again = desk.exec("--request", pending["request"], "-c", UPDATE)
    assert again.code == 4
    assert desk.database.query("SELECT sum(amount) FROM payroll.pay")[0][0] == before + 5


def test_4_denied_by_a_reviewer(desk: Desk, reviewed: Any) -> None:
    request = desk.exec("--format", "json", "-c", UPDATE).json[0]["request"]
    reviewed.client(person("dora", "dba")).decide(request, "deny", "too much")
    done = desk.exec("--request", request, "-c", UPDATE)
    assert done.code == 4
    assert done.err.startswith(f"denied: request {request} was denied")


def test_a_run_waits_for_its_approval(desk: Desk, reviewed: Any) -> None:
    dora = reviewed.client(person("dora", "dba"))
    process = desk.start("--wait", "1m", "-c", "DELETE FROM payroll.employees WHERE id IN (8, 9)")
    deadline = time.monotonic() + 20
    while not (found := list(dora.find(limit=5, status="pending"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    dora.decide(found[0].id, "approve", "")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, ""), err
    assert err.startswith("notice: waiting for approval of request")
    measured = desk.records("approval.redeemed")[0]["measured"]
    assert measured == {"payroll.employees": 2, "payroll.pay": 6}
    assert desk.database.query("SELECT count(*) FROM payroll.employees") == [(7,)]


def test_more_rows_than_were_approved_are_refused(desk: Desk, reviewed: Any) -> None:
    text = "DELETE FROM payroll.pay WHERE id > 100"
    desk.database.execute("INSERT INTO payroll.pay SELECT n, 1, 1 FROM generate_series(101, 105) n")
    request = desk.exec("--format", "json", "-c", text).json[0]["request"]
    reviewed.client(person("dora", "dba")).decide(request, "approve", "")
    desk.database.execute("INSERT INTO payroll.pay SELECT n, 1, 1 FROM generate_series(106, 106) n")
    done = desk.exec("--request", request, "-c", text)
    assert done.code == 3
    assert "touches 6 rows of payroll.pay now, and was approved for 5" in done.err
    assert desk.database.query("SELECT count(*) FROM payroll.pay WHERE id > 100") == [(6,)]
    desk.database.execute("DELETE FROM payroll.pay WHERE id > 100")


def test_7_approvals_are_away_and_everything_else_works(desk: Desk) -> None:
    desk.configure("approvals: {url: 'http://127.0.0.1:1'}\n")
    done = desk.exec("--keep-going", "-c", UPDATE, "-c", "SELECT 1 AS n")
    assert (done.code, done.out) == (7, "n\n1\n")
    assert desk.records("statement.intent")[0]["decision"] == "approve"


def test_the_person_s_identity_reaches_the_approvals_service(desk: Desk, reviewed: Any) -> None:
    request = desk.exec("--format", "json", "-c", UPDATE).json[0]["request"]
    view = reviewed.client(person("dora", "dba")).state(request).view
    assert json.dumps(view).count(current_identity(load_settings()).email) >= 1


HEAVY = ("pydantic", "rich", "sqlglot", "keyring", "msal", "obstore", "requests", "prompt_toolkit", "uvicorn", "jwt")


def test_a_plain_run_imports_nothing_heavy(desk: Desk) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dbgate", "exec", "pay", "-c", "SELECT 1 AS n"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert done.stdout == "n\n1\n"
    assert "psycopg" in imported
    assert imported.isdisjoint(HEAVY)


def test_a_constant_that_meets_a_labelled_column_stands_in_no_record(desk: Desk) -> None:
    secret = "ZQ-7-42-9999"
    desk.exec("-c", f"EXPLAIN SELECT 1 FROM payroll.employees WHERE ssn = '{secret}'")
    assert "'***'::text" in desk.records("output")[0]["text"]
    desk.exec("-c", f"SELECT 1 FROM payroll.employees WHERE ssn = '{secret}'::int::text")
    assert desk.records("statement.outcome")[0]["message"] == 'invalid input syntax for type integer: "***"'
    assert secret not in json.dumps(desk.sessions())


def test_a_file_that_cannot_take_the_rest_is_said_so(desk: Desk) -> None:
    done = desk.exec("-o", "/dev/full", "-c", "SELECT 1")
    assert done.code == 2
    assert done.err.startswith("error: the results cannot be written: No space left on device\nhint: ")


COPY = "COPY (SELECT id, ssn, full_name FROM payroll.employees WHERE id < 3 ORDER BY id) TO STDOUT"


@pytest.mark.parametrize("form", ["csv", "table", "markdown"])
def test_copy_prints_its_data_raw(desk: Desk, form: str) -> None:
    done = desk.exec("--format", form, "-c", COPY)
    assert (done.code, done.out) == (0, "1\t***6001\tPerson 1\n2\t***6002\tPerson 2\n")


def test_copy_in_json_is_a_result(desk: Desk) -> None:
    [result] = desk.exec("--format", "json", "-c", COPY).json
    assert (result["rows"][0], result["status"]) == (["1\t***6001\tPerson 1"], "COPY 2")
