"""What goes wrong, as pages that say what to do. No page ever holds a stack trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from dbgate.approvals.problems import status_of
from dbgate.approvals.refusals import Busy
from dbgate.errors import DbgateError, SignInRequired

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from dbgate.console.rendering import Pages

_TITLES = {
    400: "That was not understood",
    401: "Sign in",
    403: "Not allowed",
    404: "Nothing here",
    405: "That cannot be done here",
    409: "Too late for that",
    422: "That was not understood",
    429: "Too fast",
    503: "Not reachable",
}


def handlers(pages: Pages) -> Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]:
    """The handlers of errors, by kind."""

    async def on_refusal(request: Request, error: Exception) -> Response:
        if not isinstance(error, DbgateError):
            raise error
        status = status_of(error)
        response = failure(pages, status, error.message, error.hint, signs_in=isinstance(error, SignInRequired))
        if isinstance(error, Busy):
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    async def on_http_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        said = "" if error.detail == HTTPStatus(error.status_code).phrase else error.detail
        return failure(pages, error.status_code, said)

    async def on_crash(request: Request, error: Exception) -> Response:
        return failure(pages, 500, "The service failed; its log says why.")

    return {DbgateError: on_refusal, HTTPException: on_http_error, Exception: on_crash}


def failure(pages: Pages, status: int, message: str, hint: str = "", *, signs_in: bool = False) -> Response:
    """A page that says what went wrong."""
    title = _TITLES.get(status, "Something went wrong")
    return pages.page("failure.html", status=status, title=title, message=message, hint=hint, signs_in=signs_in)
