"""What the approvals service decides stands in a transcript of its own, before it counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from tests.approvals.kit import ALICE, BOB, EVE, Running, request_of, running_service

from dbgate.approvals.ledger import Access, Refusal
from dbgate.approvals.refusals import BadRequest, NotAllowed, WrongState
from dbgate.audit import spool
from dbgate.audit.shipping import ship
from dbgate.cli.app import run
from dbgate.cli.serve_ledger import TranscriptLedger
from dbgate.config import load_settings
from dbgate.errors import AuditUnavailable, Unreachable
from dbgate.settings import Settings

pytestmark = pytest.mark.usefixtures("dbgate_home")
ASKED = request_of(ALICE, parameters=("4111-secret",))


@dataclass
class Desk:
    """A service with a transcript, and the records that it leaves."""

    settings: Settings
    running: Running
    ledger: TranscriptLedger

    def records(self) -> list[dict[str, Any]]:
        return read_spool(self.settings.state_dir)


def read_spool(state_dir: Path) -> list[dict[str, Any]]:
    """All records that stand in the spool, session by session."""
    found = []
    for session in spool.spooled(state_dir):
        for segment in spool.segments(spool.session_dir(state_dir, session)):
            found += [json.loads(line) for line in segment.read_bytes().splitlines()]
    return found


def settings_of(home: Path) -> Settings:
    (home / "config.yaml").write_text(
        f"identity: {{provider: local}}\naudit: {{bucket: 'file://{home}/bucket', key_store: file}}\n"
    )
    return load_settings()


@contextmanager
def desk_of(home: Path, backend: str, *, every_s: float = 3600) -> Iterator[Desk]:
    settings = settings_of(home)
    with (
        TranscriptLedger(settings, backend="sqlite", every_s=every_s) as ledger,
        running_service(settings.state_dir, database=backend, ledger=ledger) as running,
    ):
        yield Desk(settings, running, ledger)


@pytest.fixture
def desk(dbgate_home: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(TranscriptLedger, "_ship", lambda self: None)
    with desk_of(dbgate_home, backend) as made:
        yield made


def test_every_decision_and_every_refused_attempt(desk: Desk) -> None:
    alice, bob, eve = (desk.running.client(who) for who in (ALICE, BOB, EVE))
    name = alice.ask(ASKED).id
    with pytest.raises(WrongState):
        alice.redeem(name, binding=ASKED.binding)
    with pytest.raises(NotAllowed):
        alice.decide(name, "approve", "please")
    with pytest.raises(BadRequest):
        alice.ask(request_of(ALICE, binding=request_of(EVE).binding))
    bob.decide(name, "approve", "checked")
    alice.redeem(name, binding=ASKED.binding)
    with pytest.raises(WrongState):
        alice.redeem(name, binding=ASKED.binding)
    other = alice.ask(request_of(ALICE, target="billing")).id
    alice.withdraw(other)
    third = alice.ask(request_of(ALICE, target="stock")).id
    bob.decide(third, "deny", "not today")
    fourth = alice.ask(request_of(ALICE, target="mail")).id
    bob.decide(fourth, "approve")
    bob.decide(fourth, "revoke", "a mistake")
    brief = eve.ask(request_of(EVE, expires_s=1)).id
    eve.watch(brief, timeout_s=20)
    records = desk.records()
    seen = [
        (record["kind"], record["action"], record["request"], (record["by"] or {}).get("subject"))
        for record in records
        if record["kind"] in ("decision.intent", "decision.refused")
    ]
    done, no = "decision.intent", "decision.refused"
    assert seen == [
        (done, "requested", name, "alice"),
        (no, "redeem", name, "alice"),
        (no, "approve", name, "alice"),
        (no, "file", "", "alice"),
        (done, "approval", name, "bob"),
        (done, "approved", name, None),
        (done, "redeemed", name, "alice"),
        (no, "redeem", name, "alice"),
        (done, "requested", other, "alice"),
        (done, "withdrawn", other, "alice"),
        (done, "requested", third, "alice"),
        (done, "denied", third, "bob"),
        (done, "requested", fourth, "alice"),
        (done, "approval", fourth, "bob"),
        (done, "approved", fourth, None),
        (done, "revoked", fourth, "bob"),
        (done, "requested", brief, "eve"),
        (done, "expired", brief, None),
    ]
    outcomes = {record["id"]: record["status"] for record in records if record["kind"] == "decision.outcome"}
    intents = [record["id"] for record in records if record["kind"] == done]
    assert outcomes == dict.fromkeys(intents, "done")
    notes = [record["note"] for record in records if record["kind"] == done and record["note"]]
    assert notes == [
        "yearly raise",
        "checked",
        "yearly raise",
        "yearly raise",
        "not today",
        "yearly raise",
        "a mistake",
        "yearly raise",
    ]
    assert "4111-secret" not in json.dumps(records), "parameters are in the binding alone"
    assert records[0]["door"] == "serve"
    assert next(record["binding"] for record in records if record.get("action") == "requested") == ASKED.binding


def test_what_is_in_the_history_is_in_the_record_and_the_other_way_round(desk: Desk) -> None:
    alice, bob = desk.running.client(ALICE), desk.running.client(BOB)
    for number in range(5):
        name = alice.ask(request_of(ALICE, parameters=(str(number),))).id
        bob.decide(name, "approve")
    recorded = [
        (record["request"], record["action"], record["at"])
        for record in desk.records()
        if record["kind"] == "decision.intent"
    ]
    history = [event.to_json() for event in desk.running.store.events()]
    assert recorded == [(event["request"], event["kind"], event["at"]) for event in history]


class Broken:
    """A disk that is full from some moment on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        real = spool.write_all

        def write(descriptor: int, content: bytes) -> None:
            if self.is_full:
                raise OSError(28, "No space left on device")
            real(descriptor, content)

        monkeypatch.setattr(spool, "write_all", write)


