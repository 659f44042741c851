"""Performs the effects of statement lives with the ports: the one way for every door.

No threads and no terminal here. `cancel` alone may be called from a signal handler or another thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dbgate.catalog import Catalog
from dbgate.errors import (
    EXIT_DENIED,
    EXIT_INTERRUPTED,
    DbgateError,
    StatementError,
    UsageError,
)
from dbgate.gate.decide import Context
from dbgate.gate.policy.model import Policy
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Decision, Identity, Json, Measured, Outcome, Target, TransactionStatus
from dbgate.session.asking import Asking
from dbgate.session.attempt import UNRECORDABLE
from dbgate.session.effects import (
    Adopt,
    AskApproval,
    Capture,
    Effect,
    Exceeded,
    Failed,
    Finished,
    Measure,
    Record,
    Refresh,
    Run,
    Show,
)
from dbgate.session.life import Life, statement_life, unreadable_life
from dbgate.session.masking import hide
from dbgate.session.ports import Approvals, Clock, Database, Display, Recorder
from dbgate.session.records import Terms
from dbgate.session.running import Cancellation, Runner
from dbgate.session.state import SessionState

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source


class SessionDriver:
    """One session on one target, from its start (already recorded) to `close`.

    `judge` is the gate's, `split` the gate's parser. `wait_s` is how long to wait for an approval (0 not at all, None
    until decided), `request` an approval request to resume, `keep_going` whether to go on after a failure.
    """

    def __init__(
        self,
        *,
        judge: Callable[[Source, Context], Judgement],
        split: Callable[[str, Mapping[str, str | None]], list[Source]],
        policy: Policy,
        identity: Identity,
        target: Target,
        recorder: Recorder,
        database: Database,
        approvals: Callable[[], Approvals] | None,
        display: Display,
        clock: Clock,
        wait_s: float | None = None,
        dry_run: bool = False,
        keep_going: bool = False,
        request: str | None = None,
        reason: str = "",
    ) -> None:
        self._judge_with = judge
        self._split = split
        self._policy = policy
        self._recorder = recorder
        self._database = database
        self._display = display
        self._clock = clock
        self._request = request
        self.keep_going = keep_going
        self.closed = ""
        """Why the session is over; empty while it goes on."""
        self.last_judgement: Judgement | None = None
        """What the gate said of the latest statement."""
        self._terms = Terms(
            identity, target, policy.digest, recorder.session, policy.limits, reason, policy.reason_required, dry_run
        )
        self._cancellation = Cancellation(database)
        self._runner = Runner(database, display, clock, self._cancellation)
        self._asking = Asking(approvals or _no_approvals, display, clock, wait_s, self._cancellation.during)
        self._state = SessionState(database, clock, SessionObjects())
        self._started = self._last_used = clock.monotonic()
        self._totals = {"statements": 0, "rows": 0, "denied": 0, "failed": 0}
        self._recorder_closed = False

    @property
    def session(self) -> str:
        """The id of the transcript."""
        return self._recorder.session

    @property
    def target(self) -> Target:
        """The database it is a session on."""
        return self._terms.target

    @property
    def identity(self) -> Identity:
        """Whose session it is."""
        return self._terms.identity

    @property
    def policy(self) -> Policy:
        """What decides over its statements."""
        return self._policy

    @property
    def catalog(self) -> Catalog:
        """What dbgate knows of the database."""
        return self._database.catalog()

    @property
    def transaction(self) -> TransactionStatus:
        """Where the connection stands."""
        return self._database.transaction

    @property
    def search_path(self) -> tuple[str, ...]:
        """The schemas that a bare name is looked up in, in order."""
        return self._state.search_path

    @property
    def last_decision(self) -> Decision | None:
        """The decision on the latest statement."""
        return self.last_judgement.decision if self.last_judgement else None

    def execute(self, script: str, values: Mapping[str, str | None] | None = None) -> Iterator[Finished]:
        """Decide, record and run every statement of `script` alone, in order, as the result is iterated.

        Ends after the first failure unless `keep_going`, and whenever the session is over (`closed`). `values` are
        bound to `:name` placeholders. Errors that belong to no statement are raised.
        """
        try:
            for life in self._lives(script, values or {}):
                finished = life()
                yield finished
                failed = finished.exit_code != 0 and not self.keep_going
                if self.closed or failed or finished.exit_code == EXIT_INTERRUPTED:
                    return
        finally:
            self._cancellation.asked = False

    def overdue(self) -> str:
        """Which of the policy's time limits the session has passed; empty when none."""
        now = self._clock.monotonic()
        limits = self._policy.limits
        if limits.session_s is not None and now - self._started > limits.session_s:
            return f"the session is older than {limits.session_s:g} s"
        if limits.idle_s is not None and now - self._last_used > limits.idle_s:
            return f"the session was idle for more than {limits.idle_s:g} s"
        return ""

    def cancel(self) -> None:
        """Stop what is going on: cancel the running statement, or stop waiting for an approval.

        Safe from a signal handler. Called again while a statement runs, or while an approval is awaited, it raises
        `Interrupted` out of the handler, so that nothing can hold a person.
        """
        self._cancellation.cancel()

    def close(self, reason: str = "") -> None:
        """End the session: seal the transcript (a statement that never ended has the outcome `unknown`), and disconnect.

        A session that could not be recorded any more is left to recovery. Raises `AuditUnavailable` when the end cannot
        be recorded.
        """
        if self._recorder_closed:
            return
        self._recorder_closed = True
        totals: dict[str, Json] = dict(self._totals)
        totals["reason"] = self.closed or reason or "ended"
        totals["transaction"] = str(self._database.transaction)
        try:
            if self.closed != UNRECORDABLE:
                self._recorder.close(totals)
        finally:
            self.closed = self.closed or reason or "ended"
            self._database.close()

    def _lives(self, script: str, values: Mapping[str, str | None]) -> Iterator[Callable[[], Finished]]:
        try:
            sources = self._split(script, values)
        except StatementError as error:
            yield partial(self._live, unreadable_life(error, script, self._number(), self._terms))
            return
        for source in sources:
            yield partial(self._statement, source)

    def _number(self) -> int:
        self._totals["statements"] += 1
        return self._totals["statements"]

    def _statement(self, source: Source) -> Finished:
        overdue = self.overdue()
        if overdue:
            return self._end(overdue)
        return self._live(statement_life(source, self._number(), self._terms, self._judge, self.transaction))

    def _end(self, why: str) -> Finished:
        """Refuse a statement, on record, because the session is past a limit of the policy."""
        self._recorder.record("notice", {"level": "denied", "text": why, "hint": ""})
        self._display.message("denied", why, "open a new session")
        self.closed = why
        return Finished(0, EXIT_DENIED, "deny", closes=why)

    def _judge(self, source: Source, measured: Measured | None) -> Judgement:
        context = Context(
            identity=self._terms.identity,
            policy=self._policy,
            catalog=self._state.catalog(),
            environment=self._terms.target.environment,
            now=self._clock.now(),
            search_path=self._state.search_path,
            measured=measured,
            objects=self._state.objects,
        )
        self.last_judgement = self._judge_with(source, context)
        return self.last_judgement

    def _live(self, life: Life) -> Finished:
        """Perform a life's effects to its end."""
        reply: Any = None
        error: DbgateError | None = None
        try:
            while True:
                effect = life.throw(error) if error is not None else life.send(reply)
                reply, error = None, None
                try:
                    reply = self._perform(effect)
                except DbgateError as failure:
                    error = failure
        except StopIteration as end:
            finished: Finished = end.value
        self.closed = self.closed or finished.closes
        self._last_used = self._clock.monotonic()
        self._totals["denied"] += finished.decision == "deny"
        self._totals["failed"] += finished.exit_code not in {0, EXIT_DENIED}
        return finished

    def _perform(self, effect: Effect) -> Any:
        match effect:
            case Record(kind, fields, durable):
                self._recorder.record(kind, fields, durable=durable)
            case Show(level, text, hint):
                self._display.message(level, text, hint)
            case Measure(queries):
                return self._runner.measure(queries)
            case AskApproval(request):
                known, self._request = self._request, None
                return self._asking.ask(request, known=known)
            case Run():
                return self._run(effect)
            case Capture():
                self._capture(effect.statement_id, effect.hidden)
            case Refresh():
                return self._state.refresh()
            case Adopt(judgement):
                self._state.adopt(judgement.changes)
        return None

    def _run(self, run: Run) -> Outcome | Failed | Exceeded:
        ended = self._runner.run(run)
        if isinstance(ended, Outcome):
            self._totals["rows"] += ended.rows
        elif self.last_judgement:
            self._state.failed(self.last_judgement.changes)
        return ended

    def _capture(self, statement_id: int, hidden: frozenset[str]) -> None:
        for text, times in Counter(self._database.notices()).items():
            said = f"{text} ({times} times)" if times > 1 else text
            fields: dict[str, Json] = {"id": statement_id, "level": "notice", "text": hide(said, hidden)}
            self._recorder.record("notice", fields, durable=False)
            self._display.message("notice", said)
        seen, cut = self._display.output()
        if seen:
            fields = {"id": statement_id, "text": hide(seen, hidden), "truncated": cut}
            self._recorder.record("output", fields, durable=False)


def _no_approvals() -> Approvals:
    raise UsageError(
        "this statement needs an approval, and no approvals service is configured", hint="set approvals.url"
    )
