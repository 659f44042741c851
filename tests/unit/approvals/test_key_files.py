"""Key files: made once, whole, for the owner only; and public keys as people hand them over."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from dbgate.approvals import keys
from dbgate.approvals.pins import pin_file, trusted_keys
from dbgate.approvals.sqlite import SqliteStore
from dbgate.errors import Unreachable, UsageError

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_everybody_gets_the_same_key(tmp_path: Path) -> None:
    path = tmp_path / "state" / "grants.key"
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: keys.key_id(keys.load_or_create(path).public_key()), range(32)))
    assert len(set(made)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["grants.key"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "grants.key"
    keys.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(UsageError, match="others can read or replace"):
        keys.load_or_create(path)


def test_folders_that_were_missing_are_the_owners_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    keys.load_or_create(tmp_path / "state" / "dbgate" / "approvals" / "grants.key")
    SqliteStore(tmp_path / "other" / "approvals" / "approvals.db").close()
    for folder in ("state", "state/dbgate", "state/dbgate/approvals", "other", "other/approvals"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700, folder
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_key_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grants.key"
    keys.load_or_create(path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match="others can read or replace"):
        keys.load_or_create(path)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    keys.load_or_create(tmp_path / "real.key")
    (tmp_path / "grants.key").symlink_to(tmp_path / "real.key")
    with pytest.raises(UsageError, match="cannot use the key file"):
        keys.load_or_create(tmp_path / "grants.key")


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grants.key"
    path.write_bytes(b"nonsense")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="holds no private key"):
        keys.load_or_create(path)
    path.write_bytes(RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(UsageError, match="holds no Ed25519 key"):
        keys.load_or_create(path)


def test_public_keys_in_every_form(tmp_path: Path) -> None:
    public = Ed25519PrivateKey.generate().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    one, many = json.dumps(keys.to_jwk(public)), json.dumps({"keys": [keys.to_jwk(public)]})
    for content in (pem, one.encode(), many.encode()):
        (tmp_path / "key").write_bytes(content)
        assert [keys.key_id(key) for key in keys.read_public_keys(tmp_path / "key")] == [keys.key_id(public)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": []}',
        b'{"kty": "oct", "k": "AA"}',
        b'{"kty":"OKP","crv":"Ed25519","x":"AA"}',
        b'{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}',
        b'{"kty":"EC","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}',
        b'{"kty":"OKP","crv":"Ed25519","x":7}',
        RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        b"\xff",
    ],
)
def test_what_is_no_public_key(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError, match="as the key of the approvals service"):
        keys.read_public_keys(tmp_path / "key")


def test_a_private_jwk_is_not_taken_for_a_public_one() -> None:
    document = keys.to_jwk(Ed25519PrivateKey.generate().public_key()) | {"d": "AAAA"}
    with pytest.raises(ValueError, match="not an Ed25519 public key"):
        keys.from_jwk(document)


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """RFC 8037, appendix A.3."""
    key = keys.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    assert keys.key_id(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_the_first_key_of_a_url_is_remembered(tmp_path: Path) -> None:
    first, second = (Ed25519PrivateKey.generate().public_key() for _ in range(2))
    url = "https://approvals.example.com"

    def trust(shown: object, pinned: str = "", url: str = url) -> list[str]:
        found = trusted_keys(public_key=pinned, state_dir=tmp_path, url=url, fetch=lambda: shown)
        return [keys.key_id(key) for key in found]

    assert trust({"keys": [keys.to_jwk(first)]}) == [keys.key_id(first)]
    assert trust({"keys": [keys.to_jwk(second)]}) == [keys.key_id(first)], "a later key is not taken silently"
    assert trust({"keys": [keys.to_jwk(second)]}, url=url + ":8443") == [keys.key_id(second)]
    assert pin_file(tmp_path, url).stat().st_mode & 0o777 == 0o600
    trusted_keys(public_key="", state_dir=tmp_path, url=url, fetch=lambda: pytest.fail("asked again"))
    (tmp_path / "pinned").write_text(json.dumps(keys.to_jwk(second)))
    assert trust({"keys": [keys.to_jwk(first)]}, str(tmp_path / "pinned")) == [keys.key_id(second)]
    pin_file(tmp_path, url).write_text("{}")
    with pytest.raises(UsageError, match="remembered key") as caught:
        trust({"keys": [keys.to_jwk(first)]})
    assert str(pin_file(tmp_path, url)) in caught.value.hint


@pytest.mark.parametrize("shown", [None, {}, {"keys": []}, {"keys": [{"kty": "RSA"}]}, []])
def test_a_service_without_a_key(tmp_path: Path, shown: object) -> None:
    with pytest.raises(Unreachable, match="does not show the key"):
        trusted_keys(public_key="", state_dir=tmp_path, url="https://a.example.com", fetch=lambda: shown)
    assert not pin_file(tmp_path, "https://a.example.com").exists()
