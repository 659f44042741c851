"""Records as events, and events as OCSF, CEF and JSON: each told once, and no text leaves its field."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.ocsf_rules import faults
from tests.audit.samples import START, intent, outcome

from dbgate.audit.siem.cef import cef
from dbgate.audit.siem.events import Event, events_of
from dbgate.audit.siem.ocsf import VERSION, ocsf
from dbgate.audit.siem.plain import line, plain
from dbgate.audit.siem.syslog import message
from dbgate.audit.siem.telling import FORMATS, _fitted

SESSION = "01jdzz0000000000000000000a"
EVIL = "x' || '\r\n<13>1 - evil - - - -\n|CEF:0|a|b|\\|c=d cs1=forged \x00\x1b[2J\u2028\u2029\x85\u202e\ud800 \\"


def records(*told: tuple[str, Mapping[str, Any]], start: Mapping[str, Any] = START) -> list[dict[str, Any]]:
    """A session's records, from its start."""
    every = [("session.start", start), *told]
    return [
        {"v": 1, "session": SESSION, "seq": seq, "prev": "", "time": f"2026-11-30T12:00:{seq:02}.000000Z", "kind": kind}
        | dict(fields)
        for seq, (kind, fields) in enumerate(every)
    ]


def statement(intended: Mapping[str, Any], ended: Mapping[str, Any] | None = None, **start: Any) -> Event:
    """The event of one statement."""
    told: list[tuple[str, Mapping[str, Any]]] = [("statement.intent", intended)]
    told += [("statement.outcome", ended)] if ended is not None else [("session.end", {"reason": "crashed"})]
    return next(e for e in events_of(records(*told, start={**START, **start})) if e.kind == "statement")


def kinds(events: Iterator[Event]) -> list[tuple[str, str, int]]:
    return [(event.kind, event.uid.rpartition(".")[2], event.seq) for event in events]


def test_a_statement_and_its_outcome_are_one_event() -> None:
    told = records(
        ("statement.intent", intent(1)),
        ("output", {"id": 1, "text": "x"}),
        ("statement.outcome", outcome(1)),
        ("statement.intent", intent(2, decision="deny")),
        ("heartbeat", {"silent_s": 300}),
        ("statement.intent", intent(3)),
        ("session.end", {"reason": "crashed"}),
    )
    every = [
        ("session.start", "0", 0),
        ("statement", "1", 3),
        ("statement", "4", 4),
        ("session.end", "7", 7),
        ("statement", "6", 7),
    ]
    assert kinds(events_of(told)) == every
    assert kinds(events_of(told[:-1])) == every[:3], "what is open waits for the end of the session"
    for after in range(8):
        assert kinds(events_of(told, after=after)) == [one for one in every if one[2] > after]


def test_approvals_and_decisions_of_the_service() -> None:
    told = records(
        ("approval.requested", {"id": 1, "request": "r1"}),
        ("decision.intent", {"id": 1, "request": "r1", "action": "approval", "by": {"subject": "bob"}}),
        ("decision.intent", {"id": 2, "request": "r1", "action": "approved", "by": None}),
        ("decision.outcome", {"id": 1, "status": "done"}),
        ("decision.outcome", {"id": 2, "status": "done"}),
        (
            "decision.refused",
            {"id": 3, "request": "r1", "action": "approve", "by": {"email": "eve@x.org"}, "why": "no"},
        ),
    )
    found = list(events_of(told))
    assert [(event.kind, event.person, event.outcome.get("status")) for event in found[1:]] == [
        ("approval.requested", "mia@example.com", None),
        ("decision.intent", "bob", "done"),
        ("decision.intent", "", "done"),
        ("decision.refused", "eve@x.org", None),
    ]


def test_records_that_fit_nothing_are_told_all_the_same() -> None:
    told = records(
        ("statement.intent", intent(1)),
        ("statement.intent", intent(1, "again")),
        ("statement.outcome", outcome(1)),
        ("statement.outcome", outcome(1)),
        ("statement.intent", {**intent(1), "id": "one"}),
    )
    assert kinds(events_of(told))[1:] == [
        ("statement", "1", 2),
        ("statement", "2", 3),
        ("statement.outcome", "4", 4),
        ("statement", "5", 5),
    ]


