"""The loopback server takes one answer, ours, and nothing else."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from dbgate.errors import SignInRequired, Unreachable, UsageError
from dbgate.identity.client import Client
from dbgate.identity.issuer import IssuerSession, reaching
from dbgate.identity.loopback import DONE, FAILED, REFUSED, AnswerHandler, RedirectServer

ANSWER = {"code": "c-1", "state": "s-1", "iss": "https://login.example.com"}


def send(uri: str, answer: dict[str, str] | str, method: str = "GET", **options: object) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        text = answer if isinstance(answer, str) else urlencode(answer)
        if method == "GET":
            return session.get(f"{uri}?{text}", timeout=5)
        return session.post(uri, data=text, headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=5)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("redirect_uri", ["http://127.0.0.1", "http://localhost/callback"])
def test_the_answer_arrives(redirect_uri: str, method: str, capfd: pytest.CaptureFixture[str]) -> None:
    with RedirectServer(redirect_uri) as server:
        server.listen("s-1")
        assert urlsplit(server.uri).port
        assert urlsplit(server.uri).path == urlsplit(redirect_uri).path
        page = send(server.uri, ANSWER, method)
        assert (page.status_code, page.text) == (200, DONE)
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert server.wait(5) == ANSWER
    assert capfd.readouterr() == ("", ""), "the address holds the code: nothing logs it"


def test_an_error_of_the_issuer_arrives_too() -> None:
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        page = send(server.uri, {"error": "access_denied", "state": "s-1"})
        assert page.text == FAILED
        assert server.wait(5) == {"error": "access_denied", "state": "s-1"}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "answer",
    [
        {"code": "evil", "state": "s-2"},
        {"code": "evil"},
        {"code": "evil", "state": ""},
        {"error": "access_denied"},
        "code=evil&state=s-1&state=s-2",
        "code=evil&state=%FF%FE",
        "state=s-1&code=" + "x" * 20_000,
        "",
    ],
)
def test_a_foreign_answer_is_refused_and_waiting_goes_on(answer: dict[str, str] | str, method: str) -> None:
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        page = send(server.uri, answer, method)
        assert (page.status_code, page.text) == (400, REFUSED)
        assert send(server.uri, ANSWER).status_code == 200
        assert server.wait(5) == ANSWER


def test_another_path_is_refused() -> None:
    with RedirectServer("http://127.0.0.1/callback") as server:
        server.listen("s-1")
        assert send(server.uri.replace("/callback", "/other"), ANSWER).status_code == 400
        assert send(server.uri.replace("/callback", ""), ANSWER).status_code == 400


def test_only_the_first_answer_counts() -> None:
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        assert send(server.uri, ANSWER).status_code == 200
        assert send(server.uri, ANSWER | {"code": "second"}).status_code == 400
        assert server.wait(5) == ANSWER


def test_a_silent_connection_does_not_block_the_answer() -> None:
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        with socket.create_connection(("127.0.0.1", urlsplit(server.uri).port or 0)):
            assert send(server.uri, ANSWER).status_code == 200
        assert server.wait(5) == ANSWER


def test_it_listens_on_loopback_only_and_says_when_it_cannot() -> None:
    with RedirectServer("http://127.0.0.1") as server:
        port = urlsplit(server.uri).port
        assert server._server.server_address[0] == "127.0.0.1"
        with pytest.raises(UsageError, match=f"cannot listen on http://127.0.0.1:{port}") as error:
            RedirectServer(f"http://127.0.0.1:{port}")
        assert "dbgate login --device" in error.value.hint


def test_waiting_ends() -> None:
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        with pytest.raises(SignInRequired, match="no answer came from the browser"):
            server.wait(0.1)


def test_a_redirect_of_the_issuer_is_not_followed() -> None:
    with RedirectServer("http://127.0.0.1") as elsewhere:
        elsewhere.listen("s-1")
        with ThreadingHTTPServer(("127.0.0.1", 0), to(elsewhere.uri + "?" + urlencode(ANSWER))) as issuer:
            thread = threading.Thread(target=issuer.serve_forever, args=(0.05,))
            thread.start()
            url = f"http://127.0.0.1:{issuer.server_address[1]}"
            client = Client(issuer=url, client_id="dbgate", audience="dbgate")
            with (
                pytest.raises(Unreachable, match="sends requests elsewhere"),
                reaching(client),
                IssuerSession(client) as session,
            ):
                session.get(url)
            with (
                pytest.raises(Unreachable, match="sends requests elsewhere"),
                reaching(client),
                IssuerSession(client) as session,
            ):
                session.post(url, data={"client_secret": "s"})
            issuer.shutdown()
            thread.join()
        with pytest.raises(SignInRequired):
            elsewhere.wait(0)


def to(address: str) -> type[BaseHTTPRequestHandler]:
    """A handler that sends every request on to `address`."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(307)
            self.send_header("Location", address)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *args: object) -> None:
            """Quiet."""

    return Elsewhere


@pytest.mark.parametrize(
    "length", ["", "Content-Length: 99999999\r\n", "Content-Length: -1\r\n", "Content-Length: x\r\n"]
)
def test_a_form_without_an_honest_length_is_refused_unread(length: str) -> None:
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        with socket.create_connection(("127.0.0.1", urlsplit(server.uri).port or 0), timeout=8) as raw:
            raw.sendall(f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.0 400 ")
        assert send(server.uri, ANSWER).status_code == 200


def test_a_browser_that_went_away_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reply, fails = AnswerHandler.reply, [True]

    def gone_once(handler: AnswerHandler, status: int, text: str) -> None:
        if fails:
            fails.clear()
            raise BrokenPipeError
        reply(handler, status, text)

    monkeypatch.setattr(AnswerHandler, "reply", gone_once)
    with RedirectServer("http://127.0.0.1") as server:
        server.listen("s-1")
        with pytest.raises(requests.ConnectionError):
            send(server.uri, ANSWER)
        assert send(server.uri, ANSWER).status_code == 200
        assert server.wait(5) == ANSWER


@pytest.mark.parametrize("name", ["http://localhost", "http://127.0.0.1"])
def test_no_name_opens_it_to_others(name: str) -> None:
    with RedirectServer(name) as server:
        assert server._server.server_address[0] == "127.0.0.1"
        server.listen("")
