"""A role with rights on single columns gets through dbgate what it gets from PostgreSQL: rows, or the same denial."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from tests.conftest import LiveDatabase
from tests.corpus.worlds import judged, outcome

from dbgate.database import connect
from dbgate.gate.policy.read import read_policy
from dbgate.model import Allow, Rewrite, Target
from dbgate.session.ports import Database

POLICY = read_policy(
    [
        (
            "policy.yaml",
            """
version: 1
classify: [{columns: ["hr.*.ssn"], tag: pii.ssn}]
mask: {pii.ssn: {method: "null"}}
rules: [{id: all, when: {groups: [staff], access: [read, write]}, effect: allow}]
""",
        )
    ]
)
MADE = """CREATE SCHEMA hr;
CREATE TABLE hr.t (id int PRIMARY KEY, name text, pay int, ssn text); INSERT INTO hr.t VALUES (1, 'one', 10, NULL), (2, 'two', 20, NULL);
CREATE TABLE hr.u (id int PRIMARY KEY, t_id int, code text, ssn text); INSERT INTO hr.u VALUES (1, 1, 'a', NULL), (2, 1, 'b', NULL), (3, 2, 'c', NULL);
CREATE TABLE hr.p (id int PRIMARY KEY, word text, closed text); INSERT INTO hr.p VALUES (1, 'w', 'x');
GRANT USAGE ON SCHEMA hr TO {user}; GRANT SELECT (id, name) ON hr.t TO {user}; GRANT SELECT (id, code, ssn), UPDATE (code) ON hr.u TO {user};
GRANT SELECT (id, word) ON hr.p TO {user};"""
DENIED, TOO_MANY_NAMES = "42501", "42P10"


@pytest.fixture(scope="module")
def database(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute(MADE.format(user=module_database.app_user))
    return module_database


@pytest.fixture(scope="module")
def connection(database: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = connect(Target("t", "postgres", database.app_dsn), state_dir=tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


def directly(sql: str, database: LiveDatabase) -> tuple[str, list[tuple[str | None, ...]]]:
    """The SQLSTATE and the rows that PostgreSQL gives the role."""
    with psycopg.connect(database.app_dsn) as opened, opened.transaction(force_rollback=True):
        raw = opened.pgconn.exec_params(sql.encode(), [])
        sqlstate = (raw.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
        cells = [[raw.get_value(r, c) for c in range(raw.nfields)] for r in range(raw.ntuples)]
    return sqlstate, sorted(tuple(None if v is None else v.decode() for v in row) for row in cells)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT j.name FROM (hr.t JOIN hr.u USING (id)) AS j",
        "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r JOIN hr.t ON t.id = n) SELECT n FROM r",
        "SELECT name, code FROM (hr.t a JOIN hr.u b USING (id)) AS j WHERE id > 1",
        "SELECT j.id FROM (hr.t a JOIN hr.u b(id, x, y, z) USING (id)) j",
        "SELECT id, y FROM (hr.t a JOIN hr.u b(id, x, y, z) USING (id)) j ORDER BY j.id",
        "SELECT j.code, k.id FROM ((hr.t a LEFT JOIN hr.u b USING (id)) AS j JOIN hr.p USING (id)) AS k, (hr.t c JOIN hr.u d USING (id)) AS j",
        "SELECT k.code FROM ((hr.t a JOIN hr.u b USING (id)) AS j JOIN hr.p USING (id)) AS k",
        "SELECT count(*) FROM (hr.t a CROSS JOIN hr.u b) AS j",
        "SELECT x, y FROM (hr.t JOIN hr.u USING (id)) AS j (x, y)",
        "SELECT j.y, j.c FROM (hr.t JOIN hr.u USING (id)) AS j (x, y, p, s, t, c) WHERE j.x > 1",
        "SELECT j.code FROM (hr.t JOIN hr.u USING (id)) AS j (x, y)",
        "SELECT c FROM (hr.t a JOIN hr.u b (name, pay, code, z) ON a.id = b.name) AS j (i, n, p, s, k, u, c)",
        "SELECT k.n FROM ((hr.t JOIN hr.u USING (id)) AS j (i, n) JOIN hr.p ON j.i = p.id) AS k (a, n)",
        "SELECT i, w FROM (hr.t NATURAL JOIN hr.p) AS j (i, n, p, s, w) ORDER BY n",
        "SELECT count(*) FROM (hr.t CROSS JOIN hr.u) AS j (a, b)",
        "SELECT p FROM (hr.t JOIN hr.u USING (id)) AS j (x, y, p)",
        "SELECT j FROM (hr.t JOIN hr.u USING (id)) AS j (x, y)",
        "SELECT j.* FROM (hr.t JOIN hr.u USING (id)) AS j (x, y)",
        "SELECT 1 FROM (hr.t a JOIN hr.u b ON a.id = b.id AND b.code <> 'z') AS j",
        "SELECT b.c, b.i FROM hr.u AS b (i, t, c)",
        "SELECT c, s FROM ONLY hr.u b(i, t, c, s) WHERE b.i = 1",
        "SELECT b.s FROM hr.u AS b (i, t, c, s) TABLESAMPLE SYSTEM (100)",
        "SELECT b.ctid, b.c FROM hr.u AS b (i, t, c) ORDER BY b.i",
        "SELECT name FROM (hr.t JOIN (SELECT id FROM hr.u) AS q USING (id)) AS j",
        "WITH q AS (SELECT j.name FROM (hr.t JOIN hr.u USING (id)) AS j) SELECT * FROM q",
        "UPDATE hr.u SET code = j.name FROM (hr.t a JOIN hr.p b USING (id)) AS j WHERE hr.u.id = j.id",
        "SELECT x.id FROM (hr.t NATURAL JOIN hr.p) AS x",
        "SELECT word FROM hr.p p(a, word)",
        "SELECT j.closed FROM (hr.p JOIN hr.t USING (id)) AS j",
        "SELECT * FROM (hr.t JOIN hr.u USING (id)) AS j",
        "SELECT j.* FROM (hr.t JOIN hr.u USING (id)) AS j",
        "SELECT j FROM (hr.t JOIN hr.u USING (id)) AS j",
        "SELECT (j.*) IS NULL FROM (hr.t JOIN hr.u USING (id)) AS j",
        "SELECT row_to_json(j) FROM (hr.t JOIN hr.u USING (id)) AS j",
        "SELECT pay FROM (hr.t JOIN hr.u USING (id)) AS j",
        "SELECT j.x FROM (hr.t a JOIN hr.u b(id, x, y, z) USING (id)) j",
        "SELECT b.t FROM hr.u AS b (i, t)",
        "SELECT b FROM hr.u AS b (i, t)",
        "SELECT 1 FROM (hr.t a JOIN hr.u b ON a.pay = b.id) AS j",
        "SELECT b.c FROM hr.u AS b (i, t, c, s, x)",
    ],
)
def test_rights_on_columns_are_asked_as_postgresql_asks(sql: str, connection: Database, database: LiveDatabase) -> None:
    decision = judged(sql, connection, POLICY).decision
    assert isinstance(decision, Allow | Rewrite), decision
    seen = outcome(decision.text, connection)
    sqlstate, rows = directly(sql, database)
    assert sqlstate in {"", DENIED, TOO_MANY_NAMES}
    assert (seen.messages[:5], sorted(seen.rows)) == (sqlstate, rows), decision.text
