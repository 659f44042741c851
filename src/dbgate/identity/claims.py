"""From verified claims to an identity: groups, actor, and what must not be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from dbgate.identity.tokens import TokenRefused
from dbgate.model import Actor, Assurance, Identity
from dbgate.settings import IdentitySettings

MAX_GROUPS = 1000
MAX_GROUP_CHARS = 256


def identity_from(
    claims: Mapping[str, Any], settings: IdentitySettings, *, service: bool, signed_in_at: datetime | None = None
) -> Identity:
    """The identity that verified `claims` describe. Raises `TokenRefused` for claims that cannot be trusted as they are.

    `subject` is always the claim `sub`, so that the approvals service, which sees the same token, names
    the identity alike. An `act` claim (RFC 8693 §4.1) makes the actor an agent for that subject.
    """
    email = readable(claims, "email") if claims.get("email_verified", True) is True else ""
    name = readable(claims, "name")
    agent = acting_party(claims)
    actor = Actor.AGENT if agent else declared_actor(claims, settings.actor_claim, service=service)
    return Identity(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=email,
        name=f"{agent} for {name or email or claims['sub']}" if agent else name,
        groups=groups_from(claims, settings.groups_claim),
        actor=actor,
        on_behalf_of=(email or claims["sub"]) if agent else "",
        assurance=Assurance.OIDC,
        signed_in_at=signed_in_at,
        expires_at=datetime.fromtimestamp(float(claims["exp"]), UTC),
    )


def groups_from(claims: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    """The groups in `claim`, which must be a list of names. No claim is no groups; a pointer to elsewhere is refused.

    When somebody has many groups, Entra leaves them out and points to its own API (`_claim_names`, or
    `hasgroups`). That must never read as "no groups": a rule that denies a group would not apply.
    """
    pointers = claims.get("_claim_names", {})
    if not isinstance(pointers, Mapping) or ("_claim_sources" in claims and not pointers):
        refuse("its distributed claims cannot be read")
    if claim in pointers or (claim == "groups" and claims.get("hasgroups")):
        refuse("the issuer left the groups out because there are too many; let it send only groups assigned to dbgate")
    groups = claims.get(claim, [])
    if not isinstance(groups, list) or not all(is_group(group) for group in groups):
        refuse(f"its claim {claim!r} is not a list of group names")
    if len(groups) > MAX_GROUPS:
        refuse(f"it has more than {MAX_GROUPS} groups; let the issuer send only groups assigned to dbgate")
    return tuple(dict.fromkeys(groups))


def is_group(value: object) -> bool:
    """Whether `value` can be a group's name: text that can be shown, not endless."""
    return isinstance(value, str) and 0 < len(value) <= MAX_GROUP_CHARS and value.isprintable()


def acting_party(claims: Mapping[str, Any]) -> str:
    """Who acts for the subject: `act.sub` (RFC 8693 §4.1), or empty. Only the outermost `act` counts."""
    if "act" not in claims:
        return ""
    act = claims["act"]
    if not isinstance(act, Mapping) or not is_group(act.get("sub")):
        refuse("its claim 'act' names nobody")
    return str(act["sub"])


def declared_actor(claims: Mapping[str, Any], claim: str, *, service: bool) -> Actor:
    """What the issuer says the actor is, in the configured claim; without one, what signed in."""
    usual = Actor.SERVICE if service else Actor.HUMAN
    if not claim or claim not in claims:
        return usual
    try:
        return Actor(claims[claim])
    except ValueError:
        refuse(f"its claim {claim!r} is not one of: {', '.join(str(actor) for actor in Actor)}")


def readable(claims: Mapping[str, Any], claim: str) -> str:
    """A text claim for people, or empty. It decides nothing."""
    value = claims.get(claim, "")
    return value if isinstance(value, str) and len(value) <= 320 else ""


def refuse(reason: str) -> NoReturn:
    """Raise `TokenRefused`: claims that cannot be used as they stand."""
    raise TokenRefused(f"the token was refused: {reason}", hint="ask whoever runs the issuer, then run: dbgate login")
