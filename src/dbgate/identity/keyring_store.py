"""Sign-ins in the system's keyring, cut into pieces that its store can hold."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import sys
import zlib
from typing import TYPE_CHECKING, Any

from dbgate.errors import SignInRequired

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "dbgate"
PIECE_CHARS = 1200 if sys.platform == "win32" else 16_000
"""Windows' credential store holds 2,560 bytes an item, and writes UTF-16."""

NEXT = "next"
"""Where a head names pieces that do not belong to its value: not yet, or not any more."""

FILE_HINT = "unlock or install one (Secret Service, KWallet, macOS Keychain), or set identity.token_store: file"


class KeyringStore:
    """Values are compressed and cut into pieces under names of their own; a head names them.

    The head announces the pieces of a new value (`next`) before they are written, and takes them for the value's
    afterwards. A reader therefore sees the old value or the new one, never half of each, and no piece is ever in the
    keyring that the head does not name: whatever interrupts a write, the next write or delete removes what it left.
    """

    def __init__(self, backend: KeyringBackend | None = None, *, piece_chars: int = 0) -> None:
        self.backend = backend if backend is not None else usable_backend()
        self.piece_chars = piece_chars or PIECE_CHARS

    def read(self, key: str) -> bytes | None:
        """The bytes of `key`, or None. Raises `SignInRequired` for a value that is damaged."""
        for _ in range(2):
            head = self._head(key)
            if head is None or (NEXT in head and "id" not in head):
                return None
            pieces = [self._get(name) for name in piece_names(key, head)]
            text = "".join(piece or "" for piece in pieces)
            if hashlib.sha256(text.encode()).hexdigest() == head.get("sha256"):
                return unpack(text)
        raise damaged()

    def write(self, key: str, value: bytes) -> None:
        """Announce the pieces, write them, make them the value; then remove those of the value before."""
        text = pack(value)
        old = self._head(key) or {}
        for name in piece_names(key, announced(old)):
            self._delete(name)
        old.pop(NEXT, None)
        count = -(-len(text) // self.piece_chars)
        head = {"id": secrets.token_hex(8), "pieces": count, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        self._set(key, json.dumps({**old, NEXT: head}))
        for number, name in enumerate(piece_names(key, head)):
            self._set(name, text[number * self.piece_chars : (number + 1) * self.piece_chars])
        self._set(key, json.dumps({**head, NEXT: old}))
        for name in piece_names(key, old):
            self._delete(name)
        self._set(key, json.dumps(head))

    def delete(self, key: str) -> bool:
        """Remove every piece and the head; whether there was one."""
        head = self._head(key) or {}
        for name in (*piece_names(key, head), *piece_names(key, announced(head))):
            self._delete(name)
        return self._delete(key)

    def _head(self, key: str) -> dict[str, Any] | None:
        text = self._get(key)
        if text is None:
            return None
        try:
            head = json.loads(text)
        except ValueError:
            return {}
        return head if isinstance(head, dict) else {}

    def _get(self, name: str) -> str | None:
        from keyring.errors import KeyringError

        try:
            return self.backend.get_password(SERVICE, name)
        except KeyringError as error:
            raise unusable(error) from None

    def _set(self, name: str, text: str) -> None:
        from keyring.errors import KeyringError

        try:
            self.backend.set_password(SERVICE, name, text)
        except KeyringError as error:
            raise unusable(error) from None

    def _delete(self, name: str) -> bool:
        from keyring.errors import KeyringError, PasswordDeleteError

        try:
            self.backend.delete_password(SERVICE, name)
        except PasswordDeleteError:
            return False
        except KeyringError as error:
            raise unusable(error) from None
        return True


def announced(head: dict[str, Any]) -> dict[str, Any]:
    """What a head names beside its value: pieces that are being written, or about to be removed."""
    found = head.get(NEXT)
    return found if isinstance(found, dict) else {}


def piece_names(key: str, head: dict[str, Any]) -> list[str]:
    """The names under which the pieces of a value stand."""
    count = head.get("pieces", 0)
    return [f"{key}.{head.get('id')}.{number}" for number in range(count if isinstance(count, int) else 0)]


def pack(value: bytes) -> str:
    """Compressed, as text."""
    return base64.b64encode(zlib.compress(value, 9)).decode("ascii")


def unpack(text: str) -> bytes:
    """The inverse of `pack`. Raises `SignInRequired` for anything else."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True))
    except (binascii.Error, zlib.error):
        raise damaged() from None


def usable_backend() -> KeyringBackend:
    """The system's keyring. Raises `SignInRequired` when there is none, or only one that keeps text in clear.

    Where several are chained, the best one is used alone: a chain falls through to a file in clear.
    """
    import keyring
    from keyring.backends.chainer import ChainerBackend
    from keyring.errors import KeyringError

    try:
        backend = keyring.get_keyring()
        if isinstance(backend, ChainerBackend):
            backend = next(iter(backend.backends), backend)
    except (KeyringError, RuntimeError) as error:
        raise unusable(error) from None
    kind = type(backend)
    if kind.__module__ in {"keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer"}:
        raise SignInRequired("this machine has no keyring to keep the sign-in in", hint=FILE_HINT)
    if kind.__module__.startswith("keyrings.alt") or "plaintext" in kind.__name__.lower():
        raise SignInRequired(f"the only keyring here keeps secrets in clear: {kind.__name__}", hint=FILE_HINT)
    return backend


def unusable(error: Exception) -> SignInRequired:
    """The error for a keyring that is locked, gone, or refuses."""
    reason = str(error).split("\n", 1)[0][:200] or type(error).__name__
    return SignInRequired(f"the keyring cannot be used: {reason}", hint=FILE_HINT)


def damaged() -> SignInRequired:
    """The error for a stored value that does not add up."""
    return SignInRequired("the stored sign-in is damaged", hint="run: dbgate logout, then dbgate login")
