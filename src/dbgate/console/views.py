"""A request as the pages show it: what the API gives, and what follows from it for the reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dbgate.console.rendering import facts

if TYPE_CHECKING:
    from dbgate.approvals.records import StoredRequest
    from dbgate.approvals.service import ApprovalService
    from dbgate.model import Identity

_KNOWN = frozenset(
    "id status version created_at deadline approved_at requester target environment statement parameters binding"
    " policy_digest verb relations clauses needs rules reason message measured masked kind tags columns session"
    " expires_s last_event uses uses_left approvals may why_not".split()
)
"""The fields that the pages show in places of their own. Others are shown as they are."""


def view_of(service: ApprovalService, reader: Identity, request: StoredRequest) -> dict[str, Any]:
    """A request for the templates."""
    view: dict[str, Any] = dict(request.to_json())
    view["may"], view["why_not"] = service.allowed(reader, request)
    view["others"] = facts(view, _KNOWN)
    view["is_live"] = request.is_live
    view["total"] = sum(request.asked.measured.values())
    view["places"] = _places(view)
    view["wanted"] = sum(place["count"] for place in view["places"])
    view["have"] = sum(place["have"] for place in view["places"])
    view["title"] = _title(view)
    return view


def _title(view: Mapping[str, Any]) -> str:
    """What is asked for, in a few words: `update payroll.pay`."""
    if view["kind"] == "unmask":
        return f"see {', '.join(view['tags'])}"
    relations: Sequence[str] = view["relations"]
    more = f" and {len(relations) - 2} more" if len(relations) > 2 else ""
    return f"{view['verb']} {', '.join(relations[:2])}{more}".strip()


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
