"""Trying a policy: its `tests:` through the real gate, and the globs that match nothing in a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from dbgate.catalog import Catalog
from dbgate.errors import DbgateError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.opening import imagined_grant
from dbgate.gate.policy.globs import matches_parts
from dbgate.gate.policy.imagined import imagine
from dbgate.gate.policy.match import table_matches
from dbgate.gate.policy.model import Policy, PolicyTest
from dbgate.gate.syntax import Source, split
from dbgate.model import (
    Allow,
    Deny,
    Identity,
    Measured,
    NeedsApproval,
    NeedsMeasure,
    Relation,
    RequestKind,
    Rewrite,
    RuleRef,
)

NOON = datetime(2026, 1, 7, 12, 0, tzinfo=UTC)
"""When a test runs that names no time: a Wednesday, noon in UTC."""


class Failure(msgspec.Struct, frozen=True):
    """A test that did not come out as expected, and why."""

    test: PolicyTest
    reason: str


def run_tests(policy: Policy, catalog: Catalog | None = None, environment: str = "") -> list[Failure]:
    """Run the tests of a policy and return those that failed.

    Without a `catalog` one is imagined for each statement. `environment` holds for tests that name none.
    """
    failures = []
    for test in policy.tests:
        reason = _try(test, policy, catalog, environment)
        if reason:
            failures.append(Failure(test, reason))
    return failures


def _try(test: PolicyTest, policy: Policy, catalog: Catalog | None, environment: str) -> str:
    """Why a test fails, or nothing."""
    tester = Identity("policy-test:", test.email or "tester", test.email, groups=test.groups, actor=test.actor)
    try:
        sources = split(test.sql, dict(test.parameters))
        if len(sources) != 1:
            return f"a test holds one statement, this one {len(sources)}"
        found = judge_once(
            sources[0],
            policy=policy,
            catalog=catalog or imagine(sources[0].tree, policy),
            identity=tester,
            environment=test.environment or environment,
            now=test.at or NOON,
            rows=test.rows,
            unmasked=test.unmasked,
        )
    except DbgateError as error:
        return f"{error.message}; {error.hint}" if error.hint else error.message
    return _difference(test, found)


def judge_once(
    source: Source,
    *,
    policy: Policy,
    catalog: Catalog,
    identity: Identity,
    environment: str,
    now: datetime,
    rows: int | None = None,
    unmasked: Sequence[str] = (),
) -> Judgement:
    """Judge a statement; where rows are asked for, `rows` is the answer, if there is one.

    `unmasked` are tags, or globs of them, taken to be opened by a grant. Raises `UsageError` for one that the policy
    does not let the identity ask for.
    """
    opened = imagined_grant(policy, identity, unmasked)
    context = Context(identity, policy, catalog, environment, now, unmasked=opened)
    first = judge(source, context)
    if not isinstance(first.decision, NeedsMeasure):
        return first
    if rows is None:
        return replace(first, decision=first.decision.otherwise) if first.decision.otherwise else first
    relation = next((q.relation for q in first.decision.queries), Relation("", ""))
    return judge(source, replace(context, measured=Measured(((relation, rows),))))


def _difference(test: PolicyTest, found: Judgement) -> str:
    """How a judgement differs from what a test expects, or nothing."""
    decision = found.decision
    if isinstance(decision, NeedsMeasure):
        return f"it hangs on the rows that the statement touches ({listing(decision.rules)}): say rows: …"
    outcome = outcome_of(found)
    if outcome != test.expect:
        why = f": {decision.reason}" if isinstance(decision, Deny) else ""
        by = f" by {listing(decision.rules)}" if decision.rules else ""
        return "\n".join([f"expected {test.expect}, got {outcome}{by}{why}", *_more(found)])
    if test.rule and test.rule not in {rule.id for rule in decision.rules}:
        return f"expected the rule {test.rule}, got {listing(decision.rules) or 'none'}"
    other = _other_grant(test, decision)
    if other:
        return other
    masked = masked_of(found)
    if test.masked:
        missing = [glob for glob in test.masked if not any(_holds(glob, name) for name in masked)]
        extra = [name for name in masked if not any(_holds(glob, name) for glob in test.masked)]
        if missing or extra:
            return f"expected {', '.join(test.masked)} to be masked, got {', '.join(masked) or 'none'}"
    return _other_text(test, found)


def _other_grant(test: PolicyTest, decision: object) -> str:
    """How an approval would be good for something else than a test expects."""
    if not test.grant and test.uses is None:
        return ""
    if not isinstance(decision, NeedsApproval):
        return "it needs no approval, so there is no grant"
    if test.grant and test.grant != decision.kind:
        return f"expected a grant for a {test.grant}, got one for a {decision.kind}"
    if test.uses is not None and test.uses != decision.uses:
        return f"expected a grant for {test.uses} runs, got one for {decision.uses}"
    return ""


def _more(found: Judgement) -> list[str]:
    """What helps to see why it came out otherwise."""
    touches = dict.fromkeys(f"{t.verb} {t.relation}" if t.relation else t.verb for t in found.statement.touches)
    masked = masked_of(found)
    lines = [f"touches: {', '.join(touches)}"] if touches and not masked else []
    return [*lines, f"masked: {', '.join(masked)}"] if masked else lines


def _other_text(test: PolicyTest, found: Judgement) -> str:
    """How the text that would be sent differs from the one that a test expects."""
    run = found.decision.run if isinstance(found.decision, NeedsApproval) else found.decision
    if not test.rewritten:
        return ""
    sent = " ".join(run.text.split()) if isinstance(run, Allow | Rewrite) else ""
    wanted = " ".join(test.rewritten.split())
    if sent == wanted:
        return ""
    same = next((n for n, (a, b) in enumerate(zip(sent, wanted, strict=False)) if a != b), min(len(sent), len(wanted)))
    return f"another text would be sent:\n- {wanted}\n+ {sent or 'nothing'}\n  {' ' * same}^"


def outcome_of(found: Judgement) -> str:
    """`allow`, `mask`, `approve`, `break-glass` or `deny`; `rows` when it hangs on rows that are not known."""
    match found.decision:
        case Allow():
            return "allow"
        case Rewrite(masked=masked):
            return "mask" if masked else "allow"
        case NeedsApproval(kind=RequestKind.BREAK_GLASS):
            return "break-glass"
        case NeedsApproval():
            return "approve"
        case NeedsMeasure():
            return "rows"
        case Deny():
            return "deny"


def masked_of(found: Judgement) -> list[str]:
    """The columns that come out masked, as `schema.table.column`."""
    run = found.decision.run if isinstance(found.decision, NeedsApproval) else found.decision
    return sorted({str(m.column) for m in run.masked}) if isinstance(run, Rewrite) else []


def listing(rules: Iterable[RuleRef]) -> str:
    """The ids of rules."""
    return ", ".join(rule.id for rule in rules)


def _holds(glob: str, name: str) -> bool:
    return matches_parts(glob, *name.split("."))


class IdleGlob(msgspec.Struct, frozen=True):
    """A glob that matches nothing in a database, and where it stands."""

    glob: str
    ref: RuleRef


def idle_globs(policy: Policy, catalog: Catalog, files: Iterable[str]) -> Iterator[IdleGlob]:
    """The globs of `files` that match no column or table. `pg_temp` and the system's schemas always may."""
    wanted = set(files)
    for entry in policy.classify:
        if entry.ref.file in wanted:
            yield from (IdleGlob(g, entry.ref) for g in entry.columns if not _some_column(g, catalog))
    for rows in policy.rows:
        if rows.ref.file in wanted and not _some_table(rows.table, catalog):
            yield IdleGlob(rows.table, rows.ref)
    for rule in policy.rules:
        if rule.ref.file in wanted:
            yield from (IdleGlob(g, rule.ref) for g in rule.when.tables if not _some_table(g, catalog))


def _some_column(glob: str, catalog: Catalog) -> bool:
    return any(
        matches_parts(glob, relation.schema, relation.name, column.name)
        for relation in catalog.relations
        for column in relation.columns
    )


def _some_table(glob: str, catalog: Catalog) -> bool:
    if glob.startswith(("pg_temp.", "pg_catalog.", "information_schema.")):
        return True
    return any(table_matches((glob,), Relation(r.schema, r.name)) for r in catalog.relations)
