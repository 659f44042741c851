"""Bearer tokens: from a token's claims to an identity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from dbgate.approvals.times import MAX_SKEW_S, moment, why_not_now
from dbgate.errors import SignInRequired
from dbgate.model import Actor, Assurance, Identity

MAX_TOKEN_BYTES = 48 * 1024
MAX_GROUPS = 2000

SIGN_IN = "sign in again with: dbgate login"


class TokenVerifier(Protocol):
    """Tells who sent a bearer token."""

    def verify(self, token: str) -> Identity:
        """The identity. Raises `SignInRequired` with the reason, or `Unreachable` when the issuer's keys are."""


def refuse(reason: str, hint: str = SIGN_IN) -> SignInRequired:
    """The error for a token that does not count."""
    return SignInRequired(f"the token was refused: {reason}", hint=hint)


def check_times(claims: Mapping[str, Any], now: datetime) -> None:
    """Check `exp`, `iat` and `nbf` with at most a minute of skew. Raises `SignInRequired`."""
    reason = why_not_now(claims, now, exp_skew_s=MAX_SKEW_S)
    if reason:
        raise refuse(reason)


def identity_of(claims: Mapping[str, Any], groups_claim: str) -> Identity:
    """The identity that verified OpenID Connect claims describe. Raises `SignInRequired`.

    With an `act` claim (RFC 8693, section 4.1) the one who acts is the agent in it, on behalf of the
    token's subject, whose e-mail stays so that they are recognised. An e-mail that the issuer says is
    unverified is left out.
    """
    issuer, subject = _text(claims, "iss"), _text(claims, "sub")
    if not issuer or not subject:
        raise refuse("it names nobody (sub)")
    groups = read_groups(claims, groups_claim)
    email = _text(claims, "email") if claims.get("email_verified") is not False else ""
    email = email or _text(claims, "upn")
    name, actor, behind = _text(claims, "name"), _actor(claims), ""
    if "act" in claims:
        act = claims["act"]
        if not isinstance(act, Mapping) or not _text(act, "sub"):
            raise refuse("its act claim names nobody")
        behind, subject = subject, _text(act, "sub")
        name, actor = _text(act, "name"), Actor.AGENT
    return Identity(
        issuer=issuer,
        subject=subject,
        email=email,
        name=name,
        groups=groups,
        actor=actor,
        on_behalf_of=behind,
        assurance=Assurance.OIDC,
        signed_in_at=moment(claims, "iat"),
        expires_at=moment(claims, "exp"),
    )


def read_groups(claims: Mapping[str, Any], groups_claim: str) -> tuple[str, ...]:
    """The groups. Raises `SignInRequired` when they are not a list of names or were left out for size.

    Microsoft Entra leaves the groups of people with very many of them out, and says so in
    `_claim_names` or `hasgroups`: that is not "no groups".
    """
    groups = claims.get(groups_claim)
    if groups is None:
        elsewhere = claims.get("_claim_names")
        if claims.get("hasgroups") or (isinstance(elsewhere, Mapping) and groups_claim in elsewhere):
            raise refuse(
                "the issuer left the groups out because there are too many (group overage)",
                hint="ask for the groups assigned to the application only, in the issuer's token configuration",
            )
        return ()
    if not isinstance(groups, list) or not all(isinstance(group, str) and group for group in groups):
        raise refuse(f"its claim {groups_claim} is not a list of names", hint="check groups_claim and the issuer")
    if len(groups) > MAX_GROUPS:
        raise refuse(f"it lists more than {MAX_GROUPS} groups", hint="ask for the application's groups only")
    return tuple(groups)


def _actor(claims: Mapping[str, Any]) -> Actor:
    """Human or service. Services get tokens for themselves: `idtyp` (Entra), `gty` (Auth0), or the client as subject."""
    client = _text(claims, "azp") or _text(claims, "client_id") or _text(claims, "appid")
    is_service = (
        claims.get("idtyp") == "app"
        or claims.get("gty") == "client-credentials"
        or (bool(client) and client == _text(claims, "sub"))
    )
    return Actor.SERVICE if is_service else Actor.HUMAN


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A text claim, or empty. Raises `SignInRequired` when it is something else."""
    value = claims.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refuse(f"its claim {name} is not text")
    return value
