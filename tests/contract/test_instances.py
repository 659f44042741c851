"""Several instances of the service on one store: together they behave as one, and one of them may die."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.approvals.kit import ALICE, BOB, Running, now, person, request_of, running_service, unmask_request_of
from tests.conftest import LiveDatabase

from dbgate.approvals import ApprovalsClient, filing, signing
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.limits import RateLimit
from dbgate.approvals.local import mint_local_token
from dbgate.approvals.postgres import PostgresStore
from dbgate.approvals.refusals import WrongState
from dbgate.approvals.service import ApprovalService
from dbgate.errors import DbgateError, Unreachable, UsageError
from dbgate.model import ApprovalRequest, Identity
from dbgate.settings import ApprovalsSettings

REDEEMERS = 50


@pytest.fixture
def pair(tmp_path: Path, backend: str) -> Iterator[tuple[Running, Running]]:
    """Two instances on one store, with the key of grants and of local tokens shared."""
    with running_service(tmp_path, database=backend) as one, running_service(tmp_path, database=backend) as other:
        yield one, other


def open_client(url: str, state_dir: Path, who: Identity) -> ApprovalsClient:
    return ApprovalsClient(ApprovalsSettings(url=url), lambda: mint_local_token(state_dir, who), who, state_dir)


def race(pair: tuple[Running, Running], act: Callable[[ApprovalsClient], str]) -> Counter[str]:
    """`act` by fifty clients of Alice at once, half of them at each instance: what they got, counted."""
    start = threading.Barrier(REDEEMERS)

    def run(number: int) -> str:
        running = pair[number % 2]
        client = open_client(running.url, running.state_dir, ALICE)
        try:
            start.wait(20)
            return act(client)
        except WrongState:
            return "refused"
        finally:
            client.close()

    with ThreadPoolExecutor(REDEEMERS) as pool:
        return Counter(pool.map(run, range(REDEEMERS)))


def test_fifty_redeem_at_two_instances_and_one_gets_it(pair: tuple[Running, Running]) -> None:
    asked = request_of(ALICE)
    name = pair[0].client(ALICE).ask(asked).id
    pair[1].client(BOB).decide(name, "approve")
    outcomes = race(pair, lambda client: client.redeem(name, binding=asked.binding).request)
    assert outcomes == {name: 1, "refused": REDEEMERS - 1}
    assert [event["kind"] for event in pair[1].client(ALICE).history(name)].count("redeemed") == 1


def test_fifty_redeem_at_two_instances_and_exactly_as_many_as_granted_get_it(
    pair: tuple[Running, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "MAX_UNMASK_SESSIONS", 7)
    asked = unmask_request_of(ALICE)
    name = pair[0].client(ALICE).ask(asked).id
    pair[1].client(BOB).decide(name, "approve")
    grants: set[str] = set()

    def redeem(client: ApprovalsClient) -> str:
        grants.add(client.open(name, asked).id)
        return "granted"

    assert race(pair, redeem) == {"granted": 7, "refused": REDEEMERS - 7}
    assert len(grants) == 7
    kinds = Counter(str(event["kind"]) for event in pair[0].client(ALICE).history(name))
    assert kinds == {"requested": 1, "approval": 1, "approved": 1, "opened": 6, "redeemed": 1}


def test_fifty_decide_at_two_instances_and_one_decides(pair: tuple[Running, Running]) -> None:
    name = pair[0].client(ALICE).ask(request_of(ALICE)).id
    reviewers = [person(f"dba{number}", "dba") for number in range(20)]
    start = threading.Barrier(len(reviewers))

    def decide(number: int) -> str:
        running = pair[number % 2]
        client = open_client(running.url, running.state_dir, reviewers[number])
        try:
            start.wait(20)
            return client.decide(name, ("approve", "deny")[number // 2 % 2], "so it is").status
        except WrongState:
            return "refused"
        finally:
            client.close()

    with ThreadPoolExecutor(len(reviewers)) as pool:
        outcomes = Counter(pool.map(decide, range(len(reviewers))))
    # A denial of what was approved first is refused, as is an approval of what was denied.
    assert outcomes in ({"approved": 1, "refused": 19}, {"denied": 1, "refused": 19})


def test_news_of_the_other_instance_arrive(pair: tuple[Running, Running]) -> None:
    here, there = pair
    stream = here.client(BOB).events(after=0)
    alice = there.client(ALICE)
    name = alice.ask(request_of(ALICE)).id
    assert next(iter(stream))["request"] == name
    waiting = here.client(ALICE)
    waiting.state(name)
    timer = threading.Timer(0.3, lambda: there.client(BOB).decide(name, "approve"))
    began = time.monotonic()
    timer.start()
    assert waiting.watch(name, timeout_s=20).status == "approved"
    assert time.monotonic() - began < 5
    timer.join()
    assert [next(iter(stream))["kind"] for _ in range(2)] == ["approval", "approved"]


def test_a_reader_at_one_instance_misses_nothing_of_many_writers_at_both(pair: tuple[Running, Running]) -> None:
    seen: list[int] = []
    writers = [person(f"p{number}", "engineering") for number in range(6)]

    def read() -> None:
        for event in pair[0].client(BOB).events(after=0):
            seen.append(int(event["number"]))
            if len(seen) == 6 * 8:
                return

    def write(number: int) -> None:
        client = open_client(pair[number % 2].url, pair[0].state_dir, writers[number])
        for turn in range(8):
            client.ask(request_of(writers[number], parameters=(str(turn),)))
        client.close()

    with ThreadPoolExecutor(7) as pool:
        reader = pool.submit(read)
        for done in [pool.submit(write, number) for number in range(6)]:
            done.result(60)
        reader.result(30)
    assert seen == [event.number for event in pair[1].store.events()]


def test_instances_with_different_keys_do_not_start(tmp_path: Path, backend: str) -> None:
    store = open_store(backend, tmp_path)
    ours, theirs = GrantSigner(Ed25519PrivateKey.generate()), GrantSigner(Ed25519PrivateKey.generate())
    signing.agree(store, ours, now())
    signing.agree(store, ours, now())
    with pytest.raises(UsageError, match=f"{ours.key_id}.*{theirs.key_id}") as caught:
        signing.agree(store, theirs, now())
    assert "--grant-key" in caught.value.hint
    store.close()


def test_who_still_signs_with_a_replaced_key_grants_nothing(tmp_path: Path, backend: str) -> None:
    store = open_store(backend, tmp_path)
    before, after = GrantSigner(Ed25519PrivateKey.generate()), GrantSigner(Ed25519PrivateKey.generate())
    signing.agree(store, before, now())
    behind = ApprovalService(store, before, now)
    asked = request_of(ALICE)
    name = behind.file(ALICE, asked)[0].id
    behind.approve(BOB, name, "")
    signing.agree(store, after, now(), is_new=True)
    with pytest.raises(Unreachable, match="was replaced"):
        behind.redeem(ALICE, name, asked.binding)
    assert ApprovalService(store, after, now).redeem(ALICE, name, asked.binding)[0].uses_left == 0
    store.close()


@dataclass
class Tally:
    """What clients were told, while instances die."""

    filed: set[str] = field(default_factory=set)
    approved: set[str] = field(default_factory=set)
    granted: dict[str, set[str]] = field(default_factory=dict)
    trouble: Counter[str] = field(default_factory=Counter)


@contextmanager
def serving(home: Path, state_dir: Path, database: str, number: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`dbgate serve` as a process of its own."""
    ready = home / f"ready-{number}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "DBGATE_STATE_DIR": str(state_dir)}
    environment |= {"DBGATE_CONFIG": str(home / "config.yaml"), "DBGATE_SERVE_DATABASE": database}
    command = [sys.executable, "-m", "dbgate", "serve", "--local", "--port", "0", "--ready-file", str(ready)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            for _ in range(600):
                if ready.exists() or process.poll() is not None:
                    break
                time.sleep(0.05)
            yield process, ready.read_text().strip()
        finally:
            process.kill()


class Failover:
    """Calls that go to another instance when one does not answer, as a load balancer sends them."""

    def __init__(self, urls: list[str], state_dir: Path, who: Identity, tally: Tally) -> None:
        self._clients = itertools.cycle([open_client(url, state_dir, who) for url in urls])
        self._client = next(self._clients)
        self._tally = tally

    def __call__(self, act: Callable[[ApprovalsClient], object]) -> object:
        for _ in range(6):
            try:
                return act(self._client)
            except Unreachable as error:
                self._tally.trouble[type(error).__name__] += 1
                self._client = next(self._clients)
            except DbgateError as error:
                self._tally.trouble[error.message.split(" ", 2)[-1]] += 1
                return None
        return None


def test_one_instance_is_killed_under_load(
    dbgate_home: Path, tmp_path: Path, backend: str, wait_until: Callable[..., None]
) -> None:
    """Nothing that a client was told is lost, nothing is decided twice, nothing redeemed more often than granted."""
    state_dir = tmp_path / "state"
    (dbgate_home / "config.yaml").write_text("identity: {provider: local}\n")
    tally, stop = Tally(), threading.Event()

    def work(number: int, urls: list[str]) -> None:
        """File, approve and redeem, one after the other; every approval and redemption is tried by two at once."""
        who, reviewer = person(f"w{number}", "engineering"), person(f"r{number}", "dba")
        mine, theirs = (
            Failover(urls[number % 2 :] + urls[: number % 2], state_dir, one, tally) for one in (who, reviewer)
        )
        for turn in itertools.count():
            if stop.is_set():
                return
            asked = request_of(who, parameters=(str(turn),))
            _one_life(mine, theirs, asked, tally)

    with ExitStack() as stack:
        victim, first = stack.enter_context(serving(dbgate_home, state_dir, backend, 1))
        _, second = stack.enter_context(serving(dbgate_home, state_dir, backend, 2))
        with ThreadPoolExecutor(8) as pool:
            workers = [pool.submit(work, number, [first, second]) for number in range(8)]
            try:
                wait_until(lambda: len(tally.granted) >= 25, timeout_s=90)
                victim.send_signal(signal.SIGKILL)
                before_kill = len(tally.granted)
                wait_until(lambda: len(tally.granted) >= before_kill + 25, timeout_s=90)
            finally:
                stop.set()
            for worker in workers:
                worker.result(90)
        store = open_store(backend, tmp_path)
        history = store.events(limit=100_000)
        store.close()
    kinds: dict[str, Counter[str]] = {}
    for event in history:
        kinds.setdefault(event.request, Counter())[event.kind] += 1
    assert tally.filed <= kinds.keys(), "what was filed is there"
    for name, counted in kinds.items():
        assert counted["requested"] == 1
        assert counted["approval"] <= 1, "nothing is decided twice"
        assert counted["approved"] == counted["approval"]
        assert counted["redeemed"] <= counted["approved"], "nor redeemed without, or more often than, it was granted"
        assert (name not in tally.approved) or counted["approved"] == 1, "what was approved stays approved"
        assert len(tally.granted.get(name, ())) <= 1, "one grant is given"
    assert all(kinds[name]["redeemed"] == 1 for name in tally.granted)


def _one_life(mine: Failover, theirs: Failover, asked: ApprovalRequest, tally: Tally) -> None:
    filed = mine(lambda client: client.ask(asked))
    if filed is None:
        return
    name = str(getattr(filed, "id", ""))
    tally.filed.add(name)
    if theirs(lambda client: client.decide(name, "approve")) is not None:
        tally.approved.add(name)
    grant = mine(lambda client: client.redeem(name, binding=asked.binding))
    if grant is not None:
        tally.granted.setdefault(name, set()).add(str(getattr(grant, "id", "")))


@contextmanager
def away(database: LiveDatabase) -> Iterator[None]:
    """A database that ends all sessions and takes no new ones."""
    name = database.name
    admin = database.server.admin
    admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
    admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
    try:
        yield
    finally:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())


