"""Keeps what was measured (`reaching`) in a file, so that only tests that changed are measured again.

    {"files": {name: {"functions": {function: [first line, last line, digest]}, "sets": [lines as a hexadecimal number]}},
     "tests": {digest of the test: {"took_s": seconds, "sets": {name: index}}}}

A test is known by what it is, not by its name: another line in the corpus leaves the others known. When a file of the gate
has changed, what is known of its unchanged functions moves with them; a changed function is reached by whatever reached
it before, a new one by whatever reached its file. So an old measurement names too many tests rather than too few,
unless a change made a test reach what it did not reach before: `--measure` forgets all of it.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Function = tuple[int, int, str]


def digest(*texts: object) -> str:
    """One short digest of several texts."""
    return hashlib.sha256("\0".join(map(str, texts)).encode("utf-8", "replace")).hexdigest()[:20]


def functions_of(source: str) -> dict[str, Function]:
    """First line, last line and digest of each outermost function and method, by qualified name."""
    lines = source.split("\n")

    def inside(body: list[ast.stmt], owner: str) -> Iterator[tuple[str, Function]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from inside(node.body, f"{owner}{node.name}.")
            elif isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                yield f"{owner}{node.name}", (node.lineno, node.end_lineno, digest(text))

    return dict(inside(ast.parse(source).body, ""))


def moved(known: Mapping[str, Function], now: Mapping[str, Function], reached: set[int]) -> set[int]:
    """The lines that a test reaches now, of a file of which it reached some lines before."""
    found: set[int] = set()
    for name, (first, last, text) in now.items():
        if name not in known:
            found |= set(range(first, last + 1)) if reached else set()
            continue
        before, after, old = known[name]
        mine = {line for line in reached if before <= line <= after}
        if mine:
            found |= {line - before + first for line in mine} if text == old else set(range(first, last + 1))
    return found


class KeptReach:
    """The file. `root` is where the measured files lie."""

    def __init__(self, path: Path, root: Path, files: Sequence[str]) -> None:
        self.path = path
        self.now = {name: functions_of((root / name).read_text(encoding="utf-8")) for name in files}
        self._tests: dict[str, dict[str, Any]] = {}
        self._sets: dict[str, dict[str, int]] = {name: {} for name in files}
        if path.exists():
            self._read(json.loads(path.read_text(encoding="utf-8")))

    def _read(self, kept: dict[str, Any]) -> None:
        moves: dict[str, list[int]] = {}
        for name, file in kept["files"].items():
            if name in self.now:
                known = {n: (f[0], f[1], f[2]) for n, f in file["functions"].items()}
                moves[name] = [
                    self._index(name, moved(known, self.now[name], _lines(text)) if known != self.now[name] else text)
                    for text in file["sets"]
                ]
        for test, told in kept["tests"].items():
            sets = {name: moves[name][index] for name, index in told["sets"].items() if name in moves}
            self._tests[test] = {"took_s": told["took_s"], "sets": sets}

    def _index(self, name: str, lines: set[int] | str) -> int:
        text = lines if isinstance(lines, str) else f"{sum(1 << line for line in lines):x}"
        return self._sets[name].setdefault(text, len(self._sets[name]))

    def __contains__(self, test: str) -> bool:
        return test in self._tests

    def put(self, test: str, took_s: float, reached: Mapping[str, set[int]]) -> None:
        """Note a test, by its digest: its seconds, and the lines by file."""
        sets = {name: self._index(name, lines) for name, lines in reached.items() if lines}
        self._tests[test] = {"took_s": took_s, "sets": sets}

    def took_s(self, test: str) -> float:
        """The seconds of a known test."""
        return float(self._tests[test]["took_s"])

    def lines(self, test: str) -> Iterator[tuple[str, int]]:
        """The file and number of each set of lines that a test reaches; `sets` has the sets."""
        yield from self._tests[test]["sets"].items()

    def sets(self, name: str) -> list[set[int]]:
        """The sets of lines of a file that tests reach, by number."""
        return [_lines(text) for text in self._sets[name]]

    def write(self) -> None:
        """Write the file; tests that are gone stay known: another branch may have them."""
        files = {name: {"functions": self.now[name], "sets": list(sets)} for name, sets in self._sets.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".new")
        aside.write_text(json.dumps({"files": files, "tests": self._tests}), encoding="utf-8")
        aside.replace(self.path)


def _lines(text: str) -> set[int]:
    bits = int(text, 16)
    return {line for line in range(bits.bit_length()) if bits >> line & 1}
