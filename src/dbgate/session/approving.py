"""What a statement goes through that needs approval: by its reviewers, for its session, at its COMMIT, or afterwards.

    statement     AskApproval ─► grant ─► judged again ─► run, held to the rows that were approved
    session       AskApproval ─► grant ─► Open ─► judged again, as if nothing had asked for approval
    transaction   the COMMIT: AskApproval ─► grant ─► COMMIT
    break-glass   AskApproval (which asks nobody, and alerts reviewers) ─► grant ─► run

Without a grant nothing runs, and an open transaction is rolled back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from dbgate.errors import EXIT_APPROVAL, EXIT_INTERRUPTED, AuditUnavailable, DbgateError
from dbgate.model import (
    Allow,
    ApprovalRequest,
    CountQuery,
    Deny,
    Grant,
    Json,
    NeedsApproval,
    RequestKind,
    Rewrite,
    Sample,
    TransactionStatus,
)
from dbgate.session.attempt import closing, tell
from dbgate.session.effects import AskApproval, Finished, Look, Open, Record, Refused, TakeBack
from dbgate.session.messages import not_granted
from dbgate.session.records import grant_fields, intent_fields, look_fields, request_fields, request_for
from dbgate.session.steps import Life, Part, Steps

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement


class Approving(Steps, frozen=True):
    """The part of a statement's life that people decide."""

    def follow(self, judgement: Judgement, queries: tuple[CountQuery, ...]) -> Life:
        """From a decision to the end."""
        raise NotImplementedError

    def approve(self, judgement: Judgement, decision: NeedsApproval, queries: tuple[CountQuery, ...]) -> Life:
        """Ask, and go on with the answer. `queries` count what the statement touches."""
        sample: tuple[Sample, ...] = ()
        try:
            if judgement.sample and decision.kind is not RequestKind.BREAK_GLASS:
                yield Record("notice", look_fields(self.number, "taking a sample of the rows it touches", judgement))
                sample = (yield Look(judgement.sample)) or ()
            request = request_for(self.source, judgement, decision, self.terms, sample)
            yield Record("approval.requested", request_fields(self.number, request, judgement))
            reply = yield AskApproval(request)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            return (yield from self._not_asked(judgement, decision, error))
        if isinstance(reply, Refused):
            if reply.status == "declined":
                return (yield from self.approve(judgement, _asked_for(decision), queries))
            return (yield from self._refuse(judgement, decision, reply))
        grant: Grant = reply
        yield Record("approval.redeemed", grant_fields(self.number, grant))
        unfit = misfit(grant, request, self.terms.identity.key)
        if unfit:
            hint = "ask for a new approval by running the statement again"
            return (yield from self._changed(judgement, decision, unfit, hint))
        if decision.kind is RequestKind.SESSION:
            return (yield from self._opened(judgement, decision, grant, queries))
        if decision.kind is RequestKind.BREAK_GLASS:
            said = (
                f"the glass is broken: it runs without approval, reviewers are alerted, and request {grant.request} is"
            )
            yield from tell(self.number, "notice", f"{said} due for review")
        return (yield from self._granted(judgement, decision, grant, queries))

    def _not_asked(self, judgement: Judgement, decision: NeedsApproval, error: DbgateError) -> Life:
        """Nobody could be asked: the statement does not run. A transaction stays as it is, uncommitted."""
        fields = intent_fields(self.number, judgement, self.terms)
        yield from self.unrun({**fields, "error": error.message})
        yield from tell(self.number, "error", error.message, error.hint)
        if decision.kind is RequestKind.TRANSACTION and not closing(error):
            yield from tell(self.number, "notice", "nothing was committed; the transaction is still open")
        return Finished(self.number, error.exit_code, "approve", closes=closing(error))

    def _opened(
        self, judgement: Judgement, decision: NeedsApproval, grant: Grant, queries: tuple[CountQuery, ...]
    ) -> Life:
        """The session may pass its rules from now on: judge again, as if they asked for nothing."""
        yield Open(grant)
        try:
            now = self.judge(self.source, decision.measured)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            return (yield from self.fail(error))
        if isinstance(now.decision, NeedsApproval) and now.decision.kind is RequestKind.SESSION:
            why = "the grant for this session does not cover the statement"
            return (yield from self._changed(judgement, decision, why, "run it again to ask for another"))
        return (yield from self.follow(now, queries))

    def _granted(
        self, judgement: Judgement, decision: NeedsApproval, grant: Grant, queries: tuple[CountQuery, ...]
    ) -> Life:
        """Run what is decided now: while people were asked, a time window may have closed or another grant ended."""
        try:
            now = self.judge(self.source, decision.measured)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            return (yield from self.fail(error))
        match now.decision:
            case Deny():
                return (yield from self.deny(now, now.decision))
            case NeedsApproval(clauses=clauses) if all(clause in grant.clauses for clause in clauses):
                return (yield from self.run(now, now.decision.run, grant, queries))
            case Allow() | Rewrite():
                return (yield from self.run(now, now.decision, grant, queries))
        why = "the policy asks for another approval by now"
        return (yield from self._changed(judgement, decision, why, "run it again to ask for it"))

    def _changed(self, judgement: Judgement, decision: NeedsApproval, why: str, hint: str) -> Life:
        """What was granted is not what is needed now."""
        unfit = Deny(why, decision.rules, hint=hint)
        finished = yield from self.deny(replace(judgement, decision=unfit), unfit)
        if decision.kind is RequestKind.TRANSACTION:
            yield from self._take_back()
        return finished

    def _refuse(self, judgement: Judgement, decision: NeedsApproval, refused: Refused) -> Life:
        status = {"interrupted": "pending"}.get(refused.status, refused.status)
        fields: dict[str, Json] = {"id": self.number, "request": refused.request, "detail": refused.detail}
        yield Record(f"approval.{status}", fields)
        intent = intent_fields(self.number, judgement, self.terms)
        yield from self.unrun({**intent, "request": refused.request, "approval": status})
        if refused.status == "interrupted" and self.transaction is TransactionStatus.OPEN:
            again = "COMMIT asks again" if decision.kind is RequestKind.TRANSACTION else "running it again asks again"
            yield from tell(self.number, "notice", f"the transaction is still open: {again}, ROLLBACK gives up")
        elif self.transaction is TransactionStatus.OPEN:
            yield from self._take_back()
        detail = f": {refused.detail}" if refused.detail else ""
        if status == "pending":
            hint = f"once it is approved: dbgate exec {self.terms.target.name} … --request {refused.request}"
            yield from tell(self.number, "notice", f"approval pending: request {refused.request}{detail}", hint)
        else:
            yield from tell(self.number, "denied", *not_granted(refused))
        code = EXIT_INTERRUPTED if refused.status == "interrupted" else EXIT_APPROVAL
        return Finished(self.number, code, "approve", {"request": refused.request, "status": status})

    def _take_back(self) -> Part:
        """Roll the open transaction back, and say so."""
        yield TakeBack()
        yield from tell(
            self.number,
            "notice",
            "the transaction was rolled back: nothing that it did is kept",
            "begin again once it is approved",
        )


