"""Another session redefines what a statement reads: before it is judged, or between its judgement and its run.

The clock of these sessions stands still, so that the catalog is never compared by age. What they show has to be what a
session that is opened afterwards shows, and never a value of a labelled column.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from tests.conftest import LiveDatabase
from tests.live.sessions import PersonsSession

from dbgate.errors import DefinitionsChanged

pytestmark = pytest.mark.live

SECRET = "Zebrafish"
WORLD = f"""
CREATE SCHEMA hr; CREATE SCHEMA shop;
CREATE TABLE hr.people (id int PRIMARY KEY, name text, ssn text);
INSERT INTO hr.people SELECT g, 'name ' || g, '{SECRET}' || g FROM generate_series(1, 3) g;
CREATE TABLE shop.items (id int PRIMARY KEY, name varchar, price int);
INSERT INTO shop.items SELECT g, 'item ' || g, g FROM generate_series(1, 3) g;
CREATE TABLE shop.other (id int, name varchar, price int);
CREATE TABLE shop.listed (id int, region text) PARTITION BY LIST (region);
CREATE TABLE shop.listed_eu PARTITION OF shop.listed FOR VALUES IN ('EU');
CREATE TABLE hr.listed_ssn (id int, region text);
CREATE TABLE shop.made (id int, open text, secret text, shown text GENERATED ALWAYS AS (upper(open)) STORED);
INSERT INTO shop.made VALUES (1, 'open', '{SECRET}');
CREATE VIEW shop.shown AS SELECT id, name FROM hr.people;
CREATE VIEW shop.twice AS SELECT id, name FROM shop.shown;
CREATE VIEW shop.named AS SELECT id, name FROM shop.items;
CREATE FUNCTION shop.leak(varchar) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT max(ssn) FROM hr.people';
CREATE FUNCTION shop.leak_equal(varchar, varchar) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
  AS 'SELECT EXISTS (SELECT FROM hr.people WHERE ssn LIKE $2)';
GRANT USAGE ON SCHEMA hr, shop TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA hr, shop TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
"""
POLICY = """
version: 1
classify:
  - {columns: ["*.*.ssn", "shop.made.secret", "hr.listed_ssn.*", "hr.extra.*"], tag: pii.ssn}
rows:
  - {table: shop.filtered, where: "id < 2"}
rules:
  - {id: all, when: {access: [read, write, session, transaction]}, effect: allow}
  - {id: make, when: {verbs: [create]}, effect: allow}
