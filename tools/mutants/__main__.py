"""`make mutants`: takes rules of the gate out, one at a time, and prints what no test noticed.

    python -m tools.mutants [FILE…] [--fine | --all] [--changed] [--sample N] [--again | --resume | --table] [--only TEXT]
                            [--max-time SECONDS] [--jobs N] [--tests N] [--report FILE] [--measure] [--list]

FILE is relative to `src/dbgate`. The table counts every verdict of the report on code that is as it was then.
Exit codes: 0 all that was tried is noticed or reviewed, 1 it is not, 2 it could not be run.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from tools.mutants.bench import CORPUS
from tools.mutants.campaign import Campaign
from tools.mutants.generation import mutants_of
from tools.mutants.lists import listed
from tools.mutants.mutant import Mutant
from tools.mutants.reviewed import reviewed, stale
from tools.mutants.table import Report, changed_lines, print_table, print_unnoticed

ROOT = Path(__file__).parents[2] / "src" / "dbgate"
TESTS = (
    "tests/unit/gate",
    "tests/unit/session",
    "tests/unit/database",
    "tests/unit/test_hidden_values.py",
    "tests/trace",
)
FIRST = (
    "decide analysis refusals protection labels columns from_items writes returning contents implied masks rules stored "
    "definitions reach substitute rewriting splice statement names relations scope outputs kept chosen recorded"
).split()
"""Files of the gate in the order in which they are tried; the others follow by name."""
MORE = ("session/masking.py", "database/scrub.py", "session/life.py")
LISTS, READER = "gate/allow/refused_functions.txt", "gate/allow/functions.py"
BUILD = ROOT.parents[1] / "build" / "mutants"
SEED = 20


def target_files() -> list[str]:
    """The files whose rules are taken out, relative to `src/dbgate`."""
    first = [f"gate/{name}.py" for name in FIRST]
    gate = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "gate").rglob("*.py"))]
    return [*first, *(name for name in gate if name not in first), *MORE]


def all_mutants(files: Sequence[str]) -> list[Mutant]:
    """Every mutant of the files, and of the allow-lists if any of theirs is among them."""
    made = [m for name in files for m in mutants_of(ROOT / name, name)]
    lists = any(name.startswith("gate/allow/") for name in files)
    return made + [m for m, _ in (listed() if lists else ()) if m.path.replace(LISTS, READER) in files]


def sampled(mutants: Sequence[Mutant], number: int) -> list[Mutant]:
    """About so many of them, the same share of each file and at least one, chosen by a fixed seed."""
    by_file: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_file.setdefault(mutant.path, []).append(mutant)
    chance = random.Random(SEED)  # noqa: S311
    shares = {name: math.ceil(number * len(known) / len(mutants)) for name, known in by_file.items()}
    return [m for name, known in by_file.items() for m in chance.sample(known, min(shares[name], len(known)))]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="relative to src/dbgate; all by default")
    add("--fine", action="store_true", help="also parts of rules: guards, operands, elements, entries of allow-lists")
    add("--all", action="store_true", help="not only rules: whatever can be taken out (tools/mutants/generation.py)")
    add("--changed", action="store_true", help="only functions that differ from the main branch")
    add("--only", default="", metavar="TEXT", help="only mutants whose key holds TEXT")
    add("--sample", type=int, default=0, metavar="N", help=f"about N of them, of every file, by the seed {SEED}")
    add("--again", action="store_true", help="only what the report has not as noticed")
    add("--resume", action="store_true", help="only what the report has no verdict on")
    add("--table", action="store_true", help="try nothing: print what the report knows")
    add("--max-time", type=float, default=0, metavar="SECONDS", help="start nothing after that")
    add("--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="processes at a time")
    add("--tests", type=int, default=0, metavar="N", help="at most N tests a mutant: a first look")
    add("--report", default=str(BUILD / "report.jsonl"), metavar="FILE", help="add verdicts there as they come")
    add("--measure", action="store_true", help="forget which test reached what, and measure all of it again")
    add("--list", action="store_true", help="print the keys and stop")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _chosen(
    options: argparse.Namespace, mutants: list[Mutant], report: Report, reasons: dict[str, str]
) -> list[Mutant]:
    chosen = [m for m in mutants if options.only in m.key]
    if options.changed:
        lines = changed_lines(ROOT)
        chosen = [m for m in chosen if not m.name and m.line in lines.get(m.path, ())]
    if options.sample:
        chosen = sampled(chosen, options.sample)
    if options.again:
        chosen = [m for m in chosen if m.key not in reasons and not ((known := report.of(m)) and known.noticed)]
    if options.resume:
        chosen = [m for m in chosen if report.of(m) is None]
    return chosen


def main() -> int:
    """Run the campaign and print its table."""
    began = time.monotonic()
    options = _options()
    known = target_files()
    unknown = sorted(set(options.files) - set(known))
    if unknown:
        print(f"error: no rules are looked for in {', '.join(unknown)}\nhint: {', '.join(known)}", file=sys.stderr)
        return 2
    files = options.files or known
    everything = all_mutants(files)
    fine = options.fine or options.all
    mutants = [m for m in everything if (m.rule or options.all) and (fine or m.whole)]
    reasons = reviewed()
    report = Report(Path(options.report), ROOT)
    chosen = _chosen(options, mutants, report, reasons)
    if options.list:
        print("\n".join(m.key for m in chosen))
        return 0
    for mutant in chosen:
        report.of(mutant)  # reads its code now, before anybody works on it
    if chosen and not options.table:
        if options.measure:
            (BUILD / "reach.json").unlink(missing_ok=True)
        ends = began + options.max_time if options.max_time else float("inf")
        most = options.tests or sys.maxsize
        campaign = Campaign(
            ROOT, BUILD / "reach.json", known, chosen, options.jobs, most, ends, _say, report.add
        )  # fmt: skip
        plugins = ("randomly", "xdist", "cacheprovider", "terminal")
        arguments = ["-o", "addopts=", "-s", *(word for name in plugins for word in ("-p", f"no:{name}"))]
        pytest.main([*arguments, *TESTS, *CORPUS], plugins=[campaign])
        if campaign.fault or not campaign.verdicts:
            _say(f"error: {campaign.fault or 'pytest could not collect the tests'}")
            return 2
    bad = print_unnoticed(ROOT, chosen if not options.table else mutants, report, reasons)
    print_table(mutants, report, reasons)
    print(f"{(time.monotonic() - began) / 60:.1f} minutes")
    for key in stale(
        (m.key for m in everything), (k for k in reasons if k.partition(":")[0].replace(LISTS, READER) in files)
    ):
        _say(f"notice: equivalent.yaml names a mutant that is no more: {key}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
