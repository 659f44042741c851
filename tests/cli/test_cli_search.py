"""`dbgate audit search` and `usage` over buckets with known contents."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import START, Installation, intent, outcome, overwrite
from tests.cli.test_cli_audit import Desk, desk_at

from dbgate.audit import layout
from dbgate.audit.bucket import FileBucket
from dbgate.audit.keys import own_keys
from dbgate.model import Json

EMPLOYEES = "payroll.employees"
SSN: Json = {"column": f"{EMPLOYEES}.ssn", "tag": "pii.ssn", "hidden": True}
PAY_IN_CLEAR: Json = {"column": f"{EMPLOYEES}.salary", "tag": "finance.pay", "hidden": False}
LEO: Json = {"issuer": "https://login.example.com/tenant", "subject": "77", "email": "leo@example.com", "groups": []}


def reads(*labelled: Json, relations: list[Json] | None = None, **more: Json) -> dict[str, Json]:
    columns: list[Json] = [f"{EMPLOYEES}.id"]
    fields: dict[str, Json] = {
        "access": "read",
        "relations": relations if relations is not None else [EMPLOYEES],
        "columns": columns,
        "labelled": list(labelled),
        "reason": "INC-1",
    }
    return fields | more


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Two sessions of two people: masked and clear reads, a join, a write, a denial, a statement that nobody finished."""
    made = desk_at(tmp_path, capsys, monkeypatch)
    here = made.here
    with here.open() as mia:
        mia.record("statement.intent", {**intent(1, "SELECT id, ssn", "rewrite"), **reads(SSN)})
        mia.record("statement.outcome", outcome(1, "SELECT 5", rows=5))
        mia.record("statement.intent", {**intent(2, "SELECT salary"), **reads(SSN, PAY_IN_CLEAR, reason="INC-2")})
        mia.record("statement.outcome", outcome(2, "SELECT 2", rows=2))
        mia.record("statement.intent", intent(3, "DROP TABLE t", "deny", verb="drop", access="ddl", denied="no"))
        mia.close({"reason": "quit", "statements": 3})
    joined: list[Json] = [EMPLOYEES, "payroll.pay"]
    with here.open(**{**START, "identity": LEO, "target": "prod/pay roll"}) as leo:
        leo.record("statement.intent", {**intent(1, "SELECT … JOIN"), **reads(relations=joined)})
        leo.record("statement.outcome", outcome(1, "SELECT 7", rows=7))
        update = reads(access="write", verb="update", writes=[EMPLOYEES], grant="g1")
        leo.record("statement.intent", {**intent(2, "UPDATE", "approve"), **update})
        leo.record("approval.redeemed", {"id": 2, "request": "r1", "grant": "g1", "approved_by": ["grace"]})
        leo.record("statement.outcome", outcome(2, "UPDATE 3", rows=3))
        leo.close({"reason": "quit", "statements": 2})
    here.ship()
    return made


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def asked(desk: Desk, query: str, *more: str) -> list[Any]:
    ran = desk.dbgate("audit", "search", query, "--format", "ndjson", *more)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_statements_join_who_asked_and_how_it_ended(desk: Desk) -> None:
    found = asked(
        desk, "SELECT person, target, id, decision, refused, status, rows FROM statements ORDER BY person, id"
    )
    assert [list(row.values()) for row in found] == [
        ["leo@example.com", "prod/pay roll", 1, "allow", None, "SELECT 7", 7],
        ["leo@example.com", "prod/pay roll", 2, "approve", None, "UPDATE 3", 3],
        ["mia@example.com", "payroll", 1, "rewrite", None, "SELECT 5", 5],
        ["mia@example.com", "payroll", 2, "allow", None, "SELECT 2", 2],
        ["mia@example.com", "payroll", 3, "deny", "no", None, None],
    ]
    (labelled,) = asked(desk, "SELECT labelled, columns FROM statements WHERE text = 'SELECT salary'")
    assert labelled == {"labelled": [SSN, PAY_IN_CLEAR], "columns": [f"{EMPLOYEES}.id"]}


