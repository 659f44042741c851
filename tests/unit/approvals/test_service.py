"""The service on a real store, with a clock set by hand: who may do what, when, and how often."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from tests.approvals.kit import (
    ALICE,
    BOB,
    CARA,
    DAN,
    DBA,
    EVE,
    OWNERS,
    HandClock,
    person,
    request_of,
)

from dbgate.approvals import service as service_module
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import Expected, GrantSigner, verify
from dbgate.approvals.records import StoredRequest
from dbgate.approvals.refusals import (
    BadRequest,
    Busy,
    NotAllowed,
    UnknownRequest,
    WrongState,
)
from dbgate.approvals.service import ApprovalService
from dbgate.approvals.states import Status
from dbgate.approvals.store import Query
from dbgate.model import Actor, Identity, RequestKind, ReviewClause

KEY = Ed25519PrivateKey.generate()
ALICE_DBA = replace(ALICE, groups=("dba", "data-owners"))


class Bench:
    """A service with its store and clock."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.store = open_store(database, Path())
        self.clock = HandClock()
        self.service = ApprovalService(self.store, GrantSigner(KEY), self.clock)

    def file(self, who: Identity = ALICE, **changes: Any) -> str:
        return self.service.file(who, request_of(who, **changes))[0].id

    def approved(self, who: Identity = ALICE, **changes: Any) -> str:
        name = self.file(who, **changes)
        assert self.service.approve(BOB, name, "").status is Status.APPROVED
        return name

    def redeem(self, name: str, who: Identity = ALICE) -> tuple[StoredRequest, str]:
        return self.service.redeem(who, name, request_of(who).binding)

    def kinds(self, name: str) -> list[str]:
        return [event.kind for event in self.store.events(request_id=name)]


@pytest.fixture
def bench(backend: str) -> Iterator[Bench]:
    made = Bench(backend)
    yield made
    made.store.close()


def test_from_request_to_grant(bench: Bench) -> None:
    name = bench.file(clauses=(DBA, OWNERS))
    bench.clock.advance(60)
    half = bench.service.approve(BOB, name, "looks right")
    assert (half.status, half.needs) == (Status.PENDING, (OWNERS,))
    bench.clock.advance(60)
    whole = bench.service.approve(CARA, name, "")
    assert (whole.status, whole.needs) == (Status.APPROVED, ())
    assert (whole.deadline - bench.clock()).total_seconds() == 3600, "the grant's clock starts at the last approval"
    used, token = bench.service.redeem(ALICE, name, request_of(ALICE).binding)
    assert used.status is Status.REDEEMED
    asked = request_of(ALICE)
    expected = Expected(ALICE.key, asked.target, asked.binding, name, asked.policy_digest, (DBA, OWNERS))
    grant = verify(token, [KEY.public_key()], expected, now=bench.clock())
    assert grant.approved_by == ("bob@example.com", "cara@example.com")
    assert grant.expires_at == whole.deadline
    history = bench.store.events(request_id=name)
    assert [(event.kind, event.by.subject if event.by else "", event.note) for event in history] == [
        ("requested", "alice", "yearly raise"),
        ("approval", "bob", "looks right"),
        ("approval", "cara", ""),
        ("approved", "", ""),
        ("redeemed", "alice", ""),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"statement": "DELETE FROM payroll.pay"},
        {"parameters": ("9.99",)},
        {"parameters": ()},
        {"target": "prod-billing"},
        {"policy_digest": "sha256:" + "f" * 64},
        {"binding": "sha256:" + "0" * 64},
    ],
)
def test_a_body_that_does_not_fit_its_binding(bench: Bench, changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="binding does not fit"):
        bench.service.file(ALICE, replace(request_of(ALICE), **changes))
    assert bench.store.last_event() == 0


def test_a_request_in_somebody_elses_name(bench: Bench) -> None:
    with pytest.raises(BadRequest, match="binding does not fit"):
        bench.service.file(EVE, request_of(ALICE))


@pytest.mark.parametrize(
    "changes", [{"statement": "DROP TABLE payroll.pay"}, {"reason": "another"}, {"target": "other"}]
)
def test_what_breaks_the_glass_fits_its_binding(bench: Bench, changes: dict[str, Any]) -> None:
    asked = request_of(ALICE, kind=RequestKind.BREAK_GLASS, break_glass=("engineering",))
    for caller, posted in ((ALICE, replace(asked, **changes)), (EVE, asked)):
        with pytest.raises(BadRequest, match="does not fit"):
            bench.service.break_glass(caller, posted)
    assert bench.service.break_glass(ALICE, asked)[0].status is Status.REVIEW_DUE


