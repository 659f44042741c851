"""The Ed25519 key of this installation: made once, kept in the keyring or in a 0600 file.

    STATE/keys/current      JSON: which key, and which store holds it
    STATE/keys/KEYID.pub    every public key this installation has had (PEM), trusted by `verify`
    STATE/keys/KEYID.key    the private key (PEM), when the store is `file`

The key id is the first 16 bytes of SHA-256 over the raw public key, in hex.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dbgate.audit import spool
from dbgate.errors import AuditUnavailable, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from keyring.backend import KeyringBackend

STORES = ("keyring", "file")
SERVICE = "dbgate audit"
FILE_HINT = "set audit.key_store: file to keep the signing key in a file of the state directory"


class PublicKey(msgspec.Struct, frozen=True):
    """A key that seals and checkpoints are verified with. `raw` is the 32 bytes of RFC 8032."""

    raw: bytes

    @property
    def id(self) -> str:
        """The key id: 32 hex digits."""
        return hashlib.sha256(self.raw).hexdigest()[:32]

    def pem(self) -> bytes:
        """The key as SubjectPublicKeyInfo in PEM."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self._key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's over `message`."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key().verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def _key(self) -> Ed25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.raw)


class SigningKey(msgspec.Struct, frozen=True):
    """The private key in memory."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature (RFC 8032)."""
        return self.private.sign(message)


def keys_dir(state_dir: Path) -> Path:
    """Where the keys of this installation stand."""
    return state_dir / "keys"


def ensure_key(state_dir: Path, key_store: str = "") -> str:
    """Return the id of the signing key, making one if there is none.

    `key_store` is `keyring`, `file`, or empty to take the keyring when there is a usable one. Cheap
    when the key exists: no cryptography, no keyring. Raises `AuditUnavailable`, `UsageError`.
    """
    if key_store and key_store not in STORES:
        raise UsageError(f"unknown key store: {key_store}", hint="audit.key_store is keyring or file")
    try:
        current = _current(state_dir)
        if current is None or (key_store and current[0] != key_store):
            with spool.locked(_made(keys_dir(state_dir)) / "lock"):
                current = _current(state_dir)
                if current is None or (key_store and current[0] != key_store):
                    store, made = make_key(state_dir, key_store)
                    current = set_current(state_dir, store, made.public.id)
        store, key_id = current
        if store == "file":
            _check_private(keys_dir(state_dir) / f"{key_id}.key")
    except OSError as error:
        raise unusable(f"{error.strerror}: {error.filename}") from None
    return key_id


def load_key(state_dir: Path, key_store: str = "") -> SigningKey:
    """Return the signing key. Raises `AuditUnavailable` when it cannot be read."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key_id = ensure_key(state_dir, key_store)
    current = _current(state_dir)
    if current is not None and current[0] == "keyring":
        key = Ed25519PrivateKey.from_private_bytes(_read_keyring(key_id))
    else:
        key = _read_file(keys_dir(state_dir) / f"{key_id}.key")
    signing = SigningKey(key)
    if signing.public.id != key_id:
        raise unusable(f"the stored key is not {key_id}")
    return signing


def own_keys(state_dir: Path) -> tuple[PublicKey, ...]:
    """Every public key this installation has had."""
    return read_public_keys(sorted(keys_dir(state_dir).glob("*.pub")))


def read_public_keys(files: Iterable[Path]) -> tuple[PublicKey, ...]:
    """Read public keys in PEM. Raises `UsageError` with the file's name."""
    found = []
    for file in files:
        try:
            found.append(parse_public_key(file.read_bytes()))
        except OSError as error:
            raise UsageError(
                f"cannot read the key {file}: {error.strerror}", hint="name the KEYID.pub of an installation"
            ) from None
        except ValueError as error:
            raise UsageError(f"{file}: {error}", hint="a key file is the KEYID.pub of an installation") from None
    return tuple(found)