def test_the_other_tables(desk: Desk) -> None:
    assert asked(desk, "SELECT person, groups, ended FROM sessions ORDER BY person") == [
        {"person": "leo@example.com", "groups": [], "ended": "quit"},
        {"person": "mia@example.com", "groups": ["engineering"], "ended": "quit"},
    ]
    assert asked(desk, "SELECT what, request, approved_by FROM approvals") == [
        {"what": "redeemed", "request": "r1", "approved_by": ["grace"]}
    ]
    assert asked(desk, "SELECT kind, count(*) AS n FROM records GROUP BY ALL ORDER BY kind") == [
        {"kind": "approval.redeemed", "n": 1},
        {"kind": "session.end", "n": 2},
        {"kind": "session.start", "n": 2},
        {"kind": "statement.intent", "n": 5},
        {"kind": "statement.outcome", "n": 4},
    ]


NO_FIELDS = {"allow", "rewrite", "approve", "deny", "cancelled", "unknown", "done", "unmask", "column", "tag", "hidden"}
"""Words of the table of records that name values, or what stands within a field."""


def test_every_documented_field_can_be_searched(desk: Desk) -> None:
    page = (Path(__file__).parents[2] / "docs" / "transcript.md").read_text()
    table = page.partition("| kind | fields |\n")[2].partition("\n\n")[0]
    fields = {word for row in table.splitlines()[1:] for word in re.findall(r"`([a-z_]+)`", row.split("|", 2)[2])}
    assert len(fields) > 70
    assert fields - {row["column_name"] for row in asked(desk, "DESCRIBE records")} == NO_FIELDS


def test_whose_installation_recorded_a_session(desk: Desk) -> None:
    rows = asked(desk, "SELECT DISTINCT log, sealed_by FROM sessions")
    (key,) = own_keys(desk.here.state_dir)
    assert [row["sealed_by"] for row in rows] == [key.id]
    assert rows[0]["log"].startswith("dbgate/")


def test_parameters_are_bound_never_pasted(desk: Desk) -> None:
    evil = "' OR true --"
    query = "SELECT count(*) AS n FROM sessions WHERE person = $who"
    assert asked(desk, query, "-p", "who=mia@example.com") == [{"n": 1}]
    assert asked(desk, query, "-p", f"who={evil}") == [{"n": 0}]
    ran = desk.dbgate("audit", "search", query)
    assert ran.code == 1


def test_only_the_folders_that_are_asked_for_are_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []
    before = FileBucket.get

    def noting(bucket: FileBucket, path: str) -> bytes | None:
        got.append(path)
        return before(bucket, path)

    monkeypatch.setattr(FileBucket, "get", noting)
    assert asked(desk, "SELECT count(*) AS n FROM records WHERE target = 'payroll'") == [{"n": 7}]
    assert got
    assert all("/target=payroll/" in path for path in got)
    got.clear()
    assert asked(desk, "SELECT count(*) AS n FROM records WHERE date = '2001-01-01'") == [{"n": 0}]
    assert asked(desk, "SELECT count(*) AS n FROM records", "--until", "2001-01-01") == [{"n": 0}]
    assert got == []


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{bucket}/x.csv'",
        "COPY (SELECT 1) TO 'transcripts://sessions/x.csv'",
        "SELECT 1; SELECT 2",
        "",
        "CREATE TABLE t (a int)",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH '{bucket}/x.db'",
        "SET enable_external_access = true",
        "PRAGMA enable_external_access = true",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{bucket}/x.csv'",
        "EXPORT DATABASE '{bucket}/x'",
        "DELETE FROM records",
        "CALL pragma_version()",
    ],
)
def test_what_is_no_query_is_refused(desk: Desk, query: str) -> None:
    before = sorted(desk.here.bucket_dir.rglob("*"))
    ran = desk.dbgate("audit", "search", query.format(bucket=desk.here.bucket_dir))
    assert (ran.code, ran.out) == (2, "")
    assert "one query is taken" in ran.err
    assert sorted(desk.here.bucket_dir.rglob("*")) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('{config}')",
        "SELECT * FROM read_csv('{config}')",
        "SELECT * FROM '{config}'",
        "SELECT * FROM glob('{root}/*')",
        "SELECT * FROM read_blob('transcripts://keys/*')",
        "SELECT * FROM read_text('https://127.0.0.1:1/x')",
        "SELECT * FROM duckdb_secrets()",
        "SELECT getenv('HOME')",
        "SELECT * FROM query('SELECT * FROM read_text(''{config}'')')",
        "SELECT * FROM sniff_csv('{config}')",
        "SELECT * FROM parquet_scan('{config}')",
        "SELECT * FROM sqlite_scan('{config}', 't')",
        "WITH gone AS (DELETE FROM records RETURNING *) SELECT * FROM gone",
        "SELECT * FROM desk",
    ],
)
def test_a_query_reaches_nothing_but_the_tables(desk: Desk, query: str) -> None:
    config = desk.here.root / "config.yaml"
    ran = desk.dbgate("audit", "search", query.format(config=config, root=desk.here.root))
    assert ran.code == 1, ran
    assert ran.out == ""
    assert ran.err.startswith("error: ")


