"""Lets forked processes use what the first one has prepared on the server.

A forked process must not speak on a connection of its parent: it opens its own, when it needs one. What the parent has run
and seen does not have to be run again: the same text on the same database gives the same answer.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any


class PerProcess:
    """A connection, psycopg's or dbgate's, that is opened anew in every process that uses it.

    It knows the catalog that the first one has read. What that one was told to `execute` (settings) is told again.
    """

    def __init__(self, opening: Callable[[], Any]) -> None:
        self._opening = opening
        self._process = self._first = os.getpid()
        self._real = opening()
        self._parents: list[Any] = []
        self._told: list[tuple[str, tuple[Any, ...]]] = []
        self._catalog: Any = None

    def __enter__(self) -> PerProcess:
        return self

    def __exit__(self, *failure: object) -> None:
        self._real.close()

    def execute(self, *args: Any) -> Any:
        """`psycopg.Connection.execute`."""
        return self._tell("execute", args)

    def commit(self) -> None:
        """`psycopg.Connection.commit`."""
        self._tell("commit", ())

    def _tell(self, name: str, args: tuple[Any, ...]) -> Any:
        if os.getpid() == self._first:
            self._told.append((name, args))
        return getattr(self._here(), name)(*args)

    def catalog(self, *, refresh: bool = False) -> Any:
        """The catalog; the one that the parent has read, until it is asked to look again."""
        if refresh or self._catalog is None:
            self._catalog = self._here().catalog(refresh=refresh)
        return self._catalog

    def _here(self) -> Any:
        if os.getpid() != self._process:
            self._parents.append(self._real)  # kept, so that nothing closes it
            self._process = os.getpid()
            self._real = self._opening()
            for name, args in self._told:
                getattr(self._real, name)(*args)
        return self._real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._here(), name)


class Answers:
    """What the parent saw of every text, so that a process asks the server only about texts that are new."""

    def __init__(self, outcome: Callable[..., Any]) -> None:
        self._outcome = outcome
        self._known: dict[tuple[str, int], Any] = {}
        self.used = True

    def __call__(self, text: str, connection: Any, *, alone: bool = True) -> Any:
        """`worlds.outcome`, answered from memory where that holds."""
        if not alone:
            return self._outcome(text, connection, alone=False)
        key = text, id(connection)
        if not self.used or key not in self._known:
            self._known[key] = self._outcome(text, connection)
        return copy.copy(self._known[key])


class _Psycopg:
    """psycopg, with connections per process."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def connect(self, *args: Any, **kwargs: Any) -> PerProcess:
        """`psycopg.connect`."""
        return PerProcess(lambda: self._real.connect(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def reuse(module: Any) -> Answers:
    """Make the tests of the corpus (`module`) open connections per process and remember answers."""
    connect = module.connect

    def opened(*args: Any, **kwargs: Any) -> PerProcess:
        return PerProcess(lambda: connect(*args, **kwargs))

    answers = Answers(module.outcome)
    module.connect = opened
    module.outcome = answers
    module.psycopg = _Psycopg(module.psycopg)
    return answers
