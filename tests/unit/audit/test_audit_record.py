from __future__ import annotations

import hashlib
import json
from types import MappingProxyType
from typing import Any

import pytest

from dbgate.audit.record import (
    FIRST_PREV,
    MAX_RECORD_BYTES,
    broken_link,
    digest,
    encode,
    is_session_id,
    new_session_id,
    opens,
    parse,
    timestamp,
)

SESSION = "01jd0000000000000000000000"


def test_a_line_is_ascii_json_with_the_envelope_first() -> None:
    line = encode(SESSION, 7, FIRST_PREV, "notice", {"text": "naïve \u202e\x1b[2J\udc80", "n": 1.5})
    assert line.isascii()
    assert b"\x1b" not in line
    record = json.loads(line)
    assert list(record) == ["v", "session", "seq", "prev", "time", "kind", "text", "n"]
    assert record["text"] == "naïve \u202e\x1b[2J\udc80"
    assert parse(line) == record


def test_digest_is_sha256_of_the_line_without_newline() -> None:
    assert digest(b"abc") == hashlib.sha256(b"abc").hexdigest()


def test_mappings_and_tuples_are_json() -> None:
    line = encode(SESSION, 0, FIRST_PREV, "notice", {"a": MappingProxyType({"b": (1, 2)})})
    assert json.loads(line)["a"] == {"b": [1, 2]}


@pytest.mark.parametrize("field", ["v", "session", "seq", "prev", "time", "kind"])
def test_fields_of_the_envelope_cannot_be_overridden(field: str) -> None:
    with pytest.raises(ValueError, match=f"may not set {field}"):
        encode(SESSION, 0, FIRST_PREV, "notice", {field: "x"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_json_is_refused(value: float) -> None:
    with pytest.raises(ValueError):
        encode(SESSION, 0, FIRST_PREV, "notice", {"x": value})


def test_an_object_is_refused() -> None:
    with pytest.raises(TypeError, match="object is not JSON"):
        encode(SESSION, 0, FIRST_PREV, "notice", {"x": object()})  # type: ignore[dict-item]


def test_a_record_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        encode(SESSION, 0, FIRST_PREV, "notice", {"x": "x" * MAX_RECORD_BYTES})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b"\xff",
        b"[" * 100_000,
        b'{"v":2,"session":"s","seq":0,"prev":"p","time":"t","kind":"k"}',
        b'{"v":true,"session":"s","seq":0,"prev":"p","time":"t","kind":"k"}',
        b'{"v":1,"session":"s","seq":"0","prev":"p","time":"t","kind":"k"}',
        b'{"v":1,"session":5,"seq":0,"prev":"p","time":"t","kind":"k"}',
        b'{"session":"s","v":1,"seq":0,"prev":"p","time":"t","kind":"k"}',
    ],
)
def test_other_lines_are_no_records(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse(line)


def test_session_ids_are_unique_and_sort_by_time() -> None:
    made = [new_session_id() for _ in range(200)]
    assert len(set(made)) == 200
    assert all(is_session_id(name) for name in made)
    assert [name[:10] for name in made] == sorted(name[:10] for name in made)


@pytest.mark.parametrize(
    "text", ["", "..", "01jd/../../etc/passwd00000", "01JD0000000000000000000000", "8" * 26, "0" * 27]
)
def test_nothing_else_is_a_session_id(text: str) -> None:
    assert not is_session_id(text)


def test_times_are_rfc3339_with_microseconds() -> None:
    assert timestamp(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"
    assert timestamp(1_700_000_000_000_000_000) == "2023-11-14T22:13:20.000000Z"


def test_a_broken_link_is_named() -> None:
    record = parse(encode(SESSION, 3, "a" * 64, "notice", {}))
    assert broken_link(record, session=SESSION, seq=3, prev="a" * 64) == ""
    assert "belongs to session" in broken_link(record, session="other", seq=3, prev="a" * 64)
    assert "seq 3 where 4 is due" in broken_link(record, session=SESSION, seq=4, prev="a" * 64)
    assert "hash" in broken_link(record, session=SESSION, seq=3, prev="b" * 64)


@pytest.mark.parametrize("decision", [{}, [], None, 3, "allow"])
def test_an_outcome_is_due_whatever_a_decision_is(decision: Any) -> None:
    assert opens("statement.intent", {"id": 1, "decision": decision}) == ("statement.outcome", 1)
    assert opens("statement.intent", {"id": 1, "decision": "deny"}) is None
