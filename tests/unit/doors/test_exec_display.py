from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbgate.doors.exec import ExecDisplay, Output, OutputFile
from dbgate.doors.formats import Batch, open_writer
from dbgate.errors import StatementError, UsageError
from dbgate.model import Column
from dbgate.session.effects import Finished


class Result:
    def __init__(self, *batches: Batch | StatementError) -> None:
        self.columns = (Column("name", "text"), Column("ssn", "text"))
        self.status = "SELECT 2"
        self._batches = batches
        self.closed = False
        self.affected = 2

    def batches(self) -> Iterator[Batch]:
        for batch in self._batches:
            if isinstance(batch, StatementError):
                raise batch
            yield batch

    def close(self) -> None:
        self.closed = True


class State:
    def __init__(self, summary: str) -> None:
        self.id = "r1"
        self.status = "pending"
        self.summary = summary


class Broken(io.BytesIO):
    def __init__(self, error: OSError, *, after: int = 0) -> None:
        super().__init__()
        self.error = error
        self.after = after

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.after <= 0:
            raise self.error
        self.after -= 1
        return super().write(data)


def make(
    form: str = "csv", *, stream: io.BytesIO | None = None, keep: int = 1000
) -> tuple[ExecDisplay, io.BytesIO, io.StringIO]:
    out = stream if stream is not None else io.BytesIO()
    messages = io.StringIO()
    output = Output(out, keep_bytes=keep)
    return ExecDisplay(open_writer(form, output), output, messages), out, messages


ROWS: Batch = [("ann", "***"), ("=cmd()", "***")]


def test_results_go_out_and_nothing_else_does() -> None:
    display, out, messages = make()
    outcome = display.result(Result(ROWS), statement_id=1, masked=(1,))
    display.message("notice", "hello", "do this\nthen that")
    display.finish()
    assert out.getvalue() == b"name,ssn\nann,***\n'=cmd(),***\n"
    assert messages.getvalue() == "notice: hello\nhint: do this\nhint: then that\n"
    assert (outcome.status, outcome.rows, outcome.truncated) == ("SELECT 2", 2, False)
    assert outcome.digest.startswith("sha256:")


def test_what_was_written_is_given_for_the_record_once_and_in_bounds() -> None:
    display, _, _ = make(keep=20)
    display.result(Result(ROWS[:1]), statement_id=1, masked=())
    assert display.output() == ("name,ssn\nann,***\n", False)
    assert display.output() == ("", False)
    display.result(Result(ROWS), statement_id=2, masked=())
    assert display.output() == ("name,ssn\nann,***\n'=c", True)


def test_colours_of_a_terminal_are_not_recorded() -> None:
    out = io.BytesIO()
    output = Output(out, keep_bytes=1000)
    display = ExecDisplay(open_writer("table", output, color=True), output, io.StringIO())
    display.result(Result(ROWS[:1]), statement_id=1, masked=(1,))
    assert b"\x1b[" in out.getvalue()
    assert "\x1b" not in display.output()[0]


def test_a_place_in_the_statement_keeps_its_lines() -> None:
    display, _, messages = make()
    display.message("error", "syntax error\nLINE 1: SELECT\x1b[2J\n        ^", "")
    assert messages.getvalue() == "error: syntax error\nLINE 1: SELECT\\x1b[2J\n        ^\n"


def test_an_error_in_the_middle_passes_and_the_json_stays_valid() -> None:
    display, out, _ = make("json")
    with pytest.raises(StatementError):
        display.result(Result(ROWS, StatementError("division by zero")), statement_id=1, masked=())
    display.message("error", "division by zero\nLINE 1: SELECT", "")
    display.ended(Finished(1, 1, "allow", {"status": "error", "sqlstate": "22012"}))
    display.message("notice", "approval pending: request r1", "wait")
    display.ended(Finished(2, 4, "approve", {"request": "r1", "status": "pending"}))
    display.finish()
    first, second = json.loads(out.getvalue())
    assert (first["status"], len(first["rows"])) == ("error", 2)
    assert first["error"] == {"kind": "error", "code": "22012", "message": "division by zero"}
    assert (second["status"], second["request"], second["rows"]) == ("pending", "r1", [])
    assert second["error"]["kind"] == "pending"


