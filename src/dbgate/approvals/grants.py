"""Signed grants: what the service hands out, and what a client checks before it runs anything.

A grant is an EdDSA JWT (RFC 7519, RFC 8037) of type `dbgate-grant+jwt`. It is bound to the identity
(`sub`), the target (`aud`), the exact statement and parameters (`binding`) and the policy (`policy_digest`).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from dbgate.approvals import keys
from dbgate.approvals.records import StoredRequest
from dbgate.approvals.refusals import GrantRefused
from dbgate.approvals.times import why_not_now
from dbgate.model import Grant, Json, ReviewClause

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

TYPE = "dbgate-grant+jwt"
ALGORITHM = "EdDSA"
ISSUER = "dbgate-approvals"

_HINT = "nothing was run; run the statement again to ask for a new approval"


class _Claims(msgspec.Struct, frozen=True):
    """The claims of a grant, with their types."""

    jti: str
    request: str
    sub: str
    aud: str
    binding: str
    policy_digest: str
    approved_by: tuple[str, ...]
    clauses: tuple[ReviewClause, ...]
    measured: dict[str, int]
    uses: int
    exp: int


class GrantSigner(msgspec.Struct, frozen=True):
    """Signs grants with the service's key."""

    key: Ed25519PrivateKey

    def jwks(self) -> dict[str, Json]:
        """The public key as a JWK set."""
        return {"keys": [keys.to_jwk(self.key.public_key())]}

    def sign(self, request: StoredRequest, *, now: datetime) -> str:
        """The grant for an approved request, valid until the request's deadline, as a compact JWT."""
        import jwt

        asked = request.asked
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "jti": secrets.token_hex(16),
            "request": request.id,
            "sub": request.requester.key,
            "aud": asked.target,
            "binding": asked.binding,
            "policy_digest": asked.policy_digest,
            "approved_by": [approval.by.label for approval in request.approvals],
            "clauses": [clause.to_json() for clause in asked.clauses],
            "measured": dict(asked.measured),
            "uses": 1,
            "iat": int(now.timestamp()),
            "exp": int(request.deadline.timestamp()),
        }
        header = {"typ": TYPE, "kid": keys.key_id(self.key.public_key())}
        return jwt.encode(claims, self.key, algorithm=ALGORITHM, headers=header)


class Expected(msgspec.Struct, frozen=True):
    """What a grant has to be for. `policy_digest` and `clauses` are checked when they are known."""

    identity: str
    target: str
    binding: str
    request: str
    policy_digest: str | None = None
    clauses: tuple[ReviewClause, ...] | None = None


def verify(token: str, trusted: Sequence[Ed25519PublicKey], expected: Expected, *, now: datetime) -> Grant:
    """Check a grant's signature, type, times and what it is for, and return it.

    Raises `GrantRefused` with the first thing that is wrong.
    """
    claims = _verified(token, trusted)
    reason = why_not_now(claims, now)
    if reason:
        raise GrantRefused(f"the grant does not count: {reason}", hint=_HINT)
    try:
        read = msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as error:
        raise GrantRefused(f"the grant is malformed: {error}", hint=_HINT) from error
    _compare(read, expected)
    if claims.get("iss") != ISSUER or read.uses != 1:
        raise GrantRefused("the grant is not one that dbgate gives", hint=_HINT)
    from datetime import UTC

    return Grant(
        id=read.jti,
        request=read.request,
        identity=read.sub,
        target=read.aud,
        binding=read.binding,
        policy_digest=read.policy_digest,
        approved_by=read.approved_by,
        expires_at=datetime.fromtimestamp(read.exp, UTC),
        uses=read.uses,
        measured=read.measured,
        token=token,
        clauses=read.clauses,
    )


def _verified(token: str, trusted: Sequence[Ed25519PublicKey]) -> Mapping[str, Any]:
    """The claims of a token that one of the trusted keys signed. Times are not checked here."""
    import jwt

    unchecked = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != TYPE or header.get("alg") != ALGORITHM:
            raise GrantRefused("the grant is not an EdDSA token of dbgate's own type", hint=_HINT)
        known = [key for key in trusted if keys.key_id(key) == header.get("kid")]
        if not known:
            raise GrantRefused(
                "the grant is signed with a key that is not the approvals service's",
                hint="if the service's key was changed on purpose, put the new one in approvals.public_key",
            )
        claims: dict[str, Any] = jwt.decode(token, known[0], algorithms=[ALGORITHM], options=unchecked)  # type: ignore[arg-type]
    except (jwt.PyJWTError, UnicodeError) as error:
        raise GrantRefused(f"the grant's signature does not hold: {error}", hint=_HINT) from error
    return claims


def _compare(claims: _Claims, expected: Expected) -> None:
    """Raise `GrantRefused` unless the grant is for exactly what is expected."""
    pairs = [
        ("another request", claims.request, expected.request),
        ("another identity", claims.sub, expected.identity),
        ("another target", claims.aud, expected.target),
        ("another policy", claims.policy_digest, expected.policy_digest),
        ("another statement or other parameters", claims.binding, expected.binding),
        ("other reviewers", claims.clauses, expected.clauses),
    ]
    for what, found, wanted in pairs:
        if wanted is not None and found != wanted:
            raise GrantRefused(f"the grant is for {what}", hint=_HINT)