def parse_public_key(pem: bytes) -> PublicKey:
    """Read an Ed25519 public key in PEM. Raises `ValueError`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 public key")
    return PublicKey(key.public_bytes_raw())


def unusable(reason: str) -> AuditUnavailable:
    """The error for a signing key that cannot be used."""
    return AuditUnavailable(f"the audit signing key cannot be used: {reason}", hint=FILE_HINT)


def usable_keyring() -> KeyringBackend | None:
    """The keyring to use: never one that keeps secrets in clear or not at all."""
    import keyring

    backend = keyring.get_keyring()
    for candidate in getattr(backend, "backends", None) or [backend]:
        module = type(candidate).__module__
        if not module.startswith(("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")):
            return candidate  # type: ignore[no-any-return]
    return None


def _made(path: Path) -> Path:
    spool.private_dir(path)
    return path


def _current(state_dir: Path) -> tuple[str, str] | None:
    try:
        text = (keys_dir(state_dir) / "current").read_text("ascii")
    except FileNotFoundError:
        return None
    try:
        choice = json.loads(text)
        store, key_id = choice["store"], choice["key"]
    except (ValueError, KeyError, TypeError):
        raise unusable(f"{keys_dir(state_dir) / 'current'} is damaged") from None
    if store not in STORES or not isinstance(key_id, str) or not key_id.isalnum():
        raise unusable(f"{keys_dir(state_dir) / 'current'} is damaged")
    return store, key_id


def make_key(state_dir: Path, key_store: str) -> tuple[str, SigningKey]:
    """Make a key and keep it; returns the store that holds it. Nothing is signed with it before `set_current`.

    For who holds the lock of `keys_dir`. Raises `AuditUnavailable`, `OSError`.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = SigningKey(Ed25519PrivateKey.generate())
    key_id = key.public.id
    directory = keys_dir(state_dir)
    store = "keyring" if key_store != "file" and _keep_in_keyring(key, required=key_store == "keyring") else "file"
    if store == "file":
        pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        spool.create_file(directory / f"{key_id}.key", pem)
    spool.create_file(directory / f"{key_id}.pub", key.public.pem(), mode=0o644)
    return store, key


def set_current(state_dir: Path, store: str, key_id: str) -> tuple[str, str]:
    """Sign with this key from now on. Raises `OSError`."""
    choice = {"store": store, "key": key_id}
    spool.replace_file(keys_dir(state_dir) / "current", json.dumps(choice).encode("ascii"))
    return store, key_id


def _keep_in_keyring(key: SigningKey, *, required: bool) -> bool:
    """Store the key in the keyring and read it back. False when there is no usable keyring."""
    from keyring.errors import KeyringError

    backend = usable_keyring()
    if backend is None:
        if required:
            raise unusable("audit.key_store is keyring, and no usable keyring was found")
        return False
    secret = base64.b64encode(key.private.private_bytes_raw()).decode("ascii")
    try:
        backend.set_password(SERVICE, key.public.id, secret)
        kept: bool = backend.get_password(SERVICE, key.public.id) == secret
    except (KeyringError, OSError) as error:
        if required:
            raise unusable(f"the keyring refused it ({type(error).__name__})") from None
        return False
    if required and not kept:
        raise unusable("the keyring did not keep it")
    return kept


def _read_keyring(key_id: str) -> bytes:
    from keyring.errors import KeyringError

    backend = usable_keyring()
    if backend is None:
        raise unusable("it is in the keyring, and no usable keyring was found")
    try:
        secret = backend.get_password(SERVICE, key_id)
        raw = base64.b64decode(secret or "", validate=True)
    except (KeyringError, OSError, binascii.Error) as error:
        raise unusable(f"the keyring did not give it ({type(error).__name__})") from None
    if len(raw) != 32:
        raise unusable("the keyring does not have it any more")
    return raw


def _check_private(path: Path) -> None:
    """Refuse a private key that others may read. Raises `AuditUnavailable`, `OSError`."""
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise AuditUnavailable(f"other users may read the audit signing key {path}", hint=f"chmod 600 {path}")
    if not os.access(path, os.R_OK):
        raise unusable(f"{path} is not readable")


_PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
"""What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7)."""


def _read_file(path: Path) -> Ed25519PrivateKey:
    """Read the key that `make_key` wrote: PKCS #8 in PEM, without the costly import of a general PEM reader."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        lines = path.read_text(encoding="ascii").split("\n")
        content = base64.b64decode("".join(line for line in lines if not line.startswith("-----")), validate=True)
    except OSError as error:
        raise unusable(f"{error.strerror}: {path}") from None
    except ValueError:
        content = b""
    if not content:
        raise unusable(f"{path} is damaged")
    if len(content) != len(_PKCS8) + 32 or not content.startswith(_PKCS8):
        raise unusable(f"{path} is not an Ed25519 key")
    return Ed25519PrivateKey.from_private_bytes(content[len(_PKCS8) :])
