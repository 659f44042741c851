"""Grants: a valid one is accepted, and every way of bending one is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, DBA, OWNERS, START, request_of

from dbgate.approvals import keys
from dbgate.approvals.grants import TYPE, Expected, GrantSigner, verify
from dbgate.approvals.records import Approval, StoredRequest
from dbgate.approvals.refusals import GrantRefused
from dbgate.approvals.states import Status
from dbgate.binding import binding
from dbgate.model import RequestKind, SessionLimits

KEY = Ed25519PrivateKey.generate()
ASKED = request_of(ALICE)
EXPECTED = Expected(
    identity=ALICE.key,
    target=ASKED.target,
    binding=ASKED.binding,
    request="r1",
    policy_digest=ASKED.policy_digest,
    clauses=ASKED.clauses,
)


def approved() -> StoredRequest:
    return StoredRequest(
        id="r1",
        asked=ASKED,
        requester=ALICE,
        status=Status.APPROVED,
        created_at=START,
        deadline=START + timedelta(hours=1),
        approvals=(Approval(BOB, START),),
    )


def signed() -> str:
    return GrantSigner(KEY).sign(approved(), now=START)


def forged(key: Any = KEY, algorithm: str = "EdDSA", typ: str = TYPE, kid: str = "", **changes: Any) -> str:
    """The grant with some claims changed (None removes one) and signed again."""
    claims = jwt.decode(signed(), options={"verify_signature": False}) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"typ": typ, "kid": kid or keys.key_id(KEY.public_key())}
    return jwt.encode(claims, key, algorithm=algorithm, headers=header)


def refused(token: str, expected: Expected = EXPECTED, after_s: float = 0) -> str:
    with pytest.raises(GrantRefused) as caught:
        verify(token, [KEY.public_key()], expected, now=START + timedelta(seconds=after_s))
    assert caught.value.exit_code == 4
    assert caught.value.hint
    return caught.value.message


def test_a_grant_says_what_was_approved() -> None:
    grant = verify(signed(), [KEY.public_key()], EXPECTED, now=START)
    assert (grant.request, grant.identity, grant.target) == ("r1", ALICE.key, "prod-payroll")
    assert grant.binding == ASKED.binding
    assert grant.policy_digest == ASKED.policy_digest
    assert grant.approved_by == ("bob@example.com",)
    assert grant.measured == {"payroll.pay": 1200}
    assert grant.clauses == (DBA,)
    assert grant.uses == 1
    assert grant.expires_at == START + timedelta(hours=1)
    assert len(grant.id) == 32


def test_what_nobody_knows_beforehand_is_not_compared() -> None:
    open_ended = replace(EXPECTED, policy_digest=None, clauses=None, uses=None)
    grant = verify(signed(), [KEY.public_key()], open_ended, now=START)
    assert (grant.policy_digest, grant.clauses, grant.uses) == (ASKED.policy_digest, ASKED.clauses, 1)
    for uses in (0, -1):
        assert "not one that dbgate gives" in refused(forged(uses=uses), open_ended)


@pytest.mark.parametrize("kind", list(RequestKind))
def test_a_grant_of_each_kind_says_what_it_is_for(kind: RequestKind) -> None:
    asked = replace(ASKED, kind=kind, tags=("pii.ssn",), limits=SessionLimits(statements=3, rows=7))
    token = GrantSigner(KEY).sign(replace(approved(), asked=asked), now=START, session="s1")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.get("kind", "statement") == kind.value
    assert ("kind" in claims) == (kind is not RequestKind.STATEMENT)
    assert claims.get("tags") == (["pii.ssn"] if kind is RequestKind.UNMASK else None)
    of_session = {"rules": list(asked.rules), "limits": asked.limits.to_json(), "session": "s1"}
    for name, value in of_session.items():
        assert claims.get(name) == (value if kind is RequestKind.SESSION else None), name


def test_two_grants_never_have_the_same_id() -> None:
    first, second = (verify(signed(), [KEY.public_key()], EXPECTED, now=START) for _ in range(2))
    assert first.id != second.id


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"statement": ASKED.statement + " "}, "another statement"),
        ({"statement": ASKED.statement.upper()}, "another statement"),
        ({"parameters": ("1.03",)}, "other parameters"),
        ({"parameters": (None,)}, "other parameters"),
        ({"parameters": ("1.02", "1.02")}, "other parameters"),
    ],
)
def test_for_another_statement_or_parameters(changes: dict[str, Any], reason: str) -> None:
    other = request_of(ALICE, **changes)
    assert reason in refused(signed(), replace(EXPECTED, binding=other.binding))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": BOB.key}, "another identity"),
        ({"target": "prod-billing"}, "another target"),
        ({"policy_digest": "sha256:" + "1" * 64}, "another policy"),
        ({"request": "r2"}, "another request"),
        ({"clauses": (DBA, OWNERS)}, "other reviewers"),
        ({"clauses": ()}, "other reviewers"),
    ],
)
def test_for_something_else(changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(signed(), replace(EXPECTED, **changes))


def test_the_binding_of_another_identity_or_target_is_another_binding() -> None:
    bindings = {
        binding(identity=who, target=where, statement="s", parameters=what, policy_digest=policy)
        for who in ("a", "b")
        for where in ("t", "u")
        for what in ((), ("1",), (None,), ("1", "2"), ('1","2',))
        for policy in ("p", "q")
    }
    assert len(bindings) == 2 * 2 * 5 * 2


@pytest.mark.parametrize(
    ("make", "after_s", "reason"),
    [
        (signed, 3600, "expired at 2026-03-04 13:00:00 UTC"),
        (signed, 3601, "expired"),
        (signed, -61, "not valid yet"),
        (lambda: forged(nbf=int(START.timestamp()) + 120), 0, "not valid yet"),
        (lambda: forged(exp=None), 0, "no expiry"),
        (lambda: forged(iat=None), 0, "no time of issue"),
        (lambda: forged(exp="9999999999"), 0, "exp is not a number"),
        (lambda: forged(exp=True), 0, "exp is not a number"),
        (lambda: forged(exp=1e300), 0, "out of range"),
    ],
)
def test_at_the_wrong_time(make: Callable[[], str], after_s: float, reason: str) -> None:
    assert reason in refused(make(), after_s=after_s)


def test_until_the_last_second_it_counts() -> None:
    assert verify(signed(), [KEY.public_key()], EXPECTED, now=START + timedelta(seconds=3599.9)).request == "r1"


@pytest.mark.parametrize(
    "changes",
    [
        {"jti": None},
        {"jti": 7},
        {"sub": None},
        {"aud": ["prod-payroll", "other"]},
        {"aud": None},
        {"measured": {"payroll.pay": "many"}},
        {"clauses": None},
        {"approved_by": "bob"},
        {"binding": None},
    ],
)
def test_malformed_claims(changes: dict[str, Any]) -> None:
    assert "malformed" in refused(forged(**changes))


@pytest.mark.parametrize("uses", [2, 0, -1, 1000])
def test_a_grant_for_another_number_of_runs(uses: int) -> None:
    assert "another number of runs" in refused(forged(uses=uses))


@pytest.mark.parametrize("changes", [{"iss": "somebody-else"}, {"iss": None}])
def test_claims_that_dbgate_never_gives(changes: dict[str, Any]) -> None:
    assert "not one that dbgate gives" in refused(forged(**changes))


def test_without_a_signature() -> None:
    header = _segment({"alg": "none", "typ": TYPE, "kid": keys.key_id(KEY.public_key())})
    payload = signed().split(".")[1]
    assert "EdDSA" in refused(f"{header}.{payload}.")
    honest = signed().split(".")
    assert "signature" in refused(f"{honest[0]}.{honest[1]}.")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.Raw])
def test_hmac_with_the_public_key(encoding: Encoding) -> None:
    public_format = PublicFormat.Raw if encoding is Encoding.Raw else PublicFormat.SubjectPublicKeyInfo
    secret = KEY.public_key().public_bytes(encoding, public_format)
    for algorithm in ("HS256", "EdDSA"):
        header = _segment({"alg": algorithm, "typ": TYPE, "kid": keys.key_id(KEY.public_key())})
        text = f"{header}.{signed().split('.')[1]}"
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        assert refused(f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "dbgate-local+jwt", "DBGATE-GRANT+JWT", ""])
def test_of_another_type(typ: str) -> None:
    assert "type" in refused(forged(typ=typ))


def test_signed_with_another_key() -> None:
    other = Ed25519PrivateKey.generate()
    assert "not the approvals service's" in refused(forged(key=other, kid=keys.key_id(other.public_key())))
    assert "signature does not hold" in refused(forged(key=other))
    assert "not the approvals service's" in refused(forged(kid="nobody"))


def test_one_changed_character() -> None:
    token = signed()
    for place in range(0, len(token), 7):
        letter = "A" if token[place] != "A" else "B"
        assert refused(token[:place] + letter + token[place + 1 :])


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c", "....", "é.é.é", "\ud800.a.b", "{}.{}.{}"])
def test_no_token_at_all(text: str) -> None:
    assert refused(text)


def test_one_of_several_trusted_keys() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    assert verify(signed(), [other, KEY.public_key()], EXPECTED, now=START).request == "r1"
    with pytest.raises(GrantRefused):
        verify(signed(), [], EXPECTED, now=START)


def _segment(header: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
