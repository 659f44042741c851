"""Starting fast, measured by what is imported: the clock of a shared machine proves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from tests.conftest import LiveDatabase

NEVER = {"sqlglot", "pydantic", "msal", "keyring", "obstore", "requests", "httpx", "rich", "starlette", "uvicorn"}
SHELL = {"prompt_toolkit", "pygments"}
DATABASE = {"psycopg", "pgparse", "cryptography", "msgspec"}


def imported(*arguments: str) -> set[str]:
    """The top-level packages that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dbgate", *arguments],
        env=os.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = re.findall(r"^import time:[^|]*\|[^|]*\|\s*([\w.]+)", done.stderr, re.MULTILINE)
    assert "dbgate.cli.app" in names
    return {name.split(".")[0] for name in names}


def test_help_imports_nothing_heavy(dbgate_home: Path) -> None:
    assert imported("--help") & (NEVER | SHELL | DATABASE | {"yaml", "zstandard"}) == set()


def test_exec_imports_what_it_uses(dbgate_home: Path, database: LiveDatabase) -> None:
    document = {
        "identity": {"provider": "local", "groups": ["staff"]},
        "audit": {"key_store": "file"},
        "targets": {"test": {"engine": "postgres", "dsn": database.app_dsn}},
    }
    (dbgate_home / "config.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    found = imported("exec", "test", "-c", "SELECT 1")
    assert found >= DATABASE
    assert found & (NEVER | SHELL | {"zstandard"}) == set()
