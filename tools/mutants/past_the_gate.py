"""Connections past the gate, for tests that compare with PostgreSQL itself: its answers do not depend on any mutant.

A forked process takes over what its parent was answered to the same texts since the transaction began; the first text that
nobody has asked before opens a connection of its own, and runs there what came before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from psycopg.pq import ExecStatus


class Direct:
    """What the tests use of a psycopg connection and of its `pgconn`."""

    def __init__(self, opening: Callable[[], Any], known: dict[Any, Any], first: int, key: str) -> None:
        self._opening, self._known, self._first, self._key = opening, known, first, key
        self._process = os.getpid()
        opened: Any = opening() if self._is_first else None
        self._real = opened
        self._told: list[tuple[str, tuple[Any, ...]]] = []
        self._since: tuple[str, ...] = ()
        self._within = self._sent = False
        if self._is_first:
            known["version", key] = opened.info.server_version

    @property
    def _is_first(self) -> bool:
        return os.getpid() == self._first

    @property
    def _here(self) -> Any:
        """The connection of this process; None when it has none."""
        return self._real if os.getpid() == self._process else None

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._here is not None:
            self._here.close()

    @property
    def info(self) -> SimpleNamespace:
        """`psycopg.Connection.info`, of which the tests ask the version."""
        return SimpleNamespace(server_version=self._known["version", self._key])

    @property
    def pgconn(self) -> Direct:
        """`psycopg.Connection.pgconn`."""
        return self

    def execute(self, *args: Any) -> None:
        """`psycopg.Connection.execute`, for settings."""
        self._tell("execute", args)

    def commit(self) -> None:
        """`psycopg.Connection.commit`."""
        self._tell("commit", ())

    def rollback(self) -> None:
        """`psycopg.Connection.rollback`."""
        self._since = ()
        if self._here is not None:
            self._here.rollback()

    def _tell(self, name: str, args: tuple[Any, ...]) -> None:
        self._told.append((name, args))
        if self._here is not None:
            getattr(self._here, name)(*args)

    @contextmanager
    def transaction(self, *, force_rollback: bool) -> Iterator[None]:
        """`psycopg.Connection.transaction`, which is rolled back in any case."""
        if not force_rollback:
            raise NotImplementedError
        self._within, self._sent, self._since = True, False, ()
        try:
            if self._is_first:
                with self._real.transaction(force_rollback=True):
                    yield
            else:
                yield
        finally:
            if self._sent:
                self._here.pgconn.exec_(b"ROLLBACK")
            self._within, self._sent, self._since = False, False, ()

    def exec_(self, text: bytes) -> None:
        """`PGconn.exec_`, for what tidies up."""
        if self._here is not None:
            self._here.pgconn.exec_(text)

    def exec_params(self, text: bytes, parameters: list[Any]) -> Any:
        """`PGconn.exec_params`, answered from memory where that holds."""
        key = self._key, self._since, text
        if not self._is_first and not self._sent and key in self._known:
            answer = self._known[key]
        else:
            self._catch_up()
            answer = self._here.pgconn.exec_params(text, parameters)
            if answer.status != ExecStatus.COPY_OUT:  # the rest is still to be read
                self._known.setdefault(key, answer)
        self._since = (*self._since, text.decode())
        return answer

    def _catch_up(self) -> None:
        if self._is_first or self._sent:
            return
        if self._here is None:
            self._parents = self._real  # kept, so that nothing closes it
            self._process, self._real = os.getpid(), self._opening()
            for name, args in self._told:
                getattr(self._real, name)(*args)
        if self._within:
            self._sent = True
            self._real.pgconn.exec_(b"BEGIN")
            for text in self._since:
                self._real.pgconn.exec_params(text.encode(), [])

    def get_copy_data(self, mode: int) -> Any:
        """`PGconn.get_copy_data`."""
        return self._here.pgconn.get_copy_data(mode)

    def get_result(self) -> Any:
        """`PGconn.get_result`."""
        return self._here.pgconn.get_result()


class Psycopg:
    """psycopg, whose connections remember."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._known: dict[Any, Any] = {}
        self._first = os.getpid()

    def connect(self, dsn: str) -> Direct:
        """`psycopg.connect`."""
        return Direct(lambda: self._real.connect(dsn), self._known, self._first, dsn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
