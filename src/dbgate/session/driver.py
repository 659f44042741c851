"""Performs the effects of statement lives with the ports: the one way for every door.

No threads and no terminal here. `cancel` alone may be called from a signal handler or another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dbgate.catalog import Catalog
from dbgate.errors import (
    EXIT_DENIED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    AuditUnavailable,
    DbgateError,
)
from dbgate.gate.decide import Context
from dbgate.gate.policy.model import Policy
from dbgate.gate.script import Unread
from dbgate.gate.tracking import SessionObjects
from dbgate.model import (
    Decision,
    Identity,
    Json,
    Target,
    TransactionStatus,
)
from dbgate.session.age import Age
from dbgate.session.asking import Asking, no_approvals
from dbgate.session.attempt import UNRECORDABLE
from dbgate.session.effects import (
    Finished,
)
from dbgate.session.life import Life, statement_life, unreadable_life
from dbgate.session.openings import Openings
from dbgate.session.performing import Performer
from dbgate.session.ports import Approvals, Clock, Database, Display, Recorder
from dbgate.session.records import Terms
from dbgate.session.running import Cancellation
from dbgate.session.standing import Standing
from dbgate.session.state import SessionState
from dbgate.session.unmasking import Invitation, not_open_life, unmask_lives

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source


class SessionDriver:
    """One session on one target, from its start (already recorded) to `close`.

    `judge` is the gate's, `read_script` the gate's parser. `wait_s` is how long to wait for an approval (0 not at all, None
    until decided), `request` an approval request to resume, `keep_going` whether to go on after a failure.
    `how_to_unmask` says how this door is asked to open tags, `confirm` asks the person a question before the glass is broken.
    `renew` proves the identity anew when its sign-in ends (`standing`).
    """

    def __init__(
        self,
        *,
        judge: Callable[[Source, Context], Judgement],
        read_script: Callable[[str, Mapping[str, str | None]], list[Source | Unread]],
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
        how_to_unmask: Callable[[Sequence[str]], str] = " ".join,
        confirm: Callable[[str], bool] | None = None,
        renew: Callable[[], Identity] | None = None,
    ) -> None:
        self._read_script = read_script
        self._policy = policy
        self._recorder = recorder
        self._database = database
        self._display = display
        self.keep_going = keep_going
        self.closed = ""
        """Why the session is over; empty while it goes on."""
        self._terms = Terms(
            identity,
            target,
            policy.digest,
            recorder.session,
            policy.limits,
            reason,
            policy.reason_required,
            dry_run,
            holds_commits=any(rule.at_commit for rule in policy.rules),
        )
        self._standing = Standing(identity, renew, recorder, display, clock)
        self._cancellation = Cancellation(database)
        self._performer = Performer(
            judge=judge,
            policy=policy,
            terms=self._terms,
            standing=self._standing,
            recorder=recorder,
            database=database,
            display=display,
            clock=clock,
            asking=Asking(
                approvals or no_approvals, display, clock, wait_s, self._cancellation.during, request, confirm
            ),
            cancellation=self._cancellation,
            state=SessionState(database, clock, SessionObjects()),
        )
        self._how_to_unmask = how_to_unmask
        self._invitation = Invitation(policy, lambda: self.identity, how_to_unmask)
        self._age = Age(policy.limits, clock)
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
        """Whose session it is, as last proven."""
        return self._standing.identity

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
        return self._performer.state.search_path

    @property
    def last_decision(self) -> Decision | None:
        """The decision on the latest statement."""
        judgement = self._performer.last_judgement
        return judgement.decision if judgement else None

    @property
    def openings(self) -> Openings:
        """What is in clear by a grant, and until when."""
        return self._performer.openings

    def execute(self, script: str, values: Mapping[str, str | None] | None = None) -> Iterator[Finished]:
        """Decide, record and run every statement of `script` alone, in order, as the result is iterated.

        Ends after the first failure unless `keep_going`, and whenever the session is over (`closed`). `values` are
        bound to `:name` placeholders. Errors that belong to no statement are raised.
        """
        for finished in self._each(self._lives(script, values or {})):
            yield finished
            if finished.exit_code != EXIT_OK and not self.keep_going:
                return

    def unmask(self, tags: Sequence[str], reason: str = "") -> Iterator[Finished]:
        """Ask to see tags, or globs of them, in clear for a while: one request for each entry of the policy it takes.

        The requests are filed and waited for as the result is iterated.
        """
        return self._each(partial(self._in_time, life) for life in self._unmask_lives(tags, reason))

    def overdue(self) -> str:
        """Which of the policy's time limits the session has passed; empty when none."""
        return self._age.overdue()

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
        for one in self._read_script(script, values):
            if isinstance(one, Unread):
                yield partial(self._unread, one)
            else:
                yield partial(self._statement, one)

    def _unmask_lives(self, tags: Sequence[str], reason: str) -> Iterator[Life]:
        try:
            terms = replace(self._terms, identity=self._standing.now())
        except AuditUnavailable:
            raise
        except DbgateError as error:
            yield not_open_life(error)
            return
        yield from unmask_lives(tags, reason, terms, self._policy, self._performer.state.catalog, self._how_to_unmask)

    def _each(self, lives: Iterable[Callable[[], Finished]]) -> Iterator[Finished]:
        """Live one after the other, as the result is iterated, until the session is over or somebody interrupts."""
        try:
            for life in lives:
                finished = life()
                yield finished
                if self.closed or finished.exit_code == EXIT_INTERRUPTED:
                    return
        finally:
            self._cancellation.asked = False

    def _number(self) -> int:
        self._totals["statements"] += 1
        return self._totals["statements"]

    def _unread(self, piece: Unread) -> Finished:
        """Record and show a text that cannot be read."""
        return self._in_time(unreadable_life(piece.error, piece.text, self._number(), self._terms))

    def _statement(self, source: Source) -> Finished:
        overdue = self.overdue()
        if overdue:
            return self._end(overdue)
        life = statement_life(source, self._number(), self._terms, self._performer.judge, self.transaction)
        finished = self._live(life)
        if finished.exit_code == EXIT_OK and self.last_decision and not self.closed:
            self._invitation.extend(self.last_decision, self._display)
        return finished

    def _in_time(self, life: Life) -> Finished:
        """Live, unless the session is past a limit."""
        overdue = self.overdue()
        return self._end(overdue) if overdue else self._live(life)

    def _end(self, why: str) -> Finished:
        """Refuse a statement, on record, because the session is past a limit of the policy."""
        self._recorder.record("notice", {"level": "denied", "text": why, "hint": ""})
        self._display.message("denied", why, "open a new session")
        self.closed = why
        return Finished(0, EXIT_DENIED, "deny", closes=why)

    def _live(self, life: Life) -> Finished:
        """Perform a life's effects to its end."""
        reply: Any = None
        error: DbgateError | None = None
        try:
            while True:
                effect = life.throw(error) if error is not None else life.send(reply)
                reply, error = None, None
                try:
                    reply = self._performer.perform(effect)
                except DbgateError as failure:
                    error = failure
        except StopIteration as end:
            finished: Finished = end.value
        self.closed = self.closed or finished.closes
        self._age.use()
        self._totals["rows"] += int(str(finished.detail.get("rows", 0)))
        self._totals["denied"] += finished.decision == "deny"
        self._totals["failed"] += finished.exit_code not in {0, EXIT_DENIED}
        return finished
