"""The API as it is described: OpenAPI, problem details, calls done once, pace, pages, health and metrics."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis import checks as known_checks
from tests.approvals.kit import (
    ALICE,
    BOB,
    DAN,
    EVE,
    HandClock,
    Running,
    binding_of,
    request_of,
    running_service,
    unmask_request_of,
)

from dbgate.approvals import bodies, openapi
from dbgate.approvals import service as service_module
from dbgate.approvals.app import Api
from dbgate.approvals.databases import open_store
from dbgate.approvals.ledger import Access, Refusal, UnsafeUnrecorded
from dbgate.approvals.limits import RateLimit
from dbgate.approvals.service import ApprovalService
from dbgate.approvals.transactions import Transactions
from dbgate.errors import AuditUnavailable, Unreachable
from dbgate.model import Identity, RequestKind

ASKED = request_of(ALICE)
DOCUMENT: dict[str, Any] = json.loads(json.dumps(openapi.document(), default=str))
METHODS = ("get", "post")
OPERATIONS = sorted((path, method) for path, found in DOCUMENT["paths"].items() for method in found)
FUZZED = [
    (path, method, mode)
    for path, method in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if path != "/events"
    and (mode is GenerationMode.POSITIVE or DOCUMENT["paths"][path][method]["parameters"] or method == "post")
]
"""Streams do not end by themselves: the contract suite reads them. What takes nothing cannot be sent anything unmeant."""


@pytest.fixture
def running(tmp_path: Path, backend: str) -> Iterator[Running]:
    with running_service(tmp_path, database=backend, rate_limit=RateLimit(burst=100_000, per_s=10_000)) as made:
        yield made


class Raw:
    """Calls without the client."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.session = requests.Session()
        self.session.trust_env = False

    def __call__(self, method: str, path: str, who: Identity | None = ALICE, **options: Any) -> requests.Response:
        headers = (self.running.headers(who) if who else {}) | options.pop("headers", {})
        url = f"{self.running.url}{path if path.startswith('/metrics') else '/api/v1' + path}"
        return self.session.request(method, url, headers=headers, timeout=20, **options)


@pytest.fixture
def raw(running: Running) -> Iterator[Raw]:
    made = Raw(running)
    yield made
    made.session.close()


def file(raw: Raw, key: str = "", **changes: Any) -> requests.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return raw("POST", "/requests", json=msgspec.to_builtins(request_of(ALICE, **changes)), headers=headers)


def test_the_document_is_the_one_in_the_docs(raw: Raw) -> None:
    kept = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert json.loads(kept.read_text()) == DOCUMENT, "make openapi writes it anew"
    assert raw("GET", "/openapi.json", who=None).json() == DOCUMENT


def test_every_route_is_described_and_nothing_else(raw: Raw) -> None:
    described = {(method.upper(), path) for path, method in OPERATIONS}
    api = Api.table(api_of(raw.running))
    operational = {("GET", path) for path in ("/health", "/health/ready", "/health/live", "/keys", "/openapi.json")}
    assert described == {(method, path) for method, path, _ in api} | operational


def api_of(running: Running) -> Api:
    service = ApprovalService(running.store, None, None)  # type: ignore[arg-type]
    return Api(service, None, None, RateLimit())  # type: ignore[arg-type]


def test_a_view_has_the_fields_that_are_described(raw: Raw) -> None:
    name = file(raw).json()["id"]
    described = DOCUMENT["components"]["schemas"]
    assert raw("GET", f"/requests/{name}").json().keys() == described["Request"]["properties"].keys()
    (listed,) = raw("GET", "/requests").json()["requests"]
    assert listed.keys() == described["BriefRequest"]["properties"].keys()


