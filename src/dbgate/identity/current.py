"""Who acts now, without asking a person: the operating system's user, or the stored sign-in, renewed when due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from dbgate.errors import SignInRequired, Unreachable
from dbgate.identity.client import Client, naming, read_client
from dbgate.identity.local import local_identity
from dbgate.model import Identity
from dbgate.settings import Settings

if TYPE_CHECKING:
    from dbgate.identity.stored import StoredSignIn
    from dbgate.identity.token_store import TokenStore

RENEW_BEFORE_S = 60
"""A token with less time left than this is renewed before it is used, in seconds."""


class Held(msgspec.Struct, frozen=True):
    """What a place of the store holds: a sign-in or None, and its claims, verified just now and empty when it has expired."""

    place: str
    stored: StoredSignIn | None
    claims: dict[str, Any]

    @property
    def left_s(self) -> float:
        """Seconds until the token expires; not above zero when it has."""
        return float(self.claims["exp"]) - time.time() if self.claims else 0.0

    @property
    def fresh(self) -> bool:
        """Whether the token can be used without renewing it."""
        return self.left_s > RENEW_BEFORE_S


def current_identity(settings: Settings, account: str = "") -> Identity:
    """Who acts: `account` (an e-mail or a subject), else `identity.account`, else the active one. Never asks a person.

    With `provider: oidc` the stored token is verified again, signature included, and renewed when less
    than `RENEW_BEFORE_S` seconds are left; a service signs in on its own. Raises `SignInRequired` when
    a person has to sign in, `UsageError` for a wrong configuration.
    """
    if settings.identity.provider == "local":
        return local_identity(settings.identity)
    with naming(settings.identity):
        stored, claims = usable(settings, read_client(settings.identity), account)
        return stored.identity(claims, settings.identity)


def bearer_token(settings: Settings, account: str = "") -> str:
    """The token to show to the approvals service as `Authorization: Bearer …`, renewed when due.

    For a person it is the ID token: its audience is `client_id`, it is always a signed JWT, and it
    carries the groups; access tokens are opaque with many issuers. For a service it is the access
    token, whose audience is `identity.audience`. Raises as `current_identity`.
    """
    if settings.identity.provider == "local":
        raise SignInRequired(
            "identity.provider is local: there is no token to show", hint="set identity.provider: oidc to use approvals"
        )
    with naming(settings.identity):
        stored, _ = usable(settings, read_client(settings.identity), account)
    return stored.token


def usable(settings: Settings, client: Client, account: str = "") -> tuple[StoredSignIn, dict[str, Any]]:
    """The sign-in of `client` and its claims, good for now; renewed when due, by one process at a time.

    What another process renewed meanwhile is taken as it is.
    """
    from dbgate.identity.stored import only_one
    from dbgate.identity.token_store import open_store
    from dbgate.variables import take_secret

    for issuer in (settings.identity, *settings.issuers.values()):
        if issuer.client_secret_env:
            take_secret(issuer.client_secret_env)
    store = open_store(settings)
    place = place_in(store, client, account or settings.identity.account)
    held = look(store, client, place)
    if held.stored is None and not client.service:
        raise nobody(client)
    if held.stored is None or not held.fresh:
        with only_one(settings.state_dir, place):
            held = look(store, client, place)
            held = held if held.fresh else renewed(settings, store, client, held)
    if held.stored is None:
        raise nobody(client)
    return held.stored, held.claims


def place_in(store: TokenStore, client: Client, account: str) -> str:
    """Where the sign-in that acts stands in the store. Raises `SignInRequired` when nobody is signed in."""
    from dbgate.identity.accounts import find

    if client.service:
        return client.key
    found = find(store, client, account)
    if found is None:
        raise nobody(client)
    return found.key


def look(store: TokenStore, client: Client, place: str) -> Held:
    """What is stored, verified. Raises `SignInRequired` for whatever a renewal would not mend.

    A service needs nobody to sign in again, so whatever is wrong with its token is mended by a new one.
    """
    from dbgate.identity.stored import load
    from dbgate.tokens import TokenExpired, TokenRefused

    stored = load(store, client, place)
    if stored is None:
        return Held(place, None, {})
    try:
        return Held(place, stored, stored.verified(client))
    except TokenExpired:
        return Held(place, stored, {})
    except TokenRefused:
        if not client.service:
            raise
        return Held(place, None, {})


def renewed(settings: Settings, store: TokenStore, client: Client, held: Held) -> Held:
    """Get a new token from the issuer and keep it; without one, go on with the old while it lasts."""
    from dbgate.identity.renewal import acquire, renew
    from dbgate.identity.stored import save

    def keep(stored: StoredSignIn) -> None:
        save(store, held.place, stored)

    try:
        if client.service:
            fresh = acquire(client)
        elif held.stored is None:
            raise nobody(client)
        else:
            fresh = renew(client, held.stored, keep)
    except (SignInRequired, Unreachable) as error:
        if held.left_s > 0:
            return held
        raise ended(client, error) from None
    keep(fresh)
    found = Held(held.place, fresh, fresh.verified(client))
    if client.service:
        from dbgate.identity.accounts import enter

        enter(store, settings.state_dir, client, fresh.identity(found.claims, settings.identity))
    return found


def nobody(client: Client) -> SignInRequired:
    """The error when there is no sign-in."""
    return SignInRequired(f"nobody is signed in to {client.issuer}", hint="run: dbgate login")


def ended(client: Client, error: SignInRequired | Unreachable) -> SignInRequired:
    """The error when a token has run out and no new one came."""
    if isinstance(error, SignInRequired):
        return error
    what = "the service cannot sign in" if client.service else "the sign-in has expired and cannot be renewed"
    return SignInRequired(f"{what}: {error.message}", hint=f"{error.hint}\nthen run: dbgate login")
