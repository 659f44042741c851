"""The fields of the records that a statement leaves in the transcript (design §7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import msgspec
from msgspec.structs import replace

from dbgate.binding import binding_of
from dbgate.gate.policy.model import Limits
from dbgate.model import (
    Allow,
    ApprovalRequest,
    Deny,
    Grant,
    Identity,
    Json,
    NeedsApproval,
    NeedsMeasure,
    OpenedColumn,
    Outcome,
    RequestKind,
    Rewrite,
    RuleRef,
    Sample,
    Target,
)

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source


class Terms(msgspec.Struct, frozen=True):
    """What holds for every statement of a session. `reason` is the person's; `session` the transcript's id.

    `holds_commits` tells that the policy may hold a COMMIT: then what transactions change is counted.
    """

    identity: Identity
    target: Target
    policy_digest: str
    session: str
    limits: Limits = msgspec.field(default_factory=Limits)
    reason: str = ""
    reason_required: bool = False
    dry_run: bool = False
    holds_commits: bool = False


def decision_word(judgement: Judgement) -> str:
    """The decision as one word: `allow`, `rewrite`, `approve`, `deny`, or `measure` for one not yet final."""
    match judgement.decision:
        case Allow():
            return "allow"
        case Rewrite():
            return "rewrite"
        case NeedsApproval():
            return "approve"
        case Deny():
            return "deny"
        case NeedsMeasure():
            return "measure"
    assert_never(judgement.decision)


def intent_fields(
    number: int, judgement: Judgement, terms: Terms, *, run: Allow | Rewrite | None = None
) -> dict[str, Json]:
    """`statement.intent`: what was decided of a statement, before anything is sent. `run` is what will be sent."""
    decision = judgement.decision
    statement = judgement.statement
    fields: dict[str, Json] = {
        "id": number,
        "text": judgement.recorded_text,
        "parameters": list(judgement.recorded_parameters),
        "verb": statement.verb,
        "access": str(statement.access),
        "relations": _names([t.relation for t in statement.touches]),
        "writes": _names(statement.writes),
        "columns": _names(judgement.columns),
        "tags": list(judgement.tags),
        "labelled": [column.to_json() for column in judgement.labelled],
        "decision": decision_word(judgement),
        "rules": rule_names(decision.rules),
        "reason": terms.reason,
    }
    if isinstance(decision, Deny):
        fields["denied"] = decision.reason
    if run is not None and run.text != statement.text:
        fields["rewritten"] = judgement.recorded_rewritten
    if isinstance(run, Rewrite):
        fields["masked"] = masked_names(run)
        fields["lineage_known"] = run.lineage_known
    if run is not None and run.under:
        fields["session_grants"] = list(run.under)
    if run is not None and run.held:
        fields["held"] = rule_names([held.rule for held in run.held])
    if run is not None and judgement.opened:
        fields["unmasked"] = [column.to_json() for column in judgement.opened]
    if terms.dry_run:
        fields["dry_run"] = True
    return fields


def look_fields(number: int, what: str, judgement: Judgement) -> dict[str, Json]:
    """`notice` before rows of a statement are counted or sampled: its conditions are about to be sent, read-only."""
    return {
        "id": number,
        "level": "notice",
        "text": what,
        "statement": judgement.recorded_text,
        "parameters": list(judgement.recorded_parameters),
    }


def unread_fields(number: int, text: str, message: str, terms: Terms) -> dict[str, Json]:
    """`statement.intent` of a text that was not decided: it did not parse, or deciding it failed."""
    fields: dict[str, Json] = {
        "id": number,
        "text": text,
        "parameters": [],
        "decision": "error",
        "error": message,
        "rules": [],
        "reason": terms.reason,
    }
    if terms.dry_run:
        fields["dry_run"] = True
    return fields


def outcome_fields(
    number: int, outcome: Outcome, run: Allow | Rewrite | None, opened: Sequence[OpenedColumn] = ()
) -> dict[str, Json]:
    """`statement.outcome`: how the statement ended.

    A result with columns that a grant opened has no digest: a guess could be held against it.
    """
    fields: dict[str, Json] = {
        "id": number,
        "status": outcome.status,
        "rows": outcome.rows,
        "bytes": outcome.size_bytes,
        "duration_ms": round(outcome.duration_ms, 3),
        "masked": masked_names(run),
        "digest": "" if opened else outcome.digest,
    }
    if opened:
        fields["unmasked"] = sorted({str(column.column) for column in opened})
    if outcome.sqlstate:
        fields["sqlstate"] = outcome.sqlstate
    if outcome.message:
        fields["message"] = outcome.message
    if outcome.truncated:
        fields["truncated"] = True
    if outcome.changed:
        fields["changed"] = dict(outcome.changed)
    return fields


def request_for(
    source: Source, judgement: Judgement, decision: NeedsApproval, terms: Terms, sample: tuple[Sample, ...] = ()
) -> ApprovalRequest:
    """What reviewers are asked: the exact statement and parameters (at a COMMIT, the transaction's), bound to this
    identity, target and policy."""
    whole = decision.kind is RequestKind.TRANSACTION
    measured = decision.measured.to_json() if decision.measured else decision.changed
    request = ApprovalRequest(
        target=terms.target.name,
        environment=terms.target.environment,
        statement=decision.statement if whole else source.text,
        parameters=decision.parameters if whole else source.parameters,
        binding="",
        policy_digest=terms.policy_digest,
        verb=judgement.statement.verb,
        relations=tuple(_names([t.relation for t in judgement.statement.touches])),
        clauses=decision.clauses,
        rules=tuple(sorted(rule_names(decision.rules))),
        reason=terms.reason,
        message=decision.reason,
        measured=measured,  # type: ignore[arg-type]
        masked=tuple(masked_names(decision.run)),
        session=terms.session,
        expires_s=decision.expires_s,
        kind=decision.kind,
        uses=decision.uses,
        limits=decision.limits,
        break_glass=decision.break_glass,
        sample=sample,
    )
    return replace(request, binding=binding_of(terms.identity.key, request))


def request_fields(number: int, request: ApprovalRequest, judgement: Judgement) -> dict[str, Json]:
    """`approval.requested`: what was asked of whom. An intent follows when the answer is known."""
    fields: dict[str, Json] = {
        "id": number,
        "text": judgement.recorded_text,
        "parameters": list(judgement.recorded_parameters),
        "binding": request.binding,
        "verb": request.verb,
        "relations": list(request.relations),
        "clauses": [clause.to_json() for clause in request.clauses],
        "rules": list(request.rules),
        "reason": request.reason,
        "measured": dict(request.measured),
        "expires_s": request.expires_s,
    }
    if request.kind is not RequestKind.STATEMENT:
        fields["request_kind"] = str(request.kind)
    if request.uses > 1:
        fields["uses"] = request.uses
    if request.kind is RequestKind.SESSION:
        fields["limits"] = request.limits.to_json()
    return fields


def grant_fields(number: int, grant: Grant) -> dict[str, Json]:
    """`approval.redeemed`: the grant under which a statement runs. The signed token is not recorded."""
    fields: dict[str, Json] = {
        "id": number,
        "request": grant.request,
        "grant": grant.id,
        "binding": grant.binding,
        "approved_by": list(grant.approved_by),
        "expires_at": grant.expires_at.isoformat(),
        "uses": grant.uses,
        "measured": dict(grant.measured),
    }
    if grant.kind is not RequestKind.STATEMENT:
        fields["request_kind"] = str(grant.kind)
    if grant.kind is RequestKind.SESSION:
        fields |= {"rules": list(grant.rules), "limits": grant.limits.to_json()}
    return fields


def masked_names(run: Allow | Rewrite | None) -> list[str]:
    """The labelled columns that a run meets as masks, as `schema.table.column`."""
    return sorted({str(m.column) for m in run.masked}) if isinstance(run, Rewrite) else []


def rule_names(rules: Sequence[RuleRef]) -> list[str]:
    """Rules as records name them: `id (file:line)`."""
    return [str(rule) for rule in rules]


def _names(relations: Sequence[object]) -> list[str]:
    return sorted({str(relation) for relation in relations if relation is not None})
