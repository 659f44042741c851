"""The fields of the records that a statement leaves in the transcript (design §7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

import msgspec

from dbgate.binding import binding
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
    Rewrite,
    RuleRef,
    Target,
)

if TYPE_CHECKING:
    from dbgate.gate.decide import Judgement
    from dbgate.gate.syntax import Source


class Terms(msgspec.Struct, frozen=True):
    """What holds for every statement of a session. `reason` is the person's; `session` the transcript's id."""

    identity: Identity
    target: Target
    policy_digest: str
    session: str
    limits: Limits = msgspec.field(default_factory=Limits)
    reason: str = ""
    reason_required: bool = False
    dry_run: bool = False


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
        "tags": list(judgement.tags),
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
    if run is not None and judgement.opened:
        fields["unmasked"] = [column.to_json() for column in judgement.opened]
    if terms.dry_run:
        fields["dry_run"] = True
    return fields


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
    return fields


def request_for(source: Source, judgement: Judgement, decision: NeedsApproval, terms: Terms) -> ApprovalRequest:
    """What reviewers are asked: the exact statement and parameters, bound to this identity, target and policy."""
    return ApprovalRequest(
        target=terms.target.name,
        environment=terms.target.environment,
        statement=source.text,
        parameters=source.parameters,
        binding=binding(
            identity=terms.identity.key,
            target=terms.target.name,
            statement=source.text,
            parameters=source.parameters,
            policy_digest=terms.policy_digest,
        ),
        policy_digest=terms.policy_digest,
        verb=judgement.statement.verb,
        relations=tuple(_names([t.relation for t in judgement.statement.touches])),
        clauses=decision.clauses,
        rules=tuple(rule_names(decision.rules)),
        reason=terms.reason,
        message=decision.reason,
        measured=decision.measured.to_json() if decision.measured else {},  # type: ignore[arg-type]
        masked=tuple(masked_names(decision.run)),
        session=terms.session,
        expires_s=decision.expires_s,
    )


def request_fields(number: int, request: ApprovalRequest, judgement: Judgement) -> dict[str, Json]:
    """`approval.requested`: what was asked of whom. An intent follows when the answer is known."""
    return {
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


def grant_fields(number: int, grant: Grant) -> dict[str, Json]:
    """`approval.redeemed`: the grant under which a statement runs. The signed token is not recorded."""
    return {
        "id": number,
        "request": grant.request,
        "grant": grant.id,
        "binding": grant.binding,
        "approved_by": list(grant.approved_by),
        "expires_at": grant.expires_at.isoformat(),
        "uses": grant.uses,
        "measured": dict(grant.measured),
    }


def masked_names(run: Allow | Rewrite | None) -> list[str]:
    """The labelled columns that a run meets as masks, as `schema.table.column`."""
    return sorted({str(m.column) for m in run.masked}) if isinstance(run, Rewrite) else []


def rule_names(rules: Sequence[RuleRef]) -> list[str]:
    """Rules as records name them: `id (file:line)`."""
    return [str(rule) for rule in rules]


def _names(relations: Sequence[object]) -> list[str]:
    return sorted({str(relation) for relation in relations if relation is not None})
