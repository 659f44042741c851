from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backends.fail
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from dbgate.audit.keys import (
    PublicKey,
    ensure_key,
    keys_dir,
    load_key,
    own_keys,
    parse_public_key,
    read_public_keys,
    usable_keyring,
)
from dbgate.errors import AuditUnavailable, UsageError


class MemoryKeyring(KeyringBackend):
    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise KeyringLocked("locked")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    memory = MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


@pytest.fixture
def no_ring() -> Iterator[None]:
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]
    yield
    keyring.set_keyring(before)


def test_a_usable_keyring_keeps_the_key(tmp_path: Path, ring: MemoryKeyring) -> None:
    key_id = ensure_key(tmp_path)
    assert not list(keys_dir(tmp_path).glob("*.key"))
    assert [name for _, name in ring.kept] == [key_id]
    key = load_key(tmp_path)
    assert key.public.id == key_id
    assert own_keys(tmp_path)[0].verifies(key.sign(b"message"), b"message")
    assert ensure_key(tmp_path) == key_id


def test_without_a_keyring_the_key_is_a_private_file(tmp_path: Path, no_ring: None) -> None:
    key_id = ensure_key(tmp_path)
    assert (keys_dir(tmp_path) / f"{key_id}.key").stat().st_mode & 0o777 == 0o600
    assert load_key(tmp_path).public.id == key_id


def test_a_forced_keyring_that_is_not_there_is_an_error_with_a_hint(tmp_path: Path, no_ring: None) -> None:
    with pytest.raises(AuditUnavailable, match="no usable keyring") as raised:
        ensure_key(tmp_path, "keyring")
    assert "key_store: file" in raised.value.hint
    assert not list(keys_dir(tmp_path).glob("*.key"))


def test_a_forced_file_leaves_the_keyring_alone(tmp_path: Path, ring: MemoryKeyring) -> None:
    ensure_key(tmp_path, "file")
    assert ring.kept == {}


def test_a_locked_keyring_falls_back_when_none_was_asked_for(tmp_path: Path, ring: MemoryKeyring) -> None:
    ring.locked = True
    key_id = ensure_key(tmp_path)
    assert (keys_dir(tmp_path) / f"{key_id}.key").exists()
    with pytest.raises(AuditUnavailable, match="refused it"):
        ensure_key(tmp_path / "other", "keyring")


def test_a_keyring_that_lost_the_key_is_an_error_not_a_new_key(tmp_path: Path, ring: MemoryKeyring) -> None:
    ensure_key(tmp_path)
    ring.kept.clear()
    with pytest.raises(AuditUnavailable, match="does not have it any more"):
        load_key(tmp_path)
    ring.locked = True
    with pytest.raises(AuditUnavailable, match="did not give it"):
        load_key(tmp_path)


@pytest.mark.parametrize("module", ["keyrings.alt.file", "keyring.backends.null", "keyring.backends.fail"])
def test_a_keyring_in_clear_or_in_vain_is_never_used(ring: MemoryKeyring, module: str) -> None:
    plain = type("PlaintextKeyring", (MemoryKeyring,), {"__module__": module})()
    keyring.set_keyring(plain)
    assert usable_keyring() is None


def test_another_store_means_another_key_and_the_old_one_stays_trusted(tmp_path: Path, ring: MemoryKeyring) -> None:
    old = ensure_key(tmp_path, "keyring")
    new = ensure_key(tmp_path, "file")
    assert old != new
    assert {key.id for key in own_keys(tmp_path)} == {old, new}
    assert load_key(tmp_path, "file").public.id == new


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key_id = ensure_key(tmp_path, "file")
    file = keys_dir(tmp_path) / f"{key_id}.key"
    file.chmod(0o640)
    with pytest.raises(AuditUnavailable, match="other users may read") as raised:
        ensure_key(tmp_path, "file")
    assert raised.value.hint == f"chmod 600 {file}"


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", '{"store": "cloud", "key": "ab"}', '{"store": "file", "key": "../x"}']
)
def test_a_damaged_choice_is_an_error(tmp_path: Path, content: str) -> None:
    ensure_key(tmp_path, "file")
    (keys_dir(tmp_path) / "current").write_text(content)
    with pytest.raises(AuditUnavailable, match="damaged"):
        ensure_key(tmp_path, "file")


def test_a_swapped_key_file_is_refused(tmp_path: Path) -> None:
    mine = ensure_key(tmp_path / "a", "file")
    theirs = ensure_key(tmp_path / "b", "file")
    stolen = (keys_dir(tmp_path / "b") / f"{theirs}.key").read_bytes()
    (keys_dir(tmp_path / "a") / f"{mine}.key").write_bytes(stolen)
    with pytest.raises(AuditUnavailable, match=f"the stored key is not {mine}"):
        load_key(tmp_path / "a", "file")


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    key_id = ensure_key(tmp_path, "file")
    (keys_dir(tmp_path) / f"{key_id}.key").write_bytes(content)
    with pytest.raises(AuditUnavailable, match="is damaged"):
        load_key(tmp_path, "file")


def test_a_missing_key_file_is_an_error_not_a_new_key(tmp_path: Path) -> None:
    key_id = ensure_key(tmp_path, "file")
    (keys_dir(tmp_path) / f"{key_id}.key").unlink()
    with pytest.raises(AuditUnavailable, match="No such file"):
        ensure_key(tmp_path, "file")
    assert json.loads((keys_dir(tmp_path) / "current").read_text())["key"] == key_id


def test_public_keys_are_read_back_from_pem(tmp_path: Path) -> None:
    ensure_key(tmp_path, "file")
    (key,) = own_keys(tmp_path)
    assert parse_public_key(key.pem()) == key
    bad = tmp_path / "bad.pub"
    bad.write_text("rubbish")
    with pytest.raises(UsageError, match="not a public key in PEM"):
        read_public_keys([bad])
    with pytest.raises(UsageError, match="cannot read the key"):
        read_public_keys([tmp_path / "absent.pub"])


def test_a_key_of_another_kind_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = X25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match="not an Ed25519 public key"):
        parse_public_key(pem)


def test_a_signature_fits_one_message_and_one_key(tmp_path: Path) -> None:
    ensure_key(tmp_path, "file")
    key = load_key(tmp_path, "file")
    signature = key.sign(b"message")
    assert key.public.verifies(signature, b"message")
    assert not key.public.verifies(signature, b"massage")
    assert not key.public.verifies(signature[:-1], b"message")
    assert not PublicKey(bytes(31) + b"\x01").verifies(signature, b"message")
