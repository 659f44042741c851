"""The console as an ASGI application, and what all of its pages have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from dbgate.approvals.app import Api
from dbgate.approvals.limits import RateLimit
from dbgate.audit.sessions import Archive
from dbgate.console import failures
from dbgate.console.address import Address
from dbgate.console.calls import BACKGROUND, Call, read_form
from dbgate.console.headers import Guarded
from dbgate.console.issuer import IssuerSignIn
from dbgate.console.lists import Lists
from dbgate.console.recordings import Recordings
from dbgate.console.rendering import Pages
from dbgate.console.request_pages import RequestPages
from dbgate.console.sign_in import SignIn
from dbgate.console.stream import Stream
from dbgate.console.visits import Visit, Visits
from dbgate.errors import SignInRequired
from dbgate.model import Actor, Identity

_Handler = Callable[[Request], Awaitable[Response]]


class Setup(msgspec.Struct, frozen=True):
    """How the console stands here.

    `issuers` sign people in; there are none where identities are local: then links do. `auditors` are the groups
    whose people may watch the recordings in `archive`. `strangers` holds back who is not signed in yet, by address.
    """

    address: Address
    visits: Visits
    issuers: tuple[IssuerSignIn, ...] = ()
    auditors: tuple[str, ...] = ()
    archive: Callable[[], Archive] | None = None
    strangers: RateLimit = msgspec.field(default_factory=lambda: RateLimit(burst=100, per_s=10))


def console_routes(api: Api, setup: Setup) -> Sequence[BaseRoute]:
    """The routes of the console, to stand beside the API's on one application."""
    return [Mount("/", app=Console(api, setup).application())]


class Console:
    """The pages, and who may open them."""

    def __init__(self, api: Api, setup: Setup) -> None:
        self._api = api
        self._setup = setup
        self._pages = Pages(address=setup.address, is_local=not setup.issuers, is_auditor=self.is_auditor)
        self._sign_in = SignIn(self._pages, setup, api.service.note)
        api.console = self._sign_in.address_for
        self._stream = Stream(api, setup.visits)

    def application(self) -> Guarded:
        """The console behind its headers."""
        lists = Lists(self._pages, self._api.service)
        requests = RequestPages(self._pages, self._api.service)
        routes = [
            Route("/static/{version}/{name}", self._pages.assets.answer),
            *self._sign_in.routes(),
            Route("/events", self._events),
            self._page("/", lists.inbox),
            self._page("/mine", lists.mine),
            self._page("/history", lists.history),
            self._page("/requests/{id}", requests.show),
        ]
        for action in requests.actions():
            routes.append(self._page(f"/requests/{{id}}/{action}", requests.confirm(action)))
            routes.append(self._page(f"/requests/{{id}}/{action}", requests.decide(action), method="POST"))
        if self._setup.archive is not None:
            recordings = Recordings(self._pages, self._setup.archive, self._api.service.note)
            routes.append(self._page("/sessions", recordings.listing, auditors_only=True))
            routes.append(self._page("/sessions/{id}", recordings.show, auditors_only=True))
        handlers = failures.handlers(self._pages)
        return Guarded(Starlette(routes=routes, exception_handlers=handlers), self._setup.address)

    def is_auditor(self, identity: Identity | None) -> bool:
        """Whether somebody may watch recordings: a person, in one of the groups that were named for it."""
        return (
            identity is not None
            and self._setup.archive is not None
            and identity.actor is Actor.HUMAN
            and not set(identity.groups).isdisjoint(self._setup.auditors)
        )

    def _page(
        self, path: str, show: Callable[[Call], Response], *, method: str = "GET", auditors_only: bool = False
    ) -> Route:
        """A route to a page that only who is signed in may open. `show` runs in a thread of its own."""

        async def answer(request: Request) -> Response:
            visit = await self._visit(request)
            if visit is None:
                return self._to_sign_in(request)
            await self._api.rate_limit.take(visit.identity.key)
            if auditors_only and not self.is_auditor(visit.identity):
                raise HTTPException(404)
            form = await read_form(request, visit, self._setup.address) if method == "POST" else {}
            url = f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}"
            call = Call(visit, url, request.path_params, dict(request.query_params), form)
            response = await run_in_threadpool(show, call)
            if method == "POST":
                self._api.feed.wake()
            return response

        return Route(path, answer, methods=[method])

    def _to_sign_in(self, request: Request) -> Response:
        """Where to go without a visit: to the issuer, and then back here. A form that was sent is not kept."""
        if request.method == "POST" or BACKGROUND in request.headers:
            raise SignInRequired("you are not signed in, or not any more: nothing was done", hint="sign in again")
        url = f"{request.url.path}{'?' if request.url.query else ''}{request.url.query}"
        return RedirectResponse(f"/sign-in/start?then={quote(url, safe='')}", status_code=303)

    async def _visit(self, request: Request) -> Visit | None:
        moves = BACKGROUND not in request.headers
        return await run_in_threadpool(self._setup.visits.find, self._secret(request), moves=moves)

    def _secret(self, request: Request) -> str:
        return request.cookies.get(self._setup.address.cookie, "")

    async def _events(self, request: Request) -> Response:
        secret = self._secret(request)
        visit = await run_in_threadpool(self._setup.visits.find, secret, moves=False)
        if visit is None:
            raise SignInRequired("you are not signed in")
        await self._api.rate_limit.take(visit.identity.key)
        return await self._stream.open(visit, secret, request.headers.get("last-event-id", ""))
