"""Requests to see tags in clear for a while, over real HTTP: who decides, what is granted, and every misuse refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from msgspec.structs import replace
from tests.approvals.kit import (
    ALICE,
    BOB,
    CARA,
    DBA,
    EVE,
    OWNERS,
    HandClock,
    Running,
    now,
    request_of,
    running_service,
    unmask_request_of,
)

from dbgate.approvals import filing, keys
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.refusals import BadRequest, GrantRefused, NotAllowed, UnknownRequest, WrongState
from dbgate.approvals.service import ApprovalService
from dbgate.approvals.states import Status
from dbgate.model import Actor, RequestKind

ASKED = unmask_request_of(ALICE)


@pytest.fixture
def running(tmp_path: Path, backend: str) -> Iterator[Running]:
    with running_service(tmp_path, database=backend) as made:
        yield made


def approved(running: Running) -> str:
    name = running.client(ALICE).ask(ASKED).id
    running.client(BOB).decide(name, "approve", "fine")
    return name


def test_from_request_to_grant_and_to_the_next_session(running: Running) -> None:
    alice = running.client(ALICE)
    state = alice.ask(ASKED)
    assert (state.status, state.kind, state.binding) == ("pending", "unmask", ASKED.binding)
    assert alice.ask(ASKED).id == state.id
    assert running.client(BOB).decide(state.id, "approve").status == "approved"
    before = now()
    grant = alice.open(state.id, ASKED)
    assert (grant.kind, grant.tags) == (RequestKind.UNMASK, ("pii.email", "pii.ssn"))
    assert (grant.identity, grant.target, grant.policy_digest) == (ALICE.key, ASKED.target, ASKED.policy_digest)
    assert timedelta(seconds=1790) < grant.expires_at - before <= timedelta(seconds=1800)
    assert alice.state(state.id).status == "approved"
    assert "in clear until" in alice.state(state.id).summary
    again = running.client(ALICE).open(state.id, ASKED)
    assert (again.expires_at, again.id == grant.id) == (grant.expires_at, False)
    assert [event["kind"] for event in alice.history(state.id)] == [
        "requested", "approval", "approved", "opened", "opened"
    ]  # fmt: skip


def test_what_a_reviewer_sees(running: Running) -> None:
    name = running.client(ALICE).ask(ASKED).id
    view = running.client(BOB).state(name).view
    assert (
        msgspec.convert({field: view[field] for field in ASKED.__struct_fields__} | {"uses": 1}, type(ASKED)) == ASKED
    )
    assert view["may"] == ["approve", "deny"]
    with pytest.raises(UnknownRequest):
        running.client(EVE).state(name)
    (listed,) = running.client(BOB).find()
    assert listed.view["tags"] == ["pii.email", "pii.ssn"]
    assert "columns" not in listed.view


def test_nobody_opens_for_themselves(running: Running) -> None:
    dba = replace(ALICE, groups=("dba",))
    name = running.client(ALICE).ask(ASKED).id
    for disguise in (dba, replace(dba, subject="alice-2"), replace(dba, subject="a", email="ALICE@EXAMPLE.COM")):
        with pytest.raises(NotAllowed, match="nobody decides their own"):
            running.client(disguise).decide(name, "approve", "please")
    agent = replace(dba, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="bob")
    by_agent = running.client(agent).ask(unmask_request_of(agent)).id
    with pytest.raises(NotAllowed, match="on their behalf"):
        running.client(BOB).decide(by_agent, "approve", "please")
    with pytest.raises(NotAllowed, match="only people"):
        running.client(agent).decide(name, "approve", "please")


def test_every_reviewer_is_needed(running: Running) -> None:
    two = unmask_request_of(ALICE, clauses=(DBA, OWNERS))
    alice = running.client(ALICE)
    name = alice.ask(two).id
    assert running.client(BOB).decide(name, "approve").status == "pending"
    with pytest.raises(WrongState, match="is not approved yet"):
        alice.open(name, two)
    assert running.client(CARA).decide(name, "approve").status == "approved"
    assert alice.open(name, two).approved_by == ("bob@example.com", "cara@example.com")


@pytest.mark.parametrize(("who", "action", "status"), [(BOB, "deny", "denied"), (ALICE, "withdraw", "withdrawn")])
def test_an_end_before_the_approval(running: Running, who: Any, action: str, status: str) -> None:
    alice = running.client(ALICE)
    name = alice.ask(ASKED).id
    assert running.client(who).decide(name, action, "no").status == status
    with pytest.raises(WrongState, match=f"was {status}"):
        alice.open(name, ASKED)
    assert alice.ask(ASKED).id != name


@pytest.mark.parametrize("who", [BOB, ALICE])
def test_revoking_holds_for_every_session_after_it(running: Running, who: Any) -> None:
    name = approved(running)
    running.client(ALICE).open(name, ASKED)
    assert running.client(who).decide(name, "revoke", "enough").status == "revoked"
    with pytest.raises(WrongState, match="was revoked"):
        running.client(ALICE).open(name, ASKED)


def test_an_approval_opens_nothing_else(running: Running) -> None:
    name = approved(running)
    alice = running.client(ALICE)
    for changes in (
        {"tags": ("pii.ssn",)},
        {"tags": ("finance.pay", "pii.email", "pii.ssn")},
        {"target": "other"},
        {"expires_s": 86_400},
        {"policy_digest": "sha256:" + "1" * 64},
    ):
        with pytest.raises(BadRequest, match="is for other tags or another duration, target or policy"):
            alice.open(name, unmask_request_of(ALICE, **changes))
    with pytest.raises(NotAllowed, match="only the one who asked"):
        running.client(BOB).open(name, ASKED)
    with pytest.raises(UnknownRequest):
        running.client(EVE).open(name, ASKED)
    assert alice.open(name, ASKED).tags == ASKED.tags


def test_neither_kind_is_redeemed_as_the_other(running: Running) -> None:
    alice = running.client(ALICE)
    name = approved(running)
    with pytest.raises(GrantRefused, match="is for another statement"):
        alice.redeem(name, binding=ASKED.binding)
    asking = running.client(ALICE)
    asking.ask(ASKED)
    with pytest.raises(GrantRefused, match="of another kind"):
        asking.redeem(name, binding=ASKED.binding)
    statement = request_of(ALICE)
    with pytest.raises(BadRequest, match="is for other tags"):
        alice.redeem(name, binding=statement.binding)
    other = alice.ask(statement).id
    running.client(BOB).decide(other, "approve")
    with pytest.raises(BadRequest, match="is for another statement"):
        alice.open(other, ASKED)
    with pytest.raises(GrantRefused, match="of another kind"):
        alice.open(other, replace(ASKED, binding=statement.binding))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tags": ["finance.pay"]}, "binding does not fit"),
        ({"tags": ["pii.email", "pii.ssn", "zzz"]}, "binding does not fit"),
        ({"target": "x"}, "binding does not fit"),
        ({"expires_s": 86_400}, "binding does not fit"),
        ({"policy_digest": "sha256:1"}, "binding does not fit"),
        ({"kind": "statement"}, "of the kind statement"),
        ({"kind": "everything"}, "not what this takes"),
        ({"tags": []}, "lacks tags"),
        ({"tags": ["pii.ssn", "pii.email"]}, "sorted"),
        ({"tags": ["pii.ssn", "pii.ssn"]}, "each stands once"),
        ({"tags": ["pii.*"]}, "not what this takes"),
        ({"statement": "SELECT 1"}, "holds statement"),
        ({"parameters": ["1"]}, "holds parameters"),
        ({"measured": {"t": 1}}, "holds measured"),
        ({"masked": ["t.c"]}, "holds masked"),
    ],
)
def test_a_body_that_was_tampered_with(running: Running, changes: dict[str, Any], reason: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        body = msgspec.to_builtins(ASKED) | changes
        url = f"{running.url}/api/v1/requests"
        answer = session.post(url, json=body, headers=running.headers(ALICE), timeout=20)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert running.client(ALICE).find() == []


def test_a_statement_holds_no_tags(running: Running) -> None:
    for changes in ({"tags": ("pii.ssn",)}, {"columns": ("a.b.c",)}):
        with pytest.raises(BadRequest, match="of the kind statement holds"):
            running.client(ALICE).ask(request_of(ALICE, **changes))


def test_clocks(tmp_path: Path, backend: str) -> None:
    clock = HandClock()
    store = open_store(backend, tmp_path)
    service = ApprovalService(store, GrantSigner(keys.load_or_create(tmp_path / "grants.key")), clock)
    brief = unmask_request_of(ALICE, expires_s=60)
    made, _ = service.file(ALICE, brief)
    assert made.uses == 1000
    clock.advance(3599)
    assert service.approve(BOB, made.id, "").status is Status.APPROVED
    clock.advance(59)
    service.redeem(ALICE, made.id, brief.binding)
    clock.advance(1)
    with pytest.raises(WrongState, match="has expired"):
        service.redeem(ALICE, made.id, brief.binding)
    late, _ = service.file(ALICE, brief)
    clock.advance(3600)
    with pytest.raises(WrongState, match="has expired"):
        service.approve(BOB, late.id, "")
    store.close()


def test_sessions_are_counted(tmp_path: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filing, "MAX_UNMASK_SESSIONS", 2)
    store = open_store(backend, tmp_path)
    service = ApprovalService(store, GrantSigner(keys.load_or_create(tmp_path / "grants.key")), now)
    made, _ = service.file(ALICE, ASKED)
    service.approve(BOB, made.id, "")
    assert made.uses == 2
    for status in (Status.APPROVED, Status.REDEEMED):
        assert service.redeem(ALICE, made.id, ASKED.binding)[0].status is status
    with pytest.raises(WrongState, match="already redeemed"):
        service.redeem(ALICE, made.id, ASKED.binding)
    store.close()
