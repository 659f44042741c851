"""How requests begin, and what one use of them is called."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, DBA, OWNERS, START, request_of, unmask_request_of

from dbgate.approvals.filing import (
    MAX_UNMASK_SESSIONS,
    MIN_UNMASK_WAIT_S,
    OTHER,
    check_binding,
    covers,
    new_request,
    used,
)
from dbgate.approvals.refusals import BadRequest
from dbgate.model import ApprovalRequest, RequestKind


@pytest.mark.parametrize(
    ("kind", "left", "event"),
    [
        (RequestKind.STATEMENT, 1, "redeemed"),
        (RequestKind.STATEMENT, 2, "used"),
        (RequestKind.TRANSACTION, 1, "redeemed"),
        (RequestKind.UNMASK, 2, "opened"),
        (RequestKind.UNMASK, 1, "redeemed"),
        (RequestKind.SESSION, 1, "opened"),
    ],
)
def test_what_one_use_is_called(kind: RequestKind, left: int, event: str) -> None:
    asked = replace(request_of(ALICE), kind=kind)
    assert used(replace(new_request(ALICE, asked, START), uses_left=left)) == event


def test_how_long_a_request_waits_and_for_how_many_uses() -> None:
    run = new_request(ALICE, request_of(ALICE, expires_s=60, uses=3), START)
    assert (run.deadline, run.uses, run.uses_left) == (START + timedelta(seconds=60), 3, 3)
    unmask = new_request(ALICE, unmask_request_of(ALICE, expires_s=60), START)
    assert unmask.deadline == START + timedelta(seconds=MIN_UNMASK_WAIT_S)
    assert (unmask.uses, unmask.uses_left) == (MAX_UNMASK_SESSIONS, MAX_UNMASK_SESSIONS)
    session = new_request(ALICE, replace(request_of(ALICE, expires_s=60), kind=RequestKind.SESSION), START)
    assert (session.deadline, session.uses) == (START + timedelta(seconds=MIN_UNMASK_WAIT_S), 1)
    long = new_request(ALICE, unmask_request_of(ALICE, expires_s=9 * 3600), START)
    assert long.deadline == START + timedelta(hours=9)


@pytest.mark.parametrize(
    "asked",
    [
        request_of(ALICE, uses=2),
        request_of(ALICE, clauses=(OWNERS,)),
        request_of(ALICE, clauses=(DBA, OWNERS)),
        request_of(ALICE, measured={"payroll.pay": 1201}),
        request_of(ALICE, measured={"payroll.pay": 1, "payroll.employees": 0}),
        request_of(ALICE, parameters=("1.03",)),
    ],
)
def test_an_open_request_stands_for_no_more_than_it_asked(asked: ApprovalRequest) -> None:
    assert not covers(new_request(ALICE, request_of(ALICE), START), asked)


def test_an_open_request_stands_for_the_same_or_less() -> None:
    live = new_request(ALICE, request_of(ALICE), START)
    assert covers(live, request_of(ALICE))
    assert covers(live, request_of(ALICE, measured={"payroll.pay": 1199}))
    assert covers(live, request_of(ALICE, measured={}))
    assert not covers(replace(live, uses_left=0), request_of(ALICE))


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (RequestKind.STATEMENT, "statement, parameters"),
        (RequestKind.UNMASK, "tags, duration"),
        (RequestKind.SESSION, "rules, duration, limits"),
        (RequestKind.TRANSACTION, "statement, parameters"),
    ],
)
def test_a_binding_that_does_not_fit(kind: RequestKind, named: str) -> None:
    with pytest.raises(BadRequest, match=f"the binding does not fit the {named}, target"):
        check_binding(ALICE, replace(request_of(ALICE), kind=kind, binding="0" * 64))
    check_binding(ALICE, request_of(ALICE))


def test_each_kind_has_a_word_for_another_one() -> None:
    assert set(OTHER) == set(RequestKind)
