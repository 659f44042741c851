"""Ed25519 keys in files, and as JSON Web Keys (RFC 7517, RFC 8037)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.errors import UsageError
from dbgate.model import Json
from dbgate.private import make_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """The private key in `path`, made at the first call: PKCS #8 PEM, 0600, in a 0700 folder.

    Raises `UsageError` when others may read it or when it is no Ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    try:
        if not path.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            create_once(path, pem)
        return _load(path)
    except OSError as error:
        raise UsageError(f"cannot use the key file {path}: {error}", hint="check the owner of its folder") from error


def _load(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
            raise UsageError(
                f"others can read or replace the key file {path}", hint=f"chown it to you and chmod 600 {path}"
            )
        pem = file.read()
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} holds no private key", hint="move it away: a new one is made") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds no Ed25519 key", hint="move it away: a new one is made")
    return key


def create_once(path: Path, content: bytes) -> bool:
    """Write a 0600 file unless it exists, whole or not at all, and tell whether this call wrote it."""
    make_private(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def to_jwk(key: Ed25519PublicKey) -> dict[str, Json]:
    """The public key as a JWK, with its thumbprint as `kid`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    x = base64.urlsafe_b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": _thumbprint(x), "use": "sig", "alg": "EdDSA"}


def key_id(key: Ed25519PublicKey) -> str:
    """The key's JWK thumbprint (RFC 7638)."""
    return str(to_jwk(key)["kid"])


def _thumbprint(x: str) -> str:
    text = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def from_jwk(jwk: object) -> Ed25519PublicKey:
    """The public key of a JWK. Raises `ValueError` when it is no Ed25519 public key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(jwk, dict) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or "d" in jwk:
        raise ValueError("not an Ed25519 public key")
    x = jwk.get("x")
    if not isinstance(x, str):
        raise ValueError("not an Ed25519 public key")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(x + "=" * (-len(x) % 4)))


def from_jwks(document: object) -> tuple[Ed25519PublicKey, ...]:
    """The keys of a JWK set, of which there is at least one. Raises `ValueError`."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not keys:
        raise ValueError("not a set of keys")
    return tuple(from_jwk(jwk) for jwk in keys)


def read_public_keys(path: Path) -> tuple[Ed25519PublicKey, ...]:
    """The public keys in a file: a PEM public key, a JWK or a JWK set. Raises `UsageError`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    hint = "approvals.public_key names a file with the service's public key, as GET /api/v1/keys gives it"
    try:
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            key = load_pem_public_key(content)
            if isinstance(key, Ed25519PublicKey):
                return (key,)
            raise ValueError("not an Ed25519 public key")
        document = json.loads(content)
        return from_jwks(document) if isinstance(document, dict) and "keys" in document else (from_jwk(document),)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"cannot use {path} as the key of the approvals service: {error}", hint=hint) from error
