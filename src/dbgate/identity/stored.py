"""A sign-in as it is kept: the raw token and the issuer's keys, never a verdict. Every use verifies again."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dbgate.errors import SignInRequired
from dbgate.identity.client import Client
from dbgate.identity.file_store import private_folder
from dbgate.identity.token_store import TokenStore
from dbgate.model import Identity
from dbgate.settings import IdentitySettings
from dbgate.tokens import Expected, Use, identity_from, verify


class StoredSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in at one issuer. `cache` is msal's token cache (it holds the refresh token), `keys` the issuer's.

    `token` is the ID token of a person or the access token of a service, `scopes` what was granted. `ended` is why the
    issuer will not renew it any more.
    """

    version: int = 1
    issuer: str
    client_id: str
    service: bool
    token: str
    keys: dict[str, Any]
    signed_in_at: float
    nonce: str = ""
    renewed: bool = False
    scopes: tuple[str, ...] = ()
    cache: str = ""
    ended: str = ""

    def signed_in(self) -> datetime:
        """When the person or service signed in, UTC."""
        return datetime.fromtimestamp(self.signed_in_at, UTC)

    def verified(self, client: Client) -> dict[str, Any]:
        """The claims of the token, verified now for `client`. Raises `TokenRefused`."""
        expected = Expected(
            issuer=client.issuer,
            audiences=(client.audience if self.service else client.client_id,),
            use=Use.ACCESS if self.service else Use.ID,
            parties=(client.client_id,),
            nonce=self.nonce,
            renewed=self.renewed,
        )
        return verify(self.token, self.keys, expected, datetime.now(UTC))

    def identity(self, claims: Mapping[str, Any], settings: IdentitySettings) -> Identity:
        """Whose sign-in it is, by its verified `claims`. Raises `TokenRefused` for claims that cannot be trusted."""
        return identity_from(
            claims,
            groups_claim=settings.groups_claim,
            actor_claim=settings.actor_claim,
            service=self.service,
            signed_in_at=self.signed_in(),
            issuer_name=settings.name,
            other_issuers=settings.others,
        )


def load(store: TokenStore, client: Client, place: str) -> StoredSignIn | None:
    """The sign-in of `client` at a place of the store, or None. Raises `SignInRequired` when it is damaged or another client's."""
    data = store.read(place)
    if data is None:
        return None
    try:
        found = msgspec.json.decode(data, type=StoredSignIn)
    except msgspec.MsgspecError:
        raise SignInRequired("the stored sign-in is damaged", hint="run: dbgate logout, then dbgate login") from None
    if (found.version, found.issuer, found.client_id, found.service) != (
        1,
        client.issuer,
        client.client_id,
        client.service,
    ):
        raise SignInRequired("the stored sign-in belongs to another issuer or client", hint="run: dbgate login")
    return found


def save(store: TokenStore, place: str, sign_in: StoredSignIn) -> None:
    """Keep the sign-in at a place of the store."""
    store.write(place, msgspec.json.encode(sign_in))


@contextlib.contextmanager
def only_one(state_dir: Path, place: str) -> Iterator[None]:
    """Let one process at a time renew or change the sign-in at a place of the store.

    Issuers that rotate refresh tokens take the second use of one for theft and end the whole sign-in.
    The lock file is empty and goes away with the sign-out.
    """
    path = lock_path(state_dir, place)
    try:
        private_folder(path.parent)
        descriptor = take(path)
    except OSError as error:
        raise SignInRequired(f"the state directory cannot be used: {path}: {error.strerror}") from None
    try:
        yield
    finally:
        os.close(descriptor)


def take(path: Path) -> int:
    """Lock the file at `path`, also when its holder removed it meanwhile; returns the open descriptor."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.lstat().st_ino:
                return descriptor
        os.close(descriptor)


def lock_path(state_dir: Path, place: str) -> Path:
    """The lock file of a place in the store."""
    return state_dir / "identity" / f"{place}.lock"
