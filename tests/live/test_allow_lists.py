"""The allow-lists against real servers: whatever a server has was reviewed, and what must not show does not show."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import conninfo, sql
from tests.servers import versions
from tools.review_functions import review

from dbgate.database import binaries
from dbgate.gate.allow import functions
from dbgate.gate.allow.functions import INFORMATION_SCHEMA, SPECIAL, TYPE_CALLS, verdict
from dbgate.gate.allow.nodes import EXPRESSION_NODES
from dbgate.gate.allow.settings import setting_verdict
from dbgate.gate.allow.system import SECRETS, is_system, replacements, system_verdict
from dbgate.gate.allow.verdict import NOT_REVIEWED, Verdict
from dbgate.gate.contents import nodes
from dbgate.gate.names import quote, strings
from dbgate.gate.syntax import parse_one
from dbgate.model import ColumnName

pytestmark = pytest.mark.live

NEVER_MADE = (
    "gtsvector pg_brin_bloom_summary pg_brin_minmax_multi_summary pg_dependencies pg_mcv_list pg_ndistinct pg_node_tree"
)
"""Types of which only the server makes values."""


CHOSEN = os.environ.get("DBGATE_TEST_POSTGRES")


@pytest.fixture(scope="module", params=[int(CHOSEN)] if CHOSEN else sorted(binaries.VERSIONS))
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """A server of the chosen version, or of each in the wheel, as its number and a superuser's DSN."""
    version: int = request.param
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir()) / f"dbgate-allow-{version}-{os.geteuid()}-{run}"
    with versions.start(version, folder) as running:
        yield version, running.dsn


@pytest.fixture(scope="module")
def connection(server: tuple[int, str]) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A superuser's connection to a database of this worker's own."""
    name = f"allow_{os.getpid()}"
    with psycopg.connect(server[1], autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            with psycopg.connect(conninfo.make_conninfo(server[1], dbname=name), autocommit=True) as own:
                yield own
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def names(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> set[str]:
    return {row[0] for row in connection.execute(query.encode()).fetchall()}


def test_every_function_was_reviewed(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    found = names(connection, "SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace")
    assert found - functions.safe() - set(functions.refused()) - set(SPECIAL) == set(), "unreviewed functions"
    own = names(connection, "SELECT proname FROM pg_proc WHERE pronamespace = 'information_schema'::regnamespace")
    assert own <= INFORMATION_SCHEMA


def test_what_a_new_version_brings_is_noticed_and_refused(
    server: tuple[int, str], connection: psycopg.Connection[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The situation is made: a function in `pg_catalog` that stands on no list, also as an overload's only new name."""
    dsn = conninfo.make_conninfo(server[1], dbname=connection.info.dbname)
    assert review(dsn, write=False) == 0
    connection.execute(b"CREATE FUNCTION pg_catalog.brand_new(text) RETURNS text LANGUAGE sql AS 'SELECT $1'")
    try:
        assert review(dsn, write=False) == 1
        assert f"PostgreSQL {server[0]}: not reviewed: function brand_new(text) -> text" in capsys.readouterr().out
        with pytest.raises(AssertionError, match="unreviewed functions"):
            test_every_function_was_reviewed(connection)
        assert verdict("brand_new", 1).reason == NOT_REVIEWED
        assert list(refusals("SELECT brand_new('x')")) == ["brand_new: not reviewed"]
    finally:
        connection.execute(b"DROP FUNCTION pg_catalog.brand_new(text)")


