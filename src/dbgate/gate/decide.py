"""The decision on one statement: pure and total.

    examine (what is it?) ─► inspect (is all of it known?) ─► may it read and write this? ─► rewrite ─► rules

Over all rules that match, `deny` beats `approve` beats `allow`; no match is a denial. Whatever cannot be
understood or rewritten safely is a denial that says what stood in the way.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec.structs import replace

from dbgate.catalog import Catalog
from dbgate.errors import StatementError
from dbgate.gate.approving import Held, Standing, commit_approval
from dbgate.gate.contents import Contents
from dbgate.gate.depth import deeply
from dbgate.gate.executed import Arguments, arguments_of
from dbgate.gate.findings import guessed
from dbgate.gate.groundwork import Groundwork, groundwork_for
from dbgate.gate.lexer import Offsets
from dbgate.gate.missing import MissingEntry, explain_missing
from dbgate.gate.opening import by_grant, only_reads
from dbgate.gate.pins import NO_RELATION, PINNED
from dbgate.gate.policy.model import Policy
from dbgate.gate.protection import Protection, Unmasked, protection_for
from dbgate.gate.recorded import recorded_parameters, without_constants
from dbgate.gate.refusals import may_run
from dbgate.gate.rules import judge_rules
from dbgate.gate.sample import for_reviewers
from dbgate.gate.statement import Examined
from dbgate.gate.syntax import Source
from dbgate.gate.tracking import Changes, SessionObjects
from dbgate.gate.transactions import changes_of
from dbgate.model import (
    Access,
    Allow,
    ColumnName,
    Decision,
    Deny,
    Identity,
    LabelledColumn,
    Measured,
    NeedsApproval,
    OpenedColumn,
    RequestKind,
    Rewrite,
    SampleQuery,
    Statement,
)


class Context(msgspec.Struct, frozen=True):
    """Everything that a decision depends on beside the statement.

    `standing` are the session's grants, `held` what the COMMIT of the open transaction waits for.
    """

    identity: Identity
    policy: Policy
    catalog: Catalog
    environment: str
    now: datetime
    search_path: tuple[str, ...] | None = None
    measured: Measured | None = None
    objects: SessionObjects = msgspec.field(default_factory=SessionObjects)
    unmasked: Unmasked = msgspec.field(default_factory=Unmasked)
    standing: tuple[Standing, ...] = ()
    held: tuple[Held, ...] = ()
    in_transaction: bool = False
    executing: Arguments | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The search path that holds: the session's, or else the role's."""
        return self.catalog.search_path if self.search_path is None else self.search_path


class Judgement(msgspec.Struct, frozen=True):
    """A statement, the decision, what to record; what a grant `opened`, what it hangs on (`pins`), hidden columns written, columns met;
    queries for a `sample` of what it would change, where reviewers are asked."""

    statement: Statement
    decision: Decision
    tags: tuple[str, ...] = ()
    recorded_text: str = ""
    recorded_parameters: tuple[str | None, ...] = ()
    recorded_rewritten: str = ""
    changes: Changes = msgspec.field(default_factory=Changes)
    opened: tuple[OpenedColumn, ...] = ()
    pins: tuple[int, ...] = ()
    guesses: tuple[str, ...] = ()
    sample: tuple[SampleQuery, ...] = ()
    columns: tuple[ColumnName, ...] = ()
    labelled: tuple[LabelledColumn, ...] = ()


def judge(source: Source, context: Context) -> Judgement:
    """Decide on one statement.

    Raises `StatementError` when it names a relation or alias that does not exist: nothing is sent then either.
    """
    try:
        return deeply(lambda: _judge(source, context))
    except StatementError as error:
        if isinstance(error, MissingEntry):
            explain_missing(error, source.tree)
        if error.position:  # the tree counts bytes
            error.position = Offsets(source.text).to_chars(error.position - 1) + 1
        raise
    except RecursionError:
        return _unexamined(source, "the statement nests too deeply", "write it flatter")


def _judge(source: Source, context: Context) -> Judgement:
    protection = protection_for(context.catalog, context.policy, context.identity, context.unmasked)
    prepared = groundwork_for(source, protection, context.path, opens=bool(context.unmasked.tags))
    examined = prepared.examined
    if context.unmasked.tags and not only_reads(examined):
        return _judge(source, replace(context, unmasked=Unmasked()))
    if examined.refusal:
        return _unexamined(source, examined.refusal, "", examined)
    if (
        examined.executed is not None
        and not prepared.contents.refusal
        and not may_run(examined, protection, context.objects)
    ):
        return _execute(source, examined, context)
    statement = _statement(source, examined, prepared.contents)
    decision = _decide(source, statement, prepared, protection, context)
    return _judgement(source, statement, decision, prepared, context)


def _decide(
    source: Source, statement: Statement, prepared: Groundwork, protection: Protection, context: Context
) -> Decision:
    if prepared.contents.refusal and isinstance(prepared.run, Deny):
        return prepared.run
    refusal = may_run(prepared.examined, protection, context.objects)
    if refusal is not None:
        return refusal
    if isinstance(prepared.run, Deny):
        return prepared.run
    if prepared.examined.kind == "FetchStmt":
        return _fetch(source, statement, prepared, protection, context)
    decision = judge_rules(statement, prepared.examined, prepared.run, protection, context)
    return _held(prepared.examined, decision, context)


