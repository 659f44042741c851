"""The tests, run once in this process so that forked ones can run them again at once.

Tests of the corpus stay set up, module beside module, and are called as the functions that they are: what they ask of the
server is answered from memory (`reuse`), but for counts of rows. The others are run by pytest, or called if they are
given nothing.
"""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from tools.mutants.application import Caches
from tools.mutants.reaching import Reach
from tools.mutants.reuse import Answers, reuse

CORPUS = (
    "tests/corpus/test_corpus.py",
    "tests/corpus/test_clinic.py",
    "tests/corpus/test_corpus_grants.py",
    "tests/corpus/test_drift.py",
    "tests/corpus/test_rights.py",
    "tests/live/test_measured.py",
)
"""The modules whose tests run against the server."""

_MANY = 20
LABELS = ("_tag_maps",)
"""The tables that hold the labels of databases."""


class BrokenError(Exception):
    """A test fails as it is, or many do: the last of them, and why."""


def _no_property(name: str, value: object) -> None:
    """`record_property`, without a report."""


def worked_s() -> float:
    """The processor time of this process and of those it waited for, in seconds."""
    return sum(os.times()[:4])


class Bench:
    """The tests of a session. `why` tells how the last one failed."""

    def __init__(self, session: pytest.Session, caches: Caches) -> None:
        self.items: dict[str, pytest.Item] = {item.nodeid: item for item in session.items}
        self._near = {stage: [n for n in self.items if n.startswith(stage)] for stage in CORPUS}
        self.answers: list[Answers] = []
        self.why = ""
        self._session = session
        self._caches = caches
        self._direct: dict[str, Callable[[], object]] = {}
        self._current: Answers | None = None
        self._warm = False
        self._left: list[Callable[[], object]] = []

    def prepare(self, reach: Reach, wanted: Callable[[], set[str]], say: Callable[[str], None]) -> None:
        """Measure what is not known yet, run what is `wanted` then, and leave it set up. Raises `BrokenError`."""
        unknown = set(reach.unknown(list(self.items)))
        say(f"{len(self.items)} tests, {len(unknown)} of them to be measured")
        reach.read()
        for stage in ("", *CORPUS):
            tests = [n for n in self.items if (n.startswith(stage) if stage else not n.startswith(CORPUS))]
            fresh = [n for n in tests if n in unknown]
            failing: list[str] = []
            self._begin(stage, tests)
            if fresh:
                twice = [fresh[0], *fresh] if stage else fresh
                reach.measure(twice, functools.partial(self._run, twice, stage, failing))
                reach.read()
            needed = wanted() - set(fresh)
            needed_here = [n for n in tests if n in needed]
            for test in needed_here:
                self._run(needed_here, stage, failing, test)
            # What failed only because measuring is slow, passes now.
            still = next((n for n in failing if not self.passes(n, self._beside(n, stage))), "")
            self._end(stage, tests)
            if still:
                raise BrokenError(still, self.why)
            say(f"{stage or 'tests without a server'}: {len(fresh)} measured, {len(needed_here)} run")

    def finish(self) -> None:
        """Take down what was left standing."""
        while self._left:
            self._left.pop()()
        self._session._setupstate.teardown_exact(None)

    # -- in the parent ---------------------------------------------------------------------------------------

    def _begin(self, stage: str, tests: Sequence[str]) -> None:
        self._current = None
        self._warm = False
        if stage and tests:
            module = self.items[tests[0]].getparent(pytest.Module)
            if module is None:
                raise LookupError(stage)
            self._current = reuse(module.obj)
            self.answers.append(self._current)

    def _end(self, stage: str, tests: Sequence[str]) -> None:
        """Take a module of the corpus off pytest's stack without ending its fixtures."""
        if not stage or not tests:
            return
        state = self._session._setupstate
        for node in [n for n in state.stack if not isinstance(n, pytest.Session)]:
            self._left += state.stack.pop(node)[0]
        functions = [item for n in tests if isinstance(item := self.items[n], pytest.Function)]
        for known in (known for f in functions for known in f._fixtureinfo.name2fixturedefs.values()):
            for fixture in known:
                if fixture.scope == "module":
                    self._left += fixture._finalizers
                    fixture._finalizers.clear()
                    fixture.cached_result = None

    def _run(self, tests: Sequence[str], stage: str, failing: list[str], test: str) -> float:
        """Run one of some tests, with empty caches; returns the seconds of work.

        The labels of the corpus's own database stay: they are the same for all tests of a module (`Reach.measure`).
        """
        self._caches.clear(*(LABELS if self._warm else ()))
        self._warm = bool(stage)
        began = worked_s()
        place = tests.index(test) + 1
        following = self._beside(test, stage) if stage or place == len(tests) else self.items[tests[place]]
        if not self.passes(test, following):
            failing.append(test)
            if len(failing) > _MANY:
                raise BrokenError(test, self.why)
        return worked_s() - began

    def _beside(self, test: str, stage: str) -> pytest.Item:
        """A test to be expected behind another one: of the corpus one of its module, so that it stays set up."""
        near = self._near[stage or CORPUS[0]]
        return self.items[near[0] if near[0] != test else near[-1]]

    # -- in both ---------------------------------------------------------------------------------------------

    def note(self, item: pytest.Item) -> None:
        """Note a test that can be called without pytest's ado: what it is given outlives it."""
        if not isinstance(item, pytest.Function):
            return
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        kept = {"session", "module"} if self._current is not None else set()
        fixtures = item._fixtureinfo.name2fixturedefs
        brief = {n for n, known in fixtures.items() if known[-1].scope not in kept} - set(parameters)
        if brief <= {"record_property"} and "request" not in item._fixtureinfo.argnames:
            given: dict[str, Any] = {n: item.funcargs[n] for n in item._fixtureinfo.argnames}
            if "record_property" in given:
                given["record_property"] = _no_property
            if "pack" in given and self._current is not None:
                given["pack"] = self._current.put_off(given["pack"])
            self._direct[item.nodeid] = functools.partial(item.obj, **given)

    def passes(self, test: str, following: pytest.Item | None) -> bool:
        """Whether a test passes, run by pytest."""
        reports = runtestprotocol(self.items[test], log=False, nextitem=following)
        self.why = next((r.longreprtext for r in reports if r.failed), "")
        return not self.why

    def holds(self, test: str, later: Sequence[str]) -> bool:
        """Whether a test passes in a forked process, in which `later` tests follow."""
        if test in self._direct:
            try:
                self._direct[test]()
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 (it fails, however it does)
                self.why = traceback.format_exc()
                return False
            return True
        following = next((n for n in later if n not in self._direct), test)
        return self.passes(test, self.items[following])

    def can(self, test: str) -> bool:
        """Whether a forked process can run a test: one of the corpus only if it can be called."""
        return test in self._direct or not test.startswith(CORPUS)
