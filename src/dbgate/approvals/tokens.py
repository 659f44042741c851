"""Bearer tokens: from a token's claims to an identity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from dbgate.approvals.times import MAX_SKEW_S, moment, why_not_now
from dbgate.errors import SignInRequired
from dbgate.model import Actor, Assurance, Identity

MAX_TOKEN_BYTES = 48 * 1024
MAX_GROUPS = 1000
MAX_GROUP_CHARACTERS = 256

SIGN_IN = "sign in again with: dbgate login"


class TokenVerifier(Protocol):
    """Tells who sent a bearer token."""

    def verify(self, token: str) -> Identity:
        """The identity. Raises `SignInRequired` with the reason, or `Unreachable` when the issuer's keys are."""


def refuse(reason: str, hint: str = SIGN_IN) -> SignInRequired:
    """The error for a token that does not count."""
    return SignInRequired(f"the token was refused: {reason}", hint=hint)


def check_times(claims: Mapping[str, Any], now: datetime, hint: str = SIGN_IN) -> None:
    """Check `exp`, `iat` and `nbf` with at most a minute of skew. Raises `SignInRequired`."""
    reason = why_not_now(claims, now, exp_skew_s=MAX_SKEW_S)
    if reason:
        raise refuse(reason, hint=hint)


def identity_of(claims: Mapping[str, Any], groups_claim: str, actor_claim: str = "") -> Identity:
    """The identity that verified OpenID Connect claims describe. Raises `SignInRequired`.

    `subject` is always the claim `sub`, so that the command line, which sees the same token, names the
    identity alike. An `act` claim (RFC 8693, section 4.1) makes it an agent's, on behalf of the token's
    subject. An e-mail that the issuer says is unverified is left out. `actor_claim` names the claim
    that tells human, service and agent apart, where the issuer has one.
    """
    issuer, subject = _text(claims, "iss"), _text(claims, "sub")
    if not issuer or not subject:
        raise refuse("it names nobody (sub)")
    groups = read_groups(claims, groups_claim)
    email = _text(claims, "email") if claims.get("email_verified", True) is True else ""
    name, actor, behind = _text(claims, "name"), _actor(claims, actor_claim), ""
    if "act" in claims:
        act = claims["act"]
        if not isinstance(act, Mapping) or not _text(act, "sub"):
            raise refuse("its act claim names nobody")
        behind, actor = email or subject, Actor.AGENT
        name = f"{act['sub']} for {name or behind}"
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
    if not isinstance(groups, list) or not all(_is_group(group) for group in groups):
        raise refuse(f"its claim {groups_claim} is not a list of names", hint="check groups_claim and the issuer")
    if len(groups) > MAX_GROUPS:
        raise refuse(f"it lists more than {MAX_GROUPS} groups", hint="ask for the application's groups only")
    return tuple(dict.fromkeys(groups))


def _is_group(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_GROUP_CHARACTERS and value.isprintable()


def _actor(claims: Mapping[str, Any], actor_claim: str) -> Actor:
    """Human, service or agent: what the issuer says in `actor_claim`, or else by the marks of a service's own token.

    Services get tokens for themselves: `idtyp` (Entra), `gty` (Auth0), or the client as the subject
    (RFC 9068, section 5).
    """
    if actor_claim and actor_claim in claims:
        try:
            return Actor(claims[actor_claim])
        except ValueError as error:
            raise refuse(f"its claim {actor_claim} is none of {', '.join(Actor)}") from error
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
