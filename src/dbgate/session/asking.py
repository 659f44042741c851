"""Asking for an approval and waiting for the answer, as the door was told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from dbgate.errors import EXIT_APPROVAL, EXIT_USAGE, DbgateError, Interrupted
from dbgate.model import ApprovalRequest, Grant
from dbgate.session.effects import Refused
from dbgate.session.ports import Approvals, Clock, Display, RequestState

POLL_S = 20.0
"""How long one call to the service waits for a change, in seconds."""


class Asking(msgspec.Struct, frozen=True):
    """How a door asks: it waits `wait_s` seconds (None: until decided), and shows the state meanwhile."""

    approvals: Callable[[], Approvals]
    display: Display
    clock: Clock
    wait_s: float | None
    waiting: Callable[[str], AbstractContextManager[None]]
    """Marks the waiting, so that a cancel can end it (`running.Cancellation.during`)."""

    def ask(self, request: ApprovalRequest, *, known: str | None = None) -> Grant | Refused:
        """File `request`, or look up the `known` one, wait, and redeem its grant.

        Raises `Unreachable` and `SignInRequired`.
        """
        approvals = self.approvals()
        state = approvals.state(known) if known else approvals.ask(request)
        try:
            if state.status == "pending" and self.wait_s != 0:
                with self.waiting("waiting"):
                    state = self._wait(approvals, state)
        except Interrupted:
            return Refused("interrupted", state.id, state.summary)
        if state.status != "approved":
            return Refused(state.status, state.id, state.summary)
        try:
            return approvals.redeem(state.id, binding=request.binding)
        except DbgateError as error:
            if error.exit_code not in {EXIT_USAGE, EXIT_APPROVAL}:
                raise
            return Refused("refused", state.id, error.message)

    def _wait(self, approvals: Approvals, state: RequestState) -> RequestState:
        start = self.clock.monotonic()
        while state.status == "pending":
            left = None if self.wait_s is None else self.wait_s - (self.clock.monotonic() - start)
            if left is not None and left <= 0:
                break
            self.display.waiting(state, left_s=left)
            state = approvals.watch(state.id, timeout_s=POLL_S if left is None else min(left, POLL_S))
        return state
