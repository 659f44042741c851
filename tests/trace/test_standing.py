"""A session whose sign-in ends goes on only after it was renewed; nothing else of the session changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec.structs import replace
from tests.trace.test_session_driver import ALICE, Clock, Session

from dbgate.errors import DbgateError, SignInRequired
from dbgate.model import Assurance, Identity


class SignIns:
    """A sign-in that lasts until `ends` on the session's clock; `renewed` are what asking for a new one gives, in order."""

    def __init__(self, *renewed: Identity | DbgateError) -> None:
        self.renewed = list(renewed)
        self.asked = 0

    def __call__(self) -> Identity:
        self.asked += 1
        found = self.renewed.pop(0)
        if isinstance(found, DbgateError):
            raise found
        return found


def lasting(seconds: float, **changes: Any) -> Identity:
    """Alice, signed in until so many seconds after the session's start."""
    return replace(ALICE, assurance=Assurance.OIDC, expires_at=Clock().now() + timedelta(seconds=seconds), **changes)


def test_a_sign_in_is_renewed_before_it_ends_and_asked_for_no_sooner() -> None:
    renew = SignIns(lasting(600), lasting(1200))
    session = Session(identity=lasting(100), renew=renew)
    for at, asked in ((0, 0), (69, 0), (70, 1), (500, 1), (569, 1), (571, 2)):
        session.clock.at = at
        assert session.execute("SELECT 1") == [0]
        assert renew.asked == asked, at
    assert session.transcript.of("notice") == []


def test_an_ended_sign_in_runs_nothing_is_on_record_and_keeps_the_session() -> None:
    ended = SignInRequired("the sign-in has expired", hint="run: dbgate login")
    renew = SignIns(ended, ended, lasting(600))
    session = Session(identity=lasting(100), renew=renew, keep_going=True)
    session.clock.at = 101
    assert session.execute("SELECT 1; SELECT 2") == [5, 5]
    assert [fields["error"] for fields in session.transcript.of("statement.intent")] == ["the sign-in has expired"] * 2
    assert session.display.said[-1] == ("error", "the sign-in has expired", "run: dbgate login")
    assert not session.driver.closed
    assert not [event for event in session.log.events if event.startswith("run")]
    assert session.execute("SELECT 1") == [0]


def test_what_cannot_be_renewed_lasts_to_its_end_and_is_asked_for_once() -> None:
    renew = SignIns(lasting(100), SignInRequired("the sign-in has expired"))
    session = Session(identity=lasting(100), renew=renew)
    for at, code in ((80, 0), (90, 0), (99.9, 0), (100, 5)):
        session.clock.at = at
        assert session.execute("SELECT 1") == [code]
    assert renew.asked == 2


def test_a_renewed_sign_in_that_has_ended_runs_nothing() -> None:
    session = Session(identity=lasting(100), renew=SignIns(lasting(101)))
    session.clock.at = 101
    assert session.execute("SELECT 1") == [5]
    assert session.display.said[-1][1] == "the sign-in of this session has expired"


def test_another_person_cannot_go_on_with_a_session() -> None:
    session = Session(
        identity=lasting(100), renew=SignIns(lasting(600, subject="mallory", email="mallory@example.com"))
    )
    session.clock.at = 101
    assert session.execute("SELECT 1") == [5]
    assert session.display.said[-1][1].startswith("mallory@example.com is signed in now, and this session is ")
    assert session.contexts == []


def test_groups_of_a_renewed_sign_in_count_at_once_and_are_recorded() -> None:
    session = Session(identity=lasting(100), renew=SignIns(lasting(600, groups=("support",))))
    session.clock.at = 101
    assert session.execute("SELECT 1") == [0]
    assert session.contexts[-1].identity.groups == ("support",)
    assert session.driver.identity.groups == ("support",)
    (noted,) = session.transcript.of("notice")
    assert noted["text"] == "signed in anew: groups are now support"
    assert noted["identity"] == lasting(600, groups=("support",)).to_json()


def test_a_sign_in_that_ends_while_an_approval_is_awaited_runs_nothing() -> None:
    session = Session("pending", "approved", identity=lasting(5), renew=SignIns(lasting(5), SignInRequired("expired")))
    session.database.counts = [120, 120]
    assert session.execute("UPDATE BULK SET a = 1") == [5]
    assert not [event for event in session.log.events if event.startswith("run")]


def test_without_a_way_to_renew_it_an_ended_sign_in_ends_the_statements() -> None:
    session = Session(identity=lasting(100))
    session.clock.at = 99
    assert session.execute("SELECT 1") == [0]
    session.clock.at = 100
    assert session.execute("SELECT 1") == [5]


def test_tags_are_not_asked_for_under_an_ended_sign_in() -> None:
    session = Session(identity=lasting(100), renew=SignIns(SignInRequired("the sign-in has expired")))
    session.clock.at = 101
    assert [finished.exit_code for finished in session.driver.unmask(["pii.ssn"], "why")] == [5]
    assert session.display.said[-1][1] == "the sign-in has expired"
