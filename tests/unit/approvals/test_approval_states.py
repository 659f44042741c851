"""The table of transitions: what is in it can happen, and nothing else."""

from __future__ import annotations

import itertools

import pytest

from dbgate.approvals.refusals import WrongState
from dbgate.approvals.states import LIVE, TRANSITIONS, Action, Status, move


@pytest.mark.parametrize(("status", "action"), list(itertools.product(Status, Action)))
def test_every_pair_is_a_transition_or_an_error(status: Status, action: Action) -> None:
    if (status, action) in TRANSITIONS:
        assert move(status, action, "r1") is TRANSITIONS[status, action]
        return
    with pytest.raises(WrongState, match="request r1") as caught:
        move(status, action, "r1")
    assert caught.value.status == status
    assert caught.value.exit_code == 2


def test_ends_are_ends() -> None:
    assert {status for status, _ in TRANSITIONS} == LIVE | {Status.REVIEW_DUE}


def test_only_pending_requests_become_approved_and_only_approved_ones_are_used() -> None:
    assert {before for (before, _), after in TRANSITIONS.items() if after is Status.APPROVED} == {
        Status.PENDING,
        Status.APPROVED,
    }
    assert TRANSITIONS[Status.APPROVED, Action.USE] is Status.APPROVED
    assert {before for (before, _), after in TRANSITIONS.items() if after is Status.REDEEMED} == {Status.APPROVED}


def test_every_state_can_be_reached() -> None:
    reached = {Status.PENDING, Status.REVIEW_DUE}
    for _ in Status:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(Status)


def test_the_message_says_what_to_do() -> None:
    with pytest.raises(WrongState, match="is not approved yet") as caught:
        move(Status.PENDING, Action.REDEEM, "r1")
    assert "dbgate requests show r1" in caught.value.hint
