"""Performs the effects of lives with the ports of a session."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dbgate.errors import DbgateError, GateFault, StatementError
from dbgate.gate.decide import Context
from dbgate.gate.policy.model import Policy
from dbgate.model import Access, Measured, Outcome, TransactionStatus
from dbgate.session.asking import Asking
from dbgate.session.capturing import capture
from dbgate.session.effects import (
    Abort,
    Adopt,
    AskApproval,
    Capture,
    Effect,
    Exceeded,
    Failed,
    Look,
    Measure,
    Open,
    Record,
    Refresh,
    Run,
    Show,
    Spend,
    TakeBack,
)
from dbgate.session.guesses import Guesses
from dbgate.session.nearest import nearest_column
from dbgate.session.openings import Openings
from dbgate.session.ports import Clock, Database, Display, Recorder
from dbgate.session.records import Terms
from dbgate.session.running import Cancellation, Runner
from dbgate.session.standing import Standing
from dbgate.session.state import SessionState

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source

_FAILS = 'ROLLBACK TO SAVEPOINT "dbgate: the statement is in error"'
"""There is no such savepoint."""


class Performer:
    """What one session's lives ask of the world, and what has to be remembered between them.

    `judge_with` is the gate's. `openings` are the tags in clear by a grant, `state` what statements change in the session.
    """

    def __init__(
        self,
        *,
        judge: Callable[[Source, Context], Judgement],
        policy: Policy,
        terms: Terms,
        standing: Standing,
        recorder: Recorder,
        database: Database,
        display: Display,
        clock: Clock,
        asking: Asking,
        cancellation: Cancellation,
        state: SessionState,
    ) -> None:
        self.judge_with = judge
        self._policy = policy
        self._terms = terms
        self._standing = standing
        self._recorder = recorder
        self._database = database
        self._display = display
        self._clock = clock
        self._asking = asking
        self._runner = Runner(database, display, clock, cancellation)
        self.openings = Openings(asking.approvals, recorder, display, clock)
        self.state = state
        self._guesses = Guesses()
        self.last_judgement: Judgement | None = None
        """What the gate said of the latest statement."""

    def judge(self, source: Source, measured: Measured | None) -> Judgement:
        """What the gate says of a statement as things stand now. Raises the errors of the database and of the gate.

        The server looks for what a definition names, and nothing checks that it finds the same: the catalog has to be as
        of now for it. Raises `SignInRequired` and `Unreachable` when nobody is known to be signed in any more.
        """
        judgement = self._judge(source, measured)
        if _found_by_server(judgement) and not self.state.compared and self.state.refresh():
            judgement = self._judge(source, measured)
        self.last_judgement = self._guesses.bounded(judgement)
        return self.last_judgement

    def _judge(self, source: Source, measured: Measured | None) -> Judgement:
        context = self._context(measured)
        try:
            return self.judge_with(source, context)
        except DbgateError:
            raise
        except Exception as fault:
            raise GateFault(fault) from fault

    def _context(self, measured: Measured | None) -> Context:
        return Context(
            identity=self._standing.now(),
            policy=self._policy,
            catalog=self.state.catalog(),
            environment=self._terms.target.environment,
            now=self._clock.now(),
            search_path=self.state.search_path,
            measured=measured,
            objects=self.state.objects,
            unmasked=self.openings.now(),
            standing=self.openings.standing(),
            held=self.state.held,
            in_transaction=self._database.transaction is TransactionStatus.OPEN,
        )

    def perform(self, effect: Effect) -> Any:
        """Perform one effect and return its reply. Raises what the effect says."""
        match effect:
            case Record(kind, fields, durable):
                self._recorder.record(kind, fields, durable=durable)
            case Show(level, text, hint):
                self._display.message(level, text, hint)
            case Measure(queries):
                return self._runner.measure(queries)
            case AskApproval(request):
                return self._asking.ask(request)
            case Open(grant):
                self.openings.add(grant)
            case Spend(grants, rows):
                self.openings.spend(grants, rows)
            case TakeBack():
                self.state.take_back()
            case Look(queries):
                return self._runner.look(queries)
            case Run():
                return self._run(effect)
            case Capture():
                capture(effect, self._database, self._display, self._recorder)
            case Refresh():
                return self.state.refresh()
            case Abort():
                self._abort()
            case Adopt(judgement, changed):
                self.state.adopt(judgement.changes)
                if self._terms.holds_commits:
                    self.state.keep(judgement, changed)
        return None

    def _abort(self) -> None:
        """Have an open transaction fail by an error of its own: what ran in it must not be committed as if all went well."""
        if self._database.transaction is TransactionStatus.OPEN:
            with suppress(DbgateError):
                self._database.execute_unrecorded(_FAILS)

    def _run(self, run: Run) -> Outcome | Failed | Exceeded:
        ended = self._runner.run(run)
        self._guesses.note(self.last_judgement, ended)
        if not isinstance(ended, Outcome) and self.last_judgement:
            self.state.failed(self.last_judgement.changes)
        error = ended.error if isinstance(ended, Failed) else None
        if isinstance(error, StatementError) and not error.hint and self.last_judgement:
            # The catalog at hand: a hint is worth no question to the server, which could fail, too.
            error.hint = nearest_column(error, self.last_judgement.statement.touches, self._database.catalog())
        return ended


def _found_by_server(judgement: Judgement) -> bool:
    """Whether the statement names relations, or makes them, without a check of definitions when it runs."""
    statement = judgement.statement
    defines = statement.access.strength >= Access.DDL.strength
    return not judgement.pins and (defines or any(touch.relation for touch in statement.touches))
