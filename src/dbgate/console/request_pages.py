"""One request: everything that a reviewer needs, and the forms that decide it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import RedirectResponse

from dbgate.approvals.bodies import MAX_NOTE_CHARACTERS
from dbgate.approvals.problems import status_of
from dbgate.approvals.refusals import BadRequest, NotAllowed, WrongState
from dbgate.approvals.states import Status
from dbgate.console.views import view_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from dbgate.approvals.records import StoredRequest
    from dbgate.approvals.service import ApprovalService
    from dbgate.console.calls import Call
    from dbgate.console.rendering import Pages
    from dbgate.model import Identity

_Decide = Callable[["Identity", str, str], "StoredRequest"]

DONE = {
    "approve": "Your approval is recorded.",
    "review": "Your review is recorded.",
    "object": "Your objection is recorded.",
    "deny": "Your denial is recorded.",
    "withdraw": "The request is withdrawn.",
    "revoke": "The approval is revoked.",
}
"""What is said after an action. The names of the actions are those of the API."""


class RequestPages:
    """The page of a request, and its actions. They run through the service's own methods."""

    def __init__(self, pages: Pages, service: ApprovalService) -> None:
        self._pages = pages
        self._service = service
        self._actions: Mapping[str, _Decide] = {
            "approve": service.approve,
            "deny": service.deny,
            "withdraw": service.withdraw,
            "revoke": service.revoke,
        }

    def actions(self) -> tuple[str, ...]:
        """The names of the actions."""
        return tuple(self._actions)

    def show(self, call: Call) -> Response:
        """Everything about one request."""
        return self._show(call, said=DONE.get(call.query.get("done", ""), ""))

    def confirm(self, action: str) -> Callable[[Call], Response]:
        """A page with one form: what a dialog asks where scripts run."""

        def page(call: Call) -> Response:
            request = self._service.get(call.identity, call.path["id"])
            view = view_of(self._service, call.identity, request)
            if action not in view["may"]:
                return self._show(call, status=409, error=_why_not(view, action))
            return self._pages.page("confirm.html", call, request=view, action=action, note="", error="")

        return page

    def decide(self, action: str) -> Callable[[Call], Response]:
        """Do it: the same method of the service that the API calls."""

        def act(call: Call) -> Response:
            request_id, note = call.path["id"], call.form.get("note", "").strip()
            ran = self._service.get(call.identity, request_id).status is Status.REVIEW_DUE
            done = {"approve": "review", "deny": "object"}.get(action, action) if ran else action
            try:
                if len(note) > MAX_NOTE_CHARACTERS:
                    raise BadRequest(f"the note is longer than {MAX_NOTE_CHARACTERS} characters")
                self._actions[action](call.identity, request_id, note)
            except BadRequest as error:
                request = self._service.get(call.identity, request_id)
                view = view_of(self._service, call.identity, request)
                values = {"request": view, "action": action, "note": note, "error": error.message}
                return self._pages.page("confirm.html", call, status=status_of(error).value, **values)
            except (NotAllowed, WrongState) as error:
                return self._show(call, status=status_of(error).value, error=error.message)
            return RedirectResponse(f"/requests/{quote(request_id, safe='')}?done={done}", status_code=303)

        return act

    def _show(self, call: Call, *, status: int = 200, error: str = "", said: str = "") -> Response:
        request = self._service.get(call.identity, call.path["id"])
        history = self._service.history(call.identity, request.id)
        return self._pages.page(
            "request.html",
            call,
            status=status,
            request=view_of(self._service, call.identity, request),
            history=[event.to_json() for event in reversed(history)],
            error=error,
            said=said,
        )


def _why_not(view: Mapping[str, Any], action: str) -> str:
    if not view["is_live"] and not view["is_review"]:
        return f"this request is {view['status']}: there is nothing left to {action}"
    return str(view["why_not"]) or f"there is nothing to {action}"