def test_errors_of_a_query_are_told(desk: Desk) -> None:
    ran = desk.dbgate("audit", "search", "SELECT nothing FROM statements")
    assert ran.code == 1
    assert 'Referenced column "nothing" not found' in ran.err
    assert "hint: DESCRIBE statements tells the columns of a table; the tables are records, sessions," in ran.err
    ran = desk.dbgate("audit", "search", "SELECT * FROM nothing")
    assert "hint: the tables are records, sessions, statements, approvals" in ran.err
    ran = desk.dbgate("audit", "search", "SELECT $t")
    assert (ran.code, "hint: bind each $NAME with -p NAME=VALUE" in ran.err) == (1, True)
    ran = desk.dbgate("audit", "search", "SELECT * FROM glob('transcripts://*')")
    assert ran.err.startswith("error: FileNotFoundError: transcripts://*")
    ran = desk.dbgate("audit", "usage", "--format", "pdf")
    assert (ran.code, "html" in ran.err) == (2, True)


def damaged_object(here: Installation) -> Path:
    (found,) = here.bucket_dir.glob("sessions/*/target=payroll/*/00000.jsonl.zst")
    return found


def test_a_damaged_object_stops_the_search_unless_it_is_left_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = desk.here.root / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    path = damaged_object(desk.here)
    overwrite(path, path.read_bytes()[:-9])
    ran = desk.dbgate("audit", "search", "SELECT count(*) AS n FROM sessions")
    assert (ran.code, ran.out) == (7, "")
    assert str(path.relative_to(desk.here.bucket_dir)) in ran.err
    assert "dbgate audit verify" in ran.err
    ran = desk.dbgate("audit", "search", "SELECT count(*) AS n FROM sessions", "--skip-damaged")
    assert (ran.code, ran.out) == (0, "n\n1\n")
    assert f"notice: left out: {path.relative_to(desk.here.bucket_dir)}" in ran.err
    assert list(scratch.iterdir()) == []


def test_a_line_that_is_no_record_stops_the_search_unless_it_is_left_out(desk: Desk) -> None:
    path = damaged_object(desk.here)
    *lines, end = layout.decompress(path.read_bytes()).splitlines(keepends=True)
    overwrite(path, layout.compress(b"".join([*lines, end[:150] + b"nonsense\n"])))
    ran = desk.dbgate("audit", "search", "SELECT count(*) AS n FROM sessions")
    assert ran.code == 7
    assert "00000.jsonl" in ran.err
    ran = desk.dbgate("audit", "search", "SELECT count(*) AS n FROM sessions", "--skip-damaged")
    assert (ran.code, ran.out) == (0, "n\n2\n")
    assert "notice: left out: 1 lines that are no records" in ran.err


