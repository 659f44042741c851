"""How a replay shows what was asked for in clear, and seen."""

from __future__ import annotations

from dbgate.audit.frames import decision_text, frames


def test_the_intent_names_what_a_grant_shows() -> None:
    intent = {
        "decision": "rewrite",
        "rules": ["read (p.yaml:3)"],
        "masked": ["a.b.email"],
        "unmasked": [
            {"column": "a.b.ssn", "tag": "pii.ssn", "grant": "g1"},
            {"column": "a.b.ssn", "tag": "pii.id", "grant": "g2"},
            {"column": "a.v.\x1b[2J", "tag": "pii.ssn", "grant": "g1"},
        ],
    }
    assert decision_text(intent) == (
        "allowed, rewritten by read (p.yaml:3) · masked a.b.email · in clear by a grant a.b.ssn, a.v.\\x1b[2J"
    )
    assert decision_text(intent | {"unmasked": "nonsense"}).endswith("· masked a.b.email")


def test_a_request_names_its_tags() -> None:
    start = {"kind": "session.start", "target": "pay", "time": "2026-03-04T12:00:00Z"}
    asked = {"kind": "approval.requested", "time": "2026-03-04T12:00:01Z", "tags": ["pii.ssn"], "reason": "a call"}
    shown = [frame.text for frame in frames([start, asked])]
    assert shown[-1] == "[approval requested · to see pii.ssn in clear · why: a call]"
