"""One run of one statement: intent on disk, run, output and outcome on record."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

import msgspec
from msgspec.structs import replace

from dbgate.errors import (
    EXIT_AUDIT,
    EXIT_DENIED,
    EXIT_OK,
    AuditUnavailable,
    ConnectionLost,
    DbgateError,
    DefinitionsChanged,
    StatementError,
)
from dbgate.gate.names import qualified
from dbgate.gate.pins import NO_RELATION
from dbgate.gate.policy.model import Limits
from dbgate.model import Access, Allow, CountQuery, Grant, Outcome, RequestKind, Rewrite
from dbgate.session.effects import (
    Adopt,
    Capture,
    Effect,
    Exceeded,
    Failed,
    Finished,
    Record,
    Refresh,
    Run,
    Show,
)
from dbgate.session.guesses import tells
from dbgate.session.masking import hidden_values, hide
from dbgate.session.messages import compared_on_masks, in_statement
from dbgate.session.records import Terms, decision_word, intent_fields, outcome_fields

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source

Part: TypeAlias = Generator[Effect, Any, None]
Ended: TypeAlias = Outcome | Failed | Exceeded

DRIFTED = frozenset({"42703", "42P01", "42883", "42704", "42803", "42P10", "0A000"})
"""SQLSTATEs with which the server says that the catalog is not what the gate took it for."""

_APART = frozenset({"CopyStmt", "DeclareCursorStmt"})
"""Statements that cannot be sent in one message with others, or would mean something else there, as calls of functions alone may."""

_CHANGES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "SelectStmt", "TruncateStmt"})
"""Statements that change rows, and run within a transaction like any other."""

UNBOUNDED = 2**63 - 1
"""More rows than any status line says."""

UNRECORDABLE = "audit unavailable"
"""Why a session is over whose records cannot be written."""

AUDIT_HINT = "the state directory needs free space and write access; dbgate doctor tells more"


class Attempt(msgspec.Struct, frozen=True):
    """A statement about to run: as `run`, under `judgement`, perhaps with a grant.

    `recount` counts again what the grant was given for. `may_repeat` allows a second attempt when the catalog turns
    out to have drifted; `again` marks that second one.
    """

    source: Source
    number: int
    terms: Terms
    judgement: Judgement
    run: Allow | Rewrite
    grant: Grant | None = None
    recount: tuple[CountQuery, ...] = ()
    may_repeat: bool = False
    again: bool = False
    in_transaction: bool = False

    def life(self) -> Generator[Effect, Any, Finished | None]:
        """From the intent to the end. None when the catalog had drifted: the statement has to be judged again."""
        if isinstance(self.run, Rewrite) and self.run.predicates and not self.again:
            yield from tell(self.number, "notice", compared_on_masks(self.run.predicates))
        yield Record("statement.intent", self._intent())
        ended: Ended = yield self._effect()
        try:
            yield from self._settle(ended)
        except AuditUnavailable as error:
            said = "the statement ran" if isinstance(ended, Outcome) else "the statement was sent"
            yield Show(
                "error", f"{said}, but its outcome cannot be recorded: {error.message}", error.hint or AUDIT_HINT
            )
            return Finished(self.number, EXIT_AUDIT, self._word, closes=UNRECORDABLE)
        match ended:
            case Outcome():
                return Finished(self.number, EXIT_OK, self._word, {"status": ended.status, "rows": ended.rows})
            case Failed():
                return (yield from self._failed(ended))
            case Exceeded():
                return (yield from self._exceeded(ended))
        assert_never(ended)

    @property
    def _word(self) -> str:
        return decision_word(self.judgement)

    def _intent(self) -> dict[str, Any]:
        fields: dict[str, Any] = intent_fields(self.number, self.judgement, self.terms, run=self.run)
        if self.grant:
            fields |= {"grant": self.grant.id, "request": self.grant.request}
        if self.again:
            fields["again"] = True
        return fields

    def _effect(self) -> Run:
        limits = self.terms.limits
        allowed = self._allowed()
        return Run(
            self.run.text,
            self.source.parameters,
            self.number,
            masked=self.run.output if isinstance(self.run, Rewrite) else (),
            max_rows=limits.rows,
            at_most=self._at_most(allowed),
            max_bytes=limits.bytes,
            reads=self.judgement.statement.access.strength <= Access.READ.strength,
            recount=self.recount if allowed or self._counts_again else (),
            allowed=allowed,
            ceiling=None if allowed else self.run.ceiling,
            tables=self._tables(),
            pins=self.judgement.pins,
            apart=not _APART.isdisjoint(self.judgement.statement.tree) or self.judgement.pins == (NO_RELATION,),
            counted=self._counted(),
            locks=self._locks() if allowed else (),
        )

    def _allowed(self) -> Mapping[str, int]:
        """The rows that it may touch, by table: those that were approved, or that were measured under a session's grant."""
        if self.grant is not None:
            return {} if self.grant.kind is RequestKind.TRANSACTION else self.grant.measured
        measured = self.run.measured if self.run.under else None
        return {} if measured is None else measured.by_name

    def _counted(self) -> bool:
        """Whether the server's own count of changes is wanted: of what was granted, and of what a COMMIT may wait for."""
        if _CHANGES.isdisjoint(self.judgement.statement.tree) or not self.judgement.statement.writes:
            return False
        granted = self.grant is not None or bool(self.run.under)
        return granted or (self.in_transaction and self.terms.holds_commits)

    def _locks(self) -> tuple[str, ...]:
        """The tables that TRUNCATE takes whole: nobody may add rows between the count and the run."""
        if "TruncateStmt" not in self.judgement.statement.tree:
            return ()
        return tuple(dict.fromkeys(qualified(q.relation.schema, q.relation.name) for q in self.recount))

    def _tables(self) -> tuple[int, ...]:
        """What a query reads that COPY can wrap: no parameters, no locks, nothing written."""
        statement = self.judgement.statement
        query = statement.tree.get("SelectStmt")
        if query is None or self.source.parameters or query.get("lockingClause") or query.get("intoClause"):
            return ()
        if any(touch.access is not Access.READ for touch in statement.touches):
            return ()
        return tuple(relation.oid for relation in statement.reads)

    def _at_most(self, allowed: Mapping[str, int]) -> int | None:
        """The rows that the statement's status line may say; what foreign keys carry along is only in `recount`."""
        own = self.recount[0] if self.recount and self.recount[0].is_own else None
        if allowed:
            if not self.recount:
                return sum(allowed.values())
            return allowed.get(str(own.relation), 0) if own else UNBOUNDED
        if self.grant is not None or self.run.ceiling is None:
            return None
        return self.run.ceiling if own else UNBOUNDED

    @property
    def _counts_again(self) -> bool:
        """Whether the status line does not tell all that rules have counted."""
        if self.grant is not None or self.run.ceiling is None:
            return False
        return len(self.recount) > 1 or any(not query.is_own for query in self.recount)

    def _settle(self, ended: Ended) -> Part:
        """Record what was seen and how it ended. Changes are flushed to disk at once, reads with the next intent."""
        hidden = self._hidden()
        opened = self.judgement.opened
        yield Capture(self.number, hidden, tuple(dict.fromkeys(column.column for column in opened)))
        outcome = _outcome_of(ended, "allowed" if self.grant is None else "approved for")
        outcome = replace(outcome, message=hide(outcome.message, hidden))
        changed = self.judgement.statement.access.strength >= Access.WRITE.strength
        fields = outcome_fields(self.number, outcome, self.run, opened)
        if tells(self.judgement, outcome):
            fields["guess"] = list(self.judgement.guesses)
        yield Record("statement.outcome", fields, durable=changed)
        if isinstance(ended, Outcome):
            yield Adopt(self.judgement, ended.changed or {})
            if ended.changed is None:
                text = "the server counts no changes (track_counts is off): only the statement's own rows were checked"
                yield from tell(self.number, "notice", text)
            if ended.truncated and ended.message:
                text = f"the result was cut after {ended.rows} rows"
                yield from tell(self.number, "notice", text, _limits_hint(self.terms.limits))

    def _hidden(self) -> frozenset[str]:
        """The constants and parameters that meet labelled columns, which no record may hold."""
        judgement = self.judgement
        parameters = self.source.parameters
        return frozenset(
            hidden_values(self.source.text, judgement.recorded_text, parameters, judgement.recorded_parameters)
        )

    def _failed(self, failed: Failed) -> Generator[Effect, Any, Finished | None]:
        error = failed.error
        text = error.message
        if isinstance(error, StatementError):
            redefined = isinstance(error, DefinitionsChanged)
            if redefined or error.sqlstate in DRIFTED:
                changed = yield Refresh()
                rewritten = redefined or self.run.text != self.source.text
                if changed and self.may_repeat and self.grant is None and rewritten:
                    return None
            if self.run.edits or self.run.text == self.source.text:
                text = in_statement(error, self.source, self.run.edits)
        yield Show("error", text, error.hint or self._timeout_hint(error))
        detail = {"status": failed.outcome.status, "sqlstate": failed.outcome.sqlstate}
        lost = error.message if failed.outcome.status == "unknown" else ""
        return Finished(self.number, error.exit_code, self._word, detail, closing(error) or lost)

    def _timeout_hint(self, error: DbgateError) -> str:
        """What the policy allows, where the server's own timeout ended the statement."""
        limits = self.terms.limits
        sqlstate = error.sqlstate if isinstance(error, StatementError) else ""
        if sqlstate == "57014" and "statement timeout" in error.message and limits.statement_timeout_s is not None:
            return f"the policy allows {limits.statement_timeout_s:g} s a statement: narrow it down"
        if sqlstate == "55P03" and limits.lock_timeout_s is not None:
            return f"somebody else holds the lock; the policy allows {limits.lock_timeout_s:g} s of waiting"
        return ""

    def _exceeded(self, exceeded: Exceeded) -> Generator[Effect, Any, Finished]:
        where = f" of {exceeded.relation}" if exceeded.relation else ""
        if self.grant is None and not self.run.under:
            rows = (
                f"it touches {exceeded.rows} rows{where}, and the policy lets it through for {exceeded.allowed} at most"
            )
            yield from tell(
                self.number, "denied", f"{rows}: rolled back", "choose fewer rows, by conditions that stay the same"
            )
            return Finished(self.number, EXIT_DENIED, self._word, {"status": "rolled back"})
        rows = f"approved for {exceeded.allowed} rows{where} but touches {exceeded.rows}"
        if exceeded.beyond:
            said = "triggers or functions may change as many rows of a table as were approved in all"
            rows = f"{said}, {exceeded.allowed}, but they changed {exceeded.rows}{where}"
        yield from tell(self.number, "denied", f"{rows}: rolled back", "run it again to ask for a new approval")
        return Finished(self.number, EXIT_DENIED, self._word, {"status": "rolled back"})


def tell(number: int, level: str, text: str, hint: str = "") -> Part:
    """Show a line, and put it on record for the replay."""
    yield Record("notice", {"id": number, "level": level, "text": text, "hint": hint}, durable=False)
    yield Show(level, text, hint)


def closing(error: DbgateError) -> str:
    """Why the session cannot go on after `error`; empty when it can."""
    return "connection lost" if isinstance(error, ConnectionLost) else ""


def _outcome_of(ended: Ended, limit: str) -> Outcome:
    match ended:
        case Outcome():
            return ended
        case Failed():
            return ended.outcome
        case Exceeded():
            where = f" of {ended.relation}" if ended.relation else ""
            message = f"{ended.rows} rows{where}, {limit} {ended.allowed}"
            return Outcome("rolled back", duration_ms=ended.duration_ms, message=message)
    assert_never(ended)


def _limits_hint(limits: Limits) -> str:
    parts = [f"{limits.rows} rows"] if limits.rows is not None else []
    parts += [f"{limits.bytes} bytes"] if limits.bytes is not None else []
    return f"the policy allows {' and '.join(parts)} a statement; narrow it down" if parts else ""
