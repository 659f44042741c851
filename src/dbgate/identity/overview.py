"""Who is signed in on this machine, at every issuer, and where it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbgate.errors import DbgateError
from dbgate.identity.client import Client
from dbgate.settings import MAIN, IdentitySettings, Settings

if TYPE_CHECKING:
    from dbgate.identity.accounts import Account
    from dbgate.identity.token_store import TokenStore


@dataclass(frozen=True, slots=True)
class SignIn:
    """One sign-in as it is listed. `state` is `valid`, `expired` (to be renewed when it is used), or why it is of no use.

    `active`: it acts for its client when no account is named. `here`: what this configuration calls the issuer (`main`
    where it has only one), or empty when its client is another configuration's.
    """

    account: str
    subject: str
    issuer: str
    client_id: str
    service: bool
    active: bool
    here: str
    state: str
    since: datetime | None = None
    until: datetime | None = None


def sign_ins(settings: Settings) -> tuple[SignIn, ...]:
    """Every sign-in in the store, verified with the keys it came with. Asks nobody and renews nothing."""
    if settings.identity.provider == "local":
        return ()
    from dbgate.identity.accounts import read_accounts
    from dbgate.identity.token_store import open_store

    store = open_store(settings)
    accounts = read_accounts(store)
    acting = set(accounts.active.values())
    return tuple(_sign_in(settings, store, account, account.key in acting) for account in accounts.accounts)


def _sign_in(settings: Settings, store: TokenStore, account: Account, active: bool) -> SignIn:
    ours = {(one.issuer, one.client_id): name for name, one in issuers(settings)}
    client = Client(
        issuer=account.issuer,
        client_id=account.client_id,
        audience=account.audience,
        secret_env="-" if account.service else "",
    )
    state, since, until = _state(store, client, account)
    return SignIn(
        account.label,
        account.subject,
        account.issuer,
        account.client_id,
        account.service,
        active,
        ours.get((account.issuer, account.client_id), ""),
        state,
        since,
        until,
    )


def issuers(settings: Settings) -> Iterable[tuple[str, IdentitySettings]]:
    """The issuers of a configuration, by name."""
    return settings.issuers.items() or [(MAIN, settings.identity)]


def _state(store: TokenStore, client: Client, account: Account) -> tuple[str, datetime | None, datetime | None]:
    from dbgate.identity.stored import load
    from dbgate.tokens import TokenExpired

    try:
        stored = load(store, client, account.key)
        if stored is None:
            return "gone from the store", None, None
        since = stored.signed_in()
        if stored.ended:
            return f"ended by the issuer: {stored.ended}", since, None
        return "valid", since, datetime.fromtimestamp(float(stored.verified(client)["exp"]), UTC)
    except TokenExpired:
        return "expired", since, None
    except DbgateError as error:
        return error.message, None, None


def store_name(settings: Settings) -> str:
    """Where sign-ins are kept, for people: the keyring by its own name, or the folder."""
    if settings.identity.provider == "local":
        return ""
    if settings.identity.token_store == "file":
        return f"files in {settings.state_dir / 'identity'}"
    from dbgate.identity.keyring_store import usable_backend

    return f"keyring ({usable_backend().name})"
