"""The approvals service over real HTTP: one suite for every store behind it."""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
import requests
import trustme
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
    now,
    request_of,
    running_service,
)

from dbgate.approvals import ApprovalsClient, keys, listen
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.limits import RateLimit
from dbgate.approvals.local import mint_local_token
from dbgate.approvals.pins import pin_file
from dbgate.approvals.refusals import (
    BadRequest,
    Busy,
    GrantRefused,
    NotAllowed,
    UnknownRequest,
    WrongState,
)
from dbgate.errors import SignInRequired, Unreachable, UsageError
from dbgate.model import Actor, Identity
from dbgate.settings import ApprovalsSettings

ASKED = request_of(ALICE)


@pytest.fixture
def running(tmp_path: Path, backend: str) -> Iterator[Running]:
    with running_service(tmp_path, database=backend) as made:
        yield made


class Raw:
    """Calls without the client, for what a client never sends."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.session = requests.Session()
        self.session.trust_env = False

    def __call__(self, method: str, path: str, who: Identity | None = ALICE, **options: Any) -> requests.Response:
        headers = (self.running.headers(who) if who else {}) | options.pop("headers", {})
        return self.session.request(method, f"{self.running.url}/api/v1{path}", headers=headers, timeout=20, **options)


@pytest.fixture
def raw(running: Running) -> Iterator[Raw]:
    made = Raw(running)
    yield made
    made.session.close()


def approved(running: Running) -> str:
    name = running.client(ALICE).ask(ASKED).id
    running.client(BOB).decide(name, "approve", "fine")
    return name


def test_from_request_to_grant(running: Running) -> None:
    alice = running.client(ALICE)
    asked = request_of(ALICE, clauses=(DBA, OWNERS))
    state = alice.ask(asked)
    assert state.status == "pending"
    assert state.summary.startswith("0 of 2 approvals: needs dba (1), data-owners (1), until ")
    assert alice.ask(asked).id == state.id
    half = running.client(BOB).decide(state.id, "approve")
    assert half.summary.startswith("1 of 2 approvals: needs data-owners (1), until ")
    running.client(CARA).decide(state.id, "approve", "for the yearly raise")
    done = alice.watch(state.id, timeout_s=5)
    assert done.status == "approved"
    assert done.summary.startswith(
        "approved by bob@example.com (local, unverified), cara@example.com (local, unverified), usable until "
    )
    grant = alice.redeem(state.id, binding=asked.binding)
    assert (grant.request, grant.identity, grant.target) == (state.id, ALICE.key, asked.target)
    assert grant.approved_by == ("bob@example.com", "cara@example.com")
    assert grant.measured == {"payroll.pay": 1200}
    assert alice.state(state.id).status == "redeemed"
    with pytest.raises(UsageError, match="already redeemed"):
        alice.redeem(state.id, binding=asked.binding)


def test_what_a_reviewer_sees(running: Running) -> None:
    name = running.client(ALICE).ask(ASKED).id
    view = running.client(BOB).state(name).view
    assert msgspec.convert({field: view[field] for field in ASKED.__struct_fields__}, type(ASKED)) == ASKED
    assert view["requester"] == ALICE.to_json() | {"assurance": "local"}
    assert view["may"] == ["approve", "deny"]
    mine = running.client(ALICE).state(name).view
    assert (mine["may"], mine["why_not"]) == (["withdraw"], "nobody decides their own request")


@pytest.mark.parametrize("action", ["approve", "deny"])
def test_nobody_decides_their_own(running: Running, action: str) -> None:
    dba = replace(ALICE, groups=("dba",))
    name = running.client(ALICE).ask(ASKED).id
    for disguise in (dba, replace(dba, subject="alice-2"), replace(dba, subject="a", email="ALICE@EXAMPLE.COM")):
        with pytest.raises(NotAllowed, match="nobody decides their own"):
            running.client(disguise).decide(name, action, "please")
    agent = replace(dba, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="bob")
    with pytest.raises(NotAllowed, match="only people"):
        running.client(agent).decide(name, action, "please")
    by_agent = running.client(agent).ask(request_of(agent)).id
    with pytest.raises(NotAllowed, match="on their behalf"):
        running.client(BOB).decide(by_agent, action, "please")
    assert running.client(ALICE).state(name).status == "pending"


def test_an_agents_request_is_its_persons_at_the_same_issuer_only(running: Running) -> None:
    agent = replace(ALICE, subject="bot", email="", actor=Actor.AGENT, on_behalf_of="alice@example.com")
    name = running.client(agent).ask(request_of(agent)).id
    assert [state.id for state in running.client(ALICE).find(role="mine")] == [name]
    for elsewhere in ("https://id.partner.example", "https://login.example.co", "https://login.example.com#x"):
        stranger = running.client(replace(ALICE, issuer=elsewhere))
        assert list(stranger.find()) == []
        with pytest.raises(UnknownRequest):
            stranger.withdraw(name)
    assert running.client(ALICE).withdraw(name).status == "withdrawn"


def test_who_approved_and_who_would_may_be_one_person(running: Running) -> None:
    batch = replace(ALICE, actor=Actor.SERVICE, email="")
    name = running.client(batch).ask(request_of(batch, clauses=(DBA, OWNERS))).id
    running.client(BOB).decide(name, "approve")
    elsewhere = replace(CARA, issuer="https://id.partner.example")
    with pytest.raises(WrongState, match="signed in at another issuer"):
        running.client(replace(elsewhere, email="")).decide(name, "approve")
    assert running.client(elsewhere).decide(name, "approve").status == "approved"


def test_one_person_in_two_groups_is_one_person(running: Running) -> None:
    name = running.client(ALICE).ask(request_of(ALICE, clauses=(DBA, OWNERS))).id
    assert running.client(DAN).decide(name, "approve").status == "pending"
    with pytest.raises(WrongState, match="already approved"):
        running.client(DAN).decide(name, "approve")
    assert running.client(BOB).decide(name, "approve").status == "approved"


def test_a_denial_with_its_reason(running: Running) -> None:
    alice = running.client(ALICE)
    name = alice.ask(ASKED).id
    with pytest.raises(UsageError, match="needs a note"):
        running.client(BOB).decide(name, "deny")
    assert running.client(BOB).decide(name, "deny", "wait for Monday").status == "denied"
    assert alice.state(name).summary == "denied by bob@example.com (local, unverified): wait for Monday"
    assert [(event["kind"], event["note"]) for event in alice.history(name)] == [
        ("requested", "yearly raise"),
        ("denied", "wait for Monday"),
    ]


def test_withdraw_and_revoke(running: Running) -> None:
    alice = running.client(ALICE)
    assert alice.withdraw(alice.ask(ASKED).id).status == "withdrawn"
    name = approved(running)
    with pytest.raises(WrongState, match="already approved"):
        alice.withdraw(name)
    assert running.client(BOB).decide(name, "revoke").status == "revoked"
    with pytest.raises(UsageError, match="was revoked"):
        alice.redeem(name, binding=ASKED.binding)


def test_replay_for_something_else(running: Running) -> None:
    name = approved(running)
    alice = running.client(ALICE)
    for changes in ({"statement": "DELETE FROM payroll.pay"}, {"parameters": ("9",)}, {"target": "other"}):
        with pytest.raises(BadRequest, match="another statement"):
            alice.redeem(name, binding=request_of(ALICE, **changes).binding)
    with pytest.raises(NotAllowed, match="only the one who asked"):
        running.client(BOB).redeem(name, binding=ASKED.binding)
    with pytest.raises(UnknownRequest):
        running.client(EVE).redeem(name, binding=ASKED.binding)
    assert alice.redeem(name, binding=ASKED.binding).request == name


@pytest.mark.parametrize(
    "changes",
    [{"statement": "DROP TABLE payroll.pay"}, {"parameters": ["9"]}, {"target": "x"}, {"policy_digest": "sha256:1"}],
)
def test_a_body_that_was_tampered_with(raw: Raw, changes: dict[str, Any]) -> None:
    answer = raw("POST", "/requests", json=msgspec.to_builtins(ASKED) | changes)
    assert answer.status_code == 422
    assert "binding does not fit" in answer.json()["detail"]


def test_fifty_redeem_and_one_gets_it(running: Running) -> None:
    name = approved(running)
    start = threading.Barrier(50)

    def redeem(_: int) -> str:
        client = running_client(running, ALICE)
        try:
            start.wait(20)
            return client.redeem(name, binding=ASKED.binding).request
        except WrongState as error:
            return error.status
        finally:
            client.close()

    with ThreadPoolExecutor(50) as pool:
        outcomes = sorted(pool.map(redeem, range(50)))
    assert outcomes.count(name) == 1
    assert set(outcomes) - {name} <= {"redeemed", "approved"}
    assert [event["kind"] for event in running.client(ALICE).history(name)].count("redeemed") == 1


def running_client(running: Running, identity: Identity) -> ApprovalsClient:
    return ApprovalsClient(
        ApprovalsSettings(url=running.url),
        lambda: mint_local_token(running.state_dir, identity),
        identity,
        running.state_dir,
    )


def _redeem_in_process(state_dir: str, database: str, name: str, go: Any, found: Any) -> None:
    from dbgate.approvals.service import ApprovalService

    store = open_store(database, Path(state_dir))
    signer = GrantSigner(keys.load_or_create(Path(state_dir) / "approvals" / "grants.key"))
    service = ApprovalService(store, signer, now)
    go.wait(20)
    won = 0
    for _ in range(5):
        try:
            service.redeem(replace(ALICE), name, ASKED.binding)
            won += 1
        except WrongState:
            continue
    store.close()
    found.put(won)


def test_several_processes_on_one_store_redeem_once(running: Running, backend: str) -> None:
    name = approved(running)
    context = multiprocessing.get_context("spawn")
    go, found = context.Event(), context.Queue()
    processes = [
        context.Process(target=_redeem_in_process, args=(str(running.state_dir), backend, name, go, found))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    go.set()
    won = [found.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(20)
    found.close()
    assert sorted(won) == [0, 0, 1]
    assert running.client(ALICE).state(name).status == "redeemed"


def test_twenty_ask_for_the_same_and_there_is_one_request(running: Running) -> None:
    def ask(_: int) -> str:
        client = running_client(running, ALICE)
        try:
            return client.ask(ASKED).id
        finally:
            client.close()

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(ask, range(20)))) == 1
    assert len(running.client(BOB).find()) == 1


def test_a_decision_arrives_at_once(running: Running) -> None:
    alice = running.client(ALICE)
    name = alice.ask(ASKED).id
    timer = threading.Timer(0.3, lambda: running.client(BOB).decide(name, "approve"))
    start = time.monotonic()
    timer.start()
    state = alice.watch(name, timeout_s=20)
    took_s = time.monotonic() - start
    timer.join()
    assert state.status == "approved"
    assert 0.2 < took_s < 5


def test_waiting_in_vain_ends_in_time(running: Running) -> None:
    alice = running.client(ALICE)
    name = alice.ask(ASKED).id
    start = time.monotonic()
    assert alice.watch(name, timeout_s=0.4).status == "pending"
    assert 0.3 < time.monotonic() - start < 5


def test_expiry_wakes_those_who_wait(running: Running) -> None:
    alice = running.client(ALICE)
    state = alice.ask(request_of(ALICE, expires_s=1))
    found = alice.watch(state.id, timeout_s=20)
    assert found.status == "expired"
    assert found.summary.startswith("nobody decided in time: expired at ")


def test_waiting_goes_on_over_a_restart(tmp_path: Path, backend: str) -> None:
    with running_service(tmp_path, database=backend) as first:
        waiting = running_client(first, ALICE)
        name = waiting.ask(ASKED).id
        port = int(first.url.rsplit(":", 1)[1])
    found: list[str] = []
    waiter = threading.Thread(target=lambda: found.append(waiting.watch(name, timeout_s=30).status))
    waiter.start()
    time.sleep(0.3)
    with running_service(tmp_path, port=port, database=backend) as second:
        second.client(BOB).decide(name, "approve")
        waiter.join(20)
        waiting.close()
    assert found == ["approved"]


def test_the_stream_of_events(running: Running) -> None:
    alice, bob = running.client(ALICE), running.client(BOB)
    before = alice.ask(ASKED)
    running.client(EVE).ask(request_of(EVE, clauses=(OWNERS,)))
    stream = bob.events(after=0)
    first = next(iter(stream))
    assert (first["kind"], first["request"], first["requester"]) == ("requested", before.id, "alice@example.com")
    running.client(DAN).decide(before.id, "approve")
    assert [next(iter(stream))["kind"] for _ in range(2)] == ["approval", "approved"]
    last = int(first["number"])
    again = bob.events(after=last)
    assert next(iter(again))["kind"] == "approval"


def test_the_stream_of_one_request(raw: Raw, running: Running) -> None:
    name = running.client(ALICE).ask(ASKED).id
    running.client(ALICE).ask(request_of(ALICE, target="other"))
    running.client(BOB).decide(name, "deny", "no\n\nevent: forged\ndata: {}")
    with raw("GET", f"/requests/{name}/events", headers={"Accept": "text/event-stream"}, stream=True) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        seen = [line for line in (next(lines) for _ in range(10)) if line]
    assert [line for line in seen if line.startswith("event:")] == ["event: requested", "event: denied"]
    data = [json.loads(line[6:]) for line in seen if line.startswith("data: ")]
    assert data[1]["note"] == "no\n\nevent: forged\ndata: {}"


def test_a_stop_ends_open_streams(tmp_path: Path, backend: str) -> None:
    with running_service(tmp_path, database=backend) as running:
        alice = running.client(ALICE)
        alice.ask(ASKED)
        stream = alice.events(after=0)
        next(iter(stream))
        start = time.monotonic()
    assert list(stream) == []
    assert time.monotonic() - start < 4


class SoonOver:
    """Takes any token for Bob's, which is good for another second."""

    def verify(self, token: str) -> Identity:
        return replace(BOB, expires_at=now() + timedelta(seconds=1))


