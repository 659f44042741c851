"""Runs the corpus against a live server: what must not leak, and what must run as PostgreSQL runs it.

`world.sql` puts a sentinel into every labelled cell. Whatever a statement brings out (rows, errors, notices, what is
recorded of it) is searched for them: plain, upper case, reversed, hex, base64, hashed, sliced.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from tests.conftest import LiveDatabase

from dbgate.database import connect
from dbgate.errors import StatementError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.policy.model import Policy
from dbgate.gate.policy.read import read_policy
from dbgate.gate.syntax import split
from dbgate.model import Allow, Deny, Identity, Rewrite, Target
from dbgate.session.ports import Database

HERE = Path(__file__).parent
WORDS = ("ebrafish", "alrusine", "okapitis", "tapirish", "OALABEAR", "azelleon")
NUMBERS = ("7741", "51507700")


def cases(name: str) -> list[Any]:
    groups = yaml.safe_load((HERE / name).read_text(encoding="utf-8"))
    return [
        pytest.param(
            sql, (group.get("expect", ""), tuple(group.get("as", ["staff"]))), id=f"{group['class'][:24]}-{number}"
        )
        for group in groups
        for number, sql in enumerate(group["sql"])
    ]


def sentinels() -> frozenset[str]:
    """Every form in which a sentinel could come out, lower case."""
    forms: set[str] = set(NUMBERS)
    for word in WORDS:
        for text in (word, word[::-1], word[1:], word.encode().hex()):
            forms.add(text.lower())
    for n in range(1, 13):
        values = (f"Zebrafish{10 + n}-99{30 + n}", f"walrusine{40 + n}@mail.example", f"KOALABEAR{50 + n}DE00")
        for value in values:
            raw = value.encode()
            digests = (
                hashlib.md5(raw, usedforsecurity=False),
                hashlib.sha1(raw, usedforsecurity=False),
                hashlib.sha256(raw),
            )
            forms |= {digest.hexdigest() for digest in digests}
            forms.add(base64.b64encode(raw).decode().lower()[:16])
    return frozenset(forms)


FORMS = sentinels()


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy([("policy.yaml", (HERE / "policy.yaml").read_text(encoding="utf-8"))])


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute((HERE / "world.sql").read_text(encoding="utf-8"))
    for schema in ("payroll", "shop", "public"):
        module_database.execute(f"GRANT USAGE ON SCHEMA {schema} TO {module_database.app_user}")
        module_database.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {module_database.app_user}"
        )
    return module_database


@pytest.fixture(scope="module")
def connection(world: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    target = Target("world", "postgres", world.app_dsn)
    opened = connect(target, state_dir=tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


def judged(sql: str, connection: Database, policy: Policy, groups: tuple[str, ...] = ("staff",)) -> Judgement:
    (source,) = split(sql)
    identity = Identity("local:test", "sam", email="sam@example.com", groups=groups)
    return judge(source, Context(identity, policy, connection.catalog(), "test", datetime.now(UTC)))


def outcome(text: str, connection: Database) -> tuple[list[str], list[tuple[str | None, ...]], str]:
    """Column names, rows, and everything else that a person would see, of a statement that is rolled back."""
    connection.execute_unrecorded("BEGIN")
    names: list[str] = []
    rows: list[tuple[str | None, ...]] = []
    seen = ""
    try:
        result = connection.run(text)
        names = [column.name for column in result.columns]
        for batch in result.batches():
            rows += batch
    except StatementError as error:
        seen = f"{error.message} {error.hint}"
    finally:
        connection.execute_unrecorded("ROLLBACK")
    return names, rows, seen + " ".join(connection.notices())


def leaked(*texts: str) -> set[str]:
    everything = " ".join(texts).lower()
    return {form for form in FORMS if form in everything}


@pytest.mark.parametrize(("sql", "given"), cases("leaks.yaml"))
def test_nothing_leaks(sql: str, given: tuple[str, tuple[str, ...]], connection: Database, policy: Policy) -> None:
    expect, groups = given
    if expect == "error":
        with pytest.raises(StatementError):
            judged(sql, connection, policy, groups)
        return
    judgement = judged(sql, connection, policy, groups)
    decision = judgement.decision
    if expect == "denied":
        assert isinstance(decision, Deny), decision
        assert decision.reason
        return
    assert isinstance(decision, Allow | Rewrite), decision
    _, rows, seen = outcome(decision.text, connection)
    assert leaked(str(rows), seen) == set()


@pytest.mark.parametrize(("sql", "given"), cases("legitimate.yaml"))
def test_what_is_allowed_behaves_like_postgresql(
    sql: str, given: object, connection: Database, policy: Policy, world: LiveDatabase
) -> None:
    decision = judged(sql, connection, policy).decision
    assert isinstance(decision, Allow | Rewrite), decision
    names, rows, seen = outcome(decision.text, connection)
    assert seen == ""
    with psycopg.connect(world.app_dsn) as direct:
        direct.execute("SET search_path = public")
        raw = direct.pgconn.exec_params(sql.encode(), [])
        assert raw.error_message == b""
        expected = [
            tuple(v.decode() if (v := raw.get_value(r, c)) is not None else None for c in range(raw.nfields))
            for r in range(raw.ntuples)
        ]
        assert names == [(raw.fname(c) or b"").decode() for c in range(raw.nfields)]
        if "now()" not in sql and "pg_stat" not in sql:
            assert sorted(rows, key=repr) == sorted(expected, key=repr)
        direct.rollback()


@pytest.mark.parametrize("half", ["low", "high"])
def test_officers_see_in_clear(half: str, connection: Database, policy: Policy) -> None:
    officer = Identity("local:test", half, groups=("officers",))
    (source,) = split("SELECT ssn FROM payroll.employees WHERE id = 1")
    decision = judge(source, Context(officer, policy, connection.catalog(), "test", datetime.now(UTC))).decision
    assert isinstance(decision, Allow)
    assert outcome(decision.text, connection)[1] == [("Zebrafish11-9931",)]
