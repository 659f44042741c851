"""What is taken from an issuer's description of itself, and on which terms it is spoken to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from dbgate.errors import DbgateError, Unreachable, UsageError
from dbgate.identity import issuer as module
from dbgate.identity.client import Client
from dbgate.identity.issuer import TIMEOUT_S, Issuer, IssuerSession, discover, fetch, revoke
from dbgate.identity.leaving import forget_at_issuer

URL = "https://login.example.com/t"
CLIENT = Client(URL, "dbgate", "dbgate")
DESCRIBED: dict[str, Any] = {
    "issuer": URL,
    "authorization_endpoint": f"{URL}/auth",
    "token_endpoint": f"{URL}/token",
    "jwks_uri": f"{URL}/keys",
}


class Answering(requests.Session):
    """A session whose every request is answered as a test says, or fails."""

    def __init__(self, status: int = 200, body: object = None, failure: Exception | None = None) -> None:
        super().__init__()
        self.status, self.failure, self.sent = status, failure, dict[str, Any]()
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        self.sent = {"method": method, "url": url, "data": options.get("data")}
        if self.failure is not None:
            raise self.failure
        answer = requests.Response()
        answer.status_code = self.status
        answer._content = self.content
        return answer


def described(**changes: Any) -> Issuer:
    return discover(Answering(body={k: v for k, v in (DESCRIBED | changes).items() if v is not None}), CLIENT)


def test_a_session_takes_nothing_from_the_environment_and_follows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def request(session: requests.Session, method: str, url: str, **options: Any) -> None:
        asked.append(options)

    monkeypatch.setattr(requests.Session, "request", request)
    session = IssuerSession(CLIENT)
    assert (session.trust_env, session.max_redirects, session.verify) == (False, 0, True)
    session.request("GET", URL)
    session.request("GET", URL, timeout=1)
    assert [options["timeout"] for options in asked] == [TIMEOUT_S, 1]


def test_an_authority_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"identity\.ca_file is not a file"):
        IssuerSession(Client(URL, "dbgate", "dbgate", ca_file=str(tmp_path / "none.pem")))


def test_what_an_issuer_says_of_itself() -> None:
    plain = described()
    assert (plain.url, plain.jwks_uri, plain.scopes) == (URL, f"{URL}/keys", None)
    assert (plain.names_itself, plain.posts_answers, plain.device_endpoint) == (False, False, "")
    more = described(
        scopes_supported=["openid", "groups"],
        authorization_response_iss_parameter_supported=True,
        response_modes_supported=["query", "form_post"],
        device_authorization_endpoint=f"{URL}/device",
    )
    assert more.scopes == frozenset({"openid", "groups"})
    assert (more.names_itself, more.posts_answers, more.device_endpoint) == (True, True, f"{URL}/device")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"issuer": "https://evil.example"}, "calls itself 'https://evil.example', not"),
        ({"issuer": f"{URL}/"}, "calls itself"),
        ({"issuer": None}, "calls itself None"),
        ({"token_endpoint": "http://login.example.com/token"}, "has no https token_endpoint"),
        ({"jwks_uri": None}, "has no https jwks_uri"),
        ({"jwks_uri": ["https://a"]}, "has no https jwks_uri"),
        ({"device_authorization_endpoint": "http://login.example.com/d"}, "no https device_authorization_endpoint"),
        ({"revocation_endpoint": "file:///etc/passwd"}, "has no https revocation_endpoint"),
    ],
)
def test_a_description_that_cannot_be_used(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        described(**changes)


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (503, {}, Unreachable, "answers 503"),
        (404, DESCRIBED, UsageError, "is not an issuer's: it answers 404"),
        (200, ["a list"], UsageError, "is not an issuer's: it answers 200"),
        (200, b"<html>", UsageError, "is not an issuer's: it answers 200"),
    ],
)
def test_an_answer_that_is_no_description(status: int, body: object, kind: type[DbgateError], reason: str) -> None:
    with pytest.raises(kind, match=reason):
        fetch(Answering(status, body), CLIENT, URL)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (requests.exceptions.SSLError("self-signed"), "the certificate of https://login.example.com/t is not trusted"),
        (requests.exceptions.TooManyRedirects("Exceeded 0 redirects"), "sends requests elsewhere"),
        (requests.exceptions.ReadTimeout("timed out"), "cannot be reached: timed out"),
    ],
)
def test_what_goes_wrong_on_the_way_says_so(failure: Exception, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason) as caught:
        fetch(Answering(failure=failure), CLIENT, URL)
    assert caught.value.hint


def test_a_refresh_token_is_revoked_or_not_and_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    issuer = described(revocation_endpoint=f"{URL}/revoke")
    session = Answering(body={})
    assert revoke(session, CLIENT, issuer, "the-token")
    assert session.sent["url"] == f"{URL}/revoke"
    assert session.sent["data"] == {
        "token": "the-token",
        "token_type_hint": "refresh_token",
        "client_id": "dbgate",
    }
    assert not revoke(Answering(400, {}), CLIENT, issuer, "the-token")
    assert not revoke(Answering(failure=requests.exceptions.ConnectionError("away")), CLIENT, issuer, "the-token")
    assert not revoke(session, CLIENT, described(), "the-token"), "there is nowhere to say so"

    def away(session: requests.Session, client: Client) -> Issuer:
        raise Unreachable("away")

    monkeypatch.setattr(module, "discover", away)
    assert not forget_at_issuer(CLIENT, "the-token")
