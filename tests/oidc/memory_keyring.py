"""A keyring in memory, for tests."""

from __future__ import annotations

import keyring.backend
import keyring.errors


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that holds at most `limit` characters an item, as Windows does, and can be locked."""

    priority = 1

    def __init__(self, limit: int = 1280) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.items: dict[tuple[str, str], str] = {}
        self.limit = limit
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.items.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        if len(password) > self.limit:
            raise keyring.errors.PasswordSetError("too large")
        self.items[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if (service, username) not in self.items:
            raise keyring.errors.PasswordDeleteError("no such password")
        del self.items[service, username]

    def _check(self) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("the collection is locked")
