"""Webhooks: signed, told once by several couriers, tried again, given up in sight, and nothing lost. On every store."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, CARA, DBA, EVE, OWNERS, HandClock, now, person, request_of, running_service

from dbgate.approvals import keys
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.refusals import UnknownRequest
from dbgate.approvals.service import ApprovalService
from dbgate.approvals.store import Store
from dbgate.approvals.webhooks.courier import LEASE_S, MOST_ATTEMPTS, Courier
from dbgate.approvals.webhooks.hooks import Hook, read_hooks
from dbgate.approvals.webhooks.undelivered import Undelivered
from dbgate.errors import UsageError
from dbgate.model import Actor, RequestKind

SECRET = secrets.token_hex(16)
CONSOLE = "https://approvals.example.com"


@dataclass
class Receiver:
    """A service that takes webhooks. `answers` are the statuses to give, in order, then 200."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.taken]

    def events(self) -> list[str]:
        return [headers["Dbgate-Event"] for headers, _ in self.taken]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.taken.append((dict(self.headers), body))
            status, headers = made.answers.pop(0) if made.answers else (200, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}/services/T0/secret-path"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join(10)


@dataclass
class Bench:
    """A service on a store, a clock that is set by hand, and couriers that work when they are told to."""

    store: Store
    clock: HandClock
    service: ApprovalService
    receiver: Receiver
    stack: ExitStack

    def courier(self, *, store: Store | None = None, url: str = "", jitter: float = 1.0) -> Courier:
        """A courier that has begun to listen."""
        hook = Hook(url or self.receiver.url, SECRET)
        made = Courier(store or self.store, [hook], self.clock, console=CONSOLE, jitter=lambda: jitter)
        self.stack.callback(made.stop)
        made.work()
        return made

    def ask(self, **changes: Any) -> str:
        return self.service.file(ALICE, request_of(ALICE, **changes))[0].id


@pytest.fixture
def bench(tmp_path: Path, backend: str, receiver: Receiver) -> Iterator[Bench]:
    with ExitStack() as stack:
        store = open_store(backend, tmp_path / "unused")
        stack.callback(store.close)
        clock = HandClock(now())
        service = ApprovalService(store, GrantSigner(keys.load_or_create(tmp_path / "key")), clock)
        yield Bench(store, clock, service, receiver, stack)


def drain(courier: Courier) -> int:
    """Work until nothing is due; how much was done."""
    done = 0
    while courier.work():
        done += 1
    return done


def test_what_is_told_and_how_it_is_signed(bench: Bench) -> None:
    courier = bench.courier()
    name = bench.ask(clauses=(DBA, OWNERS))
    bench.service.approve(BOB, name, "checked 102-12-5838")
    bench.service.approve(CARA, name, "")
    bench.service.revoke(BOB, name, "")
    assert drain(courier) == 3
    assert bench.receiver.events() == ["requested", "approved", "revoked"]
    for headers, body in bench.receiver.taken:
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["Dbgate-Signature"])
        assert found
        assert int(found[1]) == int(bench.clock().timestamp())
        assert found[2] == hmac.new(SECRET.encode(), f"{found[1]}.".encode() + body, hashlib.sha256).hexdigest()
        assert headers["Content-Type"] == "application/json"
    first, second, _ = bench.receiver.bodies()
    assert first["text"] == (
        "*asks for approval*: alice@example.com, update payroll.pay on prod-payroll (production) · 1,200 rows"
        f" · needs dba (1), data-owners (1) · <{CONSOLE}/requests/{name}|open it>"
    )
    assert "by bob@example.com, cara@example.com" in second["text"]
    assert (first["dbgate"]["request"], first["dbgate"]["url"]) == (name, f"{CONSOLE}/requests/{name}")
    assert len({headers["Dbgate-Delivery"] for headers, _ in bench.receiver.taken}) == 3


def test_nothing_that_may_be_a_value_leaves(bench: Bench) -> None:
    courier = bench.courier()
    name = bench.ask(
        statement="UPDATE t SET ssn = '102-12-5838' WHERE id = $1", parameters=("4711-secret",), reason="IBAN DE99"
    )
    bench.service.deny(BOB, name, "not 102-12-5838")
    drain(courier)
    told = b"".join(body for _, body in bench.receiver.taken)
    for secret in (b"102-12-5838", b"4711-secret", b"DE99", b"UPDATE", b"bob@"):
        assert (secret in told) is (secret == b"bob@")