def test_the_same_request_is_filed_once(bench: Bench) -> None:
    first, is_new = bench.service.file(ALICE, request_of(ALICE))
    again, is_new_again = bench.service.file(ALICE, request_of(ALICE, reason="another reason"))
    assert (is_new, is_new_again) == (True, False)
    assert again.id == first.id
    assert bench.file(EVE) != first.id
    bench.service.approve(BOB, first.id, "")
    assert bench.file() == first.id, "an approval that was not used yet serves"
    bench.redeem(first.id)
    assert bench.file() != first.id, "a used one does not"


@pytest.mark.parametrize(
    "changes",
    [
        {"clauses": (ReviewClause(("engineering",), 1),)},
        {"clauses": (DBA, OWNERS)},
        {"measured": {"payroll.pay": 1201}},
        {"measured": {"payroll.pay": 1, "payroll.audit": 1}},
    ],
)
def test_an_open_request_does_not_serve_for_other_reviewers_or_more_rows(bench: Bench, changes: dict[str, Any]) -> None:
    first = bench.file()
    assert bench.file(**changes) != first


def test_an_open_request_serves_for_fewer_rows(bench: Bench) -> None:
    first = bench.file(measured={"payroll.pay": 1200, "payroll.audit": 7})
    assert bench.file(measured={"payroll.pay": 1199}) == first


def test_an_agents_request_is_not_its_humans(bench: Bench) -> None:
    agent = replace(ALICE, actor=Actor.AGENT, name="bot for alice", on_behalf_of=ALICE.email)
    assert agent.key == ALICE.key
    name = bench.approved(agent)
    assert bench.file(ALICE) != name
    with pytest.raises(NotAllowed, match="only the one who asked"):
        bench.redeem(name, ALICE)
    assert bench.redeem(name, agent)[0].status is Status.REDEEMED


@pytest.mark.parametrize(
    ("reviewer", "requester", "reason"),
    [
        (ALICE_DBA, ALICE, "own request"),
        (replace(ALICE_DBA, email=""), ALICE, "own request"),
        (replace(ALICE_DBA, subject="alice2"), ALICE, "same e-mail"),
        (replace(ALICE_DBA, subject="alice2", email="Alice@Example.Com"), ALICE, "same e-mail"),
        (
            ALICE_DBA,
            replace(ALICE, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="alice"),
            "on their behalf",
        ),
        (
            ALICE_DBA,
            replace(ALICE, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="ALICE@example.com"),
            "on their behalf",
        ),
        (ALICE_DBA, replace(ALICE, actor=Actor.AGENT, on_behalf_of="alice@example.com"), "own request"),
        (replace(BOB, actor=Actor.SERVICE), ALICE, "only people"),
        (replace(BOB, actor=Actor.AGENT, on_behalf_of="bob"), ALICE, "only people"),
    ],
)
def test_self_approval_in_every_disguise(bench: Bench, reviewer: Identity, requester: Identity, reason: str) -> None:
    name = bench.file(requester)
    for decide in (bench.service.approve, bench.service.deny):
        with pytest.raises(NotAllowed, match=reason):
            decide(reviewer, name, "let me")
    assert bench.kinds(name) == ["requested"]
    assert "approve" not in bench.service.allowed(reviewer, bench.service.get(requester, name))[0]


def test_one_person_in_two_groups(bench: Bench) -> None:
    name = bench.file(clauses=(DBA, OWNERS))
    assert bench.service.approve(DAN, name, "").status is Status.PENDING
    for again in (DAN, replace(DAN, groups=("data-owners",)), replace(DAN, subject="dan2")):
        with pytest.raises(WrongState, match="already approved"):
            bench.service.approve(again, name, "")
    assert bench.service.get(ALICE, name).status is Status.PENDING
    assert bench.service.approve(CARA, name, "").status is Status.APPROVED


def test_an_approval_that_fills_no_place_is_refused(bench: Bench) -> None:
    name = bench.file(clauses=(DBA, OWNERS))
    bench.service.approve(BOB, name, "")
    with pytest.raises(WrongState, match="still needed: data-owners"):
        bench.service.approve(person("ben", "dba"), name, "")
    assert bench.kinds(name) == ["requested", "approval"]


