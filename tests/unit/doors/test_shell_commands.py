"""Backslash commands and scripts, on a session in memory."""

from __future__ import annotations

import io
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from tests.shell.world import CATALOG, MemoryDriver, MemoryRows

from dbgate.doors.shell import About, ShellDisplay, run_script
from dbgate.doors.shell.commands import COMMANDS, ELSEWHERE
from dbgate.doors.shell.describe import Pattern
from dbgate.doors.shell.editor import edit
from dbgate.doors.shell.history import MAX_BYTES, TargetHistory, history_path
from dbgate.doors.shell.loop import duration
from dbgate.doors.shell.why import explain
from dbgate.errors import StatementError, Unreachable, UsageError
from dbgate.model import (
    Allow,
    Assurance,
    Column,
    ColumnName,
    Deny,
    Identity,
    MaskedColumn,
    Measured,
    NeedsApproval,
    NeedsMeasure,
    Relation,
    ReviewClause,
    Rewrite,
    RuleRef,
    Target,
    TransactionStatus,
)
from dbgate.session.effects import Finished

PIA = Identity("https://login", "pia-1", email="pia@example.com", groups=("engineering",), assurance=Assurance.OIDC)


@dataclass
class Bench:
    """A shell without a terminal: what it is told, and what it says."""

    tmp: Path
    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)
    labels: Mapping[str, str] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        self.display = ShellDisplay(self.out, self.err)
        self.driver = MemoryDriver(self.display)

    def run(self, text: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        about = About(
            Target("payroll", "postgres", "", environment="staging"),
            PIA,
            "payroll.yaml",
            self.tmp,
            labels=lambda oid: self.labels if oid == 100 else {},
            targets=self.targets,
        )
        code = run_script(self.driver, self.display, about, text)
        result = code, self.out.getvalue(), self.err.getvalue()
        for stream in (self.out, self.err):
            stream.seek(0)
            stream.truncate()
        return result


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_statements_run_one_by_one(bench: Bench) -> None:
    bench.driver.answers["select 1"] = MemoryRows([Column("n", "integer")], [("1",)])
    code, out, err = bench.run("select 1; update t set a = 1;\nselect 2")
    assert bench.driver.executed == ["select 1", "update t set a = 1", "select 2"]
    assert out == " n\n---\n 1\n(1 row)\n\nUPDATE\nSELECT\n"
    assert (code, err) == (0, "")


def test_a_failure_stops_the_rest_and_says_so(bench: Bench) -> None:
    bench.driver.answers["select broken"] = MemoryRows([Column("n", "integer")], [], error=StatementError("no"))
    code, _, err = bench.run("select 1; select broken; select 2;\n\\x\nselect 3;")
    assert code == 1
    assert bench.driver.executed == ["select 1", "select broken"]
    assert err == "error: no\nnotice: stopped at the failure: the 3 that follow were not run\n"


def test_errors_of_the_text_itself(bench: Bench) -> None:
    def refuse(driver: MemoryDriver) -> Finished:
        raise UsageError("needs an approvals service", hint="set approvals.url")

    bench.driver.answers["select x"] = refuse
    code, _, err = bench.run("select x;")
    assert code == 2
    assert err == "error: needs an approvals service\nhint: set approvals.url\n"


def test_errors_of_the_session_are_raised(bench: Bench) -> None:
    def execute(script: str, values: object = None) -> object:
        raise Unreachable("gone")

    bench.driver.execute = execute  # type: ignore[method-assign,assignment]
    with pytest.raises(Unreachable):
        bench.run("select 1;")


def test_describe_a_table_from_memory_even_in_a_failed_transaction(bench: Bench) -> None:
    bench.labels = {"ssn": "pii.ssn"}
    bench.driver.transaction = TransactionStatus.FAILED
    code, out, _ = bench.run("\\d+ employees")
    assert code == 0
    assert bench.driver.executed == []
    assert out == (
        'Table "payroll.employees"\n'
        " Column    | Type    | Nullable | Label   | Default                         | Comment\n"
        "-----------+---------+----------+---------+---------------------------------+--------------------\n"
        " id        | integer | not null |         |                                 |\n"
        " full_name | text    |          |         |                                 | as on the contract\n"
        " ssn       | text    |          | pii.ssn |                                 |\n"
        " Region    | text    |          |         |                                 |\n"
        ' initials  | text    |          |         | generated: "left"(full_name, 1) |\n'
        "Primary key: id\n"
        "Referenced by: payroll.pay (employee_id) references payroll.employees (id) ON DELETE CASCADE\n"
        "Triggers: yes\n"
        "Comment: everybody\n\n"
    )


def test_describe_partitions_and_views(bench: Bench) -> None:
    _, out, _ = bench.run("\\d pay")
    assert "Foreign key: (employee_id) references payroll.employees (id) ON DELETE CASCADE\n" in out
    assert "Partitions: payroll.pay_2024\n" in out
    assert "Partition of: payroll.pay\n" in bench.run("\\d payroll.pay_2024")[1]
    assert "Query:\n   SELECT full_name\n     FROM payroll.employees;\n" in bench.run("\\d+ staff")[1]


def test_describe_by_pattern_and_system_relations(bench: Bench) -> None:
    _, out, _ = bench.run("\\d pay*")
    assert out.count('"payroll.pay') == 2
    assert bench.run("\\d pg_class")[1] == (
        'System relation "pg_catalog.pg_class"\n Column\n---------\n oid\n relname\n\n'
    )
    assert bench.run("\\d employes")[1] == "No relation matches employes; did you mean employees?\n\n"


def test_nothing_in_names_or_comments_steers_the_terminal(bench: Bench) -> None:
    for command in ("\\d", "\\dt", "\\d evil*", "\\d nothing\x1b[31m"):
        _, out, _ = bench.run(command)
        assert "\x1b" not in out
        assert "\u202e" not in out
    assert "evil\\x1b[31m" in bench.run("\\dt")[1]


def test_lists(bench: Bench) -> None:
    bench.labels = {"ssn": "pii.ssn"}
    assert " payroll | employees    | table             | 200,000      | 1\n" in bench.run("\\dt")[1]
    assert bench.run("\\dv")[1].splitlines()[2].split("|")[1].strip() == "staff"
    assert bench.run("\\ds")[1].splitlines()[2].split("|")[1].strip() == "employees_id_seq"
    assert bench.run("\\dt none*")[1] == "Nothing matches none*\n\n"
    assert bench.run("\\dm")[1] == "There is nothing to list\n\n"
    assert bench.run("\\df")[1] == (
        " Schema  | Name        | Returns | Arguments | Kind                        | Language\n"
        "---------+-------------+---------+-----------+-----------------------------+----------\n"
        " payroll | raise_all   |         | numeric   | procedure, security definer | plpgsql\n"
        " public  | fiscal_year | integer | date      | function                    | sql\n\n"
    )
    assert "citext_eq" in bench.run("\\df citext*")[1]
    assert bench.run("\\dn")[1].splitlines()[2:5] == [
        " audit   | 1                |", " payroll | 3                | 2", " public  | 2                | 1",
    ]  # fmt: skip
    assert " colour | enum" in bench.run("\\dT")[1]
    assert bench.run("\\dx")[1].splitlines()[2:4] == [" citext", " plpgsql"]


def test_targets(bench: Bench) -> None:
    bench.targets = (Target("zebra", "postgres", ""), Target("payroll", "postgres", "", environment="staging"))
    assert bench.run("\\l")[1].splitlines()[2:] == [
        " → | payroll | postgres | staging", "   | zebra   | postgres |", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "schema", "name", "fits"),
    [
        ("", "any", "thing", True),
        ("emp*", "payroll", "employees", True),
        ("EMP*", "payroll", "employees", True),
        ("payroll.*", "payroll", "pay", True),
        ("payroll.*", "public", "pay", False),
        ('"Mixed"', "public", "Mixed", True),
        ("Mixed", "public", "Mixed", False),
        ("p?y", "public", "pay", True),
        ("pay", "public", "pay_2024", False),
        ("(pay|x)", "public", "pay", False),
        ('"a.b"', "public", "a.b", True),
        ("a*", "public", "a\nb", True),
    ],
)
def test_patterns(pattern: str, schema: str, name: str, fits: bool) -> None:
    assert Pattern.read(pattern).fits(schema, name) is fits


