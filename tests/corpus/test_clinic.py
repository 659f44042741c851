"""Runs the second database of the corpus, `clinic/`: other names, other types, other ways of holding values.

Each group of `clinic/*.yaml` says what is expected of its statements: `denied`, `masked` (they run, and show nothing), or
`same` (they run as PostgreSQL runs them); `path` is the search path that the session has set;
`hides` tells that nothing of what is typed may be recorded. Each case is one statement, or a list of them that runs in one transaction.
Everything is run on two editions of the database, whose labelled values differ: what is seen has to be the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import yaml
from tests.conftest import LiveDatabase, LiveServer, fresh_database
from tests.corpus.worlds import HERE, Seen, judged, outcome

from dbgate.database import connect
from dbgate.gate.policy.model import Policy
from dbgate.gate.policy.read import read_policy
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Allow, Decision, Deny, Rewrite, Target
from dbgate.session.ports import Database

CLINIC = HERE / "clinic"
KEYED = {"token", "hash"}
NUMBERS = re.compile(r"(?<!\d)(?:918[23]|645[0-3])\d\d(?:000)?(?!\d)|(?:9182|6453)-0")
FORMS = frozenset(
    form.lower()
    for word in ("Quetzal", "Ocelots")
    for form in (word[1:], word[::-1], word.encode().hex(), base64.b64encode(word.encode()).decode()[:8])
)
EDITION = "CREATE SCHEMA given; CREATE FUNCTION given.edition() RETURNS int LANGUAGE sql AS 'SELECT {edition}';"
GRANTS = """
GRANT USAGE ON SCHEMA clinic TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clinic TO {user};
GRANT ALL ON ALL SEQUENCES IN SCHEMA clinic TO {user}; GRANT CREATE ON SCHEMA public TO {user};
"""


def make_clinic(database: LiveDatabase, edition: int) -> None:
    database.execute(EDITION.format(edition=edition))
    database.execute((CLINIC / "world.sql").read_text(encoding="utf-8").replace("CREATE SCHEMA given;", "", 1))
    database.execute(GRANTS.format(user=database.app_user))


def cases() -> list[Any]:
    found = []
    for path in sorted(CLINIC.glob("*.yaml")):
        if path.name != "policy.yaml":
            for group in yaml.safe_load(path.read_text(encoding="utf-8")):
                name = group["class"][:40]
                found += [pytest.param(sql, group, id=f"{name}-{n}") for n, sql in enumerate(group["sql"])]
    return found


def leaked(*texts: str) -> set[str]:
    everything = re.sub(r"tok_[0-9a-f]{24}|\b[0-9a-f]{64}\b", "", " ".join(texts).lower())
    return {form for form in FORMS if form in everything} | set(NUMBERS.findall(everything))


@pytest.fixture(scope="module")
def policy() -> Policy:
    return read_policy([("policy.yaml", (CLINIC / "policy.yaml").read_text(encoding="utf-8"))])


@pytest.fixture(scope="module")
def clinic(module_database: LiveDatabase) -> LiveDatabase:
    make_clinic(module_database, 1)
    return module_database


@pytest.fixture(scope="module")
def editions(
    clinic: LiveDatabase, postgres_server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Database]]:
    with fresh_database(postgres_server) as database:
        make_clinic(database, 2)
        opened = [
            connect(Target("clinic", "postgres", dsn), state_dir=tmp_path_factory.mktemp("state"))
            for dsn in (clinic.app_dsn, database.app_dsn)
        ]
        yield opened[0], opened[1]
        for connection in opened:
            connection.close()


def play(
    script: list[str], connection: Database, policy: Policy, who: tuple[str, ...], path: tuple[str, ...] | None
) -> tuple[Decision, Seen, str]:
    """Judge and run the statements in one transaction that is rolled back; the last decision, what was seen of it all,
    and what was recorded."""
    everything, recorded, objects = Seen(), "", SessionObjects()
    connection.execute_unrecorded("BEGIN")
    if path:
        connection.execute_unrecorded(f"SET LOCAL search_path = {', '.join(path)}")
    try:
        for sql in script:
            judgement = judged(sql, connection, policy, who, objects, path)
            decision = judgement.decision
            recorded += f" {judgement.recorded_text} {judgement.recorded_rewritten}"
            if not isinstance(decision, Allow | Rewrite):
                break
            seen = outcome(decision.text, connection, alone=False)
            everything.names, everything.types = seen.names, seen.types
            everything.rows += seen.rows if not _keyed(decision) else []
            everything.messages += seen.messages
            if not leaked(sql):  # a plan shows the person's own constants to the person
                assert leaked(str(seen.rows), seen.messages) == set(), f"leak: {seen}"
            objects = judgement.changes.apply(objects)
            if judgement.changes.catalog:
                connection.catalog(refresh=True)
    finally:
        connection.execute_unrecorded("ROLLBACK")
        connection.catalog(refresh=True)
        connection.execute_unrecorded("DEALLOCATE ALL")
    return decision, everything, recorded


def _keyed(decision: Decision) -> bool:
    return isinstance(decision, Rewrite) and any(m.method in KEYED for m in decision.masked)


@pytest.mark.parametrize(("sql", "group"), cases())
def test_clinic(
    sql: str | list[str],
    group: dict[str, Any],
    editions: tuple[Database, Database],
    policy: Policy,
    clinic: LiveDatabase,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("class", f"clinic: {group['class']}")
    script, who = [sql] if isinstance(sql, str) else sql, tuple(group.get("as", ["staff"]))
    path = tuple(group["path"]) if "path" in group else None
    (decision, seen, recorded), (_, there, _) = (play(script, one, policy, who, path) for one in editions)
    if group.get("hides") or not leaked(*script):
        assert leaked(recorded) == set(), f"leak: {recorded}"
    if group["expect"] == "denied":
        assert isinstance(decision, Deny), f"effect: {decision}"
        assert decision.reason
        return
    assert isinstance(decision, Allow | Rewrite), f"false refusal: {decision}"
    same = sorted(map(repr, seen.rows)) == sorted(map(repr, there.rows)) and seen.messages == there.messages
    assert same, f"oracle: {seen} {there}"
    if group["expect"] == "same":
        _same_as_directly(script[-1], seen, clinic)


def _same_as_directly(sql: str, seen: Seen, clinic: LiveDatabase) -> None:
    with psycopg.connect(clinic.app_dsn) as direct:
        direct.execute("SET search_path = public")
        raw = direct.pgconn.exec_params(sql.encode(), [])
        if direct.info.server_version < 170000 and raw.error_message:  # MERGE into views came with 17
            sqlstate = (raw.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
            assert sqlstate == "42809", raw.error_message
            assert seen.messages.startswith(sqlstate), seen.messages
            return
        assert raw.error_message == b""
        expected = [
            tuple(v.decode() if (v := raw.get_value(r, c)) is not None else None for c in range(raw.nfields))
            for r in range(raw.ntuples)
        ]
        assert seen.names == [(raw.fname(c) or b"").decode() for c in range(raw.nfields)]
        assert seen.types == [raw.ftype(c) for c in range(raw.nfields)]
        direct.rollback()
    assert sorted(map(repr, seen.rows)) == sorted(map(repr, expected))
    assert seen.messages == ""