def test_texts_cannot_play_tricks_in_a_chat(bench: Bench) -> None:
    hostile = "<!channel> <https://evil.example|bank> *x* _y_ `z` \u202e\x1b[2J & " + "n" * 300
    courier = bench.courier()
    bot = replace(person("bot", "engineering", email=""), subject=hostile, actor=Actor.AGENT, on_behalf_of=hostile)
    asked = request_of(bot, target=hostile[:200], environment=hostile, relations=(hostile,), verb=hostile)
    bench.service.file(bot, asked)
    drain(courier)
    (body,) = bench.receiver.bodies()
    assert body["text"].count("<") == body["text"].count(">") == 1
    assert body["text"].count("*") == 2
    assert "&lt;!channel&gt;" in body["text"]
    assert not set("\u202e\x1b`_") & set(body["text"])
    assert len(body["text"]) < 2000


def test_break_glass_and_its_review(bench: Bench) -> None:
    courier = bench.courier()
    asked = request_of(ALICE, kind=RequestKind.BREAK_GLASS, break_glass=("engineering",), reason="the shop is down")
    request, _ = bench.service.break_glass(ALICE, asked)
    bench.service.deny(BOB, request.id, "there is a runbook")
    drain(courier)
    assert bench.receiver.events() == ["broke-glass", "objected"]
    assert bench.receiver.bodies()[0]["text"].startswith("*ran WITHOUT approval (break-glass), and waits for review*")


def test_only_what_happens_after_a_hook_is_new(bench: Bench) -> None:
    bench.ask()
    courier = bench.courier()
    assert drain(courier) == 0
    second = bench.ask(parameters=("2",))
    assert drain(courier) == 1
    assert bench.receiver.bodies()[0]["dbgate"]["request"] == second


def test_tried_again_with_growing_waits(bench: Bench) -> None:
    courier = bench.courier()
    bench.ask()
    bench.receiver.answers = [(500, {}), (503, {}), (429, {"Retry-After": "120"})]
    assert drain(courier) == 1
    waited = []
    for seconds in (5, 10, 120):
        bench.clock.advance(seconds - 1)
        assert drain(courier) == 0
        bench.clock.advance(1)
        waited.append(drain(courier))
    assert waited == [1, 1, 1]
    assert len(bench.receiver.taken) == 4
    assert len({headers["Dbgate-Delivery"] for headers, _ in bench.receiver.taken}) == 1
    assert bench.store.delivery_counts() == {"waiting": 0, "sent": 1, "dead": 0}


def test_waits_are_spread(bench: Bench) -> None:
    assert [bench.courier(jitter=spread).wait_s(attempts=3) for spread in (0.0, 0.5, 1.0)] == [10.0, 15.0, 20.0]
    assert bench.courier().wait_s(attempts=40) == 3600


def test_what_is_given_up_is_seen_and_can_be_sent_again(bench: Bench) -> None:
    courier, undelivered = bench.courier(), Undelivered(bench.service)
    name = bench.ask()
    bench.receiver.answers = [(500, {})] * MOST_ATTEMPTS
    for _ in range(MOST_ATTEMPTS):
        assert drain(courier) == 1
        bench.clock.advance(3600)
    assert drain(courier) == 0
    (dead,) = undelivered.find(ALICE)
    assert (dead.request, dead.status, dead.attempts, dead.error) == (name, "dead", MOST_ATTEMPTS, "answered 500")
    assert "secret-path" not in repr(dead)
    assert dead.label.startswith("http://127.0.0.1:")
    assert undelivered.find(BOB) == [dead]
    assert undelivered.find(EVE) == []
    with pytest.raises(UnknownRequest):
        undelivered.again(EVE, str(dead.number))
    undelivered.again(BOB, str(dead.number))
    with pytest.raises(UnknownRequest):
        undelivered.again(BOB, str(dead.number))
    assert drain(courier) == 1
    assert undelivered.find(BOB) == []
    assert bench.store.delivery_counts() == {"waiting": 0, "sent": 1, "dead": 0}