def _held(examined: Examined, decision: Decision, context: Context) -> Decision:
    """A COMMIT waits for what the statements of its transaction left open."""
    waits = context.in_transaction and any(held.rules for held in context.held)
    if examined.kind != "TransactionStmt" or not waits or not isinstance(decision, Allow | Rewrite):
        return decision
    return commit_approval(decision, context.held) if examined.body.get("kind") == "TRANS_STMT_COMMIT" else decision


def _execute(source: Source, examined: Examined, context: Context) -> Judgement:
    """EXECUTE, also under EXPLAIN, is judged as the statement that was prepared would be now."""
    prepared = context.objects.prepared[examined.executed or ""]
    body = examined.body.get("query", {}).get("ExecuteStmt", examined.body)
    arguments = replace(arguments_of(body, source.parameters), explained=examined.kind == "ExplainStmt")
    inner = _judge(prepared.source, replace(context, executing=arguments))
    decision = inner.decision
    if isinstance(decision, Allow | Rewrite):
        if decision.held:
            decision = Deny("a prepared statement cannot wait for approval", hint="run the statement itself")
        elif decision.text == prepared.text:
            decision = replace(decision, text=source.text, edits=())
            if examined.kind == "ExplainStmt" and isinstance(decision, Rewrite):
                decision = replace(decision, output=())
        else:
            decision = Deny("what the prepared statement may do has changed", hint="DEALLOCATE it and prepare it again")
    elif isinstance(decision, NeedsApproval):
        decision = Deny("a prepared statement cannot wait for approval", hint="run the statement itself")
    return replace(
        inner,
        statement=replace(inner.statement, text=source.text, tree=source.tree, parameters=source.parameters),
        decision=decision,
        recorded_text=without_constants(source.text) if inner.tags else source.text,
        recorded_parameters=_hidden(source.parameters) if inner.tags else source.parameters,
        recorded_rewritten="",
        changes=Changes(),
    )


def _fetch(
    source: Source, statement: Statement, prepared: Groundwork, protection: Protection, context: Context
) -> Decision:
    """FETCH shows what the cursor's query was allowed to show."""
    cursor = context.objects.cursors[prepared.examined.body.get("portalname", "")]
    if not {tag for _, tag in cursor.opened} <= set(context.unmasked.tags):
        return Deny("the grant under which the cursor shows columns in clear has ended", hint="DECLARE it again")
    run = Rewrite(source.text, output=cursor.masked) if cursor.masked else Allow(source.text)
    return judge_rules(statement, prepared.examined, run, protection, context)


def _statement(source: Source, examined: Examined, contents: Contents) -> Statement:
    return Statement(
        text=source.text,
        tree=source.tree,
        verb=examined.verb,
        access=examined.access,
        touches=tuple(dict.fromkeys(examined.touches)),
        functions=tuple(dict.fromkeys(contents.functions)),
        settings=tuple(dict.fromkeys(contents.settings)),
        parameters=source.parameters,
        has_where=not examined.blanket,
    )


def _judgement(
    source: Source, statement: Statement, decision: Decision, prepared: Groundwork, context: Context
) -> Judgement:
    run = decision.run if isinstance(decision, NeedsApproval) else decision
    opened = _opened(prepared, context) if isinstance(run, Allow | Rewrite) else ()
    return Judgement(
        statement=statement,
        decision=decision,
        tags=prepared.tags,
        recorded_text=prepared.recorded,
        recorded_parameters=recorded_parameters(source.parameters, prepared.examined.found.masked_constants()),
        recorded_rewritten=prepared.rewritten if isinstance(run, Allow | Rewrite) else "",
        changes=changes_of(source, prepared.examined, run, prepared.opened, context.objects, context.catalog),
        opened=by_grant(opened, context.unmasked),
        pins=prepared.examined.pins or _path_pin(prepared),
        guesses=guessed(prepared.examined.found),
        columns=prepared.columns,
        labelled=prepared.labelled,
        sample=_sample(decision, prepared.examined, statement, context),
    )


def _path_pin(prepared: Groundwork) -> tuple[int, ...]:
    """What asks for the check of definitions where no relation does: a function that the server looks for by its name."""
    return (NO_RELATION,) if prepared.contents.by_name and prepared.examined.kind in PINNED else ()


def _sample(decision: Decision, examined: Examined, statement: Statement, context: Context) -> tuple[SampleQuery, ...]:
    if not isinstance(decision, NeedsApproval) or decision.kind not in {RequestKind.STATEMENT, RequestKind.SESSION}:
        return ()
    return for_reviewers(decision, examined, statement, context)


def _opened(prepared: Groundwork, context: Context) -> tuple[tuple[ColumnName, str], ...]:
    """The columns that a statement shows by a grant; those of its cursor, if it fetches from one."""
    if prepared.examined.kind != "FetchStmt":
        return prepared.opened
    cursor = context.objects.cursors.get(prepared.examined.body.get("portalname", ""))
    return cursor.opened if cursor else ()


def _unexamined(source: Source, reason: str, hint: str, examined: Examined | None = None) -> Judgement:
    verb, access = (examined.verb, examined.access) if examined else ("unknown", Access.ADMIN)
    statement = Statement(source.text, source.tree, verb, access, parameters=source.parameters)
    return Judgement(
        statement,
        Deny(reason, hint=hint),
        recorded_text=without_constants(source.text),
        recorded_parameters=_hidden(source.parameters),
    )


def _hidden(parameters: tuple[str | None, ...]) -> tuple[str | None, ...]:
    return tuple(None if value is None else "***" for value in parameters)
