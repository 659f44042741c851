"""A connection on a real server: one statement per message, streamed, cancellable, without values in errors."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from dbgate.database import Connection, StatementLimits, connect
from dbgate.database.wire import Wire
from dbgate.errors import ConnectionLost, Interrupted, StatementError, Unreachable
from dbgate.model import Target, TransactionStatus
from dbgate.session.ports import Database, Rows

if TYPE_CHECKING:
    from tests.conftest import LiveDatabase

pytestmark = pytest.mark.live

SECRET = "666-12-3456"


@contextmanager
def connected(database: LiveDatabase, *, superuser: bool = True, **options: object) -> Iterator[Connection]:
    connection = connect(database.target(superuser=superuser), **options)  # type: ignore[arg-type]
    try:
        yield connection
    finally:
        connection.close()


@pytest.fixture
def db(module_database: LiveDatabase) -> Iterator[Connection]:
    with connected(module_database) as connection:
        yield connection


def rows(connection: Connection, text: str, *parameters: str | None) -> list[tuple[str | None, ...]]:
    return [row for batch in connection.run(text, parameters).batches() for row in batch]


def fails(connection: Connection, text: str, *parameters: str | None) -> StatementError:
    with pytest.raises(StatementError) as caught:
        rows(connection, text, *parameters)
    return caught.value


def test_values_come_in_text_form_with_names_and_types(db: Connection) -> None:
    rows(db, "DROP TYPE IF EXISTS mood")
    rows(db, "CREATE TYPE mood AS ENUM ('sad', 'fine')")
    other = (
        "SELECT 1 AS a, NULL AS b, 1.50::numeric(10,2) AS a, 'x'::varchar(3), ARRAY[true], '{\"a\": 1}'::jsonb, 'Ä€'"
    )
    result = db.run(other)
    assert [column.name for column in result.columns] == ["a", "b", "a", "varchar", "array", "jsonb", "?column?"]
    assert [column.type for column in result.columns] == [
        "integer",
        "text",
        "numeric(10,2)",
        "character varying(3)",
        "boolean[]",
        "jsonb",
        "text",
    ]
    assert list(result.batches()) == [[("1", None, "1.50", "x", "{t}", '{"a": 1}', "Ä€")]]
    assert (result.status, result.affected) == ("SELECT 1", 1)


def test_types_of_the_database_have_names_before_the_catalog_is_read_and_after(database: LiveDatabase) -> None:
    database.execute(
        """CREATE TYPE mood AS ENUM ('sad', 'fine'); CREATE SCHEMA payroll; CREATE DOMAIN payroll.ssn AS text;
        CREATE TABLE payroll.t (m mood, ms mood[], s payroll.ssn); INSERT INTO payroll.t VALUES ('sad', '{fine}', 'x')"""
    )
    query = "SELECT m, ms, t, ARRAY[t], 'x'::payroll.ssn FROM payroll.t"
    with connected(database) as connection:
        before = [column.type for column in connection.run(query).columns]
        connection.catalog()
        after = [column.type for column in connection.run(query).columns]
    assert before == after
    assert after == ["mood", "mood[]", "payroll.t", "payroll.t[]", "text"]


def test_empty_results_keep_their_columns(db: Connection) -> None:
    result = db.run("SELECT 1 AS a WHERE false")
    assert [column.name for column in result.columns] == ["a"]
    assert list(result.batches()) == []
    assert (result.status, result.affected) == ("SELECT 0", 0)


def test_rows_without_columns_are_rows(db: Connection) -> None:
    rows = db.run("SELECT FROM generate_series(1, 200)")
    assert rows.columns == ()
    assert sum(len(batch) for batch in rows.batches()) == 200
    assert (rows.status, rows.affected) == ("SELECT 200", 200)


def test_statements_without_rows_tell_what_they_did(db: Connection) -> None:
    done = [db.run(text) for text in ("CREATE TABLE kept (a int)", "INSERT INTO kept SELECT generate_series(1, 200)")]
    assert [(one.status, one.affected, one.columns) for one in done] == [
        ("CREATE TABLE", 0, ()),
        ("INSERT 0 200", 200, ()),
    ]
    updated = db.run("UPDATE kept SET a = a + 1 WHERE a > 100 RETURNING a")
    assert sum(len(batch) for batch in updated.batches()) == 100
    assert (updated.status, updated.affected) == ("UPDATE 100", 100)
    assert rows(db, "DROP TABLE kept") == []
    assert rows(db, "") == []


def test_two_statements_in_one_text_are_refused_and_neither_runs(db: Connection) -> None:
    error = fails(db, "CREATE TABLE stacked (a int); SELECT 1")
    assert error.sqlstate == "42601"
    assert rows(db, "SELECT to_regclass('stacked')") == [(None,)]


def test_parameters_are_bound_never_pasted(db: Connection) -> None:
    hostile = "'; DROP TABLE x; --"
    assert rows(db, "SELECT $1::text, $2::int + 1, $3::text", hostile, "41", None) == [(hostile, "42", None)]


@pytest.mark.parametrize("text", ["SELECT 1\0; DROP TABLE x", "SELECT '\ud800'"])
def test_text_that_would_be_cut_is_not_sent(db: Connection, text: str) -> None:
    assert fails(db, text).sqlstate == "22021"
    assert fails(db, "SELECT $1::text", text).sqlstate == "22021"
    assert rows(db, "SELECT 1") == [("1",)]


def test_large_results_are_streamed_in_flat_memory(db: Connection) -> None:
    list(db.run("SELECT 1").batches())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = db.run("SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 150000) g")
    assert sum(len(batch) for batch in result.batches()) == 150_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12_000
    assert result.status == "SELECT 150000"


def test_max_rows_cuts_and_leaves_the_connection_usable(db: Connection) -> None:
    endless = "SELECT generate_series(1, 100000000)"
    cut = db.run(endless, max_rows=100)
    assert [row[0] for batch in cut.batches() for row in batch] == [str(n) for n in range(1, 101)]
    assert cut.affected == 100
    exact = db.run("SELECT generate_series(1, 3)", max_rows=3)
    assert sum(len(batch) for batch in exact.batches()) == 3
    assert exact.status == "SELECT 3"


def test_rows_that_nobody_wants_are_thrown_away(db: Connection) -> None:
    result = db.run("SELECT generate_series(1, 100000000)")
    next(result.batches())
    result.close()
    assert rows(db, "SELECT 1") == [("1",)]
    db.run("SELECT generate_series(1, 100000000)")
    assert rows(db, "SELECT 2") == [("2",)]


def test_throwing_rows_away_does_not_abort_a_transaction(db: Connection) -> None:
    rows(db, "BEGIN")
    result = db.run("SELECT g FROM generate_series(1, 100000) g", max_rows=1)
    assert db.transaction is TransactionStatus.OPEN
    assert list(result.batches()) == [[("1",)]]
    assert db.transaction is TransactionStatus.OPEN
    assert rows(db, "SELECT 1") == [("1",)]
    rows(db, "COMMIT")


def test_the_transaction_is_followed(db: Connection) -> None:
    seen = [str(db.transaction)]
    rows(db, "BEGIN")
    seen.append(str(db.transaction))
    fails(db, "SELECT 1/0")
    seen.append(str(db.transaction))
    rows(db, "ROLLBACK")
    seen.append(str(db.transaction))
    assert seen == ["idle", "open", "failed", "idle"]


class TestErrors:
    """No value of the database stands in an error or notice."""

    @pytest.fixture
    def pay(self, database: LiveDatabase) -> Iterator[Connection]:
        database.execute(
            f"""CREATE TABLE pay (id int PRIMARY KEY, ssn text UNIQUE, boss int REFERENCES pay, CHECK (ssn <> 'bad'));
            INSERT INTO pay VALUES (1, '{SECRET}', NULL);
            CREATE FUNCTION loud() RETURNS int LANGUAGE plpgsql AS $$ DECLARE s text; BEGIN
                SELECT ssn INTO s FROM pay; RAISE NOTICE 'ssn %', s; RAISE WARNING 'table "%" does not exist, skipping', s;
                RAISE EXCEPTION 'ssn is %', s USING ERRCODE = '42P01', DETAIL = s, HINT = s, TABLE = s, CONSTRAINT = s;
            END $$;
            CREATE FUNCTION deep() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
                RETURN (SELECT ssn::int FROM pay); END $$"""
        )
        with connected(database) as connection:
            yield connection

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("SELECT ssn::int FROM pay", 'invalid input syntax for type integer: "…"'),
            ("SELECT ssn::date FROM pay", 'date/time field value out of range: "…"'),
            ("SELECT ssn::inet FROM pay", 'invalid input syntax for type inet: "…"'),
            ("SELECT to_date(ssn, 'Mon') FROM pay", 'invalid value "…"'),
            ("SELECT ssn::json FROM pay", "invalid input syntax for type json"),
            ("SELECT (ssn || '\"')::jsonb FROM pay", "invalid input syntax for type json"),
            ("SELECT ('{' || ssn)::int[] FROM pay", 'malformed array literal: "…"'),
            ("SELECT deep()", 'invalid input syntax for type integer: "…"'),
            ("INSERT INTO pay SELECT 2, ssn FROM pay", 'duplicate key value violates unique constraint "pay_ssn_key"'),
            (
                "INSERT INTO pay VALUES (2, 'bad')",
                'new row for relation "pay" violates check constraint "pay_ssn_check"',
            ),
            (
                "INSERT INTO pay VALUES (2, 'x', 77)",
                'insert or update on table "pay" violates foreign key constraint "pay_boss_fkey"',
            ),
            (
                "INSERT INTO pay VALUES (NULL)",
                'null value in column "id" of relation "pay" violates not-null constraint',
            ),
            ("SELECT loud()", "a function or trigger raised an error: undefined table (text withheld)"),
        ],
    )
    def test_without_values(self, pay: Connection, text: str, message: str) -> None:
        error = fails(pay, text)
        assert error.message == message
        assert SECRET not in f"{error.message}{error.hint}{error!r}"
        assert error.__cause__ is None

    def test_a_guess_in_a_comment_is_not_confirmed(self, pay: Connection) -> None:
        assert "…" in fails(pay, f"SELECT ssn::int FROM pay -- {SECRET}").message
        assert "…" in fails(pay, f"SELECT ssn::int AS \"{SECRET}\" FROM pay WHERE ssn = '{SECRET}'").message

    def test_notices_of_functions_are_withheld(self, pay: Connection) -> None:
        fails(pay, "SELECT loud()")
        assert pay.notices() == ["notice from the server (text withheld)"] * 2
        assert pay.notices() == []

    def test_notices_of_the_server_are_shown(self, pay: Connection) -> None:
        rows(pay, "DROP TABLE IF EXISTS nothing_here")
        rows(pay, "COMMIT")
        assert pay.notices() == [
            'notice: table "nothing_here" does not exist, skipping',
            "warning: there is no transaction in progress",
        ]

    @pytest.mark.parametrize(
        ("text", "message", "sqlstate", "position"),
        [
            ("selec 1", 'syntax error at or near "selec"', "42601", 1),
            ("SELECT 'Ä', nope", 'column "nope" does not exist', "42703", 13),
            ("SELECT * FROM nope", 'relation "nope" does not exist', "42P01", 15),
            ("SELECT nope(1)", "function nope(integer) does not exist", "42883", 8),
            ("SELECT 'abc'::int", 'invalid input syntax for type integer: "abc"', "22P02", 8),
            ("SELECT 1/0", "division by zero", "22012", 0),
            ("DROP TABLE nope", 'table "nope" does not exist', "42P01", 0),
            ("SELECT 1 ORDER BY 77", "ORDER BY position 77 is not in select list", "42P10", 19),
            ("ROLLBACK TO nope", "ROLLBACK TO SAVEPOINT can only be used in transaction blocks", "25P01", 0),
        ],
    )
    def test_what_a_person_typed_wrong_is_told(
        self, pay: Connection, text: str, message: str, sqlstate: str, position: int
    ) -> None:
        error = fails(pay, text)
        assert (error.message, error.sqlstate, error.position) == (message, sqlstate, position)

    def test_an_error_halfway_through_the_rows(self, pay: Connection) -> None:
        result = pay.run("SELECT 1 / (500 - g) FROM generate_series(1, 1000) g")
        seen: list[int] = []
        with pytest.raises(StatementError, match="division by zero"):
            seen.extend(len(batch) for batch in result.batches())
        assert 0 < sum(seen) < 500
        assert rows(pay, "SELECT 1") == [("1",)]


class TestCount:
    """Counting writes nothing and leaves no trace in the person's transaction."""

    @pytest.fixture
    def table(self, database: LiveDatabase) -> Iterator[Connection]:
        database.execute("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 7)")
        with connected(database) as connection:
            yield connection

    def test_counts_outside_and_inside_a_transaction(self, table: Connection) -> None:
        query = "SELECT count(*) FROM t WHERE a > $1::int"
        assert table.count(query, ["2"]) == 5
        assert str(table.transaction) == "idle"
        rows(table, "BEGIN")
        rows(table, "DELETE FROM t WHERE a > 4")
        assert table.count(query, ["2"]) == 2
        assert str(table.transaction) == "open"
        rows(table, "INSERT INTO t VALUES (9)")
        assert rows(table, "SHOW transaction_read_only") == [("off",)]
        rows(table, "COMMIT")
        assert table.count("SELECT count(*) FROM t") == 5

    @pytest.mark.parametrize("begin", ["", "BEGIN"])
    def test_nothing_can_be_written(self, table: Connection, begin: str) -> None:
        rows(table, begin)
        with pytest.raises(StatementError) as caught:
            table.count("WITH d AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM d")
        assert caught.value.sqlstate == "25006"
        assert rows(table, "SELECT count(*) FROM t") == [("7",)]
        if begin:
            assert table.transaction is TransactionStatus.OPEN

    @pytest.mark.parametrize("query", ["SELECT 1 WHERE false", "SELECT 1, 2", "SELECT NULL", "SELECT 'x'", "SELECT -1"])
    def test_only_one_number_is_a_count(self, table: Connection, query: str) -> None:
        with pytest.raises(StatementError, match="could not be counted"):
            table.count(query)

    def test_in_a_failed_transaction_there_is_no_count(self, table: Connection) -> None:
        rows(table, "BEGIN")
        fails(table, "SELECT 1/0")
        with pytest.raises(StatementError) as caught:
            table.count("SELECT 1")
        assert caught.value.sqlstate == "25P02"


