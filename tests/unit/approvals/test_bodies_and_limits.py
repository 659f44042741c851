"""What the service lets in: bodies with bounds, requests at a pace, connections in number."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.approvals.kit import ALICE, request_of

from dbgate.approvals import bodies
from dbgate.approvals.limits import RateLimit, Streams
from dbgate.approvals.refusals import BadRequest, Busy
from dbgate.approvals.transport import check_url, is_loopback
from dbgate.errors import UsageError
from dbgate.model import ReviewClause

GOOD: dict[str, Any] = msgspec.to_builtins(request_of(ALICE))


def test_a_request_survives_the_journey() -> None:
    assert bodies.read(json.dumps(GOOD).encode(), bodies.NewRequest).to_request() == request_of(ALICE)


@pytest.mark.parametrize(
    "changes",
    [
        {"requester": "alice"},
        {"clauses": []},
        {"clauses": [{"groups": []}]},
        {"clauses": [{"groups": [""]}]},
        {"clauses": [{"groups": ["dba"], "count": 0}]},
        {"clauses": [{"groups": ["dba"], "count": -1}]},
        {"clauses": [{"groups": ["dba"], "count": 1.5}]},
        {"clauses": [{"groups": ["dba"], "count": True}]},
        {"clauses": [{"groups": ["dba"], "min": 0}]},
        {"clauses": [{"groups": "dba"}]},
        {"binding": "sha256:xyz"},
        {"binding": "sha256:" + "0" * 64 + "\n"},
        {"statement": ""},
        {"statement": "select 1\0; drop table t"},
        {"statement": 7},
        {"statement": "x" * (2 * 1024 * 1024 + 1)},
        {"parameters": [1]},
        {"parameters": ["a\0b"]},
        {"parameters": "abc"},
        {"measured": {"t": -1}},
        {"measured": {"t": 2**60}},
        {"measured": {"t": "7"}},
        {"expires_s": 0},
        {"expires_s": 10**9},
        {"target": ""},
        {"reason": "x" * 5000},
    ],
)
def test_bodies_out_of_bounds(changes: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"not what this takes|more than"):
        bodies.read(json.dumps(GOOD | changes).encode(), bodies.NewRequest)


@pytest.mark.parametrize("missing", ["target", "statement", "parameters", "binding", "policy_digest", "clauses"])
def test_fields_that_must_be_there(missing: str) -> None:
    with pytest.raises(BadRequest, match=missing):
        bodies.read(
            json.dumps({name: value for name, value in GOOD.items() if name != missing}).encode(), bodies.NewRequest
        )


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'"\\ud800"',
        b'{"note": "\\ud800"}',
        b'{"note": ' + b"[" * 100_000,
        b'{"note": 1e999}',
    ],
)
def test_what_is_no_body(content: bytes) -> None:
    with pytest.raises(BadRequest):
        bodies.read(content, bodies.Note)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason": "r" * 4097}, "the reason has more than 4,096 characters"),
        ({"statement": "s" * (2 * 1024 * 1024 + 1)}, "the statement has more than 2,097,152 characters"),
        ({"rules": ["r"] * 101}, "there are more than 100 rules"),
        ({"relations": ["r" * 513]}, "one of the relations has more than 512 characters"),
    ],
)
def test_what_is_too_long_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.read(json.dumps(GOOD | changes).encode(), bodies.NewRequest)
    assert (caught.value.message, caught.value.hint) == (said, "make it shorter")


def test_an_empty_body_is_an_empty_note() -> None:
    assert bodies.read(b"", bodies.Note).note == ""


def test_the_default_count_is_one() -> None:
    body = bodies.read(json.dumps(GOOD | {"clauses": [{"groups": ["a", "b"]}]}).encode(), bodies.NewRequest)
    assert body.to_request().clauses == (ReviewClause(("a", "b"), 1),)


def test_a_bucket_empties_and_fills_again() -> None:
    time_s = [0.0]
    limit = RateLimit(burst=3, per_s=2, monotonic=lambda: time_s[0])
    for _ in range(3):
        limit.take("alice")
    with pytest.raises(Busy, match="too many requests") as caught:
        limit.take("alice")
    assert caught.value.retry_after_s == 1
    limit.take("bob")
    time_s[0] = 0.5
    limit.take("alice")
    with pytest.raises(Busy):
        limit.take("alice")
    time_s[0] = 1000
    for _ in range(3):
        limit.take("alice")
    with pytest.raises(Busy):
        limit.take("alice")


def test_buckets_do_not_grow_without_end() -> None:
    limit = RateLimit(burst=1, per_s=0.001, max_identities=2, monotonic=lambda: 0.0)
    for name in ("a", "b", "c"):
        limit.take(name)
    with pytest.raises(Busy):
        limit.take("c")


def test_streams_are_counted() -> None:
    streams = Streams(per_identity=2, total=3)
    with streams.slot("a"), streams.slot("a"):
        with pytest.raises(Busy, match="streams"):
            streams.take("a")
        with streams.slot("b"), pytest.raises(Busy):
            streams.take("c")
    with streams.slot("a"), streams.slot("a"):
        pass


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("", False),
    ],
)
def test_what_stays_on_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    "url", ["https://a.example.com/x/", "http://127.0.0.1:8765", "http://localhost", "http://[::1]:1"]
)
def test_urls_that_tokens_may_be_sent_to(url: str) -> None:
    assert check_url(url, "approvals.url") == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://a.example.com", "ftp://x", "a.example.com", "", "https://", "http://127.0.0.1@evil.example.com"]
)
def test_urls_that_tokens_are_not_sent_to(url: str) -> None:
    with pytest.raises(UsageError, match="must be an https URL"):
        check_url(url, "approvals.url")


UNMASK = {"kind": "unmask", "tags": ["pii.ssn"], "statement": "", "measured": {}, "masked": [], "parameters": []}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"kind": "session", "uses": 2}, "of the kind session holds uses"),
        (UNMASK | {"uses": 2}, "of the kind unmask holds uses"),
        ({"kind": "transaction", "uses": 2}, "of the kind transaction holds uses"),
        ({"kind": "session", "rules": []}, "of the kind session lacks rules"),
        ({"limits": {"statements": 1}}, "of the kind statement holds limits"),
        ({"break_glass": ["oncall"]}, "of the kind statement holds break_glass"),
        ({"kind": "break-glass", "break_glass": ["oncall"], "reason": " "}, "of the kind break-glass lacks a reason"),
        ({"kind": "break-glass", "break_glass": [], "reason": "fire"}, "of the kind break-glass lacks break_glass"),
        ({"tags": ["pii.ssn"]}, "of the kind statement holds tags"),
        ({"columns": ["a.b.c"]}, "of the kind statement holds columns"),
        (UNMASK | {"tags": []}, "of the kind unmask lacks tags"),
        (UNMASK | {"statement": "SELECT 1"}, "of the kind unmask holds statement"),
        (UNMASK | {"measured": {"a.b": 1}}, "of the kind unmask holds measured"),
        (UNMASK | {"tags": ["b.b", "a.a"]}, "tags are sorted"),
    ],
)
def test_a_request_asks_for_one_thing(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadRequest, match=fault):
        bodies.read(json.dumps(GOOD | changes).encode(), bodies.NewRequest)


def test_each_kind_may_hold_what_is_its_own() -> None:
    for changes in ({"uses": 2}, {"kind": "session", "limits": {"statements": 1}}, UNMASK):
        assert bodies.read(json.dumps(GOOD | changes).encode(), bodies.NewRequest).kind == changes.get(
            "kind", "statement"
        )