def test_the_database_is_away_for_a_while(tmp_path: Path, database: LiveDatabase) -> None:
    database.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO PUBLIC')
    with running_service(tmp_path, database=database.app_url) as running:
        alice, bob = running.client(ALICE), running.client(BOB)
        name = alice.ask(request_of(ALICE)).id
        stream = bob.events(after=0)
        assert next(iter(stream))["kind"] == "requested"
        found: list[str] = []
        waiter = threading.Thread(target=lambda: found.append(alice.watch(name, timeout_s=30).status))
        waiter.start()
        with away(database):
            with requests.Session() as session:
                session.trust_env = False
                for method, path in [("GET", "/requests"), ("GET", f"/requests/{name}"), ("GET", "/health")]:
                    answer = session.request(
                        method, f"{running.url}/api/v1{path}", headers=running.headers(BOB), timeout=20
                    )
                    assert answer.status_code == 503
                    assert answer.headers["Content-Type"] == "application/problem+json"
                    assert answer.json()["type"] == "urn:dbgate:problem:unreachable"
                    assert int(answer.headers["Retry-After"]) >= 1
                    assert "password" not in answer.text
            with pytest.raises(Unreachable, match="approvals database") as caught:
                bob.decide(name, "approve")
            assert "nothing was changed" in caught.value.hint
        assert bob.decide(name, "approve").status == "approved"
        waiter.join(20)
        assert found == ["approved"]
        assert [next(iter(stream))["kind"] for _ in range(2)] == ["approval", "approved"], "the stream goes on"


