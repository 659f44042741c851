"""The approvals service on both back ends: decisions per second, time from request to grant, and what a grant costs.

The service is `dbgate serve` in a process of its own, with its transcript, on a database that syncs every commit.
Requesters and reviewers are threads of this process that use the command line's own client.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from msgspec.structs import replace

from benchmarks.processes import PYTHON, report
from dbgate.approvals import ApprovalsClient
from dbgate.approvals.grants import Expected, verify
from dbgate.approvals.local import mint_local_token
from dbgate.approvals.pins import trusted_keys
from dbgate.binding import binding_of
from dbgate.database import embedded
from dbgate.model import ApprovalRequest, Grant, Identity, ReviewClause
from dbgate.settings import ApprovalsSettings

SECONDS = float(os.environ.get("BENCH_APPROVALS_S", "8"))
THREADS = 8
ALONE = 200
CLIENTS = 8
"""Identities that each thread takes turns with, so that nobody's pace is exceeded."""

DBA = ReviewClause(("dba",), 1)


def measure(directory: Path, dsn: str) -> None:
    """Both back ends. `dsn` names the database on which a statement's own time is measured."""
    statement_ms = own_time_ms(dsn)
    print("\napprovals (ms, and per second)")
    report("an UPDATE of one row that keeps nothing, in bare psycopg", f"{statement_ms:.2f}")
    report("a synced write to the disk, alone", f"{sync_ms(directory):.2f}", "two in each decision")
    with embedded.start(directory / "approvals-postgresql") as server:
        for name, database in (("SQLite", ""), ("PostgreSQL", server.dsn)):
            home = directory / f"approvals-on-{name.lower()}"
            home.mkdir()
            with serving(home, database) as url:
                _back_end(name, Desk(url, home / "state"), statement_ms)


def _back_end(name: str, desk: Desk, statement_ms: float) -> None:
    waits = [desk.one_life(number, 0, is_watched=True) for number in range(ALONE)]
    report(f"{name}: request → grant, one at a time: p50; p99", f"{_at(waits, 50):.1f}; {_at(waits, 99):.1f}")
    rate, busy = desk.load()
    report(f"{name}: approvals decided per second, {THREADS} at once", f"{rate:.0f}")
    report(f"{name}: request → grant, {THREADS} at once: p50; p99", f"{_at(busy, 50):.1f}; {_at(busy, 99):.1f}")
    redeem_ms, verify_ms = desk.cost_of_grant()
    report(f"{name}: redeem and verify; verify alone", f"{redeem_ms:.2f}; {verify_ms:.3f}")
    report(f"{name}: redeem and verify / the statement's own time", f"{redeem_ms / statement_ms:.1f}")


