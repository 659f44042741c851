"""Signed grants: what the service hands out, and what a client checks before it runs anything.

A grant is an EdDSA JWT (RFC 7519, RFC 8037). One for a statement has the type `dbgate-grant+jwt` and is bound to the
identity (`sub`), the target (`aud`), the exact statement and parameters (`binding`) and the policy (`policy_digest`).
One to unmask has the type `dbgate-unmask+jwt` and is bound to `tags` and a duration instead; one for a session
(`dbgate-session+jwt`) to `rules`, `limits` and the session that redeems it.
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
from dbgate.model import Grant, Json, RequestKind, ReviewClause, SessionLimits
from dbgate.tokens.times import MAX_SKEW_S, why_not_now

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

TYPE = "dbgate-grant+jwt"
UNMASK_TYPE = "dbgate-unmask+jwt"
_TYPES = {
    RequestKind.STATEMENT: TYPE,
    RequestKind.UNMASK: UNMASK_TYPE,
    RequestKind.SESSION: "dbgate-session+jwt",
    RequestKind.TRANSACTION: "dbgate-transaction+jwt",
    RequestKind.BREAK_GLASS: "dbgate-break-glass+jwt",
}
"""A type for each kind, so that none passes for another (RFC 8725, section 3.11)."""

_FOR = {
    kind: word
    for word, kind in zip(
        ("a statement", "tags", "a session", "a transaction", "a run at once"), _TYPES.values(), strict=True
    )
}
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
    kind: RequestKind = RequestKind.STATEMENT
    tags: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    limits: SessionLimits = SessionLimits()
    session: str = ""


class GrantSigner(msgspec.Struct, frozen=True):
    """Signs grants with the service's key."""

    key: Ed25519PrivateKey

    @property
    def key_id(self) -> str:
        """The thumbprint of the public key."""
        return keys.key_id(self.key.public_key())

    def jwks(self) -> dict[str, Json]:
        """The public key as a JWK set."""
        return {"keys": [keys.to_jwk(self.key.public_key())]}

    def sign(self, request: StoredRequest, *, now: datetime, session: str = "") -> str:
        """The grant for an approved request, valid until the request's deadline, as a compact JWT.

        `session` is the one that may use a grant for a session.
        """
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
            "uses": asked.uses,
            "iat": int(now.timestamp()),
            "exp": int(request.deadline.timestamp()),
        }
        if asked.kind is not RequestKind.STATEMENT:
            claims["kind"] = asked.kind.value
        if asked.kind is RequestKind.UNMASK:
            claims["tags"] = list(asked.tags)
        if asked.kind is RequestKind.SESSION:
            claims |= {"rules": list(asked.rules), "limits": asked.limits.to_json(), "session": session}
        header = {"typ": _TYPES[asked.kind], "kid": self.key_id}
        return jwt.encode(claims, self.key, algorithm=ALGORITHM, headers=header)


class Expected(msgspec.Struct, frozen=True):
    """What a grant has to be for. `policy_digest`, `clauses` and `uses` are checked when they are known.

    One to unmask is for exactly `tags`, one for a session for `rules` within `limits` in this `session`; they live no
    longer than `max_s` seconds from now.
    """

    identity: str
    target: str
    binding: str
    request: str
    policy_digest: str | None = None
    clauses: tuple[ReviewClause, ...] | None = None
    kind: RequestKind = RequestKind.STATEMENT
    tags: tuple[str, ...] = ()
    max_s: int | None = None
    uses: int | None = 1
    rules: tuple[str, ...] = ()
    limits: SessionLimits = SessionLimits()
    session: str = ""


def verify(token: str, trusted: Sequence[Ed25519PublicKey], expected: Expected, *, now: datetime) -> Grant:
    """Check a grant's signature, type, times and what it is for, and return it.

    Raises `GrantRefused` with the first thing that is wrong.
    """
    claims = _verified(token, trusted, _TYPES[expected.kind])
    reason = why_not_now(claims, now)
    if reason:
        raise GrantRefused(f"the grant does not count: {reason}", hint=_HINT)
    try:
        read = msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as error:
        raise GrantRefused(f"the grant is malformed: {error}", hint=_HINT) from error
    _compare(read, expected)
    if claims.get("iss") != ISSUER or read.uses < 1:
        raise GrantRefused("the grant is not one that dbgate gives", hint=_HINT)
    from datetime import UTC

    expires_at = datetime.fromtimestamp(read.exp, UTC)
    if expected.max_s is not None and (expires_at - now).total_seconds() > expected.max_s + MAX_SKEW_S:
        raise GrantRefused("the grant lives longer than the policy allows", hint=_HINT)
    return Grant(
        id=read.jti,
        request=read.request,
        identity=read.sub,
        target=read.aud,
        binding=read.binding,
        policy_digest=read.policy_digest,
        approved_by=read.approved_by,
        expires_at=expires_at,
        uses=read.uses,
        measured=read.measured,
        token=token,
        clauses=read.clauses,
        kind=read.kind,
        tags=read.tags,
        rules=read.rules,
        limits=read.limits,
        session=read.session,
    )


def _verified(token: str, trusted: Sequence[Ed25519PublicKey], wanted_type: str) -> Mapping[str, Any]:
    """The claims of a token of the wanted type that one of the trusted keys signed. Times are not checked here."""
    import jwt

    unchecked = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") in _TYPES.values() and header.get("typ") != wanted_type:
            raise GrantRefused(f"the grant is of another kind than one for {_FOR[wanted_type]}", hint=_HINT)
        if header.get("typ") != wanted_type or header.get("alg") != ALGORITHM:
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
        ("another kind of request", claims.kind, expected.kind),
        ("other tags", claims.tags, expected.tags),
        ("other rules", claims.rules, expected.rules),
        ("other limits", claims.limits, expected.limits),
        ("another session", claims.session, expected.session),
        ("another number of runs", claims.uses, expected.uses),
        ("another statement or other parameters", claims.binding, expected.binding),
        ("other reviewers", claims.clauses, expected.clauses),
    ]
    for what, found, wanted in pairs:
        if wanted is not None and found != wanted:
            raise GrantRefused(f"the grant is for {what}", hint=_HINT)
