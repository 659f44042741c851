"""Runs the corpus and prints a table: class, cases, leaks, oracles, effects, false refusals, other failures.

Exits with 1 when any of them is not zero. `make leaks` calls it. Versions of PostgreSQL as arguments, or `all`, run it
on each of these; without one it runs on 18.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict

import pytest

VERSIONS = ("15", "16", "17", "18")
KINDS = ("leak", "oracle", "effect", "false refusal", "other")
"""Of a failed case; the corpus's tests begin the message of their assertion with it."""


class Table:
    """A pytest plugin that counts cases and failures by class."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.failures: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count one case."""
        name = str(dict(report.user_properties).get("class", ""))
        if report.when == "call":
            self.cases[name or "the corpus itself"] += 1
        if report.failed:
            text = report.longreprtext
            kind = next((k for k in KINDS if f"AssertionError: {k}: " in text), "other")
            self.failures[name or "the corpus itself"][kind] += 1

    def rows(self) -> list[tuple[str, ...]]:
        """The lines of the table, with a sum at the end."""
        made = [
            (name, str(count), *(str(self.failures[name][kind]) for kind in KINDS))
            for name, count in sorted(self.cases.items())
        ]
        sums = (str(sum(int(row[i]) for row in made)) for i in range(1, len(KINDS) + 2))
        return [("class", "cases", "leaks", "oracles", "effects", "false refusals", "other"), *made, ("all", *sums)]


def main() -> int:
    """Run the corpus on every version that is asked for."""
    wanted = VERSIONS if sys.argv[1:] == ["all"] else tuple(sys.argv[1:])
    if not wanted:
        return run()
    failed = 0
    for version in wanted:
        print(f"PostgreSQL {version}", flush=True)
        done = subprocess.run(
            [sys.executable, __file__], env={**os.environ, "DBGATE_TEST_POSTGRES": version}, check=False
        )
        failed = failed or done.returncode
    return failed


def run() -> int:
    """Run the corpus in this process and print the table."""
    table = Table()
    arguments = ["-n", "0", "-p", "no:randomly", "-q", "--no-header", "--tb=no", "--no-summary", "tests/corpus"]
    code = pytest.main(arguments, plugins=[table])
    rows = table.rows()
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))
    return 1 if code or any(table.failures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