def test_expanded_timing_and_options(bench: Bench) -> None:
    options = bench.display.options
    assert bench.run("\\x\n\\x\n\\x auto")[2] == (
        "Expanded display is on.\nExpanded display is off.\nExpanded display is auto.\n"
    )
    assert options.expanded == "auto"
    assert bench.run("\\timing on\nselect 1;")[2].splitlines()[1].startswith("Time: ")
    bench.run("\\timing")
    assert options.timing is False
    bench.run("\\pset null ∅\n\\pset pager off")
    assert (options.null, options.pager) == ("∅", False)
    assert " pager    | off" in bench.run("\\pset")[1]
    assert bench.run("\\x maybe") == (2, "", "error: not a way to expand: maybe\nhint: \\x on, \\x off or \\x auto\n")
    assert bench.run("\\pset pagr on")[2] == "error: no such option: pagr\nhint: did you mean pager?\n"


def test_an_unknown_command_names_the_nearest(bench: Bench) -> None:
    assert bench.run("\\timng")[2] == "error: no such command: \\timng\nhint: did you mean \\timing?\n"
    assert bench.run("\\zzz")[2] == "error: no such command: \\zzz\nhint: \\? lists the commands\n"
    assert bench.run("\\copy x to y")[2].splitlines()[1].startswith("hint: dbgate exec TARGET")
    assert "dbgate runs no other programs" in bench.run("\\! rm -rf /")[2]
    assert not set(COMMANDS) & set(ELSEWHERE)


