"""Runs the corpus against a live server: what must not leak or happen, and what must run as PostgreSQL runs it.

Whatever a statement brings out (rows, errors, notices, what is recorded of it) is searched for sentinels: plain, upper
case, reversed, hex, base64, hashed, sliced. Statements that run are run again on a database that differs only in labelled
values: the answers have to be the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import yaml
from tests.conftest import LiveDatabase, LiveServer, fresh_database
from tests.corpus.worlds import HERE, judged, leaked, make_world, outcome
from tests.corpus.worlds import policy as read

from dbgate.database import connect
from dbgate.errors import StatementError
from dbgate.gate.decide import Context, judge
from dbgate.gate.policy.model import Policy
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Allow, Decision, Deny, Identity, Rewrite, Target
from dbgate.session.ports import Database

VOLATILE = re.compile(
    r"now\(|random|uuid|pg_stat|pid|oid|xmin|xmax|snapshot|version|current_|clock|localtime|age\(|size|timing|memory|pg_class|dbgate|"
    r"_keywords|made|hr\.statistics|pg_attribute|pg_settings|pg_prepared|pg_cursors|pg_database|pg_roles|acl",
    re.IGNORECASE,
)
"""Statements whose answer is different every time, or on every server."""
WITHHELD = "notice from the server (text withheld)"
KEYED = {"token", "hash"}
PACK = """SELECT 'VACUUM (FULL) ' || string_agg(relid::regclass::text, ', ') FROM pg_stat_user_tables"""
"""Makes the statement that packs every table."""


def groups(folder: str) -> Iterator[dict[str, Any]]:
    for path in sorted((HERE / folder).glob("*.yaml")):
        yield from yaml.safe_load(path.read_text(encoding="utf-8"))


def cases(folder: str, kind: str = "sql") -> list[Any]:
    return [
        pytest.param(sql, group, id=f"{group['class'][:30]}-{number}")
        for group in groups(folder)
        for number, sql in enumerate(group.get(kind, ()))
    ]


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read()


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    make_world(module_database)
    return module_database


@pytest.fixture(scope="module")
def connection(world: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = connect(Target("world", "postgres", world.app_dsn), state_dir=tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def other_world(postgres_server: LiveServer) -> Iterator[LiveDatabase]:
    """The second edition of the world."""
    with fresh_database(postgres_server) as database:
        make_world(database, 2)
        yield database


@pytest.fixture(scope="module")
def other(other_world: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = connect(Target("other", "postgres", other_world.app_dsn), state_dir=tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def key(connection: Database) -> str:
    """The session's key of keyed masks, with which their tokens could be guessed."""
    ((found,),) = outcome("SELECT current_setting('dbgate.key')", connection).rows
    assert found
    return found


@pytest.fixture(scope="module")
def pack(world: LiveDatabase, other_world: LiveDatabase) -> Callable[[], None]:
    """Leaves no dead rows in both editions, for a plan: its costs follow the sizes of files, which other cases grow."""

    def both() -> None:
        for database in (world, other_world):
            database.execute(database.query(PACK)[0][0])

    return both


def compared(rows: list[tuple[str | None, ...]]) -> list[str]:
    return sorted(map(repr, rows))


