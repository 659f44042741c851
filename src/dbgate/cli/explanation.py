"""What `policy explain` prints of a judgement: five lines for people, or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dbgate.gate.policy.globs import matches_parts
from dbgate.model import Access, Allow, Deny, NeedsApproval, NeedsMeasure, Rewrite
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.errors import DbgateError
    from dbgate.gate.decide import Judgement
    from dbgate.gate.opening import Offer
    from dbgate.gate.policy.model import Policy
    from dbgate.model import Identity, MaskedColumn, RuleRef


class Asked(NamedTuple):
    """What an explanation is for: who asks where, and how the same statement would be judged for a number of rows."""

    policy: Policy
    identity: Identity
    environment: str
    with_rows: Callable[[int], Judgement]


def print_explanation(found: Judgement, asked: Asked, *, as_json: bool) -> None:
    """Print it to stdout."""
    from dbgate.gate.policy.advice import ranges, ways

    offers = _offers(found, asked.policy, asked.identity)
    to_pass = ways(found, asked.policy, asked.identity, asked.environment)
    by_rows = ranges(found, asked.with_rows, asked.policy, _brief)
    if as_json:
        fields = _fields(found, offers, asked.policy) | {"to_pass": to_pass, "by_rows": by_rows}
        print(json.dumps(fields, ensure_ascii=False))
        return
    facts = [
        ("decision", _coloured(found, _decision(found, asked.policy, by_rows))),
        ("rules", _rules(found)),
        ("touches", _touches(found)),
    ]
    if _run(found) is not None:
        facts.append(("masked", _masked(found, offers, asked.policy)))
    if found.opened:
        facts.append(("in clear", _opened(found)))
    if filtered := _filtered(found, asked.policy):
        facts.append(("rows", filtered))
    if to_pass:
        facts.append(("to pass", printable("; or ".join(to_pass))))
    facts.append(("runs", _highlighted(_text(found)) or _nothing(found)))
    for name, value in facts:
        print(f"{name + ':':<10}{value or '-'}")


def error_fields(error: DbgateError) -> dict[str, Any]:
    """What JSON tells of a statement that cannot be judged."""
    return {"decision": "error", "reason": error.message, "hint": error.hint, "rules": [], "masked": [], "runs": None}


def _run(found: Judgement) -> Allow | Rewrite | None:
    decision = found.decision.run if isinstance(found.decision, NeedsApproval) else found.decision
    return decision if isinstance(decision, Allow | Rewrite) else None


def _decision(found: Judgement, policy: Policy, by_rows: Sequence[str]) -> str:
    match found.decision:
        case Deny() as refusal:
            return printable(f"deny: {refusal.reason}")
        case NeedsMeasure():
            return printable(f"depends on the rows that it touches: {'; '.join(by_rows)}")
        case NeedsApproval() as held:
            why = f": {held.reason}" if held.reason else ""
            return printable(f"{_brief(found)}{why}")
        case _:
            return printable(_brief(found) + _limits(found, policy))


def _brief(found: Judgement) -> str:
    """The decision in a few words."""
    from dbgate.gate.policy.advice import terms

    match found.decision:
        case Allow():
            return "allow"
        case Rewrite() as run:
            what = [w for w, there in (("masked", run.masked), ("rows filtered", run.filtered)) if there]
            return f"allow, {' and '.join(what)}" if what else "allow"
        case NeedsMeasure():
            return "depends on the rows"
        case NeedsApproval() as held:
            return terms(held)
        case Deny():
            return "deny"


def _limits(found: Judgement, policy: Policy) -> str:
    """The policy's limits on what runs, in words."""
    limits = policy.limits
    parts = []
    if limits.rows is not None and found.statement.access is Access.READ:
        parts.append(f"at most {limits.rows:,} rows")
    if limits.statement_timeout_s is not None:
        parts.append(f"stopped after {_span(limits.statement_timeout_s)}")
    return f"; {', '.join(parts)}" if parts else ""