def copied(here: Installation, to: str) -> Path:
    """Put a copy of mia's session somewhere else; `to` may name a date, a target or a session."""
    folder = damaged_object(here).parent
    date, target, session = folder.parts[-3:]
    new = {"date": date, "target": target, "session": session} | dict([to.split(" ")])
    place = here.bucket_dir / "sessions" / new["date"] / new["target"] / new["session"]
    shutil.copytree(folder, place)
    return place / "00000.jsonl.zst"


def moved(here: Installation) -> Path:
    old = damaged_object(here).parent
    new = copied(here, "target target=other")
    shutil.rmtree(old)
    return new


def with_segment(here: Installation, content: bytes, number: int = 1) -> Path:
    """Put one more segment into mia's session."""
    path = damaged_object(here).with_name(f"{number:05d}.jsonl.zst")
    path.write_bytes(layout.compress(content))
    return path


def plain(here: Installation, target: str = "payroll") -> bytes:
    (found,) = here.bucket_dir.glob(f"sessions/*/target={target}/*/00000.jsonl.zst")
    return layout.decompress(found.read_bytes())


def with_outcomes_of_another(here: Installation) -> Path:
    """Leo's records under the id of mia's session, behind hers."""
    path = damaged_object(here)
    ours, theirs = path.parent.name, next(here.bucket_dir.glob("sessions/*/target=prod*/*")).name
    foreign = plain(here, "prod*").replace(theirs.encode(), ours.encode())
    overwrite(path, layout.compress(plain(here) + foreign))
    return path


def without(here: Installation, record: int) -> Path:
    path = damaged_object(here)
    lines = plain(here).splitlines(keepends=True)
    overwrite(path, layout.compress(b"".join(lines[:record] + lines[record + 1 :])))
    return path


def with_two_starts(here: Installation) -> Path:
    path = damaged_object(here)
    lines = plain(here).splitlines(keepends=True)
    overwrite(path, layout.compress(b"".join([lines[0], lines[0].replace(b"mia@", b"eve@"), *lines[1:]])))
    return path


def numbered_on(here: Installation) -> bytes:
    """Mia's records once more, with the numbers that would follow."""
    lines = plain(here).splitlines(keepends=True)
    return b"".join(
        line.replace(b'"seq":%d,' % seq, b'"seq":%d,' % (seq + len(lines)), 1) for seq, line in enumerate(lines)
    )


MISPLACED = {
    "another date": lambda here: copied(here, "date date=2020-01-01"),
    "another target": lambda here: copied(here, "target target=other"),
    "another session": lambda here: copied(here, "session 01m8paczyzsc7bp8kst5smd6sp"),
    "moved": moved,
    "doubled": lambda here: with_segment(here, plain(here)),
    "another's segment": lambda here: with_segment(here, plain(here, "prod*")),
    "another's outcomes": with_outcomes_of_another,
    "two starts": with_two_starts,
    "no start": lambda here: without(here, 0),
    "a record less": lambda here: without(here, 2),
    "a gap": lambda here: with_segment(here, numbered_on(here), 2).with_name("00001.jsonl.zst"),
    "a leap": lambda here: with_segment(here, numbered_on(here).split(b"\n", 1)[1]),
    "half a line": lambda here: with_segment(here, numbered_on(here)[:-1]),
}


@pytest.mark.parametrize("attack", MISPLACED.values(), ids=MISPLACED.keys())
def test_nobody_is_counted_twice_or_as_somebody_else(desk: Desk, attack: Callable[[Installation], Path]) -> None:
    path = attack(desk.here).relative_to(desk.here.bucket_dir)
    for command in (["search", "SELECT * FROM statements"], ["usage"]):
        ran = desk.dbgate("audit", *command, "--format", "csv")
        assert (ran.code, ran.out) == (7, "")
        assert path.parent.as_posix() in ran.err
        assert "dbgate audit verify" in ran.err
    ran = desk.dbgate("audit", "search", "SELECT DISTINCT person FROM statements WHERE id = 2", "--skip-damaged")
    assert ran.code == 0
    assert "leo@example.com" in ran.out
    assert "eve@example.com" not in ran.out
    assert f"notice: left out: {path.parent.as_posix()}" in ran.err


