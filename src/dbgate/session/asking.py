"""Asking for an approval and waiting for the answer, as the door was told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from dbgate.errors import EXIT_APPROVAL, EXIT_USAGE, DbgateError, Interrupted, UsageError
from dbgate.model import ApprovalRequest, Grant, RequestKind
from dbgate.session.effects import Refused
from dbgate.session.ports import Approvals, Clock, Display, FiledRequest

POLL_S = 20.0
"""How long one call to the service waits for a change, in seconds."""


class Asking:
    """How a door asks: it waits `wait_s` seconds (None: until decided), and shows the state meanwhile.

    `waiting` marks the waiting, so that a cancel can end it (`running.Cancellation.during`). `known` is a request to
    resume: the first that it can be takes it. `confirm` asks the person whether to break the glass; without it, the reason
    that they gave is the answer.
    """

    def __init__(
        self,
        approvals: Callable[[], Approvals],
        display: Display,
        clock: Clock,
        wait_s: float | None,
        waiting: Callable[[str], AbstractContextManager[None]],
        known: str | None = None,
        confirm: Callable[[str], bool] | None = None,
    ) -> None:
        self.approvals = approvals
        self._display = display
        self._clock = clock
        self._wait_s = wait_s
        self._waiting = waiting
        self._known = known
        self._confirm = confirm

    def ask(self, request: ApprovalRequest) -> Grant | Refused:
        """File `request`, or take the known one, wait, and redeem its grant.

        Raises `Unreachable` and `SignInRequired`, and `UsageError` when the known one is of another kind.
        """
        if request.kind is RequestKind.BREAK_GLASS:
            return self._break_glass(request)
        approvals = self.approvals()
        state = self._resumed(request) or self._filed(approvals, request)
        try:
            if state.status == "pending" and self._wait_s != 0:
                with self._waiting("waiting"):
                    state = self._wait(approvals, state)
        except Interrupted:
            return Refused("interrupted", state.id, state.summary)
        if state.policy_digest != request.policy_digest:
            return Refused("refused", state.id, "the policy has changed since it was asked", "ask for a new approval")
        if state.status != "approved":
            return Refused(state.status, state.id, state.summary)
        try:
            if request.kind is RequestKind.STATEMENT:
                return approvals.redeem(state.id, binding=request.binding)
            return approvals.open(state.id, request)
        except DbgateError as error:
            if error.exit_code not in {EXIT_USAGE, EXIT_APPROVAL}:
                raise
            return Refused("refused", state.id, error.message, error.hint)

    def _filed(self, approvals: Approvals, request: ApprovalRequest) -> FiledRequest:
        """The request, new or found open. Who gives another reason than the one that stands is told so."""
        state = approvals.ask(request)
        if request.reason and state.status == "pending" and state.reason != request.reason:
            stands = " ".join(state.reason.split()) or "(none)"
            self._display.message(
                "notice",
                f"request {state.id} is open already, and its reason stands: {stands}",
                f"to ask anew with yours: dbgate requests withdraw {state.id}",
            )
        return state

    def _break_glass(self, request: ApprovalRequest) -> Grant | Refused:
        """Run it at once, if the person means to: reviewers are alerted by the call that gives the grant.

        Who names a request that others were asked, or declines, means the usual way. Raises `UsageError` without a reason.
        """
        if self._known is not None:
            return Refused("declined", "")
        groups = ", ".join(sorted({group for clause in request.clauses for group in clause.groups}))
        question = f"Break the glass? It runs at once, without approval; {groups} will be alerted and review it."
        if self._confirm is not None and not self._confirm(question):
            return Refused("declined", "")
        if not request.reason.strip():
            raise UsageError(
                "breaking the glass needs a reason: it runs at once, and is reviewed afterwards",
                hint="give one with --reason TEXT",
            )
        return self.approvals().break_glass(request)

    def _resumed(self, request: ApprovalRequest) -> FiledRequest | None:
        """The known request, if it can be the one that is needed: one of another kind waits for its own statement, and
        only one to run a statement or to commit a transaction is refused for being for something else."""
        if self._known is None:
            return None
        state = self.approvals().state(self._known)
        if request.kind not in {RequestKind.STATEMENT, RequestKind.TRANSACTION} and state.binding != request.binding:
            return None
        if state.kind == RequestKind.UNMASK and request.kind is RequestKind.STATEMENT:
            raise UsageError(
                f"request {state.id} is to see tags in clear, not to run a statement", hint="ask with --unmask TAG"
            )
        if state.kind != request.kind:
            return None
        self._known = None
        return state

    def _wait(self, approvals: Approvals, state: FiledRequest) -> FiledRequest:
        start = self._clock.monotonic()
        while state.status == "pending":
            left = None if self._wait_s is None else self._wait_s - (self._clock.monotonic() - start)
            if left is not None and left <= 0:
                break
            self._display.waiting(state, left_s=left)
            state = approvals.watch(state.id, timeout_s=POLL_S if left is None else min(left, POLL_S))
        return state


def no_approvals() -> Approvals:
    """Stands for the approvals service where none is configured. Raises `UsageError`."""
    raise UsageError("this needs an approval, and no approvals service is configured", hint="set approvals.url")
