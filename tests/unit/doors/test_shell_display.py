"""The shell's display: results, messages, the pager, the live line, what is kept for the transcript."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.shell.world import MemoryRows

from dbgate.doors.shell import ShellDisplay
from dbgate.doors.shell.options import Options
from dbgate.doors.shell.pager import Pager, pager_command
from dbgate.doors.shell.screen import Screen
from dbgate.doors.shell.waiting import WaitingLine
from dbgate.errors import StatementError
from dbgate.model import Column

NUMBER = [Column("n", "integer")]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Request:
    id: str = "R-1"
    status: str = "pending"
    summary: str = "needs dba (1), until 14:05"


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("DBGATE_PAGER", "cat")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_result_is_shown_and_kept_without_colours() -> None:
    out, err = Terminal(), Terminal()
    display = ShellDisplay(out, err)
    display.tags = lambda: {"ssn": "pii.ssn"}
    rows = MemoryRows([Column("id", "integer"), Column("ssn", "text")], [("1", "***4"), ("2", None)])
    outcome = display.result(rows, statement_id=1, masked=(1,))
    assert (outcome.status, outcome.rows, outcome.truncated) == ("SELECT 2", 2, False)
    assert "\x1b[3;35m***4 " in out.getvalue()
    text, was_cut = display.output()
    assert [line.rstrip() for line in text.splitlines()] == [
        " id | ssn •", "----+-------", "  1 | ***4", "  2 | NULL", "(2 rows)", "masked: ssn (pii.ssn)", "",
    ]  # fmt: skip
    assert not was_cut
    assert display.output() == ("", False)
    assert display.masked_columns == ("ssn",)
    assert err.getvalue() == ""


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colours_when_they_are_not_wanted(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    out, err = Terminal(), Terminal()
    display = ShellDisplay(out, err)
    display.result(MemoryRows(NUMBER, [("1",), (None,)]), statement_id=1, masked=(0,))
    display.message("error", "no")
    assert "\x1b" not in out.getvalue() + err.getvalue()
    assert "n •" in out.getvalue()


def test_what_is_kept_is_cut_at_its_limit() -> None:
    display = ShellDisplay(io.StringIO(), io.StringIO(), keep_bytes=10)
    display.result(MemoryRows([Column("é", "text")], [("é" * 50,)]), statement_id=1, masked=())
    text, was_cut = display.output()
    assert text == " é\n-----"[:10] or len(text.encode()) <= 10
    assert was_cut


def test_messages_are_harmless_and_go_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    display = ShellDisplay(out, err)
    display.message("error", "bad \x1b[31m\nLINE 1: x\u202e\n        ^", "do\nthis\x07")
    assert err.getvalue() == ("error: bad \\x1b[31m\nLINE 1: x\\u202e\n        ^\nhint: do\nhint: this\\x07\n")
    assert out.getvalue() == ""


def test_a_result_that_breaks_off_shows_what_came() -> None:
    out = Terminal()
    display = ShellDisplay(out, Terminal())
    rows = MemoryRows(NUMBER, [("1",)], error=StatementError("division by zero"))
    with pytest.raises(StatementError):
        display.result(rows, statement_id=1, masked=())
    assert "(1 row before the error)" in out.getvalue()
    assert "(1 row before the error)" in display.output()[0]


def test_results_go_to_a_file_in_plain(tmp_path: Path) -> None:
    out = Terminal()
    display = ShellDisplay(out, Terminal())
    with (tmp_path / "out.txt").open("w", encoding="utf-8") as file:
        display.options.output = file
        display.result(MemoryRows(NUMBER, [("1",)]), statement_id=1, masked=())
    assert (tmp_path / "out.txt").read_text() == " n\n---\n 1\n(1 row)\n\n"
    assert out.getvalue() == ""
    assert display.output()[0] == " n\n---\n 1\n(1 row)\n\n"


class FullDisk(io.StringIO):
    """A file on a full disk: it takes writes into its buffer, and fails to flush them."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_and_the_statement_ends_properly() -> None:
    err = io.StringIO()
    display = ShellDisplay(io.StringIO(), err)
    display.options.output = FullDisk()
    outcome = display.result(MemoryRows(NUMBER, [("1",)]), statement_id=1, masked=())
    assert outcome.status == "SELECT 1"
    assert err.getvalue() == "error: the result cannot be written: No space left on device\n"


def test_gx_expands_one_result() -> None:
    out = io.StringIO()
    display = ShellDisplay(out, io.StringIO())
    display.expanded_once = True
    display.result(MemoryRows(NUMBER, [("1",)]), statement_id=1, masked=())
    display.result(MemoryRows(NUMBER, [("2",)]), statement_id=2, masked=())
    assert out.getvalue().startswith("-[ RECORD 1 ]")
    assert out.getvalue().count("RECORD") == 1


def fake_pager(tmp_path: Path, body: str) -> str:
    """A pager that is a Python program."""
    script = tmp_path / "pager.py"
    script.write_text(f"import sys, pathlib, time\nfolder = pathlib.Path({str(tmp_path)!r})\n{body}\n")
    return f"{sys.executable} {script}"


