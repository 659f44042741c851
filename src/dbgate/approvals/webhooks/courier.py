"""Carries what stands in the outbox to its hooks, in a thread of its own, and tries again what was not taken."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import requests

from dbgate.approvals.transport import open_session, read_bounded
from dbgate.approvals.webhooks.hooks import Hook
from dbgate.approvals.webhooks.messages import TOLD, message
from dbgate.approvals.webhooks.outbox import DEAD, SENT, WAITING, Delivery
from dbgate.errors import DbgateError, Unreachable

if TYPE_CHECKING:
    from dbgate.approvals.store import Store

POLL_S = 1.0
LEASE_S = 60.0
"""How long one instance has a delivery to itself, in seconds: longer than a try may take."""

FIRST_WAIT_S = 5.0
LONGEST_WAIT_S = 3600.0
MOST_ATTEMPTS = 12
"""With waits that double from 5 s to 1 h, tries go on for between two and four hours."""

_TIMEOUTS_S = (3.05, 10.0)
_LASTING = frozenset({408, 425, 429})
"""Answers below 500 after which another try may do."""

_log = logging.getLogger("dbgate.webhooks")


class Courier:
    """Tells hooks of events. Any number of couriers may share a store: what one has in hand, the others leave alone."""

    def __init__(
        self,
        store: Store,
        hooks: Sequence[Hook],
        clock: Callable[[], datetime],
        *,
        console: str = "",
        ca_file: str = "",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`console` is the console's origin, for the link; `ca_file` a PEM bundle for the hooks' certificates."""
        self._store = store
        self._hooks = {hook.name: hook for hook in hooks}
        self._clock = clock
        self._console = console
        self._session = open_session(ca_file)
        self._jitter = jitter
        self._planned = -1
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin. Hooks that were never heard of are told what happens from now on."""
        self._plan()
        self._thread.start()

    def stop(self) -> None:
        """End soon. What is in hand and not settled by then is due again after `LEASE_S`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2)
        self._session.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self.work():
                    continue
            except DbgateError as error:
                _log.warning("webhooks wait: %s", error.message)
            self._stopping.wait(POLL_S)

    def work(self) -> bool:
        """Plan what is new and try one delivery that is due; whether there was one."""
        self._plan()
        now = self._clock()
        if not self._store.is_delivery_due(now):
            return False
        with self._store.begin() as unit:
            found = unit.outbox.claim(list(self._hooks), now, LEASE_S)
        if found is None:
            return False
        self._settle(found, *self._try(found))
        return True

    def _plan(self) -> None:
        last = self._store.last_event()
        if last == self._planned:
            return
        with self._store.begin() as unit:
            for hook in self._hooks.values():
                unit.outbox.plan(hook.name, hook.label, list(TOLD), self._clock())
        self._planned = last

    def _try(self, found: Delivery) -> tuple[str, str, float]:
        """Send it. How it ended: a status, the error, and how long the receiver asks to wait, in seconds."""
        hook = self._hooks[found.hook]
        event = next(iter(self._store.events(after=found.event - 1, limit=1)), None)
        request = self._store.get(found.request)
        if event is None or request is None or event.number != found.event:
            return DEAD, "the event is not there any more", 0.0
        body = message(event, request, self._console)
        headers = {
            "Content-Type": "application/json",
            "Dbgate-Event": event.kind,
            "Dbgate-Delivery": f"{found.hook}-{found.event}",
            "Dbgate-Signature": hook.sign(body, int(self._clock().timestamp())),
        }
        try:
            with self._session.post(
                hook.url, data=body, headers=headers, timeout=_TIMEOUTS_S, allow_redirects=False, stream=True
            ) as answer:
                status, wait = answer.status_code, answer.headers.get("Retry-After", "")
                read_bounded(answer, 64 * 1024)
        except (requests.RequestException, Unreachable) as error:
            # The text of such errors holds the whole URL, which may be a secret.
            return WAITING, f"not reached: {type(error).__name__}", 0.0
        if 200 <= status < 300:
            return SENT, "", 0.0
        lasting = status >= 500 or status in _LASTING
        return (WAITING if lasting else DEAD), f"answered {status}", float(wait) if wait.isdecimal() else 0.0

    def _settle(self, found: Delivery, status: str, error: str, asked_s: float) -> None:
        now = self._clock()
        if status == WAITING and found.attempts >= MOST_ATTEMPTS:
            status = DEAD
        if status == DEAD:
            _log.warning("webhook %s was given up: %s (delivery %d)", found.label, error, found.number)
        due = now + timedelta(seconds=max(self.wait_s(found.attempts), min(asked_s, LONGEST_WAIT_S)))
        with self._store.begin() as unit:
            unit.outbox.settle(found.number, status, due, now, error)

    def wait_s(self, attempts: int) -> float:
        """How long to wait after so many tries: doubled each time, half of it at random, so that tries do not bunch up."""
        full = min(FIRST_WAIT_S * 2 ** (attempts - 1), LONGEST_WAIT_S)
        return float(full / 2 + full / 2 * self._jitter())
