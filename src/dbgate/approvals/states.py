"""The life of an approval request: every state and every transition, in one table.

Pure: no I/O and no clock. A request starts `pending`; `denied`, `withdrawn`, `expired`, `redeemed` and
`revoked` are ends. What ran by breaking the glass starts `review-due`, for as long as it takes; `reviewed` and
`objected` are its ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from dbgate.approvals.refusals import WrongState


class Status(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REDEEMED = "redeemed"
    REVOKED = "revoked"
    REVIEW_DUE = "review-due"
    REVIEWED = "reviewed"
    OBJECTED = "objected"


class Action(StrEnum):
    """What can happen to a request."""

    APPROVE = "approve"
    """One more person agrees, and others are still needed."""
    COMPLETE = "complete"
    """The last person needed agrees: the grant's clock starts."""
    DENY = "deny"
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    USE = "use"
    """A grant with several uses is redeemed, and not for the last time: one that unmasks, by one more session."""
    REDEEM = "redeem"
    """The last use is redeemed."""
    REVOKE = "revoke"
    REVIEW = "review"
    """One more person has looked at what ran by breaking the glass, and others are still needed."""
    COMPLETE_REVIEW = "complete-review"
    OBJECT = "object"
    """A reviewer finds that it should not have run."""


TRANSITIONS: Mapping[tuple[Status, Action], Status] = {
    (Status.PENDING, Action.APPROVE): Status.PENDING,
    (Status.PENDING, Action.COMPLETE): Status.APPROVED,
    (Status.PENDING, Action.DENY): Status.DENIED,
    (Status.PENDING, Action.WITHDRAW): Status.WITHDRAWN,
    (Status.PENDING, Action.EXPIRE): Status.EXPIRED,
    (Status.APPROVED, Action.USE): Status.APPROVED,
    (Status.APPROVED, Action.REDEEM): Status.REDEEMED,
    (Status.APPROVED, Action.REVOKE): Status.REVOKED,
    (Status.APPROVED, Action.EXPIRE): Status.EXPIRED,
    (Status.REVIEW_DUE, Action.REVIEW): Status.REVIEW_DUE,
    (Status.REVIEW_DUE, Action.COMPLETE_REVIEW): Status.REVIEWED,
    (Status.REVIEW_DUE, Action.OBJECT): Status.OBJECTED,
}
"""From a state, by an action, to a state. What is not here cannot happen."""

LIVE = frozenset({Status.PENDING, Status.APPROVED})
"""States in which something can still happen."""

_WHY_NOT: Mapping[Status, str] = {
    Status.PENDING: "is not approved yet",
    Status.APPROVED: "is already approved",
    Status.DENIED: "was denied",
    Status.WITHDRAWN: "was withdrawn",
    Status.EXPIRED: "has expired",
    Status.REDEEMED: "was already redeemed",
    Status.REVOKED: "was revoked",
    Status.REVIEW_DUE: "ran by breaking the glass, and waits for its review",
    Status.REVIEWED: "was already reviewed",
    Status.OBJECTED: "was already reviewed, with an objection",
}

_HINTS: Mapping[Status, str] = {
    Status.PENDING: "wait for the reviewers, or see who is needed with: dbgate requests show {id}",
    Status.APPROVED: "take it back before it is used with: dbgate requests revoke {id}",
}


def move(status: Status, action: Action, request_id: str) -> Status:
    """The state after `action`. Raises `WrongState` when the table has no such transition."""
    after = TRANSITIONS.get((status, action))
    if after is None:
        hint = _HINTS.get(status, "run the statement again to file a new request")
        raise WrongState(
            f"request {request_id} {_WHY_NOT[status]}", status=status.value, hint=hint.format(id=request_id)
        )
    return after
