"""The shell on a terminal, with the real service and PostgreSQL: breaking the glass is asked about, and can be declined."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from tests.cli.reviewing import DORA, Reviewed, reviewed
from tests.cli.test_cli_exec import WORLD
from tests.cli.test_cli_grants import GLASS
from tests.conftest import LiveDatabase

UPDATE = "UPDATE payroll.pay SET amount = amount + 1;"


@pytest.fixture
def desk(
    dbgate_home: Path,
    database: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reviewed]:
    database.execute(WORLD.format(app=database.app_user))
    with reviewed(dbgate_home, database, capsys, tmp_path, monkeypatch) as made:
        made.setup(GLASS)
        yield made


def shell() -> pexpect.spawn[str]:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "dbgate", "connect", "pay", "--reason", "payments stand still"],
        encoding="utf-8",
        timeout=60,
        dimensions=(30, 160),
    )
    child.expect("=>")
    return child


def test_the_person_is_asked_before_the_glass_breaks(desk: Reviewed) -> None:
    with shell() as child:
        child.send(f"{UPDATE}\r")
        child.expect(
            re.escape("Break the glass? It runs at once, without approval; dba will be alerted and review it. [y/N]")
        )
        assert desk.total() == 300
        child.send("y\r")
        child.expect("due for review")
        child.expect("UPDATE 30")
        child.send("\\q\r")
        child.expect(pexpect.EOF)
    assert desk.total() == 330
    assert [state.kind for state in desk.service.client(DORA).find(status="review-due")] == ["break-glass"]


def test_whoever_declines_waits_for_reviewers_and_may_withdraw(desk: Reviewed) -> None:
    with shell() as child:
        child.send(f"{UPDATE}\r")
        child.expect("Break the glass")
        child.send("n\r")
        child.expect("0 of 1 approvals: needs dba")
        [asked] = desk.service.client(DORA).find(status="pending")
        child.send("\x03")
        child.expect("withdraw it")
        child.send("w\r")
        child.expect(f"request {asked.id} is withdrawn")
        child.send("\\q\r")
        child.expect(pexpect.EOF)
    assert (desk.total(), asked.kind) == (300, "statement")
    assert desk.service.client(DORA).find(status="review-due") == []
