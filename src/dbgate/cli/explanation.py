"""What `policy explain` prints of a judgement: five lines for people, or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dbgate.model import Allow, Deny, NeedsApproval, NeedsMeasure, Rewrite
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.opening import Offer
    from dbgate.gate.policy.model import Policy
    from dbgate.model import Identity, ReviewClause, RuleRef


def print_explanation(found: Judgement, policy: Policy, identity: Identity, *, as_json: bool) -> None:
    """Print it to stdout. `policy` and `identity` tell which masks may be opened, and by whose approval."""
    offers = _offers(found, policy, identity)
    if as_json:
        print(json.dumps(_fields(found, offers), ensure_ascii=False))
        return
    facts = [
        ("decision", _decision(found)),
        ("rules", _rules(found.decision.rules)),
        ("touches", _touches(found)),
        ("masked", _masked(found, offers)),
        ("runs", _highlighted(_text(found))),
    ]
    if found.opened:
        facts.insert(4, ("in clear", _opened(found)))
    for name, value in facts:
        print(f"{name + ':':<10}{value or '-'}")


def _run(found: Judgement) -> Allow | Rewrite | None:
    decision = found.decision.run if isinstance(found.decision, NeedsApproval) else found.decision
    return decision if isinstance(decision, Allow | Rewrite) else None


def _decision(found: Judgement) -> str:
    match found.decision:
        case Allow():
            return "allow"
        case Rewrite() as run:
            what = [w for w, there in (("masked", run.masked), ("rows filtered", run.filtered)) if there]
            return f"allow, {' and '.join(what)}" if what else "allow"
        case NeedsMeasure():
            return "depends on the rows that it touches: say --rows N"
        case NeedsApproval() as held:
            why = f": {held.reason}" if held.reason else ""
            return printable(f"approve, by {_reviewers(held.clauses)}{why}")
        case Deny() as refusal:
            hint = f" ({refusal.hint})" if refusal.hint else ""
            return printable(f"deny: {refusal.reason}{hint}")


def _reviewers(clauses: Iterable[ReviewClause]) -> str:
    return " and ".join(f"{clause.count} of {' or '.join(clause.groups)}" for clause in clauses)


def _rules(rules: Iterable[RuleRef]) -> str:
    return printable(", ".join(str(rule) for rule in rules))


def _touches(found: Judgement) -> str:
    touches = found.statement.touches
    return printable(", ".join(dict.fromkeys(f"{t.verb} {t.relation}" if t.relation else t.verb for t in touches)))


def _offers(found: Judgement, policy: Policy, identity: Identity) -> tuple[Offer, ...]:
    """The entries of the policy by which the masked tags may be opened."""
    from dbgate.gate.opening import offers_for

    run = _run(found)
    return offers_for(policy, identity, (m.tag for m in run.masked)) if isinstance(run, Rewrite) else ()


def _masked(found: Judgement, offers: Iterable[Offer]) -> str:
    from dbgate.session.unmasking import with_approval

    run = _run(found)
    masked = run.masked if isinstance(run, Rewrite) else ()
    how = {tag: f"; may be opened {with_approval(offer)}" for offer in offers for tag in offer.tags}
    return printable(", ".join(dict.fromkeys(f"{m.column} ({m.tag}: {m.method}{how.get(m.tag, '')})" for m in masked)))


def _opened(found: Judgement) -> str:
    return printable(", ".join(f"{o.column} ({o.tag}, by an approval)" for o in found.opened))


def _text(found: Judgement) -> str:
    run = _run(found)
    return run.text if run else ""


def _highlighted(text: str) -> str:
    """SQL with colours on a terminal."""
    shown = printable(text, keep="\n\t")
    if not text or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return shown
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import PostgresLexer

    return highlight(shown, PostgresLexer(stripnl=False), TerminalFormatter()).rstrip("\n")


def _fields(found: Judgement, offers: Iterable[Offer]) -> dict[str, Any]:
    from dbgate.gate.policy.trial import outcome_of

    decision, run = found.decision, _run(found)
    rewrite = run if isinstance(run, Rewrite) else None
    return {
        "decision": outcome_of(found),
        "reason": decision.reason if isinstance(decision, Deny | NeedsApproval) else "",
        "hint": decision.hint if isinstance(decision, Deny) else "",
        "verb": found.statement.verb,
        "access": str(found.statement.access),
        "rules": [{"id": r.id, "file": r.file, "line": r.line} for r in decision.rules],
        "touches": [{"verb": t.verb, "relation": str(t.relation or "")} for t in found.statement.touches],
        "masked": [
            {"column": str(m.column), "tag": m.tag, "method": m.method} for m in (rewrite.masked if rewrite else ())
        ],
        "openable": [
            {
                "tags": list(offer.tags),
                "rule": {"id": offer.rule.ref.id, "file": offer.rule.ref.file, "line": offer.rule.ref.line},
                "reviewers": [clause.to_json() for clause in offer.approval.clauses],
                "for_s": offer.approval.for_s,
            }
            for offer in offers
        ],
        "unmasked": [{"column": str(o.column), "tag": o.tag} for o in found.opened],
        "filtered": [str(relation) for relation in (rewrite.filtered if rewrite else ())],
        "reviewers": [c.to_json() for c in decision.clauses] if isinstance(decision, NeedsApproval) else [],
        "runs": run.text if run else None,
    }
