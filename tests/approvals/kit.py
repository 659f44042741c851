"""People, requests, a clock that is set by hand, and a real service on a loopback port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from starlette.routing import BaseRoute

from dbgate.approvals import ApprovalsClient, keys, listen, signing
from dbgate.approvals.app import Api, create_app
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.ledger import Ledger
from dbgate.approvals.limits import RateLimit
from dbgate.approvals.local import LocalVerifier, key_file, mint_local_token
from dbgate.approvals.store import Store
from dbgate.approvals.tokens import TokenVerifier
from dbgate.binding import binding_of as compute_binding
from dbgate.model import ApprovalRequest, Identity, RequestKind, ReviewClause
from dbgate.settings import ApprovalsSettings

START = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def person(name: str, *groups: str, **fields: Any) -> Identity:
    """A human with an e-mail at example.com."""
    values: dict[str, Any] = {"email": f"{name}@example.com"} | fields
    return Identity(issuer="https://login.example.com", subject=name, groups=groups, **values)


ALICE = person("alice", "engineering")
BOB = person("bob", "engineering", "dba")
CARA = person("cara", "data-owners")
DAN = person("dan", "dba", "data-owners")
EVE = person("eve", "engineering")

DBA = ReviewClause(("dba",), 1)
OWNERS = ReviewClause(("data-owners",), 1)


def request_of(identity: Identity, **changes: Any) -> ApprovalRequest:
    """A bulk update that needs one DBA, as `identity` asks for it, with the binding that fits."""
    asked = ApprovalRequest(
        target="prod-payroll",
        environment="production",
        statement="UPDATE payroll.pay SET amount = amount * $1 WHERE region = 'EU'",
        parameters=("1.02",),
        binding="",
        policy_digest="sha256:" + "0" * 64,
        verb="update",
        relations=("payroll.pay",),
        clauses=(DBA,),
        rules=("bulk (payroll.yaml:31)",),
        reason="yearly raise",
        measured={"payroll.pay": 1200},
        masked=("payroll.pay.iban",),
        expires_s=3600,
    )
    asked = replace(asked, **changes)
    if "binding" in changes:
        return asked
    return replace(asked, binding=binding_of(identity, asked))


def unmask_request_of(identity: Identity, **changes: Any) -> ApprovalRequest:
    """A request to see two tags in clear for half an hour, which one DBA decides."""
    fields: dict[str, Any] = {
        "kind": RequestKind.UNMASK,
        "statement": "",
        "parameters": (),
        "verb": "unmask",
        "relations": ("payroll.employees",),
        "rules": ("unmask (payroll.yaml:14)",),
        "reason": "a customer calls",
        "measured": {},
        "masked": (),
        "tags": ("pii.email", "pii.ssn"),
        "columns": ("payroll.employees.email", "payroll.employees.ssn"),
        "expires_s": 1800,
    }
    return request_of(identity, **(fields | changes))


def binding_of(identity: Identity, asked: ApprovalRequest) -> str:
    """The binding of a request by `identity`."""
    return compute_binding(identity.key, asked)


@dataclass
class HandClock:
    """A clock that stands still until it is moved."""

    moment: datetime = START

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def now() -> datetime:
    """The real time."""
    return datetime.now(UTC)


@dataclass
class Running:
    """A running service, and clients for it. `state_dir` is the service's and the clients' own."""

    url: str
    state_dir: Path
    store: Store
    clients: list[ApprovalsClient] = field(default_factory=list)

    def client(self, identity: Identity, **settings: str) -> ApprovalsClient:
        """A client that signs in as `identity`."""
        made = ApprovalsClient(
            ApprovalsSettings(url=self.url, **settings),
            lambda: mint_local_token(self.state_dir, identity),
            identity,
            self.state_dir,
        )
        self.clients.append(made)
        return made

    def headers(self, identity: Identity) -> dict[str, str]:
        """The headers of a raw call as `identity`."""
        return {"Authorization": f"Bearer {mint_local_token(self.state_dir, identity)}"}


@contextmanager
def running_service(
    state_dir: Path,
    *,
    port: int = 0,
    database: str = "",
    verifier: TokenVerifier | None = None,
    rate_limit: RateLimit | None = None,
    ledger: Ledger | None = None,
    metrics_token: str = "",
    tls: listen.Tls | None = None,
    beside: Callable[[Running], Callable[[Api], Sequence[BaseRoute]]] | None = None,
) -> Iterator[Running]:
    """A real service on a loopback port, in a thread, with keys under `state_dir`, and its store unless `database`
    names another. `beside` adds routes, as `create_app` does."""
    store = open_store(database, state_dir / "approvals" / "approvals.db")
    signer = GrantSigner(keys.load_or_create(state_dir / "approvals" / "grants.key"))
    checks = verifier or LocalVerifier(keys.load_or_create(key_file(state_dir)), clock=now)
    signing.agree(store, signer, now())
    ready = threading.Event()
    with listen.bind("127.0.0.1", port) as found:
        running = Running(listen.url_of(found, tls), state_dir, store)
        routes = beside(running) if beside else lambda api: ()
        app = create_app(
            store,
            checks,
            signer,
            now,
            rate_limit=rate_limit,
            ledger=ledger,
            metrics_token=metrics_token,
            beside=routes,
        )
        server = listen.make_server(app, tls=tls, on_ready=ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [found]})
        thread.start()
        try:
            if not ready.wait(20):
                raise RuntimeError("the service did not start")
            yield running
        finally:
            for client in running.clients:
                client.close()
            server.stop()
            thread.join(20)
            store.close()
