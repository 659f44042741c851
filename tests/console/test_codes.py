"""What the console brings to an issuer for a code, and which of the issuer's answers it takes."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from tests.approvals.issuer import AUDIENCE, ED, Issuer, jwk, serving

from dbgate.console.issuer import IssuerSignIn, Registration
from dbgate.errors import SignInRequired
from dbgate.model import Identity

BACK = "https://approvals.example.com/sign-in/callback"
PHRASE = "a:b c/%"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer(keys=[jwk(ED, "ed")])
    with serving(made):
        made.discovery = {"authorization_endpoint": f"{made.url}/auth", "token_endpoint": f"{made.url}/token"}
        yield made


def come_back(issuer: Issuer, phrase: str = "", **answer: str) -> Identity:
    """Sign in with a code that the issuer gives a good token for, unless a test said otherwise."""
    sign_in = IssuerSignIn(Registration(issuer.url, AUDIENCE, BACK, secret=phrase), issuer.verifier())
    _, attempt = sign_in.start("/")
    issuer.tokens = {"id_token": issuer.token(nonce=attempt.nonce)} | issuer.tokens
    return sign_in.finish(attempt, {"state": attempt.state, "code": "c0de"} | answer)


def test_a_client_without_a_secret_names_itself(issuer: Issuer) -> None:
    assert come_back(issuer).email == "ann@example.com"
    ((form, authorization),) = issuer.redeemed
    assert authorization == ""
    assert (form["client_id"], form["code"], form["redirect_uri"]) == (AUDIENCE, "c0de", BACK)
    assert len(form["code_verifier"]) == 43
    assert "client_secret" not in form


def test_a_secret_goes_into_the_header(issuer: Issuer) -> None:
    """RFC 6749, 2.3.1: name and secret are form-encoded before they are joined."""
    come_back(issuer, PHRASE)
    ((form, authorization),) = issuer.redeemed
    assert base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"{AUDIENCE}:a%3Ab%20c%2F%25"
    assert not form.keys() & {"client_id", "client_secret"}


def test_a_secret_goes_into_the_form_where_the_issuer_takes_no_header(issuer: Issuer) -> None:
    issuer.discovery["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    come_back(issuer, PHRASE)
    ((form, authorization),) = issuer.redeemed
    assert (form["client_id"], form["client_secret"], authorization) == (AUDIENCE, PHRASE, "")


@pytest.mark.parametrize(
    ("status", "tokens"),
    [(400, {}), (200, {"id_token": None}), (200, {"id_token": 7})],
)
def test_an_answer_that_holds_no_token(issuer: Issuer, status: int, tokens: dict[str, Any]) -> None:
    issuer.tokens_status, issuer.tokens = status, tokens
    with pytest.raises(SignInRequired, match="the issuer gave no token"):
        come_back(issuer)


def test_what_an_issuer_says_is_short_and_printable(issuer: Issuer) -> None:
    issuer.tokens_status, issuer.tokens = 400, {"error_description": "\x1b[2J\u202e" + "x" * 9000}
    with pytest.raises(SignInRequired) as refused:
        come_back(issuer)
    assert "\\x1b[2J\\u202exxx" in refused.value.message
    with pytest.raises(SignInRequired) as denied:
        come_back(issuer, error="access_denied", error_description="\x1b[2J\u202e" + "x" * 9000)
    assert "\\x1b[2J\\u202exxx" in denied.value.message
    assert max(len(said.value.message) for said in (refused, denied)) < 400


def test_a_refusal_that_brings_a_code_is_a_refusal(issuer: Issuer) -> None:
    with pytest.raises(SignInRequired, match="the issuer refused the sign-in: access_denied"):
        come_back(issuer, error="access_denied")
    assert not issuer.redeemed


def test_an_answer_in_another_issuer_s_name_brings_no_code_to_this_one(issuer: Issuer) -> None:
    """RFC 9207, 2.4: whoever is named is compared, promised or not."""
    assert come_back(issuer, iss=issuer.url).email == "ann@example.com"
    issuer.redeemed.clear()
    with pytest.raises(SignInRequired, match="another issuer's"):
        come_back(issuer, iss="https://evil.example")
    assert not issuer.redeemed
