"""The corpus under a live grant for one tag: nothing of the other tags leaks, and nothing outlives the grant."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from tests.conftest import LiveDatabase
from tests.corpus.test_corpus import cases
from tests.corpus.worlds import HERE, leaked, make_world, outcome, policy

from dbgate.database import connect
from dbgate.errors import StatementError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.protection import Unmasked
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Allow, Deny, Identity, Rewrite, Target
from dbgate.session.ports import Database

POLICY = policy()
EMAIL = Unmasked(("pii.email",), (("pii.email", "g1"),))
NOTHING = Unmasked()


def forms_of_emails() -> frozenset[str]:
    """The forms of sentinels that stand in e-mail addresses."""
    word = "alrusine"
    forms = {word, word[1:], word[::-1], word.encode().hex()}
    for n in range(100):
        raw = f"walrusine{n}@mail.example".encode()
        forms.add(base64.b64encode(raw).decode().lower()[:16])
        forms |= {hashlib.new(name, raw, usedforsecurity=False).hexdigest() for name in ("md5", "sha1", "sha256")}
    return frozenset(forms)


EMAILS = forms_of_emails()


@pytest.fixture(scope="module")
def connection(module_database: LiveDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    make_world(module_database)
    opened = connect(Target("world", "postgres", module_database.app_dsn), state_dir=tmp_path_factory.mktemp("state"))
    yield opened
    opened.close()


def judged_under(
    unmasked: Unmasked, sql: str, connection: Database, objects: SessionObjects, groups: tuple[str, ...] = ("staff",)
) -> Judgement:
    (source,) = split(sql)
    who = Identity("local:test", "sam", email="sam@example.com", groups=groups)
    now, catalog = datetime.now(UTC), connection.catalog()
    return judge(source, Context(who, POLICY, catalog, "test", now, objects=objects, unmasked=unmasked))


def check(judgement: Judgement, connection: Database, allowed: frozenset[str], *, alone: bool) -> None:
    """Run what may run, and find no form of a sentinel but the allowed ones; in what is recorded, none at all."""
    if not isinstance(judgement.decision, Allow | Rewrite):
        assert isinstance(judgement.decision, Deny)
        assert judgement.opened == ()
        return
    recorded = (judgement.recorded_text, judgement.recorded_rewritten, *filter(None, judgement.recorded_parameters))
    assert leaked(*recorded) == set()
    seen = outcome(judgement.decision.text, connection, alone=alone)
    assert leaked(seen.messages) == set()
    found = leaked(str(seen.rows))
    assert not found - allowed, f"leak: {found - allowed}"
    if found:
        assert judgement.opened, "effect: shown under a grant, and the record does not say so"


@pytest.mark.parametrize(("sql", "group"), cases("leaks"))
def test_a_grant_opens_its_own_tag_only(
    sql: str, group: dict[str, Any], connection: Database, record_property: Callable[[str, object], None]
) -> None:
    record_property("class", "under a grant for one tag")
    try:
        judgement = judged_under(EMAIL, sql, connection, SessionObjects(), tuple(group.get("as", ["staff"])))
    except StatementError:
        assert group["expect"] == "error"
        return
    check(judgement, connection, EMAILS, alone=True)


def scripts() -> Iterator[Any]:
    for number, entry in enumerate(yaml.safe_load((HERE / "grants.yaml").read_text(encoding="utf-8"))):
        yield pytest.param([*entry["during"], entry["after"]], id=f"grants-{number}")
    for given in cases("leaks", "scripts"):
        yield pytest.param(given.values[0], id=given.id)


@pytest.mark.parametrize("script", list(scripts()))
def test_nothing_outlives_the_grant(
    script: list[str], connection: Database, record_property: Callable[[str, object], None]
) -> None:
    """All but the last statement run under the grant; the last shows no sentinel at all."""
    record_property("class", "after a grant has ended")
    objects = SessionObjects()
    connection.execute_unrecorded("BEGIN")
    try:
        for number, sql in enumerate(script, 1):
            is_last = number == len(script)
            try:
                judgement = judged_under(NOTHING if is_last else EMAIL, sql, connection, objects)
            except StatementError:
                continue
            connection.execute_unrecorded("SAVEPOINT before")
            check(judgement, connection, frozenset() if is_last else EMAILS, alone=False)
            if isinstance(judgement.decision, Allow | Rewrite):
                objects = judgement.changes.apply(objects)
                connection.catalog(refresh=judgement.changes.catalog)
    finally:
        connection.execute_unrecorded("ROLLBACK")
        connection.execute_unrecorded("CLOSE ALL")
        connection.execute_unrecorded("DEALLOCATE ALL")
        connection.catalog(refresh=True)


def test_the_grant_is_live_in_these_tests(connection: Database) -> None:
    judgement = judged_under(EMAIL, "SELECT email FROM payroll.employees", connection, SessionObjects())
    assert isinstance(judgement.decision, Allow | Rewrite)
    assert leaked(str(outcome(judgement.decision.text, connection).rows)) & EMAILS
    assert [(str(o.column), o.grant) for o in judgement.opened] == [("payroll.employees.email", "g1")]
