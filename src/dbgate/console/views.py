"""A request as the pages show it: what the API gives, and what follows from it for the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from dbgate.approvals.states import Status
from dbgate.console.rendering import facts

if TYPE_CHECKING:
    from dbgate.approvals.records import StoredRequest
    from dbgate.approvals.service import ApprovalService
    from dbgate.model import Identity

_KNOWN = frozenset(
    "id status version created_at deadline approved_at requester target environment statement parameters binding"
    " policy_digest verb relations clauses needs rules reason message measured masked kind tags columns session"
    " expires_s last_event uses uses_left approvals may why_not limits break_glass sample".split()
)
"""The fields that the pages show in places of their own. Others are shown as they are."""


def view_of(service: ApprovalService, reader: Identity, request: StoredRequest) -> dict[str, Any]:
    """A request for the templates."""
    view: dict[str, Any] = dict(request.to_json())
    view["may"], view["why_not"] = service.allowed(reader, request)
    view["others"] = facts(view, _KNOWN)
    view["is_live"] = request.is_live
    view["is_review"] = request.status is Status.REVIEW_DUE
    view["total"] = sum(request.asked.measured.values())
    view["places"] = _places(view)
    view["wanted"] = sum(place["count"] for place in view["places"])
    view["have"] = sum(place["have"] for place in view["places"])
    view["title"] = _title(view)
    view["labels"] = _labels(view)
    view["samples"] = _samples(view)
    return view


def _title(view: Mapping[str, Any]) -> str:
    """What is asked for, in a few words: `update payroll.pay`."""
    match view["kind"]:
        case "unmask":
            return f"see {', '.join(view['tags'])}"
        case "session":
            return f"a session under {', '.join(rule.split(' (')[0] for rule in view['rules'])}"
        case "transaction":
            return f"commit: {_touched(view)}"
    return _touched(view)


def _touched(view: Mapping[str, Any]) -> str:
    relations: Sequence[str] = view["relations"]
    more = f" and {len(relations) - 2} more" if len(relations) > 2 else ""
    return f"{view['verb']} {', '.join(relations[:2])}{more}".strip()


def _labels(view: Mapping[str, Any]) -> dict[str, str]:
    """What the actions are called: what ran already cannot be approved or denied any more."""
    usual = {"approve": "Approve", "deny": "Deny", "withdraw": "Withdraw", "revoke": "Revoke"}
    return usual | ({"approve": "Mark reviewed", "deny": "Object"} if view["status"] == "review-due" else {})


def _samples(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows that would change, as cells: `old` and `new`, one of them None where there is no such row."""
    found = []
    for sample in view["sample"]:
        before, after = sample["before"], sample["after"]
        pairs = zip_longest(before, after) if before and after else ((row, None) for row in before or after)
        rows = [
            [{"old": a, "new": b, "changes": new is not None and a != b} for a, b in zip(old, new or old, strict=True)]
            for old, new in pairs
            if old is not None
        ]
        found.append({**sample, "rows": rows})
    return found


def _places(view: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each reviewer clause with how many people it has and needs."""
    missing = list(view["needs"])
    found = []
    for clause in view["clauses"]:
        lacks = 0
        if missing and missing[0]["groups"] == clause["groups"]:
            lacks = missing.pop(0)["count"]
        found.append({"groups": clause["groups"], "count": clause["count"], "have": clause["count"] - lacks})
    return found
