"""The steps that every statement's life can take: fail, be denied, run. What decides between them is in `life`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec.structs import replace

from dbgate.errors import EXIT_DENIED, DbgateError, StatementError
from dbgate.model import (
    Allow,
    CountQuery,
    Deny,
    Grant,
    Json,
    Measured,
    Outcome,
    Rewrite,
    TransactionStatus,
)
from dbgate.session.attempt import Attempt, closing, tell
from dbgate.session.effects import Abort, Effect, Finished, Record, Show, Spend
from dbgate.session.masking import hidden_values, hide, redact
from dbgate.session.messages import denial, in_statement
from dbgate.session.records import Terms, intent_fields, outcome_fields, unread_fields

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source

Life: TypeAlias = Generator[Effect, Any, Finished]
Part: TypeAlias = Generator[Effect, Any, None]
Judge: TypeAlias = "Callable[[Source, Measured | None], Judgement]"
"""The gate with identity, policy, catalog and time already given."""


class Steps(msgspec.Struct, frozen=True):
    """One statement and the terms of its session. `again` marks a second look, after the catalog had drifted."""

    source: Source
    number: int
    terms: Terms
    judge: Judge
    transaction: TransactionStatus
    again: bool = False

    def live(self) -> Life:
        """From the decision to the end."""
        raise NotImplementedError

    def fail(self, error: DbgateError) -> Life:
        """Deciding failed: the database, the approvals service or the text stands in the way."""
        text = redact(self.source.text)
        hidden = hidden_values(self.source.text, text, self.source.parameters, [""] * len(self.source.parameters))
        said = hide(error.message, hidden)
        yield Record("statement.intent", unread_fields(self.number, text, said, self.terms))
        fields: dict[str, Json] = {"id": self.number, "level": "error", "text": said, "hint": error.hint}
        yield Record("notice", fields, durable=False)
        if isinstance(error, StatementError):
            yield Abort()
            yield Show("error", in_statement(error, self.source), error.hint)
            return Finished(self.number, error.exit_code, "error", {"sqlstate": error.sqlstate})
        yield Show("error", error.message, error.hint)
        return Finished(self.number, error.exit_code, "error", closes=closing(error))

    def deny(self, judgement: Judgement, decision: Deny) -> Life:
        """Record and show a denial."""
        yield Record("statement.intent", intent_fields(self.number, judgement, self.terms))
        yield from tell(self.number, "denied", denial(decision.reason, decision.rules), decision.hint)
        return Finished(self.number, EXIT_DENIED, "deny", {"rules": [r.id for r in decision.rules]})

    def unrun(self, intent: dict[str, Json]) -> Part:
        """Record an intent that nothing follows, and say so: otherwise its outcome would count as unknown."""
        yield Record("statement.intent", intent)
        yield Record("statement.outcome", outcome_fields(self.number, Outcome("not run"), None), durable=False)

    def run(
        self,
        judgement: Judgement,
        run: Allow | Rewrite,
        grant: Grant | None = None,
        queries: tuple[CountQuery, ...] = (),
    ) -> Life:
        """Run it, once more when the catalog turns out to have drifted. `queries` count what it touches."""
        if run.under:
            yield Spend(run.under, run.measured.total if run.measured else 0)
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
            in_transaction=not idle,
        )
        finished: Finished | None = yield from attempt.life()
        if finished is not None:
            return finished
        return (yield from replace(self, again=True).live())
