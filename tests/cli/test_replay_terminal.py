"""`dbgate replay` on a real terminal, key by key."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.audit.samples import Installation, intent, outcome
from tests.cli.test_cli_audit import environment, eventful
from tests.shell.terminal import Terminal

NASTY = "x\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\x9b31m\r--\u2028\x1b]52;c;b3duZWQ=\x07\x1bP$q\x1b\\\x0e\x08"


def replaying(here: Installation, *arguments: str, **more: str) -> Terminal:
    return Terminal(
        [sys.executable, "-P", "-m", "dbgate", "replay", *arguments], environment={**environment(here), **more}
    )


def approved(here: Installation) -> str:
    """A session with a read, a denial, an approved write and an error."""
    with here.open() as recorder:
        recorder.record("statement.intent", intent(1, "SELECT ssn FROM t", "rewrite", masked=["s.t.ssn"]))
        recorder.record("output", {"id": 1, "text": " ssn\n ***6789\n"})
        recorder.record("statement.outcome", outcome(1))
        recorder.record("statement.intent", intent(2, "DROP TABLE t", "deny", rules=["no-destruction (p.yaml:9)"]))
        recorder.record("approval.redeemed", {"id": 3, "grant": "g", "approved_by": ["dba@example.com"]})
        recorder.record("statement.intent", intent(3, "UPDATE t SET a = 1", "approve", grant="g", access="write"))
        recorder.record("statement.outcome", outcome(3, "error", sqlstate="57014"))
        recorder.close({"reason": "quit"})
    return recorder.session


def test_jumps_search_steps_and_leaving(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    with replaying(here, approved(here), "--step") as terminal:
        terminal.see("step 0:00")
        screen = terminal.see(
            "? keys   checked: 9 records in one chain, sealed with key",
            "mia@example.com (human, oidc) on payroll (production)",
        )
        assert "SELECT ssn" not in screen
        terminal.type(" ")
        screen = terminal.see("***6789", "#1 allowed, rewritten")
        assert "DROP TABLE" not in screen
        terminal.type("d")
        terminal.see("#2 denied (rules: no-destruction (p.yaml:9))")
        terminal.type("w")
        terminal.see("#3 approved by dba@example.com", "UPDATE t SET a = 1")
        terminal.type("w")
        terminal.see("no further write")
        terminal.type("e")
        terminal.see("[error · 57014")
        terminal.type("/drop x\x7f\x7fy")
        terminal.see("/dropy_")
        terminal.type("\x15drop\r")
        screen = terminal.see("went on from the beginning")
        assert "UPDATE" not in screen
        terminal.type("?")
        terminal.see("the next, previous denial")
        terminal.type("\x1b")
        terminal.see("DROP TABLE")
        terminal.type("q")
        assert terminal.end() == 0
    assert terminal.raw.count(b"\x1b[?1049h") == terminal.raw.count(b"\x1b[?1049l") == 1


def test_pausing_speed_seeking_and_exact_pauses(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    with here.open() as recorder:
        for number in range(1, 4):
            recorder.record("statement.intent", intent(number, f"select {number}00"))
            recorder.record("statement.outcome", outcome(number))
        recorder.close({"reason": "quit"})
    with replaying(here, recorder.session) as terminal:
        terminal.see("session ended: quit")
        terminal.see(" end ")
        terminal.type("\x1b[H")
        terminal.see("statement 0 of 3")
        terminal.type("9")
        terminal.type("\x1b[F")
        terminal.see("statement 3 of 3")
        terminal.type("[[")
        screen = terminal.see("statement 2 of 3", " stop ")
        assert "select 300" not in screen
        terminal.type(">>")
        terminal.see("4x")
        terminal.type("<<<")
        terminal.see("0.5x")
        terminal.type("i")
        terminal.see("pauses as recorded")
        terminal.type("s")
        terminal.see("waits before each statement")
        terminal.type(" ")
        terminal.see("session ended: quit")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert b"Traceback" not in terminal.raw


def test_beginning_elsewhere(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    with replaying(here, approved(here), "--from", "2", "--step") as terminal:
        screen = terminal.see("#2 denied", "***6789")
        assert "UPDATE" not in screen
    with replaying(here, approved(here), "--from", "7") as terminal:
        terminal.see("error: there is no statement 7")
        terminal.see("hint: its statements are 1 to 3")
        assert terminal.end() == 2


def test_the_screen_follows_the_terminal_s_size(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    with replaying(here, approved(here)) as terminal:
        terminal.see("session ended: quit")
        terminal.resize(12, 40)
        terminal.see("session ended: quit")
        terminal.type("D")
        screen = terminal.see("#2 denied")
        lines = screen.split("\n")
        assert len(lines) == 12
        assert lines[-4].startswith(" stop 0:0")
        terminal.resize(3, 8)
        terminal.type("e")
        terminal.see("stop")
        terminal.resize(30, 100)
        terminal.see("#3 approved by dba@example.com")


def test_nothing_recorded_reaches_the_terminal_raw(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    identity = {"email": NASTY, "subject": NASTY, "actor": NASTY}
    with here.open(identity=identity, target=NASTY, environment=NASTY, reason=NASTY, host=NASTY) as recorder:
        recorder.record("approval.redeemed", {"id": 1, "request": NASTY, "grant": NASTY, "approved_by": [NASTY]})
        recorder.record("statement.intent", intent(1, NASTY, "approve", rules=[NASTY], grant=NASTY))
        recorder.record("output", {"id": 1, "text": NASTY})
        recorder.record("statement.outcome", outcome(1, "error", message=NASTY))
        recorder.record("notice", {"level": NASTY, "text": NASTY, "hint": NASTY})
        recorder.close({"reason": NASTY})
    with replaying(here, recorder.session) as terminal:
        terminal.see("session ended: x\\x1b[2J")
        for keys in ("[", "a", "e", "/x\x1b[2J\r", "n", "?", "\x1b"):
            terminal.type(keys)
        terminal.see("owned")
        terminal.type("\x1b[200~/\x9b31m\x1b[201~q")
        terminal.end()
    assert b"\x1b]0;" not in terminal.raw
    assert b"\x1b]52" not in terminal.raw
    assert b"\x1bP" not in terminal.raw
    assert not re.search("[\u202e\u2066\u2028\x80-\x9f\x0e]", terminal.raw.decode("utf-8"))
    assert set(re.findall(rb"\x1b\[[0-9;?]*J", terminal.raw)) <= {b"\x1b[J", b"\x1b[0J", b"\x1b[2J"}
    assert terminal.raw.count(b"\x1b[2J") <= 2


def test_what_was_changed_is_said_where_it_is_shown(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    session = eventful(here)
    file = here.state_dir / "spool" / session / "00000.jsonl"
    file.write_bytes(file.read_bytes().replace(b"DROP TABLE", b"DROP tABLE"))
    with replaying(here, session, "--step") as terminal:
        terminal.see("? keys   checked: not intact: 00000.jsonl line 6")
        terminal.type("f")
        terminal.see("damaged: 00000.jsonl line 6: record 5 does not carry the hash")
        terminal.see("NOT PROVEN FROM HERE ON")
        terminal.type("q")
        assert terminal.end() == 1
    said = terminal.raw.rpartition(b"\x1b[?1049l")[2]  # the screen is back, and the notice stays on it
    assert b"notice: this transcript was altered: 00000.jsonl line 6" in said


def test_a_terminal_that_cannot_be_drawn_on_gets_text(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    with replaying(here, eventful(here), "--speed", "100", TERM="dumb", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert b"\x1b" not in terminal.raw
    assert "[denied by no-destruction]" in terminal.screen