def _asked_for(decision: NeedsApproval) -> NeedsApproval:
    """What is asked as usual instead of breaking the glass."""
    return replace(decision, kind=RequestKind.STATEMENT, break_glass=())


def misfit(grant: Grant, request: ApprovalRequest, identity: str) -> str:
    """Why a grant does not fit what was asked; empty when it does. `approvals` has verified signature and expiry.

    The reviewers that the policy asks for now must have been asked: a request may have been filed by hand with others.
    """
    if grant.kind is not request.kind or grant.binding != request.binding:
        return f"the grant {grant.id} was given for something else"
    if grant.target != request.target or grant.policy_digest != request.policy_digest:
        return f"the grant {grant.id} was given for something else"
    if grant.identity and grant.identity != identity:
        return f"the grant {grant.id} was given to somebody else"
    missing = [clause for clause in request.clauses if clause not in grant.clauses]
    if missing:
        return f"the grant {grant.id} lacks reviewers: {', '.join(missing[0].groups)} ({missing[0].count})"
    if grant.uses != request.uses:
        return f"the grant {grant.id} was given for {grant.uses} runs, and the policy allows {request.uses}"
    if request.kind is RequestKind.SESSION:
        return _misfit_for_session(grant, request)
    allowed = grant.measured
    for relation, rows in request.measured.items():
        if rows > allowed.get(relation, 0):
            return f"it touches {rows} rows of {relation} now, and was approved for {allowed.get(relation, 0)}"
    return ""


def _misfit_for_session(grant: Grant, request: ApprovalRequest) -> str:
    if grant.session != request.session:
        return f"the grant {grant.id} was given to another session"
    if grant.rules != request.rules or grant.limits != request.limits:
        return f"the grant {grant.id} was given for other rules or limits"
    return ""
