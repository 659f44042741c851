"""The shell as a person sees it: on a real terminal, key by key."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.shell.terminal import ROOT, Terminal


def shell(tmp_path: Path, *arguments: str, **environment: str) -> Terminal:
    """The shell on a session in memory."""
    home = {"HOME": str(tmp_path), **environment}
    return Terminal([sys.executable, "-m", "tests.shell.play", str(tmp_path), *arguments], environment=home)


def test_a_masked_result_and_the_toolbar(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.prompt()
        terminal.see("prod-payroll production=>")
        terminal.see("dbgate 0.1.0 · prod-payroll (production) as pia@example.com (unverified)")
        terminal.see("This session is recorded: 01TESTSESSION")
        terminal.line("select * from employees;")
        terminal.see("masked: ssn", count=2)
        screen = terminal.see("pia@example.com (unverified) · policy payroll.yaml · masked: ssn ·")
        assert "  1 | Pia" in screen
        assert "| ***4321" in screen
        assert "\\x1b]0;owned\\x07\\x1b[31mred\\u202e" in screen
        assert b"\x1b]0;owned" not in terminal.raw
        assert b"\x1b[3;35m***4321" in terminal.raw
        terminal.line("\\why")
        terminal.see("masked: payroll.employees.ssn (pii.ssn, partial)")
        terminal.line("\\q")
        assert terminal.end() == 0


def test_a_statement_over_several_lines(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("select")
        terminal.see("->")
        terminal.type("'a;")
        terminal.type("\r")
        terminal.see("'>")
        terminal.type("b';\r")
        terminal.see("SELECT")
        terminal.line("select 2 /* open;")
        terminal.see("*>")
        terminal.type("\x03")
        terminal.line("exit")
        assert terminal.end() == 0


def test_ctrl_c_clears_the_line_and_cancels_what_runs(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("select slow;")
        time.sleep(0.3)
        terminal.type("\x03")
        terminal.see("error: cancelled")
        terminal.prompt()
        terminal.type("drop everything\x03")
        terminal.line("select 1;")
        terminal.see("(1 row)")
        terminal.line("\\s")
        terminal.see("select slow;", count=2)
        assert "drop everything;" not in terminal.screen
        terminal.type("\x04")
        assert terminal.end() == 0


def test_waiting_for_an_approval_can_be_kept_or_withdrawn(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("update everything;")
        terminal.see("0 of 1 approvals: needs dba (1), until 14:05 · waiting 0:01 · Ctrl-C stops")
        terminal.type("\x03")
        terminal.see("Keep request R-7 waiting? [Y/n: withdraw it]")
        assert "Ctrl-C stops" not in terminal.screen
        terminal.type("\r")
        terminal.see("request R-7 stays; run the statement again to go on waiting")
        terminal.line("update everything;")
        terminal.see("waiting 0:00")
        terminal.type("\x03")
        terminal.see("Keep request R-7 waiting?", count=2)
        terminal.type("n\r")
        terminal.see("notice: request R-7 is withdrawn")
        terminal.line("\\w")
        terminal.see(" R-7     | pending |")


def test_an_open_transaction_shows_and_is_asked_about(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("begin;")
        terminal.see("prod-payroll production*=>")
        terminal.see("· transaction open ·")
        terminal.type("\x04")
        terminal.see("leaving rolls it back. Leave? [y/N]")
        terminal.type("\r")
        terminal.line("\\q")
        terminal.see("leaving rolls it back. Leave? [y/N]", count=2)
        terminal.type("y\r")
        assert terminal.end() == 0


def test_a_paste_of_several_statements_runs_them_one_by_one(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.prompt()
        terminal.type("\x1b[200~select 1;\nselect broken;\nselect * from employees;\n\x1b[201~")
        terminal.see("select * from employees;")
        assert "(1 row)" not in terminal.screen
        terminal.type("\r")
        screen = terminal.see("notice: stopped at the failure: what follows was not run", "error: division by zero")
        assert "(1 row)" in screen
        assert "***4321" not in screen


def test_what_is_pasted_shows_what_it_is(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.prompt()
        terminal.type("\x1b[200~select 'ab\u202ecd\u2066' \x07;\x1b[201~")
        screen = terminal.see("select 'ab\ufffdcd\ufffd' ^G;")
        assert "\u202e".encode() not in terminal.raw
        assert "\u202e" not in screen


def test_completion(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.prompt()
        terminal.type("select * from empl")
        terminal.see("employees")
        terminal.type("\t")
        terminal.see("select * from employees")
        terminal.type(" e join pay p on ")
        terminal.see("foreign key")
        terminal.type("\t")
        terminal.see("on p.employee_id = e.id")
        terminal.type("\r")
        terminal.type("\r")
        terminal.see("->")


def test_history_is_kept_per_target_for_the_owner_only(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("select 1;")
        terminal.see("(1 row)")
        terminal.line(" select 42;")
        terminal.see("SELECT")
        terminal.line("\\q")
        assert terminal.end() == 0
    file = tmp_path / "history" / "prod-payroll.history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "select 42" not in file.read_text()
    with shell(tmp_path) as terminal:
        terminal.prompt()
        terminal.type("\x1b[A\x1b[A")
        terminal.see("=> select 1;")
        terminal.type("\r")
        terminal.see("(1 row)")


def test_the_editor_fills_the_prompt_and_runs_nothing(tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text("import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('select * from employees;')")
    with shell(tmp_path, EDITOR=f"{sys.executable} {editor}") as terminal:
        terminal.line("\\e")
        terminal.see("=> select * from employees;")
        assert "***4321" not in terminal.screen
        terminal.type("\r")
        terminal.see("***4321")


def test_wide_results_expand(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("select wide;")
        terminal.see("-[ RECORD 1 ]")
        terminal.line("select 1 \\gx")
        terminal.see("?column? | 1")


def test_an_idle_session_ends_with_a_message(tmp_path: Path) -> None:
    with shell(tmp_path, "staging", "3") as terminal:
        terminal.see("the session ends in")
        terminal.see("notice: the session was idle: the session ends")
        assert terminal.end() == 3


def test_a_lost_connection_ends_the_shell(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("select lost;")
        terminal.see("notice: the session is over: connection lost")
        assert terminal.end() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_at_the_prompt_ends_the_session_properly(tmp_path: Path, number: signal.Signals) -> None:
    with shell(tmp_path) as terminal:
        terminal.prompt()
        terminal.child.kill(number)
        terminal.see(f"notice: ended by {number.name}: the session ends")
        assert terminal.end() == 130


def test_termination_while_a_statement_runs(tmp_path: Path) -> None:
    with shell(tmp_path) as terminal:
        terminal.line("select slow;")
        time.sleep(0.3)
        terminal.child.kill(signal.SIGTERM)
        assert terminal.end() == 130


def test_no_color(tmp_path: Path) -> None:
    with shell(tmp_path, NO_COLOR="1") as terminal:
        terminal.line("select * from employees;")
        terminal.see("| ***4321")
        assert b"\x1b[3;35m" not in terminal.raw
        assert not re.search(rb"\x1b\[[0-9;]*3[0-9][;m]", terminal.raw)


def test_without_a_terminal_it_reads_statements(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.shell.play", str(tmp_path)],
        input="select 1;\n\\timing on\nselect broken; select 1",
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout == " ?column?\n----------\n        1\n(1 row)\n\n"
    assert done.stderr.splitlines()[0] == "Timing is on."
    assert done.stderr.splitlines()[1] == "error: division by zero"
    assert done.returncode == 1
