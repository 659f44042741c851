"""The catalog of a real database: complete, qualified, read in one round trip, cached, and noticed when stale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbgate.catalog import Catalog, CatalogRelation, ForeignKey
from dbgate.database import Connection, connect
from dbgate.database.catalog import fingerprint, load
from dbgate.database.rows import Row
from dbgate.errors import StatementError
from dbgate.model import TransactionStatus

if TYPE_CHECKING:
    from tests.conftest import LiveDatabase

pytestmark = pytest.mark.live

SCHEMA = """
CREATE SCHEMA payroll; CREATE SCHEMA "Odd";
CREATE TYPE payroll.mood AS ENUM ('sad', 'fine');
CREATE TYPE payroll.pair AS (a int, b text);
CREATE FUNCTION payroll.looks_right(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1 ~ '-' $$;
CREATE DOMAIN payroll.ssn AS varchar(11) CHECK (payroll.looks_right(VALUE));
CREATE DOMAIN payroll.strict_ssn AS payroll.ssn NOT NULL;
CREATE TABLE payroll.departments (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE payroll.employees (
  id int, region text, ssn payroll.strict_ssn, salary numeric(10,2), gone int, moods payroll.mood[],
  tail text GENERATED ALWAYS AS (right(ssn, 4)) STORED,
  department int REFERENCES payroll.departments ON DELETE CASCADE ON UPDATE SET NULL, PRIMARY KEY (region, id));
ALTER TABLE payroll.employees DROP COLUMN gone;
COMMENT ON TABLE payroll.employees IS 'People';
COMMENT ON COLUMN payroll.employees.ssn IS 'Social security number';
CREATE VIEW payroll.names AS SELECT id, e.ssn AS s FROM payroll.employees e;
CREATE VIEW "Odd"."of Names" AS SELECT n.*, d.name FROM payroll.names n, payroll.departments d;
CREATE MATERIALIZED VIEW payroll.kept AS SELECT ssn FROM payroll.employees;
CREATE RULE loud AS ON DELETE TO payroll.departments DO ALSO NOTHING;
CREATE FUNCTION payroll.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT ON payroll.employees FOR EACH ROW EXECUTE FUNCTION payroll.touch();
CREATE TABLE payroll.events (at date, what text) PARTITION BY RANGE (at);
CREATE TABLE payroll.events_2026 PARTITION OF payroll.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE payroll.base (a int); CREATE TABLE payroll.heir (b int) INHERITS (payroll.base);
CREATE SEQUENCE payroll.numbers;
CREATE FUNCTION payroll.fiscal_year(date, n integer DEFAULT 1) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE PROCEDURE payroll.close(payroll.mood) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE AGGREGATE payroll.total (int) (SFUNC = int4pl, STYPE = int);
CREATE OPERATOR payroll.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq);
INSERT INTO payroll.departments SELECT g, 'd' FROM generate_series(1, 500) g; ANALYZE payroll.departments;
"""

HAS_EXTENSION = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"


@contextmanager
def connected(database: LiveDatabase, *, superuser: bool = True, state_dir: Path | None = None) -> Iterator[Connection]:
    connection = connect(database.target(superuser=superuser), state_dir=state_dir)
    try:
        yield connection
    finally:
        connection.close()


def run(connection: Connection, text: str) -> None:
    for _ in connection.run(text).batches():
        pass


def relation(catalog: Catalog, name: str) -> CatalogRelation:
    (found,) = [one for one in catalog.relations if f"{one.schema}.{one.name}" == name]
    return found


@pytest.fixture(scope="module")
def catalog(module_database: LiveDatabase) -> Catalog:
    module_database.execute(SCHEMA)
    if module_database.query(HAS_EXTENSION):
        module_database.execute('CREATE EXTENSION vector SCHEMA "Odd"')
    with connected(module_database) as connection:
        return connection.catalog()


def test_columns_with_types_domains_and_comments(catalog: Catalog) -> None:
    employees = relation(catalog, "payroll.employees")
    assert [(c.number, c.name, c.type) for c in employees.columns] == [
        (1, "id", "integer"),
        (2, "region", "text"),
        (3, "ssn", "payroll.strict_ssn"),
        (4, "salary", "numeric(10,2)"),
        (6, "moods", "payroll.mood[]"),
        (7, "tail", "text"),
        (8, "department", "integer"),
    ]
    ssn, moods, tail = employees.columns[2], employees.columns[4], employees.columns[5]
    assert (ssn.base_type, ssn.base_oid, ssn.category, ssn.comment) == (
        "character varying",
        1043,
        "S",
        "Social security number",
    )
    assert ssn.type_oid != ssn.base_oid
    assert (moods.category, moods.base_type) == ("A", "payroll.mood[]")
    assert (tail.generated, tail.default) == ("s", '"right"((ssn)::text, 4)')
    assert employees.columns[0].not_null
    assert not employees.columns[3].not_null
    assert (employees.comment, employees.kind, employees.has_triggers, employees.has_rules) == (
        "People",
        "r",
        True,
        False,
    )
    assert set(employees.primary_key) == {1, 2}
    assert employees.type_oid in catalog.type_names


def test_views_are_qualified_and_know_what_they_read(catalog: Catalog) -> None:
    names, nested = relation(catalog, "payroll.names"), relation(catalog, "Odd.of Names")
    assert "FROM payroll.employees e" in names.definition
    assert names.depends == (relation(catalog, "payroll.employees").oid,)
    assert set(nested.depends) == {names.oid, relation(catalog, "payroll.departments").oid}
    assert "payroll.names n" in nested.definition
    assert (names.kind, relation(catalog, "payroll.kept").kind) == ("v", "m")
    assert "payroll.employees" in relation(catalog, "payroll.kept").definition
    assert not names.has_rules


def test_parents_rules_estimates_and_sequences(catalog: Catalog) -> None:
    assert relation(catalog, "payroll.events_2026").parents == (relation(catalog, "payroll.events").oid,)
    assert relation(catalog, "payroll.heir").parents == (relation(catalog, "payroll.base").oid,)
    assert relation(catalog, "payroll.events").kind == "p"
    assert relation(catalog, "payroll.numbers").kind == "S"
    departments = relation(catalog, "payroll.departments")
    assert (departments.has_rules, departments.row_estimate) == (True, 500)


def test_foreign_keys_with_their_actions(catalog: Catalog) -> None:
    employees, departments = relation(catalog, "payroll.employees"), relation(catalog, "payroll.departments")
    name = "employees_department_fkey"
    assert catalog.foreign_keys == (ForeignKey(name, employees.oid, (8,), departments.oid, (1,), "c", "n"),)


def test_functions_operators_types_and_extensions(catalog: Catalog) -> None:
    functions = {f"{f.schema}.{f.name}({f.arguments})": f for f in catalog.functions}
    assert functions["payroll.fiscal_year(date, integer)"].returns == "integer"
    assert functions["payroll.close(payroll.mood)"].kind == "p"
    assert functions["payroll.total(integer)"].kind == "a"
    touch = functions["payroll.touch()"]
    assert (touch.security_definer, touch.language, touch.returns) == (True, "plpgsql", "trigger")
    assert any((o.schema, o.name) == ("payroll", "===") for o in catalog.operators)
    types = {f"{t.schema}.{t.name}": t for t in catalog.types}
    assert types["payroll.ssn"].check_functions == (functions["payroll.looks_right(text)"].oid,)
    assert (types["payroll.mood"].kind, types["payroll.pair"].kind, types["payroll.strict_ssn"].kind) == ("e", "c", "d")
    assert types["payroll.strict_ssn"].check_functions == types["payroll.ssn"].check_functions
    assert types["payroll.employees"].check_functions == types["payroll.ssn"].check_functions
    assert "payroll.departments" not in types
    assert types["payroll.mood"].extension == ""


def test_what_an_extension_owns(module_database: LiveDatabase, catalog: Catalog) -> None:
    assert "plpgsql" in catalog.extensions
    owned = {f"{f.schema}.{f.name}" for f in catalog.functions if f.extension}
    expected = {"Odd.l2_distance", "Odd.vector_in"} if module_database.query(HAS_EXTENSION) else set()
    assert owned >= expected
    assert {t.name for t in catalog.types if t.extension} >= ({"vector"} if expected else set())
    assert not {f.name for f in catalog.functions if f.schema == "payroll" and f.extension}


def test_system_relations_are_kept_apart(catalog: Catalog) -> None:
    assert catalog.system["pg_catalog.pg_class"][:3] == ("oid", "relname", "relnamespace")
    assert "table_name" in catalog.system["information_schema.tables"]
    assert not [r for r in catalog.relations if r.schema in ("pg_catalog", "information_schema", "pg_toast")]
    assert {"payroll", "Odd", "public", "pg_catalog", "information_schema"} == set(catalog.schemas)


def test_readable_is_what_the_role_may_select(module_database: LiveDatabase, catalog: Catalog) -> None:
    user = module_database.app_user
    module_database.execute(f"GRANT USAGE ON SCHEMA payroll TO {user}; GRANT SELECT ON payroll.departments TO {user}")
    with connected(module_database, superuser=False) as connection:
        mine = connection.catalog()
    assert mine.role == user
    assert relation(mine, "payroll.departments").readable
    assert not relation(mine, "payroll.employees").readable
    assert relation(catalog, "payroll.employees").readable


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE t2 (a int)",
        "DROP VIEW v",
        "ALTER TABLE t RENAME COLUMN a TO b",
        "ALTER TABLE t DROP COLUMN a",
        "ALTER TABLE t ADD COLUMN z text",
        "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN a TYPE bigint",
        "ALTER TABLE t RENAME TO t3",
        "ALTER TABLE t SET SCHEMA other",
        "CREATE OR REPLACE VIEW v AS SELECT a, 2 AS one FROM t",
        "ALTER TABLE child NO INHERIT t",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "DROP FUNCTION f()",
        "CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING",
        "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "COMMENT ON COLUMN t.a IS 'secret'",
        "ALTER TABLE t ADD PRIMARY KEY (a)",
        "GRANT SELECT ON t TO PUBLIC",
        "CREATE DOMAIN d AS int",
        "CREATE SCHEMA newer",
        "CREATE TEMPORARY TABLE t (a int)",
    ],
)
def test_the_fingerprint_changes_with_what_is_defined(database: LiveDatabase, change: str) -> None:
    database.execute(
        """CREATE SCHEMA other; CREATE TABLE t (a int); CREATE VIEW v AS SELECT a, 1 AS one FROM t;
        CREATE TABLE child () INHERITS (t); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"""
        if "ALTER COLUMN a TYPE" not in change and "DROP COLUMN" not in change
        else "CREATE TABLE t (a int)"
    )
    with connected(database) as connection:
        before = fingerprint(connection)
        assert fingerprint(connection) == before
        run(connection, change)
        assert fingerprint(connection) != before


def test_the_fingerprint_does_not_change_with_data_or_other_sessions_temporary_tables(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE t (a int PRIMARY KEY)")
    with connected(database) as connection, connected(database) as other:
        run(other, "CREATE TEMPORARY TABLE first (a int)")
        before = connection.catalog()
        run(other, "CREATE TEMPORARY TABLE second (a int PRIMARY KEY, b text DEFAULT 'x')")
        for text in ("INSERT INTO t SELECT generate_series(1, 1000)", "ANALYZE t", "VACUUM t", "TRUNCATE t"):
            run(connection, text)
        assert fingerprint(connection) == before.fingerprint
        assert connection.catalog(refresh=True) is before


def test_temporary_relations_of_the_own_session_are_seen_and_not_cached(database: LiveDatabase, tmp_path: Path) -> None:
    with connected(database, state_dir=tmp_path) as connection, connected(database) as other:
        connection.catalog()
        cached = {file.name: file.read_bytes() for file in (tmp_path / "catalog").iterdir()}
        run(connection, "CREATE TEMPORARY TABLE mine (a int)")
        seen = connection.catalog(refresh=True)
        (mine,) = [one for one in seen.relations if one.name == "mine"]
        assert mine.schema.startswith("pg_temp_")
        assert {file.name: file.read_bytes() for file in (tmp_path / "catalog").iterdir()} == cached
        assert [one for one in other.catalog().relations if one.name == "mine"] == []


def test_the_file_is_used_until_something_changes(database: LiveDatabase, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (a int)")
    with connected(database, state_dir=tmp_path) as connection:
        first = connection.catalog()
    with connected(database, state_dir=tmp_path) as connection:
        assert connection.catalog() == first
        assert connection.catalog() is connection.catalog(refresh=True)
    database.execute("ALTER TABLE t ADD COLUMN b int")
    with connected(database, state_dir=tmp_path) as connection:
        second = connection.catalog()
        assert [column.name for column in relation(second, "public.t").columns] == ["a", "b"]
    (file,) = (tmp_path / "catalog").iterdir()
    file.write_bytes(b"nonsense")
    with connected(database, state_dir=tmp_path) as connection:
        assert connection.catalog() == second


def test_within_a_transaction_it_sees_the_transaction_and_changes_nothing(database: LiveDatabase) -> None:
    with connected(database) as connection:
        connection.catalog()
        run(connection, "BEGIN")
        run(connection, "CREATE TABLE fresh (a int)")
        assert relation(connection.catalog(refresh=True), "public.fresh").columns[0].name == "a"
        assert connection.transaction is TransactionStatus.OPEN
        (row,) = next(connection.run("SHOW search_path").batches())
        assert row == ("public",)
        known = connection.catalog()
        with pytest.raises(StatementError):
            run(connection, "SELECT 1/0")
        assert connection.catalog(refresh=True) is known
        run(connection, "ROLLBACK")
        assert [one for one in connection.catalog(refresh=True).relations if one.name == "fresh"] == []


def test_the_number_of_queries_is_fixed(database: LiveDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    with connected(database) as connection:
        ask_all = connection.ask_all

        def counted(texts: Sequence[str]) -> list[list[Row]]:
            sent.append(len(texts))
            return ask_all(texts)

        monkeypatch.setattr(connection, "ask_all", counted)
        load(connection)
        run(connection, "CREATE TABLE a (x int)")
        run(connection, "CREATE VIEW b AS SELECT x FROM a")
        load(connection)
    assert sent == [11, 11]


def test_names_that_look_like_the_servers_own_do_not_mislead_it(database: LiveDatabase) -> None:
    role = database.app_user
    database.execute(
        f"""CREATE TABLE public.pg_class (relname text); CREATE TABLE public.pg_attribute (attname text);
        CREATE FUNCTION public.hash_array(anyarray) RETURNS int LANGUAGE sql AS 'SELECT 1';
        ALTER ROLE {role} IN DATABASE {database.name} SET search_path = public, pg_catalog"""
    )
    with connected(database, superuser=False) as connection:
        run(connection, "SET search_path = public, pg_catalog")
        names = {f"{one.schema}.{one.name}" for one in connection.catalog().relations}
    assert names == {"public.pg_class", "public.pg_attribute"}


def test_keys_that_are_not_enforced_carry_nothing_along(database: LiveDatabase) -> None:
    database.execute("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a ON DELETE CASCADE)")
    newest = database.query("SELECT current_setting('server_version_num')::int >= 180000")[0][0]
    if newest:
        database.execute("ALTER TABLE b ALTER CONSTRAINT b_a_fkey NOT ENFORCED")
    with connected(database) as connection:
        (key,) = load(connection).foreign_keys
        assert (key.columns, key.referenced_columns, key.on_delete) == ((1,), (1,), "a" if newest else "c")
