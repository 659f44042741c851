r"""What `\why` says: the decision on the latest statement, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from dbgate.model import Allow, Decision, Deny, NeedsApproval, NeedsMeasure, Rewrite, RuleRef
from dbgate.text import printable


def tags_of(decision: Decision | None) -> dict[str, str]:
    """The tags of the columns that a decision masks, by column name."""
    run = decision.run if isinstance(decision, NeedsApproval) else decision
    return {masked.column.column: masked.tag for masked in run.masked} if isinstance(run, Rewrite) else {}


def explain(decision: Decision) -> list[str]:
    """The decision as printable lines."""
    return [printable(line, keep="\n") for line in _lines(decision)]


def _lines(decision: Decision) -> Iterable[str]:
    match decision:
        case Allow():
            yield f"Allowed{_by(decision.rules)}; nothing is masked."
        case Rewrite():
            yield f"Allowed{_by(decision.rules)}, and rewritten."
            yield from _rewritten(decision)
        case NeedsMeasure():
            yield f"The rows it touches have to be counted first{_by(decision.rules)}."
        case NeedsApproval():
            yield f"Needs approval{_by(decision.rules)}{f': {decision.reason}' if decision.reason else '.'}"
            for clause in decision.clauses:
                yield f"  {clause.count} of {' or '.join(clause.groups)}"
            if decision.measured is not None:
                counts = ", ".join(f"{count} of {relation}" for relation, count in decision.measured.counts)
                yield f"  rows it touches: {counts or 'none'}"
            if isinstance(decision.run, Rewrite):
                yield from _rewritten(decision.run)
        case Deny():
            yield f"Denied{_by(decision.rules)}: {decision.reason}"
            if decision.hint:
                yield f"hint: {decision.hint}"
        case _:
            assert_never(decision)


def _by(rules: Sequence[RuleRef]) -> str:
    if not rules:
        return ""
    return f" by rule{'s' if len(rules) > 1 else ''} {', '.join(map(str, rules))}"


def _rewritten(run: Rewrite) -> Iterable[str]:
    for masked in run.masked:
        yield f"  masked: {masked.column} ({masked.tag}, {masked.method})"
    for column in run.predicates:
        yield f"  compared on its mask: {column}"
    for relation in run.filtered:
        yield f"  rows filtered: {relation}"
    if not run.lineage_known:
        yield "  where the result's columns come from is not fully known"
    yield "It ran as:"
    yield from (f"  {line}" for line in run.text.split("\n"))
