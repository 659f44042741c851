r"""`\unmask` in the shell: what is read of it, what is asked, and what is said."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from tests.shell.world import MemoryDriver

from dbgate.doors.shell import About, ShellDisplay, run_script
from dbgate.doors.shell.unmask import read_wish
from dbgate.errors import Interrupted, UsageError
from dbgate.model import Identity, Target
from dbgate.session.effects import Finished

TAGS = {
    "pii.ssn": "masked; may be opened for 30 min with approval by 1 of dba",
    "pii.email": "masked",
    "secret": "in clear",
}


@pytest.mark.parametrize(
    ("argument", "wanted", "reason"),
    [
        ("pii.ssn", ("pii.ssn",), ""),
        ("pii.ssn pii.email", ("pii.ssn", "pii.email"), ""),
        ("pii.ssn, secret, a customer calls", ("pii.ssn", "secret"), "a customer calls"),
        ("pii.* 'TICKET-42: a customer'", ("pii.*",), "TICKET-42: a customer"),
        ("* see e.g. v1.2 of the runbook", ("*",), "see e.g. v1.2 of the runbook"),
        ("pii.?sn v1.2", ("pii.?sn",), "v1.2"),
        ("secret TICKET-42", ("secret",), "TICKET-42"),
    ],
)
def test_tags_come_first_and_the_rest_is_the_reason(argument: str, wanted: tuple[str, ...], reason: str) -> None:
    assert read_wish(argument, TAGS) == (wanted, reason)


@pytest.mark.parametrize(
    "argument", ["pii.snn", "a reason", "pii.ssn pii.emial", "pii.ssn finance.* please", "PII.SSN", "zzz*"]
)
def test_a_tag_that_nobody_knows(argument: str) -> None:
    with pytest.raises(UsageError, match="no such tag: ") as caught:
        read_wish(argument, TAGS)
    assert caught.value.hint


class Bench:
    """A shell without a terminal on a session in memory."""

    def __init__(self, tmp: Path) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.display = ShellDisplay(self.out, self.err)
        self.driver = MemoryDriver(self.display)
        who = Identity("local", "pia", email="pia@example.com")
        self.about = About(Target("payroll", "postgres", ""), who, "payroll.yaml", tmp, tags=lambda: TAGS)

    def run(self, text: str) -> int:
        return run_script(self.driver, self.display, self.about, text)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_is_asked_and_the_script_goes_on(bench: Bench) -> None:
    assert bench.run("\\unmask pii.ssn TICKET-42\nselect 2;") == 0
    assert bench.driver.wishes == [(("pii.ssn",), "TICKET-42")]
    assert bench.driver.executed == ["select 2"]


@pytest.mark.parametrize("code", [3, 4])
def test_what_is_not_granted_stops_the_script(bench: Bench, code: int) -> None:
    bench.driver.on_unmask = lambda driver: Finished(0, code, "approve", {"request": "R-7", "status": "pending"})
    assert bench.run("\\unmask pii.ssn\nselect 2;") == code
    assert bench.driver.executed == []
    assert bench.err.getvalue() == "notice: stopped at the failure: what follows was not run\n"


def test_an_interrupt_is_told(bench: Bench) -> None:
    def interrupt(driver: MemoryDriver) -> Finished:
        raise Interrupted("interrupted")

    bench.driver.on_unmask = interrupt
    assert bench.run("\\unmask pii.ssn") == 130
    assert bench.err.getvalue() == "error: interrupted\n"


def test_without_a_tag_they_are_listed(bench: Bench) -> None:
    assert bench.run("\\unmask") == 0
    assert bench.driver.wishes == []
    lines = bench.out.getvalue().splitlines()
    assert lines[0].split("|")[0].strip() == "Tag"
    assert " pii.ssn   | masked; may be opened for 30 min with approval by 1 of dba" in lines


def test_a_wrong_tag_asks_nobody(bench: Bench) -> None:
    assert bench.run("\\unmask pii.sns TICKET-42\nselect 2;") == 2
    assert bench.driver.wishes == []
    assert bench.err.getvalue().startswith("error: no such tag: pii.sns\nhint: did you mean pii.ssn?\n")


def test_the_help_lists_it(bench: Bench) -> None:
    bench.run("\\?")
    assert "\\unmask [TAG… [REASON]]" in bench.out.getvalue()