"""
REDEFINE = "CREATE OR REPLACE VIEW shop.shown AS SELECT id, ssn AS name FROM hr.people"
NEW_COLUMN = f"ALTER TABLE shop.items ADD COLUMN ssn text DEFAULT '{SECRET}'"
DRIFTS = [
    ("SELECT * FROM shop.items", NEW_COLUMN),
    ("SELECT i FROM shop.items i", NEW_COLUMN),
    ("SELECT to_jsonb(i) FROM shop.items i", NEW_COLUMN),
    ("TABLE shop.items", NEW_COLUMN),
    ("SELECT * FROM shop.other o NATURAL JOIN shop.items i UNION SELECT * FROM shop.items", NEW_COLUMN),
    ("WITH i AS (SELECT * FROM shop.items) SELECT i::text FROM i", NEW_COLUMN),
    ("UPDATE shop.items SET price = 0 WHERE id = 1 RETURNING *", NEW_COLUMN),
    ("INSERT INTO shop.items VALUES (9) RETURNING items", NEW_COLUMN),
    ("DELETE FROM shop.items WHERE id = 2 RETURNING *", NEW_COLUMN),
    ("COPY shop.items TO STDOUT", NEW_COLUMN),
    ("COPY (SELECT * FROM shop.items) TO STDOUT", NEW_COLUMN),
    ("CREATE TEMP TABLE kept AS SELECT * FROM shop.items", NEW_COLUMN),
    ("SELECT name FROM shop.shown", REDEFINE),
    ("SELECT * FROM shop.twice", REDEFINE),
    ("SELECT max(upper(name)) FROM shop.twice t WHERE id > 0", REDEFINE),
    ("INSERT INTO shop.other SELECT id, name FROM shop.shown", REDEFINE),
    ("SELECT name FROM shop.named", "CREATE OR REPLACE VIEW shop.named AS SELECT id, ssn::varchar AS name FROM hr.people"),
    ("SELECT name FROM shop.named", "DROP VIEW shop.named; CREATE VIEW shop.named AS SELECT ssn AS name FROM hr.people"),
    ("SELECT name FROM shop.other", "DROP TABLE shop.other; CREATE VIEW shop.other AS SELECT ssn AS name FROM hr.people"),
    ("SELECT name FROM shop.other", "ALTER TABLE shop.other RENAME TO gone; CREATE VIEW shop.other AS SELECT ssn AS name FROM hr.people"),
    ("SELECT * FROM shop.items", "ALTER TABLE shop.items RENAME TO gone; ALTER TABLE hr.people SET SCHEMA shop; ALTER TABLE shop.people RENAME TO items"),
    ("SELECT name FROM shop.items", "ALTER TABLE shop.items RENAME name TO ssn; ALTER TABLE shop.items RENAME price TO name"),
    ("SELECT ssn FROM hr.people", "ALTER TABLE hr.people RENAME ssn TO x; ALTER TABLE hr.people RENAME name TO ssn; ALTER TABLE hr.people RENAME x TO name"),
    ("SELECT ssn, id FROM hr.people", "ALTER TABLE hr.people ALTER ssn TYPE varchar(40)"),
    ("SELECT * FROM hr.people", "ALTER TABLE hr.people DROP COLUMN ssn; ALTER TABLE hr.people ADD COLUMN ssn int DEFAULT 7"),
    ("SELECT name FROM shop.other", f"CREATE TABLE hr.extra (ssn text) INHERITS (shop.other); INSERT INTO hr.extra VALUES (1, '{SECRET}', 2, '{SECRET}')"),
    ("SELECT id, region FROM shop.listed", f"INSERT INTO hr.listed_ssn VALUES (7, '{SECRET}'); ALTER TABLE shop.listed ATTACH PARTITION hr.listed_ssn DEFAULT"),
    ("SELECT name FROM shop.items", "CREATE RULE r AS ON UPDATE TO shop.items DO INSTEAD SELECT ssn FROM hr.people"),
    ("UPDATE shop.items SET price = 1 WHERE id = 1", "CREATE RULE r AS ON UPDATE TO shop.items DO INSTEAD SELECT ssn FROM hr.people"),
    ("SELECT shown FROM shop.made", "ALTER TABLE shop.made DROP COLUMN shown; ALTER TABLE shop.made ADD shown text GENERATED ALWAYS AS (upper(secret)) STORED"),
    ("SELECT upper(name) FROM shop.items", "CREATE FUNCTION shop.upper(varchar) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT max(ssn) FROM hr.people'"),
    ("SELECT id FROM shop.items WHERE name = 'Zebra%'::varchar", "CREATE OPERATOR shop.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = shop.leak_equal)"),
    ("SELECT id FROM hr.people ORDER BY id", "CREATE TABLE shop.people (id int); INSERT INTO shop.people VALUES (70)"),
]  # fmt: skip
"""A statement, and what another session changes."""


class Session(PersonsSession):
    """A person's session under `POLICY`."""

    def __init__(self, database: LiveDatabase) -> None:
        super().__init__(database, POLICY)

    def run(self, script: str) -> tuple[list[tuple[str | None, ...]], list[str]]:
        """Run a script; return the rows and messages that it shows."""
        shown = self.show(script)
        return sorted(shown.rows, key=repr), shown.said


@contextmanager
def session(database: LiveDatabase) -> Iterator[Session]:
    opened = Session(database)
    try:
        opened.run("SET search_path = shop, hr")
        yield opened
    finally:
        opened.driver.close()


def safe(found: Session) -> bool:
    return SECRET.lower() not in f"{found.screen.rows} {found.screen.said} {found.notes.text}".lower()


@pytest.fixture
def world(database: LiveDatabase) -> LiveDatabase:
    database.execute(WORLD)
    return database


@pytest.mark.parametrize("moment", ["before", "between"])
@pytest.mark.parametrize("number", range(len(DRIFTS)))
def test_a_session_shows_what_a_new_one_shows(number: int, moment: str, world: LiveDatabase) -> None:
    statement, change = DRIFTS[number]
    with session(world) as early:
        early.run("SELECT * FROM shop.items")
        if moment == "before":
            world.execute(change)
        else:
            early.between = lambda: world.execute(change)
        shown = early.run(f"BEGIN; {statement}; ROLLBACK" if moment == "before" and "COPY" in statement else statement)
        assert safe(early), early.screen.rows
        assert early.between is None
    if "INSERT" not in statement and "CREATE" not in statement and "DELETE" not in statement:
        with session(world) as late:
            rows, _ = late.run(statement)
            assert safe(late), late.screen.rows
            assert "CREATE TABLE shop.people" in change or shown[0] in (rows, [])


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize(
    ("statement", "change"),
    [
        ("SELECT name FROM shop.shown", REDEFINE),
        ("SELECT * FROM shop.items", NEW_COLUMN),
        ("COPY shop.items TO STDOUT", NEW_COLUMN),
        ("DECLARE c CURSOR FOR SELECT name FROM shop.shown; FETCH ALL c", REDEFINE),
        ("PREPARE p AS SELECT name FROM shop.shown; EXECUTE p", REDEFINE),
    ],
)
def test_in_a_transaction(statement: str, change: str, isolation: str, world: LiveDatabase) -> None:
    with session(world) as early:
        early.run(f"BEGIN ISOLATION LEVEL {isolation}; SELECT 1 FROM shop.other")
        world.execute(change)
        _, said = early.run(statement)
        assert safe(early), early.screen.rows
        assert "redefined" in said[0]
        assert early.run(f"ROLLBACK; {statement.replace(' c', ' d')}")
        assert safe(early), early.screen.rows


