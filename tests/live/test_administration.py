"""The statements of administrators: maintenance, definitions, privileges, statistics, as a policy's verbs allow them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import LiveDatabase

from dbgate.database import connect
from dbgate.gate.decide import Context, judge
from dbgate.gate.policy.read import read_policy
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Allow, Deny, Identity, Rewrite

POLICY = """
version: 1
classify:
  - {columns: ["*.*.ssn"], tag: pii.ssn}
mask: {"*": {method: redact}}
rows: [{table: s.filtered, where: "region = 'EU'"}]
rules:
  - {id: all, when: {groups: [dba]}, effect: allow}
"""

WORLD = """
CREATE SCHEMA s;
CREATE TABLE s.t (id int PRIMARY KEY, a text, n int, at date);
INSERT INTO s.t SELECT g, 'a' || g, g, '2024-01-01' FROM generate_series(1, 9) g;
CREATE TABLE s.labelled (id int PRIMARY KEY, ssn text, a text, n int DEFAULT 5);
INSERT INTO s.labelled SELECT g, 'ssn' || g, 'a' || g, g FROM generate_series(1, 9) g;
CREATE TABLE s.filtered (id int PRIMARY KEY, region text, note text);
INSERT INTO s.filtered VALUES (1, 'EU', 'a'), (2, 'US', 'b');
CREATE TABLE s.p (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE s.u (id int PRIMARY KEY, t int REFERENCES s.t);
CREATE SEQUENCE s.q;
CREATE VIEW s.v AS SELECT id FROM s.t;
CREATE MATERIALIZED VIEW s.m AS SELECT id FROM s.t;
CREATE UNIQUE INDEX ON s.m (id);
CREATE INDEX ti ON s.t (n);
CREATE TYPE s.e AS ENUM ('a');
CREATE DOMAIN s.d AS int;
CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'select 1';
"""

STATEMENTS = [
    line
    for line in (Path(__file__).parent / "administration.sql").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("--")
]


def test_administrators_do_their_work(database: LiveDatabase, tmp_path: Path) -> None:
    """Every statement is allowed and does on the server what it says."""
    database.execute(WORLD)
    policy = read_policy([("policy.yaml", POLICY)])
    dba = Identity("local:test", "dana", groups=("dba",))
    objects = SessionObjects()
    connection = connect(database.target(superuser=True), state_dir=tmp_path)
    try:
        for line in STATEMENTS:
            (source,) = split(line.replace(":app", database.app_user).replace(":db", database.name))
            context = Context(dba, policy, connection.catalog(refresh=True), "test", datetime.now(UTC), objects=objects)
            judgement = judge(source, context)
            assert isinstance(judgement.decision, Allow | Rewrite), f"{line}: {judgement.decision}"
            for _ in connection.run(judgement.decision.text).batches():
                pass
            objects = judgement.changes.apply(objects)
    finally:
        connection.close()
    assert database.query("SELECT to_regclass('s.n') IS NOT NULL, to_regnamespace('s2') IS NULL") == [(True, True)]
    assert database.query("SELECT count(*) FROM pg_proc WHERE proname = 'f' AND pronamespace = 's'::regnamespace") == [
        (0,)
    ]
    assert len(STATEMENTS) > 100


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN PERFORM 1; END $$",
        "SELECT pg_terminate_backend(1)",
        "SELECT pg_reload_conf()",
        "SELECT * FROM pg_hba_file_rules",
        "ALTER FUNCTION s.f() SECURITY DEFINER",
        "ALTER SCHEMA s RENAME TO pg_other",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "CREATE EXTENSION dblink",
        "COPY s.t TO PROGRAM 'cat'",
        "VACUUM s.t; DROP TABLE s.t",
    ],
)
def test_what_no_administrator_may_do_here(sql: str, database: LiveDatabase) -> None:
    database.execute(WORLD)
    connection = connect(database.target(superuser=True), state_dir=None)
    try:
        dba = Identity("local:test", "dana", groups=("dba",))
        policy = read_policy([("policy.yaml", POLICY + "  - {id: no-drop, when: {verbs: [drop]}, effect: deny}\n")])
        context = Context(dba, policy, connection.catalog(), "test", datetime.now(UTC))
        decisions = [judge(source, context).decision for source in split(sql)]
    finally:
        connection.close()
    assert isinstance(decisions[-1], Deny)
