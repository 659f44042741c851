"""What people are asked when rules ask for approval: by which kind of grant, and what of it is granted already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from dbgate.gate.policy.model import Rule
from dbgate.model import (
    Access,
    Actor,
    Allow,
    HeldRule,
    Identity,
    NeedsApproval,
    RequestKind,
    ReviewClause,
    Rewrite,
    RuleRef,
    SessionLimits,
)

if TYPE_CHECKING:
    from dbgate.gate.decide import Context


class Standing(msgspec.Struct, frozen=True):
    """A grant that holds for this session: the rules that it satisfies (as `str` of their references), and what is left
    of its limits (None: any number)."""

    grant: str
    rules: tuple[str, ...]
    left: SessionLimits = SessionLimits()


class Held(msgspec.Struct, frozen=True):
    """A statement of the open transaction that ran: the approvals that its COMMIT waits for (none for one that needs
    none), and the rows that it changed, by `schema.table`."""

    text: str
    parameters: tuple[str | None, ...]
    rules: tuple[HeldRule, ...]
    changed: Mapping[str, int] = {}


def approval(
    rules: Sequence[Rule], run: Allow | Rewrite, access: Access, context: Context
) -> NeedsApproval | Allow | Rewrite:
    """What stands between a statement that `rules` hold and its `run`; the run itself when nothing does.

    What a session grant leaves open is asked for the session first, then for the statement. Only what changes something
    (`access`) can wait for the COMMIT: what was read cannot be taken back.
    """
    waits = context.in_transaction and access.strength >= Access.WRITE.strength
    later = [rule for rule in rules if rule.at_commit and waits]
    # A rule for sessions never waits for the COMMIT (`policy/approving.py`).
    under = {rule.id: grant for rule in rules if (grant := standing_for(rule, context))}
    rest = [rule for rule in rules if rule not in later and rule.id not in under]
    run = replace(
        run,
        rules=_refs(rules),
        under=tuple(dict.fromkeys(under.values())),
        measured=context.measured if under else None,
        held=tuple(HeldRule(r.ref, r.clauses, r.message, r.expires_s) for r in later),
    )
    if not rest:
        return run
    if may_break_glass(context.identity, rest):
        groups = tuple(sorted({group for rule in rest for group in rule.break_glass}))
        return replace(_asked(rest, run, context), kind=RequestKind.BREAK_GLASS, break_glass=groups, uses=1)
    for_session = [rule for rule in rest if rule.session is not None and _could_hold(rule.session, context)]
    if for_session:
        asked = _asked(for_session, run, context)
        limits = narrowest(rule.session for rule in for_session if rule.session is not None)
        return replace(asked, kind=RequestKind.SESSION, limits=limits)
    return _asked(rest, run, context)


def standing_for(rule: Rule, context: Context) -> str:
    """The id of a grant under which this session passes the rule now; empty when there is none."""
    for standing in context.standing:
        if rule.session is None or str(rule.ref) not in standing.rules:
            continue
        if standing.left.statements is not None and standing.left.statements < 1:
            continue
        if _could_hold(standing.left, context):
            return standing.grant
    return ""


def may_break_glass(identity: Identity, rules: Sequence[Rule]) -> bool:
    """Whether a person may run at once what all `rules` hold: they name a group of theirs. Services and agents never."""
    return (
        identity.actor is Actor.HUMAN
        and not identity.on_behalf_of
        and all(not set(rule.break_glass).isdisjoint(identity.groups) for rule in rules)
    )


def commit_approval(run: Allow | Rewrite, held: Sequence[Held]) -> NeedsApproval:
    """What the COMMIT of a transaction waits for whose statements `held` have run."""
    rules = dict.fromkeys(rule for statement in held for rule in statement.rules)
    changed: dict[str, int] = {}
    for statement in held:
        for name, rows in statement.changed.items():
            changed[name] = changed.get(name, 0) + rows
    text, parameters = _one_text(held)
    return NeedsApproval(
        clauses=_clauses(rule.clauses for rule in rules),
        rules=tuple(dict.fromkeys(rule.rule for rule in rules)),
        run=run,
        reason=next((rule.message for rule in rules if rule.message), ""),
        expires_s=min(rule.expires_s for rule in rules),
        kind=RequestKind.TRANSACTION,
        statement=text,
        parameters=parameters,
        changed=changed,
    )


def _one_text(held: Sequence[Held]) -> tuple[str, tuple[str | None, ...]]:
    """The statements in one text, each with a line that says which of the joined parameters are its own."""
    pieces: list[str] = []
    parameters: list[str | None] = []
    for statement in held:
        if statement.parameters:
            pieces.append(f"-- $1 here is parameter {len(parameters) + 1}\n")
        pieces.append(f"{statement.text.rstrip().rstrip(';')};\n")
        parameters += statement.parameters
    return "".join(pieces), tuple(parameters)


def narrowest(limits: Iterable[SessionLimits]) -> SessionLimits:
    """The limits that satisfy all."""
    found = list(limits)
    statements = [x.statements for x in found if x.statements is not None]
    rows = [x.rows for x in found if x.rows is not None]
    return SessionLimits(min(statements, default=None), min(rows, default=None))


def _could_hold(limits: SessionLimits, context: Context) -> bool:
    """Whether the statement's rows stay within limits. Rows that are not counted may be too many."""
    if limits.rows is None:
        return True
    return context.measured is not None and context.measured.total <= limits.rows


def _asked(rules: Sequence[Rule], run: Allow | Rewrite, context: Context) -> NeedsApproval:
    return NeedsApproval(
        clauses=_clauses(rule.clauses for rule in rules),
        rules=_refs(rules),
        run=run,
        reason=next((rule.message for rule in rules if rule.message), ""),
        expires_s=min(rule.expires_s for rule in rules),
        measured=context.measured,
        uses=min(rule.uses for rule in rules),
    )


def _clauses(found: Iterable[tuple[ReviewClause, ...]]) -> tuple[ReviewClause, ...]:
    return tuple(dict.fromkeys(clause for clauses in found for clause in clauses))


def _refs(rules: Iterable[Rule]) -> tuple[RuleRef, ...]:
    return tuple(rule.ref for rule in rules)