def test_a_prepared_statement_is_judged_as_it_would_be_now(world: LiveDatabase) -> None:
    with session(world) as early:
        early.run("PREPARE p AS SELECT name FROM shop.shown")
        assert len(early.run("EXECUTE p")[0]) == 3
        world.execute(REDEFINE)
        early.run("EXECUTE p")
        assert safe(early), early.screen.rows


def test_two_changes_in_one_transaction_of_ones_own_are_both_seen(world: LiveDatabase) -> None:
    with session(world) as early:
        early.run("BEGIN; CREATE TEMP TABLE t (id int, a text); SELECT * FROM t")
        before = early.database.catalog().fingerprint
        for change in ("ALTER TABLE t RENAME a TO b", "ALTER TABLE t RENAME b TO ssn"):
            early.database.execute_unrecorded(change)
            after = early.database.catalog(refresh=True).fingerprint
            assert after != before
            before = after


def test_nothing_changed_and_nothing_is_refused(world: LiveDatabase) -> None:
    world.execute("CREATE TABLE shop.deep PARTITION OF shop.listed FOR VALUES IN ('US') PARTITION BY RANGE (id)")
    world.execute("CREATE TABLE shop.deeper PARTITION OF shop.deep FOR VALUES FROM (0) TO (10)")
    world.execute("ALTER TABLE shop.items DROP COLUMN price; ANALYZE")
    with session(world) as early:
        pins = [relation.oid for relation in early.database.catalog().relations]
        early.database.verify(pins)
        for oid in pins:
            early.database.verify([oid])
        world.execute("VACUUM FULL shop.items")
        world.execute("TRUNCATE shop.other; REINDEX TABLE shop.items; CREATE INDEX ON shop.items (id)")
        world.execute(
            "CREATE TABLE shop.unrelated (id int); GRANT SELECT ON shop.items TO PUBLIC; CLUSTER shop.items USING items_pkey"
        )
        early.database.verify(pins)
        early.database.execute_unrecorded("DEALLOCATE ALL")
        early.database.verify(pins)
        world.execute("ALTER TABLE shop.items ADD x int")
        with pytest.raises(DefinitionsChanged):
            early.database.verify(pins)
        early.database.catalog(refresh=True)
        early.database.verify(pins)


def test_a_temporary_child_of_somebody_elses_is_no_change(world: LiveDatabase) -> None:
    with session(world) as early, psycopg.connect(world.dsn, autocommit=True) as other:
        other.execute("CREATE TEMP TABLE child () INHERITS (shop.items)")
        assert len(early.run("SELECT name FROM shop.items")[0]) == 3
        assert early.screen.said == []


class TestCheckedStatements:
    """What goes out behind a check behaves like any other statement."""

    @pytest.fixture
    def early(self, world: LiveDatabase) -> Iterator[Session]:
        with session(world) as opened:
            yield opened

    def run(self, early: Session, text: str, *parameters: str | None) -> list[Any]:
        pins = [relation.oid for relation in early.database.catalog().relations]
        return [row for batch in early.database.run(text, parameters, pins=pins).batches() for row in batch]

    def test_values_parameters_and_errors(self, early: Session) -> None:
        assert self.run(early, "SELECT $1::int + 1, $2::text", "1", None) == [("2", None)]
        for _ in range(2):
            with pytest.raises(Exception, match="division by zero"):
                self.run(early, "SELECT 1 / g FROM generate_series(1, 0, -1) g")
            with pytest.raises(Exception, match="does not exist"):
                self.run(early, "SELECT nosuch FROM shop.items")
            with pytest.raises(Exception, match="multiple commands"):
                self.run(early, "SELECT 1; SELECT 2")
        assert self.run(early, "SELECT 1") == [("1",)]

    def test_rows_that_nobody_wants_are_thrown_away(self, early: Session) -> None:
        pins = [relation.oid for relation in early.database.catalog().relations]
        for begin, state in (("SELECT 1", "idle"), ("BEGIN", "open")):
            early.database.execute_unrecorded(begin)
            rows = early.database.run("SELECT g FROM generate_series(1, 100000) g", pins=pins)
            next(rows.batches())
            rows.close()
            assert str(early.database.transaction) == state
            assert self.run(early, "SELECT 2") == [("2",)]

    def test_an_open_transaction_fails_as_usual(self, early: Session) -> None:
        self.run(early, "BEGIN")
        with pytest.raises(Exception, match="division"):
            self.run(early, "SELECT 1 / 0")
        assert str(early.database.transaction) == "failed"
        with pytest.raises(Exception, match="aborted"):
            self.run(early, "SELECT 1")
        early.database.execute_unrecorded("ROLLBACK")
        assert self.run(early, "SELECT 1") == [("1",)]

    def test_what_is_written_is_committed_alone(self, early: Session, world: LiveDatabase) -> None:
        self.run(early, "UPDATE shop.items SET price = 70 WHERE id = 1")
        assert world.query("SELECT price FROM shop.items WHERE id = 1") == [(70,)]
