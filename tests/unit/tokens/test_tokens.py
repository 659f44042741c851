"""Every way in which a token can be wrong is refused with its reason, and right ones are not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from dbgate.tokens import MAX_TOKEN_BYTES, Expected, TokenExpired, TokenRefused, Use, checks

ISSUER = "https://login.example.com/tenant/v2"
EXPECTED = Expected(ISSUER, ("dbgate",), parties=("dbgate",))
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
EC_384_KEY = ec.generate_private_key(ec.SECP384R1())
EC_521_KEY = ec.generate_private_key(ec.SECP521R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def public(key: Any, kid: str, **extra: Any) -> dict[str, Any]:
    kinds: dict[type, Callable[..., dict[str, Any]]] = {
        rsa.RSAPrivateKey: RSAAlgorithm.to_jwk,
        ec.EllipticCurvePrivateKey: ECAlgorithm.to_jwk,
        ed25519.Ed25519PrivateKey: OKPAlgorithm.to_jwk,
    }
    to_jwk = next(to_jwk for kind, to_jwk in kinds.items() if isinstance(key, kind))
    return {**to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **extra}


KEYS = {
    "keys": [
        public(RSA_KEY, "r1"),
        public(EC_KEY, "e1"),
        public(EC_384_KEY, "e2"),
        public(EC_521_KEY, "e3"),
        public(ED_KEY, "o1"),
    ]
}


def verify(token: str, keys: dict[str, Any], expected: Expected) -> dict[str, Any]:
    return checks.verify(token, keys, expected, datetime.now(UTC))


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    found = {"iss": ISSUER, "sub": "alice", "aud": "dbgate", "iat": now, "exp": now + 3600} | changes
    return {name: value for name, value in found.items() if value is not ...}


def token(payload: dict[str, Any] | None = None, *, key: Any = RSA_KEY, alg: str = "RS256", **header: Any) -> str:
    headers = {"kid": "r1"} | header
    headers = {name: value for name, value in headers.items() if value is not ...}
    return jwt.PyJWS().encode(json.dumps(payload or claims()).encode(), key, algorithm=alg, headers=headers)


def handmade(header: dict[str, Any], payload: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = f"{part(json.dumps(header).encode())}.{part(json.dumps(payload).encode())}"
    return f"{body}.{part(signature(body.encode()))}"


def hmac_with_public_key(body: bytes) -> bytes:
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hmac.new(pem, body, hashlib.sha256).digest()


@pytest.mark.parametrize(
    ("key", "alg", "kid"),
    [
        (RSA_KEY, "RS256", "r1"),
        (RSA_KEY, "RS384", "r1"),
        (RSA_KEY, "RS512", "r1"),
        (RSA_KEY, "PS256", "r1"),
        (RSA_KEY, "PS384", "r1"),
        (RSA_KEY, "PS512", "r1"),
        (EC_KEY, "ES256", "e1"),
        (EC_384_KEY, "ES384", "e2"),
        (EC_521_KEY, "ES512", "e3"),
        (ED_KEY, "EdDSA", "o1"),
    ],
)
def test_the_issuers_own_tokens_are_accepted(key: Any, alg: str, kid: str) -> None:
    assert verify(token(key=key, alg=alg, kid=kid), KEYS, EXPECTED)["sub"] == "alice"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://login.example.com/tenant/v3"}, f"its issuer is not {ISSUER}"),
        ({"iss": ISSUER + "/"}, "its issuer is not"),
        ({"iss": ...}, "it has no iss"),
        ({"iss": ["https://login.example.com/tenant/v2"]}, "its issuer is not"),
        ({"aud": "another"}, "its audience is not dbgate"),
        ({"aud": ["another", "third"]}, "its audience is not dbgate"),
        ({"aud": []}, "it has no aud"),
        ({"aud": ...}, "it has no aud"),
        ({"aud": ["dbgate", 7]}, "its audience is not dbgate"),
        ({"aud": ["dbgate", "another"]}, "several audiences"),
        ({"azp": "another"}, "another client"),
        ({"aud": ["dbgate", "another"], "azp": "another"}, "another client"),
        ({"sub": ...}, "it has no sub"),
        ({"sub": ""}, "its subject is not a name"),
        ({"sub": "a" * 256}, "its subject is not a name"),
        ({"exp": ...}, "it has no exp"),
        ({"exp": "tomorrow"}, "exp is not a number of seconds"),
        ({"exp": None}, "it has no exp"),
        ({"exp": [1]}, "exp is not a number of seconds"),
        ({"exp": 10**400}, "exp is out of range"),
        ({"exp": 10**12}, "exp is out of range"),
        ({"iat": ...}, "it has no iat"),
        ({"iat": {}}, "iat is not a number of seconds"),
        ({"nbf": None}, "nbf is not a number of seconds"),
        ({"nbf": "never"}, "nbf is not a number of seconds"),
        ({"aud": {"dbgate": 1}}, "its audience is not dbgate"),
        ({"sub": 7}, "ubject"),
        ({"exp": True}, "exp is not a number of seconds"),
        ({"exp": float("nan")}, "exp is not a number of seconds"),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, "tells of an event"),
    ],
)
def test_a_wrong_claim_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TokenRefused) as error:
        verify(token(claims(**changes)), KEYS, EXPECTED)
    assert reason in error.value.message
    assert error.value.hint == (checks.AUDIENCE if "audience is not" in reason else "run: dbgate login")
    assert error.value.exit_code == 5


@pytest.mark.parametrize(
    "header",
    [
        {"alg": ["RS256"], "kid": "r1"},
        {"alg": {"RS256": 1}, "kid": "r1"},
        {"alg": None, "kid": "r1"},
        {"kid": "r1"},
        {"alg": "RS256", "kid": ["r1"]},
        {"alg": "RS256", "kid": 1},
        {"alg": "RS256", "kid": "r1", "typ": ["JWT"]},
        {"alg": "rs256", "kid": "r1"},
    ],
)
def test_an_odd_header_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        verify(handmade(header, claims(), lambda body: b"signature"), KEYS, EXPECTED)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1e400"])
def test_an_endless_number_is_refused(number: str) -> None:
    payload = json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {number}')
    body = jwt.PyJWS().encode(payload.encode(), RSA_KEY, algorithm="RS256", headers={"kid": "r1"})
    with pytest.raises(TokenRefused):
        verify(body, KEYS, EXPECTED)


def test_clocks_may_differ_by_a_minute_and_no_more() -> None:
    now = int(time.time())
    assert verify(token(claims(exp=now - 50)), KEYS, EXPECTED)
    assert verify(token(claims(iat=now + 50, nbf=now + 50)), KEYS, EXPECTED)
    for early in ("iat", "nbf"):
        with pytest.raises(TokenRefused, match="not valid yet"):
            verify(token(claims(**{early: now + 120})), KEYS, EXPECTED)
    with pytest.raises(TokenRefused, match="not valid yet"):
        verify(token(claims(iat=now + 120, nbf=now - 5)), KEYS, EXPECTED)
    with pytest.raises(TokenExpired) as error:
        verify(token(claims(exp=now - 61)), KEYS, EXPECTED)
    assert error.value.message == "the sign-in has expired"


def test_several_audiences_need_the_authorized_party() -> None:
    both = claims(aud=["dbgate", "another"], azp="dbgate")
    assert verify(token(both), KEYS, EXPECTED)["azp"] == "dbgate"

    alone = claims(aud=["dbgate"])
    assert verify(token(alone), KEYS, EXPECTED)
    with pytest.raises(TokenRefused, match="several audiences"):
        verify(token(claims(aud=["dbgate", "another"])), KEYS, Expected(ISSUER, ("dbgate",), use=Use.EITHER))
    assert verify(token(claims(aud=["dbgate", "x"])), KEYS, Expected(ISSUER, ("dbgate",), use=Use.ACCESS))


@pytest.mark.parametrize(
    ("use", "taken"),
    [
        (Use.ID, {"", "JWT", "jwt"}),
        (Use.ACCESS, {"", "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"}),
        (Use.EITHER, {"", "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"}),
    ],
)
def test_kinds_of_tokens(use: Use, taken: set[Any]) -> None:
    expected = Expected(ISSUER, ("dbgate",), use=use)
    others = {"logout+jwt", "secevent+jwt", "dpop+jwt", "dbgate-grant+jwt", "x"}
    for typ in taken | others | {"at+jwt", "application/at+jwt"}:
        made = token(typ=typ)
        if typ in taken:
            assert verify(made, KEYS, expected)
        else:
            with pytest.raises(TokenRefused, match="another kind of token"):
                verify(made, KEYS, expected)


def test_what_has_to_be_understood_is_refused_here_too() -> None:
    """PyJWT refuses `crit` by itself today, and subjects that are no text: neither depends on it."""
    with pytest.raises(TokenRefused, match="another kind of token"):
        checks.check_type({"alg": "RS256", "crit": ["b64"]}, EXPECTED)
    for subject in (7, ["alice"], None, ""):
        with pytest.raises(TokenRefused, match="its subject is not a name"):
            checks.check_parties(claims(sub=subject), EXPECTED)


def test_whom_an_id_token_was_issued_to_is_the_authorized_party_alone() -> None:
    assert verify(token(claims(client_id="another", appid="another")), KEYS, EXPECTED)
    with pytest.raises(TokenRefused, match="another client"):
        verify(token(claims(azp="another")), KEYS, EXPECTED)


def test_no_signature_and_shared_secrets_are_refused() -> None:
    unsigned = handmade({"alg": "none", "typ": "JWT", "kid": "r1"}, claims(), lambda body: b"")
    confused = handmade({"alg": "HS256", "typ": "JWT", "kid": "r1"}, claims(), hmac_with_public_key)
    for bad, algorithm in ((unsigned, "none"), (confused, "HS256"), (unsigned.replace(".", "..", 1), "")):
        with pytest.raises(TokenRefused) as error:
            verify(bad, KEYS, EXPECTED)
        assert algorithm in error.value.message


def test_a_shared_secret_among_the_issuers_keys_verifies_nothing() -> None:
    secret = {"kty": "oct", "kid": "s1", "k": base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()}
    forged = handmade(
        {"alg": "HS256", "kid": "s1"}, claims(), lambda body: hmac.new(b"s" * 32, body, "sha256").digest()
    )
    with pytest.raises(TokenRefused, match="HS256"):
        verify(forged, {"keys": [secret]}, EXPECTED)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda: token(kid="r2"), "no RS256 key 'r2'"),
        (lambda: token(key=OTHER_RSA_KEY), "its signature is wrong"),
        (lambda: token(kid="e1"), "no RS256 key 'e1'"),
        (lambda: token(key=EC_KEY, alg="ES256", kid="e2"), "no ES256 key 'e2'"),
        (lambda: token(typ="at+jwt"), "another kind of token"),
        (lambda: token(typ="logout+jwt"), "another kind of token"),
        (lambda: token(crit=["exp"], exp=1), "not a signed"),
        (lambda: token(kid=..., key=OTHER_RSA_KEY), "its signature is wrong"),
        (lambda: "", "not a signed"),
        (lambda: "a.b", "not a signed"),
        (lambda: "é.é.é", "not a signed"),
        (lambda: "x" * (MAX_TOKEN_BYTES + 1), "longer than"),
    ],
)
def test_a_wrong_key_or_shape_is_refused(bad: Callable[[], str], reason: str) -> None:
    with pytest.raises(TokenRefused) as error:
        verify(bad(), KEYS, EXPECTED)
    assert reason in error.value.message


def test_a_key_in_the_header_is_not_trusted() -> None:
    brought = token(key=OTHER_RSA_KEY, jwk=public(OTHER_RSA_KEY, "r1"), jku="https://evil.example/keys")
    with pytest.raises(TokenRefused, match="its signature is wrong"):
        verify(brought, KEYS, EXPECTED)


@pytest.mark.parametrize(
    "binding",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"key_ops": ["encrypt"]},
        {"key_ops": {"verify": True}},
        {"key_ops": 7},
        {"kty": "oct"},
    ],
    ids=str,
)
def test_what_the_issuer_says_of_a_key_binds(binding: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused, match="no RS256 key 'r1'"):
        verify(token(), {"keys": [public(RSA_KEY, "r1") | binding]}, EXPECTED)


@pytest.mark.parametrize("keys", [{}, {"keys": None}, {"keys": []}, {"keys": [None, 3]}, {"keys": "r1"}])
def test_an_odd_key_set_refuses_everything(keys: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused, match="no RS256 key"):
        verify(token(), keys, EXPECTED)


def test_two_keys_that_fit_are_refused_rather_than_tried() -> None:
    with pytest.raises(TokenRefused, match="several"):
        verify(token(), {"keys": [public(OTHER_RSA_KEY, "r1"), public(RSA_KEY, "r1")]}, EXPECTED)


def test_one_key_without_a_name_serves_tokens_without_one() -> None:
    assert verify(token(kid=...), {"keys": [public(RSA_KEY, "r1")]}, EXPECTED)["sub"] == "alice"
    with pytest.raises(TokenRefused, match="several"):
        verify(token(kid=...), {"keys": [public(RSA_KEY, "r1"), public(OTHER_RSA_KEY, "r2")]}, EXPECTED)


def test_short_keys_of_the_issuer_are_refused() -> None:
    short = rsa.generate_private_key(65537, 1024)
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        weak = token(key=short)
    with pytest.raises(TokenRefused, match="shorter than 2048 bits"):
        verify(weak, {"keys": [public(short, "r1")]}, EXPECTED)


def test_keys_rotate() -> None:
    before, after = {"keys": [public(RSA_KEY, "r1")]}, {"keys": [public(OTHER_RSA_KEY, "r2")]}
    old, new = token(), token(key=OTHER_RSA_KEY, kid="r2")
    assert verify(old, before, EXPECTED)["sub"] == verify(new, after, EXPECTED)["sub"] == "alice"
    for gone, keys in ((old, after), (new, before)):
        with pytest.raises(TokenRefused, match="the issuer has no RS256 key"):
            verify(gone, keys, EXPECTED)


def test_the_nonce_is_ours() -> None:
    asked = Expected(ISSUER, ("dbgate",), parties=("dbgate",), nonce="n-1")
    assert verify(token(claims(nonce="n-1")), KEYS, asked)
    for bad in (claims(), claims(nonce="n-2"), claims(nonce=["n-1"]), claims(nonce=None)):
        with pytest.raises(TokenRefused, match="nonce"):
            verify(token(bad), KEYS, asked)


def test_a_renewed_token_may_leave_the_nonce_out_but_not_change_it() -> None:
    renewed = Expected(ISSUER, ("dbgate",), parties=("dbgate",), nonce="n-1", renewed=True)
    assert verify(token(), KEYS, renewed)
    with pytest.raises(TokenRefused, match="nonce"):
        verify(token(claims(nonce="n-2")), KEYS, renewed)


def test_a_services_access_token() -> None:
    service = Expected(ISSUER, ("urn:dbgate",), use=Use.ACCESS, parties=("batch",))
    good = claims(aud="urn:dbgate", sub="batch", client_id="batch")
    assert verify(token(good, typ="at+jwt"), KEYS, service)["sub"] == "batch"
    assert verify(token(good), KEYS, service)["sub"] == "batch"
    for changes, reason in (
        ({"client_id": "another"}, "another client"),
        ({"appid": "another"}, "another client"),
        ({"aud": "dbgate"}, "its audience is not urn:dbgate"),
    ):
        with pytest.raises(TokenRefused, match=reason):
            verify(token(good | changes, typ="at+jwt"), KEYS, service)


def test_every_changed_character_is_detected() -> None:
    good = token(key=EC_KEY, alg="ES256", kid="e1")
    for place in range(0, len(good), 3):
        other = "A" if good[place] != "A" else "B"
        with pytest.raises(TokenRefused):
            verify(good[:place] + other + good[place + 1 :], KEYS, EXPECTED)
