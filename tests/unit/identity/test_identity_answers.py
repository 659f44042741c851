"""What is made of the issuer's answers: a token that stands up, or an error in one line; and nothing kept before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import msal
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from dbgate.errors import SignInRequired
from dbgate.identity import application, renewal
from dbgate.identity.application import Application, one_line, read_assertion, token_from
from dbgate.identity.client import Client
from dbgate.identity.issuer import Issuer, IssuerSession
from dbgate.identity.stored import StoredSignIn
from dbgate.tokens import TokenRefused, UnknownKey

URL = "https://login.example.com/t"
PERSON = Client(URL, "dbgate", "dbgate")
SERVICE = Client(URL, "batch", "urn:a", secret_env="SECRET")
KEY, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


def key_set(key: Any, kid: str) -> dict[str, Any]:
    return {"keys": [ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid}]}


def signed(key: Any = KEY, kid: str = "one", **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": URL, "sub": "ann", "aud": "dbgate", "iat": now, "exp": now + 600} | changes
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})


class Cache:
    """msal's cache, which only has to be written out."""

    has_state_changed = True

    def serialize(self) -> str:
        return "the refresh token"


def opened(client: Client = PERSON, app: Any = None) -> Application:
    session: Any = None
    issuer = Issuer(URL, f"{URL}/auth", f"{URL}/token", f"{URL}/keys")
    return Application(client, session, issuer, key_set(KEY, "one"), app, Cache(), ("email",))


@pytest.mark.parametrize(
    "token", [signed(OTHER), signed(aud="another"), signed(iss="https://evil.example"), signed(exp=1), "a.b.c"]
)
def test_a_token_is_checked_when_it_arrives(token: str) -> None:
    with pytest.raises(TokenRefused):
        opened().stored({"id_token": token})


def test_the_nonce_is_checked_when_it_arrives() -> None:
    assert opened().stored({"id_token": signed(nonce="ours")}, nonce="ours").nonce == "ours"
    with pytest.raises(TokenRefused, match="nonce is not ours"):
        opened().stored({"id_token": signed(nonce="theirs")}, nonce="ours")


def test_a_key_that_is_new_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "fetch_keys", lambda session, client, issuer: key_set(OTHER, "two"))
    found = opened().stored({"id_token": signed(OTHER, "two")})
    assert found.keys == key_set(OTHER, "two")
    with pytest.raises(TokenRefused, match="signature is wrong"):
        opened().stored({"id_token": signed(KEY, "two")})
    with pytest.raises(UnknownKey):
        opened().stored({"id_token": signed(KEY, "three")})


def test_a_service_keeps_no_cache() -> None:
    token = signed(aud="urn:a", sub="batch", client_id="batch")
    assert opened(SERVICE).stored({"access_token": token}).cache == ""
    assert opened().stored({"id_token": signed()}).cache == "the refresh token"


@pytest.mark.parametrize(
    ("client", "answer", "reason"),
    [
        (PERSON, {"error": "access_denied", "id_token": signed()}, "refused the sign-in: access_denied"),
        (PERSON, {"error": "x", "error_description": "no such\nuser"}, "refused the sign-in: no such"),
        (SERVICE, {"error": "invalid_client"}, "refused the service: invalid_client"),
        (PERSON, {"access_token": signed()}, "sent no id token"),
        (PERSON, {"id_token": ""}, "sent no id token"),
        (PERSON, {"id_token": {"a": 1}}, "sent no id token"),
        (SERVICE, {"id_token": signed()}, "sent no access token"),
        (SERVICE, {"access_token": "opaque"}, "an access token that is not a JSON Web Token"),
    ],
)
def test_what_is_no_token_says_why(client: Client, answer: dict[str, Any], reason: str) -> None:
    with pytest.raises(SignInRequired) as caught:
        token_from(answer, client)
    assert caught.value.message.endswith(reason) if "\n" not in reason else reason in caught.value.message
    assert caught.value.hint


def test_what_the_issuer_says_is_one_line_and_ends() -> None:
    assert one_line("AADSTS7000215: no\nTrace ID: 1") == "AADSTS7000215: no"
    assert len(one_line("x" * 5000)) == 300
    assert one_line(" \n ") == ""


def test_an_assertion_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for content in (None, b"", b" \n", b"\xff\xfe"):
        path = tmp_path / "token"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SignInRequired, match="workload_token_file cannot be read or is empty"):
            read_assertion(str(path))