def test_a_later_segment_counts_where_its_session_belongs(desk: Desk) -> None:
    assert with_segment(desk.here, numbered_on(desk.here))
    assert asked(desk, "SELECT count(*) AS n FROM records WHERE target = 'payroll'") == [{"n": 14}]
    copied(desk.here, "target target=other").unlink()
    ran = desk.dbgate("audit", "search", "SELECT count(*) FROM records WHERE target = 'other'", "--skip-damaged")
    assert ran.out.split() == ["count_star()", "0"]


TYPED = [
    "\ud800",
    "\udc00\ud800",
    "😀\ud83d",
    "\\ud800 \\\ud800",
    "a\udcffb\x00",
    "\ud83d\\\ude00",
    "é\u2028",
    "\\ud800\udc00",
]


def test_a_text_that_is_no_unicode_keeps_nobody_from_searching(desk: Desk) -> None:
    for number, text in enumerate(TYPED, 1):
        with desk.here.open(target="typed") as session:
            session.record("statement.intent", intent(number, text, "error", error=text))
            session.close({"reason": "quit"})
    desk.here.ship()
    found = asked(desk, "SELECT text, refused FROM statements WHERE target = 'typed' ORDER BY id")
    whole = [text.encode("utf-8", "backslashreplace").decode() for text in TYPED]
    assert [row["text"] for row in found] == [row["refused"] for row in found] == whole


def test_evil_cells_are_shown_as_text(desk: Desk) -> None:
    ran = desk.dbgate("audit", "search", "SELECT chr(27) || '[2Jgone' AS evil", "--format", "table")
    assert ran.code == 0
    assert "\x1b" not in ran.out
    assert "\\x1b[2Jgone" in ran.out


def test_sessions_in_the_spool_are_named(desk: Desk) -> None:
    desk.here.session()
    ran = desk.dbgate("audit", "search", "SELECT count(*) AS n FROM sessions")
    assert ran.out == "n\n2\n"
    assert ran.err.startswith("notice: 1 session of this machine is not shipped yet")


def test_a_copy_of_a_bucket(desk: Desk, tmp_path: Path) -> None:
    ran = desk.dbgate("audit", "search", "SELECT count(*) AS n FROM sessions", "--bucket", str(desk.here.bucket_dir))
    assert (ran.code, ran.out, ran.err) == (0, "n\n2\n", "")
    ran = desk.dbgate("audit", "search", "SELECT 1", "--bucket", str(tmp_path / "nowhere"))
    assert ran.code == 7


def usage(desk: Desk, *more: str) -> list[dict[str, str]]:
    ran = desk.dbgate("audit", "usage", "--format", "csv", *more)
    assert ran.code == 0, ran.err
    found = rows(ran.out)
    assert all(row.pop("last") for row in found)
    return found


def counted(row: dict[str, str]) -> list[int]:
    names = ("statements", "refused", "rows_returned", "rows_written", "masked", "clear", "approved", "reasons")
    return [int(row[name]) for name in names]


def test_usage_by_person_and_table(desk: Desk) -> None:
    found = {(r["person"][:3], r["table"]): counted(r) for r in usage(desk)}
    assert found == {
        ("mia", EMPLOYEES): [2, 0, 7, 0, 2, 1, 0, 2],
        ("mia", ""): [0, 1, 0, 0, 0, 0, 0, 0],
        ("leo", EMPLOYEES): [2, 0, 7, 3, 0, 0, 1, 1],
        ("leo", "payroll.pay"): [1, 0, 7, 0, 0, 0, 0, 1],
    }


