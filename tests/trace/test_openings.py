"""What grants open in a session: one for each request, each with limits of its own."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from tests.trace.test_session_driver import Session
from tests.trace.test_statement_life import grant

from dbgate.model import Grant, RequestKind, SessionLimits


def session_grant(session: Session, name: str, request: str, statements: int = 5) -> Grant:
    """A grant for a session, good for an hour from now."""
    made = grant(id=name, request=request, kind=RequestKind.SESSION, rules=(f"rule-{request} (p.yaml:1)",))
    limits = SessionLimits(statements, 100)
    return replace(made, limits=limits, expires_at=session.clock.now() + timedelta(hours=1))


def test_a_new_grant_of_a_request_takes_the_place_of_the_one_before() -> None:
    session = Session("approved")
    openings = session.driver.openings
    for given in (session_grant(session, "g1", "r1"), session_grant(session, "g2", "r1", statements=2)):
        openings.add(given)
    assert [(one.grant, one.left.statements) for one in openings.standing()] == [("g2", 2)]


def test_only_the_grants_that_a_statement_runs_under_are_spent() -> None:
    session = Session("approved")
    openings = session.driver.openings
    for name, request in (("g1", "r1"), ("g2", "r2")):
        openings.add(session_grant(session, name, request))
    openings.spend(["g1"], 30)
    left = {one.grant: (one.left.statements, one.left.rows) for one in openings.standing()}
    assert left == {"g1": (4, 70), "g2": (5, 100)}