def test_what_cannot_be_called_is_not_safe(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Functions whose every overload takes or gives `internal` or `cstring` are kept out as a whole."""
    closed = """
        SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY proname
        HAVING bool_and('internal'::regtype = ANY (proargtypes::oid[]) OR 'cstring'::regtype = ANY (proargtypes::oid[])
          OR prorettype IN ('internal'::regtype, 'cstring'::regtype, 'trigger'::regtype))"""
    assert names(connection, closed) & functions.safe() == set()


def test_the_functions_behind_operators_and_casts_are_safe(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """The gate asks about neither: every operator and cast of `pg_catalog` has to be harmless."""
    behind = """
        SELECT p.proname, p.pronargs FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace
        UNION SELECT p.proname, p.pronargs FROM pg_cast c JOIN pg_proc p ON p.oid = c.castfunc"""
    rows = connection.execute(behind.encode()).fetchall()
    assert len(rows) > 500
    assert {row for row in rows if not verdict(*row).safe} == set()


def test_every_type_that_a_call_can_name_was_reviewed(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    query = """SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace
        AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'"""
    assert names(connection, query) == (TYPE_CALLS | set(NEVER_MADE.split())) & names(connection, query)
    pseudo = names(connection, "SELECT typname FROM pg_type WHERE typtype = 'p'")
    assert pseudo & TYPE_CALLS == set()


def test_every_system_relation_was_reviewed(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    rows = connection.execute(
        b"SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        b"WHERE n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 't')"
    ).fetchall()
    assert {row for row in rows if system_verdict(*row).reason == NOT_REVIEWED} == set()
    assert not any(system_verdict(*row).safe for row in rows if row[0] == "pg_toast")


def test_every_setting_was_reviewed(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    found = names(connection, "SELECT name FROM pg_settings WHERE name NOT LIKE '%.%'")
    assert len(found) > 300
    for action in ("set", "reset", "show"):
        assert {name for name in found if setting_verdict(name, action).reason == NOT_REVIEWED} == set()
    guarded = names(connection, "SELECT name FROM pg_settings WHERE context NOT IN ('user', 'superuser')")
    assert {name for name in guarded if setting_verdict(name, "set").safe} == set()


def test_a_field_can_be_a_call(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Why `call_by_dot` is there: the server calls a function that is written as a field."""
    assert connection.execute(b"SELECT ('abc'::text).upper").fetchone() == ("ABC",)
    assert connection.execute(b"SELECT ('work_mem'::text).current_setting").fetchone() == ("4MB",)
    assert connection.execute(b"SELECT (q.x).upper FROM (SELECT 'abc'::text AS x) q").fetchone() == ("ABC",)
    assert connection.execute(b"SELECT q.row_to_json FROM (SELECT 1 AS x) q").fetchone() == ({"x": 1},)


WORLD = """
CREATE SCHEMA payroll;
CREATE TABLE payroll.employees (id int PRIMARY KEY, ssn text, "we""ird'{tables}" text, note text);
INSERT INTO payroll.employees SELECT g, 'zsecret' || g % 5, 'zsecret' || g % 3, 'open' || g % 4 FROM generate_series(1, 400) g;
CREATE INDEX employees_ssn ON payroll.employees (upper(ssn));
CREATE STATISTICS payroll.both (mcv) ON ssn, note FROM payroll.employees;
CREATE STATISTICS payroll.lowered ON lower(ssn) FROM payroll.employees;
ALTER TABLE payroll.employees ADD COLUMN late text DEFAULT 'zsecretlate';
ALTER TABLE payroll.employees ALTER COLUMN late DROP DEFAULT;
CREATE TABLE payroll.other (ssn text);
INSERT INTO payroll.other SELECT 'open' FROM generate_series(1, 50);
ANALYZE;
"""
HIDDEN = [ColumnName("payroll", "employees", name) for name in ("ssn", "we\"ird'{tables}", "late")]
SENTINEL = "secret"


@pytest.fixture(scope="module")
def world(connection: psycopg.Connection[tuple[Any, ...]]) -> psycopg.Connection[tuple[Any, ...]]:
    """A table with labelled columns, and every kind of statistics over it."""
    connection.execute(WORLD.encode())
    return connection


def masked_query(
    connection: psycopg.Connection[tuple[Any, ...]], name: str, found: Verdict, hidden: list[ColumnName]
) -> tuple[str, str]:
    """The query over a system relation with its columns replaced, and the one with them in clear."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"
    columns = [row[0] for row in connection.execute(query.encode(), [name]).fetchall()]
    made = replacements(found, hidden)
    assert not hidden or set(made) & set(columns)
    replaced = ", ".join(f"{made[c]} AS {quote(c)}" if c in made else quote(c) for c in columns)
    return f"SELECT {replaced} FROM {name}", f"SELECT {', '.join(map(quote, columns))} FROM {name}"


MASKED = """pg_attribute pg_authid pg_cursors pg_db_role_setting pg_foreign_server pg_prepared_statements pg_roles pg_settings pg_shadow
    pg_stat_activity pg_stat_wal_receiver pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs
    pg_subscription pg_user pg_user_mapping pg_user_mappings information_schema._pg_foreign_servers
    information_schema._pg_user_mappings information_schema.foreign_server_options
    information_schema.user_mapping_options""".split()


@pytest.mark.parametrize("name", MASKED)
def test_masked_relations_keep_rows_and_types(world: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    schema, _, bare = name.rpartition(".")
    full = f"{schema or 'pg_catalog'}.{bare}"
    found = system_verdict(*full.split("."))
    assert found.special == "masked"
    masked, clear = masked_query(world, full, found, HIDDEN)
    with world.cursor() as one, world.cursor() as two:
        one.execute(f"SELECT * FROM ({masked}) m".encode())
        two.execute(clear.encode())
        assert [(c.name, c.type_code) for c in one.description or ()] == [
            (c.name, c.type_code) for c in two.description or ()
        ]
        assert one.rowcount == two.rowcount


@pytest.mark.parametrize(
    "name", ["pg_stats", "pg_statistic", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic_ext_data", "pg_attribute"]
)
def test_samples_of_labelled_columns_never_show(world: psycopg.Connection[tuple[Any, ...]], name: str) -> None:
    found = system_verdict("pg_catalog", name)
    masked, clear = masked_query(world, f"pg_catalog.{name}", found, HIDDEN)
    with world.cursor() as cursor:
        cursor.execute(f"SELECT m::text FROM ({clear}) m".encode())
        in_clear = "".join(row[0] for row in cursor)
        cursor.execute(f"SELECT m::text FROM ({masked}) m".encode())
        as_masked = "".join(row[0] for row in cursor)
    assert SENTINEL in in_clear.lower() or name == "pg_statistic_ext_data"
    assert SENTINEL not in as_masked.lower()
    assert SENTINEL.encode().hex() not in as_masked


def test_statistics_of_open_columns_stay(world: psycopg.Connection[tuple[Any, ...]]) -> None:
    masked, _ = masked_query(world, "pg_catalog.pg_stats", system_verdict("pg_catalog", "pg_stats"), HIDDEN)
    query = "SELECT tablename, attname, n_distinct, most_common_vals::text FROM ({}) m WHERE schemaname = 'payroll' ORDER BY 1, 2"
    rows = {(row[0], row[1]): row[2:] for row in world.execute(query.format(masked).encode()).fetchall()}
    assert rows["payroll.other".partition(".")[2], "ssn"] == (1.0, "{open}")
    assert rows["employees", "note"][0] == 4.0
    assert rows["employees", "ssn"] == (None, None)
    assert rows["employees_ssn", "upper"] == (None, None)


def test_statements_settings_and_passwords_never_show(world: psycopg.Connection[tuple[Any, ...]]) -> None:
    world.execute(b"SELECT set_config('dbgate.key', 'zsecretkey', false)")
    role = sql.Identifier(f"allow_role_{os.getpid()}")
    world.execute(sql.SQL("CREATE ROLE {}").format(role))
    try:
        world.execute(sql.SQL("ALTER ROLE {} SET app.token = 'zsecrettoken'").format(role))
        world.execute(sql.SQL("ALTER ROLE {} SET work_mem = '1MB'").format(role))
        world.execute(b"PREPARE zsecret AS SELECT 'zsecretvalue'")
        for name in ("pg_stat_activity", "pg_prepared_statements", "pg_settings", "pg_db_role_setting", "pg_roles"):
            masked, _ = masked_query(world, f"pg_catalog.{name}", system_verdict("pg_catalog", name), [])
            text = "".join(row[0] for row in world.execute(f"SELECT m::text FROM ({masked}) m".encode()).fetchall())
            for hidden in ("zsecretkey", "zsecretvalue", "zsecrettoken"):
                assert hidden not in text, name
            if name == "pg_db_role_setting":
                assert "app.token=***" in text
                assert "work_mem=1MB" in text
            if name == "pg_prepared_statements":
                assert "zsecret," in text
        assert passwords_shown(world, role) == set()
    finally:
        world.execute(sql.SQL("DROP ROLE {}").format(role))


def passwords_shown(world: psycopg.Connection[tuple[Any, ...]], role: sql.Identifier) -> set[str]:
    """The relations that show the password of a role, or what ANALYZE sampled of it."""
    password = secrets.token_hex(16)
    world.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, password))
    query = b"SELECT rolpassword FROM pg_authid WHERE rolname LIKE %s"
    ((stored,),) = world.execute(query, [f"allow_role_{os.getpid()}"]).fetchall()
    shows = set()
    with world.transaction(force_rollback=True):
        world.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(f"allow_copy_{os.getpid()}")))
        world.execute(b"UPDATE pg_authid SET rolpassword = %s WHERE rolname LIKE 'allow_copy%%'", [stored])
        world.execute(b"ANALYZE pg_authid")
        for name in ("pg_authid", "pg_shadow", "pg_stats", "pg_statistic"):
            found = system_verdict("pg_catalog", name)
            masked, clear = masked_query(world, f"pg_catalog.{name}", found, list(SECRETS))
            in_clear, shown = (
                "".join(row[0] for row in world.execute(f"SELECT m::text FROM ({text}) m".encode()).fetchall())
                for text in (clear, masked)
            )
            assert stored in in_clear, name
            if stored in shown:
                shows.add(name)
    return shows


PSQL = r"""
\l+
\d
\dS+
\d payroll.employees
\d+ payroll.employees
\d+ pg_class
\d+ pg_stats
\dt+ *.*
\di+
\ds+
\dv+ pg_catalog.*
\dm+
\dE+
\dn+
\df+ pg_catalog.lower
\da
\dA+
\dAc
\dAf
\dAo
\dAp
\db+
\dc+
\dC+
\dd
\dD+
\ddp
\des+
\det+
\deu+
\dew+
\dF+
\dFd+
\dFp+
\dFt+
\du+
\dl+
\dL+
\do+
\dO+
\dp
\dP+
\drds
\dRp+
\dRs+
\dT+
\dx+
\dX
\dy+
\sf pg_catalog.pg_sleep_for
\sv pg_catalog.pg_stats
"""
"""psql's own queries, except `\\dconfig`, which reads settings by computed names."""


def test_psqls_own_queries_hold_nothing_that_is_refused(
    server: tuple[int, str], world: psycopg.Connection[tuple[Any, ...]]
) -> None:
    dsn = conninfo.make_conninfo(server[1], dbname=world.info.dbname)
    done = subprocess.run(
        [binaries.psql(), "-X", "-E", "-A", "-t", dsn],
        input=PSQL,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "PAGER": "cat"},
        check=True,
    )
    queries = re.findall(r"[*/]{9} QUERY [*/]{9,10}\n(.*?)\n[*/]{24,26}\n", done.stdout, re.DOTALL)
    assert len(queries) > 80
    refused = {reason for query in queries for reason in refusals(query)}
    assert refused == set()


def refusals(query: str) -> Iterator[str]:
    """What the allow-lists refuse in a query."""
    for kind, body in nodes(parse_one(query)):
        if kind not in EXPRESSION_NODES:
            yield kind
        if kind == "FuncCall":
            *schema, name = strings(body["funcname"])
            found = verdict(name, len(body.get("args", ())), schema[0] if schema else "pg_catalog")
            if not found.safe:
                yield f"{name}: {found.reason}"
        if kind == "RangeVar" and is_system(body.get("schemaname", ""), body["relname"]):
            read = system_verdict(body["schemaname"], body["relname"])
            if not read.safe and read.special != "masked":
                yield f"{body['relname']}: {read.reason}"
