"""Is this token the issuer's, for us, and valid now? (OpenID Connect Core §3.1.3.7, RFC 8725, RFC 9068.)

msal does not ask; we do: the command line when a token arrives and again whenever a stored one is used, the
approvals service with every request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dbgate.tokens.keys import select_key
from dbgate.tokens.refusals import SIGN_IN, TokenExpired, TokenRefused, refuse
from dbgate.tokens.times import MAX_SKEW_S, expired_since_s, why_not_now

MAX_TOKEN_BYTES = 48 * 1024
"""A token travels in an HTTP header; servers take 64 KiB of headers in all."""

AUDIENCE = (
    "a person's token is for identity.client_id, a service's for identity.audience; the approvals service takes those"
    " that its own configuration or --audience names"
)
"""What to look at when a token is for somebody else: signing in again gives the same one."""

MAX_SUBJECT_CHARS = 255
"""OpenID Connect Core §2: `sub` has at most 255 ASCII characters."""


class Use(StrEnum):
    """What a token may be: a person's ID token, a service's access token, or either."""

    ID = "id"
    ACCESS = "access"
    EITHER = "either"


TYPES: dict[Use, frozenset[str]] = {
    Use.ID: frozenset({"", "jwt"}),
    Use.ACCESS: frozenset({"", "jwt", "at+jwt", "application/at+jwt"}),
    Use.EITHER: frozenset({"", "jwt", "at+jwt", "application/at+jwt"}),
}
"""The header's `typ` for each use, in lower case: other tokens of the issuer are no proof of who somebody is."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say.

    `audiences`: one of them must be named. `parties`: the clients that it may have been issued to; empty for any.
    `nonce` is what was sent with the sign-in, or empty; a renewed token may leave it out (`renewed`).
    """

    issuer: str
    audiences: tuple[str, ...]
    use: Use = Use.ID
    parties: tuple[str, ...] = ()
    nonce: str = ""
    renewed: bool = False


def verify(token: str, keys: Mapping[str, Any], expected: Expected, now: datetime) -> dict[str, Any]:
    """Return the claims of `token`, or raise `TokenRefused` (`TokenExpired`, `UnknownKey` where that is all).

    `keys` is the issuer's JSON Web Key Set (RFC 7517). Times may be off by `MAX_SKEW_S` seconds.
    """
    import jwt

    if len(token) > MAX_TOKEN_BYTES:
        refuse(
            f"it is longer than {MAX_TOKEN_BYTES} bytes", hint="let the issuer send only the groups that dbgate needs"
        )
    header = read_header(token)
    check_type(header, expected)
    key = select_key(header, keys)
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key=key,
            algorithms=[header["alg"]],
            issuer=expected.issuer,
            audience=expected.audiences,
            options={
                "require": ["iss", "sub", "aud", "exp", "iat"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (jwt.PyJWTError, OverflowError, TypeError, ValueError) as error:
        refuse(explain(error, expected), hint=AUDIENCE if isinstance(error, jwt.InvalidAudienceError) else SIGN_IN)
    check_times(claims, now)
    check_kind(claims)
    check_parties(claims, expected)
    check_nonce(claims, expected)
    return claims


def read_header(token: str) -> dict[str, Any]:
    """The header of a token, not to be trusted yet. Raises `TokenRefused` for anything but a signed token."""
    import jwt

    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, UnicodeError, RecursionError):
        refuse("it is not a signed JSON Web Token")


def check_type(header: Mapping[str, Any], expected: Expected) -> None:
    """The header says nothing that has to be understood (`crit`), and names no other kind of token."""
    if "crit" in header or str(header.get("typ", "")).lower() not in TYPES[expected.use]:
        refuse("it is another kind of token")


def check_times(claims: Mapping[str, Any], now: datetime) -> None:
    """`exp`, `iat` and `nbf` hold, with a minute of difference between clocks."""
    reason = why_not_now(claims, now, exp_skew_s=MAX_SKEW_S)
    if not reason:
        return
    if expired_since_s(claims, now) >= MAX_SKEW_S:
        raise TokenExpired("the sign-in has expired", hint="run: dbgate login")
    refuse(reason)


def check_kind(claims: Mapping[str, Any]) -> None:
    """No logout token and no security event: they have the same issuer, audience and keys (Back-Channel Logout §2.4)."""
    if "events" in claims:
        refuse("it tells of an event and is no sign-in")


def check_parties(claims: Mapping[str, Any], expected: Expected) -> None:
    """The subject is a name, and the token was issued to a client that counts."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARS:
        refuse("its subject is not a name")
    names = ("azp",) if expected.use is Use.ID else ("azp", "client_id", "appid")
    issued_to = [claims[name] for name in names if name in claims]
    if expected.parties and any(party not in expected.parties for party in issued_to):
        refuse("it was issued to another client")
    audience = claims["aud"]
    if expected.use is not Use.ACCESS and isinstance(audience, list) and len(audience) > 1 and not issued_to:
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
            return f"its audience is not {' or '.join(expected.audiences)}"
        case jwt.MissingRequiredClaimError():
            return f"it has no {error.claim}"
        case jwt.PyJWTError():
            return str(error)[:200]
    return "a claim in it is malformed"


__all__ = ["MAX_TOKEN_BYTES", "Expected", "TokenExpired", "TokenRefused", "Use", "verify"]
