"""Write transactions of the service: one inside another is the same, and a call that is repeated is done once."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from dbgate.approvals.refusals import BadRequest
from dbgate.approvals.store import Answer, Store, Unit
from dbgate.model import Identity, Json

ANSWERS_S = 24 * 3600
"""How long the answer to a call with an `Idempotency-Key` is kept, in seconds."""


class Transactions:
    """The write transactions on a store. Safe from several threads, each of which has at most one open."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._here = threading.local()

    @property
    def is_open(self) -> bool:
        """Whether this thread is inside one."""
        return getattr(self._here, "unit", None) is not None

    @contextmanager
    def begin(self) -> Iterator[Unit]:
        """A write transaction, or the one that this thread is in already."""
        current: Unit | None = getattr(self._here, "unit", None)
        if current is not None:
            yield current
            return
        with self._store.begin() as unit:
            self._here.unit = unit
            try:
                yield unit
            finally:
                self._here.unit = None

    def once(self, caller: Identity, name: str, asked: str, act: Callable[[], tuple[int, Json]]) -> Answer:
        """Do `act` and keep its answer, in one transaction; or give the answer that the caller's call of that name had.

        `asked` is a digest of all that the call asks for. What is refused leaves nothing, and may be tried again under
        the same name. Raises `BadRequest` when the earlier call asked for something else, and what `act` raises.
        """
        with self.begin() as unit:
            known = unit.answer(caller, name)
            if known is not None:
                if not secrets.compare_digest(known.asked, asked):
                    raise BadRequest(
                        "this Idempotency-Key was used for another call", hint="every new call needs a key of its own"
                    )
                return known
            status, content = act()
            answer = Answer(asked=asked, status=status, body=msgspec.json.encode(content).decode())
            now = self._clock()
            unit.keep_answer(caller, name, answer, now, forget=now - timedelta(seconds=ANSWERS_S))
            return answer
