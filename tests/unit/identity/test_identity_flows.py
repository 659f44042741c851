"""What a sign-in believes of the browser's answer and of the issuer's addresses."""

from __future__ import annotations

from typing import Any

import pytest

from dbgate.errors import SignInRequired
from dbgate.identity.application import Application
from dbgate.identity.client import Client
from dbgate.identity.flows import check_source, prompt_for, web_address
from dbgate.identity.issuer import Issuer, endpoint

URL = "https://login.example.com/t"


def application(*, names_itself: bool) -> Application:
    client = Client(URL, "dbgate", "dbgate")
    issuer = Issuer(URL, f"{URL}/auth", f"{URL}/token", f"{URL}/keys", names_itself=names_itself)
    nothing: Any = None
    return Application(client, nothing, issuer, {}, None, None, ())


@pytest.mark.parametrize(
    ("names_itself", "answer"),
    [
        (True, {"code": "c", "iss": "https://evil.example.com"}),
        (False, {"code": "c", "iss": "https://evil.example.com"}),
        (True, {"code": "c", "iss": URL + "/"}),
        (True, {"code": "c"}),
        (True, {"error": "access_denied"}),
    ],
)
def test_an_answer_of_another_issuer_is_refused(names_itself: bool, answer: dict[str, str]) -> None:
    with pytest.raises(SignInRequired, match="came from another issuer"):
        check_source(application(names_itself=names_itself), answer)


def test_the_issuers_own_answer_is_taken() -> None:
    check_source(application(names_itself=True), {"code": "c", "iss": URL})
    check_source(application(names_itself=False), {"code": "c"})


@pytest.mark.parametrize("address", ["http://login.example.com/device", "javascript:alert(1)", "file:///etc/passwd"])
def test_a_person_is_sent_to_https_only(address: str) -> None:
    with pytest.raises(SignInRequired, match="not https"):
        web_address({"verification_uri": address}, "verification_uri", "verification_url")
    with pytest.raises(Exception, match="has no https authorization_endpoint"):
        endpoint({"authorization_endpoint": address}, "authorization_endpoint", URL)
    assert web_address({}, "verification_uri_complete") == ""


@pytest.mark.parametrize(
    ("configured", "wanted", "sent"),
    [
        ("", "", ""),
        ("consent", "", "consent"),
        ("", "alice@example.com", "login"),
        ("consent", "alice@example.com", "login consent"),
        ("select_account", "alice@example.com", "select_account"),
    ],
)
def test_for_a_wanted_account_the_issuer_asks_who_it_is(configured: str, wanted: str, sent: str) -> None:
    assert prompt_for(Client(URL, "dbgate", "dbgate", prompt=configured), wanted) == sent
