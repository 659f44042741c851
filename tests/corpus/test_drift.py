"""What others change in the database while a session is open stays hidden until dbgate has looked at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import LiveDatabase
from tests.corpus.worlds import judged, outcome

from dbgate.database import connect
from dbgate.errors import StatementError
from dbgate.gate.policy.read import read_policy
from dbgate.model import Allow, Rewrite, Target
from dbgate.session.ports import Database

POLICY = read_policy(
    [
        (
            "policy.yaml",
            """
version: 1
classify: [{columns: ["*.*.*ssn*"], tag: pii.ssn}]
rules: [{id: all, when: {groups: [staff], access: [read, write]}, effect: allow}]
""",
        )
    ]
)
MADE = "CREATE SCHEMA hr; CREATE TABLE hr.t (id int PRIMARY KEY, name text); INSERT INTO hr.t VALUES (1, 'one'); CREATE VIEW hr.v AS SELECT id FROM hr.t;"
CHANGED = """ALTER TABLE hr.t ADD COLUMN ssn text DEFAULT 'Zebrafish1'; CREATE OR REPLACE VIEW hr.v AS SELECT id, ssn FROM hr.t;
CREATE TABLE hr.fresh (ssn text); INSERT INTO hr.fresh VALUES ('Zebrafish2'); GRANT ALL ON ALL TABLES IN SCHEMA hr TO {user};"""


@pytest.fixture(scope="module")
def drifted(module_database: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A connection whose catalog is older than a change."""
    user = module_database.app_user
    module_database.execute(
        f"{MADE} GRANT USAGE ON SCHEMA hr TO {user}; GRANT ALL ON ALL TABLES IN SCHEMA hr TO {user}"
    )
    opened = connect(Target("t", "postgres", module_database.app_dsn), state_dir=tmp_path_factory.mktemp("state"))
    opened.catalog()
    module_database.execute(CHANGED.format(user=user))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM hr.t",
        "TABLE hr.t",
        "SELECT t.* FROM hr.t",
        "SELECT (t).* FROM hr.t",
        "SELECT *, 1 AS one FROM hr.t t JOIN hr.v USING (id)",
        "SELECT q.* FROM (SELECT * FROM hr.t) q",
        "WITH q AS (TABLE hr.t) SELECT * FROM q",
        "SELECT * FROM hr.t FOR UPDATE",
        "SELECT * FROM ONLY hr.t",
        "SELECT * FROM hr.t TABLESAMPLE SYSTEM (100)",
        "SELECT t.* FROM hr.t GROUP BY id",
        "SELECT * FROM hr.v",
        "SELECT row_to_json(t) FROM hr.t",
        "SELECT row_to_json(t.*) FROM hr.t",
        "SELECT json_agg(t) FROM hr.t",
        "SELECT to_jsonb(ROW(t.*)) FROM hr.t",
        "SELECT jsonb_agg(q) FROM (SELECT * FROM hr.t) q",
        "COPY hr.t TO STDOUT",
        "COPY (TABLE hr.t) TO STDOUT",
        "UPDATE hr.t SET name = 'x' WHERE id = 1 RETURNING *",
        "INSERT INTO hr.t (id) VALUES (2) RETURNING *",
        "DELETE FROM hr.t WHERE id = 1 RETURNING t.*",
        "MERGE INTO hr.t USING (VALUES (1)) AS n(i) ON t.id = n.i WHEN MATCHED THEN UPDATE SET name = 'm'",
        "WITH u AS (UPDATE hr.t SET name = 'y' WHERE id = 1 RETURNING *) SELECT * FROM u",
        "SELECT * FROM (hr.t JOIN hr.v USING (id)) AS j",
        "SELECT j.* FROM (hr.t a JOIN hr.v b USING (id)) AS j",
        "SELECT j FROM (hr.t a JOIN hr.v b USING (id)) AS j",
        "SELECT row_to_json(j), j.id FROM (hr.t a LEFT JOIN hr.v b USING (id)) AS j",
        "SELECT to_jsonb(k) FROM ((hr.t a JOIN hr.v b USING (id)) AS j CROSS JOIN hr.v c) AS k",
        "SELECT count(j.*), max(j::text) FROM (hr.t JOIN hr.v USING (id)) AS j",
        "SELECT * FROM (hr.t a JOIN hr.v b USING (id)) AS j (x, y)",
        "SELECT z FROM (hr.t a CROSS JOIN hr.v b) AS j (x, y, z)",
        "SELECT j.* FROM (hr.t JOIN (SELECT 1 AS id) AS q USING (id)) AS j GROUP BY j.id",
        "SELECT b.y FROM hr.t AS b (x, y)",
        "SELECT * FROM hr.t AS b (x)",
        "UPDATE hr.t SET name = 'x' FROM (hr.t a JOIN hr.v b USING (id)) AS j WHERE t.id = j.id RETURNING j.*",
    ],
)
def test_a_column_that_was_added_meanwhile_is_not_shown(sql: str, drifted: Database) -> None:
    decision = judged(sql, drifted, POLICY).decision
    assert isinstance(decision, Allow | Rewrite), decision
    seen = outcome(decision.text, drifted)
    assert seen.messages == ""
    assert "Zebrafish" not in str(seen.rows)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ssn FROM hr.t",
        "SELECT t.ssn FROM hr.t",
        "SELECT (t).ssn FROM hr.t",
        "SELECT hr.t.ssn FROM hr.t",
        "SELECT id FROM hr.t WHERE ssn LIKE 'Z%'",
        "SELECT id FROM hr.t ORDER BY ssn",
        "SELECT ssn FROM hr.v",
        "SELECT 1 FROM hr.v JOIN hr.t USING (ssn)",
        "SELECT * FROM hr.fresh",
        "UPDATE hr.t SET name = ssn WHERE id = 1",
        "UPDATE hr.t SET name = 'x' WHERE ssn LIKE 'Z%'",
        "UPDATE hr.t SET name = 'x' WHERE id = 1 RETURNING ssn",
        "UPDATE hr.t SET name = 'x' WHERE id = 1 RETURNING id, upper(t.ssn)",
        "INSERT INTO hr.t (id) VALUES (3) RETURNING (SELECT ssn)",
        "DELETE FROM hr.t WHERE ssn IS NOT NULL RETURNING id",
        "MERGE INTO hr.t USING (VALUES (1)) AS n(i) ON t.ssn = 'Zebrafish1' WHEN MATCHED THEN DELETE",
        "COPY hr.t (ssn) TO STDOUT",
        "SELECT ssn FROM (hr.t JOIN hr.v USING (id)) AS j",
        "SELECT j.ssn FROM (hr.t a JOIN hr.v b USING (id)) AS j",
        "SELECT (j).ssn FROM (hr.t a JOIN hr.v b USING (id)) AS j",
        "SELECT id FROM (hr.t a JOIN hr.v b USING (id)) AS j ORDER BY j.ssn",
        "SELECT b.ssn FROM hr.t AS b (x, y)",
    ],
)
def test_a_column_or_table_that_was_added_meanwhile_does_not_exist_yet(sql: str, drifted: Database) -> None:
    assert code_of(sql, drifted) in {"42703", "42P01"}


def code_of(sql: str, drifted: Database) -> str:
    """The SQLSTATE of the gate, or of the server, which may show nothing."""
    try:
        decision = judged(sql, drifted, POLICY).decision
    except StatementError as error:
        return error.sqlstate
    assert isinstance(decision, Allow | Rewrite), decision
    seen = outcome(decision.text, drifted)
    assert seen.rows == []
    return seen.messages[:5]
