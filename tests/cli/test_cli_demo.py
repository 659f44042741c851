"""The demo as a person without a terminal runs it: the whole main job, for real."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest


def commands() -> set[str]:
    """The command lines of all processes that belong to a demo."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if "dbgate-demo-" in line:
            found.add(line)
    return found


@pytest.mark.timeout(240)
def test_the_tour_shows_the_main_job_and_leaves_nothing(dbgate_home: Path) -> None:
    before = commands()
    kept = set(Path(tempfile.gettempdir()).glob("dbgate-demo-*"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DBGATE_")}
    done = subprocess.run(
        [sys.executable, "-m", "dbgate", "demo"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in (
        "***7919",
        "notice: compared on its mask: payroll.employees.ssn",
        "denied: rule no-destruction",
        "denied: rule no-blanket",
        "denied: nobody decides their own request",
        "payroll.employees        5,000",
        "intact    yes",
        "anchored  yes",
        "intact    NO",
    ):
        assert expected in done.stdout
    before_grant, opened = done.stdout.split("notice: pii.ssn is in clear for 30 min, approved by grace@corp.example")
    opened, after = opened.split("\n4. ")
    assert "101-11-7919" in opened
    assert "101-11-7919" not in before_grant + after
    assert commands() <= before
    assert set(Path(tempfile.gettempdir()).glob("dbgate-demo-*")) <= kept