def test_commands_take_a_semicolon(bench: Bench) -> None:
    assert bench.run("\\dn;")[0] == 0
    assert "Table" in bench.run("\\d employees;")[1]


def test_include(bench: Bench, tmp_path: Path) -> None:
    inner = tmp_path / "inner.sql"
    inner.write_text("\ufeffselect 2;\n\\timing on\nselect 'ü'", encoding="utf-8")
    outer = tmp_path / "outer.sql"
    outer.write_text(f"select 1;\n\\i {inner}\nselect 4;")
    assert bench.run(f"\\i {outer}")[0] == 0
    assert bench.driver.executed == ["select 1", "select 2", "select 'ü'", "select 4"]
    assert bench.display.options.timing


def test_include_of_what_cannot_be_read(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"select \xff;")
    loop = tmp_path / "loop.sql"
    loop.write_text(f"\\i {loop}")
    assert bench.run("\\i /no/such/file.sql")[2].startswith("error: cannot read /no/such/file.sql: No such file")
    assert bench.run(f"\\i {tmp_path}")[2].startswith(f"error: cannot read {tmp_path}: Is a directory")
    assert "is not UTF-8 text (byte 8)" in bench.run(f"\\i {tmp_path / 'binary'}")[2]
    assert "more than 10 deep" in bench.run(f"\\i {loop}")[2]
    assert bench.run("\\i")[2] == "error: which file?\nhint: \\i FILE\n"
    assert bench.run("select 1;")[0] == 0


def test_results_to_a_file(bench: Bench, tmp_path: Path) -> None:
    bench.driver.answers["select 1"] = MemoryRows([Column("n", "integer")], [("1",)])
    file = tmp_path / "out.txt"
    _, out, err = bench.run(f"\\o {file}\nselect 1;\n\\dn\n\\o\nselect 2;")
    assert out == "SELECT\n"
    assert err == f"Results go to {file}; \\o brings them back.\n"
    assert file.read_text().startswith(" n\n---\n 1\n(1 row)\n\n Schema ")
    assert "cannot write /no/such/place/x" in bench.run("\\o /no/such/place/x")[2]


def test_help_lists_every_command(bench: Bench) -> None:
    _, out, _ = bench.run("\\?")
    for command in COMMANDS.values():
        assert f"  {command.usage} " in out
    assert bench.run("\\h create table")[1] == "https://www.postgresql.org/docs/current/sql-createtable.html\n"
    assert bench.run("\\h selct")[2] == "error: no such SQL command: selct\nhint: did you mean SELECT?\n"


def test_connection_info(bench: Bench) -> None:
    assert bench.run("\\conninfo")[1] == (
        "target:      payroll (staging)\n"
        "database:    payroll, as payroll_app, PostgreSQL 18.0\n"
        "search path: public, payroll\n"
        "identity:    pia@example.com\n"
        "groups:      engineering\n"
        "policy:      payroll.yaml\n"
        "session:     01TESTSESSION\n"
        "transaction: idle\n"
    )


def test_requests_without_a_service(bench: Bench) -> None:
    assert bench.run("\\w")[2].splitlines()[0] == "error: there is no approvals service"


def test_leaving_stops_a_script(bench: Bench) -> None:
    bench.run("select 1;\n\\q\nselect 2;")
    assert bench.driver.executed == ["select 1"]


def test_the_names_follow_the_catalog(bench: Bench) -> None:
    def create(driver: MemoryDriver) -> None:
        made = msgspec.structs.replace(CATALOG.relations[0], oid=999, name="fresh")
        driver.the_catalog = msgspec.structs.replace(CATALOG, relations=(*CATALOG.relations, made), fingerprint="two")

    bench.driver.answers["create table fresh ()"] = create
    assert "No relation" in bench.run("\\d fresh")[1]
    assert 'Table "payroll.fresh"' in bench.run("create table fresh ();\n\\d fresh")[1]


def test_why(bench: Bench) -> None:
    assert bench.run("\\why")[2].startswith("error: nothing was decided yet")
    assert bench.run("select 1;\n\\why")[1].endswith("Allowed; nothing is masked.\n")


