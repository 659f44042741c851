"""What a campaign found, for people and for scripts."""

from __future__ import annotations

import difflib
import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tools.mutants.campaign import Verdict

COLUMNS = ("file", "mutants", "noticed", "unnoticed", "equivalent", "not tried")


def _state(verdict: Verdict, reasons: Mapping[str, str]) -> str:
    if verdict.noticed_by:
        return "noticed"
    if verdict.mutant.key in reasons:
        return "equivalent"
    return "unnoticed" if verdict.tried else "not tried"


def print_table(verdicts: Sequence[Verdict], reasons: Mapping[str, str], took_s: float) -> None:
    """One line a file, and the sum."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COLUMNS[1:], 0))
    for verdict in verdicts:
        for name in (verdict.mutant.path, "~all"):
            counts[name]["mutants"] += 1
            counts[name][_state(verdict, reasons)] += 1
    rows = [COLUMNS] + [(n.strip("~"), *map(str, c.values())) for n, c in sorted(counts.items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
    print(f"{took_s / 60:.1f} minutes")


def print_unnoticed(root: Path, verdicts: Sequence[Verdict], reasons: Mapping[str, str]) -> int:
    """Each unnoticed mutant with its difference; returns their number."""
    found = sorted(
        (v for v in verdicts if _state(v, reasons) == "unnoticed"), key=lambda v: (v.mutant.path, v.mutant.line)
    )
    for verdict in found:
        mutant = verdict.mutant
        print(f"unnoticed by {verdict.tests} tests: {mutant.key}")
        if not mutant.name:
            print(*_difference(root / mutant.path, mutant.start, verdict), sep="\n")
    return len(found)


def _difference(path: Path, start: int, verdict: Verdict) -> Iterator[str]:
    source = path.read_bytes()
    old, new = source.decode().split("\n"), verdict.mutant.applied(source).decode().split("\n")
    number = source[:start].count(10) + 1
    yield f"  {path.name}:{number}"
    for line in difflib.unified_diff(old, new, n=1, lineterm=""):
        if not line.startswith(("---", "+++", "@@")):
            yield f"    {line}"


def report_to(path: Path, reasons: Mapping[str, str]) -> Callable[[Verdict], None]:
    """A function that adds a verdict to a file, as a line of JSON."""
    path.write_text("", encoding="utf-8")

    def note(verdict: Verdict) -> None:
        mutant = verdict.mutant
        line = {"key": mutant.key, "line": mutant.line, "state": _state(verdict, reasons)}
        with path.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({**line, "by": verdict.noticed_by, "tests": verdict.tests}, ensure_ascii=False) + "\n"
            )

    return note


def noticed_in(path: Path) -> set[str]:
    """The keys of the mutants that a report has as noticed."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["key"] for line in lines if line["state"] == "noticed"}


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
