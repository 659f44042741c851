"""Lets forked processes use what the first one has prepared on the server.

A forked process must not speak on a connection of its parent: it opens its own, when it needs one. What the parent has run
and seen does not have to be run again: the same texts since the last rollback, on the same database, give the same answer.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

from tools.mutants.past_the_gate import Psycopg

_CASE = "\0"
_ENDS, _TIDIES = "ROLLBACK", frozenset({"DEALLOCATE ALL", "CLOSE ALL"})


class PerProcess:
    """A connection that is opened anew in every process that uses it."""

    def __init__(self, opening: Callable[[], Any]) -> None:
        self._opening = opening
        self._process = self._first = os.getpid()
        self._real = opening()
        self._parents: list[Any] = []

    def here(self) -> Any:
        """The connection of this process."""
        if os.getpid() != self._process:
            self._parents.append(self._real)  # kept, so that nothing closes it
            self._process = os.getpid()
            self._real = self._opening()
        return self._real

    @property
    def opened_here(self) -> bool:
        """Whether this process has a connection of its own."""
        return os.getpid() == self._process

    @property
    def is_first(self) -> bool:
        """Whether this is the process that made it."""
        return os.getpid() == self._first

    def __getattr__(self, name: str) -> Any:
        return getattr(self.here(), name)


class Answers:
    """What the parent saw of every text, and of what ran before it, so that a process asks the server only what is new."""

    def __init__(self, outcome: Callable[..., Any]) -> None:
        self.asked = outcome
        self.used = True
        self._later: Callable[[], Any] | None = None
        self._known: dict[tuple[int, tuple[str, ...], str], Any] = {}

    def __call__(self, text: str, connection: Remembered, *, alone: bool = True) -> Any:
        """`worlds.outcome`, answered from memory where that holds."""
        before = connection.since
        key = id(connection), before, text
        later, self._later = self._later, None
        if connection.must_ask or key not in self._known:
            if later is not None:
                later()
            connection.catch_up()
            seen = self.asked(text, connection, alone=alone)
            self._known.setdefault(key, copy.copy(seen))
        else:
            seen = copy.copy(self._known[key])
        connection.since = before if alone else (*before, f"{_CASE}{text}")
        return seen

    def put_off(self, work: Callable[[], Any]) -> Callable[[], None]:
        """A function that leaves `work` on the server until the next statement really asks it."""

        def note() -> None:
            self._later = work

        return note


class Remembered(PerProcess):
    """dbgate's connection. In a forked process it sends nothing as long as all answers are known.

    `since` is what has run since the last rollback, the case's own statements behind a mark.
    """

    def __init__(self, opening: Callable[[], Any], answers: Answers) -> None:
        super().__init__(opening)
        self.since: tuple[str, ...] = ()
        self._answers = answers
        self._sent = False
        self._catalog: Any = None
        self._catalogs: dict[tuple[str, ...], Any] = {}

    @property
    def must_ask(self) -> bool:
        """Whether the server is asked: by the parent, and by a process that had to ask before in this transaction."""
        return self.is_first or self._sent or not self._answers.used

    def catch_up(self) -> None:
        """Send what was put off in this transaction; from here to its end, everything is sent."""
        if self.must_ask:
            return
        self._sent = True
        for text in self.since:
            if text.startswith(_CASE):
                self._answers.asked(text.removeprefix(_CASE), self, alone=False)
            else:
                self.here().execute_unrecorded(text)

    def execute_unrecorded(self, text: str) -> None:
        """`Database.execute_unrecorded`, put off until an answer is needed."""
        if self.must_ask or (text in _TIDIES and self.opened_here):
            self.here().execute_unrecorded(text)
        if text == _ENDS:
            self.since, self._sent = (), False
        elif text not in _TIDIES:
            self.since = (*self.since, text)

    def catalog(self, *, refresh: bool = False) -> Any:
        """`Database.catalog`: what the parent has read at this point, as long as nothing was sent."""
        if self._catalog is not None and not refresh:
            return self._catalog
        if self.must_ask or self.since not in self._catalogs:
            self.catch_up()
            self._catalog = self.here().catalog(refresh=refresh)
            self._catalogs.setdefault(self.since, self._catalog)
        else:
            self._catalog = self._catalogs[self.since]
        return self._catalog


def _nothing(text: str, connection: Remembered, *, alone: bool = True) -> None:
    """The outcome for modules that ask for none."""


def reuse(module: Any) -> Answers:
    """Make the tests of a module open connections per process and, those of the corpus, remember answers."""
    connect, outcome = module.connect, getattr(module, "outcome", None)
    answers = Answers(outcome or _nothing)

    def opened(*args: Any, **kwargs: Any) -> PerProcess:
        def opening() -> Any:
            return connect(*args, **kwargs)

        return PerProcess(opening) if outcome is None else Remembered(opening, answers)

    module.connect = opened
    if outcome is not None:
        module.outcome = answers
    if hasattr(module, "psycopg"):
        module.psycopg = Psycopg(module.psycopg)
    return answers
