"""Signing out: nothing of the sign-in stays here, and the issuer is asked to forget it, too."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbgate.errors import DbgateError, SignInRequired
from dbgate.identity.client import Client, naming, read_client
from dbgate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbgate.identity.accounts import Account
    from dbgate.identity.token_store import TokenStore


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What signing out did. `found`: there was a sign-in. `revoked`: the issuer forgot it too; None when it had nothing to forget.

    `account` is whose it was, or empty. `now` is who acts from now on in its place, or empty.
    """

    found: bool
    revoked: bool | None = None
    account: str = ""
    now: str = ""


def sign_out(settings: Settings, account: str = "") -> SignedOut:
    """Forget a sign-in: token, keys, msal's cache, lock, its entry in the list. Then ask the issuer to revoke it (RFC 7009).

    It is the one of `account`, else of `identity.account`, else the active one. Works on a damaged sign-in too. Raises
    `SignInRequired` when a store cannot be used, or when nobody of that name is signed in.
    """
    if settings.identity.provider == "local":
        return SignedOut(found=False)
    client = read_client(settings.identity)
    name = account or settings.identity.account
    with naming(settings.identity):
        done = [leave(settings, store, client, listed(store, client, name)) for store in stores(settings)]
    clear_folder(settings)
    found = [one for one in done if one.found]
    if not found and account:
        raise SignInRequired(f"{account} is not signed in to {client.issuer}", hint="dbgate whoami --all lists who is")
    return found[0] if found else SignedOut(found=False)


def sign_out_all(settings: Settings) -> tuple[SignedOut, ...]:
    """Forget every sign-in that this machine's store and state directory hold, at whatever issuer.

    Raises `SignInRequired` when a store cannot be used; files are gone by then.
    """
    from dbgate.identity.accounts import LIST
    from dbgate.identity.file_store import FileStore

    if settings.identity.provider == "local" and not (settings.state_dir / "identity").exists():
        return ()
    done: list[SignedOut] = []
    for store in stores(settings):
        done += [leave(settings, store, client_of(account), account) for account in listing(store)]
        store.delete(LIST)
        if isinstance(store, FileStore):
            store.delete_all()
    clear_folder(settings)
    return tuple(done)


def stores(settings: Settings) -> Iterator[TokenStore]:
    """The files, which may be left from before the configuration chose the keyring; then the store that it chooses."""
    from dbgate.identity.file_store import FileStore
    from dbgate.identity.token_store import open_store

    yield FileStore(settings.state_dir / "identity")
    if settings.identity.provider == "oidc" and settings.identity.token_store != "file":
        yield open_store(settings)


def listing(store: TokenStore) -> tuple[Account, ...]:
    """The accounts that a store lists; none when the list is damaged."""
    from dbgate.identity.accounts import read_accounts

    with contextlib.suppress(SignInRequired):
        return read_accounts(store).accounts
    return ()


def listed(store: TokenStore, client: Client, name: str) -> Account | None:
    """The account to sign out, as a store lists it. Raises `SignInRequired` when the list is damaged."""
    from dbgate.identity.accounts import read_accounts

    accounts = read_accounts(store)
    return accounts.called(client, name) if name else accounts.acting(client)


def client_of(account: Account) -> Client:
    """Enough of a client to tell its issuer to forget an account."""
    return Client(account.issuer, account.client_id, account.client_id, ca_file=account.ca_file)


def leave(settings: Settings, store: TokenStore, client: Client, account: Account | None) -> SignedOut:
    """Remove what stands at an account's place in a store, and take it off the list. Then tell the issuer."""
    from dbgate.identity.accounts import strike
    from dbgate.identity.stored import lock_path, only_one

    place = account.key if account else client.key
    with only_one(settings.state_dir, place):
        found, secret = forget(store, place)
        lock_path(settings.state_dir, place).unlink(missing_ok=True)
    if account is None:
        return SignedOut(found, forget_at_issuer(client, secret) if secret else None)
    strike(store, settings.state_dir, account)
    successor = listed(store, client, "")
    revoked = forget_at_issuer(client, secret) if secret else None
    return SignedOut(True, revoked, account.label, successor.label if successor else "")


def clear_folder(settings: Settings) -> None:
    """Remove the lists' lock and the folder, once nothing else is in it."""
    from dbgate.identity.accounts import LIST
    from dbgate.identity.stored import lock_path

    folder = settings.state_dir / "identity"
    lock = lock_path(settings.state_dir, LIST)
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {lock.name}:
            lock.unlink(missing_ok=True)
            folder.rmdir()


def forget(store: TokenStore, place: str) -> tuple[bool, str]:
    """Remove what a store holds, damaged or not; whether there was something, and the refresh token in it."""
    secret = ""
    with contextlib.suppress(DbgateError):
        secret = refresh_token(store.read(place))
    return store.delete(place), secret


def refresh_token(data: bytes | None) -> str:
    """The refresh token in a stored sign-in, or empty."""
    try:
        entries = json.loads(json.loads(data or b"{}").get("cache") or "{}").get("RefreshToken", {})
        return next((str(entry["secret"]) for entry in entries.values()), "")
    except (ValueError, AttributeError, KeyError, TypeError):
        return ""


def forget_at_issuer(client: Client, secret: str) -> bool:
    """Ask the issuer to revoke a refresh token; whether it did. Never raises: the sign-out is done."""
    from dbgate.identity.issuer import IssuerSession, discover, revoke

    try:
        session = IssuerSession(client)
        return revoke(session, client, discover(session, client), secret)
    except DbgateError:
        return False
