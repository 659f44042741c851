"""The accounts that are signed in on this machine, side by side: which there are, and which one acts at each issuer.

The list stands in the store beside the sign-ins, for a keyring cannot be asked what it holds. It decides only which
sign-in is looked at; every sign-in is verified by itself.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.client import Client
from dbgate.identity.stored import only_one
from dbgate.identity.token_store import TokenStore
from dbgate.model import Identity

LIST = "accounts"
"""The key of the list in the store, and the name of its lock."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in: whose, at which issuer, with which client. `key` is its place in the store."""

    key: str
    issuer: str
    client_id: str
    service: bool
    subject: str
    email: str = ""
    name: str = ""
    audience: str = ""
    ca_file: str = ""

    @property
    def label(self) -> str:
        """The account for people."""
        return self.email or self.subject

    def is_of(self, client: Client) -> bool:
        """Whether it is an account of this client, of the same kind."""
        return (self.issuer, self.client_id, self.service) == (client.issuer, client.client_id, client.service)

    def is_called(self, name: str) -> bool:
        """Whether `name` is its e-mail, in either case, or its subject exactly."""
        return name == self.subject or (bool(self.email) and name.casefold() == self.email.casefold())


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts, and by `Client.key` the key of the one that acts."""

    version: int = 1
    accounts: tuple[Account, ...] = ()
    active: dict[str, str] = {}

    def of(self, client: Client) -> tuple[Account, ...]:
        """The accounts of one client."""
        return tuple(account for account in self.accounts if account.is_of(client))

    def acting(self, client: Client) -> Account | None:
        """The account that acts for a client when none is named."""
        return next((account for account in self.of(client) if account.key == self.active.get(client.key)), None)

    def called(self, client: Client, name: str) -> Account | None:
        """The account of a client that `name` names. Raises `UsageError` when it names several."""
        found = [account for account in self.of(client) if account.is_called(name)]
        if len(found) > 1:
            subjects = ", ".join(account.subject for account in found)
            raise UsageError(f"{name} is the e-mail of several accounts", hint=f"name one by its subject: {subjects}")
        return found[0] if found else None

    def with_acting(self, client: Client, account: Account) -> Accounts:
        """The list with `account`, which acts from now on."""
        others = tuple(other for other in self.accounts if other.key != account.key)
        return Accounts(accounts=(*others, account), active=self.active | {client.key: account.key})

    def without(self, account: Account) -> Accounts:
        """The list without `account`. If it acted and there is exactly one other, that one acts from now on."""
        left = tuple(other for other in self.accounts if other.key != account.key)
        active = {client: key for client, key in self.active.items() if key != account.key}
        for client in self.active.keys() - active.keys():
            siblings = [o for o in left if (o.issuer, o.client_id, o.service) == _kind(account)]
            if len(siblings) == 1:
                active[client] = siblings[0].key
        return Accounts(accounts=left, active=active)


def _kind(account: Account) -> tuple[str, str, bool]:
    return account.issuer, account.client_id, account.service


def place_of(client: Client, subject: str) -> str:
    """The place in the store of a sign-in: one per issuer, client and subject; a service has one of its own."""
    if client.service:
        return client.key
    return hashlib.sha256(f"{client.key}\n{subject}".encode()).hexdigest()[:32]


def account_of(client: Client, identity: Identity) -> Account:
    """The account of an identity that has just signed in."""
    return Account(
        key=place_of(client, identity.subject),
        issuer=client.issuer,
        client_id=client.client_id,
        service=client.service,
        subject=identity.subject,
        email=identity.email,
        name=identity.name,
        audience=client.audience,
        ca_file=client.ca_file,
    )


def read_accounts(store: TokenStore) -> Accounts:
    """The list in a store. Raises `SignInRequired` when it is damaged."""
    data = store.read(LIST)
    if data is None:
        return Accounts()
    try:
        found = msgspec.json.decode(data, type=Accounts)
    except msgspec.MsgspecError:
        found = None
    if found is None or found.version != 1:
        raise SignInRequired("the list of accounts is damaged", hint="run: dbgate logout --all, then dbgate login")
    return found


def enter(store: TokenStore, state_dir: Path, client: Client, identity: Identity) -> None:
    """List the account of `identity`; it acts from now on. A list that is damaged is begun anew."""
    account = account_of(client, identity)
    with only_one(state_dir, LIST):
        try:
            before = read_accounts(store)
        except SignInRequired:
            before = Accounts()
        after = before.with_acting(client, account)
        if after != before:
            store.write(LIST, msgspec.json.encode(after))


def strike(store: TokenStore, state_dir: Path, account: Account) -> None:
    """Take an account off the list; an empty list goes away."""
    with only_one(state_dir, LIST):
        after = read_accounts(store).without(account)
        if after.accounts:
            store.write(LIST, msgspec.json.encode(after))
        else:
            store.delete(LIST)


def find(store: TokenStore, client: Client, name: str) -> Account | None:
    """The account that acts: the one that is named, or the active one. None when nobody is signed in.

    Raises `SignInRequired` when the named one is not there, or when there are some and none is active.
    """
    listed = read_accounts(store)
    account = listed.called(client, name) if name else listed.acting(client)
    if account is not None:
        return account
    others = ", ".join(other.label for other in listed.of(client))
    if name:
        raise SignInRequired(
            f"{name} is not signed in to {client.issuer}",
            hint=f"run: dbgate login --account {name}" + (f"\nsigned in are: {others}" if others else ""),
        )
    if others:
        raise SignInRequired(
            f"no account is active at {client.issuer}",
            hint=f"signed in are: {others}\nrun: dbgate login --account NAME",
        )
    return None
