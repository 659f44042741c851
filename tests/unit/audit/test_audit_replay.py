"""Frames, the terminal player and the exports: faithful, and harmless to whoever watches."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.audit.samples import START

from dbgate.audit.export import as_json, cast, comment, sql
from dbgate.audit.frames import Frame, decision_text, frames, outcome_text
from dbgate.audit.page import page
from dbgate.audit.replay import Pace, painted, play
from dbgate.text import printable

NASTY = "x\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\x9b31m\r--\u2028</script><script>alert(1)</script>\"'&"


def record(kind: str, at: str, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "session": "01jd0000000000000000000000", "seq": 0, "prev": "", "time": at, "kind": kind, **fields}


def at(seconds: float) -> str:
    return f"2026-01-31T08:00:{seconds:09.6f}Z"


RECORDS = [
    record("session.start", at(0), **START),
    record("statement.intent", at(1), id=1, text="SELECT ssn\nFROM t", parameters=["a", None], decision="rewrite", rules=["staff (p.yaml:3)"], masked=["s.t.ssn"]),
    record("output", at(1.5), id=1, text=" ssn\n ***6789\n", truncated=True),
    record("statement.outcome", at(1.6), id=1, status="SELECT 1", duration_ms=12.4, rows=1),
    record("statement.intent", at(20), id=2, text="DROP TABLE t", decision="deny", rules=["no-destruction"], denied="Use migrations."),
    record("notice", at(20), id=2, level="denied", text="Use migrations.", hint="write one"),
    record("approval.requested", at(21), id=3, request="r1", measured={"s.t": 420}),
    record("approval.redeemed", at(25), id=3, request="r1", approved_by=["dba@example.com"]),
    record("statement.intent", at(25), id=3, text="UPDATE t SET a = 1 -- all", decision="approve", rules=["bulk"], grant="g1"),
    record("statement.outcome", at(26), id=3, status="error", sqlstate="57014", message="cancelled"),
    record("session.end", at(27), reason="quit"),
]  # fmt: skip


def test_frames_show_what_happened_in_order() -> None:
    shown = list(frames(RECORDS))
    assert [frame.role for frame in shown] == [
        "header", "statement", "outcome", "mask", "output", "outcome", "statement", "deny", "deny", "notice",
        "approval", "approval", "statement", "approval", "error", "end",
    ]  # fmt: skip
    texts = [frame.text for frame in shown]
    assert "person    mia@example.com (human, oidc)" in texts[0]
    assert "target    payroll (production)" in texts[0]
    assert "reason    INC-4711" in texts[0]
    assert texts[1] == "payroll=> SELECT ssn\nFROM t"
    assert texts[2] == "[$1 = a, $2 = NULL]"
    assert texts[3] == "[allowed, rewritten by staff (p.yaml:3) · masked s.t.ssn]"
    assert texts[4] == " ssn\n ***6789\n… (cut in the recording)"
    assert texts[5] == "[SELECT 1 · 12 ms]"
    assert texts[7] == "[denied by no-destruction: Use migrations.]"
    assert texts[8:10] == ["denied: Use migrations.", "hint: write one"]
    assert texts[10] == "[approval requested · request r1 · measured s.t: 420]"
    assert texts[11] == "[approval redeemed · request r1 · by dba@example.com]"
    assert texts[13] == "[approved by bulk · grant g1]"
    assert texts[14] == "[error · 57014 · cancelled]"
    assert [frame.at_s for frame in shown[:6]] == [0.0, 1.0, 1.0, 1.0, 1.5, 1.6]


def test_a_clock_that_jumps_back_never_runs_the_frames_back() -> None:
    shown = list(
        frames([record("session.start", at(9)), record("notice", at(3), text="x"), record("notice", "?", text="y")])
    )
    assert [frame.at_s for frame in shown] == [0.0, 0.0, 0.0]


def nasty_records() -> list[dict[str, Any]]:
    """Every text in every record tries to steer the terminal, the page or the script."""
    identity = dict.fromkeys(("email", "subject", "actor", "assurance", "on_behalf_of"), NASTY)
    return [
        record("session.start", at(0), identity=identity, target=NASTY, environment=NASTY, door=NASTY, host=NASTY, reason=NASTY),
        record("statement.intent", at(1), id=1, text=NASTY, parameters=[NASTY], decision="allow", rules=[NASTY], masked=[NASTY]),
        record("output", at(1), id=1, text=NASTY),
        record("statement.outcome", at(1), id=1, status=NASTY, sqlstate=NASTY, message=NASTY),
        record("statement.intent", at(2), id=2, text=NASTY, decision="deny", rules=[NASTY], denied=NASTY),
        record("statement.intent", at(2), id=NASTY, text=NASTY, decision=NASTY, error=NASTY, approval=NASTY),
        record("notice", at(2), level=NASTY, text=NASTY, hint=NASTY),
        record(f"approval.{NASTY}", at(3), request=NASTY, measured={NASTY: NASTY}, approved_by=[NASTY], detail=NASTY),
        record("damaged", "", text=NASTY),
        record("session.end", at(4), reason=NASTY),
    ]  # fmt: skip


def test_no_frame_can_steer_a_terminal() -> None:
    for frame in frames(nasty_records()):
        assert printable(frame.text, keep="\n\t") == frame.text
        assert "\x1b" not in frame.text


def test_odd_records_are_shown_all_the_same() -> None:
    odd = [
        record("session.start", "never", identity="nobody"),
        record("statement.intent", at(1), rules=None, parameters="x", masked="x"),
        record("statement.outcome", at(1), duration_ms="long"),
        record("output", at(1)),
        record("approval.x", at(1), measured=[1]),
        record("heartbeat", at(1)),
        record("something.new", at(1)),
    ]
    roles = [frame.role for frame in frames(odd)]
    assert roles == ["header", "statement", "error", "outcome", "output", "approval"]


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        ({"status": "SELECT 3", "duration_ms": 0.44}, "SELECT 3 · 0.4 ms"),
        ({"status": "not run", "duration_ms": 0.0}, "not run"),
        ({"status": "unknown", "message": "dbgate ended"}, "unknown · dbgate ended"),
        ({}, "?"),
    ],
)
def test_outcomes_in_a_line(outcome: dict[str, Any], text: str) -> None:
    assert outcome_text(outcome) == text


def test_a_dry_run_says_so() -> None:
    assert decision_text({"decision": "allow", "rules": ["a"], "dry_run": True}) == "allowed by a · dry run"


def test_playing_waits_as_recorded_but_never_idles() -> None:
    waits: list[float] = []
    out = io.StringIO()
    play(frames(RECORDS), out, Pace(speed=2, max_idle_s=3), colour=False, sleep=waits.append)
    assert waits == pytest.approx([0.5, 0.25, 0.05, 1.5, 0.5, 1.5, 0.5, 0.5])
    assert "payroll=> DROP TABLE t\n[denied by" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_playing_waits_exactly_as_recorded() -> None:
    waits: list[float] = []
    play(frames(RECORDS), io.StringIO(), Pace(max_idle_s=None), colour=False, sleep=waits.append)
    assert waits == pytest.approx([1.0, 0.5, 0.1, 18.4, 1.0, 4.0, 1.0, 1.0])


def test_without_speed_nothing_waits() -> None:
    play(frames(RECORDS), io.StringIO(), Pace(speed=0), colour=False, sleep=lambda _: pytest.fail("waited"))


def test_an_interrupt_leaves_the_terminal_clean() -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        play(frames(RECORDS), out, Pace(), colour=True, sleep=interrupted)
    assert out.getvalue().endswith("\x1b[0m")


def test_styles_end_on_their_line() -> None:
    text = painted(Frame(0, "statement", "a\nb"), colour=True)
    assert text == "\n\x1b[1ma\x1b[0m\n\x1b[1mb\x1b[0m\n"
    assert painted(Frame(0, "output", "a\nb"), colour=True) == "a\nb\n"


def test_a_cast_is_asciicast_v3() -> None:
    head, *events = [json.loads(line) for line in cast(RECORDS)]
    assert head["version"] == 3
    assert head["term"]["cols"] >= 80
    assert head["timestamp"] == 1769846400
    assert {event[1] for event in events} == {"m", "o", "x"}
    assert all(len(event) == 3 and event[0] >= 0 for event in events)
    assert sum(event[0] for event in events) == pytest.approx(27.0)
    assert [event[2] for event in events if event[1] == "m"][1] == "denial: payroll=> DROP TABLE t"
    assert events[-1] == [0.0, "x", "0"]
    output = "".join(event[2] for event in events if event[1] == "o")
    assert "\n" not in output.replace("\r\n", "")


def test_a_cast_carries_only_our_own_escapes() -> None:
    for line in list(cast(nasty_records()))[1:]:
        text = re.sub(r"\x1b\[[0-9;]*m", "", json.loads(line)[2])
        assert printable(text, keep="\r\n\t") == text
    assert printable(json.loads(next(iter(cast(nasty_records()))))["title"]).isprintable()


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_a_page_holds_text_and_no_other_script() -> None:
    html = "".join(page(nasty_records()))
    seen = Seen()
    seen.feed(html)
    tags = [tag for tag, _ in seen.tags]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"img", "link", "iframe", "a", "form", "object", "base"} & set(tags)
    for _, attributes in seen.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes)
    (policy,) = [a["content"] for tag, a in seen.tags if tag == "meta" and "http-equiv" in a]
    assert policy is not None
    for tag, start in (("script", '<script type="module">'), ("style", "<style>")):
        (body,) = re.findall(f"{start}(.*?)</{tag}>", html, re.DOTALL)
        expected = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{expected}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "http:" not in html
    assert "https:" not in html
    assert "alert(1)" in "".join(seen.text)


def test_a_page_shows_every_frame_at_its_time() -> None:
    seen = Seen()
    seen.feed("".join(page(RECORDS)))
    shown = [(a["class"], a["data-at"]) for tag, a in seen.tags if tag == "pre"]
    assert shown == [(frame.role, f"{frame.at_s:.3f}") for frame in frames(RECORDS)]
    assert "DROP TABLE t" in "".join(seen.text)


def uncommented(script: str) -> str:
    """What PostgreSQL would run of a script: a line comment ends at a line feed or carriage return."""
    return "\n".join(line for line in re.split(r"[\r\n]", script) if line.strip() and not line.startswith("--"))


def test_an_sql_export_runs_what_ran_and_nothing_else() -> None:
    script = "".join(sql(RECORDS))
    assert uncommented(script) == "SELECT ssn\nFROM t\n;\nUPDATE t SET a = 1 -- all\n;"
    assert "-- DROP TABLE t" in script
    assert "denied by no-destruction: Use migrations." in script
    assert "-- parameters: $1 = 'a', $2 = NULL" in script
    assert "-- statement 3 at 2026-01-31T08:00:25.000000Z by mia@example.com (human, oidc): approved by bulk" in script
    assert "-- approved by: dba@example.com\n" in script


def test_an_sql_export_runs_nothing_that_is_not_exact_or_not_proven() -> None:
    def ran(number: int, text: str) -> list[dict[str, Any]]:
        fields = record("statement.intent", at(1), id=number, text=text, decision="allow")
        return [fields, record("statement.outcome", at(1), id=number, status="SELECT 1")]

    damaged = {"kind": "damaged", "time": "", "text": "line 5: wrong"}
    records = [
        *ran(1, "SELECT 1"), *ran(2, "SELECT 'x\x1b[2J'"), *ran(3, "SELECT x\u202e"), damaged, *ran(4, "SELECT 4"),
        {"kind": "verdict", "time": "", "text": "not intact\rDROP TABLE t", "holds": False},
    ]  # fmt: skip
    script = "".join(sql(records))
    assert uncommented(script) == "SELECT 1\n;"
    assert "-- not given to run: control and direction characters" in script
    assert "-- not given to run: the record does not hold together here\n-- SELECT 4" in script
    assert script.endswith("-- checked: not intact\n-- DROP TABLE t\n")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\x00"])
def test_no_text_leaves_its_comment(end: str) -> None:
    trick = f"harmless{end}DROP TABLE t;"
    assert uncommented(comment(trick)) == ""
    records = [
        record("session.start", at(0), target=trick, reason=trick, identity={"email": trick}),
        record("statement.intent", at(1), id=trick, text=trick, decision="deny", rules=[trick], denied=trick),
        record("statement.intent", trick, id=2, text="select 1", decision="allow", rules=[trick], parameters=[trick]),
        record("statement.outcome", at(1), id=2, status=trick, message=trick),
        record("damaged", "", text=trick),
        record("statement.intent", at(1), id=3, text=trick, decision="allow"),
    ]
    assert uncommented("".join(sql(records))) == "select 1\n;"


def test_a_json_export_is_exact() -> None:
    document = json.loads("".join(as_json({"session": "x"}, nasty_records())))
    assert document["summary"] == {"session": "x"}
    assert document["records"] == nasty_records()
    verdict = {"kind": "verdict", "time": "", "text": "fine", "holds": True}
    document = json.loads("".join(as_json({}, [*nasty_records(), verdict])))
    assert document["records"] == nasty_records()
    assert document["integrity"] == {"holds": True, "text": "fine"}
