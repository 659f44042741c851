"""What a grant is bound to: every field that makes another run makes another digest, and no two kinds share one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, DBA, OWNERS, request_of

from dbgate.binding import binding_of
from dbgate.model import ApprovalRequest, RequestKind, SessionLimits

ASKED = replace(
    request_of(ALICE),
    tags=("pii.ssn", "pii.email"),
    limits=SessionLimits(statements=3, rows=100),
    break_glass=("oncall", "dba"),
    rules=("bulk (payroll.yaml:31)", "night (payroll.yaml:40)"),
)
EVERYWHERE: list[dict[str, Any]] = [{"target": "prod-billing"}, {"policy_digest": "sha256:" + "1" * 64}]
RUN: list[dict[str, Any]] = [
    {"statement": ASKED.statement + " "},
    {"parameters": ("1.03",)},
    {"parameters": (None,)},
    {"parameters": ("1.02", "x")},
    {"parameters": ()},
]
BOUND: dict[RequestKind, list[dict[str, Any]]] = {
    RequestKind.STATEMENT: RUN,
    RequestKind.TRANSACTION: RUN,
    RequestKind.BREAK_GLASS: [*RUN, {"reason": "another"}, {"break_glass": ("oncall",)}, {"break_glass": ()}],
    RequestKind.UNMASK: [{"tags": ("pii.ssn",)}, {"tags": ("pii.ssn", "pii.phone")}, {"expires_s": 3601}],
    RequestKind.SESSION: [
        {"rules": ("bulk (payroll.yaml:31)",)},
        {"expires_s": 3601},
        {"limits": SessionLimits(statements=4, rows=100)},
        {"limits": SessionLimits(statements=3, rows=101)},
        {"limits": SessionLimits(statements=100, rows=3)},
        {"limits": SessionLimits(statements=None, rows=100)},
    ],
}
CASES = [(kind, change) for kind, changes in BOUND.items() for change in [*EVERYWHERE, *changes]]


def of(kind: RequestKind, **changes: Any) -> ApprovalRequest:
    return replace(ASKED, kind=kind, **changes)


@pytest.mark.parametrize(("kind", "change"), CASES, ids=lambda value: str(value)[:60])
def test_another_run_has_another_binding(kind: RequestKind, change: dict[str, Any]) -> None:
    assert binding_of(ALICE.key, of(kind, **change)) != binding_of(ALICE.key, of(kind))


@pytest.mark.parametrize("kind", list(RequestKind))
def test_who_asks_is_bound_and_who_reviews_is_not(kind: RequestKind) -> None:
    bound = binding_of(ALICE.key, of(kind))
    assert bound.startswith("sha256:")
    assert len(bound) == 71
    assert binding_of(BOB.key, of(kind)) != bound
    assert binding_of(ALICE.key, of(kind, clauses=(DBA, OWNERS), measured={}, masked=())) == bound


def test_the_order_of_names_does_not_matter() -> None:
    for kind, change in (
        (RequestKind.UNMASK, {"tags": ASKED.tags[::-1]}),
        (RequestKind.SESSION, {"rules": ASKED.rules[::-1]}),
        (RequestKind.BREAK_GLASS, {"break_glass": ASKED.break_glass[::-1]}),
    ):
        assert binding_of(ALICE.key, of(kind, **change)) == binding_of(ALICE.key, of(kind))


def test_no_two_kinds_share_a_binding() -> None:
    digests = [binding_of(ALICE.key, of(kind)) for kind in RequestKind]
    assert all(one != other for one, other in itertools.combinations(digests, 2))


def test_fields_cannot_run_into_one_another() -> None:
    one = of(RequestKind.STATEMENT, target="a", statement='b","c')
    other = of(RequestKind.STATEMENT, target='a","b', statement="c")
    assert binding_of(ALICE.key, one) != binding_of(ALICE.key, other)
    surrogates = of(RequestKind.STATEMENT, parameters=("\u00e9\u202e\U0001f600",))
    assert binding_of(ALICE.key, surrogates) != binding_of(ALICE.key, of(RequestKind.STATEMENT, parameters=("e",)))