def test_without_a_record_nothing_is_decided(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = desk.running.client(ALICE), desk.running.client(BOB)
    pending, approved = alice.ask(ASKED).id, alice.ask(request_of(ALICE, target="billing")).id
    bob.decide(approved, "approve")
    before = desk.running.store.events(), desk.running.store.get(pending), desk.running.store.get(approved)
    disk = Broken(monkeypatch)
    calls: list[Callable[[], object]] = [
        lambda: alice.ask(request_of(ALICE, target="other")),
        lambda: bob.decide(pending, "approve"),
        lambda: bob.decide(pending, "deny", "no"),
        lambda: alice.withdraw(pending),
        lambda: bob.decide(approved, "revoke"),
        lambda: alice.redeem(approved, binding=request_of(ALICE, target="billing").binding),
        lambda: alice.decide(pending, "approve"),
    ]
    for call in calls:
        with pytest.raises(AuditUnavailable, match="decided nothing: ") as caught:
            call()
        assert caught.value.exit_code == 6
    with requests.Session() as session:
        session.trust_env = False
        url = f"{desk.running.url}/api/v1/requests/{pending}/approve"
        answer = session.post(url, json={}, headers=desk.running.headers(BOB), timeout=20)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:dbgate:problem:audit-unavailable")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (desk.running.store.events(), desk.running.store.get(pending), desk.running.store.get(approved)) == before
    assert alice.state(pending).status == "pending", "reading still works"
    disk.is_full = False
    assert bob.decide(pending, "approve").status == "approved", "and with space again, deciding does, without a restart"


def test_what_nobody_saw_committed_is_unknown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says that it was about to be decided, and that nobody knows."""
    alice = desk.running.client(ALICE)
    store = desk.running.store
    begin = store.begin

    @contextmanager
    def breaks() -> Iterator[Any]:
        with begin() as unit:
            yield unit
            raise RuntimeError("the connection breaks in the commit")

    with monkeypatch.context() as patch:
        patch.setattr(store, "begin", breaks)
        with pytest.raises(Unreachable, match="answered with 500"):
            alice.ask(ASKED)
    outcomes = [record["status"] for record in desk.records() if record["kind"] == "decision.outcome"]
    assert outcomes == ["unknown"]


def test_transcripts_are_sealed_in_turn_shipped_and_verified(
    dbgate_home: Path,
    backend: str,
    capsys: pytest.CaptureFixture[str],
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TranscriptLedger, "_ship", lambda self: None)
    with desk_of(dbgate_home, backend, every_s=1) as desk:
        alice, bob = desk.running.client(ALICE), desk.running.client(BOB)
        name = alice.ask(ASKED).id
        state_dir = desk.settings.state_dir
        wait_until(lambda: len(spool.ready(state_dir)) >= 1)
        bob.decide(name, "approve", "after the turn")
    records = desk.records()
    starts = [record for record in records if record["kind"] == "session.start"]
    ends = [record for record in records if record["kind"] == "session.end"]
    assert len(starts) == len(ends) >= 2
    assert [start["follows"] for start in starts] == ["", *(start["session"] for start in starts[:-1])]
    assert {end["reason"] for end in ends[:-1]} == {"turned"}
    assert ends[-1]["reason"] == "closed"
    totals: Counter[str] = Counter()
    for end in ends:
        totals.update(end["decisions"])
    assert totals == {"requested": 1, "approval": 1, "approved": 1}
    ship(desk.settings.state_dir, desk.settings.audit.bucket, "file")
    capsys.readouterr()
    assert run(["audit", "verify", "--allow-unanchored"]) == 0, capsys.readouterr()
    capsys.readouterr()
    assert run(["sessions", "list", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {session["door"] for session in listed} == {"serve"}
    assert len(listed) == len(starts)
    session = next(record["session"] for record in records if record.get("note") == "after the turn")
    assert run(["replay", session, "--speed", "1000"]) == 0
    assert f"[request {name} · approval by bob@example.com · after the turn]" in capsys.readouterr().out


def test_a_decision_taken_out_of_the_record_is_noticed(
    dbgate_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(TranscriptLedger, "_ship", lambda self: None)
    with desk_of(dbgate_home, f"sqlite:///{tmp_path}/a.db") as desk:
        desk.running.client(ALICE).ask(ASKED)
        desk.running.client(ALICE).ask(request_of(ALICE, target="other"))
    session = desk.records()[0]["session"]
    segment = spool.segments(spool.session_dir(desk.settings.state_dir, session))[0]
    lines = segment.read_bytes().splitlines(keepends=True)
    assert b"decision.intent" in lines[1]
    segment.write_bytes(b"".join(lines[:1] + lines[2:]))
    ship(desk.settings.state_dir, desk.settings.audit.bucket, "file")
    assert run(["audit", "verify", "--allow-unanchored"]) == 1, capsys.readouterr()


def test_a_service_that_died_is_ended_by_the_next(
    dbgate_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TranscriptLedger, "_ship", lambda self: None)
    settings = settings_of(dbgate_home)
    died = TranscriptLedger(settings, backend="sqlite", every_s=3600)
    store_dir = tmp_path / "store"
    with running_service(store_dir, ledger=died) as running:
        running.client(ALICE).ask(ASKED)
    died._recorder.abandon()  # type: ignore[union-attr]
    died._stop_pulse()
    with TranscriptLedger(settings, backend="sqlite", every_s=3600):
        pass
    ends = [record for record in read_spool(settings.state_dir) if record["kind"] == "session.end"]
    assert [end["reason"] for end in ends] == ["crashed", "closed"]


def test_who_came_in_and_who_watched_is_replayed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.ledger.note(Access("signed-in", BOB))
    desk.ledger.note(Access("watched", BOB, "01m8p7bx1pde7g979tjdr79s9p\x1b[2J" + "x" * 5000))
    session = desk.records()[0]["session"]
    found = [record for record in desk.records() if record["kind"] == "access"]
    assert [(one["action"], one["by"]["email"], one["by"]["groups"]) for one in found] == [
        ("signed-in", "bob@example.com", ["engineering", "dba"]),
        ("watched", "bob@example.com", ["engineering", "dba"]),
    ]
    assert len(found[1]["watched"]) == 64
    assert run(["replay", session, "--speed", "1000"]) == 0
    shown = capsys.readouterr().out
    assert "[signed-in · bob@example.com]" in shown
    assert "[watched 01m8p7bx1pde7g979tjdr79s9p\\x1b[2J" in shown


def test_the_record_of_a_refusal_is_bounded() -> None:
    refusal = Refusal("approve", "x" * 5000, BOB, "no such request")
    assert len(str(refusal.to_json()["request"])) == 64
