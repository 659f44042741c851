"""Which tests reach which lines: measured with coverage.py, one context for each test, and kept on disk."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import coverage
import pytest
from tools.mutants.kept_reach import KeptReach, digest
from tools.mutants.mutant import Mutant

_LABELS = "labelling the database"
SHARED = ("tests/conftest.py", "tests/catalogs.py", "tests/corpus/worlds.py", "tests/shell/world.py")
"""What tests share; data beside a test's module is found by its suffix."""
_DATA = ("*.sql", "policy.yaml", "grants.yaml", "*/policy.yaml", "*/world.sql")


def digests_of(items: Mapping[str, pytest.Item], place: Path) -> dict[str, str]:
    """What each test is, by its name: its module, what it is given, and what it shares with others."""
    shared = [(place / name).read_text(encoding="utf-8") for name in SHARED]
    modules: dict[Path, str] = {}
    found = {}
    for name, item in items.items():
        if item.path not in modules:
            data = [p.read_text(encoding="utf-8") for kind in _DATA for p in sorted(item.path.parent.glob(kind))]
            modules[item.path] = digest(item.path.read_text(encoding="utf-8"), *shared, *data)
        function = inspect.unwrap(item.function).__qualname__ if isinstance(item, pytest.Function) else name
        given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        told = sorted((k, _alone(v)) for k, v in given.items())
        found[name] = digest(modules[item.path], function, name if " at 0x" in str(told) else told)
    return found


def _alone(value: Any) -> str:
    """What a test is given, without the other statements of its group of the corpus."""
    return repr({k: v for k, v in value.items() if k not in {"sql", "scripts"}} if isinstance(value, dict) else value)


class Reach:
    """The tests that run a line, by file and line, and how long each took, in seconds."""

    def __init__(self, root: Path, files: Sequence[str], kept: KeptReach, digests: Mapping[str, str]) -> None:
        self.root = root
        self.files = files
        self.tests: dict[str, dict[int, set[str]]] = {}
        self.took_s: dict[str, float] = {}
        self._kept = kept
        self._digests = digests
        self._uses: dict[str, list[tuple[str, int]]] = {}

    def unknown(self, tests: Sequence[str]) -> list[str]:
        """The tests that were not measured as they are now."""
        return [test for test in tests if self._digests[test] not in self._kept]

    def measure(self, tests: Sequence[str], run: Callable[[str], float]) -> None:
        """Run tests, by `run`, which returns its seconds of work, and keep what they reach.

        If the first one is there twice, what its first run reaches counts for all: it labels the database of them all.
        """
        paths = {name: str((self.root / name).resolve()) for name in self.files}
        measuring = coverage.Coverage(data_file=None, include=list(paths.values()), messages=False)
        measuring.set_option("run:disable_warnings", ["no-data-collected", "module-not-measured"])
        measuring.start()
        took = {}
        for place, test in enumerate(tests):
            measuring.switch_context(test if place or test not in tests[1:] else _LABELS)
            took[test] = run(test)
        measuring.stop()
        data = measuring.get_data()
        reached: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for name, path in paths.items():
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    reached[context][name].add(line)
        for test in took:
            for name, lines in reached[_LABELS].items():
                reached[test][name] |= lines
            self._kept.put(self._digests[test], took[test], reached[test])
        self._kept.write()

    def read(self) -> None:
        """Take over what is known of the tests."""
        self.tests = {name: defaultdict(set) for name in self.files}
        by_set: dict[str, defaultdict[int, set[str]]] = {name: defaultdict(set) for name in self.files}
        for test, known in self._digests.items():
            if known in self._kept:
                self.took_s[test] = self._kept.took_s(known)
                for name, index in self._kept.lines(known):
                    by_set[name][index].add(test)
        for name, reached in by_set.items():
            sets = self._kept.sets(name)
            for index, reaching in reached.items():
                for line in sets[index]:
                    self.tests[name][line] |= reaching

    def of(self, mutant: Mutant) -> set[str]:
        """The tests that reach a mutant. For a table of a module: those that reach a line that names it."""
        if mutant.name:
            return set(self.took_s)
        if mutant.function:
            return self.tests[mutant.path].get(mutant.line, set()) or self._function(mutant)
        places = [p for name in self._defined_at(mutant) for p in self._users(name)]
        return {test for path, line in places for test in self.tests[path].get(line, ())}

    def _function(self, mutant: Mutant) -> set[str]:
        """A line in the middle of a long expression may not be known as one: the lines before it are."""
        known = self.tests[mutant.path]
        for line in range(mutant.line, max(mutant.line - 12, 0), -1):
            if line in known:
                return known[line]
        return set()

    def _defined_at(self, mutant: Mutant) -> list[str]:
        """The global that a line of a module defines, and those that are made from it."""
        names: list[str] = []
        for node in ast.parse((self.root / mutant.path).read_bytes()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.end_lineno is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                mine = node.lineno <= mutant.line <= node.end_lineno
                used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                if mine or used & set(names):
                    names += [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        return names

    def _users(self, name: str) -> list[tuple[str, int]]:
        if not self._uses:
            for path in self.files:
                for node in ast.walk(ast.parse((self.root / path).read_bytes())):
                    if isinstance(node, ast.Name | ast.Attribute):
                        known = node.id if isinstance(node, ast.Name) else node.attr
                        self._uses.setdefault(known, []).append((path, node.lineno))
        return self._uses.get(name, [])
