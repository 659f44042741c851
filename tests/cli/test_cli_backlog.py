"""A bucket that is away: statements run, the sessions are kept, and the next one says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.conftest import LiveDatabase


def select_one() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dbgate", "exec", "test", "-c", "SELECT 1"],
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_waits_for_the_bucket_is_told(
    dbgate_home: Path, database: LiveDatabase, wait_until: Callable[..., None]
) -> None:
    away = dbgate_home / "away"
    away.write_text("a file where the bucket should be", encoding="utf-8")
    document = {
        "identity": {"provider": "local", "groups": ["staff"]},
        "audit": {"bucket": (away / "bucket").as_uri(), "key_store": "file"},
        "targets": {"test": {"engine": "postgres", "dsn": database.app_dsn}},
    }
    (dbgate_home / "config.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    first = select_one()
    assert (first.returncode, first.stdout, first.stderr) == (0, "?column?\n1\n", "")
    spool = dbgate_home / "state" / "dbgate" / "spool"
    (kept,) = spool.iterdir()
    long_ago = time.time() - 3600
    os.utime(kept, (long_ago, long_ago))
    second = select_one()
    assert (second.returncode, second.stdout) == (0, "?column?\n1\n")
    assert second.stderr == (
        "notice: 1 finished session waits for the audit bucket\n"
        "hint: dbgate audit ship sends them, or says why it cannot\n"
    )
    away.unlink()
    shipped = subprocess.run(
        [sys.executable, "-m", "dbgate", "audit", "ship", "--quiet"], env=os.environ, capture_output=True, check=False
    )
    assert shipped.returncode == 0, shipped.stderr
    wait_until(lambda: not any(spool.iterdir()))
