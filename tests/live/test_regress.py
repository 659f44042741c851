"""The comparison over PostgreSQL's regression SQL: its verdicts on a few statements whose outcome is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.conftest import LiveServer, fresh_database
from tools.regress.outcomes import Outcome, Verdict
from tools.regress.play import Places, Play
from tools.regress.report import Report
from tools.regress.seen import Seen
from tools.regress.sessions import Gated

SCRIPT = r"""
CREATE TABLE t (id int PRIMARY KEY, name text, n int);
INSERT INTO t VALUES (1, 'one', 10), (2, 'two', 20), (3, NULL, 30);
\set low 1
SELECT id, n FROM t WHERE id > :low ORDER BY id;
SELECT id, name FROM t ORDER BY id;
SELECT count(*) FROM t WHERE name = 'two';
SELECT 1 / (id - 1) FROM t;
SELECT nothing FROM t;
SELECT pg_sleep(0);
SELECT lo_get(1);
SELECT random() AS r;
UPDATE t SET n = 0 WHERE name = 'two';
SELECT n FROM t ORDER BY id;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE name = 'two';
INSERT INTO t VALUES (4, 'four', 40) RETURNING id, name;
BEGIN;
DECLARE c CURSOR FOR SELECT id, name FROM t ORDER BY id;
FETCH 2 FROM c;
COMMIT;
\if false
SELECT 'not run';
\else
SELECT 'run' AS word \gset
SELECT :'word';
\endif
\d t
COPY t FROM stdin;
5	five	50
6	six;	60
\.
SELECT max(n) FROM t;
"""


@pytest.fixture
def places(postgres_server: LiveServer) -> Iterator[Places]:
    """Three databases in the same state; no roles are made here, so that one server is enough."""
    with ExitStack() as stack:
        direct, gated, twin = (stack.enter_context(fresh_database(postgres_server)).dsn for _ in range(3))
        yield Places(direct, gated, twin, {})


def played(script: str, places: Places, folder: Path) -> list[Outcome]:
    file = folder / "known.sql"
    file.write_text(script, encoding="utf-8")
    return Play(file, places).run().outcomes


def test_each_statement_gets_its_verdict(places: Places, tmp_path: Path) -> None:
    outcomes = played(SCRIPT, places, tmp_path)
    assert [(o.text.partition(" FROM")[0][:30], str(o.verdict)) for o in outcomes] == [
        ("CREATE TABLE t (id int PRIMARY", "identical"),
        ("INSERT INTO t VALUES (1, 'one'", "identical"),
        ("SELECT id, n", "identical"),
        ("SELECT id, name", "masked"),
        ("SELECT count(*)", "masked"),
        ("SELECT 1 / (id - 1)", "identical"),
        ("SELECT nothing", "identical"),
        ("SELECT pg_sleep(0)", "refused"),
        ("SELECT lo_get(1)", "refused by both"),
        ("SELECT random() AS r", "unstable"),
        ("UPDATE t SET n = 0 WHERE name ", "refused"),
        ("SELECT n", "identical"),
        ("EXPLAIN (COSTS OFF) SELECT *", "masked plan"),
        ("INSERT INTO t VALUES (4, 'four", "masked columns"),
        ("BEGIN", "identical"),
        ("DECLARE c CURSOR FOR SELECT id", "identical"),
        ("FETCH 2", "masked columns"),
        ("COMMIT", "identical"),
        ("SELECT 'run' AS word", "identical"),
        ("SELECT 'run'", "identical"),
        ("COPY t", "refused"),
        ("SELECT max(n)", "identical"),
    ]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Seen(["id", "n"], [23, 23], [("1", "10"), ("2", "20"), ("3", "31")], "SELECT 3"), "rows: row 3"),
        (Seen(["id", "n"], [23, 23], [("2", "20"), ("1", "10"), ("3", "30")], "SELECT 3"), "rows: row 1"),
        (Seen(["id", "m"], [23, 23], [("1", "10"), ("2", "20"), ("3", "30")], "SELECT 3"), "names: "),
        (Seen(["id", "n"], [23, 20], [("1", "10"), ("2", "20"), ("3", "30")], "SELECT 3"), "types: "),
        (Seen(["id", "n"], [23, 23], [("1", "10"), ("2", "20"), ("3", "30")], "SELECT 2"), "status: "),
        (Seen(sqlstate="42501", message="permission denied"), "error: "),
        (Seen(["id", "n"], [23, 23], [("1", "10"), ("2", "20"), ("3", "30")], "SELECT 3", transaction="open"), "trans"),
    ],
)
def test_a_wrong_answer_is_different(
    wrong: Seen, reason: str, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Gated.run
    monkeypatch.setattr(
        Gated, "run", lambda self, text: wrong if text == "SELECT id, n FROM t ORDER BY id" else run(self, text)
    )
    script = SCRIPT.partition("\\set")[0] + "SELECT id, n FROM t ORDER BY id;"
    outcome = played(script, places, tmp_path)[-1]
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.reason.startswith(reason)


@pytest.mark.parametrize("cell", ["two", "***two", None])
def test_a_value_that_is_no_mask_is_different(
    cell: str | None, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Gated.run

    def tampered(self: Gated, text: str) -> Seen:
        seen = run(self, text)
        if text.startswith("SELECT id, name"):
            seen.rows[1] = ("2", cell)
        return seen

    monkeypatch.setattr(Gated, "run", tampered)
    script = SCRIPT.partition("\\set")[0] + "SELECT id, name FROM t ORDER BY id;"
    outcome = played(script, places, tmp_path)[-1]
    assert outcome.verdict is Verdict.DIFFERENT
    assert outcome.reason.startswith("with masks: rows")


def test_the_report_counts_and_fails(places: Places, tmp_path: Path) -> None:
    file = tmp_path / "known.sql"
    file.write_text(SCRIPT, encoding="utf-8")
    report = Report()
    report.add("known", Play(file, places).run())
    lines = "\n".join([*report.table(), *report.summary()])
    assert "function refused: large objects are data that no policy can label" in lines
    assert "psql's own command \\d" in lines
    assert "function refused: it only waits" in lines
    assert report.failed  # one refused SELECT of a dozen is more than 3 %
    assert report.refused_percent == pytest.approx(100 / 12)
    assert report.refused_at_all_percent == pytest.approx(200 / 12)
