"""How a request begins: its binding, how long it waits and for how many uses, and which open one stands for it."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from dbgate.approvals.records import StoredRequest
from dbgate.approvals.refusals import BadRequest
from dbgate.approvals.states import Status
from dbgate.binding import binding_of
from dbgate.model import ApprovalRequest, Identity, RequestKind

MIN_UNMASK_WAIT_S = 3600
"""How long a request to unmask waits for reviewers at least, in seconds: longer than some are granted for."""

MAX_UNMASK_SESSIONS = 1000
"""How many sessions may use one approval to unmask while it lives."""


def check_binding(caller: Identity, asked: ApprovalRequest) -> None:
    """Raise `BadRequest` unless the binding is that of what was posted, by this caller."""
    if not secrets.compare_digest(binding_of(caller.key, asked), asked.binding):
        bound = _BOUND.get(asked.kind, "statement, parameters")
        raise BadRequest(
            f"the binding does not fit the {bound}, target, policy and caller",
            hint="sign in as the identity that runs the statement",
        )


_BOUND = {RequestKind.UNMASK: "tags, duration", RequestKind.SESSION: "rules, duration, limits"}
OTHER = {
    RequestKind.STATEMENT: "another statement, parameters,",
    RequestKind.UNMASK: "other tags or another duration,",
    RequestKind.SESSION: "other rules, limits, another duration,",
    RequestKind.TRANSACTION: "another transaction,",
    RequestKind.BREAK_GLASS: "another statement, parameters,",
}


def used(request: StoredRequest) -> str:
    """The event for one use: `opened` by one more session, `used` by one of several runs, `redeemed` by the last."""
    if request.asked.kind in {RequestKind.UNMASK, RequestKind.SESSION}:
        return "opened" if request.uses_left > 1 or request.asked.kind is RequestKind.SESSION else "redeemed"
    return "used" if request.uses_left > 1 else "redeemed"


def new_request(caller: Identity, asked: ApprovalRequest, now: datetime) -> StoredRequest:
    """A pending request. One to unmask is granted for a time, and not for one run: several sessions may use it. One for a
    session is for one."""
    for_a_while = asked.kind in {RequestKind.UNMASK, RequestKind.SESSION}
    waits_s = max(asked.expires_s, MIN_UNMASK_WAIT_S) if for_a_while else asked.expires_s
    uses = MAX_UNMASK_SESSIONS if asked.kind is RequestKind.UNMASK else asked.uses
    return StoredRequest(
        id=secrets.token_hex(8),
        asked=asked,
        requester=caller,
        status=Status.PENDING,
        created_at=now,
        deadline=now + timedelta(seconds=waits_s),
        uses=uses,
        uses_left=uses,
    )


def covers(live: StoredRequest, asked: ApprovalRequest) -> bool:
    """Whether an open request stands for the same run: same binding, reviewers and uses, and rows at least as many."""
    return (
        live.asked.binding == asked.binding
        and live.asked.clauses == asked.clauses
        and live.asked.uses == asked.uses
        and live.uses_left > 0
        and all(live.asked.measured.get(name, -1) >= count for name, count in asked.measured.items())
    )