def end_transactions(database: LiveDatabase) -> None:
    """End the sessions that are inside a transaction and do nothing."""
    database.server.admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND state LIKE 'idle in%%'",
        (database.name,),
    )


def test_a_connection_that_breaks_inside_a_transaction(tmp_path: Path, database: LiveDatabase) -> None:
    """All or nothing, and a connection is never used again in the middle of somebody else's transaction."""
    database.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO PUBLIC')
    store = open_store(database.app_url, tmp_path)
    service = ApprovalService(store, GrantSigner(Ed25519PrivateKey.generate()), now)
    name = service.file(ALICE, request_of(ALICE))[0].id

    def write(between: Callable[[], object]) -> None:
        with store.begin() as unit:
            unit.append(name, "approved", now(), None)
            between()
            unit.append(name, "redeemed", now(), None)

    with pytest.raises(Unreachable):
        write(lambda: end_transactions(database))
    with pytest.raises(ZeroDivisionError):
        write(lambda: 1 / 0)
    assert [event.kind for event in store.events()] == ["requested"]
    assert service.approve(BOB, name, "").status.value == "approved"
    store.close()


def test_an_instance_that_hangs_does_not_stop_the_others_for_ever(tmp_path: Path, database: LiveDatabase) -> None:
    database.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO PUBLIC')
    store, other = open_store(database.app_url, tmp_path), open_store(database.app_url, tmp_path)
    service = ApprovalService(other, GrantSigner(Ed25519PrivateKey.generate()), now)
    with suppress(Unreachable), store.begin():
        with pytest.raises(Unreachable, match="cannot be used now"):
            service.file(ALICE, request_of(ALICE))
        time.sleep(6)
        assert service.file(ALICE, request_of(ALICE))[1]
    store.close()
    other.close()