def test_a_stream_ends_with_the_token_that_opened_it(tmp_path: Path, backend: str) -> None:
    with running_service(tmp_path, verifier=SoonOver(), database=backend) as running:
        running.client(BOB).ask(request_of(BOB))
        start = time.monotonic()
        seen = list(running.client(BOB).events(after=0))
        took_s = time.monotonic() - start
    assert [event["kind"] for event in seen] == ["requested"]
    assert took_s < 4


PROBLEMS: Sequence[tuple[str, str, int, str]] = [
    ("GET", "/requests/ffffffffffffffff", 404, "unknown-request"),
    ("GET", "/nothing", 404, "not-found"),
    ("DELETE", "/requests", 405, "method-not-allowed"),
    ("GET", "/requests?stauts=pending", 422, "bad-request"),
    ("GET", "/requests?status=pendign", 422, "bad-request"),
    ("GET", "/requests?role=everybody", 422, "bad-request"),
    ("GET", "/requests?limit=nan", 422, "bad-request"),
    ("GET", "/requests?limit=-1", 422, "bad-request"),
]


@pytest.mark.parametrize(("method", "path", "status", "kind"), PROBLEMS)
def test_problems(raw: Raw, method: str, path: str, status: int, kind: str) -> None:
    answer = raw(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"urn:dbgate:problem:{kind}", status)
    assert problem["detail"]


