"""Every option has an environment variable, and it works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.audit.samples import Installation

from dbgate.cli.app import app, run
from dbgate.cli.option_variables import NAMED_IN_HELP, SAID_ONCE


def options(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for param in command.params:
        if param.param_type_name == "option" and not SAID_ONCE & set(param.opts):
            yield f"{path} {max(param.opts, key=len)}", param
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from options(command.get_command(None, name), f"{path} {name}")


def test_every_option_has_a_variable_that_its_help_names() -> None:
    found = dict(options(typer.main.get_command(app), "dbgate"))
    assert len(found) > 100
    for name, param in found.items():
        assert param.envvar or f"{NAMED_IN_HELP}DBGATE_" in param.help, name
    assert found["dbgate audit search --since"].envvar == "DBGATE_AUDIT_SEARCH_SINCE"
    assert found["dbgate exec --wait"].envvar == "DBGATE_WAIT"


def test_no_variable_means_two_things_in_one_command() -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, param in options(typer.main.get_command(app), "dbgate"):
        command, _, option = name.rpartition(" ")
        assert seen.setdefault((command, str(param.envvar or name)), option) == option, name


def test_help_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "--help"]) == 0
    assert "DBGATE_REPLAY_SPEED" in capsys.readouterr().out


def test_a_variable_stands_for_its_option(
    dbgate_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = Installation(dbgate_home / "there")
    here.session(start={"target": "a", "identity": {"email": "mia@example.com"}})
    here.session(start={"target": "b", "identity": {"email": "mia@example.com"}})
    here.ship()
    (dbgate_home / "config.yaml").write_text("identity: {provider: local}\n")
    monkeypatch.setenv("DBGATE_BUCKET", here.url)
    monkeypatch.setenv("DBGATE_SESSIONS_LIST_TARGET", "b")
    monkeypatch.setenv("DBGATE_SESSIONS_LIST_FORMAT", "json")
    assert run(["sessions", "list"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("[")
    assert '"b"' in said
    assert '"a"' not in said
    monkeypatch.setenv("DBGATE_SESSIONS_LIST_FORMAT", "nonsense")
    assert run(["sessions", "list"]) == 2
