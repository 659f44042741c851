"""The life of one statement: decide, ask, record the intent, run, record the outcome (design §6).

A generator that yields the effects of `effects` and is sent their replies. It does no I/O and knows no clock;
whoever drives it throws the errors of an effect into it.

    text that is no SQL ─────────────► intent (error) ────────────────────────────► 1
    Deny ────────────────────────────► intent (deny) ─────────────────────────────► 3
    NeedsMeasure ─► Measure ─► judged again
    NeedsApproval ─► approval.requested ─► AskApproval ─┬─ Refused ─► intent ─────► 4
                                                        └─ Grant ─► approval.redeemed ─┐
    Allow, Rewrite ────────────────────────────────────────────────────────────────────┤
                            intent (durable) ─► Run ─► output, outcome ◄───────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

import msgspec
import msgspec.structs
from msgspec.structs import replace

from dbgate.errors import (
    EXIT_APPROVAL,
    EXIT_AUDIT,
    EXIT_DENIED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    AuditUnavailable,
    DbgateError,
    StatementError,
    UsageError,
)
from dbgate.model import (
    Allow,
    ApprovalRequest,
    CountQuery,
    Deny,
    Grant,
    Json,
    Measured,
    NeedsApproval,
    NeedsMeasure,
    Outcome,
    RequestKind,
    Rewrite,
    TransactionStatus,
)
from dbgate.session.attempt import AUDIT_HINT, DRIFTED, UNRECORDABLE, Attempt, closing, tell
from dbgate.session.effects import (
    AskApproval,
    Effect,
    Finished,
    Measure,
    Record,
    Refresh,
    Refused,
    Show,
)
from dbgate.session.masking import hidden_values, hide, redact, redact_message
from dbgate.session.messages import denial, in_statement, not_granted, with_place
from dbgate.session.records import (
    Terms,
    decision_word,
    grant_fields,
    intent_fields,
    outcome_fields,
    request_fields,
    request_for,
    unread_fields,
)

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source

Life: TypeAlias = Generator[Effect, Any, Finished]
Part: TypeAlias = Generator[Effect, Any, None]
Judge: TypeAlias = "Callable[[Source, Measured | None], Judgement]"
"""The gate with identity, policy, catalog and time already given."""


def unreadable_life(error: StatementError, script: str, number: int, terms: Terms) -> Life:
    """The life of a text that does not parse: it is recorded and shown, and nothing is sent."""
    try:
        fields = unread_fields(number, redact(script), redact_message(error.message), terms)
        yield Record("statement.intent", {**fields, "sqlstate": error.sqlstate})
    except AuditUnavailable as failure:
        return (yield from unrecorded(number, failure))
    yield Show("error", with_place(error.message, error.position, script), error.hint)
    return Finished(number, error.exit_code, "error", {"sqlstate": error.sqlstate})


def statement_life(
    source: Source, number: int, terms: Terms, judge: Judge, transaction: TransactionStatus = TransactionStatus.IDLE
) -> Life:
    """The life of one parsed statement. `transaction` is where the connection stands before it."""
    statement = _Statement(source, number, terms, judge, transaction)
    try:
        return (yield from statement.live())
    except AuditUnavailable as error:
        return (yield from unrecorded(number, error))


def unrecorded(number: int, error: AuditUnavailable) -> Life:
    """The end of a life that could not be recorded, before anything was sent."""
    yield Show("error", f"nothing was run, for it cannot be recorded: {error.message}", error.hint or AUDIT_HINT)
    return Finished(number, EXIT_AUDIT, "error", closes=UNRECORDABLE)


class _Statement(msgspec.Struct, frozen=True):
    """One statement on its way."""

    source: Source
    number: int
    terms: Terms
    judge: Judge
    transaction: TransactionStatus
    again: bool = False

    def live(self) -> Life:
        """From the decision to the end."""
        if self.terms.reason_required and not self.terms.reason:
            error = UsageError("the policy of this target asks for a reason", hint="give one with --reason TEXT")
            return (yield from self._fail(error))
        queries: tuple[CountQuery, ...] = ()
        try:
            judgement = self.judge(self.source, None)
            if isinstance(judgement.decision, NeedsMeasure):
                queries = judgement.decision.queries
                yield Record("notice", {"id": self.number, "level": "notice", "text": "counting the rows it touches"})
                measured = yield Measure(queries)
                judgement = self.judge(self.source, measured)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            if isinstance(error, StatementError) and error.sqlstate in DRIFTED and not self.again and (yield Refresh()):
                return (yield from replace(self, again=True).live())
            return (yield from self._fail(error))
        return (yield from self._follow(judgement, queries))

    def _follow(self, judgement: Judgement, queries: tuple[CountQuery, ...]) -> Life:
        decision = judgement.decision
        match decision:
            case Deny():
                return (yield from self._deny(judgement, decision))
            case NeedsMeasure():
                again = Deny("the rows it touches cannot be counted", decision.rules)
                return (yield from self._deny(replace(judgement, decision=again), again))
            case NeedsApproval():
                if self.terms.dry_run:
                    return (yield from self._rehearse(judgement, decision.run))
                return (yield from self._approve(judgement, decision, queries))
            case Allow() | Rewrite():
                if self.terms.dry_run:
                    return (yield from self._rehearse(judgement, decision))
                return (yield from self._run(judgement, decision))
        assert_never(decision)

    def _fail(self, error: DbgateError) -> Life:
        """Deciding failed: the database, the approvals service or the text stands in the way."""
        text = redact(self.source.text)
        hidden = hidden_values(self.source.text, text, self.source.parameters, [""] * len(self.source.parameters))
        said = hide(error.message, hidden)
        yield Record("statement.intent", unread_fields(self.number, text, said, self.terms))
        fields: dict[str, Json] = {"id": self.number, "level": "error", "text": said, "hint": error.hint}
        yield Record("notice", fields, durable=False)
        if isinstance(error, StatementError):
            yield Show("error", in_statement(error, self.source), error.hint)
            return Finished(self.number, error.exit_code, "error", {"sqlstate": error.sqlstate})
        yield Show("error", error.message, error.hint)
        return Finished(self.number, error.exit_code, "error", closes=closing(error))

    def _deny(self, judgement: Judgement, decision: Deny) -> Life:
        yield Record("statement.intent", intent_fields(self.number, judgement, self.terms))
        yield from tell(self.number, "denied", denial(decision.reason, decision.rules), decision.hint)
        return Finished(self.number, EXIT_DENIED, "deny", {"rules": [r.id for r in decision.rules]})

    def _rehearse(self, judgement: Judgement, run: Allow | Rewrite) -> Life:
        """`--dry-run`: record and show the decision, run nothing."""
        yield from self._unrun(intent_fields(self.number, judgement, self.terms, run=run))
        word = decision_word(judgement)
        rules = ", ".join(str(rule) for rule in judgement.decision.rules)
        said = {"approve": "it would need approval", "rewrite": "it would run rewritten", "allow": "it would run"}[word]
        yield Show("notice", f"dry run: {said}{f' by {rules}' if rules else ''}; nothing was run\n{run.text}")
        code = EXIT_APPROVAL if word == "approve" else EXIT_OK
        return Finished(self.number, code, word, {"dry_run": True, "text": run.text})

    def _approve(self, judgement: Judgement, decision: NeedsApproval, queries: tuple[CountQuery, ...]) -> Life:
        request = request_for(self.source, judgement, decision, self.terms)
        yield Record("approval.requested", request_fields(self.number, request, judgement))
        try:
            reply = yield AskApproval(request)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            fields = intent_fields(self.number, judgement, self.terms)
            yield from self._unrun({**fields, "error": error.message})
            yield from tell(self.number, "error", error.message, error.hint)
            return Finished(self.number, error.exit_code, "approve", closes=closing(error))
        if isinstance(reply, Refused):
            return (yield from self._refuse(judgement, reply))
        grant: Grant = reply
        yield Record("approval.redeemed", grant_fields(self.number, grant))
        misfit = _misfit(grant, request, self.terms)
        if misfit:
            unfit = Deny(misfit, decision.rules, hint="ask for a new approval by running the statement again")
            return (yield from self._deny(replace(judgement, decision=unfit), unfit))
        return (yield from self._granted(judgement, decision, grant, queries))

    def _granted(
        self, judgement: Judgement, decision: NeedsApproval, grant: Grant, queries: tuple[CountQuery, ...]
    ) -> Life:
        """Run what is decided now: while people were asked, a time window may have closed or another grant ended."""
        try:
            now = self.judge(self.source, decision.measured)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            return (yield from self._fail(error))
        match now.decision:
            case Deny():
                return (yield from self._deny(now, now.decision))
            case NeedsApproval(clauses=clauses) if all(clause in grant.clauses for clause in clauses):
                return (yield from self._run(now, now.decision.run, grant, queries))
            case Allow() | Rewrite():
                return (yield from self._run(now, now.decision, grant, queries))
        changed = Deny("the policy asks for another approval by now", decision.rules, hint="run it again to ask for it")
        return (yield from self._deny(replace(judgement, decision=changed), changed))

    def _refuse(self, judgement: Judgement, refused: Refused) -> Life:
        status = {"interrupted": "pending"}.get(refused.status, refused.status)
        fields: dict[str, Json] = {"id": self.number, "request": refused.request, "detail": refused.detail}
        yield Record(f"approval.{status}", fields)
        intent = intent_fields(self.number, judgement, self.terms)
        yield from self._unrun({**intent, "request": refused.request, "approval": status})
        detail = f": {refused.detail}" if refused.detail else ""
        if status == "pending":
            hint = f"once it is approved: dbgate exec {self.terms.target.name} … --request {refused.request}"
            yield from tell(self.number, "notice", f"approval pending: request {refused.request}{detail}", hint)
        else:
            yield from tell(self.number, "denied", *not_granted(refused))
        code = EXIT_INTERRUPTED if refused.status == "interrupted" else EXIT_APPROVAL
        return Finished(self.number, code, "approve", {"request": refused.request, "status": status})

    def _unrun(self, intent: dict[str, Json]) -> Part:
        """Record an intent that nothing follows, and say so: otherwise its outcome would count as unknown."""
        yield Record("statement.intent", intent)
        yield Record("statement.outcome", outcome_fields(self.number, Outcome("not run"), None), durable=False)

    def _run(
        self,
        judgement: Judgement,
        run: Allow | Rewrite,
        grant: Grant | None = None,
        queries: tuple[CountQuery, ...] = (),
    ) -> Life:
        idle = self.transaction is TransactionStatus.IDLE
        attempt = Attempt(
            self.source,
            self.number,
            self.terms,
            judgement,
            run,
            grant,
            queries,
            may_repeat=idle and not self.again,
            again=self.again,
        )
        finished: Finished | None = yield from attempt.life()
        if finished is not None:
            return finished
        return (yield from msgspec.structs.replace(self, again=True).live())


def _misfit(grant: Grant, request: ApprovalRequest, terms: Terms) -> str:
    """Why a grant does not fit this statement; empty when it does. `approvals` has verified signature and expiry.

    The reviewers that the policy asks for now must have been asked: a request may have been filed by hand with others.
    """
    bound = request.binding
    if grant.kind is not RequestKind.STATEMENT or grant.binding != bound:
        return f"the grant {grant.id} was given for something else"
    if grant.target != terms.target.name or grant.policy_digest != terms.policy_digest:
        return f"the grant {grant.id} was given for something else"
    if grant.identity and grant.identity != terms.identity.key:
        return f"the grant {grant.id} was given to somebody else"
    missing = [clause for clause in request.clauses if clause not in grant.clauses]
    if missing:
        return f"the grant {grant.id} lacks reviewers: {', '.join(missing[0].groups)} ({missing[0].count})"
    allowed = grant.measured
    for relation, rows in request.measured.items():
        if rows > allowed.get(relation, 0):
            return f"it touches {rows} rows of {relation} now, and was approved for {allowed.get(relation, 0)}"
    return ""
