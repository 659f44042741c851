"""The approvals service over HTTP: an ASGI application (Starlette).

Everything but what `operations` answers needs a bearer token, checked anew with every request. The API takes no
cookies, so no other web page can act for somebody. Problems are RFC 9457 documents.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from dbgate.approvals import bodies, problems
from dbgate.approvals.feed import Feed
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.http import (
    EVENT_STREAM,
    EventStream,
    answer_json,
    brief,
    digest_of,
    read_body,
    read_idempotency_key,
    read_number,
    read_query,
    refuse_nul,
)
from dbgate.approvals.ledger import Ledger
from dbgate.approvals.limits import RateLimit, Streams
from dbgate.approvals.metrics import Observed
from dbgate.approvals.operations import Operations
from dbgate.approvals.rates import SharedRate
from dbgate.approvals.records import StoredRequest
from dbgate.approvals.refusals import BadRequest
from dbgate.approvals.service import ApprovalService
from dbgate.approvals.store import Store
from dbgate.approvals.tokens import TokenVerifier
from dbgate.approvals.webhooks.undelivered import Undelivered, to_json
from dbgate.errors import DbgateError, SignInRequired
from dbgate.model import Identity, Json

PREFIX = "/api/v1"
MAX_WAIT_S = 30.0
MAX_HISTORY = 1000

_Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    store: Store,
    verifier: TokenVerifier,
    signer: GrantSigner,
    clock: Callable[[], datetime],
    *,
    rate_limit: RateLimit | None = None,
    ledger: Ledger | None = None,
    metrics_token: str = "",
    beside: Callable[[Api], Sequence[BaseRoute]] = lambda api: (),
) -> Starlette:
    """The application. `app.state.feed.stopping = True` ends open streams before a shutdown.

    `ledger` keeps the record of what is decided; without one nothing is recorded. With `metrics_token` only its bearer
    reads the metrics. `beside` gives the routes that stand beside the API's: the console's.
    """
    api = Api(
        ApprovalService(store, signer, clock, ledger),
        verifier,
        clock,
        SharedRate(rate_limit or RateLimit(), store.rates),
    )
    operations = Operations(api.service, signer, api.streams, metrics_token)
    app = Starlette(
        routes=[
            Mount(PREFIX, routes=[_route(*line) for line in (*operations.table(), *api.table())]),
            Route("/metrics", operations.show_metrics),
            *beside(api),
        ],
        middleware=[Middleware(Observed, metrics=operations.metrics, monotonic=time.monotonic)],
        exception_handlers={
            DbgateError: problems.on_refusal,
            HTTPException: problems.on_http_error,
            Exception: problems.on_crash,
        },
    )
    app.state.feed = api.feed
    return app


def _route(method: str, path: str, handler: _Handler) -> Route:
    async def handle(request: Request) -> Response:
        request.state.route = PREFIX + path
        refuse_nul(request)
        return await handler(request)

    return Route(path, handle, methods=[method])


class Api:
    """The handlers of the API, and what they share."""

    def __init__(
        self,
        service: ApprovalService,
        verifier: TokenVerifier,
        clock: Callable[[], datetime],
        rate_limit: SharedRate,
    ) -> None:
        self.service = service
        self._verifier = verifier
        self.rate_limit = rate_limit
        self.streams = Streams()
        self.feed = Feed(service, clock)
        self._undelivered = Undelivered(service)
        self.console: Callable[[Identity, str], str] | None = None
        """Gives somebody the address of a request's page in the console, or of the inbox. Set by the console."""

    def table(self) -> list[tuple[str, str, _Handler]]:
        """Every method and path under the prefix, with its handler."""
        one = "/requests/{id}"
        table: list[tuple[str, str, _Handler]] = [
            ("GET", "/events", self.all_events),
            ("POST", "/console", self.console_address),
            ("GET", "/webhooks", self.webhooks),
            ("POST", "/webhooks/{number}/again", self.webhook_again),
            ("GET", "/requests", self.find),
            ("POST", "/requests", self.file),
            ("POST", "/break-glass", self.break_glass),
            ("GET", one, self.show),
            ("GET", one + "/events", self.events_of_one),
            ("POST", one + "/redeem", self.redeem),
        ]
        table += [
            ("POST", f"{one}/{name}", self._decision(action))
            for name, action in (
                ("approve", self.service.approve),
                ("deny", self.service.deny),
                ("withdraw", self.service.withdraw),
                ("revoke", self.service.revoke),
            )
        ]
        return table

    async def console_address(self, request: Request) -> Response:
        """Where the web console is, for the caller: where identities are local, a link that signs them in once."""
        caller = await self.caller(request)
        place = await read_body(request, bodies.Place)
        if self.console is None:
            raise HTTPException(404, "this service has no web console")
        return answer_json({"url": await run_in_threadpool(self.console, caller, place.request)})

    async def webhooks(self, request: Request) -> Response:
        """Webhooks that nobody took, of requests that the caller may see."""
        caller = await self.caller(request)
        found = await run_in_threadpool(self._undelivered.find, caller)
        return answer_json({"webhooks": [to_json(one) for one in found]})

    async def webhook_again(self, request: Request) -> Response:
        """Try once more to deliver a webhook that was given up."""
        caller = await self.caller(request)
        await read_body(request, bodies.Nothing)
        await run_in_threadpool(self._undelivered.again, caller, request.path_params["number"])
        found = await run_in_threadpool(self._undelivered.find, caller)
        return answer_json({"webhooks": [to_json(one) for one in found]})

    async def file(self, request: Request) -> Response:
        """File a request: 201, or 200 with the live one for the same."""
        caller = await self.caller(request)
        body = await read_body(request, bodies.NewRequest)

        def act() -> tuple[int, Json]:
            filed, is_new = self.service.file(caller, body.to_request())
            return 201 if is_new else 200, self._view(caller, filed)

        return await self._change(request, caller, body, act)

    async def break_glass(self, request: Request) -> Response:
        """Put a run that nobody agreed to on record, alert its reviewers, and return the signed grant: 201."""
        caller = await self.caller(request)
        body = await read_body(request, bodies.NewRequest)

        def act() -> tuple[int, Json]:
            filed, grant = self.service.break_glass(caller, body.to_request())
            return 201, {"grant": grant, "request": self._view(caller, filed)}

        return await self._change(request, caller, body, act)

    async def find(self, request: Request) -> Response:
        """List requests, newest first, with statements cut short and without parameters."""
        caller = await self.caller(request)
        query = read_query(caller, request.query_params)
        found = await run_in_threadpool(self.service.find, query)
        more = found[-1].id if len(found) == query.limit else None
        return answer_json({"requests": [brief(self._view(caller, one)) for one in found], "next": more})

    async def show(self, request: Request) -> Response:
        """One request; with `wait` (seconds) and `after` (a version) only once something has happened since."""
        caller = await self.caller(request)
        request_id = request.path_params["id"]
        found = await run_in_threadpool(self.service.get, caller, request_id)
        wait_s = read_number(request.query_params, "wait", 0, MAX_WAIT_S)
        after = int(read_number(request.query_params, "after", found.version, 2**53))
        if wait_s and found.version <= after:
            request.state.waits = True
            with self.streams.slot(caller.key):
                found = await self._changed(caller, found, after, wait_s)
        return answer_json(self._view(caller, found))

    async def _changed(self, caller: Identity, found: StoredRequest, after: int, wait_s: float) -> StoredRequest:
        loop = asyncio.get_running_loop()
        until, seen = loop.time() + wait_s, after
        while found.version <= after and await self.feed.wait(seen, until - loop.time()):
            seen = await self.feed.latest()
            found = await run_in_threadpool(self.service.get, caller, found.id)
        return found

    async def events_of_one(self, request: Request) -> Response:
        """The history of one request, as JSON or as an event stream."""
        caller = await self.caller(request)
        request_id = request.path_params["id"]
        if EVENT_STREAM in request.headers.get("accept", ""):
            await run_in_threadpool(self.service.get, caller, request_id)
            return await self._stream(caller, request, request_id)
        after = int(read_number(request.query_params, "after", 0, 2**53))
        limit = int(read_number(request.query_params, "limit", MAX_HISTORY, MAX_HISTORY)) or 1
        found = await run_in_threadpool(
            functools.partial(self.service.history, caller, request_id, after=after, limit=limit)
        )
        more = found[-1].number if len(found) == limit else None
        return answer_json({"events": [event.to_json() for event in found], "next": more})

    async def all_events(self, request: Request) -> Response:
        """Everything that happens to requests that the caller may see, as an event stream."""
        return await self._stream(await self.caller(request), request)

    async def _stream(self, caller: Identity, request: Request, request_id: str = "") -> Response:
        last = request.headers.get("last-event-id", "")
        if last and not (last.isascii() and last.isdigit() and len(last) < 16):
            raise BadRequest("Last-Event-ID is not a number")
        after = int(last) if last else 0 if request_id else await self.feed.latest()
        self.streams.take(caller.key)
        request.state.waits = True
        return EventStream(self.feed.stream(caller, after, request_id), lambda: self.streams.give_back(caller.key))

    async def redeem(self, request: Request) -> Response:
        """Redeem an approval once and return the signed grant."""
        caller = await self.caller(request)
        body = await read_body(request, bodies.Redemption)

        def act() -> tuple[int, Json]:
            found, grant = self.service.redeem(caller, request.path_params["id"], body.binding, body.session)
            return 200, {"grant": grant, "request": self._view(caller, found)}

        return await self._change(request, caller, body, act)

    def _decision(self, action: Callable[[Identity, str, str], StoredRequest]) -> _Handler:
        async def decide(request: Request) -> Response:
            caller = await self.caller(request)
            body = await read_body(request, bodies.Note)

            def act() -> tuple[int, Json]:
                return 200, self._view(caller, action(caller, request.path_params["id"], body.note))

            return await self._change(request, caller, body, act)

        return decide

    async def _change(
        self, request: Request, caller: Identity, body: object, act: Callable[[], tuple[int, Json]]
    ) -> Response:
        """Do what was asked, once for every `Idempotency-Key`, and wake those who wait for news."""
        name = read_idempotency_key(request)
        if name:
            asked = digest_of(request, body)
            answer = await run_in_threadpool(self.service.transactions.once, caller, name, asked, act)
            status, content = answer.status, answer.body.encode()
        else:
            status, made = await run_in_threadpool(act)
            content = msgspec.json.encode(made)
        self.feed.wake()
        return answer_json(content, status=status)

    async def caller(self, request: Request) -> Identity:
        """Who sends the request. Raises `SignInRequired`, `Busy`, `Unreachable`."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise SignInRequired("a bearer token is needed", hint="sign in with: dbgate login")
        caller = await run_in_threadpool(self._verifier.verify, token.strip())
        try:
            await self.rate_limit.take(caller.key)
        finally:
            request.state.pace = self.rate_limit.pace(caller.key)
        return caller

    def _view(self, caller: Identity, request: StoredRequest) -> dict[str, Json]:
        may, why_not = self.service.allowed(caller, request)
        return request.to_json() | {"may": list(may), "why_not": why_not}
