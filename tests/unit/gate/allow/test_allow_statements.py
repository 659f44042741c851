"""Statements and syntax nodes: every one of the grammar has its place."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from dbgate.gate.allow.nodes import DEFINITION_NODES, EXPRESSION_NODES, STATEMENTS, Handling, statement_kind
from dbgate.gate.contents import nodes
from dbgate.gate.names import kind_of
from dbgate.gate.syntax import parse_one
from dbgate.model import Access

VERBS = frozenset(
    """select insert update delete merge truncate create alter drop comment grant revoke copy call do execute prepare
    deallocate declare fetch close explain show set reset begin commit rollback savepoint release lock refresh vacuum
    analyze cluster reindex listen notify unlisten discard checkpoint security import reassign load""".split()
)
"""The verbs that policy rules know."""

NOT_STATEMENTS = {"RawStmt", "SetOperationStmt", "ReplicaIdentityStmt"}
"""A wrapper, a node of the planner, and a part of ALTER TABLE."""


def test_every_statement_of_the_grammar_is_on_the_list() -> None:
    spec = importlib.util.find_spec("pgparse")
    assert spec is not None
    assert spec.origin is not None
    found = re.findall(rb"PgQuery__([A-Z][A-Za-z]+Stmt)\0", Path(spec.origin).read_bytes())
    assert {name.decode() for name in found} - NOT_STATEMENTS == set(STATEMENTS)
    assert len(STATEMENTS) > 100


def test_verbs_are_those_of_policies_and_refusals_have_reasons() -> None:
    assert {kind.verb for kind in STATEMENTS.values()} <= VERBS
    for name, kind in STATEMENTS.items():
        assert (kind.handling is Handling.REFUSED) == bool(kind.reason), name


KINDS = [
    ("SELECT 1", "select", "query", Access.READ),
    ("VALUES (1)", "select", "query", Access.READ),
    ("TABLE t", "select", "query", Access.READ),
    ("INSERT INTO t VALUES (1)", "insert", "dml", Access.WRITE),
    ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "merge", "dml", Access.WRITE),
    ("EXPLAIN SELECT 1", "explain", "query", Access.READ),
    ("COPY t TO STDOUT", "copy", "query", Access.READ),
    ("DECLARE c CURSOR FOR SELECT 1", "declare", "query", Access.READ),
    ("FETCH 1 FROM c", "fetch", "query", Access.READ),
    ("MOVE 1 IN c", "fetch", "query", Access.READ),
    ("CLOSE c", "close", "session", Access.SESSION),
    ("PREPARE p AS SELECT 1", "prepare", "query", Access.READ),
    ("EXECUTE p", "execute", "query", Access.READ),
    ("DEALLOCATE p", "deallocate", "session", Access.SESSION),
    ("CREATE TABLE a AS SELECT 1", "create", "query", Access.DDL),
    ("CREATE VIEW v AS SELECT 1", "create", "query", Access.DDL),
    ("CREATE TABLE a (b int)", "create", "ddl", Access.DDL),
    ("CREATE INDEX ON a (b)", "create", "ddl", Access.DDL),
    ("CREATE SCHEMA s", "create", "ddl", Access.DDL),
    ("ALTER TABLE a ADD b int", "alter", "ddl", Access.DDL),
    ("ALTER TABLE a RENAME TO b", "alter", "ddl", Access.DDL),
    ("ALTER TABLE a SET SCHEMA b", "alter", "ddl", Access.DDL),
    ("DROP TABLE a", "drop", "ddl", Access.DDL),
    ("DROP FUNCTION f", "drop", "ddl", Access.DDL),
    ("COMMENT ON TABLE a IS 'x'", "comment", "ddl", Access.DDL),
    ("TRUNCATE a", "truncate", "ddl", Access.WRITE),
    ("LOCK a", "lock", "ddl", Access.WRITE),
    ("REFRESH MATERIALIZED VIEW m", "refresh", "ddl", Access.WRITE),
    ("VACUUM a", "vacuum", "ddl", Access.ADMIN),
    ("ANALYZE a", "analyze", "ddl", Access.ADMIN),
    ("CLUSTER a", "cluster", "ddl", Access.ADMIN),
    ("REINDEX TABLE a", "reindex", "ddl", Access.ADMIN),
    ("CHECKPOINT", "checkpoint", "ddl", Access.ADMIN),
    ("GRANT SELECT ON a TO b", "grant", "ddl", Access.ADMIN),
    ("REVOKE SELECT ON a FROM b", "revoke", "ddl", Access.ADMIN),
    ("ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM b", "revoke", "ddl", Access.ADMIN),
    ("BEGIN", "begin", "transaction", Access.TRANSACTION),
    ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", "begin", "transaction", Access.TRANSACTION),
    ("COMMIT AND CHAIN", "commit", "transaction", Access.TRANSACTION),
    ("END", "commit", "transaction", Access.TRANSACTION),
    ("ABORT", "rollback", "transaction", Access.TRANSACTION),
    ("ROLLBACK TO a", "rollback", "transaction", Access.TRANSACTION),
    ("SAVEPOINT a", "savepoint", "transaction", Access.TRANSACTION),
    ("RELEASE a", "release", "transaction", Access.TRANSACTION),
    ("SET CONSTRAINTS ALL DEFERRED", "set", "transaction", Access.TRANSACTION),
    ("SET work_mem = '1MB'", "set", "session", Access.SESSION),
    ("SET work_mem TO DEFAULT", "reset", "session", Access.SESSION),
    ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "set", "session", Access.SESSION),
    ("RESET work_mem", "reset", "session", Access.SESSION),
    ("SHOW work_mem", "show", "session", Access.SESSION),
    ("DISCARD PLANS", "discard", "session", Access.SESSION),
    ("NOTIFY a", "notify", "session", Access.WRITE),
    ("UNLISTEN *", "unlisten", "session", Access.SESSION),
]


@pytest.mark.parametrize(("sql", "verb", "handling", "access"), KINDS)
def test_what_a_statement_is(sql: str, verb: str, handling: str, access: Access) -> None:
    kind, body = kind_of(parse_one(sql))
    found = statement_kind(kind, body)
    assert found is not None
    assert (found.verb, str(found.handling), found.access) == (verb, handling, access)
    allowed = DEFINITION_NODES if handling == "ddl" else EXPRESSION_NODES
    assert {name for name, _ in nodes({kind: body})} <= allowed


REFUSED = [
    "DO $$ BEGIN END $$",
    "LOAD 'x'",
    "LISTEN c",
    "SET TRANSACTION SNAPSHOT 'x'",
    "SET TRANSACTION READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "BEGIN READ WRITE",
    "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    "BEGIN READ ONLY, READ WRITE",
    "SET TRANSACTION READ ONLY READ WRITE",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY, READ WRITE",
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    "ROLLBACK PREPARED 'x'",
    "DISCARD ALL",
    "COPY t TO '/tmp/x'",
    "COPY t FROM '/etc/passwd'",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "COPY t FROM PROGRAM 'cat'",
    "CREATE TABLE a AS EXECUTE p",
    "CREATE SCHEMA s CREATE VIEW v AS SELECT 1",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE PROCEDURE f() LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1",
    "ALTER FUNCTION f() SECURITY DEFINER",
    "ALTER FUNCTION f() RENAME TO g",
    "ALTER FUNCTION f() SET SCHEMA s",
    "ALTER FUNCTION f() OWNER TO r",
    "ALTER SCHEMA a RENAME TO b",
    "ALTER TYPE a RENAME TO b",
    "ALTER DOMAIN a SET SCHEMA b",
    "ALTER OPERATOR + (int, int) SET SCHEMA b",
    "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(a, b, c)",
    "CREATE RULE r AS ON INSERT TO a DO ALSO SELECT 1",
    "CREATE POLICY p ON a USING (true)",
    "ALTER POLICY p ON a USING (true)",
    "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE OPERATOR + (FUNCTION = f, LEFTARG = int)",
    "CREATE CAST (int AS text) WITH FUNCTION f",
    "CREATE TYPE t (INPUT = a, OUTPUT = b)",
    "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = thesaurus, DictFile = x)",
    "CREATE EXTENSION dblink",
    "CREATE LANGUAGE plpython3u",
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
    "CREATE SERVER s FOREIGN DATA WRAPPER w",
    "CREATE USER MAPPING FOR u SERVER s OPTIONS (password 'x')",
    "CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (program 'cat')",
    "ALTER FOREIGN TABLE f OPTIONS (SET table_name 'employees')",
    "ALTER FOREIGN TABLE f ADD b int, ALTER a OPTIONS (SET column_name 'ssn')",
    "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO b",
    "CREATE PUBLICATION p FOR ALL TABLES",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
    "CREATE ROLE r",
    "ALTER ROLE r SUPERUSER",
    "ALTER ROLE r SET search_path = x",
    "ALTER DATABASE d SET search_path = x",
    "ALTER SYSTEM SET work_mem = 1",
    "GRANT a TO b",
    "GRANT SET ON PARAMETER log_statement TO b",
    "REASSIGN OWNED BY a TO b",
    "DROP OWNED BY a",
    "CREATE DATABASE d TEMPLATE x",
    "DROP DATABASE d",
    "CREATE TABLESPACE t LOCATION '/x'",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_what_no_rule_can_allow(sql: str) -> None:
    kind, body = kind_of(parse_one(sql))
    found = statement_kind(kind, body)
    assert found is not None
    assert found.handling is Handling.REFUSED
    assert found.reason
    assert found.verb in VERBS


def test_a_node_that_is_no_statement_is_unknown() -> None:
    assert statement_kind("RawStmt", {}) is None
    assert statement_kind("NoSuchStmt", {}) is None
    for node in ("Query", "FuncExpr", "CreateFunctionStmt", "DoStmt", "TruncateStmt", "NextValueExpr", "Param"):
        assert node not in EXPRESSION_NODES
    assert not {"SelectStmt", "CreateTrigStmt", "RuleStmt", "CreateFunctionStmt"} & DEFINITION_NODES


QUERIES = [
    """WITH RECURSIVE r(a, b) AS MATERIALIZED (SELECT 1, 2 UNION ALL SELECT a, b FROM r) SEARCH DEPTH FIRST BY a SET o
       CYCLE a SET c USING p SELECT * FROM r ORDER BY a USING < NULLS FIRST FETCH FIRST 3 ROWS WITH TIES""",
    """SELECT DISTINCT ON (a) a[1], a[1:2], (b).c, (d).*, $1::int, CASE a WHEN 1 THEN 2 ELSE 3 END, coalesce(a, b),
       greatest(a, b), nullif(a, b), ROW(a, b), ARRAY[1, 2], ARRAY(SELECT 1), a IS TRUE, a IS NULL, NOT a AND b OR c,
       a IN (1, 2), a = ANY (SELECT 1), a BETWEEN SYMMETRIC 1 AND 2, a COLLATE "C", B'1', 1.5, NULL, current_date,
       f(VARIADIC a), f(x => 1), count(DISTINCT a ORDER BY b) FILTER (WHERE c) OVER w, EXISTS (SELECT 1)
       FROM ONLY t AS x(a, b) TABLESAMPLE system (1) REPEATABLE (2), LATERAL (SELECT 1) s,
       ROWS FROM (f(1) AS (a int, b text), g(2)) WITH ORDINALITY o, a NATURAL JOIN b LEFT JOIN c USING (d) AS k
       GROUP BY GROUPING SETS ((a), ROLLUP (b), CUBE (c), ()) HAVING grouping(a) = 0
       WINDOW w AS (PARTITION BY a ORDER BY b RANGE BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES)
       LIMIT 1 OFFSET 2""",
    "SELECT * FROM t FOR UPDATE OF t SKIP LOCKED",
    "SELECT 1 UNION SELECT 2 INTERSECT ALL SELECT 3 EXCEPT SELECT 4",
    "SELECT 1 AS a INTO TEMP t FROM b",
    """SELECT xmlelement(name a, xmlattributes(b AS c), d), xmlforest(a), xmlparse(DOCUMENT a), xmlpi(name x),
       xmlroot(a, version '1'), xmlserialize(CONTENT a AS text), a IS DOCUMENT, xmlconcat(a, b) FROM t,
       XMLTABLE(XMLNAMESPACES('x' AS y), '/a' PASSING b COLUMNS c int PATH 'd' DEFAULT 1 NOT NULL, e FOR ORDINALITY) z""",
    """SELECT JSON_OBJECT('a': 1 FORMAT JSON ABSENT ON NULL RETURNING jsonb), JSON_ARRAY(1, 2), JSON_ARRAY(SELECT 1),
       JSON_OBJECTAGG(a: b), JSON_ARRAYAGG(a ORDER BY b), JSON('1'), JSON_SCALAR(1), JSON_SERIALIZE(a), a IS JSON OBJECT,
       JSON_VALUE(a, '$.b' PASSING 1 AS x RETURNING int DEFAULT 1 ON EMPTY ERROR ON ERROR), JSON_EXISTS(a, '$'),
       JSON_QUERY(a, '$' WITH WRAPPER) FROM t, JSON_TABLE(a, '$' AS root COLUMNS (b int PATH '$.b', c FOR ORDINALITY,
       d bool EXISTS, NESTED PATH '$.e[*]' AS n COLUMNS (f text FORMAT JSON)))""",
    """INSERT INTO t AS x (a, b[1], c.d) OVERRIDING SYSTEM VALUE VALUES (1, DEFAULT, 3)
       ON CONFLICT (a COLLATE "C" text_ops) WHERE b DO UPDATE SET (a, b) = (SELECT 1, 2), c = ROW(1) WHERE d RETURNING *""",
    "INSERT INTO t DEFAULT VALUES ON CONFLICT ON CONSTRAINT c DO NOTHING",
    "UPDATE t SET (a, b) = (1, 2), c = DEFAULT FROM s WHERE CURRENT OF k RETURNING t.*, a AS b",
    "WITH d AS (DELETE FROM t USING s WHERE true RETURNING *) SELECT * FROM d",
    """MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND b THEN UPDATE SET c = 1 WHEN NOT MATCHED BY SOURCE THEN DELETE
       WHEN NOT MATCHED THEN INSERT (a) VALUES (1) WHEN MATCHED THEN DO NOTHING RETURNING merge_action(), t.*""",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT 1",
    "CREATE MATERIALIZED VIEW m AS SELECT 1 WITH NO DATA",
    "CREATE OR REPLACE RECURSIVE VIEW v (a) AS SELECT 1 UNION SELECT a FROM v",
    "COPY (SELECT 1) TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE (a))",
    "DECLARE c BINARY SCROLL CURSOR WITH HOLD FOR SELECT 1",
    "PREPARE p(int, text) AS UPDATE t SET a = $1",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_queries_hold_only_known_nodes(sql: str) -> None:
    assert {kind for kind, _ in nodes(parse_one(sql))} - EXPRESSION_NODES == set()


DEFINITIONS = [
    """CREATE TABLE a (b int PRIMARY KEY DEFAULT 1 CHECK (b > 0) REFERENCES c (d) ON DELETE CASCADE,
       e text COLLATE "C" NOT NULL GENERATED ALWAYS AS (upper(f)) STORED, g bigint GENERATED BY DEFAULT AS IDENTITY,
       LIKE x INCLUDING ALL, EXCLUDE USING gist (h WITH &&) WHERE (i)) INHERITS (p) WITH (fillfactor = 70)""",
    "CREATE TABLE a (b int) PARTITION BY RANGE (b, lower(c) text_ops)",
    "CREATE TABLE a PARTITION OF b FOR VALUES FROM (1, MINVALUE) TO (2, MAXVALUE)",
    "CREATE TEMP TABLE a (b int) ON COMMIT DROP",
    "ALTER TABLE a ATTACH PARTITION b DEFAULT",
    "ALTER TABLE a ALTER c TYPE int USING c::int, REPLICA IDENTITY FULL, OWNER TO r",
    "CREATE UNIQUE INDEX CONCURRENTLY i ON a USING btree (lower(b) text_ops DESC NULLS LAST) INCLUDE (c) WHERE d",
    "CREATE SEQUENCE s AS bigint START 1 OWNED BY a.b",
    "CREATE TYPE t AS (a int, b text)",
    "CREATE TYPE t AS ENUM ('a', 'b')",
    "CREATE DOMAIN d AS text CHECK (VALUE ~ 'x') NOT NULL",
    "CREATE STATISTICS s (mcv) ON a, lower(b) FROM t",
    "GRANT SELECT (a), UPDATE ON t TO PUBLIC WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO r",
    "DROP FUNCTION f(int, VARIADIC text[]) CASCADE",
    "DROP TABLE IF EXISTS a, b.c",
    "VACUUM (FULL, ANALYZE) a (b)",
]


@pytest.mark.parametrize("sql", DEFINITIONS)
def test_definitions_hold_only_known_nodes(sql: str) -> None:
    assert {kind for kind, _ in nodes(parse_one(sql))} - DEFINITION_NODES == set()
