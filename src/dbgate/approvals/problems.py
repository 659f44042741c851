"""Errors of the service as problem details (RFC 9457). No answer ever holds a stack trace."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from dbgate.approvals.refusals import (
    BadRequest,
    Busy,
    NotAllowed,
    UnknownRequest,
    WrongState,
)
from dbgate.errors import AuditUnavailable, DbgateError, SignInRequired, Unreachable
from dbgate.model import Json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

_KINDS: tuple[tuple[type[DbgateError], HTTPStatus, str], ...] = (
    (SignInRequired, HTTPStatus.UNAUTHORIZED, "sign-in-required"),
    (NotAllowed, HTTPStatus.FORBIDDEN, "not-allowed"),
    (UnknownRequest, HTTPStatus.NOT_FOUND, "unknown-request"),
    (WrongState, HTTPStatus.CONFLICT, "wrong-state"),
    (BadRequest, HTTPStatus.UNPROCESSABLE_ENTITY, "bad-request"),
    (Busy, HTTPStatus.TOO_MANY_REQUESTS, "busy"),
    (AuditUnavailable, HTTPStatus.SERVICE_UNAVAILABLE, "audit-unavailable"),
    (Unreachable, HTTPStatus.SERVICE_UNAVAILABLE, "unreachable"),
)

_HTTP = {
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
    HTTPStatus.REQUEST_TIMEOUT: "request-timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "content-too-large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
}
"""Python's phrases change between its versions; names of problems do not."""


def answer(status: HTTPStatus, kind: str, detail: str, **more: Json) -> Response:
    """A problem document. `kind` names the problem for programs, `detail` says it to people."""
    from starlette.responses import JSONResponse

    body = {"type": f"urn:dbgate:problem:{kind}", "title": status.phrase, "status": status.value, "detail": detail}
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return JSONResponse(body | more, status_code=status.value, media_type=MEDIA_TYPE, headers=headers)


def status_of(error: DbgateError) -> HTTPStatus:
    """The status of an answer that says what dbgate refuses."""
    return next((status for kind, status, _ in _KINDS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


async def on_refusal(request: Request, error: Exception) -> Response:
    """The answer for one of dbgate's own errors."""
    if not isinstance(error, DbgateError):
        raise error
    fitting = [(status, name) for kind, status, name in _KINDS if isinstance(error, kind)]
    status, name = fitting[0] if fitting else (HTTPStatus.INTERNAL_SERVER_ERROR, "internal")
    more: dict[str, Json] = {"hint": error.hint} if error.hint else {}
    if isinstance(error, WrongState):
        more["request_status"] = error.status
    response = answer(status, name, error.message, **more)
    if isinstance(error, SignInRequired):
        response.headers["WWW-Authenticate"] = 'Bearer realm="dbgate", error="invalid_token"'
    if isinstance(error, Busy):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unreachable | AuditUnavailable):
        response.headers["Retry-After"] = "1"
    return response


async def on_http_error(request: Request, error: Exception) -> Response:
    """The answer for what the router refuses: unknown paths, methods, media types."""
    from starlette.exceptions import HTTPException

    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    response = answer(status, _HTTP.get(status, "http"), error.detail)
    response.headers.update(error.headers or {})
    return response


async def on_crash(request: Request, error: Exception) -> Response:
    """The answer for what nobody expected. The details go to the service's own log only."""
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the service failed; its log says why")
