"""A name means to dbgate what it means to the server, whatever becomes of the schemas that the search path names.

The clock of these sessions stands still, so that the catalog is never compared by age alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from tests.conftest import LiveDatabase, LiveServer, fresh_database
from tests.live.sessions import PersonsSession

pytestmark = pytest.mark.live

WORLD = """
CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA held; CREATE SCHEMA guarded;
CREATE TABLE one.t AS SELECT 'one' AS place; CREATE TABLE two.t AS SELECT 'two' AS place;
CREATE TABLE held.t AS SELECT 'held' AS place; CREATE TABLE guarded.t AS SELECT 'guarded' AS place;
CREATE FUNCTION one.f() RETURNS text LANGUAGE sql AS $$SELECT 'one'$$;
CREATE FUNCTION held.f() RETURNS text LANGUAGE sql AS $$SELECT 'held'$$;
"""
POLICY = """
version: 1
functions: {allow: ["one.f()"]}
rules:
  - {id: all, when: {access: [read, write, ddl, session, transaction, admin]}, effect: allow}
  - {id: guarded, when: {verbs: [drop, create, alter, truncate], tables: ["guarded.*"]}, effect: deny}
"""
WHERE = "SELECT place FROM t"
MINE = "CREATE TABLE mine (); SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = 'mine'"
MADE = "SELECT relnamespace::regnamespace::text, relname::text FROM pg_class WHERE relname = 'mine'"
SCRIPTS = [
    f"SET search_path = made, one; CREATE SCHEMA made; {WHERE}; {MINE}",
    "SET search_path = made; CREATE SCHEMA made; CREATE TABLE m (id oid); INSERT INTO m VALUES (NULL); SELECT * FROM m",
    f"SET search_path = made, one; BEGIN; CREATE SCHEMA made; CREATE TABLE t AS SELECT 'made' AS place; {WHERE}; ROLLBACK; {WHERE}; {MINE}",
    f"SET search_path = made, one; BEGIN; CREATE SCHEMA made; ROLLBACK; {MINE}",
    f"SET search_path = made, one; BEGIN; SAVEPOINT s; CREATE SCHEMA made; {MINE}; ROLLBACK TO s; {WHERE}; {MINE}; COMMIT; {WHERE}",
    f"BEGIN; SET search_path = made, one; SAVEPOINT s; CREATE SCHEMA made; ROLLBACK TO s; {MINE}; COMMIT; {WHERE}",
    f"BEGIN; SAVEPOINT s; SET search_path = two; ROLLBACK TO s; SET LOCAL search_path = one; {WHERE}; COMMIT; SET search_path = two; {WHERE}",
    f"SET search_path = one, two; DROP FUNCTION one.f(); DROP SCHEMA one CASCADE; {WHERE}; {MINE}",
    f"SET search_path = one, two; DROP FUNCTION one.f(); BEGIN; DROP SCHEMA one CASCADE; {WHERE}; ROLLBACK; {WHERE}; {MINE}",
    f"SET search_path = one, two; REVOKE ALL ON SCHEMA one FROM CURRENT_USER; {WHERE}; {MINE}",
    f"SET search_path = one, two; REVOKE ALL ON SCHEMA one FROM CURRENT_USER; GRANT ALL ON SCHEMA one TO CURRENT_USER; {WHERE}; {MINE}",
    f"SET search_path = one, two; BEGIN; SAVEPOINT s; REVOKE ALL ON SCHEMA one FROM CURRENT_USER; {WHERE}; ROLLBACK TO s; {WHERE}; COMMIT; {MINE}",
    "SET search_path = one; SELECT f(); SET search_path = held, one; SELECT place FROM t",
    f"SET SCHEMA 'made'; CREATE SCHEMA made; {MINE}; RESET search_path",
    f'SET search_path = "$user", two; CREATE SCHEMA AUTHORIZATION CURRENT_USER; {MINE}',
    "SET search_path = one, two; DROP TABLE t; SELECT place FROM t",
]


class Session(PersonsSession):
    """A person's session under `POLICY`."""

    def __init__(self, database: LiveDatabase) -> None:
        super().__init__(database, POLICY)

    def run(self, script: str) -> list[object]:
        """Run a script; return the rows that it shows, in order, then the messages."""
        shown = self.show(script)
        return [*shown.rows, *(said for said in shown.said if not said.startswith("notice"))]


@contextmanager
def session(database: LiveDatabase) -> Iterator[Session]:
    opened = Session(database)
    try:
        yield opened
    finally:
        opened.driver.close()


