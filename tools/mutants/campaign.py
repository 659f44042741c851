"""Runs the tests that reach a mutant, in a process forked for it, until one of them fails.

A pytest plugin in place of the loop over tests: `bench` has all tests standing, then each mutant gets a process of its own.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import selectors
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tools.mutants.application import Caches, NotFoundError, apply, module_name
from tools.mutants.bench import Bench, BrokenError
from tools.mutants.kept_reach import KeptReach
from tools.mutants.mutant import Mutant
from tools.mutants.reaching import Reach, digests_of

_SLOW_S, _QUICK_S = 0.3, 0.05
_ENOUGH = 20
_CPU_S = 10.0
_WALL_S = 600.0
_MEMORY = 4 << 30


@dataclass
class Verdict:
    """What became of a mutant: the test that noticed it, if any, and how many were run. `tried` is false without time."""

    mutant: Mutant
    noticed_by: str = ""
    tests: int = 0
    tried: bool = False
    why: str = ""


@dataclass
class _Running:
    verdict: Verdict
    pid: int
    deadline: float
    said: bytes = b""


@dataclass
class Campaign:
    """The plugin. `verdicts` is complete when pytest has ended. `kept` is the file of what was measured."""

    root: Path
    kept: Path
    files: Sequence[str]
    mutants: Sequence[Mutant]
    jobs: int
    most: int
    ends: float
    say: Callable[[str], None]
    note: Callable[[Verdict], None]
    verdicts: list[Verdict] = field(default_factory=list)
    fault: str = ""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure, then try every mutant."""
        if session.testsfailed:
            raise session.Interrupted("tests could not be collected")
        self.caches = Caches(module_name(f) for f in self.files)
        self.bench = Bench(session, self.caches)
        digests = digests_of(self.bench.items, session.config.rootpath)
        self.reach = Reach(self.root, self.files, KeptReach(self.kept, self.root, self.files), digests)
        # As they are now: whoever works on them meanwhile changes neither places nor verdicts.
        self.sources = {m.path: (self.root / m.path).read_bytes() for m in self.mutants}
        self.killers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.verdicts = [Verdict(m) for m in self.mutants]
        try:
            self._campaign()
        finally:
            self.bench.finish()
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Note what a test is given."""
        self.bench.note(item)

    def _campaign(self) -> None:
        began = time.monotonic()
        try:
            self.bench.prepare(self.reach, self._wanted, self.say)
        except BrokenError as error:
            self.fault = "the tests fail as they are: {}\n{}".format(*error.args)
            return
        plain = self._try([Verdict(Mutant("", "", "none", "", 0, 0, "", 0))], sorted(self._wanted()))
        if plain[0].noticed_by:
            self.fault = f"without any mutant, a forked process fails: {plain[0].noticed_by}\n{plain[0].why}"
            return
        self.say(f"ready after {time.monotonic() - began:.0f} s: {len(self.verdicts)} mutants to try")
        gc.collect()
        gc.freeze()  # so that forked processes do not copy pages for the collector's marks
        self._try(self.verdicts)

    def _wanted(self) -> set[str]:
        """The tests that may be run on any of the mutants."""
        return {test for mutant in self.mutants for test in self._tests(mutant)}

    def _tests(self, mutant: Mutant) -> list[str]:
        """The tests that reach the place, without the slow ones where enough others do."""
        tests = [t for t in self.reach.of(mutant) if t in self.bench.items]
        quick = [t for t in tests if self.reach.took_s[t] <= _SLOW_S]
        return quick if len(quick) >= _ENOUGH else tests

    def _order(self, mutant: Mutant, tests: Sequence[str]) -> list[str]:
        """Those first that noticed something else nearby, then those of the file's own tests, then at random; slow ones last."""
        chance = random.Random(mutant.key)  # noqa: S311
        notable = self.killers[f"{mutant.path} {mutant.function}"]
        near = self.killers[mutant.path]
        here = self.killers[f"{mutant.path} {mutant.line}"]
        took = self.reach.took_s
        own = f"_{Path(mutant.path).stem}"
        return sorted(
            sorted(tests),
            key=lambda t: (
                took[t] > _SLOW_S,
                took[t] > _QUICK_S and not here[t],
                -here[t],
                -notable[t],
                -min(near[t], 1),
                own not in t.partition("::")[0],
                chance.random(),
            ),
        )

    # -- processes -------------------------------------------------------------------------------------------

    def _try(self, work: Sequence[Verdict], tests: list[str] | None = None) -> list[Verdict]:
        """Try mutants, `jobs` at a time, on the tests or on those that reach each."""
        queue = deque(work)
        running: dict[int, _Running] = {}
        done: list[Verdict] = []
        said = time.monotonic()
        with selectors.DefaultSelector() as selector:
            while queue or running:
                while queue and len(running) < self.jobs and time.monotonic() < self.ends:
                    verdict = queue.popleft()
                    chosen = self._order(verdict.mutant, self._tests(verdict.mutant) if tests is None else tests)
                    chosen = [test for test in chosen if self.bench.can(test)][: self.most if tests is None else None]
                    selector.register(self._fork(verdict, chosen, running), selectors.EVENT_READ)
                if not running:
                    break
                for key, _ in selector.select(timeout=1.0):
                    self._hear(key.fd, running, selector, done)
                for one in list(running.values()):
                    if time.monotonic() > one.deadline:
                        os.kill(one.pid, signal.SIGKILL)
                        one.said += b"it hangs"
                        one.deadline += 60
                if tests is None and time.monotonic() - said > 60:
                    said = time.monotonic()
                    unnoticed = sum(not v.noticed_by for v in done)
                    self.say(f"  {len(done)} of {len(work)} tried, {unnoticed} not noticed so far")
        return done

    def _fork(self, verdict: Verdict, tests: list[str], running: dict[int, _Running]) -> int:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            code = 1
            try:
                self._live(verdict.mutant, tests, writing)
                code = 0
            except BaseException as error:  # noqa: BLE001 (whatever a mutant does, it ends here)
                os.write(writing, f"\n{type(error).__name__}: {error}"[:500].encode("utf-8", "replace"))
            finally:
                os._exit(code)
        os.close(writing)
        running[reading] = _Running(verdict, pid, time.monotonic() + _WALL_S)
        return reading

    def _hear(
        self, pipe: int, running: dict[int, _Running], selector: selectors.BaseSelector, done: list[Verdict]
    ) -> None:
        one = running[pipe]
        piece = os.read(pipe, 65536)
        if piece:
            one.said += piece
            return
        selector.unregister(pipe)
        os.close(pipe)
        del running[pipe]
        _, status = os.waitpid(one.pid, 0)
        lines = one.said.decode("utf-8", "replace").split("\n")
        verdict = one.verdict
        verdict.tried = True
        verdict.tests += one.said.count(b"+")
        failing = next((line[1:] for line in lines if line.startswith("-")), "")
        last = next((line for line in reversed(lines) if line and line != "+"), "")
        verdict.why = "\n".join(line[1:] for line in lines if line.startswith("|"))
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGINT:
            verdict.tried = False
        elif lines[0].startswith("!"):
            self.say(f"error: {verdict.mutant.key}: there is no {lines[0][1:]} in the running code")
            verdict.tried = False
        elif failing or status:
            verdict.noticed_by = failing or f"the process ended with {status}: {last}"
            mutant = verdict.mutant
            for place in (mutant.path, f"{mutant.path} {mutant.function}", f"{mutant.path} {mutant.line}"):
                self.killers[place][failing] += 1
        done.append(verdict)
        if verdict.mutant.path:
            self.note(verdict)

    def _live(self, mutant: Mutant, tests: list[str], pipe: int) -> None:
        """In the forked process: make the change, run the tests, say which one fails."""
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever ends the campaign has noticed nothing
        if mutant.path:
            try:
                apply(mutant, self.root / mutant.path, self.sources[mutant.path])
            except NotFoundError as error:
                os.write(pipe, f"!{error}\n".encode())
                return
        for known in self.bench.answers:
            known.used = mutant.path.startswith("gate/") or not mutant.path
        self.caches.clear()
        for place, test in enumerate(tests):
            signal.setitimer(signal.ITIMER_PROF, _CPU_S + 10 * self.reach.took_s[test])
            os.write(pipe, b"+\n")
            if not self.bench.holds(test, tests[place + 1 :]):
                why = "".join(f"|{line}\n" for line in self.bench.why.split("\n")[-25:])
                os.write(pipe, f"-{test}\n{why}".encode("utf-8", "replace"))
                return
