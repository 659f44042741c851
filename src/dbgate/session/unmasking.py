"""The life of a request to see tags in clear for a while (design §5 and §8).

A generator like `life`: it yields effects and is sent their replies. It sends nothing to the database.

    a tag nobody knows ─────────────► notice on record ───────────────────────────────► 2
    no entry of the policy fits ────► notice on record ───────────────────────────────► 3
    an entry with approval ─► approval.requested ─► AskApproval ─┬─ Refused ──────────► 4
                                                                 └─ Grant ─► approval.redeemed ─► Open
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from dbgate.binding import unmask_binding
from dbgate.catalog import Catalog
from dbgate.errors import (
    EXIT_APPROVAL,
    EXIT_DENIED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    AuditUnavailable,
    DbgateError,
    UsageError,
)
from dbgate.gate.opening import Offer, columns_with, offers_for, plan_unmasking
from dbgate.gate.policy.model import Policy
from dbgate.gate.protection import Unmasked, protection_for
from dbgate.model import (
    ApprovalRequest,
    ColumnName,
    Decision,
    Deny,
    Grant,
    Identity,
    Json,
    NeedsApproval,
    RequestKind,
    ReviewClause,
    Rewrite,
)
from dbgate.session.attempt import closing, tell
from dbgate.session.effects import AskApproval, Effect, Finished, Open, Record, Refused, Show
from dbgate.session.messages import not_granted
from dbgate.session.ports import Display
from dbgate.session.records import Terms, grant_fields
from dbgate.text import span

Life = Generator[Effect, Any, Finished]

BELONGS_TO_NONE = 0
"""The `id` in records that belong to no statement."""

MAX_COLUMNS = 1000
"""So many columns are listed to reviewers; of more, their number is told."""


class Invitation:
    """Tells, once a session and tag, that a masked result may be opened, and how. `how` words the hint for a door."""

    def __init__(self, policy: Policy, identity: Callable[[], Identity], how: Callable[[Sequence[str]], str]) -> None:
        self._policy = policy
        self._identity = identity
        self._how = how
        self._told: set[str] = set()

    def extend(self, decision: Decision, display: Display) -> None:
        """Tell it of the masks in the result of a statement that ran."""
        run = decision.run if isinstance(decision, NeedsApproval) else decision
        if not isinstance(run, Rewrite) or not run.output:
            return
        new = {masked.tag for masked in run.masked} - self._told
        for offer in offers_for(self._policy, self._identity(), new):
            self._told.update(offer.tags)
            tags = ", ".join(offer.tags)
            display.message(
                "notice",
                f"{tags} may be opened {with_approval(offer)} ({offer.rule.ref.file}:{offer.rule.ref.line})",
                self._how(offer.tags),
            )


def unmask_lives(
    wanted: Sequence[str],
    reason: str,
    terms: Terms,
    policy: Policy,
    catalog: Callable[[], Catalog],
    how: Callable[[Sequence[str]], str],
) -> Iterator[Life]:
    """The lives of a wish to see tags, or globs of them, in clear: a request for each entry of the policy it takes.

    `how` says how this door is asked to open tags.
    """
    try:
        if terms.reason_required and not (reason or terms.reason):
            raise UsageError("the policy of this target asks for a reason", hint="say why you need to see them")
        plan = plan_unmasking(policy, terms.identity, wanted)
        protection = protection_for(catalog(), policy, terms.identity, Unmasked())
    except DbgateError as error:
        yield not_open_life(error)
        return
    if isinstance(plan, Deny):
        yield not_open_life(plan)
        return
    if plan.in_clear:
        yield seen_anyway_life(plan.in_clear)
    for offer in plan.offers:
        request = unmask_request(offer, columns_with(protection, offer.tags), terms, reason)
        yield unmask_life(request, terms, how(offer.tags))


def not_open_life(reason: Deny | DbgateError) -> Life:
    """The end of a wish that no request can be made of."""
    if isinstance(reason, Deny):
        yield from tell(BELONGS_TO_NONE, "denied", reason.reason, reason.hint)
        return Finished(BELONGS_TO_NONE, EXIT_DENIED, "deny")
    yield from tell(BELONGS_TO_NONE, "error", reason.message, reason.hint)
    return Finished(BELONGS_TO_NONE, reason.exit_code, "error", closes=closing(reason))


def seen_anyway_life(tags: Sequence[str]) -> Life:
    """The end of a wish for what the person sees without asking anybody."""
    yield from tell(BELONGS_TO_NONE, "notice", f"{', '.join(tags)} is shown to you in clear without asking")
    return Finished(BELONGS_TO_NONE, EXIT_OK, "allow")


def unmask_life(request: ApprovalRequest, terms: Terms, again: str) -> Life:
    """The life of one request, from asking to the opened tags. `again` says how to ask once it is approved."""
    tags = ", ".join(request.tags)
    if terms.dry_run:
        said = f"dry run: to see {tags} in clear, {_reviewers(request.clauses)} would have to approve; nobody was asked"
        yield from tell(BELONGS_TO_NONE, "notice", said)
        return Finished(BELONGS_TO_NONE, EXIT_APPROVAL, "approve", {"dry_run": True})
    yield Record("approval.requested", _request_fields(request))
    try:
        reply = yield AskApproval(request)
    except AuditUnavailable:
        raise
    except DbgateError as error:
        yield from tell(BELONGS_TO_NONE, "error", error.message, error.hint)
        return Finished(BELONGS_TO_NONE, error.exit_code, "approve", closes=closing(error))
    if isinstance(reply, Refused):
        return (yield from _refused(request, reply, again))
    grant: Grant = reply
    fields = grant_fields(BELONGS_TO_NONE, grant)
    yield Record("approval.redeemed", {**fields, "request_kind": str(grant.kind), "tags": list(grant.tags)})
    misfit = unfit(grant, request, terms)
    if misfit:
        yield from tell(BELONGS_TO_NONE, "denied", misfit, "ask for a new approval")
        return Finished(BELONGS_TO_NONE, EXIT_DENIED, "deny")
    yield Open(grant)
    return Finished(BELONGS_TO_NONE, EXIT_OK, "approve", {"grant": grant.id})


def unmask_request(offer: Offer, columns: Sequence[ColumnName], terms: Terms, reason: str) -> ApprovalRequest:
    """What reviewers are asked. `columns` are those of the target that carry the tags."""
    more = len(columns) - MAX_COLUMNS
    return ApprovalRequest(
        target=terms.target.name,
        environment=terms.target.environment,
        statement="",
        parameters=(),
        binding=unmask_binding(
            identity=terms.identity.key,
            target=terms.target.name,
            tags=offer.tags,
            for_s=offer.approval.for_s,
            policy_digest=terms.policy_digest,
        ),
        policy_digest=terms.policy_digest,
        verb="unmask",
        relations=tuple(sorted({f"{c.schema}.{c.table}" for c in columns[:MAX_COLUMNS]})),
        clauses=offer.approval.clauses,
        rules=(str(offer.rule.ref),),
        reason=reason or terms.reason,
        message=f"{more} further columns carry these tags" if more > 0 else "",
        session=terms.session,
        expires_s=offer.approval.for_s,
        kind=RequestKind.UNMASK,
        tags=offer.tags,
        columns=tuple(map(str, columns[:MAX_COLUMNS])),
    )


def unfit(grant: Grant, request: ApprovalRequest, terms: Terms) -> str:
    """Why a grant does not open the tags of `request`; empty when it does. Signature and expiry are verified before."""
    if grant.kind is not RequestKind.UNMASK or grant.tags != request.tags or grant.binding != request.binding:
        return f"the grant {grant.id} was given for something else"
    if grant.target != terms.target.name or grant.policy_digest != terms.policy_digest:
        return f"the grant {grant.id} was given for another target or policy"
    if grant.identity != terms.identity.key:
        return f"the grant {grant.id} was given to somebody else"
    if grant.clauses != request.clauses:
        return f"the grant {grant.id} was given by other reviewers than the policy asks for"
    return ""


def with_approval(offer: Offer) -> str:
    """Who has to approve, and for how long that opens: `for 30 min with approval by 1 of dba and 2 of legal`."""
    return f"for {span(offer.approval.for_s)} with approval by {_reviewers(offer.approval.clauses)}"


def _reviewers(clauses: Sequence[ReviewClause]) -> str:
    return " and ".join(f"{clause.count} of {' or '.join(clause.groups)}" for clause in clauses)


def _refused(request: ApprovalRequest, refused: Refused, again: str) -> Life:
    status = {"interrupted": "pending"}.get(refused.status, refused.status)
    fields: dict[str, Json] = {"id": BELONGS_TO_NONE, "request": refused.request, "detail": refused.detail}
    yield Record(f"approval.{status}", fields)
    tags, detail = ", ".join(request.tags), f": {refused.detail}" if refused.detail else ""
    if status == "pending":
        hint = f"once it is approved: {again}"
        yield Show("notice", f"{tags} stays masked, approval pending: request {refused.request}{detail}", hint)
    else:
        text, hint = not_granted(refused)
        yield Show("denied", f"{tags} stays masked: {text}", hint)
    code = EXIT_INTERRUPTED if refused.status == "interrupted" else EXIT_APPROVAL
    return Finished(BELONGS_TO_NONE, code, "approve", {"request": refused.request, "status": status})


def _request_fields(request: ApprovalRequest) -> dict[str, Json]:
    """`approval.requested`: what was asked of whom."""
    return {
        "id": BELONGS_TO_NONE,
        "request_kind": str(request.kind),
        "tags": list(request.tags),
        "columns": list(request.columns),
        "binding": request.binding,
        "clauses": [clause.to_json() for clause in request.clauses],
        "rules": list(request.rules),
        "reason": request.reason,
        "expires_s": request.expires_s,
    }
