"""What a stored sign-in is worth: checked on every use, listed as it is, forgotten whole."""

from __future__ import annotations

import fcntl
import stat
import time
from pathlib import Path
from typing import Any

import jwt
import keyring
import pytest
from msgspec.structs import replace
from tests.oidc.memory_keyring import MemoryKeyring
from tests.unit.identity.test_identity_current import KEY, keep, settings_for, signed

from dbgate.errors import SignInRequired
from dbgate.identity import current_identity, leaving, sign_ins, sign_out, sign_out_all
from dbgate.identity.accounts import LIST, enter, place_of
from dbgate.identity.client import read_client
from dbgate.identity.keyring_store import KeyringStore
from dbgate.identity.stored import lock_path, only_one
from dbgate.identity.token_store import TokenStore, open_store
from dbgate.model import Identity
from dbgate.settings import Settings


def state_of(settings: Settings) -> str:
    (one,) = sign_ins(settings)
    return one.state


def test_a_persons_token_is_for_the_client_whatever_the_audience(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, audience="urn:a")
    keep(settings)
    assert current_identity(settings).subject == "alice"
    keep(settings, token=signed(settings.identity.issuer, aud="urn:a"))
    with pytest.raises(SignInRequired, match="its audience is not dbgate"):
        current_identity(settings)


def test_an_access_token_is_no_persons_sign_in(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    claims = jwt.decode(signed(settings.identity.issuer), options={"verify_signature": False})
    keep(settings, token=jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": "e1", "typ": "at+jwt"}))
    with pytest.raises(SignInRequired, match="another kind of token"):
        current_identity(settings)


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"issuer": "https://127.0.0.1:1/other"}, {"client_id": "another"}, {"service": True}],
)
def test_what_stands_in_the_wrong_place_is_not_used(changes: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings, **changes)
    with pytest.raises(SignInRequired, match="belongs to another issuer or client"):
        current_identity(settings)


def test_a_renewed_token_may_leave_the_nonce_out_and_no_other(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings, nonce="ours", renewed=True)
    assert current_identity(settings).subject == "alice"
    keep(settings, nonce="ours")
    with pytest.raises(SignInRequired, match="nonce is not ours"):
        current_identity(settings)


def test_groups_of_a_named_issuer_carry_its_name_and_are_nobody_elses(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings, token=signed(settings.identity.issuer, groups=["partner/dba"]))
    assert current_identity(settings).groups == ("partner/dba",)
    beside = replace(settings, identity=replace(settings.identity, others=("partner",)))
    with pytest.raises(SignInRequired, match="looks like one of the issuer"):
        current_identity(beside)
    named = replace(settings, identity=replace(settings.identity, name="partner"))
    assert current_identity(named).groups == ("partner/partner/dba",)


def test_a_lock_is_private_and_no_link_is_followed(tmp_path: Path) -> None:
    with only_one(tmp_path, "place"):
        assert stat.S_IMODE(lock_path(tmp_path, "place").stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere"
    lock_path(tmp_path, "linked").symlink_to(elsewhere)
    with pytest.raises(SignInRequired, match="the state directory cannot be used"), only_one(tmp_path, "linked"):
        raise AssertionError("a link was followed")
    assert not elsewhere.exists()


def test_sign_ins_are_listed_as_they_are(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    issuer = settings.identity.issuer
    keep(settings)
    assert state_of(settings) == "valid"
    keep(settings, token=signed(issuer, exp=int(time.time()) - 600))
    assert state_of(settings) == "expired"
    keep(settings, ended="revoked")
    assert state_of(settings) == "ended by the issuer: revoked"
    keep(settings, token=signed(issuer)[:-4] + "AAAA")
    assert "signature is wrong" in state_of(settings)
    open_store(settings).delete(place_of(read_client(settings.identity), "alice"))
    assert state_of(settings) == "gone from the store"


def test_who_is_not_signed_in_cannot_be_signed_out(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings)
    with pytest.raises(SignInRequired, match="bob is not signed in to") as caught:
        sign_out(settings, "bob")
    assert "whoami --all" in caught.value.hint
    assert current_identity(settings).subject == "alice"


def test_signing_out_leaves_no_lock_and_names_who_takes_over(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    client, store = read_client(settings.identity), open_store(settings)
    enter(store, tmp_path, client, Identity(settings.identity.issuer, "bob"))
    keep(settings)
    with only_one(tmp_path, place_of(client, "alice")):
        pass
    done = sign_out(settings)
    assert (done.account, done.now) == ("alice", "bob")
    assert not lock_path(tmp_path, place_of(client, "alice")).exists()
    assert [one.account for one in sign_ins(settings)] == ["bob"]
    assert sign_out(settings).account == "bob"
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_list_goes_from_the_keyring_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryKeyring(limit=16_000)
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    KeyringStore(backend).write(LIST, b"damaged")
    sign_out_all(settings_for(tmp_path, token_store="keyring"))
    assert backend.items == {}


def test_nobody_renews_what_is_being_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path)
    keep(settings)
    forget = leaving.forget

    def held(store: TokenStore, place: str) -> tuple[bool, str]:
        with lock_path(tmp_path, place).open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return forget(store, place)

    monkeypatch.setattr(leaving, "forget", held)
    assert sign_out(settings).found