@pytest.mark.parametrize("status", [301, 400, 404, 410])
def test_what_is_refused_for_good_is_not_tried_again(bench: Bench, status: int) -> None:
    courier = bench.courier()
    bench.ask()
    bench.receiver.answers = [(status, {"Location": bench.receiver.url})]
    drain(courier)
    assert len(bench.receiver.taken) == 1
    assert bench.store.delivery_counts()["dead"] == 1


def test_a_receiver_that_is_away(bench: Bench) -> None:
    courier = bench.courier(url="http://127.0.0.1:1/secret-path")
    bench.ask()
    drain(courier)
    (late,) = Undelivered(bench.service).find(ALICE)
    assert (late.status, late.error) == ("waiting", "not reached: ConnectionError")


def test_a_restart_loses_nothing(bench: Bench) -> None:
    bench.courier().stop()
    bench.ask()
    drain(bench.courier())
    assert bench.receiver.events() == ["requested"]


def test_an_instance_that_dies_with_one_in_hand(bench: Bench) -> None:
    courier = bench.courier()
    bench.ask()
    courier._plan()
    with bench.store.begin() as unit:
        taken = unit.outbox.claim([Hook(bench.receiver.url, SECRET).name], bench.clock(), LEASE_S)
    assert taken
    assert drain(courier) == 0
    bench.clock.advance(LEASE_S)
    assert drain(courier) == 1
    assert bench.receiver.events() == ["requested"]


def test_eight_couriers_tell_once(bench: Bench, backend: str, tmp_path: Path) -> None:
    stores = [open_store(backend, tmp_path / "unused") for _ in range(8)]
    couriers = [bench.courier(store=store) for store in stores]
    names = [bench.ask(parameters=(str(n),)) for n in range(20)]
    start = threading.Barrier(8)

    def work(courier: Courier) -> None:
        start.wait(20)
        drain(courier)

    threads = [threading.Thread(target=work, args=(courier,)) for courier in couriers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for store in stores:
        store.close()
    assert sorted(body["dbgate"]["request"] for body in bench.receiver.bodies()) == sorted(names)


def test_a_hook_that_is_taken_out_is_told_nothing_more(bench: Bench) -> None:
    courier = bench.courier()
    bench.ask()
    courier._plan()
    other = bench.courier(url=f"{bench.receiver.url}/other")
    assert drain(other) == 0
    assert drain(courier) == 1


@pytest.mark.parametrize(
    ("url", "characters", "reason"),
    [
        ("http://hooks.example.com/x", 32, "must be an https URL"),
        ("ftp://127.0.0.1/x", 32, "must be an https URL"),
        ("https://user@hooks.example.com/x", 32, "holds a user"),
        ("https://hooks.example.com/x", 0, "signed with a secret of at least 16 characters"),
        ("https://hooks.example.com/x", 15, "signed with a secret of at least 16 characters"),
    ],
)
def test_hooks_that_are_refused(url: str, characters: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        read_hooks([url], "x" * characters)


def test_hooks_show_no_paths() -> None:
    first, second = read_hooks(["https://hooks.example.com:8443/a/b?c", "http://[::1]:9/x", "http://[::1]:9/x"], SECRET)
    assert (first.label, second.label) == ("https://hooks.example.com:8443/…", "http://::1:9/…")
    assert first.name != second.name


def test_over_the_api(tmp_path: Path) -> None:
    with running_service(tmp_path) as running, ExitStack() as stack:
        courier = Courier(running.store, [Hook("http://127.0.0.1:1/x", SECRET)], now)
        stack.callback(courier.stop)
        courier.work()
        name = running.client(ALICE).ask(request_of(ALICE)).id
        courier.work()
        (late,) = running.client(BOB).webhooks()
        assert (late["request"], late["status"], late["attempts"], late["hook"]) == (
            name,
            "waiting",
            1,
            "http://127.0.0.1:1/…",
        )
        assert running.client(EVE).webhooks() == []
        with pytest.raises(UsageError, match="no webhook"):
            running.client(BOB).webhook_again(late["number"])