def test_a_pooler_may_stand_between(database: LiveDatabase, tmp_path: Path) -> None:
    """Nothing is set for a whole connection: what one transaction needs, it sets for itself alone."""
    database.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO PUBLIC')
    store = open_store(database.app_url, tmp_path)
    seen = []
    with store.begin() as unit:
        pool = store._pool  # type: ignore[attr-defined]
        seen.append(unit.grant_key())
    connection = pool._idle[-1]
    for setting in ("search_path", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
        with psycopg.connect(database.app_dsn) as fresh:
            usual = fresh.execute("SELECT current_setting(%s)", (setting,)).fetchone()
        assert usual is not None
        assert connection.execute("SELECT current_setting(%s) AS now", (setting,)).fetchone() == {"now": usual[0]}
    assert connection.execute("SELECT count(*) AS n FROM pg_prepared_statements").fetchone() == {"n": 0}
    store.close()


def test_a_role_that_may_make_no_schema_is_told(database: LiveDatabase, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="may not") as caught:
        open_store(database.app_url, tmp_path)
    assert "CREATE" in caught.value.hint
    database.execute(f'CREATE SCHEMA dbgate AUTHORIZATION "{database.app_user}"')
    open_store(database.app_url, tmp_path).close()


def test_a_wrong_password_is_not_shown(
    database: LiveDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = database.app_url.replace(database.name, "no_such_database")
    with pytest.raises(Unreachable, match="cannot be used"):
        open_store(missing, tmp_path)
    assert database.server.app_password not in caplog.text
    assert "no_such_database" in caplog.text


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_an_identity_has_one_pace_at_all_instances(tmp_path: Path, backend: str) -> None:
    pace = RateLimit(burst=20, per_s=0.01)
    with ExitStack() as stack:
        running = [stack.enter_context(running_service(tmp_path, database=backend, rate_limit=pace)) for _ in range(2)]
        with requests.Session() as session:
            session.trust_env = False

            def ask(number: int, who: Identity) -> requests.Response:
                here = running[number % 2]
                return session.get(f"{here.url}/api/v1/requests", headers=here.headers(who), timeout=20)

            answers = [ask(number, ALICE) for number in range(30)]
            assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 10
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers[20:])
            assert ask(0, BOB).status_code == 200, "each has a pace of their own"
            left = re.fullmatch(r'"identity";r=(\d+);t=\d+', answers[19].headers["RateLimit"])
            assert left
            assert left[1] == "0"


@pytest.mark.parametrize("backend", ["postgres"], indirect=True)
def test_a_bucket_fills_by_the_databases_clock(backend: str) -> None:
    with closing(PostgresStore(backend)) as store:
        fast = partial(store.rates.take, "ann", most=5, burst=10, per_s=100_000)
        assert fast() == (5, 5)
        assert fast()[0] == 5
        slow = partial(store.rates.take, "ben", burst=10, per_s=0.001)
        assert [slow(most=4)[0] for _ in range(4)] == [4, 4, 2, 0]
        with ThreadPoolExecutor(10) as pool:
            eager = partial(store.rates.take, "cat", most=3, burst=10, per_s=0.001)
            assert sum(taken for taken, _ in pool.map(lambda _: eager(), range(20))) == 10
