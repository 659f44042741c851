"""Which tests reach which lines: measured once, with coverage.py, one context for each test."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import coverage
from tools.mutants.mutant import Mutant


class Reach:
    """The tests that run a line, by file and line, and how long each took, in seconds."""

    def __init__(self, root: Path, files: Sequence[str]) -> None:
        self.root = root
        self.files = files
        self.tests: dict[str, dict[int, set[str]]] = {name: defaultdict(set) for name in files}
        self.took_s: dict[str, float] = {}
        self._uses: dict[str, list[tuple[str, int]]] = {}

    def measure(self, tests: Iterable[str], run: Callable[[str], float]) -> None:
        """Run every test, by `run`, which returns its seconds."""
        paths = {name: str((self.root / name).resolve()) for name in self.files}
        measuring = coverage.Coverage(data_file=None, include=list(paths.values()), messages=False)
        measuring.set_option("run:disable_warnings", ["no-data-collected", "module-not-measured"])
        measuring.start()
        for test in tests:
            measuring.switch_context(test)
            self.took_s[test] = run(test)
        measuring.stop()
        data = measuring.get_data()
        for name, path in paths.items():
            for line, contexts in data.contexts_by_lineno(path).items():
                self.tests[name][line].update(c for c in contexts if c)

    def of(self, mutant: Mutant) -> set[str]:
        """The tests that reach a mutant. For a table of a module: those that reach a line that names it."""
        if mutant.name:
            return {test for place in self.tests for tests in self.tests[place].values() for test in tests}
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
