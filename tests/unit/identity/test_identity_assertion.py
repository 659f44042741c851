"""A service's own assertions: signed for one issuer, short, used once; keys that cannot be used are refused with a reason."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.assertion import MAX_FILE_BYTES, ClientKey, read_key, read_private
from dbgate.identity.client import Client, read_client
from dbgate.identity.issuer import Issuer
from dbgate.settings import IdentitySettings

ISSUER = Issuer(
    "https://login.example.com/t", "https://login.example.com/t/auth", "https://login.example.com/t/token", ""
)
RSA_KEY = rsa.generate_private_key(65537, 2048)


def written(folder: Path, key: Any, *, password: bytes = b"", mode: int = 0o600) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    path.chmod(mode)
    return str(path)


def certificate(folder: Path, key: Any, *, days: int = 1) -> tuple[str, bytes]:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "batch")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    return str(path), made.public_bytes(Encoding.DER)


def client(key_file: str, **changes: Any) -> Client:
    return Client(ISSUER.url, "batch", "urn:dbgate", key_file=key_file, **changes)


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: RSA_KEY, "RS256"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), "ES512"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
    ids=["rsa", "p256", "p384", "p521", "ed25519"],
)
def test_an_assertion_says_who_signs_for_whom_and_is_good_once(
    tmp_path: Path, make: Callable[[], Any], algorithm: str
) -> None:
    key = make()
    signer = ClientKey(client(written(tmp_path, key), key_id="k-1"))
    first, second = (
        jwt.decode(signer.sign(ISSUER), key.public_key(), algorithms=[algorithm], audience=ISSUER.token_endpoint)
        for _ in range(2)
    )
    assert (first["iss"], first["sub"]) == ("batch", "batch")
    assert first["exp"] - first["iat"] == 120
    assert first["jti"] != second["jti"]
    assert jwt.get_unverified_header(signer.sign(ISSUER)) == {"alg": algorithm, "typ": "JWT", "kid": "k-1"}


def test_an_assertion_is_not_made_for_another_hosts_endpoint(tmp_path: Path) -> None:
    elsewhere = Issuer(ISSUER.url, "", "https://victim.example.com/token", "")
    key_file = written(tmp_path, RSA_KEY)
    for chosen, audience in (("", ISSUER.url), ("https://named.example.com", "https://named.example.com")):
        made = ClientKey(client(key_file, assertion_audience=chosen)).sign(elsewhere)
        assert jwt.decode(made, options={"verify_signature": False})["aud"] == audience


def test_a_certificate_names_the_key(tmp_path: Path) -> None:
    path, der = certificate(tmp_path, RSA_KEY)
    made = ClientKey(client(written(tmp_path, RSA_KEY), certificate_file=path)).sign(ISSUER)
    header = jwt.get_unverified_header(made)
    for name, digest in (("x5t", hashlib.sha1(der)), ("x5t#S256", hashlib.sha256(der))):
        assert base64.urlsafe_b64decode(header[name] + "==") == digest.digest()


def test_a_certificate_of_another_key_or_time_is_refused(tmp_path: Path) -> None:
    key_file = written(tmp_path, RSA_KEY)
    other, _ = certificate(tmp_path, rsa.generate_private_key(65537, 2048))
    with pytest.raises(UsageError, match="is not the certificate of"):
        ClientKey(client(key_file, certificate_file=other))
    old, _ = certificate(tmp_path, RSA_KEY, days=-1)
    with pytest.raises(UsageError, match="certificate_file expired on"):
        ClientKey(client(key_file, certificate_file=old))
    with pytest.raises(UsageError, match="holds no certificate"):
        ClientKey(client(key_file, certificate_file=key_file))
    with pytest.raises(UsageError, match="certificate_file cannot be read"):
        ClientKey(client(key_file, certificate_file=str(tmp_path / "none.pem")))


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate,
    ],
    ids=["short", "curve", "kind"],
)
def test_a_key_that_is_weak_or_odd_is_refused(tmp_path: Path, make: Callable[[], Any]) -> None:
    with pytest.raises(UsageError, match="holds a key that cannot be used"):
        ClientKey(client(written(tmp_path, make())))


def test_a_key_file_is_looked_at_before_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is encrypted"):
        ClientKey(client(written(tmp_path, RSA_KEY, password=b"hunter2")))
    for mode in (0o604, 0o602, 0o644):
        with pytest.raises(UsageError, match="is open to everybody") as error:
            ClientKey(client(written(tmp_path, RSA_KEY, mode=mode)))
        assert error.value.hint.startswith("chmod 600 ")
    assert ClientKey(client(written(tmp_path, RSA_KEY, mode=0o640))).algorithm == "RS256"
    (tmp_path / "none.pem").write_text("not a key")
    (tmp_path / "none.pem").chmod(0o600)
    with pytest.raises(UsageError, match="holds no private key"):
        ClientKey(client(str(tmp_path / "none.pem")))
    with pytest.raises(SignInRequired, match="cannot be read"):
        ClientKey(client(str(tmp_path / "away.pem")))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    path = written(tmp_path, RSA_KEY)
    os.chown(path, 54321, -1) if os.getuid() == 0 else None
    with pytest.raises(UsageError, match="belongs to user"):
        ClientKey(client(path))


def test_a_key_file_that_is_a_pipe_or_endless_does_not_hold_the_service(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.pem"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(UsageError, match="holds no private key"):
        read_key(str(pipe))
    endless = tmp_path / "endless.pem"
    endless.touch(0o600)
    os.truncate(endless, 1 << 30)
    assert len(read_private(str(endless))) == MAX_FILE_BYTES


def test_a_service_signs_in_one_way() -> None:
    base: dict[str, Any] = {"provider": "oidc", "issuer": ISSUER.url, "client_id": "batch"}
    both: dict[str, Any] = {"client_secret_env": "S", "private_key_file": "/k"}
    with pytest.raises(UsageError, match="identity has both client_secret_env and private_key_file"):
        read_client(IdentitySettings(**base, **both))
    with pytest.raises(UsageError, match="identity has both workload_token_file and private_key_file"):
        read_client(IdentitySettings(**base, workload_token_file="/t", private_key_file="/k"))
    for name in ("certificate_file", "private_key_id", "assertion_audience"):
        alone: dict[str, Any] = {name: "x"}
        with pytest.raises(UsageError, match=f"{name} goes with identity"):
            read_client(IdentitySettings(**base, **alone))
    assert read_client(IdentitySettings(**base, private_key_file="/k")).service