@pytest.mark.parametrize(("sql", "group"), cases("leaks"))
def test_nothing_leaks(
    sql: str,
    group: dict[str, Any],
    connection: Database,
    other: Database,
    pack: Callable[[], None],
    key: str,
    policy: Policy,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("class", group["class"])
    who = tuple(group.get("as", ["staff"]))
    if group["expect"] == "error":
        with pytest.raises(StatementError):
            judged(sql, connection, policy, who)
        return
    judgement = judged(sql, connection, policy, who)
    decision = judgement.decision
    if group["expect"] == "denied":
        assert isinstance(decision, Deny), decision
        assert decision.reason
        return
    assert isinstance(decision, Allow | Rewrite), decision
    if sql.upper().startswith("EXPLAIN"):
        pack()
    seen = outcome(decision.text, connection)
    assert not (group.get("runs") and seen.messages)
    if "shows" in group:
        shown = {" ".join("NULL" if value is None else value for value in row) for row in seen.rows}
        assert shown
        assert all(re.fullmatch(group["shows"], row) for row in shown), shown
    assert leaked(str(seen.rows), seen.messages) == set()
    assert key not in f"{seen.rows} {seen.messages}"
    assert (
        leaked(judgement.recorded_text, judgement.recorded_rewritten, *filter(None, judgement.recorded_parameters))
        == set()
    )
    if not VOLATILE.search(sql) and not _keyed(decision):
        there = outcome(decision.text, other)
        assert (compared(there.rows), there.messages) == (compared(seen.rows), seen.messages)


def _keyed(decision: Decision) -> bool:
    """Tokens depend on the values, and are the same within a session only."""
    return isinstance(decision, Rewrite) and any(m.method in KEYED for m in decision.masked)


@pytest.mark.parametrize(("script", "group"), cases("leaks", "scripts"))
def test_nothing_leaks_over_several_statements(
    script: list[str],
    group: dict[str, Any],
    connection: Database,
    policy: Policy,
    record_property: Callable[[str, object], None],
) -> None:
    """The statements run in one session; what is expected is expected of the last one."""
    record_property("class", group["class"])
    who = tuple(group.get("as", ["staff"]))
    objects = SessionObjects()
    connection.execute_unrecorded("BEGIN")
    decision: Decision | None = None
    try:
        for number, sql in enumerate(script, 1):
            judgement = judged(sql, connection, policy, who, objects)
            decision = judgement.decision
            if number == len(script) and group["expect"] == "denied":
                assert isinstance(decision, Deny), f"effect: {decision}"
                return
            assert isinstance(decision, Allow | Rewrite), f"false refusal: {decision}"
            seen = outcome(decision.text, connection, alone=False)
            assert not leaked(str(seen.rows), seen.messages, judgement.recorded_text), f"leak: {seen}"
            assert not seen.messages.replace(WITHHELD, "")
            objects = judgement.changes.apply(objects)
            if judgement.changes.catalog:
                connection.catalog(refresh=True)
    finally:
        connection.execute_unrecorded("ROLLBACK")
        connection.catalog(refresh=True)
        connection.execute_unrecorded("DEALLOCATE ALL")


@pytest.mark.parametrize(("sql", "group"), cases("legitimate"))
def test_what_is_allowed_behaves_like_postgresql(
    sql: str,
    group: dict[str, Any],
    connection: Database,
    policy: Policy,
    direct: psycopg.Connection[Any],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("class", group["class"])
    decision = judged(sql, connection, policy, tuple(group.get("as", ["staff"]))).decision
    assert isinstance(decision, Allow | Rewrite), f"false refusal: {decision}"
    seen = outcome(decision.text, connection)
    direct.pgconn.exec_(b"DEALLOCATE ALL")
    with direct.transaction(force_rollback=True):
        raw = direct.pgconn.exec_params(sql.encode(), [])
        if direct.info.server_version < 180000 and raw.error_message:
            assert seen.messages.startswith(newer_than(raw)), seen.messages
            return
        assert raw.error_message == b""
        if raw.status == psycopg.pq.ExecStatus.COPY_OUT:
            assert "".join(str(row[0]) for row in seen.rows).replace("\n", "") == copied(direct).replace("\n", "")
            return
        expected = [
            tuple(v.decode() if (v := raw.get_value(r, c)) is not None else None for c in range(raw.nfields))
            for r in range(raw.ntuples)
        ]
    assert seen.messages.replace(WITHHELD, "").strip() == ""
    assert seen.names == [(raw.fname(c) or b"").decode() for c in range(raw.nfields)]
    assert seen.types == [raw.ftype(c) for c in range(raw.nfields)]
    if not VOLATILE.search(sql) and seen.names:
        assert compared(seen.rows) == compared(expected)


def newer_than(raw: psycopg.pq.abc.PGresult) -> str:
    """The SQLSTATE with which an older server refuses what came later: syntax, function, `old` and `new`, name, cast."""
    sqlstate = (raw.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
    assert sqlstate in {"42601", "42883", "42P01", "42703", "42846"}, raw.error_message
    return sqlstate


@pytest.mark.parametrize(("script", "group"), cases("legitimate", "scripts"))
def test_sessions_behave_like_postgresql(
    script: list[str],
    group: dict[str, Any],
    connection: Database,
    policy: Policy,
    direct: psycopg.Connection[Any],
    record_property: Callable[[str, object], None],
) -> None:
    """The statements run in one transaction of one session, first past the gate and then through it."""
    record_property("class", group["class"])
    expected: list[tuple[list[str] | None, list[str]]] = []
    direct.pgconn.exec_(b"DEALLOCATE ALL")
    with direct.transaction(force_rollback=True):
        for sql in script:
            raw = direct.pgconn.exec_params(sql.encode(), [])
            assert raw.error_message == b"", sql
            if raw.status == psycopg.pq.ExecStatus.COPY_OUT:
                expected.append((None, [copied(direct).replace("\n", "")]))
                continue
            rows = [
                repr(tuple(v.decode() if (v := raw.get_value(r, c)) is not None else None for c in range(raw.nfields)))
                for r in range(raw.ntuples)
            ]
            expected.append(([(raw.fname(c) or b"").decode() for c in range(raw.nfields)], sorted(rows)))
    objects = SessionObjects()
    connection.execute_unrecorded("BEGIN")
    try:
        for sql, (names, rows) in zip(script, expected, strict=True):
            judgement = judged(sql, connection, policy, objects=objects)
            decision = judgement.decision
            assert isinstance(decision, Allow | Rewrite), f"false refusal: {decision}"
            seen = outcome(decision.text, connection, alone=False)
            assert seen.messages.replace(WITHHELD, "").strip() == "", sql
            if names is None:
                assert ["".join(str(row[0]) for row in seen.rows).replace("\n", "")] == rows
                objects = judgement.changes.apply(objects)
                continue
            assert seen.names == names
            if not VOLATILE.search(sql):
                assert compared(seen.rows) == rows
            objects = judgement.changes.apply(objects)
            if judgement.changes.catalog:
                connection.catalog(refresh=True)
    finally:
        connection.execute_unrecorded("ROLLBACK")
        connection.catalog(refresh=True)
        connection.execute_unrecorded("DEALLOCATE ALL")


def copied(direct: psycopg.Connection[Any]) -> str:
    """What a COPY that has begun sends."""
    pieces = []
    while True:
        size, data = direct.pgconn.get_copy_data(0)
        if size < 0:
            break
        pieces.append(bytes(data).decode())
    assert direct.pgconn.get_result() is not None
    assert direct.pgconn.get_result() is None
    return "".join(pieces)


@pytest.fixture(scope="module")
def direct(world: LiveDatabase) -> Iterator[psycopg.Connection[Any]]:
    """A connection past the gate."""
    with psycopg.connect(world.app_dsn) as opened:
        opened.execute("SET search_path = public")
        opened.commit()
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM hr.regional WHERE 1 / (id - 1) >= 0",
        "SELECT id FROM hr.regional WHERE replace(note, 'seen', '1')::int = 1",
        "SELECT r.id FROM hr.regional r JOIN shop.log l ON l.id = r.id AND 1 / (r.id - 1) >= 0",
        "UPDATE hr.regional SET amount = 0 WHERE 1 / (id - 1) >= 0",
        "DELETE FROM hr.regional WHERE replace(note, 'seen', '1')::int = 1",
        "SELECT id FROM hr.regional_view WHERE 1 / (id - 1) >= 0",
        "SELECT id FROM hr.costly WHERE 1 / (id - 1) >= 0",
        "SELECT id FROM hr.costly WHERE note::int = 1",
        "SELECT q.id FROM (SELECT * FROM hr.costly) AS q WHERE 1 / (q.id - 1) >= 0",
        "WITH q AS (SELECT id FROM hr.costly) SELECT id FROM q WHERE 1 / (id - 3) >= 0",
        "SELECT c.id FROM hr.costly AS c JOIN shop.log AS l ON l.id = c.id WHERE c.note::int = l.id",
        "SELECT id FROM hr.costly_view WHERE note::int = 1",
        "DELETE FROM hr.costly WHERE 1 / (id - 1) >= 0",
        "UPDATE hr.costly SET note = 'x' WHERE note::int = 1",
    ],
)
def test_rows_behind_a_filter_raise_no_errors(sql: str, connection: Database, policy: Policy) -> None:
    decision = judged(sql, connection, policy).decision
    assert isinstance(decision, Rewrite), decision
    assert outcome(decision.text, connection).messages == ""


@pytest.mark.parametrize("half", ["low", "high"])
def test_officers_see_in_clear(half: str, connection: Database, policy: Policy) -> None:
    officer = Identity("local:test", half, groups=("officers",))
    (source,) = split("SELECT ssn FROM payroll.employees WHERE id = 1")
    decision = judge(source, Context(officer, policy, connection.catalog(), "test", datetime.now(UTC))).decision
    assert isinstance(decision, Allow)
    assert outcome(decision.text, connection).rows == [("Zebrafish11-9931",)]


@pytest.mark.parametrize(
    ("sql", "masks"),
    [
        ("SELECT id, number, full_name FROM hr.away", ["***", " AS number"]),
        ("SELECT a.email FROM hr.away a", ["CASE WHEN email IS NULL", " AS email"]),
        ("SELECT n FROM hr.away_view", ["***", " AS number"]),
        ("SELECT full_name FROM hr.away WHERE number > 'M'", ["***", " AS number"]),
    ],
)
def test_foreign_tables_have_the_labels_of_the_table_they_name(
    sql: str, masks: list[str], connection: Database, policy: Policy
) -> None:
    decision = judged(sql, connection, policy).decision
    assert isinstance(decision, Rewrite), decision
    assert all(mask in decision.text for mask in masks), decision.text
    plain = judged("SELECT id, full_name FROM hr.away", connection, policy).decision
    assert isinstance(plain, Allow | Rewrite)
    assert "***" not in plain.text


def test_the_corpus_is_large_enough() -> None:
    hostile = sum(len(g.get("sql", ())) + len(g.get("scripts", ())) for g in groups("leaks"))
    assert hostile >= 600
    assert sum(len(g.get("sql", ())) + len(g.get("scripts", ())) for g in groups("legitimate")) >= 900
