"""What a page says is the console's own word or its reader's record, and never what a link or a crash put there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pygments.token import Token
from tests.approvals.issuer import AUDIENCE, ED, Issuer, jwk, serving
from tests.approvals.kit import ALICE, BOB, person, request_of
from tests.audit.samples import Installation, intent
from tests.console.kit import RunningConsole, running_console

from dbgate.approvals.limits import RateLimit
from dbgate.audit import layout
from dbgate.audit.bucket import open_bucket
from dbgate.audit.sessions import Archive
from dbgate.console import rendering
from dbgate.console.issuer import IssuerSignIn, Registration, read_attempt
from dbgate.console.lists import Lists
from dbgate.console.sign_in import CALLBACK

OLGA = person("olga", "auditors")
STATEMENTS = 20


@pytest.fixture
def archive(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "archive")
    with made.open() as session:
        for number in range(1, STATEMENTS + 1):
            session.record("statement.intent", intent(number, f"SELECT {number} + 100"))
        session.close({"reason": "ended", "statements": STATEMENTS})
    made.ship()
    return made


@pytest.fixture
def console(tmp_path: Path, archive: Installation) -> Iterator[RunningConsole]:
    def opened() -> Archive:
        return Archive(None, open_bucket(archive.url))

    with running_console(tmp_path / "service", auditors=("auditors",), archive=opened) as made:
        yield made


def recording(console: RunningConsole) -> str:
    """The page of the one recording that there is."""
    olga = console.surfer(OLGA)
    path = re.search(r'"(/sessions/[0-9a-z]{26})"', olga.get("/sessions").text)
    assert path
    return olga.get(path[1]).text


def test_a_link_does_not_choose_what_is_said(console: RunningConsole) -> None:
    name = console.running.client(ALICE).ask(request_of(ALICE)).id
    page = console.surfer(BOB).get(f"/requests/{name}?done=call+this+number").text
    assert "call this number" not in page


def test_a_crash_says_nothing_about_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> Any:
        raise RuntimeError("at 10.1.2.3")

    monkeypatch.setattr(Lists, "mine", crash)
    with running_console(tmp_path) as console:
        crashed = console.surfer(BOB).get("/mine")
    assert crashed.status_code == 500
    assert "its log says why" in crashed.text
    assert not re.search(r"10\.1\.2\.3|RuntimeError|Traceback", crashed.text)
    assert crashed.headers["Cache-Control"] == "no-store"


def test_a_recording_that_is_whole(console: RunningConsole) -> None:
    page = recording(console)
    assert "Every record carries the hash" in page
    assert f"SELECT {STATEMENTS} + 100" in page
    assert "the beginning only" not in page


def test_a_recording_whose_end_was_taken_away(console: RunningConsole, archive: Installation) -> None:
    (file,) = archive.bucket_dir.glob("sessions/*/*/*/*.jsonl.zst")
    lines = layout.decompress(file.read_bytes()).splitlines(keepends=True)
    file.chmod(0o600)
    file.write_bytes(layout.compress(b"".join(lines[:-1])))
    page = recording(console)
    assert "This transcript has no sealed end." in page
    assert "Every record carries the hash" not in page


def test_a_recording_that_was_altered(console: RunningConsole, archive: Installation) -> None:
    (file,) = archive.bucket_dir.glob("sessions/*/*/*/*.jsonl.zst")
    altered = layout.decompress(file.read_bytes()).replace(b"SELECT 7 + 100", b"SELECT 7 - 100")
    file.chmod(0o600)
    file.write_bytes(layout.compress(altered))
    page = recording(console)
    assert "This transcript was altered" in page
    assert "Every record carries the hash" not in page


@pytest.mark.parametrize("bound", ["MAX_FRAMES", "MAX_CHARACTERS"])
def test_a_recording_that_is_too_long(console: RunningConsole, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(f"dbgate.console.recordings.{bound}", 5)
    page = recording(console)
    assert "This page shows the beginning only" in page
    assert f"SELECT {STATEMENTS} + 100" not in page


def test_long_statements_are_escaped_like_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "MAX_HIGHLIGHTED_CHARACTERS", 10)
    assert rendering.statement("<script>too long</script>") == "&lt;script&gt;too long&lt;/script&gt;"


def test_a_statement_is_shown_whole_whatever_colours_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pygments.lex", lambda *_: [])
    assert rendering.statement("DELETE FROM shown_whole") == "DELETE FROM shown_whole"


def test_what_has_no_colour_is_escaped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pygments.lex", lambda text, _: [(Token.Text, text)])
    assert rendering.statement("<b>no colour") == "&lt;b&gt;no colour"


def test_who_signs_out_keeps_no_cookie(console: RunningConsole) -> None:
    bob = console.surfer(BOB)
    assert console.setup.address.cookie in bob.session.cookies
    bob.submit("/", "/sign-out")
    assert console.setup.address.cookie not in bob.session.cookies


def test_a_header_does_not_choose_who_is_slowed_down(tmp_path: Path) -> None:
    with running_console(tmp_path, strangers=RateLimit(burst=2, per_s=0.01)) as console:
        stranger = console.surfer()
        answers = [stranger.get("/sign-in/once", headers={"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]


@pytest.fixture
def by_issuer(tmp_path: Path) -> Iterator[RunningConsole]:
    issuer = Issuer(keys=[jwk(ED, "ed")])
    with serving(issuer):
        issuer.discovery = {"authorization_endpoint": f"{issuer.url}/auth", "token_endpoint": f"{issuer.url}/token"}

        def sign_in(name: str, origin: str) -> IssuerSignIn:
            us = Registration(issuer.url, AUDIENCE, f"{origin}{CALLBACK}", name=name)
            return IssuerSignIn(us, issuer.verifier())

        with running_console(
            tmp_path, issuer=lambda address: tuple(sign_in(name, address.origin) for name in ("", "second"))
        ) as made:
            yield made


def test_a_sign_in_carries_no_other_site(by_issuer: RunningConsole) -> None:
    surfer = by_issuer.surfer()
    for path in ("/sign-in", "/sign-in/start"):
        page = surfer.get(f"{path}?then=//evil.example").text
        assert '&amp;then=%2F"' in page
        assert "evil" not in page
        assert '&amp;then=%2Fmine%3Fa%3D1%26at%3Dx"' in surfer.get(f"{path}?then=/mine?a=1%26at=x").text
    surfer.get("/sign-in/start?at=&then=//evil.example")
    (begun,) = (read_attempt(cookie.value or "") for cookie in surfer.session.cookies)
    assert begun
    assert begun.then == "/"


@pytest.mark.parametrize("state", ["a;%20Domain=evil.example", "a%0d%0aX-Evil:%20b", "%00", "a=b,c", "%22%5c"])
def test_a_state_does_not_write_cookies(by_issuer: RunningConsole, state: str) -> None:
    answer = by_issuer.surfer().get(f"{CALLBACK}?state={state}")
    assert answer.status_code == 401
    assert re.fullmatch(r"dbgate-\d+-sign-in-[A-Za-z0-9]*", answer.headers["set-cookie"].partition("=")[0])
    assert "x-evil" not in answer.headers
