"""Grants for several runs, for a session, for a transaction, and for what breaks the glass: every attack is refused."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
import requests
from msgspec.structs import replace
from tests.approvals.kit import (
    ALICE,
    BOB,
    CARA,
    DAN,
    DBA,
    EVE,
    OWNERS,
    Running,
    binding_of,
    now,
    person,
    request_of,
    running_service,
)

from dbgate.approvals import ApprovalsClient, keys
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import Expected, GrantSigner, verify
from dbgate.approvals.refusals import BadRequest, GrantRefused, NotAllowed, UnknownRequest, WrongState
from dbgate.approvals.service import BREAK_GLASS_S, ApprovalService
from dbgate.approvals.states import Status
from dbgate.errors import Unreachable
from dbgate.model import Actor, ApprovalRequest, Identity, RequestKind, SessionLimits
from dbgate.settings import ApprovalsSettings

REDEEMERS = 50
THRICE = request_of(ALICE, uses=3)
RULES = ("bulk (payroll.yaml:31)", "night (payroll.yaml:40)")
FOR_SESSION = request_of(
    ALICE,
    kind=RequestKind.SESSION,
    rules=RULES,
    limits=SessionLimits(20, 500),
    session="01J0000000000000000000000A",
    expires_s=1800,
)
GLASS = request_of(ALICE, kind=RequestKind.BREAK_GLASS, break_glass=("engineering", "oncall"), reason="it burns")
WHOLE = request_of(
    ALICE, kind=RequestKind.TRANSACTION, statement="UPDATE a SET b = 1;\nDELETE FROM c;\n", parameters=()
)


@pytest.fixture
def running(tmp_path: Path, backend: str) -> Iterator[Running]:
    with running_service(tmp_path, database=backend) as made:
        yield made


def approved(running: Running, asked: ApprovalRequest) -> str:
    name = running.client(ALICE).ask(asked).id
    running.client(BOB).decide(name, "approve")
    return name


def race(running: Running, act: Callable[[Any], str]) -> Counter[str]:
    """Fifty clients of one person do the same at once; how it ended, counted."""
    start = threading.Barrier(REDEEMERS)
    clients = [running.client(ALICE) for _ in range(REDEEMERS)]

    def run(number: int) -> str:
        start.wait(20)
        try:
            return act(clients[number])
        except WrongState:
            return "refused"

    with ThreadPoolExecutor(REDEEMERS) as pool:
        return Counter(pool.map(run, range(REDEEMERS)))


def test_fifty_redeem_what_is_good_for_three(running: Running) -> None:
    name = approved(running, THRICE)
    outcomes = race(running, lambda client: client.redeem(name, binding=THRICE.binding) and "granted")
    assert outcomes == {"granted": 3, "refused": REDEEMERS - 3}
    kinds = Counter(str(event["kind"]) for event in running.client(ALICE).history(name))
    assert kinds == {"requested": 1, "approval": 1, "approved": 1, "used": 2, "redeemed": 1}


def test_fifty_sessions_redeem_what_is_for_one(running: Running) -> None:
    name = approved(running, FOR_SESSION)
    outcomes = race(running, lambda client: client.open(name, FOR_SESSION) and "granted")
    assert outcomes == {"granted": 1, "refused": REDEEMERS - 1}


def test_another_number_of_runs_is_another_request(running: Running) -> None:
    alice = running.client(ALICE)
    first = approved(running, THRICE)
    assert alice.ask(request_of(ALICE, uses=1000)).id != first
    assert alice.ask(THRICE).id == first


def test_a_used_up_request_stands_for_nothing_new(running: Running) -> None:
    alice = running.client(ALICE)
    name = approved(running, FOR_SESSION)
    alice.open(name, FOR_SESSION)
    assert alice.state(name).status == "approved"
    assert alice.state(name).summary.startswith("approved by bob@example.com (local, unverified), in use by a session")
    assert alice.ask(FOR_SESSION).id != name


def test_a_session_grant_names_who_may_use_it_and_for_what(running: Running) -> None:
    alice = running.client(ALICE)
    name = approved(running, FOR_SESSION)
    grant = alice.open(name, FOR_SESSION)
    assert (grant.kind, grant.rules, grant.limits) == (RequestKind.SESSION, RULES, SessionLimits(20, 500))
    assert (grant.session, grant.identity) == (FOR_SESSION.session, ALICE.key)
    assert 1700 < (grant.expires_at - now()).total_seconds() <= 1800


def test_a_session_grant_is_of_no_use_to_another_session(running: Running) -> None:
    alice = running.client(ALICE)
    name = approved(running, FOR_SESSION)
    token = alice.open(name, FOR_SESSION).token
    trusted = [keys.load_or_create(running.state_dir / "approvals" / "grants.key").public_key()]
    expected = Expected(
        identity=ALICE.key,
        target=FOR_SESSION.target,
        binding=FOR_SESSION.binding,
        request=name,
        clauses=FOR_SESSION.clauses,
        kind=RequestKind.SESSION,
        rules=RULES,
        limits=SessionLimits(20, 500),
        session=FOR_SESSION.session,
    )
    assert verify(token, trusted, expected, now=now()).request == name
    for changes, why in (
        ({"session": "01J0000000000000000000000B"}, "another session"),
        ({"rules": RULES[:1]}, "other rules"),
        ({"limits": SessionLimits(20, None)}, "other limits"),
        ({"identity": EVE.key}, "another identity"),
        ({"target": "other"}, "another target"),
        ({"kind": RequestKind.STATEMENT}, "another kind"),
        ({"kind": RequestKind.BREAK_GLASS}, "another kind"),
    ):
        with pytest.raises(GrantRefused, match=why):
            verify(token, trusted, replace(expected, **changes), now=now())


def test_a_session_has_to_be_named(running: Running) -> None:
    name = approved(running, FOR_SESSION)
    answer = post(running, f"/requests/{name}/redeem", {"binding": FOR_SESSION.binding})
    assert (answer.status_code, "none is named" in answer.json()["detail"]) == (422, True)


def test_only_the_one_who_asked_opens_a_session(running: Running) -> None:
    name = approved(running, FOR_SESSION)
    with pytest.raises(NotAllowed, match="only the one who asked"):
        running.client(BOB).open(name, FOR_SESSION)
    agent = replace(ALICE, actor=Actor.AGENT, on_behalf_of="alice@example.com")
    with pytest.raises(NotAllowed, match="only the one who asked"):
        running.client(agent).open(name, FOR_SESSION)
    with pytest.raises(UnknownRequest):
        running.client(EVE).open(name, FOR_SESSION)


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": (*RULES, "drop (payroll.yaml:1)")},
        {"limits": SessionLimits(None, 500)},
        {"limits": SessionLimits(20, 501)},
        {"expires_s": 1801},
        {"target": "other"},
        {"policy_digest": "sha256:" + "1" * 64},
    ],
)
def test_a_session_grant_is_for_exactly_these_terms(running: Running, changes: dict[str, Any]) -> None:
    name = approved(running, FOR_SESSION)
    with pytest.raises(BadRequest, match="other rules, limits, another duration"):
        running.client(ALICE).open(name, replace_bound(FOR_SESSION, **changes))
    assert running.client(ALICE).open(name, FOR_SESSION).request == name


def test_a_session_that_was_revoked_is_not_opened_and_told_so_when_it_is(running: Running) -> None:
    alice = running.client(ALICE)
    first = approved(running, FOR_SESSION)
    running.client(BOB).decide(first, "revoke", "no more")
    with pytest.raises(WrongState, match="was revoked"):
        alice.open(first, FOR_SESSION)
    second = approved(running, FOR_SESSION)
    alice.open(second, FOR_SESSION)
    running.client(BOB).decide(second, "revoke", "no more")
    assert alice.state(second).status == "revoked"


def test_after_its_end_a_session_grant_counts_no_more(tmp_path: Path, backend: str) -> None:
    from tests.approvals.kit import HandClock

    clock = HandClock()
    store = open_store(backend, tmp_path)
    service = ApprovalService(store, GrantSigner(keys.load_or_create(tmp_path / "grants.key")), clock)
    made, _ = service.file(ALICE, FOR_SESSION)
    clock.advance(3000)
    service.approve(BOB, made.id, "")
    clock.advance(1799)
    assert service.get(ALICE, made.id).status is Status.APPROVED
    clock.advance(2)
    with pytest.raises(WrongState, match="has expired"):
        service.redeem(ALICE, made.id, FOR_SESSION.binding, "s")
    store.close()


def test_the_glass_is_broken_once_and_at_once(running: Running) -> None:
    alice = running.client(ALICE)
    grant = alice.break_glass(GLASS)
    assert (grant.kind, grant.approved_by, grant.measured) == (RequestKind.BREAK_GLASS, (), dict(GLASS.measured))
    assert (grant.expires_at - now()).total_seconds() <= BREAK_GLASS_S
    due = running.client(BOB).state(grant.request)
    assert (due.status, due.view["may"], due.view["reason"]) == ("review-due", ["approve", "deny"], "it burns")
    with pytest.raises(WrongState, match="breaking the glass"):
        alice.redeem(grant.request, binding=GLASS.binding)
    events = running.client(BOB).history(grant.request)
    assert [(event["kind"], event["note"]) for event in events] == [("broke-glass", "it burns")]


@pytest.mark.parametrize(
    ("who", "groups", "why"),
    [
        (EVE, ("oncall",), "only these groups break the glass: oncall"),
        (replace(ALICE, groups=()), ("engineering",), "only these groups"),
        (replace(ALICE, actor=Actor.AGENT, on_behalf_of="alice@example.com"), ("engineering",), "only people"),
        (replace(ALICE, actor=Actor.SERVICE), ("engineering",), "only people"),
        (replace(ALICE, on_behalf_of="bob@example.com"), ("engineering",), "only people"),
    ],
)
def test_who_may_not_break_the_glass(running: Running, who: Identity, groups: tuple[str, ...], why: str) -> None:
    asked = replace(GLASS, break_glass=groups)
    with pytest.raises(NotAllowed, match=why):
        running.client(who).break_glass(replace(asked, binding=binding_of(who, asked)))
    assert running.client(BOB).find(status="review-due") == []


def test_the_glass_holds_while_nobody_can_be_alerted(running: Running, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    away = ApprovalsClient(ApprovalsSettings(url=f"http://127.0.0.1:{port}"), lambda: "x", ALICE, tmp_path)
    with pytest.raises(Unreachable, match="the glass was not broken: cannot reach") as caught:
        away.break_glass(GLASS)
    assert caught.value.exit_code == 7
    nothing, start, emergency = caught.value.hint.splitlines()
    assert nothing.startswith("nothing was run: reviewers have to be alerted")
    assert "dbgate serve" in start
    assert "emergency account" in emergency
    away.close()
    assert running.client(BOB).find(status="review-due") == []


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_not_without_a_reason(running: Running, reason: str) -> None:
    with pytest.raises(BadRequest, match="a reason"):
        running.client(ALICE).break_glass(replace_bound(GLASS, reason=reason))


def test_what_breaks_the_glass_is_not_asked_for_and_nothing_else_breaks_it(running: Running) -> None:
    alice = running.client(ALICE)
    with pytest.raises(BadRequest, match="not asked for"):
        alice.ask(GLASS)
    with pytest.raises(BadRequest, match="breaks the glass only"):
        alice.break_glass(request_of(ALICE))
    with pytest.raises(BadRequest, match="holds break_glass"):
        alice.ask(request_of(ALICE, break_glass=("engineering",)))


def test_its_review_takes_all_reviewers_and_never_the_one_who_did_it(running: Running) -> None:
    asked = replace(GLASS, clauses=(DBA, OWNERS), break_glass=("dba",))
    dan = replace(DAN, subject="dan")
    grant = running.client(dan).break_glass(replace(asked, binding=binding_of(dan, asked)))
    with pytest.raises(NotAllowed, match="nobody decides their own"):
        running.client(dan).decide(grant.request, "approve")
    assert running.client(BOB).decide(grant.request, "approve").status == "review-due"
    with pytest.raises(WrongState, match="already approved"):
        running.client(BOB).decide(grant.request, "approve")
    with pytest.raises(NotAllowed, match="the same e-mail address"):
        running.client(person("dan-2", "data-owners", email="DAN@example.com")).decide(grant.request, "approve")
    done = running.client(CARA).decide(grant.request, "approve", "seen")
    assert done.status == "reviewed"
    assert done.summary.startswith("ran without approval (break-glass), reviewed by bob@example.com")


def test_an_objection_has_a_reason_and_stays(running: Running) -> None:
    name = running.client(ALICE).break_glass(GLASS).request
    with pytest.raises(BadRequest, match="needs a note"):
        running.client(BOB).decide(name, "deny")
    assert running.client(BOB).decide(name, "deny", "this was no emergency").status == "objected"
    for action in ("approve", "deny", "revoke", "withdraw"):
        with pytest.raises((WrongState, NotAllowed)):
            running.client(BOB).decide(name, action, "again")


def test_no_kind_of_grant_passes_for_another(running: Running) -> None:
    alice = running.client(ALICE)
    tokens = {
        RequestKind.STATEMENT: alice.redeem(
            approved(running, request_of(ALICE)), binding=request_of(ALICE).binding
        ).token,
        RequestKind.SESSION: alice.open(approved(running, FOR_SESSION), FOR_SESSION).token,
        RequestKind.TRANSACTION: alice.open(approved(running, WHOLE), WHOLE).token,
        RequestKind.BREAK_GLASS: alice.break_glass(GLASS).token,
    }
    types = {kind: jwt.get_unverified_header(token)["typ"] for kind, token in tokens.items()}
    assert len(set(types.values())) == 4
    trusted = [keys.load_or_create(running.state_dir / "approvals" / "grants.key").public_key()]
    for kind, token in tokens.items():
        claims = jwt.decode(token, options={"verify_signature": False})
        for other in RequestKind:
            if other is not kind:
                expected = Expected(
                    identity=ALICE.key,
                    target=claims["aud"],
                    binding=claims["binding"],
                    request=claims["request"],
                    kind=other,
                )
                with pytest.raises(GrantRefused, match="of another kind"):
                    verify(token, trusted, expected, now=now())


def test_no_two_kinds_share_a_binding() -> None:
    asked = [replace(request_of(ALICE), kind=kind, binding="") for kind in RequestKind]
    assert len({binding_of(ALICE, one) for one in asked}) == len(RequestKind)


def test_a_transaction_is_approved_as_a_whole(running: Running) -> None:
    name = approved(running, WHOLE)
    alice = running.client(ALICE)
    for text in ("UPDATE a SET b = 1;\n", "DELETE FROM c;\nUPDATE a SET b = 1;\n"):
        with pytest.raises(BadRequest, match="another transaction"):
            alice.open(name, replace_bound(WHOLE, statement=text))
    assert alice.open(name, WHOLE).binding == WHOLE.binding
    with pytest.raises(WrongState, match="already redeemed"):
        alice.open(name, WHOLE)


@pytest.mark.parametrize(
    "changes",
    [
        {"uses": 0},
        {"uses": 1001},
        {"kind": "session", "uses": 2},
        {"kind": "unmask"},
        {"limits": {"statements": 1}},
        {"kind": "session", "limits": {"rows": 0}},
        {"kind": "session", "rules": []},
        {"kind": "break-glass"},
        {"sample": [{"relation": "x"}]},
        {"sample": [{"relation": "x", "verb": "update", "before": [["a"] * 51]}]},
    ],
)
def test_bodies_that_contradict_themselves(running: Running, changes: dict[str, Any]) -> None:
    body = msgspec.to_builtins(request_of(ALICE)) | changes
    assert post(running, "/requests", body).status_code == 422


def post(running: Running, path: str, body: Any, who: Identity = ALICE) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{running.url}/api/v1{path}", json=body, headers=running.headers(who), timeout=20)


def replace_bound(asked: ApprovalRequest, **changes: Any) -> ApprovalRequest:
    """Another request of Alice's, with the binding that fits."""
    made = replace(asked, **changes)
    return replace(made, binding=binding_of(ALICE, made))
