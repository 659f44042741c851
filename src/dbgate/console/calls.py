"""What a page is told about the request that it answers, and the checks that every form passes first."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
from starlette.exceptions import HTTPException

from dbgate.approvals.refusals import BadRequest, NotAllowed
from dbgate.console.visits import Visit

if TYPE_CHECKING:
    from starlette.requests import Request

    from dbgate.console.address import Address
    from dbgate.model import Identity

MAX_FORM_BYTES = 64 * 1024
FORM_TIMEOUT_S = 30.0
BACKGROUND = "x-dbgate-background"
"""The header of what a page fetches by itself: nobody moved, so the visit's idle time goes on."""

_FORM = "application/x-www-form-urlencoded"
_NOT_OURS = "this form does not come from a page of this console"


class Call(msgspec.Struct, frozen=True):
    """One request of somebody who is signed in. `path` holds the path's parameters; later values of a name win."""

    visit: Visit
    url: str
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    form: Mapping[str, str] = {}

    @property
    def identity(self) -> Identity:
        """Who sends it."""
        return self.visit.identity


async def read_form(request: Request, visit: Visit, address: Address) -> dict[str, str]:
    """The fields of a form that a page of this console made for this visit.

    Two checks, either of which would do: the browser says that the form was sent from this origin (`Origin`,
    Fetch Metadata), and it holds the visit's token. Raises `NotAllowed`, `BadRequest`, `HTTPException` 408, 413, 415.
    """
    check_origin(request, address)
    fields = await read_fields(request)
    if not secrets.compare_digest(fields.pop("csrf", "").encode(), visit.csrf.encode()):
        raise NotAllowed(_NOT_OURS, hint="open the page again, and send it anew")
    return fields


def check_origin(request: Request, address: Address) -> None:
    """Raise `NotAllowed` unless the browser says that a page of this console sends the request."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin != address.origin or site not in (None, "same-origin"):
        raise NotAllowed(_NOT_OURS, hint=f"use the console at {address.origin}")


async def read_fields(request: Request) -> dict[str, str]:
    """The fields of a form. Raises `BadRequest`, and `HTTPException` 408, 413 or 415."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(415, f"send {_FORM}")
    content = bytearray()
    try:
        async with asyncio.timeout(FORM_TIMEOUT_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_FORM_BYTES:
                    raise HTTPException(413, f"more than {MAX_FORM_BYTES} bytes")
    except TimeoutError as error:
        raise HTTPException(408, "the form did not arrive in time") from error
    try:
        pairs = parse_qsl(content.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError as error:
        raise BadRequest("the form is not what this takes") from error
    if any("\0" in value for _, value in pairs):
        raise BadRequest("a text holds a NUL character")
    # Browsers send line ends as CR LF (WHATWG HTML, 4.10.21.4).
    return {name: value.replace("\r\n", "\n") for name, value in pairs}
