"""Is this token the issuer's, for us, and valid now? (OpenID Connect Core §3.1.3.7, RFC 8725, RFC 9068.)

msal does not ask; we do, when a token arrives and again whenever a stored one is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from dbgate.errors import SignInRequired

if TYPE_CHECKING:
    from jwt import PyJWK

ALGORITHMS: dict[str, tuple[str, str]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Allowed signature algorithms, and the key type and curve that each one needs. No `none`, no shared secrets."""

SKEW_S = 60
"""How far the issuer's clock may be from ours, in seconds."""

MAX_TOKEN_BYTES = 48 * 1024
"""A token travels in an HTTP header; servers take 64 KiB of headers in all."""

MIN_RSA_BITS = 2048

FAR_AHEAD = 32_503_680_000
"""The year 3000, in seconds since 1970."""

ID_TOKEN_TYPES = frozenset({"", "jwt"})
ACCESS_TOKEN_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})


class TokenRefused(SignInRequired):
    """A token failed a check. The message says which."""


class TokenExpired(TokenRefused):
    """A token was good once: a new one may be fetched."""


class UnknownKey(TokenRefused):
    """The token names a key that is not in the set: the issuer may have a new one."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. `access` expects a service's access token instead of an ID token.

    `nonce` is what was sent with the sign-in, or empty; a renewed token may leave it out (`renewed`).
    """

    issuer: str
    client_id: str
    audience: str
    access: bool = False
    nonce: str = ""
    renewed: bool = False


def verify(token: str, keys: Mapping[str, Any], expected: Expected) -> dict[str, Any]:
    """Return the claims of `token`, or raise `TokenRefused` (`TokenExpired` when only time is against it).

    `keys` is the issuer's JSON Web Key Set (RFC 7517). Times may be off by `SKEW_S` seconds.
    """
    import jwt

    if len(token) > MAX_TOKEN_BYTES:
        refuse(f"it is longer than {MAX_TOKEN_BYTES} bytes")
    try:
        header = read_header(token)
        key = select_key(header, keys, ID_TOKEN_TYPES if not expected.access else ACCESS_TOKEN_TYPES)
        claims = jwt.decode(
            token,
            key=key,
            algorithms=[header["alg"]],
            issuer=expected.issuer,
            audience=expected.audience,
            leeway=SKEW_S,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.ExpiredSignatureError:
        raise TokenExpired("the sign-in has expired", hint="run: dbgate login") from None
    except jwt.ImmatureSignatureError:
        refuse("it is not valid yet; is this machine's clock right?")
    except (jwt.PyJWTError, OverflowError, TypeError, ValueError) as error:
        refuse(explain(error, expected))
    if not 0 < float(min(claims["exp"], FAR_AHEAD)) < FAR_AHEAD:
        refuse("its expiry is out of range")
    check_parties(claims, expected)
    check_nonce(claims, expected)
    return claims


def read_header(token: str) -> dict[str, Any]:
    """The header of a token, not to be trusted yet. Raises `TokenRefused` for anything but a signed token."""
    import jwt

    try:
        return jwt.get_unverified_header(token)
    except jwt.DecodeError:
        refuse("it is not a signed JSON Web Token")


def select_key(header: Mapping[str, Any], keys: Mapping[str, Any], types: frozenset[str]) -> PyJWK:
    """The one key of the issuer that the header names and its algorithm fits."""
    from jwt import PyJWK

    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        refuse(f"its algorithm {algorithm!r} is not allowed")
    if "crit" in header or str(header.get("typ", "")).lower() not in types:
        refuse("it is another kind of token")
    fitting = [key for key in listed(keys) if fits(key, algorithm) and kid in (None, key.get("kid"))]
    if not fitting:
        raise UnknownKey(f"the token was refused: the issuer has no {algorithm} key {kid!r}", hint="run: dbgate login")
    if len(fitting) > 1:
        refuse(f"several of the issuer's keys fit {algorithm} and key {kid!r}")
    key = PyJWK(dict(fitting[0]), algorithm=algorithm)
    if getattr(key.key, "key_size", MIN_RSA_BITS) < MIN_RSA_BITS and ALGORITHMS[algorithm][0] == "RSA":
        refuse(f"the issuer's key is shorter than {MIN_RSA_BITS} bits")
    return key


def listed(keys: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The keys of a key set that are objects at all."""
    found = keys.get("keys")
    return [key for key in found if isinstance(key, Mapping)] if isinstance(found, Sequence) else []


def fits(key: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key may verify signatures of `algorithm`. Its own `alg`, `use` and `key_ops` bind (RFC 7517 §4)."""
    kind, curve = ALGORITHMS[algorithm]
    return (
        key.get("kty") == kind
        and (not curve or key.get("crv") == curve)
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and "verify" in key.get("key_ops", ["verify"])
    )


def check_parties(claims: Mapping[str, Any], expected: Expected) -> None:
    """The subject is a name, and the token was issued to us and not to another client."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        refuse("its subject is not a name")
    audience = claims["aud"]
    named = ("azp", "client_id", "appid") if expected.access else ("azp",)
    if any(claims.get(name, expected.client_id) != expected.client_id for name in named):
        refuse("it was issued to another client")
    if not expected.access and isinstance(audience, list) and len(audience) > 1 and "azp" not in claims:
        refuse("it has several audiences and names no authorized party")


def check_nonce(claims: Mapping[str, Any], expected: Expected) -> None:
    """The token answers our own request. OpenID Connect Core §12.2 lets a renewed one leave the nonce out."""
    if not expected.nonce or (expected.renewed and "nonce" not in claims):
        return
    if claims.get("nonce") != expected.nonce:
        refuse("its nonce is not ours: it may be a replay")


def explain(error: Exception, expected: Expected) -> str:
    """What went wrong with a token, for people."""
    import jwt

    match error:
        case jwt.InvalidSignatureError():
            return "its signature is wrong"
        case jwt.InvalidIssuerError():
            return f"its issuer is not {expected.issuer}"
        case jwt.InvalidAudienceError():
            return f"its audience is not {expected.audience}"
        case jwt.MissingRequiredClaimError():
            return f"it has no {error.claim}"
        case jwt.PyJWTError():
            return str(error)[:200]
    return "a time in it is not a number, or out of range"


def refuse(reason: str) -> NoReturn:
    """Raise `TokenRefused` with the reason."""
    raise TokenRefused(f"the token was refused: {reason}", hint="run: dbgate login")