class Desk:
    """Requesters and reviewers of one service."""

    def __init__(self, url: str, state_dir: Path) -> None:
        self._url = url
        self._state_dir = state_dir
        self._numbers = itertools.count()
        self._clients: dict[tuple[str, int, int], tuple[Identity, ApprovalsClient]] = {}

    def client(self, role: str, thread: int, turn: int) -> tuple[Identity, ApprovalsClient]:
        """A requester (`dev`) or reviewer (`dba`) of a thread, with its open connection."""
        name = (role, thread, turn % CLIENTS)
        if name not in self._clients:
            who = Identity(issuer="https://login.example.com", subject=f"{role}-{thread}-{name[2]}", groups=(role,))
            settings = ApprovalsSettings(url=self._url)
            client = ApprovalsClient(settings, lambda: mint_local_token(self._state_dir, who), who, self._state_dir)
            self._clients[name] = who, client
        return self._clients[name]

    def one_life(self, turn: int, thread: int, *, is_watched: bool) -> float:
        """File, approve, redeem; the time from the request to the verified grant, in milliseconds.

        When it `is_watched` the requester waits for the news, as `exec --wait` does, and does not know when it comes.
        """
        who, requester = self.client("dev", thread, turn)
        _, reviewer = self.client("dba", thread, turn)
        asked = request_of(who, next(self._numbers))
        began = time.perf_counter()
        state = requester.ask(asked)
        if is_watched:
            decision = threading.Thread(target=reviewer.decide, args=(state.id, "approve"))
            decision.start()
            requester.watch(state.id, timeout_s=30)
            decision.join()
        else:
            reviewer.decide(state.id, "approve")
        requester.redeem(state.id, binding=asked.binding)
        return (time.perf_counter() - began) * 1000

    def load(self) -> tuple[float, list[float]]:
        """Lives a second of several threads, and the time that each took in milliseconds."""
        until = time.perf_counter() + SECONDS

        def work(thread: int) -> list[float]:
            spent = []
            for turn in itertools.count():
                if time.perf_counter() > until:
                    return spent
                spent.append(self.one_life(turn, thread, is_watched=False))
            return spent

        began = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            spent = [ms for found in pool.map(work, range(1, THREADS + 1)) for ms in found]
        return len(spent) / (time.perf_counter() - began), spent

    def cost_of_grant(self) -> tuple[float, float]:
        """The medians of redeeming with verification, and of verification alone, in milliseconds."""
        redeems, verifies = [], []
        for turn in range(ALONE):
            who, requester = self.client("dev", 0, turn)
            asked = request_of(who, next(self._numbers))
            state = requester.ask(asked)
            self.client("dba", 0, turn)[1].decide(state.id, "approve")
            began = time.perf_counter()
            grant = requester.redeem(state.id, binding=asked.binding)
            redeems.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            self._verify(grant, who, asked)
            verifies.append((time.perf_counter() - began) * 1000)
        return statistics.median(redeems), statistics.median(verifies)

    def _verify(self, grant: Grant, who: Identity, asked: ApprovalRequest) -> None:
        trusted = trusted_keys(public_key="", state_dir=self._state_dir, url=self._url, fetch=dict)
        expected = Expected(who.key, asked.target, asked.binding, grant.request, asked.policy_digest, asked.clauses)
        verify(grant.token, trusted, expected, now=datetime.now(UTC))


def request_of(who: Identity, number: int) -> ApprovalRequest:
    """A bulk update, another one each time."""
    asked = ApprovalRequest(
        target="payroll",
        environment="production",
        statement="UPDATE payroll.pay SET amount = amount * $1 WHERE region = 'EU'",
        parameters=(str(number),),
        binding="",
        policy_digest="sha256:" + "0" * 64,
        verb="update",
        relations=("payroll.pay",),
        clauses=(DBA,),
        rules=("bulk (policy.yaml:1)",),
        measured={"payroll.pay": 1200},
    )
    return replace(asked, binding=binding_of(who.key, asked))


def own_time_ms(dsn: str) -> float:
    """The median time of a small write of its own, in milliseconds; nothing is kept."""
    spent = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE bench_approvals AS SELECT n AS id, 0 AS v FROM generate_series(1, 1000) n"
        )
        for number in range(ALONE):
            began = time.perf_counter()
            connection.execute("UPDATE bench_approvals SET v = v + 1 WHERE id = %s", (number + 1,))
            spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent)


def sync_ms(directory: Path) -> float:
    """The median time of a small write with fdatasync, in milliseconds."""
    spent = []
    with (directory / "approvals-probe").open("wb", buffering=0) as file:
        for _ in range(ALONE):
            began = time.perf_counter()
            file.write(b"x" * 700)
            os.fdatasync(file.fileno())
            spent.append((time.perf_counter() - began) * 1000)
    return statistics.median(spent)


@contextmanager
def serving(home: Path, database: str) -> Iterator[str]:
    """`dbgate serve` with a configuration and state of its own."""
    config, ready = home / "config.yaml", home / "ready"
    config.write_text(
        f"identity: {{provider: local}}\naudit: {{bucket: 'file://{home}/bucket', key_store: file}}\n", encoding="utf-8"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBGATE_", "PG"))}
    environment |= {"DBGATE_CONFIG": str(config), "DBGATE_STATE_DIR": str(home / "state")}
    environment |= {"DBGATE_SERVE_DATABASE": database} if database else {}
    command = [PYTHON, "-m", "dbgate", "serve", "--local", "--port", "0", "--ready-file", str(ready)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("dbgate serve did not start")
                time.sleep(0.05)
            yield ready.read_text(encoding="utf-8").strip()
        finally:
            process.terminate()


def _at(spent: Sequence[float], percent: int) -> float:
    return statistics.quantiles(spent, n=100)[percent - 1]
