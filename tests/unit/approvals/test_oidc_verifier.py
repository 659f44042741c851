"""Tokens of an OpenID provider, against a real HTTP issuer on a loopback port that says what each test wants."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.approvals.issuer import AUDIENCE, ED, NOW, Issuer, jwk, serving
from tests.approvals.kit import ALICE, HandClock

from dbgate.approvals.local import mint_local_token
from dbgate.approvals.oidc import MAX_WAITING, OidcVerifier
from dbgate.errors import SignInRequired, Unreachable, UsageError
from dbgate.model import Actor, Assurance

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
OTHER = Ed25519PrivateKey.generate()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer(keys=[jwk(ED, "ed"), jwk(RSA, "rsa"), jwk(P256, "p256"), jwk(P384, "p384"), jwk(SMALL_RSA, "small")])
    with serving(made):
        yield made


def refused(issuer: Issuer, token: str, **options: Any) -> str:
    with pytest.raises(SignInRequired) as caught:
        issuer.verifier(**options).verify(token)
    assert caught.value.exit_code == 5
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(ED, "EdDSA", "ed"), (RSA, "RS256", "rsa"), (RSA, "PS256", "rsa"), (P256, "ES256", "p256")],
)
def test_good_tokens(issuer: Issuer, key: Any, algorithm: str, kid: str) -> None:
    found = issuer.verifier().verify(issuer.token(key, algorithm, kid))
    assert (found.issuer, found.subject, found.email) == (issuer.url, "u-1", "ann@example.com")
    assert found.groups == ("dba", "engineering")
    assert found.actor is Actor.HUMAN
    assert found.assurance is Assurance.OIDC
    assert found.expires_at is not None
    assert found.expires_at.timestamp() == NOW + 300


def test_keys_are_fetched_once_and_tokens_are_checked_every_time(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    token = issuer.token()
    for _ in range(3):
        verifier.verify(token)
    assert issuer.asked == ["/tenant/.well-known/openid-configuration", "/tenant/jwks"]
    issuer.clock.advance(361)
    with pytest.raises(SignInRequired, match="expired"):
        verifier.verify(token)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://login.example.com"}, "issuer"),
        ({"iss": None}, "iss"),
        ({"aud": "another-app"}, "udience"),
        ({"aud": ["another-app"]}, "udience"),
        ({"aud": None}, "aud"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "subject is not a name"),
        ({"sub": 7}, "ubject"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "exp is not a number"),
        ({"iat": None}, "iat"),
        ({"iat": NOW + 61}, "not valid yet"),
        ({"nbf": NOW + 61}, "not valid yet"),
        ({"nbf": "now"}, "nbf is not a number"),
        ({"email": ["ann@example.com"]}, "'email' is not text"),
        ({"groups": "dba"}, "not a list of group names"),
        ({"groups": ["dba", 7]}, "not a list of group names"),
        ({"groups": ["dba", ""]}, "not a list of group names"),
        ({"groups": ["dba\n"]}, "not a list of group names"),
        ({"groups": {"dba": True}}, "not a list of group names"),
        ({"groups": [f"g{n}" for n in range(1001)]}, "more than 1000"),
        ({"groups": None, "_claim_names": {"groups": "src1"}}, "left the groups out because there are too many"),
        ({"groups": None, "hasgroups": True}, "left the groups out because there are too many"),
        ({"act": "bot"}, "'act' names nobody"),
        ({"act": {"iss": "x"}}, "'act' names nobody"),
    ],
)
def test_refused_claims(issuer: Issuer, changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(issuer, issuer.token(**changes))


@pytest.mark.parametrize("changes", [{"exp": NOW - 59}, {"iat": NOW + 59}, {"nbf": NOW + 59}])
def test_clocks_may_differ_by_a_minute(issuer: Issuer, changes: dict[str, Any]) -> None:
    assert issuer.verifier().verify(issuer.token(**changes)).subject == "u-1"


def test_a_token_for_several_audiences_names_the_client_that_it_was_issued_to(issuer: Issuer) -> None:
    both = ["another-app", AUDIENCE]
    assert "names no authorized party" in refused(issuer, issuer.token(aud=both))
    assert issuer.verifier().verify(issuer.token(aud=both, azp=AUDIENCE)).subject == "u-1"
    assert issuer.verifier().verify(issuer.token(aud=both, client_id="batch")).subject == "u-1"


def test_the_clients_that_count_can_be_named(issuer: Issuer) -> None:
    options = {"clients": [AUDIENCE, "batch"]}
    for good in ({}, {"azp": AUDIENCE}, {"client_id": "batch"}):
        assert issuer.verifier(**options).verify(issuer.token(**good)).subject == "u-1"
    for bad in ({"azp": "another-app"}, {"appid": "another-app"}, {"azp": AUDIENCE, "client_id": "another-app"}):
        assert "issued to another client" in refused(issuer, issuer.token(**bad), **options)


@pytest.mark.parametrize("header", [{"typ": "logout+jwt"}, {"typ": "secevent+jwt"}, {"crit": ["b64"], "b64": True}])
def test_other_kinds_of_tokens_of_the_issuer_are_no_proof(issuer: Issuer, header: dict[str, Any]) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    body = json.dumps(claims).encode()
    made = jwt.PyJWS().encode(body, ED, algorithm="EdDSA", headers={"kid": "ed"} | header)
    reason = "not a signed JSON Web Token" if "crit" in header else "another kind of token"
    assert reason in refused(issuer, made)
    assert "tells of an event" in refused(issuer, issuer.token(events={"http://schemas.openid.net/event/x": {}}))


def test_no_groups_at_all_is_no_groups(issuer: Issuer) -> None:
    assert issuer.verifier().verify(issuer.token(groups=None)).groups == ()
    assert issuer.verifier(groups_claim="roles").verify(issuer.token(roles=["dba"])).groups == ("dba",)


def test_who_acts(issuer: Issuer) -> None:
    verifier = issuer.verifier(actor_claim="kind")
    agent = verifier.verify(issuer.token(act={"sub": "bot-7"}))
    assert (agent.actor, agent.subject, agent.on_behalf_of) == (Actor.AGENT, "u-1", "ann@example.com")
    assert agent.name == "bot-7 for Ann"
    assert verifier.verify(issuer.token(email=None, act={"sub": "bot-7"})).on_behalf_of == "u-1"
    for marks in ({"idtyp": "app"}, {"gty": "client-credentials"}, {"azp": "u-1"}, {"kind": "service"}):
        assert verifier.verify(issuer.token(**marks)).actor is Actor.SERVICE
    assert verifier.verify(issuer.token(azp=AUDIENCE)).actor is Actor.HUMAN
    with pytest.raises(SignInRequired, match="kind"):
        verifier.verify(issuer.token(kind="robot"))


@pytest.mark.parametrize("verified", [False, "false", 0, None])
def test_an_unverified_email_is_left_out(issuer: Issuer, verified: object) -> None:
    claims: dict[str, Any] = {"email_verified": verified} if verified is not None else {}
    found = issuer.verifier().verify(issuer.token(**claims))
    assert found.email == ("" if claims else "ann@example.com")


def _raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> tuple[str, str]:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join(parts), base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES256K", "", 7, None])
def test_algorithms_that_do_not_count(issuer: Issuer, algorithm: object) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    text, _ = _raw({"alg": algorithm, "kid": "rsa"}, claims)
    assert "algorithm" in refused(issuer, f"{text}.")


def test_hmac_with_the_issuers_public_key(issuer: Issuer) -> None:
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    for algorithm in ("HS256", "RS256"):
        text, _ = _raw({"alg": algorithm, "kid": "rsa"}, claims)
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        assert refused(issuer, f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


def test_a_key_is_used_for_its_own_algorithm_only(issuer: Issuer) -> None:
    issuer.keys = [jwk(RSA, "rsa", alg="RS256"), jwk(ED, "enc", use="enc"), jwk(P384, "p384"), jwk(SMALL_RSA, "small")]
    assert issuer.verifier().verify(issuer.token(RSA, "RS256", "rsa")).subject == "u-1"
    assert "the issuer has no" in refused(issuer, issuer.token(RSA, "PS256", "rsa"))
    assert "the issuer has no" in refused(issuer, issuer.token(ED, "EdDSA", "enc"))
    assert "the issuer has no" in refused(issuer, issuer.token(ED, "EdDSA", "rsa"))
    assert "the issuer has no" in refused(issuer, issuer.token(P256, "ES256", "p384"))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_short_keys(issuer: Issuer) -> None:
    assert "shorter than 2048 bits" in refused(issuer, issuer.token(SMALL_RSA, "RS256", "small"))


def test_signed_by_somebody_else(issuer: Issuer) -> None:
    assert "ignature" in refused(issuer, issuer.token(OTHER))
    assert "the issuer has no" in refused(issuer, issuer.token(OTHER, kid="other"))


def test_a_local_identity_is_told_what_to_set(issuer: Issuer, tmp_path: Path) -> None:
    with pytest.raises(SignInRequired, match="of a local identity") as caught:
        issuer.verifier().verify(mint_local_token(tmp_path, ALICE))
    assert "identity.provider" in caught.value.hint


def test_without_a_key_id_only_the_one_fitting_key_counts(issuer: Issuer) -> None:
    assert issuer.verifier().verify(issuer.token(kid=None)).subject == "u-1"
    issuer.keys.append(jwk(OTHER, "ed-2"))
    assert "several of the issuer's keys" in refused(issuer, issuer.token(kid=None))


def test_an_oct_key_of_the_issuer_is_never_used(issuer: Issuer) -> None:
    secret = base64.urlsafe_b64encode(b"k" * 32).decode()
    issuer.keys = [{"kty": "oct", "k": secret, "kid": "ed", "alg": "EdDSA"}, "nonsense", None]
    assert "the issuer has no" in refused(issuer, issuer.token())


def test_key_rotation_and_the_pause_between_searches(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    verifier.verify(issuer.token())
    issuer.clock.advance(5)
    issuer.keys = [jwk(OTHER, "new")]
    assert verifier.verify(issuer.token(OTHER, kid="new")).subject == "u-1"
    with pytest.raises(SignInRequired, match="the issuer has no"):
        verifier.verify(issuer.token())
    asked = len(issuer.asked)
    for number in range(5):
        issuer.clock.advance(2)
        with pytest.raises(SignInRequired):
            verifier.verify(issuer.token(kid=f"made-up-{number}"))
    assert len(issuer.asked) == asked, "made-up key ids must not make the service ask the issuer again"
    issuer.clock.advance(31)
    with pytest.raises(SignInRequired):
        verifier.verify(issuer.token(kid="made-up"))
    assert len(issuer.asked) == asked + 2


def test_an_issuer_that_is_away(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    verifier.verify(issuer.token())
    issuer.status = 503
    issuer.clock.advance(301)
    assert verifier.verify(issuer.token(exp=NOW + 9000)).subject == "u-1"
    issuer.clock.advance(3600)
    with pytest.raises(Unreachable, match="answered with 503"):
        verifier.verify(issuer.token(exp=NOW + 9000))
    asked = len(issuer.asked)
    with pytest.raises(Unreachable, match="could not be fetched"):
        verifier.verify(issuer.token(exp=NOW + 9000))
    assert len(issuer.asked) == asked, "a failing issuer is not asked again at once"


@pytest.mark.parametrize(
    ("discovery", "reason"),
    [
        ({"issuer": "http://127.0.0.1/tenant"}, "names another issuer"),
        ({"jwks_uri": "http://keys.example.com/jwks"}, "https URL"),
        ({"jwks_uri": "file:///etc/passwd"}, "https URL"),
        ({"jwks_uri": None}, "https URL"),
        ({"filler": "x" * 1024 * 1024}, "more than 1048576 bytes"),
    ],
)
def test_a_discovery_document_that_lies(issuer: Issuer, discovery: dict[str, Any], reason: str) -> None:
    issuer.discovery = discovery
    with pytest.raises(Unreachable, match=reason):
        issuer.verifier().verify(issuer.token())


def test_redirects_are_not_followed(issuer: Issuer) -> None:
    issuer.status = 302
    with pytest.raises(Unreachable, match="answered with 302"):
        issuer.verifier().verify(issuer.token())


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "." * 50, "\ud800", "A" * 60_000])
def test_no_token_at_all(issuer: Issuer, token: str) -> None:
    assert "refused" in refused(issuer, token)


def test_what_a_verifier_needs() -> None:
    with pytest.raises(UsageError, match="https"):
        OidcVerifier("http://login.example.com", ["x"], clock=HandClock())
    with pytest.raises(UsageError, match="audience"):
        OidcVerifier("https://login.example.com", [], clock=HandClock())
    with pytest.raises(UsageError, match="audience"):
        OidcVerifier("https://login.example.com", [""], clock=HandClock())


def test_an_unknown_key_right_after_the_keys_were_fetched_is_not_searched_for(issuer: Issuer) -> None:
    assert "the issuer has no" in refused(issuer, issuer.token(kid="made-up"))
    assert len(issuer.asked) == 2, "the description and the keys, once"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (b'{"keys": {}}', "is not a key set"),
        (b"{}", "is not a key set"),
        (b"[]", "did not answer with a JSON object"),
        (b"<html>", "did not answer with JSON"),
        (b"[" * 100_000, "did not answer with JSON"),
        (b"\xff", "did not answer with JSON"),
    ],
)
def test_what_is_no_key_set(issuer: Issuer, keys: bytes, reason: str) -> None:
    issuer.raw_keys = keys
    with pytest.raises(Unreachable, match=reason):
        issuer.verifier().verify(issuer.token())


def test_the_answer_to_a_sign_in_is_an_id_token_with_its_nonce(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    assert verifier.claims(issuer.token(nonce="n-1"), nonce="n-1")["sub"] == "u-1"
    for nonce in (None, "n-2"):
        with pytest.raises(SignInRequired, match="nonce is not ours"):
            verifier.claims(issuer.token(nonce=nonce), nonce="n-1")
    access = jwt.encode(
        jwt.decode(issuer.token(nonce="n-1"), options={"verify_signature": False}),
        ED,
        algorithm="EdDSA",
        headers={"kid": "ed", "typ": "at+jwt"},
    )
    assert verifier.verify(access).subject == "u-1"
    with pytest.raises(SignInRequired, match="another kind of token"):
        verifier.claims(access, nonce="n-1")


def test_the_claim_with_the_groups_can_be_named(issuer: Issuer) -> None:
    assert issuer.verifier(groups_claim="roles").verify(issuer.token(roles=["ops"])).groups == ("ops",)


def test_nobody_waits_for_an_issuer_that_hangs_while_there_are_keys(
    issuer: Issuer, wait_until: Callable[..., None]
) -> None:
    verifier = issuer.verifier()
    verifier.verify(issuer.token())
    issuer.clock.advance(301)
    issuer.answers.clear()
    asked = len(issuer.asked)
    token = issuer.token(exp=NOW + 9000)
    with ThreadPoolExecutor() as threads:
        fetching = threads.submit(verifier.verify, token)
        wait_until(lambda: len(issuer.asked) > asked)
        assert verifier.verify(token).subject == "u-1"
        assert not fetching.done()
        issuer.answers.set()
        assert fetching.result(30).subject == "u-1"


def test_only_so_many_wait_for_an_issuer_that_hangs(issuer: Issuer, wait_until: Callable[..., None]) -> None:
    verifier = issuer.verifier()
    issuer.answers.clear()
    with ThreadPoolExecutor(MAX_WAITING + 2) as threads:
        waiting = [threads.submit(verifier.verify, issuer.token()) for _ in range(MAX_WAITING + 2)]
        wait_until(lambda: any(one.done() for one in waiting))
        [(sent_away, error)] = [(one, one.exception()) for one in waiting if one.done()]
        assert isinstance(error, Unreachable)
        assert "being fetched" in error.message
        issuer.answers.set()
        assert {one.result(30).subject for one in waiting if one is not sent_away} == {"u-1"}
    assert issuer.asked == ["/tenant/.well-known/openid-configuration", "/tenant/jwks"]


def test_a_clock_that_is_set_back_does_not_keep_old_keys(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    issuer.clock.advance(50)
    verifier.verify(issuer.token())
    issuer.clock.advance(-50)
    issuer.keys = [jwk(OTHER, "new")]
    assert verifier.verify(issuer.token(OTHER, kid="new")).subject == "u-1"
    with pytest.raises(SignInRequired, match="the issuer has no"):
        verifier.verify(issuer.token())
