"""Grants that hold for a session, and the glass that is broken: what passes, what ends it, and what never fits."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.catalogs import rule
from tests.trace.test_unmasking import BULK, Service, Session, policy_with

from dbgate.errors import Unreachable
from dbgate.gate.policy.model import Policy
from dbgate.model import Access, RequestKind, ReviewClause, SessionLimits

DBA = (ReviewClause(("dba",)),)


def held_for_session(statements: int | None = None, rows: int | None = None, for_s: int = 600) -> Policy:
    """A policy that asks once a session for updates."""
    care = rule("care", "approve", verbs=("update",))
    care = replace(care, clauses=DBA, session=SessionLimits(statements, rows), expires_s=for_s)
    given = replace(policy_with(), rules=(rule("read", access=(Access.READ,)), care))
    return replace(given, digest=f"sha256:{statements}{rows}{for_s}")


def open_session(**terms: Any) -> Session:
    """A session that has passed the rule once."""
    session = Session(given=held_for_session(**terms))
    assert session.sent(BULK) != ""
    assert session.service.calls == ["ask", "open r1"]
    session.service.calls.clear()
    return session


def test_the_first_statement_asks_and_the_next_do_not() -> None:
    session = open_session()
    assert session.sent(BULK) != ""
    assert session.service.calls == []
    assert session.transcript.of("statement.intent")[-1]["session_grants"] == ["g-r1"]


def test_what_is_approved_for_the_session_is_still_judged() -> None:
    session = open_session()
    assert session.sent("DELETE FROM payroll.departments") == ""
    assert session.sent("UPDATE payroll.departments SET name = (SELECT ssn FROM payroll.employees LIMIT 1)") == ""


def test_it_ends_by_the_clock() -> None:
    session = open_session(for_s=60)
    session.clock.at = 59
    assert session.sent(BULK) != ""
    session.clock.at = 61
    session.service.status = "pending"
    session.service.filed.clear()
    assert session.sent(BULK) == ""
    assert session.transcript.of("approval.expired")[0]["rules"] == ["care (test.yaml:1)"]


def test_it_ends_when_it_is_revoked() -> None:
    session = open_session()
    session.service.filed["r1"].status = "revoked"
    session.clock.at = 31
    session.service.status = "pending"
    assert session.sent(BULK) == ""
    assert session.transcript.of("approval.revoked")[0]["grant"] == "g-r1"


def test_it_is_closed_while_nobody_can_say_whether_it_holds() -> None:
    session = open_session()
    session.clock.at = 31
    session.service.fails = Unreachable("cannot reach it")
    assert session.sent(BULK) == ""
    session.service.fails = None
    session.clock.at = 40
    assert session.sent(BULK) != ""


def test_its_statements_are_counted() -> None:
    session = open_session(statements=2)
    assert session.sent(BULK) != ""
    session.service.status = "pending"
    session.service.filed.clear()
    assert session.sent(BULK) == ""


def test_its_rows_are_counted() -> None:
    session = Session(given=held_for_session(rows=10))
    session.database.counts = [6] * 20
    session.database.answers[BULK] = ("UPDATE 6", 6)
    assert session.sent(BULK) != ""
    session.service.status = "pending"
    session.service.filed.clear()
    assert session.sent(BULK) == ""


def test_a_single_statement_beyond_its_rows_is_asked_for_itself() -> None:
    session = Session("pending", given=held_for_session(rows=5))
    session.database.counts = [6] * 20
    assert session.sent(BULK) == ""
    assert session.service.filed["r1"].request.kind is RequestKind.STATEMENT


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"session": "02other"}, "given to another session"),
        ({"rules": ("care (test.yaml:1)", "drop (test.yaml:1)")}, "for other rules or limits"),
        ({"limits": SessionLimits(None, 10**9)}, "for other rules or limits"),
        ({"identity": "somebody#else"}, "given to somebody else"),
        ({"target": "other"}, "given for something else"),
        ({"policy_digest": "sha256:other"}, "given for something else"),
        ({"kind": RequestKind.STATEMENT}, "given for something else"),
        ({"kind": RequestKind.UNMASK}, "given for something else"),
        ({"binding": "sha256:other"}, "given for something else"),
        ({"clauses": ()}, "lacks reviewers: dba"),
        ({"uses": 2}, "given for 2 runs"),
    ],
)
def test_a_grant_that_does_not_fit_passes_nothing(changes: dict[str, Any], why: str) -> None:
    session = Session(given=held_for_session(statements=5))
    session.service.bend = lambda grant: replace(grant, **changes)
    assert session.sent(BULK) == ""
    assert why in session.display.said[-1][1]
    session.service.bend = Service(session.clock).bend
    session.service.calls.clear()
    assert session.sent(BULK) != ""
    assert "open r1" in session.service.calls


def breakable() -> Policy:
    care = replace(rule("care", "approve", verbs=("update",)), clauses=DBA, break_glass=("staff", "engineering"))
    return replace(policy_with(), rules=(rule("read", access=(Access.READ,)), care), digest="sha256:glass")


def test_the_glass_breaks_with_a_reason() -> None:
    session = Session(given=breakable(), reason="it burns")
    assert session.sent(BULK) != ""
    assert session.service.calls == ["break-glass"]
    assert session.transcript.of("approval.requested")[0]["request_kind"] == "break-glass"
    assert "due for review" in session.display.said[0][1]


@pytest.mark.parametrize("reason", ["", "  "])
def test_and_not_without(reason: str) -> None:
    session = Session(given=breakable(), reason=reason)
    assert session.sent(BULK) == ""
    assert session.service.calls == []


def test_who_gives_no_reason_can_still_have_reviewers_asked() -> None:
    session = Session("pending", given=breakable(), reason="", confirm=lambda question: False)
    assert session.sent(BULK) == ""
    assert session.service.calls == ["ask"]


def test_a_person_who_declines_has_reviewers_asked() -> None:
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return False

    session = Session("pending", given=breakable(), reason="it burns", confirm=confirm)
    assert session.sent(BULK) == ""
    assert asked == ["Break the glass? It runs at once, without approval; dba will be alerted and review it."]
    assert session.service.calls == ["ask"]
    assert session.service.filed["r1"].request.kind is RequestKind.STATEMENT


def test_a_grant_of_another_kind_breaks_no_glass() -> None:
    session = Session(given=breakable(), reason="it burns")
    session.service.bend = lambda grant: replace(grant, kind=RequestKind.STATEMENT)
    assert session.sent(BULK) == ""


def test_one_rule_that_nobody_may_break_is_enough_to_ask() -> None:
    strict = replace(rule("strict", "approve", verbs=("update",)), clauses=(ReviewClause(("cfo",)),))
    given = breakable()
    session = Session(
        "pending", given=replace(given, rules=(*given.rules, strict), digest="sha256:s"), reason="it burns"
    )
    assert session.sent(BULK) == ""
    assert session.service.calls == ["ask"]
    assert {c.groups for c in session.service.filed["r1"].request.clauses} == {("dba",), ("cfo",)}