def test_groups_count_as_they_were_at_the_approval(bench: Bench) -> None:
    name = bench.file(clauses=(DBA, OWNERS))
    bench.service.approve(replace(DAN, groups=("dba",)), name, "")
    with pytest.raises(WrongState, match="still needed: data-owners"):
        bench.service.approve(BOB, name, "")


def test_who_is_not_concerned_sees_nothing(bench: Bench) -> None:
    name = bench.file()
    calls: list[Callable[[], object]] = [
        lambda: bench.service.get(EVE, name),
        lambda: bench.service.history(EVE, name),
        lambda: bench.service.approve(EVE, name, ""),
        lambda: bench.service.deny(EVE, name, "no"),
        lambda: bench.service.withdraw(EVE, name, ""),
        lambda: bench.service.revoke(EVE, name, ""),
        lambda: bench.redeem(name, EVE),
        lambda: bench.service.get(ALICE, "0" * 16),
    ]
    for call in calls:
        with pytest.raises(UnknownRequest):
            call()
    assert bench.service.find(Query(EVE)) == []
    assert bench.service.visible_events(EVE, 0, "", 100).events == ()


@pytest.mark.parametrize("note", ["", "  \n"])
def test_a_denial_needs_a_reason(bench: Bench, note: str) -> None:
    with pytest.raises(BadRequest, match="needs a note"):
        bench.service.deny(BOB, bench.file(), note)


def test_a_denial_is_final(bench: Bench) -> None:
    name = bench.file(clauses=(DBA, OWNERS))
    bench.service.approve(CARA, name, "")
    denied = bench.service.deny(BOB, name, "not in payroll week")
    assert denied.status is Status.DENIED
    for call in (bench.service.approve, bench.service.deny, bench.service.revoke):
        with pytest.raises(WrongState, match="was denied") as caught:
            call(DAN, name, "x")
        assert caught.value.status == "denied"
    with pytest.raises(WrongState, match="was denied"):
        bench.redeem(name)
    assert bench.file(clauses=(DBA, OWNERS)) != name


def test_only_the_requester_withdraws_and_only_while_pending(bench: Bench) -> None:
    name = bench.file()
    with pytest.raises(NotAllowed, match="only the one who asked"):
        bench.service.withdraw(BOB, name, "")
    assert bench.service.withdraw(ALICE, name, "").status is Status.WITHDRAWN
    with pytest.raises(WrongState, match="was withdrawn"):
        bench.service.approve(BOB, name, "")
    with pytest.raises(WrongState, match="already approved") as caught:
        bench.service.withdraw(ALICE, bench.approved(), "")
    assert "dbgate requests revoke" in caught.value.hint


def test_the_person_behind_an_agent_may_take_its_request_back(bench: Bench) -> None:
    agent = replace(ALICE, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="alice")
    assert bench.service.withdraw(ALICE, bench.file(agent), "").status is Status.WITHDRAWN


@pytest.mark.parametrize("who", [BOB, DAN, ALICE])
def test_a_grant_is_revoked_until_it_is_redeemed(bench: Bench, who: Identity) -> None:
    name = bench.approved()
    assert bench.service.revoke(who, name, "").status is Status.REVOKED
    with pytest.raises(WrongState, match="was revoked"):
        bench.redeem(name)
    used = bench.approved()
    bench.redeem(used)
    with pytest.raises(WrongState, match="already redeemed"):
        bench.service.revoke(who, used, "")


def test_who_sees_an_approval_but_may_not_decide_does_not_revoke_it(bench: Bench) -> None:
    name = bench.approved()
    for who in (replace(BOB, groups=()), replace(DAN, actor=Actor.AGENT)):
        with pytest.raises(NotAllowed):
            bench.service.revoke(who, name, "")
    assert bench.redeem(name)[0].status is Status.REDEEMED


def test_a_grant_is_redeemed_once(bench: Bench) -> None:
    name = bench.approved()
    bench.redeem(name)
    with pytest.raises(WrongState, match="already redeemed"):
        bench.redeem(name)
    assert bench.kinds(name).count("redeemed") == 1


def test_redeeming_before_the_approval_or_for_something_else(bench: Bench) -> None:
    name = bench.file()
    with pytest.raises(WrongState, match="not approved yet"):
        bench.redeem(name)
    bench.service.approve(BOB, name, "")
    for other in ({"statement": "x"}, {"parameters": ()}, {"target": "t"}, {"policy_digest": "p"}):
        with pytest.raises(BadRequest, match="another statement"):
            bench.service.redeem(ALICE, name, request_of(ALICE, **other).binding)
    with pytest.raises(NotAllowed, match="only the one who asked"):
        bench.redeem(name, BOB)
    assert bench.service.get(ALICE, name).uses_left == 1


