"""Lists of requests: the inbox, my own, and the history with its filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dbgate.approvals.states import LIVE, Status
from dbgate.approvals.store import Query
from dbgate.console.views import view_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from dbgate.approvals.records import StoredRequest
    from dbgate.approvals.service import ApprovalService
    from dbgate.console.calls import Call
    from dbgate.console.rendering import Pages

PAGE = 30
MOST = 200
_ROLES = ("all", "review", "mine")


class Lists:
    """The pages that list requests."""

    def __init__(self, pages: Pages, service: ApprovalService) -> None:
        self._pages = pages
        self._service = service

    def inbox(self, call: Call) -> Response:
        """What waits for the reader, what waits for others, and the reader's own open requests."""
        pending = self._find(call, role="review", statuses=(Status.PENDING, Status.REVIEW_DUE), limit=MOST)
        own = self._find(call, role="mine", statuses=(*LIVE, Status.REVIEW_DUE), limit=MOST)
        approved = self._find(call, role="review", statuses=(Status.APPROVED,), limit=MOST)
        to_do = [view for view in pending if "approve" in view["may"]]
        return self._pages.page(
            "inbox.html",
            call,
            to_do=sorted(to_do, key=lambda view: (not view["is_review"], str(view["deadline"]))),
            waiting=[view for view in pending if "approve" not in view["may"]],
            own=own,
            approved=approved,
        )

    def mine(self, call: Call) -> Response:
        """Everything that the reader asked for, or an agent for them."""
        found, more = self._page_of(call, role="mine")
        return self._pages.page("mine.html", call, requests=found, more=more)

    def history(self, call: Call) -> Response:
        """Every request that the reader may see, filtered."""
        role = call.query.get("role", "all")
        status = call.query.get("status", "")
        filters = {
            "role": role if role in _ROLES else "all",
            "status": status if status in list(Status) else "",
            "target": call.query.get("target", "").strip()[:200],
        }
        found, more = self._page_of(
            call,
            role=filters["role"],
            statuses=(Status(filters["status"]),) if filters["status"] else (),
            target=filters["target"],
        )
        return self._pages.page(
            "history.html", call, requests=found, more=more, filters=filters, statuses=[str(one) for one in Status]
        )

    def _page_of(self, call: Call, **wanted: Any) -> tuple[Sequence[dict[str, Any]], str]:
        """One page, and the id after which the next one begins, or empty."""
        found = self._find(call, before=call.query.get("before", "")[:100], limit=PAGE + 1, **wanted)
        return found[:PAGE], str(found[PAGE - 1]["id"]) if len(found) > PAGE else ""

    def _find(self, call: Call, **wanted: Any) -> list[dict[str, Any]]:
        found: Sequence[StoredRequest] = self._service.find(Query(viewer=call.identity, **wanted))
        return [view_of(self._service, call.identity, request) for request in found]
