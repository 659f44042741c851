"""What a campaign found, for people and for scripts."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.mutants.campaign import Verdict
from tools.mutants.kept_reach import Function, digest, functions_of
from tools.mutants.mutant import Mutant

COLUMNS = ("file", "mutants", "noticed", "unnoticed", "equivalent", "not tried")


@dataclass
class Known:
    """The last verdict on a mutant, in a report: `noticed` or not, by which test, of how many that were run."""

    noticed: bool
    by: str
    tests: int


class Report:
    """Verdicts as lines of JSON. A verdict counts as long as the function around the mutant stays the same."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self._root = root
        self._texts: dict[str, dict[str, Function]] = {}
        self._known: dict[tuple[str, str], Known] = {}
        if path.exists():
            for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                self._known[line["key"], line["code"]] = Known(line["noticed"], line["by"], line["tests"])

    def of(self, mutant: Mutant) -> Known | None:
        """The verdict on a mutant, if there is one."""
        return self._known.get((mutant.key, self._code(mutant)))

    def add(self, verdict: Verdict) -> None:
        """Write a verdict down."""
        if not verdict.tried:
            return
        known = Known(bool(verdict.noticed_by), verdict.noticed_by, verdict.tests)
        key, code = verdict.mutant.key, self._code(verdict.mutant)
        self._known[key, code] = known
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = {"key": key, "code": code, "line": verdict.mutant.line, **asdict(known)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _code(self, mutant: Mutant) -> str:
        """A digest of the function around a mutant, or of all that is in no function."""
        if mutant.name:
            return ""
        if mutant.path not in self._texts:
            text = (self._root / mutant.path).read_text(encoding="utf-8")
            known, lines = functions_of(text), text.split("\n")
            inside = {n for first, last, _ in known.values() for n in range(first, last + 1)}
            rest = digest(*(line for n, line in enumerate(lines, 1) if n not in inside))
            self._texts[mutant.path] = known | {"": (0, 0, rest)}
        return self._texts[mutant.path][mutant.function][2]


def _state(known: Known | None, key: str, reasons: Mapping[str, str]) -> str:
    if known is not None and known.noticed:
        return "noticed"
    if key in reasons:
        return "equivalent"
    return "unnoticed" if known is not None else "not tried"


def print_table(mutants: Sequence[Mutant], report: Report, reasons: Mapping[str, str]) -> None:
    """One line a file, and the sum."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS[1:], 0))
    for mutant in mutants:
        for name in (mutant.path, "~all"):
            counts[name]["mutants"] += 1
            counts[name][_state(report.of(mutant), mutant.key, reasons)] += 1
    rows = [COLUMNS] + [(n.strip("~"), *map(str, c.values())) for n, c in sorted(counts.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))


def print_unnoticed(root: Path, mutants: Sequence[Mutant], report: Report, reasons: Mapping[str, str]) -> int:
    """Each unnoticed mutant with its difference; returns their number."""
    found = 0
    for mutant in sorted(mutants, key=lambda m: (m.path, m.line)):
        known = report.of(mutant)
        if known is not None and _state(known, mutant.key, reasons) == "unnoticed":
            found += 1
            print(f"unnoticed by {known.tests} tests: {mutant.key}")
            if not mutant.name:
                print(*_difference(root / mutant.path, mutant), sep="\n")
    return found


def _difference(path: Path, mutant: Mutant) -> Iterator[str]:
    source = path.read_bytes()
    old, new = source.decode().split("\n"), mutant.applied(source).decode().split("\n")
    number = source[: mutant.start].count(10) + 1
    yield f"  {path.name}:{number}"
    for line in difflib.unified_diff(old, new, n=1, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield f"    {line}"


_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


def changed_lines(root: Path) -> dict[str, set[int]]:
    """The lines of each file that differ from where this branch left main, or are not committed."""
    base = _git("merge-base", "main", "HEAD").strip() or "HEAD"
    found: dict[str, set[int]] = defaultdict(set)
    name = ""
    for line in _git("diff", "-U0", base, "--", str(root)).split("\n"):
        if line.startswith("+++ "):
            name = line.removeprefix("+++ b/src/dbgate/")
        elif hunk := _HUNK.match(line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            found[name] |= set(range(first, first + count))
    return found


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout
