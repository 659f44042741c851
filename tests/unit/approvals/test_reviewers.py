"""Who may decide, and when enough distinct people have agreed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, CARA, DAN, DBA, EVE, OWNERS, person

from dbgate.approvals.reviewers import (
    in_clause,
    is_requester,
    may_see,
    open_places,
    owns,
    places,
    same_person,
    who_else,
    why_not,
    why_not_break,
)
from dbgate.model import Actor, Identity, ReviewClause

REQUESTER = replace(ALICE, groups=("engineering", "dba"))
AGENT = replace(ALICE, subject="bot-7", email="", actor=Actor.AGENT, on_behalf_of="Alice@Example.com")


@pytest.mark.parametrize(
    ("reviewer", "requester", "reason"),
    [
        (REQUESTER, REQUESTER, "own request"),
        (replace(REQUESTER, email="other@example.com"), REQUESTER, "own request"),
        (replace(REQUESTER, subject="alice-admin"), REQUESTER, "same e-mail"),
        (replace(REQUESTER, subject="alice-admin", email=" ALICE@example.COM "), REQUESTER, "same e-mail"),
        (replace(REQUESTER, subject="x", email="alice@example.com"), REQUESTER, "same e-mail"),
        (replace(REQUESTER, subject="x", email="\uff41lice@example.com"), REQUESTER, "same e-mail"),
        (replace(REQUESTER, issuer="https://other.example.com"), REQUESTER, "same e-mail"),
        (REQUESTER, AGENT, "an agent filed on their behalf"),
        (replace(REQUESTER, email=""), replace(AGENT, on_behalf_of="alice"), "an agent filed on their behalf"),
        (replace(REQUESTER, subject="ALICE", email=""), replace(AGENT, on_behalf_of="alice"), "on their behalf"),
        (replace(BOB, actor=Actor.SERVICE), ALICE, "only people decide requests, not services"),
        (replace(BOB, actor=Actor.AGENT), ALICE, "only people decide requests, not agents"),
        (replace(BOB, on_behalf_of="zoe@example.com"), ALICE, "act for themselves"),
        (EVE, ALICE, "reviewers in: dba"),
        (person("nobody"), ALICE, "reviewers in: dba"),
        (person("liar", "DBA", "dba ", "dbas"), ALICE, "reviewers in: dba"),
    ],
)
def test_refused_reviewers(reviewer: Identity, requester: Identity, reason: str) -> None:
    assert reason in why_not(reviewer, requester, (DBA,))


def test_a_reviewer_in_a_group_of_any_clause_may_decide() -> None:
    assert why_not(BOB, ALICE, (OWNERS, DBA)) == ""
    assert why_not(BOB, AGENT, (DBA,)) == ""


@pytest.mark.parametrize(
    ("who", "groups", "reason"),
    [
        (BOB, ("dba",), ""),
        (BOB, ("oncall", "dba"), ""),
        (BOB, ("oncall",), "only these groups break the glass: oncall"),
        (BOB, (), "only these groups break the glass: none"),
        (replace(BOB, groups=()), ("dba",), "only these groups break the glass: dba"),
        (replace(BOB, actor=Actor.SERVICE), ("dba",), "only people who act for themselves"),
        (replace(BOB, actor=Actor.AGENT, on_behalf_of="zoe"), ("dba",), "only people who act for themselves"),
        (replace(BOB, on_behalf_of="zoe@example.com"), ("dba",), "only people who act for themselves"),
    ],
)
def test_who_breaks_the_glass(who: Identity, groups: Sequence[str], reason: str) -> None:
    found = why_not_break(who, groups)
    assert reason in found
    assert bool(found) == bool(reason)


def test_whom_to_ask_instead() -> None:
    assert who_else(EVE, (DBA,)) == "your groups: engineering"
    assert who_else(replace(EVE, groups=()), (DBA,)) == "your groups: none"
    assert who_else(REQUESTER, (DBA, OWNERS)) == "ask somebody else in: data-owners, dba"


def test_one_account_is_one_person_with_or_without_an_email() -> None:
    nameless = replace(BOB, email="")
    assert same_person(nameless, nameless)
    assert same_person(BOB, replace(BOB, email="bob@other.example.com"))
    assert same_person(BOB, nameless)
    two = ReviewClause(("dba",), 2)
    assert open_places([nameless, replace(nameless, name="Bob")], [two]) == (ReviewClause(("dba",), 1),)
    assert "own request" in why_not(replace(nameless, groups=("dba",)), nameless, (DBA,))


def test_a_person_who_changed_their_name_is_still_who_asked() -> None:
    assert is_requester(replace(BOB, name="Bob B."), BOB)
    assert is_requester(replace(BOB, email="new@example.com", groups=()), BOB)
    assert not is_requester(replace(AGENT, name="another bot"), AGENT)
    assert not is_requester(replace(AGENT, on_behalf_of="zoe@example.com"), AGENT)


def test_people_without_an_email_are_not_the_same_person() -> None:
    assert not same_person(replace(ALICE, email=""), replace(BOB, email=""))


def test_a_person_in_two_groups_fills_one_place() -> None:
    assert open_places([DAN], (DBA, OWNERS)) == (OWNERS,)
    assert open_places([DAN, DAN], (DBA, OWNERS)) == (OWNERS,)
    assert open_places([DAN, replace(DAN, subject="dan-2")], (DBA, OWNERS)) == (OWNERS,)


def test_people_are_moved_to_where_they_are_needed() -> None:
    """Dan alone takes the DBA's place; when Bob, who is only a DBA, agrees, Dan moves over."""
    assert open_places([DAN, BOB], (DBA, OWNERS)) == ()
    assert open_places([BOB, DAN], (DBA, OWNERS)) == ()
    assert open_places([DAN, CARA], (DBA, OWNERS)) == ()
    assert open_places([BOB, person("ben", "dba")], (DBA, OWNERS)) == (OWNERS,)


