"""Every key under `identity:` is read, belongs to one provider, and is never a secret by mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dbgate.config import load_settings
from dbgate.config.reading import read_settings
from dbgate.errors import DocumentError
from dbgate.settings import IdentitySettings

EVERYWHERE = {"provider", "token_store", "ca_file"}
LOCAL = {"groups", "email", "user", "actor"}
NO_KEYS = {"name", "others"}
"""What is known of an issuer by where it stands."""
FIELDS = {field.name: field.type for field in msgspec.structs.fields(IdentitySettings) if field.name not in NO_KEYS}
OIDC = FIELDS.keys() - EVERYWHERE - LOCAL
START = "identity:\n  provider: {}\n  issuer: https://login.example.com/t\n  client_id: dbgate\n"


def read(text: str) -> IdentitySettings:
    return read_settings(text, Path("/etc/dbgate/config.yaml"), Path("/state")).identity


def refused(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as error:
        read(text)
    return error.value


def given(key: str) -> tuple[str, Any]:
    """A value for a key as YAML, and as it is read: relative paths begin at the file."""
    if FIELDS[key] == tuple[str, ...]:
        return "[one, two]", ("one", "two")
    return ("TEST_NAME", "/etc/dbgate/TEST_NAME" if key.endswith("_file") else "TEST_NAME")


@pytest.mark.parametrize("key", sorted(OIDC - {"issuer", "client_id"}))
def test_a_key_of_oidc_is_read_and_refused_elsewhere(key: str) -> None:
    text, value = given(key)
    assert getattr(read(START.format("oidc") + f"  {key}: {text}\n"), key) == value
    local = refused(f"identity:\n  provider: local\n  {key}: {text}\n")
    assert local.message == f"/etc/dbgate/config.yaml:3: {key} does not go with provider: local"


@pytest.mark.parametrize("key", sorted(LOCAL))
def test_a_key_of_the_local_user_proves_nothing_to_an_issuer(key: str) -> None:
    text, _ = given(key)
    error = refused(START.format("oidc") + f"  {key}: {text}\n")
    assert error.message == f"/etc/dbgate/config.yaml:5: {key} does not go with provider: oidc"


@pytest.mark.parametrize("key", sorted(OIDC))
def test_without_a_provider_an_issuers_keys_do_not_make_a_local_user(key: str) -> None:
    text, _ = given(key)
    assert f"{key} does not go with provider: local" in refused(f"identity:\n  {key}: {text}\n").message


@pytest.mark.parametrize("key", sorted(FIELDS))
def test_a_misspelt_key_is_named_with_the_right_one(key: str) -> None:
    wrong = f"{key[:-1]}_{key[-1]}"
    error = refused(START.format("oidc") + f"  {wrong}: x\n")
    assert error.message == f"/etc/dbgate/config.yaml:5: unknown key in identity: {wrong}"
    assert "did you mean" in error.hint


def test_a_secret_in_the_file_is_refused_and_not_repeated() -> None:
    secret = "Zm9vYmFy-not-a-name"
    for key in ("client_secret", "client_secret_env"):
        error = refused(START.format("oidc") + f"  {key}: {secret}\n")
        assert secret not in error.message + error.hint
        assert "client_secret_env" in error.message + error.hint


def test_the_environment_names_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(START.format("oidc") + "  account: alice\n")
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "state"))
    assert load_settings(file).identity.account == "alice"
    monkeypatch.setenv("DBGATE_ACCOUNT", "bob")
    assert load_settings(file).identity.account == "bob"