@pytest.mark.parametrize(
    ("path", "method", "mode"), FUZZED, ids=[f"{method} {path} {mode}" for path, method, mode in FUZZED]
)
def test_fuzz(running: Running, path: str, method: str, mode: GenerationMode) -> None:
    """Whatever is sent: no crash, only described statuses, bodies and media types; what is malformed is refused."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operation = schema[path][method.upper()]
    alice, bob = running.client(ALICE), running.client(BOB)
    ids = [alice.ask(request_of(ALICE, target=target)).id for target in ("a", "b", "c")]
    ids.append(alice.ask(unmask_request_of(ALICE)).id)
    bob.decide(ids[1], "approve")
    bob.decide(ids[3], "approve")
    bindings = {name: alice.state(name).binding for name in ids}
    checks: Any = [
        known_checks.not_a_server_error,
        known_checks.CHECKS.get_one("status_code_conformance"),
        known_checks.CHECKS.get_one("content_type_conformance"),
        known_checks.CHECKS.get_one("response_schema_conformance"),
        known_checks.CHECKS.get_one("response_headers_conformance"),
    ]
    statuses = set()
    with requests.Session() as session:
        session.trust_env = False

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(
            case=operation.as_strategy(generation_mode=mode),
            name=st.sampled_from([*ids, "", "nothing"]),
            who=st.sampled_from([ALICE, BOB, DAN, EVE]),
        )
        def send(case: Case[Any], name: str, who: Identity) -> None:
            steer(case, name, who, mode, bindings)
            answer = case.call(
                base_url=f"{running.url}/api/v1", session=session, headers=running.headers(who), timeout=20
            )
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=checks)
            if answer.status_code >= 400:
                assert answer.headers["content-type"] == ["application/problem+json"]
                assert {"type", "title", "status", "detail"} <= answer.json().keys()

        send()
    if path in ("/requests", "/break-glass") and (method, mode) == ("post", GenerationMode.POSITIVE):
        assert 201 in statuses, "what was meant well is filed"
    kinds = [event.kind for event in running.store.events(limit=10_000)]
    assert kinds.count("redeemed") <= kinds.count("approved"), "and the rules held"


def steer(case: Case[Any], name: str, who: Identity, mode: GenerationMode, bindings: Mapping[str, str]) -> None:
    """Bring what was generated to where something can happen: requests that exist, bindings that fit."""
    if "{id}" in case.operation.path and name:
        case.path_parameters = {"id": name}
    if isinstance(case.query, dict) and "wait" in case.query:
        case.query["wait"] = 0.01 if mode is GenerationMode.POSITIVE else case.query["wait"]
        case.path_parameters = {"id": "nothing"}
    if mode is GenerationMode.NEGATIVE or not isinstance(case.body, dict):
        return
    if case.operation.path.endswith("/redeem"):
        case.body = case.body | {"binding": bindings.get(name, ASKED.binding)}
    if "policy_digest" in case.body:
        kind = RequestKind.BREAK_GLASS if case.operation.path == "/break-glass" else RequestKind.STATEMENT
        terms: dict[str, Any] = (
            {"break_glass": ["dba", "engineering"], "uses": 1}
            if kind is RequestKind.BREAK_GLASS
            else {"break_glass": []}
        )
        filled = {name: case.body.get(name) or "something" for name in ("statement", "reason")}
        whole = case.body | filled | terms | {"kind": kind.value, "tags": [], "columns": [], "limits": {}}
        with suppress(msgspec.ValidationError):  # 1.0 is an integer to JSON Schema, and refused here
            asked = msgspec.convert(whole, bodies.NewRequest).to_request()
            case.body = whole | {"binding": binding_of(who, asked)}


def test_the_same_call_is_done_once(raw: Raw) -> None:
    first, again = file(raw, "the-first-call"), file(raw, "the-first-call")
    assert (first.status_code, again.status_code) == (201, 201), "the very same answer"
    assert first.content == again.content
    name = first.json()["id"]
    url, body = f"/requests/{name}/approve", {"note": "fine"}
    bob: dict[str, Any] = {"who": BOB, "headers": {"Idempotency-Key": "bobs-approval-1"}}
    answers = [raw("POST", url, json=body, **bob) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.content for answer in answers}) == 1
    redeem: dict[str, Any] = {"json": {"binding": ASKED.binding}, "headers": {"Idempotency-Key": "alices-grant-1"}}
    grants = {raw("POST", f"/requests/{name}/redeem", **redeem).json()["grant"] for _ in range(3)}
    assert len(grants) == 1, "who lost the answer gets the same grant, and not another one"
    kinds = [event.kind for event in raw.running.store.events()]
    assert kinds == ["requested", "approval", "approved", "redeemed"]
    assert raw("POST", f"/requests/{name}/redeem", json={"binding": ASKED.binding}).status_code == 409


def test_a_key_is_for_one_call_of_one_caller(raw: Raw) -> None:
    name = file(raw, "a-call-of-alice").json()["id"]
    other = file(raw, "a-call-of-alice", target="billing")
    assert (other.status_code, other.json()["type"]) == (422, "urn:dbgate:problem:bad-request")
    assert "used for another call" in other.json()["detail"]
    elsewhere = raw("POST", f"/requests/{name}/withdraw", json={}, headers={"Idempotency-Key": "a-call-of-alice"})
    assert elsewhere.status_code == 422
    answer = raw("POST", f"/requests/{name}/approve", who=BOB, json={}, headers={"Idempotency-Key": "a-call-of-alice"})
    assert (answer.status_code, answer.json()["status"]) == (200, "approved"), "of Bob it is another one"
    assert len(raw("GET", "/requests").json()["requests"]) == 1


def test_what_was_refused_may_be_tried_again(raw: Raw) -> None:
    name = file(raw).json()["id"]
    redeem: dict[str, Any] = {"json": {"binding": ASKED.binding}, "headers": {"Idempotency-Key": "too-early-then-not"}}
    assert raw("POST", f"/requests/{name}/redeem", **redeem).status_code == 409
    raw("POST", f"/requests/{name}/approve", who=BOB, json={})
    assert raw("POST", f"/requests/{name}/redeem", **redeem).status_code == 200


def test_twenty_send_the_same_call_at_once(raw: Raw) -> None:
    start = threading.Barrier(20)

    def send(_: int) -> bytes:
        start.wait(20)
        return file(raw, "one-and-the-same").content

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(send, range(20)))) == 1
    assert [event.kind for event in raw.running.store.events()] == ["requested"]


@pytest.mark.parametrize("key", ["short", "x" * 129, "with space", "a/b/c/d/e", ""])
def test_keys_that_are_refused(raw: Raw, key: str) -> None:
    answer = raw("POST", "/requests", json=msgspec.to_builtins(ASKED), headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]
    assert raw.running.store.last_event() == 0


def test_answers_are_forgotten_after_a_day(tmp_path: Path, backend: str) -> None:
    store, clock = open_store(backend, tmp_path), HandClock()
    transactions = Transactions(store, clock, UnsafeUnrecorded())
    done: list[int] = []

    def act() -> tuple[int, int]:
        done.append(len(done))
        return 200, len(done)

    for number, (ahead_s, expected) in enumerate(((0, 1), (24 * 3600 - 1, 1), (2, 2), (1, 2))):
        clock.moment += timedelta(seconds=ahead_s)
        transactions.once(ALICE, f"another-call-{number}", "sha256:y", lambda: (200, 0))
        transactions.once(ALICE, "the-call", "sha256:x", act)
        assert len(done) == expected, "after more than a day the same key is a new call"
    store.close()


def test_every_answer_tells_the_pace(tmp_path: Path) -> None:
    with running_service(tmp_path, rate_limit=RateLimit(burst=3, per_s=0.5)) as running:
        raw = Raw(running)
        answers = [raw("GET", "/requests") for _ in range(4)] + [
            raw("GET", "/nothing"),
            raw("GET", "/health", who=None),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 404, 200]
        assert {answer.headers.get("RateLimit-Policy") for answer in answers[:4]} == {'"identity";q=3;w=6'}
        left = [re.fullmatch(r'"identity";r=(\d);t=(\d)', answer.headers["RateLimit"]) for answer in answers[:4]]
        assert [found and found[1] for found in left] == ["2", "1", "0", "0"]
        assert int(answers[3].headers["Retry-After"]) >= 1
        assert all("RateLimit" not in answer.headers for answer in answers[4:]), "of nobody there is no pace"
        missing = raw("GET", "/requests/nothing", who=BOB)
        assert missing.status_code == 404
        assert '"identity";r=2' in missing.headers["RateLimit"], "of what was refused as well"
        raw.session.close()


def test_a_history_in_pages(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = unmask_request_of(ALICE)
    alice = raw.running.client(ALICE)
    name = alice.ask(asked).id
    raw.running.client(BOB).decide(name, "approve")
    for _ in range(4):
        alice.open(name, asked)
    seen: list[str] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        page = raw("GET", f"/requests/{name}/events?limit=3&after={after}").json()
        seen += [event["kind"] for event in page["events"]]
        after, pages = page["next"], pages + 1
    assert seen == ["requested", "approval", "approved", *["opened"] * 4]
    assert pages == 3
    monkeypatch.setattr("dbgate.approvals.app.MAX_HISTORY", 2)
    assert [event["kind"] for event in alice.history(name)] == seen, "the client reads all of them"


PROBLEMS = [
    ("GET", "/nothing", {}, 404, "not-found"),
    ("GET", "/", {}, 404, "not-found"),
    ("DELETE", "/requests", {}, 405, "method-not-allowed"),
    ("OPTIONS", "/requests", {}, 405, "method-not-allowed"),
    ("BREW", "/requests", {}, 405, "method-not-allowed"),
    ("POST", "/requests", {"data": b"a=b", "headers": {"Content-Type": "text/plain"}}, 415, "unsupported-media-type"),
    (
        "POST",
        "/requests",
        {"data": b"x" * 4_200_000, "headers": {"Content-Type": "application/json"}},
        413,
        "content-too-large",
    ),
    ("POST", "/requests", {"data": b"[", "headers": {"Content-Type": "application/json"}}, 422, "bad-request"),
    ("POST", "/requests", {"data": b"\xff", "headers": {"Content-Type": "application/json"}}, 422, "bad-request"),
    ("POST", "/requests/x/deny", {"json": {}}, 422, "bad-request"),
    ("POST", "/requests/x/deny", {"json": {"note": "no"}}, 404, "unknown-request"),
    ("GET", "/requests/%00", {}, 422, "bad-request"),
    ("GET", "/requests?target=%00", {}, 422, "bad-request"),
    ("GET", "/requests/x/events?after=-1", {}, 422, "bad-request"),
    ("GET", "/requests/x/events?after=0", {}, 404, "unknown-request"),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "kind"), PROBLEMS)
def test_every_error_is_a_problem_document(
    raw: Raw, method: str, path: str, options: dict[str, Any], status: int, kind: str
) -> None:
    answer = raw(method, path, **options)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (status, f"urn:dbgate:problem:{kind}")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert status != 405 or "GET" in answer.headers["Allow"]


def metric(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"{name} in {text}"
    return float(found[1])


def test_metrics(raw: Raw) -> None:
    name = file(raw).json()["id"]
    raw("POST", f"/requests/{name}/approve", who=BOB, json={})
    raw("POST", f"/requests/{name}/approve", who=DAN, json={})
    file(raw, target="billing")
    raw("GET", "/nothing/alice@example.com")
    text = raw("GET", "/metrics", who=None).text
    assert metric(text, 'dbgate_live_requests{status="pending"}') == 1
    assert metric(text, 'dbgate_live_requests{status="approved"}') == 1
    assert metric(text, 'dbgate_decisions_total{event="approved"}') == 1
    assert metric(text, 'dbgate_refusals_total{action="approve"}') == 1
    posts = 'dbgate_http_requests_total{method="POST",route="/api/v1/requests",status="201"}'
    assert metric(text, posts) == 2
    assert metric(text, 'dbgate_http_requests_total{method="GET",route="other",status="404"}') == 1
    assert metric(text, 'dbgate_http_request_duration_seconds_count{method="POST",route="/api/v1/requests"}') == 2
    assert metric(text, "dbgate_database_up") == 1
    for private in ("alice", "bob", name, "payroll", "billing", "login.example.com"):
        assert private not in text, "nobody is named"


def test_metrics_with_a_token(tmp_path: Path) -> None:
    with running_service(tmp_path, metrics_token="a token that only the test knows") as running:
        raw = Raw(running)
        for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": "a token that only the test knows"}):
            answer = raw("GET", "/metrics", who=None, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (401, "urn:dbgate:problem:sign-in-required")
        good = {"Authorization": "Bearer a token that only the test knows"}
        assert "dbgate_build_info" in raw("GET", "/metrics", who=None, headers=good).text
        raw.session.close()


class Full:
    """A ledger whose disk is full."""

    def intend(self, decisions: object) -> tuple[int, ...]:
        raise AuditUnavailable("no space")

    def settle(self, numbers: object, *, is_done: bool) -> None:
        raise AssertionError("nothing was intended")

    def refuse(self, refusal: Refusal) -> None:
        raise AuditUnavailable("no space")

    def note(self, access: Access) -> None:
        raise AuditUnavailable("no space")

    def check(self) -> None:
        raise AuditUnavailable("no space")


def test_alive_and_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_service(tmp_path, ledger=Full()) as running:
        raw = Raw(running)
        assert raw("GET", "/health/live", who=None).json() == {"status": "ok"}
        for path in ("/health", "/health/ready"):
            answer = raw("GET", path, who=None)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:dbgate:problem:audit-unavailable")

        def away(*_: object) -> object:
            raise Unreachable("the approvals database cannot be used now")

        monkeypatch.setattr(running.store, "last_event", away)
        monkeypatch.setattr(running.store, "live_counts", away)
        assert raw("GET", "/health/live", who=None).status_code == 200
        assert raw("GET", "/health/ready", who=None).json()["type"] == "urn:dbgate:problem:unreachable"
        assert metric(raw("GET", "/metrics", who=None).text, "dbgate_database_up") == 0
        raw.session.close()


def test_too_many_open_requests_say_when_to_try_again(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_LIVE_REQUESTS", 1)
    assert file(raw).status_code == 201
    answer = file(raw, target="billing")
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:dbgate:problem:busy")
    assert int(answer.headers["Retry-After"]) >= 1
