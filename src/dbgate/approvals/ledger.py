"""What the service decides goes into a record before it counts: the port through which it does.

`intend` is called inside the transaction that decides, right before its commit. When it raises, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from dbgate.approvals.records import StoredRequest, person_json, to_text
from dbgate.model import Identity, Json


class Decision(msgspec.Struct, frozen=True):
    """Something that happens to a request: `action` is the event's kind. `by` is None for what the clock does."""

    request: StoredRequest
    action: str
    at: datetime
    by: Identity | None
    note: str = ""

    def to_json(self) -> dict[str, Json]:
        """The fields of its record. Statement and parameters are in the binding alone: they may hold what is masked."""
        request = self.request
        asked = request.asked
        fields: dict[str, Json] = {
            "request": request.id,
            "action": self.action,
            "at": to_text(self.at),
            "by": person_json(self.by) | {"groups": list(self.by.groups)} if self.by else None,
            "note": self.note,
            "requester": person_json(request.requester),
            "request_target": asked.target,
            "environment": asked.environment,
            "binding": asked.binding,
            "policy_digest": asked.policy_digest,
            "request_kind": asked.kind.value,
            "status": request.status.value,
            "uses_left": request.uses_left,
        }
        if self.action in ("requested", "broke-glass"):
            fields |= {
                "verb": asked.verb,
                "relations": list(asked.relations),
                "rules": list(asked.rules),
                "clauses": [clause.to_json() for clause in asked.clauses],
                "measured": dict(asked.measured),
                "tags": list(asked.tags),
                "uses": request.uses,
                "expires_s": asked.expires_s,
                "session_of_request": asked.session,
            }
        return fields


class Refusal(msgspec.Struct, frozen=True):
    """An attempt that the service refused. `request` is the id as it was sent, empty for a new one."""

    action: str
    request: str
    by: Identity
    why: str

    def to_json(self) -> dict[str, Json]:
        """The fields of its record."""
        return {
            "request": self.request[:64],
            "action": self.action,
            "by": person_json(self.by) | {"groups": list(self.by.groups)},
            "why": self.why,
        }


class Access(msgspec.Struct, frozen=True):
    """Somebody came in, or looked at a recording: `action` is `signed-in` or `watched`, `session` is what was watched."""

    action: str
    by: Identity
    session: str = ""

    def to_json(self) -> dict[str, Json]:
        """The fields of its record."""
        return {
            "action": self.action,
            "by": person_json(self.by) | {"groups": list(self.by.groups)},
            "watched": self.session[:64],
        }


class Ledger(Protocol):
    """Keeps the record. Safe to use from several threads."""

    def intend(self, decisions: Sequence[Decision]) -> Sequence[int]:
        """Make decisions durable that are about to count; returns their numbers. Raises `AuditUnavailable`."""

    def settle(self, numbers: Sequence[int], *, is_done: bool) -> None:
        """Tell whether they count now; not `is_done` when nobody knows. Raises nothing: what is missing reads as unknown."""

    def refuse(self, refusal: Refusal) -> None:
        """Make a refused attempt durable. Raises `AuditUnavailable`."""

    def note(self, access: Access) -> None:
        """Make an access durable, before it is given. Raises `AuditUnavailable`."""

    def check(self) -> None:
        """Raise `AuditUnavailable` when nothing can be recorded now."""


class UnsafeUnrecorded:
    """Keeps nothing: for tests and measurements."""

    def intend(self, decisions: Sequence[Decision]) -> Sequence[int]:
        """Do nothing."""
        return ()

    def settle(self, numbers: Sequence[int], *, is_done: bool) -> None:
        """Do nothing."""

    def refuse(self, refusal: Refusal) -> None:
        """Do nothing."""

    def note(self, access: Access) -> None:
        """Do nothing."""

    def check(self) -> None:
        """Do nothing."""
