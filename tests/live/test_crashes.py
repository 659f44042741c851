"""The crash run in small: some of the steps, some of the faults; and that it notices what is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def crashes(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    return done.returncode, done.stdout + done.stderr


def test_nothing_is_lost_at_some_of_the_steps_and_at_random() -> None:
    kinds = ("--kind", "before", "--kind", "full")
    code, said = crashes("-m", "tools.crashes", "--every", "31", "--random", "4", *kinds)
    assert code == 0, said
    assert "nothing lost, nothing doubled, everything verifies" in said


SABOTAGE = """
import sys
from dbgate.audit.recorder import SessionRecorder
from tools.crashes import __main__ as crashes

real = SessionRecorder.record

def forgetful(self, kind, fields, **options):
    return 0 if kind == "statement.intent" and "-3" in str(fields.get("text")) else real(self, kind, fields, **options)

SessionRecorder.record = forgetful
sys.argv[1:] = ["--every", "1000", "--random", "0", "--work", "session", "--kind", "before"]
sys.exit(crashes.main())
"""


def test_it_notices_a_statement_that_ran_unrecorded() -> None:
    code, said = crashes("-c", SABOTAGE)
    assert code == 1
    assert "nobody recorded the intent" in said
