"""The life of one statement: decide, ask, record the intent, run, record the outcome (design §6).

A generator that yields the effects of `effects` and is sent their replies. It does no I/O and knows no clock;
whoever drives it throws the errors of an effect into it. What approvals add is in `approving`.

    text that is no SQL ─────────────► intent (error) ────────────────────────────► 1
    Deny ────────────────────────────► intent (deny) ─────────────────────────────► 3
    NeedsMeasure ─► Measure ─► judged again
    NeedsApproval ─► approval.requested ─► AskApproval ─┬─ Refused ─► intent ─────► 4
                                                        └─ Grant ─► approval.redeemed ─┐
    Allow, Rewrite ────────────────────────────────────────────────────────────────────┤
                            intent (durable) ─► Run ─► output, outcome ◄───────────────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from msgspec.structs import replace

from dbgate.errors import EXIT_APPROVAL, EXIT_AUDIT, EXIT_OK, AuditUnavailable, DbgateError, StatementError, UsageError
from dbgate.model import Allow, CountQuery, Deny, Json, NeedsApproval, NeedsMeasure, Rewrite, TransactionStatus
from dbgate.session.approving import Approving
from dbgate.session.attempt import AUDIT_HINT, DRIFTED, UNRECORDABLE, tell
from dbgate.session.effects import Abort, Finished, Measure, Record, Refresh, Show
from dbgate.session.masking import redact, redact_message
from dbgate.session.messages import with_place
from dbgate.session.records import Terms, decision_word, intent_fields, look_fields, masked_names, unread_fields
from dbgate.session.steps import Judge, Life

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source

__all__ = ["Judge", "Life", "statement_life", "unreadable_life", "unrecorded"]


_ABORTED = "current transaction is aborted, commands ignored until end of transaction block"
"""What the server says of any statement then, whatever it names."""


def unreadable_life(error: StatementError, script: str, number: int, terms: Terms) -> Life:
    """The life of a text that does not parse: it is recorded and shown, and nothing is sent."""
    try:
        fields = unread_fields(number, redact(script), redact_message(error.message), terms)
        yield Record("statement.intent", {**fields, "sqlstate": error.sqlstate})
    except AuditUnavailable as failure:
        return (yield from unrecorded(number, failure))
    yield Abort()
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


class _Statement(Approving, frozen=True):
    """One statement on its way."""

    def live(self) -> Life:
        """From the decision to the end."""
        if self.terms.reason_required and not self.terms.reason:
            error = UsageError("the policy of this target asks for a reason", hint="give one with --reason TEXT")
            return (yield from self.fail(error))
        try:
            judgement = self.judge(self.source, None)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            return (yield from self._again_or_fail(error))
        if isinstance(judgement.decision, NeedsMeasure):
            return (yield from self._measure(judgement, judgement.decision))
        return (yield from self.follow(judgement, ()))

    def _measure(self, judgement: Judgement, decision: NeedsMeasure) -> Life:
        """Count, and judge again. Rows that only reviewers would see, and that cannot be counted, are left open."""
        queries = decision.queries
        try:
            yield Record("notice", look_fields(self.number, "counting the rows it touches", judgement))
            try:
                measured = yield Measure(queries)
            except StatementError as error:
                if decision.otherwise is None or error.sqlstate in DRIFTED:
                    raise
                yield from tell(self.number, "notice", f"the rows it touches could not be counted: {error.message}")
                return (yield from self.follow(replace(judgement, decision=decision.otherwise), ()))
            judgement = self.judge(self.source, measured)
        except AuditUnavailable:
            raise
        except DbgateError as error:
            return (yield from self._again_or_fail(error))
        return (yield from self.follow(judgement, queries))

    def _again_or_fail(self, error: DbgateError) -> Life:
        """A second look with a fresh catalog, where the first one failed because it had drifted."""
        if isinstance(error, StatementError) and self.transaction is TransactionStatus.FAILED:
            error = StatementError(_ABORTED, sqlstate="25P02", hint="end the transaction with ROLLBACK")
        elif isinstance(error, StatementError) and error.sqlstate in DRIFTED and not self.again and (yield Refresh()):
            return (yield from replace(self, again=True).live())
        return (yield from self.fail(error))

    def follow(self, judgement: Judgement, queries: tuple[CountQuery, ...]) -> Life:
        """From a decision to the end. `queries` count what it touches."""
        decision = judgement.decision
        match decision:
            case Deny():
                return (yield from self.deny(judgement, decision))
            case NeedsMeasure():
                again = Deny("the rows it touches cannot be counted", decision.rules)
                return (yield from self.deny(replace(judgement, decision=again), again))
            case NeedsApproval():
                if self.terms.dry_run:
                    return (yield from self._rehearse(judgement, decision.run))
                return (yield from self.approve(judgement, decision, queries))
            case Allow() | Rewrite():
                if self.terms.dry_run:
                    return (yield from self._rehearse(judgement, decision))
                return (yield from self.run(judgement, decision, None, queries))
        assert_never(decision)

    def _rehearse(self, judgement: Judgement, run: Allow | Rewrite) -> Life:
        """`--dry-run`: record and show the decision, run nothing."""
        yield from self.unrun(intent_fields(self.number, judgement, self.terms, run=run))
        word = decision_word(judgement)
        rules = ", ".join(str(rule) for rule in judgement.decision.rules)
        said = {"approve": "it would need approval", "rewrite": "it would run rewritten", "allow": "it would run"}[word]
        yield Show("notice", f"dry run: {said}{f' by {rules}' if rules else ''}; nothing was run\n{run.text}")
        code = EXIT_APPROVAL if word == "approve" else EXIT_OK
        detail: dict[str, Json] = {"dry_run": True, "text": run.text, "masked": list(masked_names(run))}
        detail["rules"] = [rule.id for rule in judgement.decision.rules]
        return Finished(self.number, code, word, detail)
