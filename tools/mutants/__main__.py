"""`make mutants`: takes rules of the gate out, one at a time, and prints what no test noticed.

    python -m tools.mutants [FILE…] [--changed] [--max-time SECONDS] [--jobs N] [--report FILE] [--only TEXT]

FILE is relative to `src/dbgate`. Exit codes: 0 all noticed or reviewed, 1 unnoticed ones, 2 it could not be run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tools.mutants.campaign import CORPUS, Campaign
from tools.mutants.generation import mutants_of
from tools.mutants.lists import listed
from tools.mutants.mutant import Mutant
from tools.mutants.reviewed import reviewed, stale
from tools.mutants.table import changed_lines, noticed_in, print_table, print_unnoticed, report_to

ROOT = Path(__file__).parents[2] / "src" / "dbgate"
TESTS = (
    "tests/unit/gate",
    "tests/unit/session",
    "tests/unit/database",
    "tests/unit/test_hidden_values.py",
    "tests/trace",
)
LISTS, READER = "gate/allow/refused_functions.txt", "gate/allow/functions.py"
MORE = ("session/life.py", "session/masking.py", "database/scrub.py")


def target_files() -> list[str]:
    """The files whose rules are taken out, relative to `src/dbgate`."""
    return [str(p.relative_to(ROOT)) for p in sorted((ROOT / "gate").rglob("*.py"))] + list(MORE)


def all_mutants(files: Sequence[str]) -> list[Mutant]:
    """Every mutant of the files, and of the allow-lists if any of theirs is among them."""
    made = [m for name in files for m in mutants_of(ROOT / name, name)]
    lists = any(name.startswith("gate/allow/") for name in files)
    return made + [m for m, _ in (listed() if lists else ())]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help="relative to src/dbgate; all by default")
    parser.add_argument("--changed", action="store_true", help="only functions that differ from the main branch")
    parser.add_argument("--only", default="", metavar="TEXT", help="only mutants whose key holds TEXT")
    parser.add_argument("--max-time", type=float, default=0, metavar="SECONDS", help="start nothing after that")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="processes at a time")
    parser.add_argument(
        "--tests", type=int, default=0, metavar="N", help="at most N tests a mutant and stage: a first look"
    )
    parser.add_argument(
        "--report",
        default="",
        metavar="FILE",
        help="write verdicts there as they come, as JSON lines; the last one of a mutant counts",
    )
    parser.add_argument("--again", default="", metavar="FILE", help="only what this earlier report has not as noticed")
    parser.add_argument("--list", action="store_true", help="print the keys and stop")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Run the campaign and print its table."""
    began = time.monotonic()
    options = _options()
    known = target_files()
    unknown = sorted(set(options.files) - set(known))
    if unknown:
        print(f"error: no rules are looked for in {', '.join(unknown)}\nhint: {', '.join(known)}", file=sys.stderr)
        return 2
    order = {name: place for place, name in enumerate(options.files or known)}
    everything = [m for m in all_mutants(list(order)) if m.path.replace(LISTS, READER) in order]
    chosen = sorted(
        (m for m in everything if options.only in m.key), key=lambda m: order[m.path.replace(LISTS, READER)]
    )
    if options.changed:
        lines = changed_lines(ROOT)
        chosen = [m for m in chosen if not m.name and m.line in lines.get(m.path, ())]
    if options.again:
        noticed = noticed_in(Path(options.again))
        chosen = [m for m in chosen if m.key not in noticed]
    if options.list:
        print("\n".join(m.key for m in chosen))
        return 0
    ends = began + options.max_time if options.max_time else float("inf")
    reasons = reviewed()
    note = report_to(Path(options.report), reasons) if options.report else lambda verdict: None
    campaign = Campaign(ROOT, known, chosen, options.jobs, options.tests or sys.maxsize, ends, _say, note)
    arguments = ["-o", "addopts=", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider", "-p", "no:terminal"]
    pytest.main([*arguments, "-s", *TESTS, *CORPUS], plugins=[campaign])
    if campaign.fault or not campaign.verdicts:
        _say(f"error: {campaign.fault or 'pytest could not collect the tests'}")
        return 2
    bad = print_unnoticed(ROOT, campaign.verdicts, reasons)
    print_table(campaign.verdicts, reasons, time.monotonic() - began)
    for key in stale(
        (m.key for m in everything), (k for k in reasons if k.partition(":")[0].replace(LISTS, READER) in order)
    ):
        _say(f"notice: equivalent.yaml names a mutant that is no more: {key}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