def test_bodies_that_are_refused(raw: Raw) -> None:
    assert raw("POST", "/requests", data=b"{}").status_code == 415
    assert raw("POST", "/requests", data="a=b", headers={"Content-Type": "text/plain"}).status_code == 415
    json_type = {"Content-Type": "application/json"}
    assert raw("POST", "/requests", data=b"{", headers=json_type).status_code == 422
    assert raw("POST", "/requests", data=b"x" * (4 * 1024 * 1024 + 1), headers=json_type).status_code == 413


def test_a_chunked_body_without_end(raw: Raw) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 65536

    try:
        answer = raw("POST", "/requests", data=endless(), headers={"Content-Type": "application/json"})
    except requests.ConnectionError:
        return
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic YWxpY2U6eA==", "Bearer a.b.c", "Bearer " + "x" * 30_000],
)
def test_without_a_good_token(raw: Raw, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in [
        ("GET", "/requests"),
        ("POST", "/requests"),
        ("GET", "/events"),
        ("GET", "/requests/x/events"),
    ]:
        answer = raw(method, path, who=None, headers=headers, json={} if method == "POST" else None)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "dbgate login" in answer.json()["hint"] or "state" in answer.json()["detail"]


def test_a_token_signed_with_the_grants_key(raw: Raw, running: Running) -> None:
    """The service signs grants; a grant, or anything else under that key, is no sign-in."""
    name = approved(running)
    grant = running.client(ALICE).redeem(name, binding=ASKED.binding).token
    key = keys.load_or_create(running.state_dir / "approvals" / "grants.key")
    claims = jwt.decode(mint_local_token(running.state_dir, BOB), options={"verify_signature": False})
    forged = jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": "dbgate-local+jwt"})
    for token in (grant, forged):
        assert raw("GET", "/requests", who=None, headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_answers_are_kept_by_nobody_and_name_no_server(raw: Raw) -> None:
    for path in ("/requests", "/health", "/keys"):
        answer = raw("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Server" not in answer.headers


def test_health_and_keys_need_no_token(raw: Raw) -> None:
    assert raw("GET", "/health", who=None).json() == {"status": "ok"}
    shown = raw("GET", "/keys", who=None).json()["keys"]
    assert [(key["kty"], key["crv"], key["use"], "d" in key) for key in shown] == [("OKP", "Ed25519", "sig", False)]


def test_a_crash_shows_no_stack(raw: Raw, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(query: object) -> object:
        raise RuntimeError("sqlite, postgres and other secrets")

    monkeypatch.setattr(running.store, "find", crash)
    answer = raw("GET", "/requests")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the service failed; its log says why"
    assert "Traceback" not in answer.text
    assert "secrets" not in answer.text


def test_the_pace_of_one_is_not_the_pace_of_others(tmp_path: Path) -> None:
    with running_service(tmp_path, rate_limit=RateLimit(burst=3, per_s=0.01)) as running:
        raw = Raw(running)
        statuses = [raw("GET", "/requests").status_code for _ in range(4)]
        last = raw("GET", "/requests")
        assert statuses == [200, 200, 200, 429]
        assert int(last.headers["Retry-After"]) > 1
        assert raw("GET", "/requests", who=BOB).status_code == 200
        raw.session.close()
        with pytest.raises(Busy, match="too many requests"):
            running.client(ALICE).find()


def test_a_page_at_a_time(raw: Raw, running: Running) -> None:
    alice = running.client(ALICE)
    names = [alice.ask(request_of(ALICE, parameters=(str(number),), statement="x" * 2000)).id for number in range(3)]
    first = raw("GET", "/requests?limit=2").json()
    second = raw("GET", f"/requests?limit=2&before={first['next']}").json()
    assert [view["id"] for view in first["requests"] + second["requests"]] == names[::-1]
    assert second["next"] is None
    assert {(len(view["statement"]), view["is_cut"]) for view in first["requests"]} == {(1000, True)}
    assert "parameters" not in first["requests"][0]


def test_an_id_is_only_ever_one_segment(running: Running) -> None:
    for name in ("../keys", "..", "a/b", "%2e%2e", "", "x?wait=1", "#"):
        with pytest.raises(UnknownRequest):
            running.client(ALICE).state(name)


def test_a_service_that_signs_with_another_key(running: Running, tmp_path: Path) -> None:
    """What was remembered at the first contact decides; a new key is an error with a way out."""
    name = approved(running)
    other = keys.load_or_create(tmp_path / "other.key").public_key()
    pin_file(running.state_dir, running.url).write_text(json.dumps({"keys": [keys.to_jwk(other)]}))
    with pytest.raises(GrantRefused, match="not the approvals service's") as caught:
        running.client(ALICE).redeem(name, binding=ASKED.binding)
    assert "approvals.public_key" in caught.value.hint


def test_a_pinned_key(running: Running, tmp_path: Path) -> None:
    public = keys.load_or_create(running.state_dir / "approvals" / "grants.key").public_key()
    (tmp_path / "service.json").write_text(json.dumps(keys.to_jwk(public)))
    name = approved(running)
    client = running.client(ALICE, public_key=str(tmp_path / "service.json"))
    assert client.redeem(name, binding=ASKED.binding).request == name
    with pytest.raises(UsageError, match="as the key of the approvals service"):
        running.client(ALICE, public_key=str(tmp_path / "missing")).ask(ASKED)


def test_resuming_with_nothing_but_the_id(running: Running) -> None:
    name = approved(running)
    assert running.client(ALICE).redeem(name, binding=ASKED.binding).clauses == (DBA,)


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = ApprovalsClient(
        ApprovalsSettings(url=f"http://127.0.0.1:{port}"), lambda: mint_local_token(tmp_path, ALICE), ALICE, tmp_path
    )
    calls: list[Callable[[], object]] = [
        lambda: client.ask(ASKED),
        lambda: client.state("x"),
        lambda: client.watch("x", timeout_s=0),
        lambda: client.withdraw("x"),
        lambda: client.redeem("x", binding=ASKED.binding),
        lambda: list(client.events()),
    ]
    for call in calls:
        with pytest.raises(Unreachable, match="cannot reach") as caught:
            call()
        assert caught.value.exit_code == 7
        assert "dbgate serve" in caught.value.hint
    client.close()


def test_a_client_of_another_machine(running: Running, tmp_path: Path) -> None:
    stranger = ApprovalsClient(
        ApprovalsSettings(url=running.url), lambda: mint_local_token(tmp_path / "else", ALICE), ALICE, tmp_path / "else"
    )
    with pytest.raises(SignInRequired, match="token was refused") as caught:
        stranger.find()
    assert caught.value.exit_code == 5
    stranger.close()


def test_the_environment_changes_nothing(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent.pem")
    assert running.client(ALICE).find() == []


def test_https_with_the_companys_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    tls = listen.Tls(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))
    with running_service(tmp_path, tls=tls) as running:
        assert running.url.startswith("https://")
        assert running.client(ALICE, ca_file=str(tmp_path / "ca.pem")).ask(ASKED).status == "pending"
        for bundle in ("", str(tmp_path / "stranger.pem")):
            with pytest.raises(Unreachable, match="certificate of") as caught:
                running.client(ALICE, ca_file=bundle).find()
            assert "approvals.ca_file" in caught.value.hint
        with pytest.raises(UsageError, match="cannot use approvals"):
            running.client(ALICE, ca_file=str(tmp_path / "missing.pem")).find()
