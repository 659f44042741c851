"""Reading requests and writing answers: sizes, types and times are checked here."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from dbgate.approvals import bodies
from dbgate.approvals.refusals import BadRequest
from dbgate.approvals.states import Status
from dbgate.approvals.store import Query
from dbgate.model import Identity, Json
from dbgate.text import suggest

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

EVENT_STREAM = "text/event-stream"
MAX_PAGE = 200
BODY_TIMEOUT_S = 30.0
BRIEF_CHARACTERS = 1000

ROLES = ("all", "mine", "review")
_FILTERS = ("role", "status", "target", "prefix", "before", "limit")
_KEY = re.compile(r"[A-Za-z0-9_.:-]{8,128}")
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_Body = TypeVar("_Body")


class EventStream(StreamingResponse):
    """A stream of events that calls `on_end` once, however it ends."""

    media_type = EVENT_STREAM

    def __init__(self, events: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(events, headers=HEADERS | {"X-Accel-Buffering": "no"})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def answer_json(content: Mapping[str, Json] | bytes, *, status: int = 200) -> Response:
    """A JSON answer that nobody may keep; bytes are JSON already."""
    encoded = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(encoded, status_code=status, headers=HEADERS, media_type="application/json")


def read_idempotency_key(request: Request) -> str:
    """The caller's own name for this call, empty without one. Raises `BadRequest`.

    The header `Idempotency-Key` of draft-ietf-httpapi-idempotency-key-header-07, with or without its quotes.
    """
    name = request.headers.get("idempotency-key")
    if name is None:
        return ""
    name = name.removeprefix('"').removesuffix('"')
    if not _KEY.fullmatch(name):
        raise BadRequest(
            "Idempotency-Key is not 8 to 128 letters, digits or any of -_.:", hint="a random UUID does well"
        )
    return name


def digest_of(request: Request, body: object) -> str:
    """What a call asks for, as a digest: method, path and body."""
    asked = (request.method, request.url.path, msgspec.to_builtins(body))
    return "sha256:" + hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


async def read_body(request: Request, kind: type[_Body]) -> _Body:
    """The JSON body, decoded strictly. Raises `BadRequest`, and `HTTPException` 408, 413 or 415."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > bodies.MAX_BODY_BYTES:
                    raise HTTPException(413, f"more than {bodies.MAX_BODY_BYTES} bytes")
    except TimeoutError as error:
        raise HTTPException(408, "the body did not arrive in time") from error
    return bodies.read(bytes(content), kind)


def refuse_nul(request: Request) -> None:
    """Raise `BadRequest` for NUL characters in the path or the query: no database holds them, and nothing is named so."""
    texts = (*request.path_params.values(), *(text for pair in request.query_params.multi_items() for text in pair))
    if any("\0" in str(text) for text in texts):
        raise BadRequest("the address holds a NUL character")


def read_query(viewer: Identity, parameters: QueryParams) -> Query:
    """The filters of a list. Raises `BadRequest` for one that does not exist: a typing error must not widen a list."""
    for name in parameters:
        if name not in _FILTERS:
            raise BadRequest(f"no such filter: {name}", hint=suggest(name, _FILTERS))
    role = parameters.get("role", "all")
    if role not in ROLES:
        raise BadRequest(f"no such role: {role}", hint=suggest(role, ROLES))
    try:
        statuses = tuple(Status(name) for text in parameters.getlist("status") for name in text.split(",") if name)
    except ValueError as error:
        raise BadRequest(str(error), hint=f"known: {', '.join(Status)}") from error
    return Query(
        viewer=viewer,
        role=role,
        statuses=statuses,
        target=parameters.get("target", ""),
        id_prefix=parameters.get("prefix", ""),
        before=parameters.get("before", ""),
        limit=int(read_number(parameters, "limit", 50, MAX_PAGE)) or 1,
    )


def read_number(parameters: QueryParams, name: str, default: float, most: float) -> float:
    """A number from 0 to `most` in the query string; more counts as `most`. Raises `BadRequest`."""
    text = parameters.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError as error:
        raise BadRequest(f"{name} is not a number") from error
    if not number >= 0:
        raise BadRequest(f"{name} is not a number from 0 up")
    return min(number, most)


def brief(view: Mapping[str, Json]) -> dict[str, Json]:
    """A request for a list: the statement cut short, without what only its own page shows."""
    statement = str(view["statement"])
    left_out = ("parameters", "masked", "columns", "why_not")
    short: dict[str, Json] = {name: value for name, value in view.items() if name not in left_out}
    short["statement"] = statement[:BRIEF_CHARACTERS]
    short["is_cut"] = len(statement) > BRIEF_CHARACTERS
    return short