def make(database: LiveDatabase) -> LiveDatabase:
    """Schemas that the ordinary role owns, but for `held`, which it may not use, and `guarded`."""
    role = database.app_user
    owned = ("SCHEMA one", "SCHEMA two", "TABLE one.t", "TABLE two.t", "FUNCTION one.f()", "TABLE guarded.t")
    database.execute(f"{WORLD}; {'; '.join(f'ALTER {what} OWNER TO {role}' for what in owned)}")
    database.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO {role}; GRANT ALL ON SCHEMA guarded TO {role}')
    return database


@pytest.fixture
def world(database: LiveDatabase) -> LiveDatabase:
    return make(database)


@pytest.fixture
def other(postgres_server: LiveServer) -> Iterator[LiveDatabase]:
    """A second database that is like the first one."""
    with fresh_database(postgres_server) as fresh:
        yield make(fresh)


def directly(world: LiveDatabase, script: str) -> list[object]:
    """What the server itself shows, one statement at a time."""
    shown: list[object] = []
    with psycopg.connect(world.app_dsn, autocommit=True) as connection:
        for statement in script.split("; "):
            found = connection.execute(statement.encode())
            shown += found.fetchall() if found.description else []
    return shown


@pytest.mark.parametrize("script", SCRIPTS)
def test_names_mean_what_they_mean_to_the_server(script: str, world: LiveDatabase, other: LiveDatabase) -> None:
    with session(world) as early:
        assert early.run(script) == directly(other, script)
    assert world.query(MADE) == other.query(MADE)


TEMPORARY = [
    "RESET search_path; CREATE TEMP TABLE t AS SELECT 'temporary' AS place; SELECT place FROM t",
    "CREATE TEMP TABLE t AS SELECT 'temporary' AS place; RESET search_path; SELECT place FROM t",
    "CREATE TEMP TABLE t AS SELECT 'temporary' AS place; SET search_path = DEFAULT; SELECT place FROM t",
    "CREATE TEMP TABLE t AS SELECT 'temporary' AS place; SET search_path = two; SELECT place FROM t",
]


@pytest.mark.parametrize("script", TEMPORARY)
def test_a_role_whose_path_names_temporary_tables_last(script: str, world: LiveDatabase, other: LiveDatabase) -> None:
    for database in (world, other):
        own = f'ALTER ROLE {database.app_user} IN DATABASE "{database.name}" SET search_path = guarded, pg_temp'
        database.execute(own)
    with session(world) as early:
        shown = early.run(script)
        assert shown == directly(other, script)
        said = early.run("DROP TABLE t")
        assert (said == []) == (shown == [("temporary",)]), said
    assert world.query("SELECT count(*) FROM guarded.t") == [(1,)]


CHANGES = ["ALTER SCHEMA one RENAME TO gone", "ALTER SCHEMA one OWNER TO CURRENT_USER", "DROP SCHEMA one CASCADE"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE t", "TRUNCATE t", "ALTER TABLE t ADD x int", "CREATE TABLE mine ()", "CREATE VIEW mine AS SELECT 1"],
)
def test_a_definition_by_name_after_a_change_of_others(statement: str, change: str, world: LiveDatabase) -> None:
    with session(world) as early:
        early.run(f"SET search_path = one, guarded; {WHERE}")
        world.execute(change)
        assert "denied" in str(early.run(statement)), statement
    found = world.query(
        "SELECT relname::text, relnatts::int FROM pg_class WHERE relnamespace = 'guarded'::regnamespace"
    )
    assert found == [("t", 1)]


@pytest.mark.parametrize("moment", ["before", "between"])
@pytest.mark.parametrize(
    "statement",
    ["SELECT f()", "SELECT f(), place FROM t", "VALUES (f())", "EXPLAIN ANALYZE SELECT f()", "COPY (SELECT f()) TO STDOUT",
     "PREPARE p AS SELECT f()", "DECLARE c CURSOR WITH HOLD FOR SELECT f()", "CREATE TEMP TABLE kept AS SELECT f()"],
)  # fmt: skip
@pytest.mark.parametrize("change", ["GRANT USAGE ON SCHEMA held TO PUBLIC", "ALTER SCHEMA held OWNER TO {role}"])
def test_a_function_that_comes_in_front_is_not_called(
    change: str, statement: str, moment: str, world: LiveDatabase
) -> None:
    with session(world) as early:
        assert early.run("SET search_path = held, one; SELECT f()") == [("one",)]
        alter = change.format(role=world.app_user)
        if moment == "before":
            world.execute(alter)
        else:
            early.between = lambda: world.execute(alter)
        shown = early.run(statement)
        assert early.between is None
        assert "held" not in str([row for row in shown if isinstance(row, tuple)])
        assert "not allowed" in str(shown), shown
