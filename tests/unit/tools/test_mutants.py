"""The mutation tester of `make mutants`: what it takes out, and that it changes the code that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.mutants.generation import mutants_of
from tools.mutants.reviewed import reviewed

SOURCE = '''
_NAMES = frozenset({"a", "b"})


def judge(name: str, rows: int, *, strict: bool) -> str | None:
    """Say why not."""
    if name in _NAMES and rows > 3:
        return refuse(name, loud=True)
    match rows:
        case 1 | 2:
            note(name)
    return None
'''


@pytest.fixture
def found(tmp_path: Path) -> dict[str, str]:
    """The texts of a small file's mutants by key."""
    path = tmp_path / "judge.py"
    path.write_text(SOURCE, encoding="utf-8")
    return {m.key: m.applied(path.read_bytes()).decode() for m in mutants_of(path, "judge.py")}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("module: element without \"a\"", '_NAMES = frozenset({"b", })'),
        ("judge: drop return refuse(name, loud=True)", "        pass\n"),
        ("judge: drop note(name)", "            pass\n"),
        ("judge: guard always: if name in _NAMES and rows > 3", "    if True:"),
        ("judge: guard never: if name in _NAMES and rows > 3", "    if False:"),
        ("judge: operand without rows > 3 and", "    if ((name in _NAMES)):"),
        ("judge: flag loud=True of refuse(name, loud=True)", "loud=False"),
        ("judge: case never: case 1 | 2", "        case 1 | 2 if False:"),
        ("judge: case without 1", "        case 2:"),
        ("judge: return None", '    return None\n    if name in'),
    ],
)  # fmt: skip
def test_every_kind_of_rule_is_taken_out(found: dict[str, str], key: str, text: str) -> None:
    assert text in found[f"judge.py: {key}"]


def test_every_mutant_compiles_and_is_another_text(found: dict[str, str]) -> None:
    assert SOURCE not in found.values()
    assert len(set(found.values())) == len(found)
    for text in found.values():
        compile(text, "judge.py", "exec")


def test_a_change_reaches_those_who_imported_the_function_or_the_table() -> None:
    script = """
from pathlib import Path
import dbgate.gate.allow.settings as settings
from dbgate.gate.allow.settings import setting_verdict
from tools.mutants.application import apply
from tools.mutants.generation import mutants_of

path = Path(settings.__file__)
made = {m.key: m for m in mutants_of(path, "gate/allow/settings.py")}
assert setting_verdict("role", "set").kind == "owned"
apply(made['gate/allow/settings.py: module: element without "role"'], path)
assert setting_verdict("role", "set").kind == "server"
apply(made["gate/allow/settings.py: setting_verdict: guard always: if name in _SET"], path)
assert setting_verdict("role", "set").safe
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_every_reviewed_mutant_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in reviewed().values())


def test_the_command_lists_what_it_would_take_out() -> None:
    command = [sys.executable, "-m", "tools.mutants", "--list", "--tests", "9", "gate/refusals.py"]
    told = subprocess.run(command, check=True, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert "gate/refusals.py: may_run: operand without _stores(examined) or" in told.stdout.split("\n")
