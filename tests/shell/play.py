"""The shell on a session in memory, as a program: `python -m tests.shell.play STATE_DIR`. The tests drive it on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.shell.world import MemoryDriver, MemoryRows

from dbgate.doors.shell import About, ShellDisplay, run_script, run_shell
from dbgate.errors import EXIT_INTERRUPTED, ConnectionLost, Interrupted, StatementError
from dbgate.model import Column, ColumnName, Identity, MaskedColumn, Rewrite, RuleRef, Target
from dbgate.session.effects import Finished

EVIL = "\x1b]0;owned\x07\x1b[31mred\u202e"


@dataclass(frozen=True)
class Request:
    id: str = "R-7"
    status: str = "pending"
    summary: str = "0 of 1 approvals: needs dba (1), until 14:05"


def slow(driver: MemoryDriver) -> Finished:
    """A statement that runs until it is cancelled."""
    try:
        for _ in range(400):
            time.sleep(0.05)
    except Interrupted:
        driver.display.message("error", "cancelled")
    return Finished(1, EXIT_INTERRUPTED, "allow", {"status": "cancelled"})


def held(driver: MemoryDriver) -> Finished:
    """A statement that waits for an approval until it is broken off."""
    driver.display.waiting(Request(), left_s=None)
    try:
        for _ in range(400):
            time.sleep(0.05)
    except Interrupted:
        driver.display.message("notice", "approval pending: request R-7")
    return Finished(1, EXIT_INTERRUPTED, "approve", {"request": "R-7", "status": "pending"})


def lost(driver: MemoryDriver) -> Finished:
    """A statement on which the connection breaks."""
    driver.display.message("error", "the connection was lost")
    driver.closed = "connection lost"
    return Finished(1, ConnectionLost.exit_code, "allow", closes="connection lost")


def masked(driver: MemoryDriver) -> Finished:
    """A statement with a masked column."""
    rows = MemoryRows(
        [Column("id", "integer"), Column("full_name", "text"), Column("ssn", "text")],
        [("1", "Pia", "***4321"), ("2", None, "***9876"), ("3", EVIL, None)],
    )
    label = MaskedColumn(ColumnName("payroll", "employees", "ssn"), "pii.ssn", "partial")
    text = "SELECT id, full_name, ssn FROM (SELECT id, full_name, mask AS ssn FROM payroll.employees) AS employees"
    driver.last_decision = Rewrite(text, (RuleRef("staff-read", "payroll.yaml", 12),), (label,), (2,))
    outcome = driver.display.result(rows, statement_id=1, masked=(2,))
    return Finished(1, 0, "rewrite", {"status": outcome.status})


def answers(driver: MemoryDriver) -> None:
    """What the session knows."""
    number = Column("n", "integer")
    wide = [Column(f"column_{i}", "text") for i in range(12)]
    driver.answers.update(
        {
            "select 1": MemoryRows([Column("?column?", "integer")], [("1",)]),
            "select * from employees": masked,
            "select many": MemoryRows([number, Column("t", "text")], [(str(i), f"line {i}") for i in range(5000)]),
            "select wide": MemoryRows(wide, [tuple(f"value {i} of a row" for i in range(12))]),
            "select long": MemoryRows([number, Column("t", "text")], [("1", "long " * 100)]),
            "select broken": MemoryRows([number], [], error=StatementError("division by zero", sqlstate="22012")),
            "select slow": slow,
            "update everything": held,
            "select lost": lost,
        }
    )


def withdraw(request: str) -> str:
    return "withdrawn"


def labels(oid: int) -> Mapping[str, str]:
    return {"ssn": "pii.ssn"} if oid == 100 else {}


def main(state_dir: str, environment: str = "production", late_s: str = "") -> int:
    display = ShellDisplay(sys.stdout, sys.stderr)
    driver = MemoryDriver(display)
    answers(driver)
    if late_s:
        until = time.monotonic() + float(late_s)
        driver.is_late = lambda: "the session was idle" if time.monotonic() > until else ""
    target = Target("prod-payroll", "postgres", "", environment=environment)
    about = About(
        target,
        Identity("local", "pia", email="pia@example.com", groups=("engineering",)),
        "payroll.yaml",
        Path(state_dir),
        idle_s=float(late_s) if late_s else None,
        labels=labels,
        requests=lambda: [Request()],
        withdraw=withdraw,
    )
    if not sys.stdin.isatty():
        return run_script(driver, display, about, sys.stdin.read())
    return run_shell(driver, display, about, version="0.1.0")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