def test_usage_by_column_and_tag(desk: Desk) -> None:
    found = {(r["column"], r["tag"]): counted(r)[:6] for r in usage(desk, "--by", "column,tag", "--person", "mia")}
    assert found == {
        (f"{EMPLOYEES}.ssn", "pii.ssn"): [2, 0, 7, 0, 2, 0],
        (f"{EMPLOYEES}.salary", "finance.pay"): [1, 0, 2, 0, 0, 1],
        (f"{EMPLOYEES}.id", ""): [2, 0, 7, 0, 0, 0],
        ("", ""): [0, 1, 0, 0, 0, 0],
    }


def test_what_a_grant_opened_counts_as_approved(desk: Desk) -> None:
    opened: Json = [{"column": f"{EMPLOYEES}.ssn", "tag": "pii.ssn", "grant": "g9"}]
    with desk.here.open(target="opened") as session:
        session.record("statement.intent", {**intent(1, "SELECT ssn"), **reads(SSN, unmasked=opened)})
        session.record("statement.outcome", outcome(1))
        session.record("statement.intent", {**intent(2, "SELECT ssn"), **reads(SSN, unmasked=[])})
        session.record("statement.outcome", outcome(2))
        session.close({"reason": "quit"})
    desk.here.ship()
    assert [counted(row)[6] for row in usage(desk, "--target", "opened")] == [1]


def test_usage_is_filtered(desk: Desk) -> None:
    assert [r["tag"] for r in usage(desk, "--by", "tag", "--tag", "finance.*")] == ["finance.pay"]
    assert {r["table"] for r in usage(desk, "--by", "table", "--table", "payroll.p*")} == {"payroll.pay"}
    assert {r["person"] for r in usage(desk, "--by", "person", "--target", "prod*")} == {"leo@example.com"}
    assert usage(desk, "--until", "2001-01-01") == []
    assert len(usage(desk, "--since", "1d")) == 4


def test_usage_of_records_from_before_columns_were_kept(tmp_path: Path, desk: Desk) -> None:
    with desk.here.open(target="old") as recorder:
        recorder.record("statement.intent", intent(1, relations=["s.t"], access="read", masked=["s.t.ssn"]))
        recorder.record("statement.outcome", outcome(1, rows=4))
        recorder.close({"reason": "quit"})
    desk.here.ship()
    assert [(r["column"], counted(r)[:6]) for r in usage(desk, "--by", "column", "--target", "old")] == [
        ("s.t.ssn", [1, 0, 4, 0, 1, 0])
    ]


def test_usage_as_a_chart_and_as_a_page(desk: Desk, tmp_path: Path) -> None:
    ran = desk.dbgate("audit", "usage", "--format", "table", "--chart")
    day, legend = ran.out.splitlines()[-2:]
    assert day.endswith(" 4")
    assert 0 < day.count("█") == day.count("▓")
    assert abs(day.count("░") - 2 * day.count("█")) <= 1
    assert legend.strip() == "█ in clear  ▓ masked  ░ no labelled column"
    page = tmp_path / "usage.html"
    ran = desk.dbgate("audit", "usage", "--by", "person", "--format", "html", "-o", str(page))
    assert (ran.code, ran.out) == (0, "")
    assert page.stat().st_mode & 0o777 == 0o600
    text = page.read_text(encoding="utf-8")
    assert "<td>mia@example.com</td>" in text
    assert 'http-equiv="Content-Security-Policy"' in text
    assert "<script" not in text
    assert "4 statements, 1 in clear, 1 masked" in text


def test_usage_cannot_be_grouped_by_what_is_not_there(desk: Desk) -> None:
    ran = desk.dbgate("audit", "usage", "--by", "person,tabel")
    assert ran.code == 2
    assert "hint: did you mean table?" in ran.err
    assert desk.dbgate("audit", "usage", "--by", "person,person").code == 2
    assert desk.dbgate("audit", "usage", "--format", "xml").code == 2
