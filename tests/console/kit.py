"""A running console, and a browser without scripts: cookies, forms, no redirects unless asked for."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from tests.approvals.kit import Running, now, running_service

from dbgate.approvals.ledger import Ledger
from dbgate.approvals.limits import RateLimit
from dbgate.approvals.tokens import TokenVerifier
from dbgate.audit.sessions import Archive
from dbgate.console.address import Address, parse_address
from dbgate.console.app import Setup, console_routes
from dbgate.console.issuer import IssuerSignIn
from dbgate.console.sign_in import once_url
from dbgate.console.visits import Visits
from dbgate.model import Identity


@dataclass
class Surfer:
    """A browser without scripts, signed in or not. It sends what browsers send with a form of the page itself."""

    origin: str
    session: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str, **options: Any) -> requests.Response:
        """Open a page of the console; redirects are not followed."""
        return self.session.get(self.origin + path, allow_redirects=False, timeout=20, **options)

    def post(
        self, path: str, fields: Mapping[str, str], *, headers: Mapping[str, str | None] | None = None
    ) -> requests.Response:
        """Send a form, as a page of the console would; `headers` set to None are left out."""
        sent = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} | dict(headers or {})
        return self.session.post(
            self.origin + path,
            data=dict(fields),
            headers={name: value for name, value in sent.items() if value is not None},
            allow_redirects=False,
            timeout=20,
        )

    def submit(self, path: str, action: str, **fields: str) -> requests.Response:
        """Fill in the form of the page at `path` whose action is `action`, and send it."""
        page = self.get(path)
        assert page.status_code == 200, page.text
        return self.post(action, {"csrf": csrf_of(page.text, action)} | fields)


@dataclass
class RunningConsole:
    """A service with a console."""

    running: Running
    setup: Setup

    @property
    def origin(self) -> str:
        return self.setup.address.origin

    def surfer(self, identity: Identity | None = None) -> Surfer:
        """A browser; signed in by a one-time link as `identity`."""
        made = Surfer(self.origin)
        made.session.trust_env = False
        if identity is not None:
            link = once_url(self.setup.address, self.setup.visits.make_link(identity))
            assert made.get(link.removeprefix(self.origin)).status_code == 303
        return made


def csrf_of(page: str, action: str) -> str:
    """The token in the form with this action."""
    found = re.search(
        rf'<form[^>]*action="{re.escape(action)}"[^>]*>\s*<input type="hidden" name="csrf" value="([^"]+)"', page
    )
    assert found, f"there is no form for {action}"
    return html.unescape(found[1])


@contextmanager
def running_console(
    state_dir: Path,
    *,
    clock: Callable[[], datetime] = now,
    issuer: Callable[[Address], IssuerSignIn | tuple[IssuerSignIn, ...]] | None = None,
    verifier: TokenVerifier | None = None,
    rate_limit: RateLimit | None = None,
    auditors: Sequence[str] = (),
    archive: Callable[[], Archive] | None = None,
    ledger: Ledger | None = None,
    strangers: RateLimit | None = None,
    public_url: str = "",
) -> Iterator[RunningConsole]:
    """A real service with a console, on a loopback port. `clock` is that of the sign-ins. With `public_url` a proxy would
    stand in front."""
    made: list[Setup] = []

    def beside(running: Running) -> Any:
        address = parse_address(public_url or running.url)
        sign_ins = issuer(address) if issuer else ()
        setup = Setup(
            address,
            Visits(running.store, clock),
            sign_ins if isinstance(sign_ins, tuple) else (sign_ins,),
            tuple(auditors),
            archive,
            strangers or RateLimit(),
        )
        made.append(setup)
        return lambda api: console_routes(api, setup)

    with running_service(state_dir, verifier=verifier, rate_limit=rate_limit, beside=beside, ledger=ledger) as running:
        yield RunningConsole(running, made[0])
