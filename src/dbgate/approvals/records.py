"""What the service keeps: requests, approvals and events, as frozen values, and their JSON for people and clients."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from dbgate.approvals.reviewers import open_places
from dbgate.approvals.states import LIVE, Status
from dbgate.model import ApprovalRequest, Identity, Json, ReviewClause


class Approval(msgspec.Struct, frozen=True):
    """One person's agreement, with the groups they were in at that moment."""

    by: Identity
    at: datetime
    note: str = ""


class Event(msgspec.Struct, frozen=True):
    """One line of the append-only history. `by` is None for what the clock did."""

    number: int
    request: str
    at: datetime
    kind: str
    by: Identity | None = None
    note: str = ""

    def to_json(self) -> dict[str, Json]:
        """The event as the API and the stream of events give it."""
        return {
            "number": self.number,
            "request": self.request,
            "at": to_text(self.at),
            "kind": self.kind,
            "by": person_json(self.by) if self.by else None,
            "note": self.note,
        }


class StoredRequest(msgspec.Struct, frozen=True):
    """A request and where it stands.

    `deadline` is when a pending request expires or, once approved, when the grant does.
    `last` is its latest event, and the event's number its version.
    """

    id: str
    asked: ApprovalRequest
    requester: Identity
    status: Status
    created_at: datetime
    deadline: datetime
    approved_at: datetime | None = None
    uses: int = 1
    uses_left: int = 1
    approvals: tuple[Approval, ...] = ()
    last: Event | None = None

    @property
    def version(self) -> int:
        """A number that grows with everything that happens to the request."""
        return self.last.number if self.last else 0

    @property
    def needs(self) -> tuple[ReviewClause, ...]:
        """The clauses with the people that each still lacks."""
        return open_places([approval.by for approval in self.approvals], self.asked.clauses)

    @property
    def is_live(self) -> bool:
        """Whether something can still happen to it."""
        return self.status in LIVE

    def to_json(self) -> dict[str, Json]:
        """The request as the API gives it. Its fields are named as in `ApprovalRequest`."""
        asked = self.asked
        return {
            "id": self.id,
            "status": self.status.value,
            "version": self.version,
            "created_at": to_text(self.created_at),
            "deadline": to_text(self.deadline),
            "approved_at": to_text(self.approved_at) if self.approved_at else None,
            "requester": self.requester.to_json(),
            "target": asked.target,
            "environment": asked.environment,
            "statement": asked.statement,
            "parameters": list(asked.parameters),
            "binding": asked.binding,
            "policy_digest": asked.policy_digest,
            "verb": asked.verb,
            "relations": list(asked.relations),
            "clauses": [clause.to_json() for clause in asked.clauses],
            "needs": [clause.to_json() for clause in self.needs],
            "rules": list(asked.rules),
            "reason": asked.reason,
            "message": asked.message,
            "measured": dict(asked.measured),
            "masked": list(asked.masked),
            "kind": asked.kind.value,
            "tags": list(asked.tags),
            "columns": list(asked.columns),
            "session": asked.session,
            "expires_s": asked.expires_s,
            "limits": asked.limits.to_json(),
            "break_glass": list(asked.break_glass),
            "sample": msgspec.to_builtins(asked.sample),
            "last_event": self.last.to_json() if self.last else None,
            "uses": self.uses,
            "uses_left": self.uses_left,
            "approvals": [
                {"by": person_json(approval.by), "at": to_text(approval.at), "note": approval.note}
                for approval in self.approvals
            ],
        }


def person_json(person: Identity) -> dict[str, Json]:
    """Who somebody is, without their groups."""
    return {
        "issuer": person.issuer,
        "subject": person.subject,
        "email": person.email,
        "name": person.name,
        "actor": person.actor.value,
        "assurance": person.assurance.value,
    }


def to_text(moment: datetime) -> str:
    """A moment in UTC as RFC 3339 text with milliseconds and `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
