"""Two issuers that one service trusts, each of which tries to speak for the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.approvals.issuer import AUDIENCE, ED, Issuer, jwk, serving
from tests.approvals.kit import ALICE

from dbgate.approvals.issuers import IssuersVerifier
from dbgate.approvals.local import mint_local_token
from dbgate.approvals.oidc import OidcVerifier
from dbgate.errors import SignInRequired, Unreachable, UsageError
from dbgate.tokens.claims import told_apart

PARTNER_KEY = Ed25519PrivateKey.generate()
PARTNER_AUDIENCE = "dbgate-partner"


@pytest.fixture
def main() -> Iterator[Issuer]:
    made = Issuer(keys=[jwk(ED, "ed")])
    with serving(made):
        yield made


@pytest.fixture
def partner() -> Iterator[Issuer]:
    made = Issuer(keys=[jwk(PARTNER_KEY, "p")])
    with serving(made):
        yield made


@pytest.fixture
def both(main: Issuer, partner: Issuer) -> IssuersVerifier:
    theirs = OidcVerifier(partner.url, [PARTNER_AUDIENCE], clock=partner.clock, name="partner")
    return IssuersVerifier([main.verifier(others=("partner",)), theirs])


def refused(both: IssuersVerifier, token: str) -> str:
    with pytest.raises(SignInRequired) as caught:
        both.verify(token)
    assert caught.value.hint
    return caught.value.message


def test_each_speaks_for_its_own_people(both: IssuersVerifier, main: Issuer, partner: Issuer) -> None:
    ours = both.verify(main.token())
    theirs = both.verify(partner.token(PARTNER_KEY, kid="p", aud=PARTNER_AUDIENCE))
    assert (ours.issuer, ours.groups) == (main.url, ("dba", "engineering"))
    assert (theirs.issuer, theirs.groups) == (partner.url, ("partner/dba", "partner/engineering"))
    assert ours.subject == theirs.subject
    assert ours.key != theirs.key


def test_no_issuer_speaks_for_the_other(both: IssuersVerifier, main: Issuer, partner: Issuer) -> None:
    assert "has no EdDSA key 'p'" in refused(both, main.token(PARTNER_KEY, kid="p"))
    assert "signature is wrong" in refused(both, main.token(PARTNER_KEY, kid="ed"))
    assert "signature is wrong" in refused(both, main.token(PARTNER_KEY, kid=None))
    assert "has no EdDSA key 'ed'" in refused(both, partner.token(ED, kid="ed", aud=PARTNER_AUDIENCE))


def test_an_audience_is_good_at_its_own_issuer_only(both: IssuersVerifier, main: Issuer, partner: Issuer) -> None:
    assert "its audience is not dbgate-partner" in refused(both, partner.token(PARTNER_KEY, kid="p", aud=AUDIENCE))
    assert "its audience is not dbgate-cli" in refused(both, main.token(aud=PARTNER_AUDIENCE))


def test_keys_that_one_offers_under_the_others_name_are_its_own(
    both: IssuersVerifier, main: Issuer, partner: Issuer
) -> None:
    partner.keys = [jwk(PARTNER_KEY, "ed"), *main.keys]
    assert "signature is wrong" in refused(both, main.token(PARTNER_KEY, kid="ed"))
    assert both.verify(main.token()).issuer == main.url
    partner.discovery = {"issuer": main.url}
    with pytest.raises(Unreachable, match="names another issuer"):
        both.verify(partner.token(PARTNER_KEY, kid="ed", aud=PARTNER_AUDIENCE))


def test_one_that_is_away_leaves_the_other_alone(both: IssuersVerifier, main: Issuer, partner: Issuer) -> None:
    partner.status = 503
    with pytest.raises(Unreachable):
        both.verify(partner.token(PARTNER_KEY, kid="p", aud=PARTNER_AUDIENCE))
    assert both.verify(main.token()).subject == "u-1"


@pytest.mark.parametrize("issuer", [None, "", 7, ["x"], {}, "https://evil.example.com"])
def test_a_token_of_nobody_known(both: IssuersVerifier, main: Issuer, issuer: object) -> None:
    token = jwt.PyJWS().encode(json.dumps({"iss": issuer, "sub": "u-1"}).encode(), ED, "EdDSA", {"kid": "ed"})
    assert f"its issuer is not one of {main.url}" in refused(both, token)


def test_the_url_counts_to_its_last_character(both: IssuersVerifier, main: Issuer) -> None:
    for url in (f"{main.url}/", main.url.upper(), f"{main.url}?x", main.url.removesuffix("t")):
        assert "its issuer is not one of" in refused(both, main.token(iss=url))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "." * 10_000, "x" * 60_000])
def test_no_token_at_all(both: IssuersVerifier, token: str) -> None:
    assert refused(both, token).startswith("the token was refused: it is ")


@pytest.mark.parametrize("payload", [b"[" * 20_000, b'{"iss":' * 4_000, b"[]", b"7", b"\xff\xfe", b""])
def test_a_payload_that_is_no_set_of_claims(both: IssuersVerifier, main: Issuer, payload: bytes) -> None:
    token = jwt.PyJWS().encode(payload, ED, "EdDSA", {"kid": "ed"})
    assert "it is not a signed JSON Web Token" in refused(both, token)
    with pytest.raises(SignInRequired):
        main.verifier().verify(token)


def test_a_token_that_is_too_long_is_not_even_read(both: IssuersVerifier, main: Issuer) -> None:
    assert "longer than 49152 bytes" in refused(both, main.token(iss="https://evil.example.com", filler="x" * 60_000))


def test_a_local_identity_is_told_what_to_set(both: IssuersVerifier, tmp_path: Path) -> None:
    assert "it is of a local identity" in refused(both, mint_local_token(tmp_path, ALICE))


def test_the_main_issuer_gives_no_group_of_a_named_one(both: IssuersVerifier, main: Issuer) -> None:
    assert "its group 'partner/dba' looks like one of the issuer" in refused(both, main.token(groups=["partner/dba"]))
    assert both.verify(main.token(groups=["partner", "other/dba", "/partner/dba"])).groups == (
        "partner",
        "other/dba",
        "/partner/dba",
    )
    assert told_apart(("partner/dba", "main/x"), "partner", ()) == ("partner/partner/dba", "partner/main/x")


def test_an_issuer_stands_there_once(main: Issuer) -> None:
    with pytest.raises(UsageError, match="named twice"):
        IssuersVerifier([main.verifier(), main.verifier()])
