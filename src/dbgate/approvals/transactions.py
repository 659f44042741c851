"""Write transactions of the service: one inside another is the same, what they decide is recorded before it counts, and a
call that is repeated is done once."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from dbgate.approvals.ledger import Decision, Ledger, Refusal
from dbgate.approvals.refusals import BadRequest, Busy, NotAllowed, UnknownRequest, WrongState
from dbgate.approvals.store import Answer, Store, Unit
from dbgate.model import Identity, Json

ANSWERS_S = 24 * 3600
"""How long the answer to a call with an `Idempotency-Key` is kept, in seconds."""


class Transactions:
    """The write transactions on a store. Safe from several threads, each of which has at most one open."""

    def __init__(self, store: Store, clock: Callable[[], datetime], ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._here = threading.local()
        self.on_decided: Callable[[str], object] = _forget
        """Told the kind of each event that was committed."""
        self.on_refused: Callable[[str], object] = _forget
        """Told each action that was refused."""

    @property
    def is_open(self) -> bool:
        """Whether this thread is inside one."""
        return getattr(self._here, "unit", None) is not None

    @contextmanager
    def begin(self) -> Iterator[Unit]:
        """A write transaction, or the one that this thread is in already. What it appends to the history is recorded right
        before the commit: raises `AuditUnavailable`, and undoes everything, when that cannot be."""
        current: Unit | None = getattr(self._here, "unit", None)
        if current is not None:
            yield current
            return
        numbers: Sequence[int] = ()
        is_done = False
        try:
            with self._store.begin() as unit:
                self._here.unit = unit
                try:
                    yield unit
                finally:
                    self._here.unit = None
                numbers = self._ledger.intend(_decisions(unit)) if unit.appended else ()
            is_done = True
            for added in unit.appended:
                self.on_decided(added.kind)
        finally:
            if numbers:
                self._ledger.settle(numbers, is_done=is_done)

    @contextmanager
    def attempt(self, action: str, caller: Identity, request_id: str = "") -> Iterator[None]:
        """Record what is refused within. Raises `AuditUnavailable` instead when that cannot be."""
        try:
            yield
        except (NotAllowed, WrongState, UnknownRequest, BadRequest, Busy) as error:
            self.on_refused(action)
            self._ledger.refuse(Refusal(action, request_id, caller, error.message))
            raise

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


def _forget(what: str) -> None:
    """Tell nobody."""


def _decisions(unit: Unit) -> list[Decision]:
    """What a transaction decided, with the requests as they stand after it."""
    found = []
    for added in unit.appended:
        request = unit.get(added.request)
        if request is None:
            raise UnknownRequest(f"no such request: {added.request}")
        found.append(Decision(request, added.kind, added.at, added.by, added.note))
    return found
