"""What would make a statement pass: read off the rules that deny it, or that would allow it to others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from dbgate.gate.decide import Judgement
from dbgate.gate.policy.match import is_meant, table_matches
from dbgate.gate.policy.model import Policy, Rule, When, Window
from dbgate.model import Deny, Identity, NeedsApproval, NeedsMeasure, RequestKind, ReviewClause, Touch
from dbgate.text import span

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOST = 3
"""Of rules for other groups no more are named."""


def ways(found: Judgement, policy: Policy, identity: Identity, environment: str) -> list[str]:
    """What would make it pass, likeliest first; empty for a statement that passes."""
    decision = found.decision
    match decision:
        case Deny(rules=rules) if rules:
            denying = [rule for rule in policy.rules if rule.ref in rules]
            return [way for rule in denying for way in _past(rule, found)]
        case Deny(reason=reason) if reason.startswith("no rule allows"):
            return _others(found, policy, identity, environment)
        case Deny(hint=hint):
            return [hint] if hint else []
        case NeedsApproval():
            return [_approval(decision, identity)]
        case _:
            return []


def ranges(
    found: Judgement, at: Callable[[int], Judgement], policy: Policy, tell: Callable[[Judgement], str]
) -> list[str]:
    """For a decision that hangs on rows: what it is for which numbers of rows. `at` judges for one, `tell` names it."""
    if not isinstance(found.decision, NeedsMeasure):
        return []
    rules = [rule for rule in policy.rules if rule.ref in found.decision.rules and rule.when.rows]
    turns = sorted(
        {0, *(n for rule in rules if rule.when.rows for n in (rule.when.rows.value, rule.when.rows.value + 1))}
    )
    told: list[tuple[int, str]] = []
    for start in turns:
        what = tell(at(start))
        if not told or told[-1][1] != what:
            told.append((start, what))
    ends = [start - 1 for start, _ in told[1:]]
    spans = [
        f"{start} to {end} rows" if start else f"up to {end} rows" for (start, _), end in zip(told, ends, strict=False)
    ]
    last = f"more than {told[-1][0] - 1} rows" if told[-1][0] else "any number of rows"
    return [f"{span}: {what}" for span, (_, what) in zip([*spans, last], told, strict=True)]


def reviewers(clauses: Iterable[ReviewClause]) -> str:
    """Clauses in words: `1 of dba and 2 of legal or privacy`."""
    return " and ".join(f"{clause.count} of {' or '.join(clause.groups)}" for clause in clauses)


def terms(held: NeedsApproval) -> str:
    """Who decides, and what that is good for: `approve, by 1 of dba, for 5 runs`."""
    by = f"by {reviewers(held.clauses)}"
    match held.kind:
        case RequestKind.BREAK_GLASS:
            return f"break-glass: runs at once with a reason, reviewed afterwards {by}"
        case RequestKind.SESSION:
            bounds = [f"{held.limits.statements} statements"] if held.limits.statements is not None else []
            bounds += [f"{held.limits.rows} rows"] if held.limits.rows is not None else []
            within = f", at most {' and '.join(bounds)}" if bounds else ""
            return f"approve, {by}, for one session and {span(held.expires_s)}{within}"
        case RequestKind.TRANSACTION:
            return f"approve the whole transaction, {by}"
    return f"approve, {by}, for {held.uses} runs" if held.uses > 1 else f"approve, {by}"


def window(week: Window) -> str:
    """A weekly window in words: `Mon, Tue 08:00-18:00 Europe/Berlin`."""
    end = "24:00" if week.end.hour == week.end.minute == 0 else f"{week.end:%H:%M}"
    days = ", ".join(_DAYS[day] for day in sorted(week.days))
    return f"{days} {week.start:%H:%M}-{end} {week.zone}"


def _approval(held: NeedsApproval, identity: Identity) -> str:
    mine = sorted({group for clause in held.clauses for group in clause.groups} & set(identity.groups))
    own = f"; you are in {', '.join(mine)}, but nobody approves their own" if mine else ""
    if held.kind is RequestKind.BREAK_GLASS:
        return f"a reason: it runs at once, and {reviewers(held.clauses)} review it afterwards"
    return f"approval by {reviewers(held.clauses)}, good for {span(held.expires_s)}: run it, and they are asked{own}"


def _past(rule: Rule, found: Judgement) -> list[str]:
    """How a statement would get past a rule that denies it: whatever makes one of its conditions fail."""
    when = rule.when
    tagged = sorted(tag for tag in found.tags)
    ideas = (
        (when.where_missing, "a WHERE that leaves rows out"),
        (when.rows, f"other than {when.rows.operator}{when.rows.value} rows" if when.rows else ""),
        (when.inside, f"another time than {window(when.inside)}" if when.inside else ""),
        (when.outside, f"waiting for {window(when.outside)}" if when.outside else ""),
        (when.tags, f"leaving out the columns labelled {', '.join(tagged)}"),
        (when.not_groups, f"being in {' or '.join(when.not_groups)}"),
        (when.actor, f"being no {' or '.join(map(str, when.actor))}"),
        (when.environment, f"another environment than {' or '.join(when.environment)}"),
        (when.groups, f"not being in {' or '.join(when.groups)}"),
    )
    ways = [text for holds, text in ideas if holds]
    if not ways:
        verbs = sorted({touch.verb for touch in found.statement.touches if _met(when, touch)})
        return [
            f"nothing: {rule.id} denies every {' or '.join(verbs) or 'such statement'}{_on(when)}, and no approval lifts it"
        ]
    return [f"{' or '.join(ways)} ({rule.id})"]


def _met(when: When, touch: Touch) -> bool:
    return (
        (not when.verbs or touch.verb in when.verbs)
        and (not when.access or touch.access in when.access)
        and (not when.tables or table_matches(when.tables, touch.relation))
    )


def _on(when: When) -> str:
    return f" on {', '.join(when.tables)}" if when.tables else ""


def _others(found: Judgement, policy: Policy, identity: Identity, environment: str) -> list[str]:
    """Rules that open what no rule opens to this identity."""
    said: dict[str, None] = {}
    for touch in found.statement.touches:
        if any(_opens(rule, touch, identity, environment) for rule in policy.rules):
            continue
        for rule in policy.rules:
            anybody = replace(rule.when, groups=(), not_groups=(), actor=())
            if rule.effect != "deny" and _met(rule.when, touch) and is_meant(anybody, identity, environment):
                said[f"{_who(rule.when)} ({rule.ref})"] = None
    if not said:
        missing = next(
            (t for t in found.statement.touches if not any(_opens(r, t, identity, environment) for r in policy.rules)),
            None,
        )
        what = f"{missing.verb}{f' on {missing.relation}' if missing.relation else ''}" if missing else "it"
        return [f"a rule with effect: allow for {what}; the policy has none for anybody"]
    return list(said)[:_MOST]


def _opens(rule: Rule, touch: Touch, identity: Identity, environment: str) -> bool:
    return rule.effect != "deny" and _met(rule.when, touch) and is_meant(rule.when, identity, environment)


def _who(when: When) -> str:
    parts = []
    if when.groups:
        parts.append(f"being in {' or '.join(when.groups)}")
    if when.not_groups:
        parts.append(f"not being in {' or '.join(when.not_groups)}")
    if when.actor:
        parts.append(f"being a {' or '.join(map(str, when.actor))}")
    return " and ".join(parts) or "other conditions of the rule"
