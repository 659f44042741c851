"""Tokens of one machine: they prove nothing, and say so."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, START, HandClock

from dbgate.approvals import keys
from dbgate.approvals.local import (
    AUDIENCE,
    ISSUER,
    LIFETIME_S,
    TYPE,
    LocalVerifier,
    key_file,
    mint_local_token,
)
from dbgate.errors import SignInRequired, UsageError
from dbgate.model import Actor, Assurance


def verifier(state_dir: Path, clock: HandClock | None = None) -> LocalVerifier:
    return LocalVerifier(keys.load_or_create(key_file(state_dir)), clock=clock or HandClock())


def forged(state_dir: Path, typ: str = TYPE, **changes: Any) -> str:
    now = int(START.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": ALICE.key,
        "identity": ALICE.to_json(),
        "iat": now,
        "exp": now + 60,
    } | changes
    return jwt.encode(claims, keys.load_or_create(key_file(state_dir)), algorithm="EdDSA", headers={"typ": typ})


def test_a_token_names_its_identity_and_the_assurance_is_local(tmp_path: Path) -> None:
    agent = replace(ALICE, actor=Actor.AGENT, on_behalf_of="zoe", assurance=Assurance.OIDC)
    found = verifier(tmp_path).verify(mint_local_token(tmp_path, agent, now=START))
    assert found.to_json() == agent.to_json() | {"assurance": "local"}
    assert (found.signed_in_at, found.expires_at) == (START, START + timedelta(seconds=LIFETIME_S))
    assert LIFETIME_S <= 300


def test_the_key_file_is_the_owners_only(tmp_path: Path) -> None:
    mint_local_token(tmp_path, ALICE)
    assert stat.S_IMODE(key_file(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file(tmp_path).parent.stat().st_mode) == 0o700
    key_file(tmp_path).chmod(0o640)
    with pytest.raises(UsageError, match="others can read") as caught:
        mint_local_token(tmp_path, ALICE)
    assert "chmod 600" in caught.value.hint


def test_another_machines_key(tmp_path: Path) -> None:
    token = mint_local_token(tmp_path / "elsewhere", ALICE, now=START)
    with pytest.raises(SignInRequired, match="another state directory"):
        verifier(tmp_path).verify(token)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"typ": "JWT"}, "not a token of this machine"),
        ({"typ": "dbgate-grant+jwt"}, "not a token of this machine"),
        ({"iss": "https://login.example.com"}, "issuer"),
        ({"aud": "another"}, "udience"),
        ({"sub": BOB.key}, "contradicts itself"),
        ({"identity": ALICE.to_json() | {"subject": ""}}, "contradicts itself"),
        ({"identity": ALICE.to_json() | {"subject": ""}, "sub": f"{ALICE.issuer}#"}, "contradicts itself"),
        ({"identity": ALICE.to_json() | {"groups": "dba"}}, "malformed"),
        ({"identity": ALICE.to_json() | {"actor": "god"}}, "malformed"),
        ({"identity": None}, "malformed"),
        ({"identity": ALICE.to_json() | {"groups": [str(n) for n in range(1001)]}}, "contradicts itself"),
        ({"exp": int(START.timestamp()) - 60}, "expired"),
        ({"iat": int(START.timestamp()) + 61}, "not valid yet"),
    ],
)
def test_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SignInRequired, match=reason):
        verifier(tmp_path).verify(forged(tmp_path, **changes))


def test_it_expires(tmp_path: Path) -> None:
    clock = HandClock()
    checks, token = verifier(tmp_path, clock), mint_local_token(tmp_path, ALICE, now=START)
    clock.advance(LIFETIME_S + 59)
    assert checks.verify(token).subject == "alice"
    clock.advance(1)
    with pytest.raises(SignInRequired, match="expired"):
        checks.verify(token)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", "A" * 60_000])
def test_no_token_at_all(tmp_path: Path, token: str) -> None:
    with pytest.raises(SignInRequired):
        verifier(tmp_path).verify(token)


def test_a_token_that_is_too_long_is_not_even_read(tmp_path: Path) -> None:
    with pytest.raises(SignInRequired, match="longer than 49152 bytes"):
        verifier(tmp_path).verify(forged(tmp_path, filler="x" * 60_000))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_only_this_machines_key_signs(tmp_path: Path, algorithm: str) -> None:
    key = keys.load_or_create(key_file(tmp_path))
    claims = jwt.decode(forged(tmp_path), options={"verify_signature": False})
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    unsigned = jwt.encode(claims, "" if algorithm == "none" else public, algorithm=algorithm, headers={"typ": TYPE})
    with pytest.raises(SignInRequired, match="alg value is not allowed"):
        verifier(tmp_path).verify(unsigned)
