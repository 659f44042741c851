"""Signing in and out: by the OpenID provider, or, where identities are local, by a one-time link."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route

from dbgate.approvals.ledger import Access
from dbgate.approvals.refusals import Busy
from dbgate.console.address import way_back
from dbgate.console.calls import check_origin, read_form
from dbgate.console.issuer import ATTEMPT_S, read_attempt
from dbgate.errors import DbgateError, SignInRequired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from dbgate.console.address import Address
    from dbgate.console.app import Setup
    from dbgate.console.issuer import IssuerSignIn
    from dbgate.console.rendering import Pages
    from dbgate.model import Identity

_Answer = TypeVar("_Answer")
_Arguments = TypeVarTuple("_Arguments")

CALLBACK = "/sign-in/callback"

AT_ONCE = 8
"""So many threads talk to one issuer for browsers, beside those that decide: one that hangs holds these alone."""

MAX_WAITING = 32
"""So many browsers wait for one of them."""


class SignIn:
    """The pages of the sign-in."""

    def __init__(self, pages: Pages, setup: Setup, note: Callable[[Access], None]) -> None:
        """`note` records who comes in, before they do."""
        self._pages = pages
        self._visits = setup.visits
        self._issuers = {one.name: one for one in setup.issuers}
        self._lanes = {one.name: CapacityLimiter(AT_ONCE) for one in setup.issuers}
        self._talking = dict.fromkeys(self._issuers, 0)
        self._address = setup.address
        self._strangers = setup.strangers
        self._note = note

    def routes(self) -> list[Route]:
        """The routes."""
        shared = [Route("/sign-in", self.page), Route("/sign-out", self.out, methods=["POST"])]
        if not self._issuers:
            return [
                *shared,
                Route("/sign-in/start", self.page),
                Route("/sign-in/once", self.use_link),
            ]
        callbacks = [Route(callback_of(name), self._callback(one)) for name, one in self._issuers.items()]
        return [*shared, Route("/sign-in/start", self.start), *callbacks]

    async def page(self, request: Request) -> Response:
        """How to sign in, for who just signed out or has nothing else."""
        then = way_back(request.query_params.get("then", "/"))
        out = "out" in request.query_params
        return self._page(then, out=out)

    def _page(self, then: str, *, out: bool = False, error: str = "", status: int = 200) -> Response:
        choices = [(name, one.issuer) for name, one in self._issuers.items()]
        return self._pages.page(
            "sign_in.html", status=status, then=quote(then, safe=""), choices=choices, out=out, error=error
        )

    async def start(self, request: Request) -> Response:
        """Send the browser to the issuer, with a cookie that only the way back needs. Of several, the person chooses."""
        self._slow_down(request)
        only = next(iter(self._issuers)) if len(self._issuers) == 1 else None
        name = request.query_params.get("at", only)
        if name is None:
            return self._page(way_back(request.query_params.get("then", "/")))
        issuer = self._issuers.get(name)
        if issuer is None:
            raise HTTPException(404)
        url, attempt = await self._talk(issuer, issuer.start, way_back(request.query_params.get("then", "/")))
        response = RedirectResponse(url, status_code=303)
        self._set(response, self._attempt_cookie(attempt.state), attempt.to_text(), max_age=ATTEMPT_S)
        return response

    def _callback(self, issuer: IssuerSignIn) -> Callable[[Request], Awaitable[Response]]:
        """The way back from one issuer, at an address that no other issuer sends to."""

        async def callback(request: Request) -> Response:
            return await self._come_back(issuer, request)

        return callback

    async def _come_back(self, issuer: IssuerSignIn, request: Request) -> Response:
        """Back from the issuer: begin a visit, or say why not."""
        self._slow_down(request)
        name = self._attempt_cookie(request.query_params.get("state", ""))
        attempt = read_attempt(request.cookies.get(name, ""))
        try:
            if attempt is None:
                raise SignInRequired(
                    "this browser began no sign-in here, or took longer than ten minutes",
                    hint="cookies of this site have to be allowed",
                )
            identity = await self._talk(issuer, issuer.finish, attempt, dict(request.query_params))
        except DbgateError as error:
            status = HTTPStatus.UNAUTHORIZED if isinstance(error, SignInRequired) else HTTPStatus.SERVICE_UNAVAILABLE
            refused = self._page(attempt.then if attempt else "/", error=error.message, status=status.value)
            self._forget(refused, name)
            return refused
        response = await self._begin(identity, way_back(attempt.then), request)
        self._forget(response, name)
        return response

    async def _talk(self, issuer: IssuerSignIn, what: Callable[[*_Arguments], _Answer], *about: *_Arguments) -> _Answer:
        """Let a thread of the issuer's own talk to it. Raises `Busy` when too many wait for one, and what `what` raises."""
        if self._talking[issuer.name] >= AT_ONCE + MAX_WAITING:
            raise Busy("too many sign-ins at once", retry_after_s=5, hint="try again in a few seconds")
        self._talking[issuer.name] += 1
        try:
            return await to_thread.run_sync(what, *about, limiter=self._lanes[issuer.name])
        finally:
            self._talking[issuer.name] -= 1

    def address_for(self, identity: Identity, request_id: str) -> str:
        """Where somebody finds a request's page, or the inbox. Where identities are local, a link that works once."""
        then = f"/requests/{request_id}" if request_id else "/"
        if self._issuers:
            return f"{self._address.origin}{then}"
        return once_url(self._address, self._visits.make_link(identity), then)

    async def use_link(self, request: Request) -> Response:
        """Sign in by a one-time link. Only who reads the terminal has it."""
        self._slow_down(request)
        code = request.query_params.get("code", "")
        identity = await run_in_threadpool(self._visits.use_link, code)
        if identity is None:
            error = "this link was used already, or is older than five minutes"
            return self._page("/", error=error, status=401)
        return await self._begin(identity, way_back(request.query_params.get("then", "/")), request)

    async def out(self, request: Request) -> Response:
        """Sign out of the console. The issuer's own session is the issuer's."""
        secret = request.cookies.get(self._address.cookie, "")
        visit = await run_in_threadpool(self._visits.find, secret, moves=False)
        if visit is not None:
            await read_form(request, visit, self._address)
            await run_in_threadpool(self._visits.end, secret)
        else:
            check_origin(request, self._address)
        response = RedirectResponse("/sign-in?out", status_code=303)
        self._forget(response, self._address.cookie)
        response.headers["Clear-Site-Data"] = '"cache", "storage"'
        return response

    async def _begin(self, identity: Identity, then: str, request: Request) -> Response:
        """A new visit with a new secret; the one that the browser had ends (no session fixation). On record before."""
        await run_in_threadpool(self._note, Access("signed-in", identity))
        await run_in_threadpool(self._visits.end, request.cookies.get(self._address.cookie, ""))
        secret, _ = await run_in_threadpool(self._visits.begin, identity)
        response = RedirectResponse(then, status_code=303)
        self._set(response, self._address.cookie, secret)
        return response

    def _set(self, response: Response, name: str, value: str, max_age: int | None = None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path="/", secure=self._address.is_secure, httponly=True, samesite="lax"
        )

    def _forget(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self._address.is_secure, httponly=True, samesite="lax")

    def _attempt_cookie(self, state: str) -> str:
        """A cookie for each sign-in, so that several tabs may sign in at once."""
        return f"{self._address.cookie}-sign-in-{''.join(filter(str.isalnum, state[:16]))}"

    def _slow_down(self, request: Request) -> None:
        """Who is not signed in yet has the address of the connection for a name. Raises `Busy`."""
        self._strangers.take(request.client.host if request.client else "")


def callback_of(name: str) -> str:
    """The path to which the issuer of that name sends the browser back; the main one has no name."""
    return f"{CALLBACK}/{name}" if name else CALLBACK


def once_url(address: Address, code: str, then: str = "/") -> str:
    """The address of a one-time link."""
    return f"{address.origin}/sign-in/once?code={quote(code, safe='')}" + (f"&then={then}" if then != "/" else "")