def _span(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 and seconds % 30 == 0 else f"{seconds:g} s"


def _rules(found: Judgement) -> str:
    rules = found.decision.rules
    if rules:
        return printable(", ".join(str(rule) for rule in rules))
    return "none" if isinstance(found.decision, Deny) else ""


def _nothing(found: Judgement) -> str:
    if isinstance(found.decision, NeedsMeasure):
        return "say --rows N to see what runs for so many rows"
    return "nothing" if isinstance(found.decision, Deny) else ""


_COLOURS = {"allow": "32", "deny": "1;31", "approve": "35", "depends": "33"}


def _coloured(found: Judgement, text: str) -> str:
    """The first word in the decision's colour, on a terminal."""
    word = next((word for word in _COLOURS if text.startswith(word)), "")
    return f"\x1b[{_COLOURS[word]}m{word}\x1b[0m{text[len(word) :]}" if word and _on_terminal() else text


def _on_terminal() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _touches(found: Judgement) -> str:
    touches = found.statement.touches
    return printable(", ".join(dict.fromkeys(f"{t.verb} {t.relation}" if t.relation else t.verb for t in touches)))


def _offers(found: Judgement, policy: Policy, identity: Identity) -> tuple[Offer, ...]:
    """The entries of the policy by which the masked tags may be opened."""
    from dbgate.gate.opening import offers_for

    run = _run(found)
    return offers_for(policy, identity, (m.tag for m in run.masked)) if isinstance(run, Rewrite) else ()


def _masked(found: Judgement, offers: Iterable[Offer], policy: Policy) -> str:
    """Each masked column: its tag and mask, what labelled it, whether conditions meet its mask, who may open it."""
    from dbgate.session.unmasking import with_approval

    run = _run(found)
    how = {tag: f"may be opened {with_approval(offer)}" for offer in offers for tag in offer.tags}
    told = []
    for column in run.masked if isinstance(run, Rewrite) else ():
        compared = "compared on its mask" if isinstance(run, Rewrite) and column.column in run.predicates else ""
        parts = [f"{column.tag}: {_mask(column, policy)}", _labelled(column, policy), compared, how.get(column.tag, "")]
        told.append(f"{column.column} ({'; '.join(part for part in parts if part)})")
    return printable(", ".join(dict.fromkeys(told)))


def _mask(column: MaskedColumn, policy: Policy) -> str:
    method = dict(policy.mask).get(column.tag)
    if method is None or method.method != "partial":
        return column.method
    kept = [f"{word} {count}" for word, count in (("first", method.first), ("last", method.last)) if count]
    return f"partial, {' and '.join(kept)}"


def _labels(column: MaskedColumn, policy: Policy) -> list[RuleRef]:
    """The `classify` entries that give a column its tag; none where the label came along with the values."""
    name = (column.column.schema, column.column.table, column.column.column)
    return [e.ref for e in policy.classify if e.tag == column.tag and any(matches_parts(g, *name) for g in e.columns)]


def _labelled(column: MaskedColumn, policy: Policy) -> str:
    refs = _labels(column, policy)
    if not refs:
        return "labelled where its values come from"
    # What extends comes after what it extends: the policy's own entry goes before those of others.
    return f"labelled in {Path(refs[-1].file).name}:{refs[-1].line}"


def _filtered(found: Judgement, policy: Policy) -> str:
    """The row filters that hold, with their places."""
    run = _run(found)
    relations = run.filtered if isinstance(run, Rewrite) else ()
    filters = [(r, f) for r in relations for f in policy.rows if matches_parts(f.table, r.schema, r.name)]
    return printable(", ".join(f"{r} only where {f.where} ({Path(f.ref.file).name}:{f.ref.line})" for r, f in filters))


def _opened(found: Judgement) -> str:
    return printable(", ".join(f"{o.column} ({o.tag}, by an approval)" for o in found.opened))


def _text(found: Judgement) -> str:
    run = _run(found)
    return run.text if run else ""


def _highlighted(text: str) -> str:
    """SQL with colours on a terminal."""
    shown = printable(text, keep="\n\t")
    if not text or not _on_terminal():
        return shown
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import PostgresLexer

    return highlight(shown, PostgresLexer(stripnl=False), TerminalFormatter()).rstrip("\n")


def _fields(found: Judgement, offers: Iterable[Offer], policy: Policy) -> dict[str, Any]:
    from dbgate.gate.policy.trial import outcome_of

    decision, run = found.decision, _run(found)
    rewrite = run if isinstance(run, Rewrite) else None
    return {
        "decision": outcome_of(found),
        "reason": decision.reason if isinstance(decision, Deny | NeedsApproval) else "",
        "hint": decision.hint if isinstance(decision, Deny) else "",
        "statement": found.statement.text,
        "verb": found.statement.verb,
        "access": str(found.statement.access),
        "rules": [{"id": r.id, "file": r.file, "line": r.line} for r in decision.rules],
        "touches": [{"verb": t.verb, "relation": str(t.relation or "")} for t in found.statement.touches],
        "masked": [
            {
                "column": str(m.column),
                "tag": m.tag,
                "method": m.method,
                "labelled": [{"file": ref.file, "line": ref.line} for ref in _labels(m, policy)],
                "compared": rewrite is not None and m.column in rewrite.predicates,
            }
            for m in (rewrite.masked if rewrite else ())
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
        "limits": {"rows": policy.limits.rows, "statement_timeout_s": policy.limits.statement_timeout_s},
        "runs": run.text if run else None,
    }