def test_counts_ask_for_distinct_people() -> None:
    two = ReviewClause(("dba", "security"), 2)
    assert open_places([BOB], (two,)) == (ReviewClause(("dba", "security"), 1),)
    assert open_places([BOB, person("sam", "security")], (two,)) == ()


def test_the_matching_is_the_best_there_is() -> None:
    """Against trying every assignment, on small random cases."""
    chance = random.Random(20260304)
    groups = ["a", "b", "c"]
    for _ in range(300):
        clauses = tuple(
            ReviewClause(tuple(chance.sample(groups, chance.randint(1, 2))), chance.randint(1, 2))
            for _ in range(chance.randint(1, 3))
        )
        people = [person(f"p{n}", *chance.sample(groups, chance.randint(0, 3))) for n in range(chance.randint(0, 4))]
        filled = places(clauses) - places(open_places(people, clauses))
        assert filled == _most_filled(people, clauses)


def _most_filled(people: Sequence[Identity], clauses: Sequence[ReviewClause]) -> int:
    seats = [clause for clause in clauses for _ in range(clause.count)]
    candidates = [*people, *([None] * len(seats))]
    return max(
        sum(1 for who, seat in zip(chosen, seats, strict=True) if who is not None and in_clause(who, seat))
        for chosen in itertools.permutations(candidates, len(seats))
    )


def test_an_agent_is_not_its_human() -> None:
    same_key = replace(ALICE, actor=Actor.AGENT, on_behalf_of=ALICE.email, name="bot-7 for Alice")
    assert not is_requester(ALICE, same_key)
    assert not is_requester(same_key, ALICE)
    assert not is_requester(replace(same_key, name="bot-8 for Alice"), same_key)
    assert is_requester(same_key, same_key)


def test_who_sees_a_request() -> None:
    assert owns(ALICE, AGENT)
    assert not owns(BOB, AGENT)
    assert may_see(BOB, ALICE, (DBA,), [])
    assert not may_see(EVE, ALICE, (DBA,), [])
    assert may_see(replace(BOB, groups=()), ALICE, (DBA,), [BOB])


ELSEWHERE = "https://id.partner.example"


@pytest.mark.parametrize(
    ("reviewer", "requester", "reason"),
    [
        (replace(BOB, issuer=ELSEWHERE), ALICE, ""),
        (replace(BOB, issuer=ELSEWHERE, subject="alice"), ALICE, ""),
        (replace(BOB, issuer=ELSEWHERE, email=ALICE.email), ALICE, "same e-mail"),
        (replace(BOB, issuer=ELSEWHERE, email=""), ALICE, "may be one person"),
        (replace(BOB, issuer=ELSEWHERE), replace(ALICE, email=" "), "may be one person"),
        (replace(BOB, email=""), replace(ALICE, email=""), ""),
        (replace(BOB, issuer=ELSEWHERE, email=""), replace(ALICE, actor=Actor.SERVICE, email=""), ""),
        (replace(BOB, issuer=ELSEWHERE), replace(AGENT, email="alice@example.com"), ""),
        (replace(BOB, issuer=ELSEWHERE, email="alice@example.com"), replace(AGENT, email="x@y.z"), "on their behalf"),
        (replace(BOB, issuer=ELSEWHERE, subject="alice"), replace(AGENT, on_behalf_of="alice"), "may be one person"),
    ],
)
def test_one_human_at_two_issuers_is_not_two_people(reviewer: Identity, requester: Identity, reason: str) -> None:
    found = why_not(reviewer, requester, (DBA,))
    assert (reason in found) if reason else found == ""


def test_who_cannot_be_told_apart_fills_one_place() -> None:
    two = (ReviewClause(("dba",), 2),)
    for other in (replace(DAN, issuer=ELSEWHERE, email=""), replace(DAN, issuer=ELSEWHERE, email=BOB.email)):
        assert places(open_places([BOB, other], two)) == 1
    assert places(open_places([BOB, replace(DAN, issuer=ELSEWHERE)], two)) == 0
    assert places(open_places([BOB, replace(DAN, email="")], two)) == 0


def test_another_issuer_opens_no_agents_requests_to_anybody() -> None:
    bot = replace(AGENT, email="alice@example.com")
    assert owns(replace(ALICE, subject="x"), bot)
    for stranger in (replace(ALICE, issuer=ELSEWHERE), replace(ALICE, issuer=ELSEWHERE, subject="bot-7")):
        assert not owns(stranger, bot)
        assert not may_see(stranger, bot, (OWNERS,), ())