class Renewing:
    """msal's application, which answers a renewal as a test says."""

    def __init__(self, answer: dict[str, Any] | None, *, knows: bool = True) -> None:
        self.answer, self.knows, self.asked = answer, knows, 0

    def get_accounts(self) -> list[str]:
        return ["ann"] if self.knows else []

    def acquire_token_silent_with_error(
        self, scopes: list[str], account: str, force_refresh: bool
    ) -> dict[str, Any] | None:
        self.asked += 1
        assert (scopes, force_refresh) == ([], True), "what was not granted is not asked for"
        return self.answer


def held(**changes: Any) -> StoredSignIn:
    values: dict[str, Any] = {
        "issuer": URL,
        "client_id": "dbgate",
        "service": False,
        "token": signed(nonce="ours"),
        "keys": key_set(KEY, "one"),
        "signed_in_at": 7.0,
        "nonce": "ours",
        "cache": "old",
    }
    return StoredSignIn(**(values | changes))


def renewed(app: Renewing, monkeypatch: pytest.MonkeyPatch, kept: list[StoredSignIn], **changes: Any) -> StoredSignIn:
    def open_application(client: Client, *, cache: str, granted_scopes: tuple[str, ...]) -> Application:
        assert (cache, granted_scopes) == ("old", ())
        return opened(client, app)

    monkeypatch.setattr(renewal, "open_application", open_application)
    return renewal.renew(PERSON, held(**changes), kept.append)


def test_a_renewal_is_the_same_persons_since_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[StoredSignIn] = []
    found = renewed(Renewing({"id_token": signed(nonce="ours")}), monkeypatch, kept)
    assert (found.signed_in_at, found.renewed, found.nonce) == (7.0, True, "ours")
    assert [one.cache for one in kept] == ["the refresh token"]
    without = renewed(Renewing({"id_token": signed()}), monkeypatch, kept, nonce="")
    assert without.renewed


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(nonce="ours", sub="eve"), "renewed for somebody else"),
        (signed(nonce="theirs"), "nonce is not ours"),
        (signed(OTHER, nonce="ours"), "signature is wrong"),
    ],
)
def test_a_renewal_is_checked_and_its_refresh_token_kept_first(
    token: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[StoredSignIn] = []
    with pytest.raises(TokenRefused, match=reason):
        renewed(Renewing({"id_token": token}), monkeypatch, kept)
    assert [one.cache for one in kept] == ["the refresh token"]


def test_what_the_issuer_ended_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[StoredSignIn] = []
    with pytest.raises(SignInRequired, match="the issuer ended the sign-in: revoked"):
        renewed(Renewing({"error": "invalid_grant", "error_description": "revoked"}), monkeypatch, kept)
    assert [(one.cache, one.ended) for one in kept] == [("", "revoked")]
    again = Renewing({"id_token": signed(nonce="ours")})
    with pytest.raises(SignInRequired, match="the issuer ended the sign-in: revoked"):
        renewed(again, monkeypatch, kept, ended="revoked")
    assert again.asked == 0


@pytest.mark.parametrize("app", [Renewing(None), Renewing({"id_token": signed()}, knows=False)])
def test_without_a_refresh_token_a_person_is_asked(app: Renewing, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SignInRequired, match="gave nothing to renew it with"):
        renewed(app, monkeypatch, [])


def test_an_issuer_that_is_busy_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[StoredSignIn] = []
    with pytest.raises(SignInRequired, match="temporarily_unavailable"):
        renewed(Renewing({"error": "temporarily_unavailable"}), monkeypatch, kept)
    assert kept == []


@pytest.mark.parametrize(
    ("granted", "left_out"),
    [(None, []), (("openid", "profile"), ["offline_access"]), (("profile", "offline_access"), [])],
)
def test_msal_asks_nobody_but_the_issuer_and_for_nothing_that_it_does_not_offer(
    granted: tuple[str, ...] | None, left_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[dict[str, Any]] = []

    def create(client_id: str, **options: Any) -> None:
        made.append(options)

    monkeypatch.setattr(msal, "PublicClientApplication", create)
    monkeypatch.setattr(msal, "ConfidentialClientApplication", create)
    monkeypatch.setattr(application, "discover", lambda session, client: opened().issuer)
    monkeypatch.setattr(application, "fetch_keys", lambda session, client, issuer: {})
    application.open_application(PERSON, granted_scopes=granted)
    monkeypatch.setenv("SECRET", "s" * 8)
    application.open_application(SERVICE)
    person, service = made
    assert person["exclude_scopes"] == left_out
    assert (person["oidc_authority"], person["instance_discovery"]) == (URL, False)
    assert (service["client_credential"], service["azure_region"]) == ("s" * 8, False)
    assert isinstance(service["http_client"], IssuerSession)