SSN = ColumnName("payroll", "employees", "ssn")
REWRITE = Rewrite(
    "SELECT ssn\nFROM x",
    (RuleRef("staff", "p.yaml", 3), RuleRef("more")),
    (MaskedColumn(SSN, "pii.ssn", "partial"),),
    (0,),
    predicates=(SSN,),
    filtered=(Relation("payroll", "employees"),),
    lineage_known=False,
)


@pytest.mark.parametrize(
    ("decision", "lines"),
    [
        (Allow("x", (RuleRef("staff", "p.yaml", 3),)), ["Allowed by rule staff (p.yaml:3); nothing is masked."]),
        (
            REWRITE,
            [
                "Allowed by rules staff (p.yaml:3), more, and rewritten.",
                "  masked: payroll.employees.ssn (pii.ssn, partial)",
                "  compared on its mask: payroll.employees.ssn",
                "  rows filtered: payroll.employees",
                "  where the result's columns come from is not fully known",
                "It ran as:",
                "  SELECT ssn",
                "  FROM x",
            ],
        ),
        (Deny("never\x1b", (RuleRef("no-drop"),), "ask"), ["Denied by rule no-drop: never\\x1b", "hint: ask"]),
        (NeedsMeasure(()), ["The rows it touches have to be counted first."]),
        (
            NeedsApproval(
                (ReviewClause(("dba", "owners"), 2),),
                (RuleRef("bulk"),),
                Allow("x"),
                "bulk change",
                measured=Measured(((Relation("a", "b"), 7),)),
            ),
            ["Needs approval by rule bulk: bulk change", "  2 of dba or owners", "  rows it touches: 7 of a.b"],
        ),
    ],
)
def test_explanations(decision: object, lines: list[str]) -> None:
    assert explain(decision) == lines  # type: ignore[arg-type]


def test_history_is_private_and_forgetful(tmp_path: Path) -> None:
    told: list[str] = []
    path = history_path(tmp_path, "../prod/payroll")
    assert path.parent == tmp_path / "history"
    history = TargetHistory(path, told.append)
    history.open()
    for line in ("select 1;", "select 1;", " select secret;", "alter role x password 'hunter';", "multi\nline;", "é;"):
        history.append_string(line)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = TargetHistory(path, told.append)
    assert list(again.load_history_strings()) == ["é;", "multi\nline;", "select 1;"]
    assert list(history.get_strings())[-3:] == ["alter role x password 'hunter';", "multi\nline;", "é;"]
    assert told == []


def test_history_that_cannot_be_kept_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "history").write_text("in the way")
    history = TargetHistory(history_path(tmp_path, "t"), told.append)
    history.open()
    history.append_string("select 1;")
    assert list(history.load_history_strings()) == []
    assert len(told) == 1
    assert "what you type is not kept" in told[0]


def test_history_follows_no_link(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "history").mkdir()
    (tmp_path / "precious").write_text("x")
    history_path(tmp_path, "t").symlink_to(tmp_path / "precious")
    history = TargetHistory(history_path(tmp_path, "t"), told.append)
    history.open()
    history.append_string("select 1;")
    assert (tmp_path / "precious").read_text() == "x"
    assert len(told) == 1


def test_a_long_history_is_shortened(tmp_path: Path) -> None:
    path = history_path(tmp_path, "t")
    path.parent.mkdir()
    path.write_text("".join(f"\n# time\n+select {i};\n" for i in range(MAX_BYTES // 15)))
    assert path.stat().st_size > MAX_BYTES
    history = TargetHistory(path, pytest.fail)
    history.open()
    assert path.stat().st_size <= MAX_BYTES // 2
    entries = list(history.load_history_strings())
    assert entries[0] == f"select {MAX_BYTES // 15 - 1};"
    assert all(entry.startswith("select ") for entry in entries)


def test_the_editor_gets_the_statement_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text().replace('1', '2'))"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    assert edit("select 1;") == "select 2;"
    script.write_text("import sys; sys.exit(3)")
    with pytest.raises(UsageError, match="the editor ended with status 3"):
        edit("select 1;")
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    with pytest.raises(UsageError, match="cannot edit with /no/such/editor"):
        edit("select 1;")


def test_the_statement_being_edited_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, os, pathlib; f = pathlib.Path(sys.argv[1]); f.write_text(oct(os.stat(f.parent).st_mode & 0o777))"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    assert edit("select 1;") == "0o700"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0.4 ms"), (0.25, "250 ms"), (2.5, "2.50 s"), (61, "1 min 1 s"), (3599.9, "60 min 0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