def test_a_request_expires_when_nobody_decides(bench: Bench) -> None:
    name = bench.file(expires_s=60)
    bench.clock.advance(59.9)
    assert bench.service.get(ALICE, name).status is Status.PENDING
    bench.clock.advance(0.1)
    assert bench.service.get(ALICE, name).status is Status.EXPIRED
    with pytest.raises(WrongState, match="has expired"):
        bench.service.approve(BOB, name, "")
    assert bench.kinds(name) == ["requested", "expired"]
    assert bench.file() != name


def test_a_grant_expires_and_its_clock_starts_at_the_approval(bench: Bench) -> None:
    name = bench.file(expires_s=60)
    bench.clock.advance(59)
    bench.service.approve(BOB, name, "")
    bench.clock.advance(59)
    assert bench.service.get(ALICE, name).status is Status.APPROVED
    bench.clock.advance(1)
    with pytest.raises(WrongState, match="has expired"):
        bench.redeem(name)
    assert bench.service.get(ALICE, name).status is Status.EXPIRED


def test_expiry_between_two_looks_at_the_clock(bench: Bench) -> None:
    """The sweep still found it alive; the decision itself must not."""
    name = bench.approved(expires_s=60)
    bench.clock.advance(59)
    alive = bench.clock()
    moments = iter([alive, alive + timedelta(seconds=1)])
    racing = ApprovalService(bench.store, GrantSigner(KEY), lambda: next(moments))
    with pytest.raises(WrongState, match="has expired"):
        racing.redeem(ALICE, name, request_of(ALICE).binding)
    assert bench.kinds(name) == ["requested", "approval", "approved"]


def test_a_clock_that_runs_backwards_revives_nothing(bench: Bench) -> None:
    name = bench.file(expires_s=60)
    bench.clock.advance(61)
    bench.service.expire_due()
    bench.clock.advance(-61)
    with pytest.raises(WrongState, match="has expired"):
        bench.service.approve(BOB, name, "")


def test_lists_and_their_filters(bench: Bench) -> None:
    mine, billing = bench.file(), bench.file(target="billing")
    others = bench.file(EVE, clauses=(OWNERS,))

    def ids(viewer: Identity, **options: Any) -> list[str]:
        return [request.id for request in bench.service.find(Query(viewer, **options))]

    assert ids(ALICE) == [billing, mine]
    assert ids(BOB) == [billing, mine]
    assert ids(CARA) == [others]
    assert ids(DAN) == [others, billing, mine]
    assert ids(ALICE_DBA, role="mine") == [billing, mine]
    assert ids(ALICE_DBA, role="review") == [others]
    assert ids(DAN, target="billing") == [billing]
    assert ids(DAN, limit=2) == [others, billing]
    assert ids(DAN, limit=2, before=billing) == [mine]
    assert ids(DAN, id_prefix=mine[:10]) == [mine]
    assert ids(DAN, id_prefix="%") == ids(DAN, id_prefix="_") == []
    bench.service.deny(BOB, mine, "no")
    assert ids(BOB, statuses=(Status.DENIED,)) == [mine]
    assert ids(BOB, statuses=(Status.PENDING, Status.APPROVED)) == [billing]
    bench.service.approve(BOB, billing, "")
    assert ids(replace(BOB, groups=())) == [billing], "who approved it still sees it"


def test_what_a_list_shows_is_what_a_page_shows(bench: Bench) -> None:
    agent = replace(ALICE, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="Alice@example.com")
    names = [bench.file(who, clauses=(clause,)) for who in (ALICE, EVE, agent) for clause in (DBA, OWNERS)]
    for viewer in (ALICE, EVE, agent, BOB, CARA, DAN, person("x"), replace(EVE, email="alice@example.com")):
        listed = {request.id for request in bench.service.find(Query(viewer))}
        pages = set()
        for name in names:
            try:
                pages.add(bench.service.get(viewer, name).id)
            except UnknownRequest:
                continue
        assert listed == pages


def test_nobody_floods_the_reviewers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_LIVE_REQUESTS", 3)
    for number in range(3):
        bench.file(parameters=(str(number),))
    with pytest.raises(Busy, match="3 open requests"):
        bench.file(parameters=("4",))
    assert bench.file(parameters=("1",)), "the same one again is no new one"
    assert bench.file(EVE)
