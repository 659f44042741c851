"""The rules of a policy on one statement: strictest effect wins, no match is a denial."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from dbgate.gate.approving import approval
from dbgate.gate.counting import counting
from dbgate.gate.findings import labels_met
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
    """The rules that match, by effect, over all touches; `open` hang on rows to be counted, `counted` on rows that were."""

    deny: list[Rule] = msgspec.field(default_factory=list)
    approve: list[Rule] = msgspec.field(default_factory=list)
    allow: list[Rule] = msgspec.field(default_factory=list)
    open: list[Rule] = msgspec.field(default_factory=list)
    uncovered: list[Touch] = msgspec.field(default_factory=list)
    counted: list[Rule] = msgspec.field(default_factory=list)


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
        matches.counted += further.counted
    unknown = matches.open if context.measured is None else []
    asked = unknown or matches.approve
    queries = _queries(run.text, examined, statement, protection, context) if asked else None
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
        return replace(run, rules=_refs(matches.allow), ceiling=_ceiling(matches.counted, context))
    decision = approval(approve, run, statement.access, context)
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
            applies = _applies(rule, touch, examined, tags, context, measured)
            if measured is not None and _applies(rule, touch, examined, tags, context, None) is None:
                matches.counted.append(rule)
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


def _applies(
    rule: Rule, touch: Touch, examined: Examined, tags: frozenset[str], context: Context, measured: int | None
) -> bool | None:
    return rule_applies(
        rule,
        touch=touch,
        identity=context.identity,
        environment=context.environment,
        tags=tags,
        where_missing=examined.blanket,
        measured=measured,
        now=context.now,
    )


def _queries(
    text: str, examined: Examined, statement: Statement, protection: Protection, context: Context
) -> tuple[CountQuery, ...] | None:
    try:
        return counting(text, examined, statement, protection.schema, context.executing)
    except LookupError:
        return None


def _ceiling(counted: Iterable[Rule], context: Context) -> int | None:
    """The rows that the statement may touch before any rule that counts them says something else."""
    total = context.measured.total if context.measured is not None else 0
    limits = [rule.when.rows.ceiling(total) for rule in counted if rule.when.rows is not None]
    return min((limit for limit in limits if limit is not None), default=None)


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
    policy = f"; the policy: {context.policy.files[-1]}" if context.policy.files else ""
    return Deny(
        f"no rule allows {touch.verb}{where}",
        hint=f"your groups: {groups}{policy}; dbgate policy explain shows the rules that were looked at",
    )
