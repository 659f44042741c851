"""Grants to unmask: a valid one is accepted, every way of bending one is refused, and no kind passes for the other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, DBA, OWNERS, START, request_of, unmask_request_of

from dbgate.approvals import keys
from dbgate.approvals.grants import TYPE, UNMASK_TYPE, Expected, GrantSigner, verify
from dbgate.approvals.records import Approval, StoredRequest
from dbgate.approvals.refusals import GrantRefused
from dbgate.approvals.states import Status
from dbgate.binding import binding, unmask_binding
from dbgate.model import ApprovalRequest, RequestKind

KEY = Ed25519PrivateKey.generate()
ASKED = unmask_request_of(ALICE)
EXPECTED = Expected(
    identity=ALICE.key,
    target=ASKED.target,
    binding=ASKED.binding,
    request="r1",
    policy_digest=ASKED.policy_digest,
    clauses=ASKED.clauses,
    kind=RequestKind.UNMASK,
    tags=ASKED.tags,
    max_s=1800,
)


def signed(asked: ApprovalRequest = ASKED, lives_s: int = 1800) -> str:
    request = StoredRequest(
        id="r1",
        asked=asked,
        requester=ALICE,
        status=Status.APPROVED,
        created_at=START,
        deadline=START + timedelta(seconds=lives_s),
        approvals=(Approval(BOB, START),),
    )
    return GrantSigner(KEY).sign(request, now=START)


def forged(typ: str = UNMASK_TYPE, key: Ed25519PrivateKey = KEY, **changes: Any) -> str:
    """The grant with some claims changed (None removes one) and signed again."""
    claims = jwt.decode(signed(), options={"verify_signature": False}) | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"typ": typ, "kid": keys.key_id(KEY.public_key())}
    return jwt.encode(claims, key, algorithm="EdDSA", headers=header)


def refused(token: str, expected: Expected = EXPECTED, after_s: float = 0) -> str:
    with pytest.raises(GrantRefused) as caught:
        verify(token, [KEY.public_key()], expected, now=START + timedelta(seconds=after_s))
    assert caught.value.hint
    return caught.value.message


def test_a_grant_says_what_it_opens() -> None:
    grant = verify(signed(), [KEY.public_key()], EXPECTED, now=START)
    assert (grant.kind, grant.tags) == (RequestKind.UNMASK, ("pii.email", "pii.ssn"))
    assert (grant.identity, grant.target, grant.clauses) == (ALICE.key, "prod-payroll", (DBA,))
    assert grant.expires_at == START + timedelta(minutes=30)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity": BOB.key}, "another identity"),
        ({"target": "prod-billing"}, "another target"),
        ({"policy_digest": "sha256:" + "1" * 64}, "another policy"),
        ({"request": "r2"}, "another request"),
        ({"clauses": (DBA, OWNERS)}, "other reviewers"),
        ({"tags": ("pii.ssn",)}, "other tags"),
        ({"tags": ("finance.pay", "pii.email", "pii.ssn")}, "other tags"),
        ({"max_s": 600}, "lives longer than the policy allows"),
    ],
)
def test_for_something_else(changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(signed(), replace(EXPECTED, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tags": ["finance.pay", "pii.email", "pii.ssn"]}, "other tags"),
        ({"tags": ["pii.*"]}, "other tags"),
        ({"tags": []}, "other tags"),
        ({"tags": None}, "other tags"),
        ({"tags": "pii.ssn"}, "malformed"),
        ({"kind": "statement"}, "another kind"),
        ({"kind": None}, "another kind"),
        ({"kind": "everything"}, "malformed"),
        ({"uses": 1000}, "another number of runs"),
        ({"binding": request_of(ALICE).binding}, "another statement"),
        ({"exp": int((START + timedelta(days=1)).timestamp())}, "lives longer"),
    ],
)
def test_bent_by_whoever_holds_the_key(changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(forged(**changes))


def test_tampered_tags_break_the_signature() -> None:
    head, _, signature = signed().split(".")
    _, body, _ = forged(tags=["finance.pay"]).split(".")
    assert "signature" in refused(f"{head}.{body}.{signature}")
    assert "signature" in refused(forged(key=Ed25519PrivateKey.generate()))


def test_it_ends_when_it_was_said_to_end() -> None:
    verify(signed(), [KEY.public_key()], EXPECTED, now=START + timedelta(seconds=1799))
    for late_s in (1800, 1801, 86_400):
        assert "expired" in refused(signed(), after_s=late_s)


def test_neither_kind_passes_for_the_other() -> None:
    statement = request_of(ALICE)
    for_statement = replace(
        EXPECTED, binding=statement.binding, kind=RequestKind.STATEMENT, tags=(), max_s=None, target=statement.target
    )
    assert "of another kind" in refused(signed(statement, 3600))
    assert "of another kind" in refused(signed(), for_statement)
    assert "another kind" in refused(forged(typ=TYPE, binding=statement.binding), for_statement)
    assert "other tags" in refused(forged(typ=TYPE, kind="statement", binding=statement.binding), for_statement)
    verify(signed(statement, 3600), [KEY.public_key()], for_statement, now=START)


def test_a_binding_to_unmask_is_bound_to_everything() -> None:
    fields: dict[str, Any] = {
        "identity": "i#a", "target": "t", "tags": ["a", "b"], "for_s": 60, "policy_digest": "p"
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {}, {"identity": "i#b"}, {"target": "u"}, {"tags": ["a"]}, {"tags": ["ab"]}, {"for_s": 61}, {"policy_digest": "q"}
    ]  # fmt: skip
    made = [unmask_binding(**(fields | change)) for change in changes]
    assert len(set(made)) == len(changes)
    assert unmask_binding(**(fields | {"tags": ["b", "a"]})) == made[0]
    lookalike = binding(
        identity="dbgate unmask v1", target="i#a", statement="t", parameters=["a", "b"], policy_digest="p"
    )
    assert lookalike not in made
