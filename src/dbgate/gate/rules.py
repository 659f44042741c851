"""The rules of a policy on one statement: strictest effect wins, no match is a denial."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from dbgate.gate.approving import approval
from dbgate.gate.findings import labels_met
from dbgate.gate.measure import count_queries
from dbgate.gate.policy.match import rule_applies
from dbgate.gate.policy.model import Rule
from dbgate.gate.protection import Protection
from dbgate.gate.reach import reached
from dbgate.gate.relations import SYSTEM_SCHEMAS
from dbgate.gate.statement import Examined
from dbgate.model import (
    Access,
    Allow,
    CountQuery,
    Decision,
    Deny,
    NeedsApproval,
    NeedsMeasure,
    Rewrite,
    RuleRef,
    Statement,
    Touch,
)

if TYPE_CHECKING:
    from dbgate.gate.decide import Context

_FREE = frozenset({Access.TRANSACTION, Access.SESSION})


class _Matches(msgspec.Struct):
    """The rules that match, by effect, over all touches."""

    deny: list[Rule] = msgspec.field(default_factory=list)
    approve: list[Rule] = msgspec.field(default_factory=list)
    allow: list[Rule] = msgspec.field(default_factory=list)
    open: list[Rule] = msgspec.field(default_factory=list)
    uncovered: list[Touch] = msgspec.field(default_factory=list)


def judge_rules(
    statement: Statement, examined: Examined, run: Allow | Rewrite, protection: Protection, context: Context
) -> Decision:
    """Apply the rules to a statement that could run as `run`."""
    tags = frozenset(label.tag for label in labels_met(examined.found))
    matches = _match(statement.touches, examined, tags, context)
    if matches.deny:
        return _deny(matches.deny)
    for touch in reached(statement, examined, protection.schema, context.policy):
        further = _match((touch,), examined, tags, context)
        if further.deny:
            return _deny(further.deny, f"it reaches {touch.relation}")
        matches.approve += [rule for rule in further.approve if rule not in matches.approve]
        matches.open += [rule for rule in further.open if rule.effect != "allow" and rule not in matches.open]
    unknown = matches.open if context.measured is None else []
    queries = _queries(examined, run, statement, protection) if unknown or matches.approve else None
    if unknown and queries is not None:
        return NeedsMeasure(queries, _refs(unknown))
    # Rows that cannot be counted may be too many: the rule counts as met.
    denied = [r for r in unknown if r.effect == "deny"]
    if denied:
        return _deny(denied, "the rows it touches cannot be counted")
    if matches.uncovered:
        return _uncovered(matches.uncovered[0], context)
    approve = list(dict.fromkeys([*matches.approve, *(r for r in unknown if r.effect == "approve")]))
    if not approve:
        return replace(run, rules=_refs(matches.allow))
    decision = approval(approve, run, context)
    asks = isinstance(decision, NeedsApproval) or any(rule.session and rule.session.rows for rule in approve)
    if asks and queries and context.measured is None:
        return NeedsMeasure(queries, _refs(approve), otherwise=decision)
    return decision


def _match(touches: Iterable[Touch], examined: Examined, tags: frozenset[str], context: Context) -> _Matches:
    matches = _Matches()
    measured = context.measured.total if context.measured is not None else None
    for touch in touches:
        covered = _covered_by_nature(touch)
        for rule in context.policy.rules:
            applies = rule_applies(
                rule,
                touch=touch,
                identity=context.identity,
                environment=context.environment,
                tags=tags,
                where_missing=examined.blanket,
                measured=measured,
                now=context.now,
            )
            if applies is None:
                if rule not in matches.open:
                    matches.open.append(rule)
                covered = covered or rule.effect == "approve"
            elif applies:
                found = getattr(matches, rule.effect)
                if rule not in found:
                    found.append(rule)
                covered = covered or rule.effect != "deny"
        if not covered and not _covered_without_relation(touch, tags, context):
            matches.uncovered.append(touch)
    return matches


def _covered_by_nature(touch: Touch) -> bool:
    """Transactions, session settings and the (filtered) system catalogs need no rule; a rule may deny them."""
    if touch.access in _FREE:
        return True
    system = touch.relation is not None and touch.relation.schema in SYSTEM_SCHEMAS
    return system and touch.access is Access.READ


def _covered_without_relation(touch: Touch, tags: frozenset[str], context: Context) -> bool:
    """`SELECT 1` reads no table: whoever may read any table may run it."""
    if touch.relation is not None or touch.access is not Access.READ:
        return False
    for rule in context.policy.rules:
        if rule.effect == "allow":
            anywhere = replace(rule, when=replace(rule.when, tables=(), tags=()))
            if rule_applies(
                anywhere,
                touch=touch,
                identity=context.identity,
                environment=context.environment,
                tags=tags,
                where_missing=False,
                measured=0,
                now=context.now,
            ):
                return True
    return False


def _queries(
    examined: Examined, run: Allow | Rewrite, statement: Statement, protection: Protection
) -> tuple[CountQuery, ...] | None:
    """The queries that count the statement's rows; None when they cannot be counted."""
    targets = examined.found.targets
    if examined.kind == "TruncateStmt":
        oids = [t.relation.oid for t in statement.touches if t.relation]
        counts = [
            count_queries(run.text, (), protection.schema, protection.schema.by_oid[o])
            for o in oids
            if o in protection.schema.by_oid
        ]
        return tuple(q for c in counts for q in c or ()) if counts else None
    if examined.kind == "CallStmt":
        return None
    if not targets:
        # Only writes are counted; a read that a rule on rows meets touches none.
        return () if not examined.changes_data else None
    if len(targets) > 1 or examined.kind != examined.inner_kind or targets[0][1].relation is None:
        return None
    if examined.inner_kind == "SelectStmt":
        return None
    return count_queries(run.text, statement.parameters, protection.schema, targets[0][1].relation)


def _refs(rules: list[Rule]) -> tuple[RuleRef, ...]:
    return tuple(rule.ref for rule in rules)


def _deny(rules: list[Rule], why: str = "") -> Deny:
    first = rules[0]
    reason = first.message or "the policy denies it"
    hint = "dbgate policy explain shows what a statement touches, and which rules meet it"
    return Deny(f"{reason} ({why})" if why else reason, _refs(rules), hint)


def _uncovered(touch: Touch, context: Context) -> Deny:
    where = f" on {touch.relation}" if touch.relation else ""
    groups = ", ".join(context.identity.groups) or "none"
    return Deny(
        f"no rule allows {touch.verb}{where}",
        hint=f"your groups: {groups}; dbgate policy explain shows the rules that were looked at",
    )