class TestCopy:
    """COPY out, as blocks and as rows; COPY in is refused."""

    def test_blocks(self, db: Connection) -> None:
        blocks = list(db.copy_out("COPY (SELECT g, 'Ä' FROM generate_series(1, 20000) g) TO STDOUT (FORMAT csv)"))
        lines = b"".join(blocks).decode().splitlines()
        assert lines == [f"{n},Ä" for n in range(1, 20_001)]
        assert len(blocks) < 1000
        assert rows(db, "SELECT 1") == [("1",)]

    def test_leaving_early_throws_the_rest_away(self, db: Connection) -> None:
        copying = db.copy_out("COPY (SELECT generate_series(1, 100000000)) TO STDOUT")
        assert next(copying).startswith(b"1\n2\n")
        copying.close()  # type: ignore[attr-defined]
        assert rows(db, "SELECT 1") == [("1",)]

    def test_an_error_halfway(self, db: Connection) -> None:
        with pytest.raises(StatementError, match="division by zero"):
            list(db.copy_out("COPY (SELECT 1 / (9000 - g) FROM generate_series(1, 10000) g) TO STDOUT"))
        with pytest.raises(StatementError, match="copies nothing out"):
            list(db.copy_out("SELECT 1"))
        with pytest.raises(StatementError) as caught:
            list(db.copy_out("COPY (SELECT 1) TO STDOUT; DROP TABLE x"))
        assert caught.value.sqlstate == "42601"
        assert rows(db, "SELECT 1") == [("1",)]

    def test_as_rows(self, db: Connection) -> None:
        result = db.run("COPY (SELECT 1, NULL, 'a,b' UNION ALL SELECT 2, 'x', E'c\\nd') TO STDOUT (FORMAT csv)")
        assert [(column.name, column.type) for column in result.columns] == [("copy", "copy data")]
        assert list(result.batches()) == [[('1,,"a,b"',), ('2,x,"c\nd"',)]]
        assert (result.status, result.affected) == ("COPY 2", 2)

    def test_what_cannot_be_shown_is_refused_and_does_nothing(self, db: Connection) -> None:
        rows(db, "CREATE TEMP TABLE into_here (a int)")
        for text in ("COPY into_here FROM STDIN", "COPY (SELECT 1) TO STDOUT (FORMAT binary)"):
            with pytest.raises(StatementError, match="not possible here"):
                rows(db, text)
        assert rows(db, "SELECT count(*) FROM into_here") == [("0",)]

    def test_what_comes_from_the_client_is_ended_without_a_cancel(
        self, db: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server would answer twice where the cancel came first, and the next statement get the second answer."""
        cancelled: list[object] = []
        monkeypatch.setattr(Wire, "cancel", cancelled.append)
        rows(db, "CREATE TEMP TABLE into_there (a int)")
        with pytest.raises(StatementError, match="not possible here"):
            rows(db, "COPY into_there FROM STDIN")
        assert cancelled == []
        assert rows(db, "SELECT 1") == [("1",)]


class TestCancel:
    """What runs too long can be stopped, and the session goes on."""

    def test_from_another_thread(self, db: Connection) -> None:
        timer = threading.Timer(0.2, db.cancel)
        timer.start()
        error = fails(db, "SELECT pg_sleep(30)")
        timer.join()
        assert (error.sqlstate, error.message) == ("57014", "canceling statement due to user request")
        assert rows(db, "SELECT 1") == [("1",)]

    def test_when_nothing_runs(self, db: Connection) -> None:
        db.cancel()
        assert rows(db, "SELECT 1") == [("1",)]

    def test_from_a_signal_handler(self, db: Connection) -> None:
        before = signal.signal(signal.SIGALRM, lambda *_: db.cancel())
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            assert fails(db, "SELECT pg_sleep(30)").sqlstate == "57014"
        finally:
            signal.signal(signal.SIGALRM, before)
        assert rows(db, "SELECT 1") == [("1",)]

    def test_ctrl_c_stops_the_statement_and_keeps_the_session(self, module_database: LiveDatabase) -> None:
        script = """
import sys
from dbgate.database import connect
from dbgate.errors import Interrupted
from dbgate.model import Target
db = connect(Target("t", "postgres", sys.argv[1]))
for text in ("SELECT pg_sleep(30)", "SELECT g, pg_sleep(0.001) FROM generate_series(1, 100000) g"):
    print("go", flush=True)
    try:
        for batch in db.run(text).batches():
            pass
    except Interrupted:
        print(list(db.run("SELECT 1").batches()), db.transaction, flush=True)
db.close()
"""
        command = [sys.executable, "-c", script, module_database.dsn]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "go\n"
            threading.Event().wait(0.4)
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "[[('1',)]] idle\n"
        assert process.wait(10) == 0
        process.stdout.close()

    def test_an_interruption_raised_by_the_handler_itself(self, db: Connection) -> None:
        def interrupt(*_: object) -> None:
            raise Interrupted("interrupted")

        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            with pytest.raises(Interrupted):
                rows(db, "SELECT pg_sleep(30)")
        finally:
            signal.signal(signal.SIGALRM, before)
        assert rows(db, "SELECT 1") == [("1",)]

    def test_limits_are_the_servers(self, module_database: LiveDatabase) -> None:
        limits = StatementLimits(statement_timeout_s=0.1, lock_timeout_s=0.05, idle_s=60)
        with connected(module_database, limits=limits) as connection:
            assert fails(connection, "SELECT pg_sleep(30)").message == "canceling statement due to statement timeout"
            assert rows(connection, "SHOW lock_timeout") == [("50ms",)]
            assert rows(connection, "SHOW idle_in_transaction_session_timeout") == [("1min",)]


class TestLoss:
    """A connection that breaks says so, once and for all."""

    @staticmethod
    def end(database: LiveDatabase, connection: Connection) -> None:
        pid = connection.wire.pgconn.backend_pid
        assert database.query(f"SELECT pg_terminate_backend({pid}, 5000)") == [(True,)]

    def test_between_statements(self, module_database: LiveDatabase) -> None:
        with connected(module_database) as connection:
            self.end(module_database, connection)
            for _ in range(2):
                with pytest.raises(ConnectionLost) as caught:
                    rows(connection, "SELECT 1")
                assert caught.value.exit_code == 7
            assert connection.transaction is TransactionStatus.UNKNOWN
            connection.cancel()

    def test_while_a_statement_runs(self, module_database: LiveDatabase) -> None:
        with connected(module_database) as connection:
            timer = threading.Timer(0.2, self.end, (module_database, connection))
            timer.start()
            with pytest.raises(ConnectionLost, match="57P01"):
                rows(connection, "SELECT pg_sleep(30)")
            timer.join()

    def test_while_rows_stream(self, module_database: LiveDatabase) -> None:
        with connected(module_database) as connection:
            stream = connection.run("SELECT generate_series(1, 10000000), repeat('x', 1000)").batches()
            next(stream)
            self.end(module_database, connection)
            with pytest.raises(ConnectionLost):
                list(stream)


class TestSession:
    """The settings that dbgate owns."""

    def test_what_a_role_has_set_otherwise_is_set_right(self, database: LiveDatabase) -> None:
        role = database.app_user
        database.execute(
            f"""CREATE SCHEMA "Odd, ""one"; CREATE SCHEMA "{role}";
            GRANT USAGE ON SCHEMA "Odd, ""one", "{role}" TO {role};
            ALTER ROLE {role} IN DATABASE {database.name} SET search_path = "Odd, ""one", nowhere, "$user", public, pg_catalog;
            ALTER ROLE {role} IN DATABASE {database.name} SET standard_conforming_strings = off;
            ALTER ROLE {role} IN DATABASE {database.name} SET client_encoding = 'LATIN1';
            ALTER ROLE {role} IN DATABASE {database.name} SET datestyle = 'German';
            ALTER ROLE {role} IN DATABASE {database.name} SET intervalstyle = 'iso_8601';
            ALTER ROLE {role} IN DATABASE {database.name} SET bytea_output = 'escape';"""
        )
        with connected(database, superuser=False) as connection:
            assert connection.session.search_path == ('Odd, "one', role, "public")
            assert connection.session.role == role
            assert rows(connection, "SHOW search_path") == [(f'"Odd, ""one", {role}, public',)]
            assert rows(connection, "SELECT 'a\\b', date '2024-02-01', interval '1 day', '\\x01'::bytea, 'Ä€'") == [
                ("a\\b", "2024-02-01", "1 day", "\\x01", "Ä€")
            ]
            assert rows(connection, "SHOW application_name") == [("dbgate",)]

    def test_an_empty_path_stays_empty(self, database: LiveDatabase) -> None:
        database.execute(f"ALTER DATABASE {database.name} SET search_path = ''")
        with connected(database) as connection:
            assert connection.session.search_path == ()
            assert connection.catalog().search_path == ()
            assert fails(connection, "CREATE TABLE nowhere (a int)").sqlstate == "3F000"

    def test_a_path_with_functions_like_the_servers_own_does_not_steer_the_setup(self, database: LiveDatabase) -> None:
        role = database.app_user
        database.execute(
            f"""CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
            CREATE FUNCTION public.quote_ident(text) RETURNS text LANGUAGE sql AS $$ SELECT 'evil' $$;
            CREATE FUNCTION public.count(text) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
            ALTER ROLE {role} IN DATABASE {database.name} SET search_path = public, pg_catalog;"""
        )
        with connected(database, superuser=False) as connection:
            assert connection.session.search_path == ("public",)
            assert rows(connection, "SHOW search_path") == [("public",)]
            assert len(connection.catalog().relations) == 0

    def test_the_key_of_masks_is_random_and_of_this_session(self, module_database: LiveDatabase) -> None:
        keys = set()
        for _ in range(2):
            with connected(module_database) as connection:
                keys.add(rows(connection, "SELECT current_setting('dbgate.key')")[0][0])
        assert len(keys) == 2
        assert all(key and len(key) == 64 and int(key, 16) for key in keys)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"password": "wrong"}, "refuses the password of app_"),
            ({"dbname": "nowhere_at_all"}, "has no database nowhere_at_all"),
            ({"user": "nobody_at_all"}, "refuses the password of nobody_at_all"),
            ({"sslmode": "require"}, "no encrypted connection to"),
        ],
    )
    def test_what_does_not_fit_is_told(
        self, module_database: LiveDatabase, change: dict[str, str], message: str
    ) -> None:
        password = module_database.server.app_password
        dsn = psycopg.conninfo.make_conninfo(module_database.app_dsn, **change)
        with pytest.raises(Unreachable) as caught:
            connect(Target("pay", "postgres", dsn))
        assert message in caught.value.message
        assert caught.value.hint
        assert password not in caught.value.message + caught.value.hint
        assert "wrong" not in caught.value.message + caught.value.hint


def test_it_is_the_port_that_sessions_need(db: Connection) -> None:
    port: Database = db
    result: Rows = port.run("SELECT 1")
    assert list(result.batches()) == [[("1",)]]


def test_connecting_imports_little(module_database: LiveDatabase) -> None:
    script = """
import sys
from dbgate.database import connect
from dbgate.model import Target
db = connect(Target("t", "postgres", sys.argv[1]))
list(db.run("SELECT 1").batches())
db.catalog()
db.close()
heavy = {"rich", "sqlglot", "pgparse", "keyring", "requests", "typer", "yaml", "cryptography", "pydantic"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    command = [sys.executable, "-c", script, module_database.dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert done.stdout == "[]\n"