STATEMENTS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any] | None, dict[str, Any]]] = {
    "allowed": (intent(1, relations=["s.t"], rules=["staff (p.yaml:3)"], access="read"), outcome(1), {}),
    "masked": (
        intent(1, decision="rewrite", masked=["s.t.ssn"], rewritten="SELECT …", relations=["s.t", "s.u"]),
        outcome(1, masked=["s.t.ssn"]),
        {},
    ),
    "approved": (intent(1, decision="approve", verb="update", grant="g1"), outcome(1, "UPDATE 3", rows=3), {}),
    "not approved": (intent(1, decision="approve", verb="update"), outcome(1, "not run", message="expired"), {}),
    "pending": (intent(1, decision="approve", verb="update", approval="pending"), outcome(1, "not run"), {}),
    "denied": (intent(1, decision="deny", verb="drop", denied="no"), None, {}),
    "no SQL": ({"id": 1, "text": "SELEC", "parameters": [], "decision": "error", "error": "syntax"}, None, {}),
    "failed": (intent(1), outcome(1, "error", sqlstate="42P01", message="no such table"), {}),
    "unknown": (intent(1), None, {}),
    "dry run": (intent(1, dry_run=True), outcome(1, "not run"), {}),
    "an agent for somebody": (
        intent(1),
        outcome(1),
        {
            "identity": {
                "subject": "bot",
                "email": "not an address",
                "actor": "agent",
                "on_behalf_of": "mia@example.com",
            }
        },
    ),
    "a service": (intent(1), outcome(1), {"identity": {"subject": "etl", "actor": "service", "groups": ["a", ""]}}),
    "nobody": (intent(1), outcome(1), {"identity": {}, "host": "", "target": ""}),
    "nonsense": (
        {"id": 1, "text": 7, "verb": ["x"], "decision": {}, "relations": "t", "rules": {"a": 1}, "parameters": None},
        {**outcome(1), "status": 3, "rows": "x"},
        {"identity": "me", "host": 5, "target": ["t"], "version": {}, "policy_digest": 3},
    ),
    "evil": (
        intent(1, EVIL, verb=EVIL, relations=[EVIL], rules=[EVIL], masked=[EVIL]),
        outcome(1, EVIL, message=EVIL, sqlstate=EVIL),
        {"identity": {"subject": EVIL, "email": EVIL, "actor": EVIL, "groups": [EVIL]}, "host": EVIL, "target": EVIL},
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_are_valid_ocsf(name: str) -> None:
    intended, ended, start = STATEMENTS[name]
    told = ocsf(statement(intended, ended, **start))
    assert told is not None
    assert faults(json.loads(line(told))) == []
    assert told["metadata"]["version"] == VERSION == "1.9.0"


def test_a_session_begins_as_connect() -> None:
    (begun,) = events_of(records())
    told = ocsf(begun)
    assert told is not None
    assert faults(told) == []
    assert (told["activity_name"], told["database"]["name"]) == ("Connect", "payroll")
    for event in events_of(records(("session.end", {"reason": "quit"}), ("approval.requested", {"id": 1}))):
        assert (ocsf(event) is None) == (event.kind != "session.start")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("allowed", ("Query", "Success", "Allowed", "Allowed")),
        ("masked", ("Query", "Success", "Modified", "Masked")),
        ("approved", ("Update", "Success", "Allowed", "Approved")),
        ("not approved", ("Update", "Failure", "Denied", "Rejected")),
        ("pending", ("Update", "Failure", "Denied", "Pending Approval")),
        ("denied", ("drop", "Failure", "Denied", "Blocked")),
        ("no SQL", ("Unknown", "Failure", "Denied", "Error")),
        ("failed", ("Query", "Failure", "Allowed", "Allowed")),
        ("unknown", ("Query", "Unknown", "Allowed", "Allowed")),
        ("dry run", ("Query", "Dry Run", "Allowed", "Allowed")),
    ],
)
def test_what_ocsf_says_of_a_statement(name: str, expected: tuple[str, ...]) -> None:
    intended, ended, _ = STATEMENTS[name]
    told = ocsf(statement(intended, ended))
    assert told is not None
    assert (told["activity_name"], told["status"], told["action"], told["disposition"]) == expected


def test_who_and_what_in_ocsf() -> None:
    intended, ended, _ = STATEMENTS["masked"]
    told = ocsf(statement(intended, ended))
    assert told is not None
    assert told["actor"]["user"] == {
        "name": "mia@example.com",
        "type_id": 1,
        "type": "User",
        "uid": "8f1c",
        "email_addr": "mia@example.com",
        "groups": [{"name": "engineering"}],
    }
    assert told["query_info"] == {"uid": f"{SESSION}.1", "query_string": "select 1"}
    assert told["metadata"]["uid"] == f"{SESSION}.1"
    assert (told["unmapped"]["masked"], told["unmapped"]["relations"]) == (["s.t.ssn"], ["s.t", "s.u"])
    assert told["time"] == 1796040001000
    assert "table" not in told
    one = ocsf(statement(*STATEMENTS["allowed"][:2]))
    assert one is not None
    assert one["table"] == {"name": "s.t"}
    agent = ocsf(statement(*STATEMENTS["an agent for somebody"][:2], **STATEMENTS["an agent for somebody"][2]))
    assert agent is not None
    assert agent["unmapped"]["on_behalf_of"] == "mia@example.com"
    assert "email_addr" not in agent["actor"]["user"]