def test_a_long_result_goes_through_the_pager_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBGATE_PAGER", fake_pager(tmp_path, "(folder / 'seen').write_bytes(sys.stdin.buffer.read())"))
    out = Terminal()
    display = ShellDisplay(out, Terminal())
    outcome = display.result(MemoryRows(NUMBER, [(str(i),) for i in range(5000)]), statement_id=1, masked=())
    assert outcome.rows == 5000
    assert out.getvalue() == ""
    seen = (tmp_path / "seen").read_text().splitlines()
    assert len(seen) == 5004
    assert seen[-2].endswith("(5000 rows)\x1b[0m")


def test_leaving_the_pager_throws_the_rest_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBGATE_PAGER", fake_pager(tmp_path, "sys.stdin.buffer.read(100)"))
    display = ShellDisplay(Terminal(), Terminal())

    class Endless(MemoryRows):
        def batches(self):  # type: ignore[no-untyped-def]
            started = time.monotonic()
            while not self.is_closed and time.monotonic() - started < 20:
                time.sleep(0.001)
                yield [("1",)] * 100

    rows = Endless(NUMBER, [])
    outcome = display.result(rows, statement_id=1, masked=())
    assert rows.is_closed
    assert outcome.truncated


def test_a_slow_reader_does_not_hold_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "while not (folder / 'drained').exists(): time.sleep(0.01)\n(folder / 'seen').write_bytes(sys.stdin.buffer.read())"
    monkeypatch.setenv("DBGATE_PAGER", fake_pager(tmp_path, body))
    display = ShellDisplay(Terminal(), Terminal())

    class Telling(MemoryRows):
        def batches(self):  # type: ignore[no-untyped-def]
            yield from super().batches()
            (tmp_path / "drained").touch()

    rows = Telling([Column("t", "text")], [("x" * 1000,)] * 2000)
    display.options.expanded = "off"
    display.result(rows, statement_id=1, masked=())
    assert (tmp_path / "seen").read_text().count("x" * 1000) == 2000


def test_short_and_narrow_results_and_no_pager_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBGATE_PAGER", "false")
    out = Terminal()
    display = ShellDisplay(out, Terminal())
    display.result(MemoryRows(NUMBER, [(str(i),) for i in range(15)]), statement_id=1, masked=())
    assert "(15 rows)" in out.getvalue()
    display.options.pager = False
    display.result(MemoryRows(NUMBER, [(str(i),) for i in range(500)]), statement_id=1, masked=())
    assert "(500 rows)" in out.getvalue()


def test_which_pager() -> None:
    python = sys.executable
    assert pager_command({"DBGATE_PAGER": f"{python} -x", "PAGER": "cat"}) == [python, "-x"]
    assert pager_command({"PAGER": f"{python}"}) == [python]
    assert pager_command({"PAGER": "cat"}) == []
    assert pager_command({"PAGER": ""}) == []
    assert pager_command({"PAGER": "no-such-pager-here"}) == []
    assert pager_command({"PAGER": "unbalanced '"}) == []
    assert pager_command({"PAGER": "less"}) in ([], ["less", "-S", "-R", "-X"])


def test_less_may_not_run_programs(tmp_path: Path) -> None:
    script = fake_pager(tmp_path, "import os; (folder / 'env').write_text(os.environ['LESSSECURE']); sys.stdin.read()")
    pager = Pager(script.split())
    pager.close()
    assert (tmp_path / "env").read_text() == "1"


def test_the_waiting_line_counts_and_goes_away() -> None:
    stream = Terminal()
    line = WaitingLine(stream, 80)
    line.show(Request(summary="needs dba\x1b[31m, until 14:05"), left_s=90)
    time.sleep(0.25)
    line.stop()
    text = stream.getvalue()
    assert "needs dba\\x1b[31m, until 14:05 · waiting 0:00, 1:29 left · Ctrl-C stops" in text
    assert text.endswith("\r\x1b[K")
    assert not line.is_shown
    assert {len(part) <= 80 for part in text.split("\r\x1b[K")} == {True}


def test_the_waiting_line_fits_a_narrow_terminal() -> None:
    line = WaitingLine(Terminal(), 30)
    line.show(Request(summary="x" * 200), left_s=None)
    line.stop()
    assert len(line.line(time.monotonic(), 3)) <= 30


def test_waiting_without_a_terminal_tells_each_change_once() -> None:
    err = io.StringIO()
    display = ShellDisplay(io.StringIO(), err)
    for summary in ("needs 2", "needs 2", "needs 1"):
        display.waiting(Request(summary=summary), left_s=None)
    display.settle()
    assert err.getvalue() == (
        "notice: waiting for approval of request R-1\n"
        "hint: a reviewer may run: dbgate requests approve R-1\n"
        "notice: request R-1: needs 2\n"
        "notice: request R-1: needs 1\n"
    )


def test_a_message_takes_the_waiting_line_away_first() -> None:
    err = Terminal()
    display = ShellDisplay(io.StringIO(), err)
    display.waiting(Request(), left_s=None)
    display.message("notice", "approved")
    assert re.search(r"\r\x1b\[K\x1b\[33mnotice:\x1b\[0m approved\n$", err.getvalue())


def test_the_screen_asks_for_its_size_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(Terminal(), Options())
    assert screen.size == (80, 24)
    monkeypatch.setenv("COLUMNS", "120")
    assert screen.size == (120, 24)
    assert os.environ["COLUMNS"] == "120"
