"""The mutation tester of `make mutants`: what it takes out, and that it changes the code that runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools.mutants.__main__ import all_mutants, sampled, target_files
from tools.mutants.campaign import Verdict
from tools.mutants.generation import NOT_RULES, mutants_of
from tools.mutants.kept_reach import KeptReach
from tools.mutants.mutant import Mutant
from tools.mutants.reviewed import reviewed
from tools.mutants.table import Report

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


FORMS = """
_kept = {}
_SEEN = {"a", "b"}


def refusal(kind: str, rows: int) -> Deny | None:
    if kind in {"x", "y"} or rows > 3:
        return Deny(f"no {kind}", hint="a" if rows else "b")
    if kind not in _SEEN and not rows:
        return None
    if kind in _kept:
        return _kept[kind]
    for part in kind:
        if part == "z" and rows:
            continue
        if all(part != other for other in kind if other > part):
            raise RefusalError(part or kind)
    _kept[kind] = found = check(kind) or check(part)
    return found


def is_plain(kind: str) -> bool:
    return kind in _SEEN and bool(kind)
"""


def rules_of(tmp_path: Path, name: str = "gate/forms.py") -> set[str]:
    path = tmp_path / "forms.py"
    path.write_text(FORMS, encoding="utf-8")
    return {m.key.removeprefix(f"{name}: ") for m in mutants_of(path, name) if m.rule}


def test_a_rule_is_what_lets_more_through(tmp_path: Path) -> None:
    assert rules_of(tmp_path) == {
        'module: element without "a"',
        'module: element without "b"',
        # a finding: nothing calls for it
        'refusal: guard never: if kind in {"x", "y"} or rows > 3',
        'refusal: operand without kind in {"x", "y"} or',
        "refusal: operand without rows > 3 or",
        'refusal: element without "x"',
        'refusal: element without "y"',
        # an exception: everything is one
        "refusal: guard always: if kind not in _SEEN and not rows",
        "refusal: operand without kind not in _SEEN and",
        "refusal: operand without not rows and",
        "refusal: operand without not: not rows",
        'refusal: guard always: if part == "z" and rows',
        'refusal: operand without part == "z" and',
        "refusal: operand without rows and",
        # a raise
        "refusal: guard never: if all(part != other for other in kind if other > part)",
        "refusal: guard always: for … if other > part",
        # one of two checks, and what they found
        "refusal: drop return found",
        "refusal: operand without check(kind) or",
        "refusal: operand without check(part) or",
        # a question that is answered either way
        "is_plain: return True",
        "is_plain: return False",
        "is_plain: operand without kind in _SEEN and",
        "is_plain: operand without bool(kind) and",
    }


def test_files_that_decide_nothing_have_no_rules(tmp_path: Path) -> None:
    name = next(iter(NOT_RULES))
    assert rules_of(tmp_path, name) == set()
    assert set(NOT_RULES) <= set(target_files())


def test_what_was_measured_moves_with_an_unchanged_function(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    return 1\n\n\ndef g():\n    x = 1\n    return x\n", encoding="utf-8")
    path = tmp_path / "reach.json"
    kept = KeptReach(path, tmp_path, ["a.py"])
    kept.put("first", 0.5, {"a.py": {2}})
    kept.put("second", 0.25, {"a.py": {6, 7}})
    kept.write()
    changed = "# new\ndef f():\n    return 1\n\n\ndef h():\n    return 2\n\n\ndef g():\n    return 1\n"
    (tmp_path / "a.py").write_text(changed, encoding="utf-8")
    again = KeptReach(path, tmp_path, ["a.py"])
    reached = {
        test: {line for name, index in again.lines(test) for line in again.sets(name)[index]}
        for test in ("first", "second")
    }
    # A new function is reached by whatever reaches the file, a changed one by whatever reached it.
    assert reached == {"first": {3, 6, 7}, "second": {6, 7, 10, 11}}
    assert "third" not in again
    assert again.took_s("second") == 0.25


def test_a_verdict_counts_as_long_as_the_function_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("def f():\n    return 1\n\n\ndef g():\n    return 2\n", encoding="utf-8")
    mutants = [Mutant("a.py", name, "drop", "x", 0, 0, "", line) for name, line in (("f", 2), ("g", 6))]
    report = Report(tmp_path / "report.jsonl", tmp_path)
    report.add(Verdict(mutants[0], "", 7, tried=True))
    report.add(Verdict(mutants[0], "test_f", 3, tried=True))
    report.add(Verdict(mutants[1], "test_g", 1, tried=True))
    report.add(Verdict(Mutant("a.py", "g", "drop", "y", 0, 0, "", 6)))
    file.write_text("def f():\n    return 1\n\n\ndef g():\n    return 3\n", encoding="utf-8")
    again = Report(tmp_path / "report.jsonl", tmp_path)
    known = again.of(mutants[0])
    assert known is not None
    assert (known.noticed, known.by, known.tests) == (True, "test_f", 3)
    assert again.of(mutants[1]) is None
    assert len((tmp_path / "report.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_a_sample_takes_the_same_share_of_every_file() -> None:
    rules = [m for m in all_mutants(["gate/refusals.py", "gate/masks.py", "gate/met.py"]) if m.rule]
    sample = sampled(rules, len(rules) // 4)
    assert sample == sampled(rules, len(rules) // 4)
    for name in ("gate/refusals.py", "gate/masks.py", "gate/met.py"):
        share = sum(m.path == name for m in sample) / sum(m.path == name for m in rules)
        assert 0.2 < share < 0.4


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
apply(made['gate/allow/settings.py: module: element without "role"'], path, path.read_bytes())
assert setting_verdict("role", "set").kind == "server"
apply(made["gate/allow/settings.py: setting_verdict: guard always: if name in _SET"], path, path.read_bytes())
assert setting_verdict("role", "set").safe
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_every_reviewed_mutant_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in reviewed().values())


@pytest.mark.parametrize(("options", "is_fine"), [([], False), (["--fine"], True)])
def test_the_command_lists_what_it_would_take_out(options: list[str], is_fine: bool) -> None:
    command = [sys.executable, "-m", "tools.mutants", "--list", "--tests", "9", "gate/refusals.py", *options]
    told = subprocess.run(command, check=True, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    keys = told.stdout.split()
    assert "drop" in keys
    assert ("gate/refusals.py: may_run: operand without _stores(examined) or" in told.stdout.split("\n")) is is_fine
