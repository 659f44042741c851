"""What a service signs to prove itself with its own private key (`private_key_jwt`: RFC 7523, OpenID Connect Core §9)."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.client import Client
from dbgate.tokens.keys import MIN_RSA_BITS

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from dbgate.identity.issuer import Issuer

LIFETIME_S = 120
"""How long an assertion is good for, in seconds. Each is used once."""

MAX_FILE_BYTES = 64 * 1024


class ClientKey:
    """A service's private key and how its assertions name it."""

    def __init__(self, client: Client) -> None:
        """Read `private_key_file` and `certificate_file`. Raises `UsageError`, `SignInRequired`."""
        self._client = client
        self._key = read_key(client.key_file)
        self.algorithm = algorithm_for(self._key, client.key_file)
        self._header = {"kid": client.key_id} if client.key_id else {}
        if client.certificate_file:
            self._header |= thumbprints(read_certificate(client.certificate_file, self._key))

    def sign(self, issuer: Issuer) -> str:
        """A fresh assertion for `issuer`, good for two minutes."""
        import jwt

        now = int(time.time())
        claims = {
            "iss": self._client.client_id,
            "sub": self._client.client_id,
            "aud": self._client.assertion_audience or usual_audience(issuer),
            "jti": secrets.token_urlsafe(24),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_S,
        }
        return jwt.encode(claims, self._key, algorithm=self.algorithm, headers=self._header)


def usual_audience(issuer: Issuer) -> str:
    """The issuer's token endpoint where it is of the issuer's own host, else the issuer.

    Most issuers want the endpoint. One that names another host's endpoint could have an assertion made that is good there.
    """
    same_host = urlsplit(issuer.token_endpoint).netloc == urlsplit(issuer.url).netloc
    return issuer.token_endpoint if same_host else issuer.url


def read_key(path: str) -> Any:
    """The private key in a PEM file. Raises `SignInRequired` when it is not there, `UsageError` when it cannot be used."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_private(path)
    try:
        return load_pem_private_key(data, password=None)
    except TypeError:
        raise UsageError(
            f"identity.private_key_file is encrypted: {path}", hint="store it decrypted, readable by this service alone"
        ) from None
    except ValueError:
        raise UsageError(
            f"identity.private_key_file holds no private key: {path}", hint="a PEM file, PKCS #8"
        ) from None


def read_private(path: str) -> bytes:
    """The bytes of a file that not everybody can read: its owner's group may, as secrets are mounted into containers."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if found.st_mode & stat.S_IRWXO:
                raise UsageError(f"identity.private_key_file is open to everybody: {path}", hint=f"chmod 600 {path}")
            if found.st_uid not in {0, os.geteuid()}:
                raise UsageError(f"identity.private_key_file belongs to user {found.st_uid}: {path}")
            return file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise SignInRequired(f"identity.private_key_file cannot be read: {path}: {error.strerror}") from None


def algorithm_for(key: Any, path: str) -> str:
    """The signature algorithm that fits a key. Raises `UsageError` for a key that is too weak or of another kind."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_RSA_BITS:
        return "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        found = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}.get(key.curve.name)
        if found:
            return found
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    raise UsageError(
        f"identity.private_key_file holds a key that cannot be used: {path}",
        hint=f"RSA of {MIN_RSA_BITS} bits or more, EC on P-256, P-384 or P-521, or Ed25519",
    )


def read_certificate(path: str, key: Any) -> Certificate:
    """The first certificate in a PEM file, which must be of `key` and not have expired."""
    from datetime import UTC, datetime

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_pem_x509_certificate

    try:
        found = load_pem_x509_certificate(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"identity.certificate_file cannot be read: {path}: {error.strerror}") from None
    except ValueError:
        raise UsageError(f"identity.certificate_file holds no certificate: {path}", hint="a PEM file") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if found.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
        raise UsageError(
            "identity.certificate_file is not the certificate of identity.private_key_file", hint="renew both together"
        )
    if found.not_valid_after_utc < datetime.now(UTC):
        raise UsageError(f"identity.certificate_file expired on {found.not_valid_after_utc:%Y-%m-%d}: {path}")
    return found


def thumbprints(certificate: Certificate) -> dict[str, str]:
    """How the header names a certificate: by SHA-256, and by SHA-1 for issuers that know no other (RFC 7515 §4.1.7)."""
    from cryptography.hazmat.primitives.serialization import Encoding

    der = certificate.public_bytes(Encoding.DER)
    digests = {"x5t": hashlib.sha1(der, usedforsecurity=False), "x5t#S256": hashlib.sha256(der)}
    return {name: base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() for name, digest in digests.items()}
