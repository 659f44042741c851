"""Completion: the scripts in `completions/` are the generated ones, and work in a real shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbgate.cli.app import COMMANDS, run
from dbgate.cli.candidates import candidates
from dbgate.cli.completions import scripts

ROOT = Path(__file__).parents[2]
CONFIG = """\
identity: {provider: local, groups: [staff]}
targets:
  payroll: {engine: postgres, dsn: "postgresql://h/d", environment: production}
  payments: {engine: postgres, dsn: "postgresql://h/d", environment: test}
  shop: {engine: postgres, dsn: "postgresql://h/d"}
"""


@pytest.fixture
def configured(dbgate_home: Path) -> Path:
    (dbgate_home / "config.yaml").write_text(CONFIG)
    return dbgate_home


def words(*arguments: str) -> list[str]:
    """What the last of `arguments` may become."""
    return [value for value, _ in candidates(arguments[:-1], arguments[-1])]


def test_the_scripts_are_the_generated_ones() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "completions").iterdir()}
    assert written == scripts(), "run: make completions"


def test_every_command_is_offered() -> None:
    assert words("") == list(COMMANDS)
    assert words("re") == ["requests", "replay"]
    assert dict(candidates([], ""))["exec"] == COMMANDS["exec"][1]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["exec", ""], ["payroll", "payments", "shop"]),
        (["exec", "pay"], ["payroll", "payments"]),
        (["connect", "s"], ["shop"]),
        (["doctor", "shop", "payr"], ["payroll"]),
        (["policy", "check", "--target", "payr"], ["payroll"]),
        (["policy", ""], ["check", "test", "explain", "scan"]),
        (["policy", "explain", "shop", "--act"], ["--actor"]),
        (["policy", "explain", "shop", "--actor", "a"], ["agent"]),
        (["exec", "shop", "--format", "n"], ["ndjson"]),
        (["exec", "shop", "--format", "=", "n"], ["ndjson"]),
        (["exec", "shop", "--format=nd"], ["ndjson"]),
        (["targets", "--format", ""], ["table", "json"]),
        (["nonsense", ""], []),
        (["exec", "shop", "-c", ""], []),
    ],
)
def test_candidates(configured: Path, typed: list[str], expected: list[str]) -> None:
    assert words(*typed) == expected


def test_a_wrong_configuration_offers_nothing_and_says_nothing(
    configured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (configured / "config.yaml").write_text("targets: [x\n")
    monkeypatch.setenv("_DBGATE_COMPLETE", "bash")
    assert run(["exec", ""]) == 0
    assert capsys.readouterr() == ("", "")


def test_sessions_are_offered(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dbgate.audit import open_session
    from dbgate.config import load_settings

    settings = load_settings()
    recorder = open_session(
        state_dir=settings.state_dir,
        bucket=settings.audit.bucket,
        start={"target": "shop", "identity": {"subject": "ann"}},
        key_store="file",
    )
    with recorder:
        recorder.close({"statements": 0})
    assert words("replay", "") == [recorder.session]
    assert words("sessions", "show", recorder.session[:3]) == [recorder.session]
    assert words("audit", "verify", "--session", "zzz") == []


def bash(home: Path, line: str, tmp_path: Path) -> list[str]:
    """What bash offers for a line, with the cursor at its end."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    command = folder / "dbgate"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dbgate "$@"\n')
    command.chmod(0o755)
    script = """
        source "$1"; read -r -a COMP_WORDS <<< "$2"
        [[ $2 == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        complete -p dbgate >&2
        _dbgate dbgate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    shell = shutil.which("bash")
    assert shell is not None
    done = subprocess.run(
        [shell, "--norc", "-c", script, "bash", str(ROOT / "completions" / "dbgate.bash"), line],
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "complete -o bashdefault -o default -F _dbgate dbgate\n"
    return done.stdout.split()


def test_bash_completes_commands_targets_and_options(configured: Path, tmp_path: Path) -> None:
    assert bash(configured, "dbgate tar", tmp_path) == ["targets"]
    assert bash(configured, "dbgate exec pay", tmp_path) == ["payroll", "payments"]
    assert bash(configured, "dbgate exec shop --dry", tmp_path) == ["--dry-run"]
    assert bash(configured, "dbgate exec shop -f ", tmp_path) == []


def test_bash_never_runs_what_it_is_offered(configured: Path, tmp_path: Path) -> None:
    (configured / "a file").touch()
    assert bash(configured, "dbgate exec $(touch${IFS}pwned)", tmp_path) == []
    assert bash(configured, "dbgate exec *", tmp_path) == []
    assert sorted(file.name for file in configured.iterdir()) == ["a file", "config.yaml"]


def test_names_that_a_shell_could_take_for_more_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dbgate.cli import candidates as module

    hostile = [("ok-1", "a\tb\nc\x1b[2J"), ("$(reboot)", ""), ("a b", ""), ("`id`", ""), ("a;b", ""), ("a\nb", "")]
    monkeypatch.setitem(module._SOURCES, "session", lambda: iter(hostile))
    monkeypatch.setenv("_DBGATE_COMPLETE", "zsh")
    assert run(["replay", ""]) == 0
    assert capsys.readouterr().out == "ok-1\ta\\x09b c\\x1b[2J\n"


def test_powershell_hands_the_typed_word_over_by_itself(
    configured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_DBGATE_COMPLETE", "powershell")
    monkeypatch.setenv("_DBGATE_WORD", "sh")
    assert run(["exec"]) == 0
    assert capsys.readouterr().out == "shop\tpostgres\n"
