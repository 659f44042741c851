"""Webhooks that nobody took, for the people whose requests they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dbgate.approvals.records import to_text
from dbgate.approvals.refusals import UnknownRequest
from dbgate.approvals.service import ApprovalService, is_visible
from dbgate.approvals.webhooks.outbox import DEAD, WAITING, Delivery

if TYPE_CHECKING:
    from dbgate.model import Identity, Json

MOST = 500


class Undelivered:
    """What was given up, and what failed and is tried again. Everybody sees those of requests that they may see."""

    def __init__(self, service: ApprovalService) -> None:
        self._service = service

    def find(self, caller: Identity) -> Sequence[Delivery]:
        """Those that were given up, then those that failed so far; the latest first."""
        late = [one for one in self._service.store.deliveries(WAITING, MOST) if one.attempts and one.error]
        found = [*self._service.store.deliveries(DEAD, MOST), *late]
        visible = {name: self._may_see(caller, name) for name in {one.request for one in found}}
        return [one for one in found if visible[one.request]]

    def again(self, caller: Identity, number: str) -> None:
        """Try once more what was given up. Raises `UnknownRequest` when there is none like that."""
        known = any(str(one.number) == number for one in self.find(caller))
        with self._service.store.begin() as unit:
            if not (known and unit.outbox.again(int(number), self._service.now())):
                raise UnknownRequest(
                    f"no webhook {number} was given up", hint="see them with: dbgate requests webhooks"
                )

    def _may_see(self, caller: Identity, request_id: str) -> bool:
        request = self._service.store.get(request_id)
        return request is not None and is_visible(caller, request)


def to_json(one: Delivery) -> dict[str, Json]:
    """A delivery as the API gives it. Of the hook's URL it holds the host only."""
    return {
        "number": one.number,
        "hook": one.label,
        "request": one.request,
        "event": one.event,
        "status": one.status,
        "attempts": one.attempts,
        "next_at": to_text(one.due_at) if one.status == WAITING else None,
        "at": to_text(one.at),
        "error": one.error,
    }
