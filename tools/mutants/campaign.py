"""Runs the tests that reach a mutant, in a process forked for it, until one of them fails.

A pytest plugin in place of the loop over tests. The stages differ in what has to stand before a process is forked:
first the tests that need nothing, then, for what they did not notice, the corpus on its server, one module of it after
the other.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import resource
import selectors
import signal
import sys
import time
import traceback
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from tools.mutants.application import Caches, apply, module_name
from tools.mutants.mutant import Mutant
from tools.mutants.reaching import Reach
from tools.mutants.reuse import Answers, reuse

CORPUS = ("tests/corpus/test_corpus.py", "tests/corpus/test_clinic.py", "tests/corpus/test_corpus_grants.py")
_SLOW_S = 0.3
_ENOUGH = 20
_CPU_S = 10.0
_WALL_S = 180.0
_MEMORY = 4 << 30


@dataclass
class Verdict:
    """What became of a mutant: the test that noticed it, if any, and how many were run. `tried` is false without time."""

    mutant: Mutant
    noticed_by: str = ""
    tests: int = 0
    tried: bool = False
    why: str = ""


def _no_property(name: str, value: object) -> None:
    """`record_property`, without a report."""


@dataclass
class _Running:
    verdict: Verdict
    pid: int
    deadline: float
    said: bytes = b""


@dataclass
class Campaign:
    """The plugin. `verdicts` is complete when pytest has ended."""

    root: Path
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
        self.direct: dict[str, Callable[[], object]] = {}
        if session.testsfailed:
            raise session.Interrupted("tests could not be collected")
        self.caches = Caches(module_name(f) for f in self.files)
        self.items = {item.nodeid: item for item in session.items}
        self.reach = Reach(self.root, self.files)
        self.answers: Answers | None = None
        self.killers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.verdicts = [Verdict(m) for m in self.mutants]
        stages = {"unit": [n for n in self.items if not n.startswith(CORPUS)]}
        stages |= {Path(file).stem: [n for n in self.items if n.startswith(file)] for file in CORPUS}
        try:
            for stage, tests in stages.items():
                if tests and not self.fault and time.monotonic() < self.ends:
                    session._setupstate.teardown_exact(self.items[tests[0]])
                    self.answers = reuse(_module(self.items[tests[0]])) if stage != "unit" else None
                    self._stage(stage, tests)
        finally:
            session._setupstate.teardown_exact(None)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Note the tests that can be called without pytest's ado: what they are given outlives them."""
        if isinstance(item, pytest.Function):
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            kept = {"session", "module"} if self.answers is not None else set()
            fixtures = item._fixtureinfo.name2fixturedefs
            brief = {n for n, known in fixtures.items() if known[-1].scope not in kept} - set(parameters)
            if brief <= {"record_property"} and "request" not in item._fixtureinfo.argnames:
                given = {n: item.funcargs[n] for n in item._fixtureinfo.argnames if n != "record_property"}
                if "record_property" in brief:
                    given["record_property"] = _no_property
                self.direct[item.nodeid] = functools.partial(item.obj, **given)

    # -- stages ----------------------------------------------------------------------------------------------

    def _stage(self, name: str, tests: Sequence[str]) -> None:
        began = time.monotonic()
        left = [v for v in self.verdicts if not v.noticed_by]
        if not left:
            return
        keep = name != "unit"
        failed: list[str] = []
        # What the corpus needs stays: behind its last test comes its first one.
        after = dict(zip(tests, [*tests[1:], tests[0] if keep else ""], strict=True))

        def run(test: str) -> float:
            started = time.monotonic()
            self.caches.clear()
            if not self._passes(test, self.items[after[test]] if after[test] else None):
                failed.append(test)
            return time.monotonic() - started

        self.reach.measure(tests, run)
        failed = [t for t in failed if not self._passes(t, self.items[tests[t == tests[0]]] if keep else None)]
        if failed:  # and not only because measuring is slow
            self.fault = f"the tests fail as they are: {', '.join(failed[:3])}\n{self.why}"
            return
        known = set(tests)
        plain = self._try([(Verdict(Mutant("", "", "none", "", 0, 0, "", 0)), list(tests))])
        if plain[0].noticed_by:
            self.fault = f"without any mutant, a forked process fails: {plain[0].noticed_by}\n{plain[0].why}"
            return
        self.say(f"{name}: {len(tests)} tests measured in {time.monotonic() - began:.0f} s, {len(left)} mutants to try")
        gc.collect()
        gc.freeze()  # so that forked processes do not copy pages for the collector's marks
        self._try([(v, self._quick(self.reach.of(v.mutant) & known)) for v in left], told=True)

    def _quick(self, tests: set[str]) -> list[str]:
        """Without the slow tests, where enough others reach the place."""
        quick = [t for t in tests if self.reach.took_s[t] <= _SLOW_S]
        return quick if len(quick) >= _ENOUGH else list(tests)

    def _passes(self, test: str, following: pytest.Item | None) -> bool:
        reports = runtestprotocol(self.items[test], log=False, nextitem=following)
        self.why = next((r.longreprtext for r in reports if r.failed), "")
        return not self.why

    def _holds(self, test: str) -> bool:
        """Whether a test passes, called as the function that it is."""
        try:
            self.direct[test]()
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 (it fails, however it does)
            self.why = traceback.format_exc()
            return False
        return True

    def _order(self, mutant: Mutant, tests: Sequence[str]) -> list[str]:
        """Those first that noticed something else in the same function, then at random; slow ones last."""
        chance = random.Random(mutant.key)  # noqa: S311
        notable = self.killers[f"{mutant.path} {mutant.function}"]
        near = self.killers[mutant.path]
        here = self.killers[f"{mutant.path} {mutant.line}"]
        took = self.reach.took_s
        return sorted(
            sorted(tests),
            key=lambda t: (took[t] > _SLOW_S, -here[t], -notable[t], -min(near[t], 1), chance.random()),
        )

    # -- processes -------------------------------------------------------------------------------------------

    def _try(self, work: Sequence[tuple[Verdict, list[str]]], *, told: bool = False) -> list[Verdict]:
        """Try mutants, `jobs` at a time."""
        queue = deque(work)
        running: dict[int, _Running] = {}
        done: list[Verdict] = []
        said = time.monotonic()
        with selectors.DefaultSelector() as selector:
            while queue or running:
                while queue and len(running) < self.jobs and time.monotonic() < self.ends:
                    verdict, tests = queue.popleft()
                    verdict.tried = True
                    if not tests:
                        done.append(verdict)
                        continue
                    chosen = self._order(verdict.mutant, tests)[: self.most if told else None]
                    pipe = self._fork(verdict, chosen, running)
                    selector.register(pipe, selectors.EVENT_READ)
                if not running:
                    break
                for key, _ in selector.select(timeout=1.0):
                    self._hear(key.fd, running, selector, done)
                for one in list(running.values()):
                    if time.monotonic() > one.deadline:
                        os.kill(one.pid, signal.SIGKILL)
                        one.said += b"it hangs"
                        one.deadline += 60
                if told and time.monotonic() - said > 60:
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
        verdict.tests += one.said.count(b"+")
        failing = next((line[1:] for line in lines if line.startswith("-")), "")
        last = next((line for line in reversed(lines) if line and line != "+"), "")
        verdict.why = "\n".join(line[1:] for line in lines if line.startswith("|"))
        if failing or status:
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
        if mutant.path:
            apply(mutant, self.root / mutant.path)
        if self.answers is not None:
            self.answers.used = mutant.path.startswith("gate/") or not mutant.path
        self.caches.clear()
        for place, test in enumerate(tests):
            signal.setitimer(signal.ITIMER_PROF, _CPU_S + 10 * self.reach.took_s[test])
            os.write(pipe, b"+\n")
            following = self.items[tests[min(place + 1, len(tests) - 1)]]
            if not (self._holds(test) if test in self.direct else self._passes(test, following)):
                why = "".join(f"|{line}\n" for line in self.why.split("\n")[-25:])
                os.write(pipe, f"-{test}\n{why}".encode("utf-8", "replace"))
                return


def _module(item: pytest.Item) -> Any:
    found = item.getparent(pytest.Module)
    if found is None:
        raise LookupError(item.nodeid)
    return found.obj
