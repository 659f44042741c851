"""`make crashes`: kill, fill and take away at every step, then kill at random; print a table; fail on any loss."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tools.crashes.evidence import counts, faults_of
from tools.crashes.faults import KINDS, Fault
from tools.crashes.world import Ended, World, apart, new_world

WORK = ("session", "ship")
ALLOWED = {"full": (0, 3, 6, 7), "lost": (0, 7)}
"""Exit codes of a process that was not killed: a denial is among its statements, and a full disk ends it with 6."""


def main() -> int:
    """Run what was asked for; 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="make crashes", description=__doc__)
    parser.add_argument("--random", type=int, default=500, metavar="N", help="kills at random times (500)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every Nth step (1: all)")
    parser.add_argument("--seed", type=int, default=None, help="of the random times")
    parser.add_argument("--work", choices=("session", "ship"), action="append", help="only this work")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind of fault")
    given = parser.parse_args()
    total: Counter[str] = Counter()
    place = Path(tempfile.mkdtemp(prefix="dbgate-crashes-"))
    try:
        with new_world(place / "world") as world:
            failures = _systematic(world, given.work or WORK, given.kind or KINDS, given.every, total)
            failures += _random(world, given.random, random.Random(given.seed), total)  # noqa: S311
    finally:
        shutil.rmtree(place, ignore_errors=True)
    told = "{sessions} sessions ({crashed} ended as crashed), {records} records, {seen} statements in the server's log"
    print(f"\n{told.format(**total)}: ", end="")
    print("nothing lost, nothing doubled, everything verifies" if not failures else f"{len(failures)} FAULTS")
    for failure in failures[:40]:
        print(f"  {failure}")
    return 0 if total["seen"] and not failures else 1


def _systematic(world: World, works: Sequence[str], kinds: Sequence[str], every: int, total: Counter[str]) -> list[str]:
    """Every kind of fault at every step of a session, and of shipping one."""
    failures: list[str] = []
    print(f"{'work':<10}{'fault':<10}{'steps':>6}{'struck':>8}{'faults':>8}")
    for work in works:
        for kind in kinds:
            if (work, kind) == ("session", "lost"):
                continue  # A session does not touch the bucket.
            struck = steps = 0
            at, before = 1, len(failures)
            while True:
                run = f"{work}{KINDS.index(kind)}x{at}"
                if work == "ship":
                    world.session(run, Fault("before", 0))
                ended = world.session(run, Fault(kind, at)) if work == "session" else world.ship(Fault(kind, at))
                failures += _unexpected(ended, kind, run)
                failures += [f"{run}: {fault}" for fault in _settle(world, total)]
                struck += ended.killed or ended.code in (6, 7)
                if not ended.killed and ended.steps < at:
                    steps = ended.steps
                    break
                at += every
            print(f"{work:<10}{kind:<10}{steps:>6}{struck:>8}{len(failures) - before:>8}", flush=True)
    return failures


def _random(world: World, runs: int, chosen: random.Random, total: Counter[str]) -> list[str]:
    """Kill sessions and shippers at random times; what dies is found again by whoever comes next."""
    failures: list[str] = []
    whole_s = 0.25
    for number in range(runs):
        after_s = chosen.uniform(0.001, whole_s)
        if number % 4 == 3:
            world.ship(Fault("before", 0), after_s=after_s)
        else:
            world.session(f"random{number}", Fault("before", 0), after_s=after_s)
        if number % 50 == 49 or number == runs - 1:
            failures += [f"random {number}: {fault}" for fault in _settle(world, total)]
            print(f"{number + 1} of {runs} random kills", file=sys.stderr, flush=True)
    print(f"{'both':<10}{'random':<10}{'':>6}{runs:>8}{len(failures):>8}")
    return failures


def _unexpected(ended: Ended, kind: str, run: str) -> list[str]:
    wrong = []
    if "Traceback" in ended.err:
        wrong.append(f"{run}: a traceback: {ended.err[-300:]!r}")
    if not ended.killed and ended.code not in ALLOWED.get(kind, (0, 3)):
        wrong.append(f"{run}: exit code {ended.code}: {ended.err[-300:]!r}")
    return wrong


def _settle(world: World, total: Counter[str]) -> list[str]:
    """Ship what is there, without faults, as the next start would; look at the evidence, and begin anew."""
    ended = world.ship(Fault("before", 0))
    found, counted = apart(lambda: (faults_of(world), counts(world)))
    if ended.code:
        found.append(f"shipping failed afterwards with {ended.code}: {ended.err!r}")
    for fault in found:
        print(f"{fault}", file=sys.stderr, flush=True)
    total.update(counted)
    world.renew()
    return found


if __name__ == "__main__":
    sys.exit(main())
