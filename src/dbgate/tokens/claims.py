"""From verified claims to an identity: groups, actor, and what must not be guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

from dbgate.model import Actor, Assurance, Identity
from dbgate.tokens import refusals

MAX_GROUPS = 1000
MAX_GROUP_CHARS = 256
MAX_TEXT_CHARS = 320
MAX_ACTORS = 8
"""So many parties may act for one another in one token."""


def identity_from(
    claims: Mapping[str, Any],
    *,
    groups_claim: str = "groups",
    actor_claim: str = "",
    service: bool = False,
    signed_in_at: datetime | None = None,
    issuer_name: str = "",
    other_issuers: Sequence[str] = (),
) -> Identity:
    """The identity that verified `claims` describe. Raises `TokenRefused` for claims that cannot be trusted as they are.

    `subject` is always the claim `sub`, so that the command line and the approvals service name the identity of one
    token alike. An `act` claim (RFC 8693 §4.1) makes the actor an agent for that subject. `service` tells that a
    service signed in with its own credentials. An e-mail that the issuer says is unverified is left out.
    Where several issuers are trusted side by side, `issuer_name` is this one's and `other_issuers` are the others'.
    """
    email = text(claims, "email") if claims.get("email_verified", True) is True else ""
    name, subject = text(claims, "name"), text(claims, "sub")
    actors = acting_parties(claims)
    actor = Actor.AGENT if actors else declared_actor(claims, actor_claim, service=service)
    return Identity(
        issuer=claims["iss"],
        subject=subject,
        email=email,
        name=f"{called(actors)} for {name or email or subject}" if actors else name,
        groups=told_apart(groups_from(claims, groups_claim), issuer_name, other_issuers),
        actor=actor,
        on_behalf_of=(email or subject) if actors else "",
        assurance=Assurance.OIDC,
        signed_in_at=signed_in_at or datetime.fromtimestamp(float(claims["iat"]), UTC),
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


def told_apart(groups: tuple[str, ...], issuer_name: str, other_issuers: Sequence[str]) -> tuple[str, ...]:
    """The groups as policies name them: `NAME/group` for an issuer that has a name, so that it cannot give anybody a group
    of another issuer's. Refuses groups of the main issuer that look like those of a named one.
    """
    if issuer_name:
        return tuple(f"{issuer_name}/{group}" for group in groups)
    for group in groups:
        if group.partition("/")[0] in other_issuers and "/" in group:
            refuse(
                f"its group {group!r} looks like one of the issuer that the configuration calls {group.partition('/')[0]}"
            )
    return groups


def is_group(value: object) -> bool:
    """Whether `value` can be a group's name: text that can be shown, not endless."""
    return isinstance(value, str) and 0 < len(value) <= MAX_GROUP_CHARS and value.isprintable()


def acting_parties(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Who acts for the subject: `act.sub`, then who acted before, in the nested `act` (RFC 8693 §4.1); or empty."""
    found: list[str] = []
    holder: Mapping[str, Any] = claims
    while "act" in holder:
        act = holder["act"]
        if not isinstance(act, Mapping) or not is_group(act.get("sub")):
            refuse("its claim 'act' names nobody")
        if len(found) == MAX_ACTORS:
            refuse(f"more than {MAX_ACTORS} parties act for one another in it")
        found.append(act["sub"])
        holder = act
    return tuple(found)


def called(actors: tuple[str, ...]) -> str:
    """The acting party for people, with those that it was reached through."""
    earlier = f" (by way of {', '.join(actors[1:])})" if len(actors) > 1 else ""
    return f"{actors[0]}{earlier}"


def declared_actor(claims: Mapping[str, Any], claim: str, *, service: bool) -> Actor:
    """What the issuer says the actor is, in the configured claim; without one, what signed in."""
    usual = Actor.SERVICE if service or is_service(claims) else Actor.HUMAN
    if not claim or claim not in claims:
        return usual
    try:
        return Actor(claims[claim])
    except ValueError:
        refuse(f"its claim {claim!r} is not one of: {', '.join(str(actor) for actor in Actor)}")


def is_service(claims: Mapping[str, Any]) -> bool:
    """Whether a token bears the marks of one that a client got for itself.

    The subject is the client (RFC 9068 §5; `cid` is Okta's), or the issuer says so: `idtyp` (Entra), `gty` (Auth0),
    the user name of a service account (Keycloak).
    """
    clients = {claims[name] for name in ("azp", "client_id", "appid", "cid") if isinstance(claims.get(name), str)}
    accounts = {f"service-account-{client}".lower() for client in clients}
    return (
        claims.get("idtyp") == "app"
        or claims.get("gty") == "client-credentials"
        or claims.get("sub") in clients
        or str(claims.get("preferred_username", "")).lower() in accounts
    )


def text(claims: Mapping[str, Any], name: str) -> str:
    """A text claim, or empty. Raises `TokenRefused` for anything else in its place."""
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT_CHARS:
        refuse(f"its claim {name!r} is not text of at most {MAX_TEXT_CHARS} characters")
    return value


def refuse(reason: str) -> NoReturn:
    """Raise `TokenRefused`: claims that cannot be used as they stand."""
    refusals.refuse(reason, hint="ask whoever runs the issuer, then run: dbgate login")