def test_json_has_an_object_for_every_statement_that_did_not_run() -> None:
    display, out, _ = make("json")
    display.result(Result(ROWS), statement_id=1, masked=())
    display.ended(Finished(1, 0, "allow", {"status": "SELECT 2"}))
    display.message("denied", "rule none (p.yaml:3): no \x1b[2J", "ask")
    display.ended(Finished(2, 3, "deny", {"rules": ["none"]}))
    display.finish()
    first, second = json.loads(out.getvalue())
    assert "error" not in first
    assert second == {
        "columns": [],
        "rows": [],
        "row_count": 0,
        "masked": [],
        "status": None,
        "error": {
            "kind": "denied",
            "code": None,
            "message": "rule none (p.yaml:3): no \x1b[2J",
            "hint": "ask",
            "rules": ["none"],
        },
    }
    assert b"\x1b" not in out.getvalue()


def test_a_pending_request_alone_is_a_whole_document() -> None:
    display, out, _ = make("json")
    display.ended(Finished(1, 4, "approve", {"request": 'r"1', "status": "pending"}))
    display.result(Result(ROWS), statement_id=1, masked=())
    display.finish()
    assert [entry.get("request") for entry in json.loads(out.getvalue())] == ['r"1', None]
    display, out, _ = make("csv")
    display.ended(Finished(1, 4, "approve", {"request": "r1", "status": "pending"}))
    display.finish()
    assert out.getvalue() == b""


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_an_output_that_fails_ends_the_statement_and_is_told(error: OSError) -> None:
    display, _, _ = make(stream=Broken(error, after=1))
    rows = Result(ROWS, ROWS, ROWS)
    outcome = display.result(rows, statement_id=1, masked=())
    assert rows.closed
    assert outcome.truncated
    assert display.failure is error


def test_messages_that_nobody_reads_harm_nothing() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    output = Output(io.BytesIO(), keep_bytes=0)
    ExecDisplay(open_writer("csv", output), output, Closed()).message("error", "nobody listens")


def test_messages_survive_a_terminal_that_is_not_utf8() -> None:
    raw = io.BytesIO()
    output = Output(io.BytesIO(), keep_bytes=0)
    messages = io.TextIOWrapper(raw, encoding="ascii")
    ExecDisplay(open_writer("csv", output), output, messages).message("error", "Größe …")
    assert raw.getvalue() == b"error: Gr\\xf6\\xdfe \\u2026\n"


def test_waiting_is_told_once_for_every_change() -> None:
    display, _, messages = make()
    for summary in ("0 of 2", "0 of 2", "1 of 2"):
        display.waiting(State(summary), left_s=90)
    assert messages.getvalue() == (
        "notice: waiting for approval of request r1, 90 s at most: 0 of 2\n"
        "hint: a reviewer may run: dbgate requests approve r1\n"
        "notice: waiting for approval of request r1, 90 s at most: 1 of 2\n"
    )


def test_waiting_is_told_again_after_a_while() -> None:
    at, messages = [0.0], io.StringIO()
    output = Output(io.BytesIO(), keep_bytes=0)
    display = ExecDisplay(open_writer("csv", output), output, messages, clock=lambda: at[0])
    for moment, left_s in ((0.0, 600), (20.0, 580), (61.0, 539), (80.0, 520)):
        at[0] = moment
        display.waiting(State("0 of 2"), left_s=left_s)
    assert messages.getvalue().splitlines()[::2] == [
        "notice: waiting for approval of request r1, 10 min at most: 0 of 2",
        "notice: still waiting for approval of request r1, 9 min at most: 0 of 2",
    ]


def test_a_file_keeps_its_content_until_there_is_a_result(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("a long old content that must go away", encoding="utf-8")
    file = OutputFile(path)
    assert path.read_text(encoding="utf-8").startswith("a long old")
    output = Output(file, keep_bytes=0)
    display = ExecDisplay(open_writer("csv", output), output, io.StringIO())
    display.result(Result(ROWS[:1]), statement_id=1, masked=())
    display.finish()
    file.close()
    assert path.read_text(encoding="utf-8") == "name,ssn\nann,***\n"


def test_a_file_that_cannot_be_opened_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*: No such file or directory"):
        OutputFile(tmp_path / "missing" / "out.csv")


def test_a_device_can_be_written(tmp_path: Path) -> None:
    file = OutputFile(Path("/dev/null"))
    assert file.write(b"x") == 1
    file.close()
