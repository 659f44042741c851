"""Each guard of the console by itself: what only holds because this one check is there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from msgspec.structs import replace
from tests.approvals.issuer import AUDIENCE, ED, Issuer, jwk, serving
from tests.approvals.kit import ALICE, BOB, person, request_of
from tests.console.kit import RunningConsole, running_console

from dbgate.approvals.limits import RateLimit
from dbgate.console import calls, sign_in
from dbgate.console.address import Address, parse_address
from dbgate.console.headers import CONTENT_SECURITY_POLICY, Guarded
from dbgate.console.issuer import ATTEMPT_S, IssuerSignIn, Registration
from dbgate.console.sign_in import CALLBACK
from dbgate.errors import DbgateError, UsageError
from dbgate.model import Actor

ORIGIN = "https://approvals.example.com"


def test_the_whole_content_security_policy() -> None:
    assert dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_over_https_cookie_and_transport_are_strict(tmp_path: Path) -> None:
    with running_console(tmp_path, public_url=ORIGIN) as console, requests.Session() as proxy:
        proxy.trust_env = False
        there = {"Host": "approvals.example.com"}
        link = f"{console.running.url}/sign-in/once?code={console.setup.visits.make_link(BOB)}"
        answer = proxy.get(link, headers=there, allow_redirects=False, timeout=20)
        name, _, rest = answer.headers["set-cookie"].partition("=")
        secret, *attributes = rest.split("; ")
        assert (name, set(attributes)) == ("__Host-dbgate", {"HttpOnly", "Path=/", "SameSite=lax", "Secure"})
        page = proxy.get(f"{console.running.url}/", headers=there | {"Cookie": f"{name}={secret}"}, timeout=20)
        assert page.status_code == 200
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert page.headers["Permissions-Policy"] == "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


@pytest.mark.parametrize(
    "url",
    [
        "http://approvals.example.com",
        "ftp://127.0.0.1",
        f"{ORIGIN}/console",
        f"{ORIGIN}?x",
        f"{ORIGIN}#x",
        "https://me@approvals.example.com",
        "",
    ],
)
def test_what_is_no_address_of_a_console(url: str) -> None:
    with pytest.raises(UsageError):
        parse_address(url)


def test_nothing_but_http_is_passed_on() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("passed on")

    asyncio.run(Guarded(never, Address(ORIGIN))({"type": "websocket", "headers": []}, never, never))


def test_who_names_no_host_gets_nothing() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("passed on")

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(Guarded(never, Address(ORIGIN))(scope, never, send))
    assert said[0]["status"] == 421


def test_signing_out_without_a_visit_is_for_this_console_too(tmp_path: Path) -> None:
    with running_console(tmp_path) as console:
        stranger = console.surfer()
        assert stranger.post("/sign-out", {}, headers={"Origin": "https://evil.example"}).status_code == 403
        assert stranger.post("/sign-out", {}).status_code == 303


def test_a_form_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert calls.FORM_TIMEOUT_S <= 30
    monkeypatch.setattr(calls, "FORM_TIMEOUT_S", 0.3)
    with running_console(tmp_path) as console:
        name = console.running.client(ALICE).ask(request_of(ALICE)).id
        cookie = console.setup.address.cookie
        secret = console.surfer(BOB).session.cookies[cookie]
        lines = [
            f"POST /requests/{name}/approve HTTP/1.1",
            f"Host: {console.setup.address.host}",
            f"Origin: {console.origin}",
            f"Cookie: {cookie}={secret}",
            "Content-Type: application/x-www-form-urlencoded",
            "Content-Length: 100",
            "",
            "csrf=",
        ]
        parts = urlsplit(console.origin)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20) as slow:
            slow.sendall("\r\n".join(lines).encode())
            assert slow.recv(64).startswith(b"HTTP/1.1 408 ")


def test_a_link_is_no_cookie_and_a_cookie_no_link(tmp_path: Path) -> None:
    with running_console(tmp_path) as console:
        surfer, cookie = console.surfer(BOB), console.setup.address.cookie
        secret = surfer.session.cookies[cookie] or ""
        assert console.surfer().get(f"/sign-in/once?code={secret}").status_code == 401
        link = console.setup.visits.make_link(BOB)
        thief = console.surfer()
        thief.session.cookies.set(cookie, link)
        assert thief.get("/").status_code == 303
        stored = b"".join(file.read_bytes() for file in (tmp_path / "approvals").glob("approvals.db*"))
        assert b"bob@example.com" in stored
        assert not [text for text in (secret, link) if text.encode() in stored], "only digests are kept"


def test_streams_are_slowed_down_as_pages_are(tmp_path: Path) -> None:
    with running_console(tmp_path, rate_limit=RateLimit(burst=2, per_s=0.01)) as console:
        bob = console.surfer(BOB)
        assert [bob.get("/mine").status_code for _ in range(2)] == [200, 200]
        assert bob.get("/events").status_code == 429


def test_an_agent_is_no_auditor(tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError("opened for an agent")

    agent = replace(person("olga", "auditors"), actor=Actor.AGENT, on_behalf_of="zoe@example.com")
    with running_console(tmp_path, auditors=("auditors",), archive=never) as console:
        assert console.surfer(agent).get("/sessions").status_code == 404


def signing_in(issuer: Issuer, address: Address) -> IssuerSignIn:
    return IssuerSignIn(Registration(issuer.url, AUDIENCE, f"{address.origin}{CALLBACK}"), issuer.verifier())


@pytest.fixture
def issuer() -> Any:
    made = Issuer(keys=[jwk(ED, "ed")])
    with serving(made):
        made.discovery = {"authorization_endpoint": f"{made.url}/auth", "token_endpoint": f"{made.url}/token"}
        yield made


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "http://evil.example/auth"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"filler": "x" * 1024 * 1024},
    ],
)
def test_an_issuer_that_lies_gets_no_browser(issuer: Issuer, lie: dict[str, Any]) -> None:
    honest = signing_in(issuer, Address(ORIGIN)).start("/")[0]
    assert honest.startswith(f"{issuer.url}/auth?")
    issuer.discovery |= lie
    with pytest.raises(DbgateError):
        signing_in(issuer, Address(ORIGIN)).start("/")


def test_an_issuer_that_moved_is_not_followed(issuer: Issuer) -> None:
    issuer.status = 302
    with pytest.raises(DbgateError, match="does not describe"):
        signing_in(issuer, Address(ORIGIN)).start("/")


def attempt_of(console: RunningConsole) -> tuple[Any, str, str]:
    """A browser that has begun to sign in, the header that set its cookie, and the state that it was sent with."""
    surfer = console.surfer()
    answer = surfer.get("/sign-in/start")
    return surfer, answer.headers["set-cookie"], answer.headers["location"].partition("state=")[2].partition("&")[0]


def test_the_cookie_of_a_sign_in_that_was_begun(issuer: Issuer, tmp_path: Path) -> None:
    with running_console(tmp_path, issuer=lambda address: signing_in(issuer, address)) as console:
        surfer, cookie, state = attempt_of(console)
        assert set(cookie.split("; ")[1:]) >= {"HttpOnly", "Path=/", "SameSite=lax", f"Max-Age={ATTEMPT_S}"}
        assert ATTEMPT_S <= 600
        refused = surfer.get(f"{CALLBACK}?state={state}&error=access_denied")
        assert refused.status_code == 401
        assert not surfer.session.cookies, "one answer, whatever it was"


def test_strangers_are_slowed_down_on_every_way_in(issuer: Issuer, tmp_path: Path) -> None:
    for path in ("/sign-in/start", f"{CALLBACK}?state=x"):
        few = RateLimit(burst=2, per_s=0.01)
        with running_console(tmp_path, issuer=lambda address: signing_in(issuer, address), strangers=few) as console:
            stranger = console.surfer()
            assert [stranger.get(path).status_code for _ in range(3)][2:] == [429]


def test_an_issuer_that_hangs_stops_nobody_who_decides(
    issuer: Issuer, tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "AT_ONCE", 2)
    monkeypatch.setattr(sign_in, "MAX_WAITING", 50)
    with running_console(tmp_path, issuer=lambda address: signing_in(issuer, address)) as console:
        client = console.running.client(person("dora", "dba"))
        issuer.answers.clear()
        strangers = [console.surfer() for _ in range(45)]
        with ThreadPoolExecutor(45) as threads:
            held = [threads.submit(stranger.get, "/sign-in/start") for stranger in strangers]
            wait_until(lambda: len(issuer.asked) == 2)
            assert client.find() == []
            assert len(issuer.asked) == 2
            assert not any(one.done() for one in held)
            issuer.answers.set()
            assert {one.result(30).status_code for one in held} == {303}


def test_only_so_many_browsers_wait_for_an_issuer(
    issuer: Issuer, tmp_path: Path, wait_until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "AT_ONCE", 1)
    monkeypatch.setattr(sign_in, "MAX_WAITING", 1)
    with running_console(tmp_path, issuer=lambda address: signing_in(issuer, address)) as console:
        issuer.answers.clear()
        with ThreadPoolExecutor(5) as threads:
            held = [threads.submit(console.surfer().get, "/sign-in/start") for _ in range(5)]
            wait_until(lambda: sum(one.done() for one in held) == 3)
            assert {one.result().status_code for one in held if one.done()} == {429}
            issuer.answers.set()
            assert sorted(one.result(30).status_code for one in held) == [303, 303, 429, 429, 429]


def test_who_is_done_waiting_makes_room(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "AT_ONCE", 1)
    monkeypatch.setattr(sign_in, "MAX_WAITING", 0)
    with running_console(tmp_path, issuer=lambda address: signing_in(issuer, address)) as console:
        assert [console.surfer().get("/sign-in/start").status_code for _ in range(3)] == [303] * 3


@pytest.mark.parametrize(
    ("offered", "configured", "asked"),
    [
        (None, (), {"openid", "email", "profile", "groups"}),
        (["openid", "groups"], (), {"openid", "email", "profile", "groups"}),
        (["openid", "email"], (), {"openid", "email", "profile"}),
        (["openid"], ("roles",), {"openid", "email", "profile", "roles"}),
    ],
)
def test_groups_are_asked_for_as_on_the_command_line(
    issuer: Issuer, offered: list[str] | None, configured: tuple[str, ...], asked: set[str]
) -> None:
    issuer.discovery |= {"scopes_supported": offered} if offered else {}
    us = Registration(issuer.url, AUDIENCE, f"{ORIGIN}{CALLBACK}", scopes=configured)
    url, _ = IssuerSignIn(us, issuer.verifier()).start("/")
    assert set(parse_qs(urlsplit(url).query)["scope"][0].split()) == asked


def test_who_is_in_no_group_reads_so(tmp_path: Path) -> None:
    with running_console(tmp_path) as console:
        page = console.surfer(person("nobody")).get("/").text
        assert "The issuer names no groups of yours, so nobody can ask you" in page
