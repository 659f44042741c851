"""Starting fast, measured by what is imported: the clock of a shared machine proves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from dbgate.catalog import Catalog, CatalogColumn, CatalogRelation
from dbgate.gate.policy.model import Policy, Rule, When
from dbgate.model import Target
from dbgate.settings import Settings

if TYPE_CHECKING:
    import msgspec
    from tests.conftest import LiveDatabase

NEVER = {"sqlglot", "pydantic", "msal", "keyring", "obstore", "requests", "httpx", "rich", "starlette", "uvicorn"}
SHELL = {"prompt_toolkit", "pygments"}
DATABASE = {"psycopg", "pgparse", "cryptography", "msgspec"}
UNUSED = {
    "yaml",
    "zstandard",
    "dbgate.config.reading",
    "dbgate.document",
    "dbgate.gate.grammar_errors",
    "dbgate.gate.newer",
    "dbgate.identity.flows",
    "dbgate.identity.leaving",
    "dbgate.identity.overview",
}
"""What an `exec` whose configuration was read before does without."""


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports, and their top-level packages."""
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
    return {*names, *(name.split(".")[0] for name in names)}


def test_help_imports_nothing_heavy(dbgate_home: Path) -> None:
    assert imported("--help") & (NEVER | SHELL | DATABASE | {"yaml", "zstandard"}) == set()


def test_exec_imports_what_it_uses(dbgate_home: Path, database: LiveDatabase) -> None:
    document = {
        "identity": {"provider": "local", "groups": ["staff"]},
        "audit": {"key_store": "file"},
        "targets": {"test": {"engine": "postgres", "dsn": database.app_dsn}},
    }
    (dbgate_home / "config.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    for _ in range(2):  # the first makes the state directory, the second keeps in it what it read
        assert imported("exec", "test", "-c", "SELECT 1") & (NEVER | SHELL | {"zstandard"}) == set()
    found = imported("exec", "test", "-c", "SELECT 1")
    assert found >= DATABASE
    assert found & (NEVER | SHELL | UNUSED) == set()


@pytest.mark.parametrize("kind", [Catalog, CatalogColumn, CatalogRelation, Policy, Rule, When, Settings, Target])
def test_what_every_start_decodes_has_types_for_annotations(kind: type[msgspec.Struct]) -> None:
    """Strings instead would be compiled, one by one, at every start."""
    assert [name for name, annotation in kind.__annotations__.items() if isinstance(annotation, str)] == []