UNESCAPED_PIPE = r"(?<!\\)(?:\\\\)*\|"


def steering(text: str) -> list[str]:
    """Characters that end a line, steer a terminal or turn the direction of text."""
    return [c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in "\u200c\u200d"]


def cef_fields(text: str) -> tuple[list[str], dict[str, str]]:
    """A CEF line, read as receivers read it."""
    head = re.split(UNESCAPED_PIPE, text, maxsplit=7)
    assert len(head) == 8, text
    pairs = re.findall(r"(\w+)=((?:[^=\\]|\\.)*?)(?=\s\w+=|$)", head[7], re.DOTALL)
    assert len(dict(pairs)) == len(pairs)
    return head[:7], dict(pairs)


def test_cef_of_a_statement() -> None:
    head, fields = cef_fields(cef(statement(intent(1, "SELECT a=1\nFROM t"), outcome(1, rows=7))))
    assert (head[0], head[1], head[4], head[5], head[6]) == ("CEF:0", "dbgate", "statement", "select: allow", "2")
    assert fields["suser"] == "mia@example.com"
    assert (fields["cs1Label"], fields["cs1"]) == ("statement", r"SELECT a\=1\nFROM t")
    assert (fields["cn1Label"], fields["cn1"], fields["externalId"]) == ("rows", "7", f"{SESSION}.1")


@pytest.mark.parametrize("form", FORMATS)
def test_no_text_leaves_its_field_or_line(form: str) -> None:
    intended, ended, start = STATEMENTS["evil"]
    event = statement(intended, ended, **start)
    text = FORMATS[form](event)
    assert text is not None
    assert steering(text) == []
    if form == "cef":
        head, fields = cef_fields(text)
        assert head[0] == "CEF:0"
        assert "cs1=forged" not in re.split(UNESCAPED_PIPE, text, maxsplit=7)[7]
        assert set(fields) <= {*"rt externalId suser suid shost act app outcome reason".split()} | {
            f"{name}{suffix}" for name in ("cs1", "cs2", "cs3", "cs4", "cs5", "cs6", "cn1", "flexString1")
            for suffix in ("", "Label")
        }  # fmt: skip
    else:
        assert text.isascii()
        assert len(json.loads(text)) > 5
    sent = message(event, text)
    assert sent.startswith(b"<110>1 2026-11-30T12:00:01.000000Z ")
    assert sent.split(b" ", 7)[3:7] == [b"dbgate", b"-", b"statement", b"-"]
    assert not re.search(rb"[\x00-\x1f\x7f]", sent)
    host = sent.split(b" ", 3)[2]
    assert re.fullmatch(rb"[!-~]{1,255}", host)


@given(st.text(st.characters(), max_size=60))
def test_cef_of_any_text(text: str) -> None:
    told = cef(statement(intent(1, text, verb=text), outcome(1, text), host=text))
    assert steering(told) == []
    head, fields = cef_fields(told)
    assert head[4] == "statement"
    assert set(fields) <= {"rt", "externalId", "suser", "suid", "shost", "app", "act", "outcome", "reason", "cs1Label", "cs1",
                           "cs5Label", "cs5", "cn1Label", "cn1", "cs4Label", "cs4"}  # fmt: skip


def test_plain_holds_everything() -> None:
    event = statement(intent(1, "SELECT 1", rules=["a"]), outcome(1))
    told = plain(event)
    assert told["statement"] == intent(1, "SELECT 1", rules=["a"])
    assert told["outcome"] == outcome(1)
    assert (told["uid"], told["person"], told["target"]) == (f"{SESSION}.1", "mia@example.com", "payroll")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", "x\udfff😀", {"\udc00": ["\ud83d"]}])
def test_lines_are_strict_json(value: Any) -> None:
    def never(word: str) -> None:
        raise AssertionError(word)

    told = json.loads(line({"a": [value]}), parse_constant=never)
    assert not re.search("[\ud800-\udfff]", repr(told))
    json.dumps(told, ensure_ascii=False).encode()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("letter", ["a", "\u202e", "é", "😀", "\\", "="])
def test_the_longest_events_fit(form: str, letter: str) -> None:
    long = letter * 20000
    many = [long] * 300
    intended = intent(
        1, long, verb=long, relations=many, writes=many, rules=many, denied=long, labelled=[{"column": long}] * 99
    )
    who = {"subject": long, "email": long, "groups": many, "issuer": long, "actor": long, "on_behalf_of": long}
    event = statement(intended, outcome(1, long, message=long), identity=who, host=long, target=long, version=long)
    for room in (1700, 8000, 40000):
        text = _fitted(event, FORMATS[form], room)
        assert len(text.encode()) <= room
        assert event.uid in text
        if form == "ocsf":
            assert faults(json.loads(text)) == []
