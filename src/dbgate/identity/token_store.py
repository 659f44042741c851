"""Where sign-ins are kept: the keyring, or a file that only its owner can read when the configuration says so."""

from __future__ import annotations

from typing import Protocol

from dbgate.errors import UsageError
from dbgate.settings import Settings


class TokenStore(Protocol):
    """Keeps bytes by key. Every method raises `SignInRequired` when the store cannot be used."""

    def read(self, key: str) -> bytes | None:
        """What was written, or None."""

    def write(self, key: str, value: bytes) -> None:
        """Keep `value`, all of it or nothing, in place of what was there."""

    def delete(self, key: str) -> bool:
        """Forget `key`; whether there was something."""


def open_store(settings: Settings) -> TokenStore:
    """The store that `identity.token_store` names. Raises `UsageError`, or `SignInRequired` without a usable keyring."""
    match settings.identity.token_store:
        case "keyring":
            from dbgate.identity.keyring_store import KeyringStore

            return KeyringStore()
        case "file":
            from dbgate.identity.file_store import FileStore

            return FileStore(settings.state_dir / "identity")
    raise UsageError(f"identity.token_store is {settings.identity.token_store!r}", hint="one of: keyring, file")
