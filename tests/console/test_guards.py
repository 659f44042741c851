"""What keeps others out: headers, cookies, forms, addresses, times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from tests.approvals.kit import ALICE, BOB, HandClock, now, request_of
from tests.console.kit import RunningConsole, csrf_of, running_console

from dbgate.approvals.limits import RateLimit
from dbgate.console.address import way_back
from dbgate.console.headers import CONTENT_SECURITY_POLICY
from dbgate.console.visits import IDLE_S, LINK_S, LONGEST_S
from dbgate.errors import UsageError

SOURCES = Path("src/dbgate/console")


@pytest.fixture
def clock() -> HandClock:
    return HandClock(now())


@pytest.fixture
def console(tmp_path: Path, clock: HandClock) -> Iterator[RunningConsole]:
    with running_console(tmp_path, clock=clock, auditors=("auditors",)) as made:
        yield made


def test_headers_of_every_answer(console: RunningConsole) -> None:
    bob = console.surfer(BOB)
    asset = re.search(r'src="(/static/[^"]+)"', bob.get("/").text)
    assert asset
    for path in ("/", "/nothing", "/sign-in", "/history", asset[1], "/static/x/y", "/events?x"):
        with bob.get(path, stream=True) as answer:
            headers = answer.headers
        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY, path
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        immutable = path == asset[1]
        assert headers["Cache-Control"] == ("public, max-age=31536000, immutable" if immutable else "no-store"), path
        assert "Access-Control-Allow-Origin" not in headers
    for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert part in CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


def test_pages_hold_nothing_inline_and_nobody_else_s() -> None:
    for template in (SOURCES / "templates").glob("*.html"):
        text = template.read_text()
        assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)|javascript:", text), template
        assert "|safe" not in text.replace(" ", ""), template
        assert "autoescape" not in text, template
        assert not re.search(r"https?://", text), template
    for file in (SOURCES / "static").iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import|innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text), (
            file
        )


def test_the_cookie(console: RunningConsole) -> None:
    surfer = console.surfer()
    link = console.setup.visits.make_link(BOB)
    answer = surfer.get(f"/sign-in/once?code={link}")
    assert answer.headers["location"] == "/"
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == console.setup.address.cookie
    assert set(rest.split("; ")[1:]) == {"HttpOnly", "Path=/", "SameSite=lax"}
    assert len(rest.split(";")[0]) > 40
    assert surfer.get("/").status_code == 200


def test_a_link_works_once_and_not_for_long(console: RunningConsole, clock: HandClock) -> None:
    code = console.setup.visits.make_link(BOB)
    assert console.surfer().get(f"/sign-in/once?code={code}").status_code == 303
    again = console.surfer().get(f"/sign-in/once?code={code}")
    assert again.status_code == 401
    assert "used already, or is older than five minutes" in again.text
    assert "set-cookie" not in again.headers
    old = console.setup.visits.make_link(BOB)
    clock.advance(LINK_S)
    assert console.surfer().get(f"/sign-in/once?code={old}").status_code == 401
    assert console.surfer().get("/sign-in/once").status_code == 401


def test_a_link_from_the_command_line(console: RunningConsole) -> None:
    client = console.running.client(BOB)
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    url = client.console(name)
    assert url.startswith(f"{console.origin}/sign-in/once?code=")
    surfer = console.surfer()
    answer = surfer.get(url.removeprefix(console.origin))
    assert answer.headers["location"] == f"/requests/{name}"
    assert f'action="/requests/{name}/approve"' in surfer.get(f"/requests/{name}").text
    for wrong in ("../x", "//evil.example", "A"):
        with pytest.raises(UsageError):
            client.console(wrong)
    answer = requests.post(f"{console.origin}/api/v1/console", json={}, timeout=20)
    assert answer.status_code == 401


def test_signing_in_begins_a_new_visit(console: RunningConsole) -> None:
    surfer = console.surfer(BOB)
    before = surfer.session.cookies[console.setup.address.cookie]
    surfer.get(f"/sign-in/once?code={console.setup.visits.make_link(ALICE)}")
    after = surfer.session.cookies[console.setup.address.cookie]
    assert before != after
    old = console.surfer()
    old.session.cookies.set(console.setup.address.cookie, before)
    assert old.get("/").status_code == 303


def test_signing_out(console: RunningConsole) -> None:
    surfer = console.surfer(BOB)
    cookie = surfer.session.cookies[console.setup.address.cookie]
    done = surfer.submit("/", "/sign-out")
    assert (done.status_code, done.headers["location"]) == (303, "/sign-in?out")
    assert "storage" in done.headers["Clear-Site-Data"]
    stolen = console.surfer()
    stolen.session.cookies.set(console.setup.address.cookie, cookie)
    assert stolen.get("/").headers["location"] == "/sign-in/start?then=%2F"


def test_idle_and_longest_time(console: RunningConsole, clock: HandClock) -> None:
    idle, busy = console.surfer(BOB), console.surfer(BOB)
    background = {"X-Dbgate-Background": "1"}
    clock.advance(IDLE_S - 61)
    assert busy.get("/").status_code == 200
    assert idle.get("/", headers=background).status_code == 200
    clock.advance(61)
    assert busy.get("/").status_code == 200
    assert idle.get("/", headers=background).status_code == 401
    assert idle.get("/mine").headers["location"] == "/sign-in/start?then=%2Fmine"
    clock.advance(IDLE_S - 61)
    assert busy.get("/").status_code == 200
    clock.advance(LONGEST_S - 2 * IDLE_S + 61)
    assert busy.get("/").status_code == 303


def test_a_form_without_a_visit_does_nothing(console: RunningConsole, clock: HandClock) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    bob, path = console.surfer(BOB), f"/requests/{name}/approve"
    token = csrf_of(bob.get(path).text, path)
    clock.advance(LONGEST_S)
    late = bob.post(path, {"csrf": token, "note": ""})
    assert late.status_code == 401
    assert "nothing was done" in late.text
    assert console.running.client(ALICE).state(name).status == "pending"


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, ""),
        ({}, "x" * 43),
        ({"Origin": None}, None),
        ({"Origin": "null"}, None),
        ({"Origin": "https://evil.example"}, None),
        ({"Origin": "http://127.0.0.1:1"}, None),
        ({"Sec-Fetch-Site": "cross-site"}, None),
        ({"Sec-Fetch-Site": "same-site"}, None),
        ({"Sec-Fetch-Site": "none"}, None),
    ],
)
def test_forms_of_others(console: RunningConsole, headers: dict[str, str | None], token: str | None) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    bob, path = console.surfer(BOB), f"/requests/{name}/approve"
    own = csrf_of(bob.get(path).text, path)
    refused = bob.post(path, {"csrf": own if token is None else token, "note": ""}, headers=headers)
    assert refused.status_code == 403
    assert "does not come from a page of this console" in refused.text
    assert console.running.client(ALICE).state(name).status == "pending"
    out = bob.post("/sign-out", {"csrf": own if token is None else token}, headers=headers)
    assert out.status_code == 403
    assert bob.get("/").status_code == 200
    assert bob.post(path, {"csrf": own, "note": ""}, headers={"Sec-Fetch-Site": None}).status_code == 303


def test_a_form_without_a_token_and_one_of_another_scheme(console: RunningConsole) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    bob, path = console.surfer(BOB), f"/requests/{name}/approve"
    own = csrf_of(bob.get(path).text, path)
    assert bob.post(path, {"note": ""}).status_code == 403
    assert bob.post(path, {"csrf": own}, headers={"Origin": f"https://{console.setup.address.host}"}).status_code == 403
    assert console.running.client(ALICE).state(name).status == "pending"


def test_one_visit_s_token_is_no_other_s(console: RunningConsole) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    path = f"/requests/{name}/approve"
    other = csrf_of(console.surfer(BOB).get(path).text, path)
    assert console.surfer(BOB).post(path, {"csrf": other}).status_code == 403


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_only_forms_are_taken(console: RunningConsole, kind: str) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    refused = console.surfer(BOB).post(f"/requests/{name}/approve", {}, headers={"Content-Type": kind})
    assert refused.status_code == 415
    bob = console.surfer(BOB)
    for fields in ({"note": "x" * 70_000}, {f"f{n}": "" for n in range(60)}, {"csrf": "a\0b"}):
        assert bob.post(f"/requests/{name}/approve", fields).status_code in (413, 422)


def test_methods_that_change_nothing(console: RunningConsole) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    bob = console.surfer(BOB)
    for path in (f"/requests/{name}/approve?note=x", f"/requests/{name}/deny?note=x", "/sign-out"):
        bob.get(path)
        bob.session.head(console.origin + path, timeout=20)
    assert console.running.client(ALICE).state(name).status == "pending"
    assert bob.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "evil.example:80"])
def test_other_names_for_this_machine(console: RunningConsole, host: str) -> None:
    answer = console.surfer(BOB).get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "--public-url" in answer.text
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


def test_a_longer_port_is_another_name(console: RunningConsole) -> None:
    assert console.surfer(BOB).get("/", headers={"Host": f"{console.setup.address.host}0"}).status_code == 421


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/requests/1f?done=approve", "/requests/1f?done=approve"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/a\n", "/"),
        ("/a b", "/"),
        ("/\u202e", "/"),
        ("", "/"),
        ("/sign-in?out", "/"),
    ],
)
def test_where_a_sign_in_may_lead(console: RunningConsole, path: str, back: str) -> None:
    assert way_back(path) == back
    code = console.setup.visits.make_link(BOB)
    answer = console.surfer().get("/sign-in/once", params={"code": code, "then": path})
    assert answer.headers["location"] == back


def test_recordings_are_for_auditors_only(tmp_path: Path) -> None:
    def never() -> object:
        raise AssertionError("opened for somebody who is no auditor")

    with running_console(tmp_path, auditors=("auditors",), archive=never) as console:  # type: ignore[arg-type]
        bob = console.surfer(BOB)
        for path in ("/sessions", "/sessions/01m8mx00390t7btzvjrccm8an3"):
            assert bob.get(path).status_code == 404
        assert "/sessions" not in bob.get("/").text


def test_the_api_takes_no_cookies(console: RunningConsole) -> None:
    bob = console.surfer(BOB)
    assert bob.get("/api/v1/requests").status_code == 401


def test_too_many_pages(tmp_path: Path) -> None:
    with running_console(tmp_path, rate_limit=RateLimit(burst=3, per_s=0.01)) as console:
        bob = console.surfer(BOB)
        answers = [bob.get("/mine") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        slowed = answers[-1]
        assert int(slowed.headers["Retry-After"]) >= 1
        assert "Too fast" in slowed.text
