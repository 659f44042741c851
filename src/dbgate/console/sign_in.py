"""Signing in and out: by the OpenID provider, or, where identities are local, by a one-time link."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route

from dbgate.approvals.ledger import Access
from dbgate.console.address import way_back
from dbgate.console.calls import check_origin, read_form
from dbgate.console.issuer import read_attempt
from dbgate.errors import DbgateError, SignInRequired

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from dbgate.console.address import Address
    from dbgate.console.app import Setup
    from dbgate.console.issuer import IssuerSignIn
    from dbgate.console.rendering import Pages
    from dbgate.model import Identity

ATTEMPT_S = 600
"""How long somebody may take at the issuer, in seconds."""

CALLBACK = "/sign-in/callback"


class SignIn:
    """The pages of the sign-in."""

    def __init__(self, pages: Pages, setup: Setup, note: Callable[[Access], None]) -> None:
        """`note` records who comes in, before they do."""
        self._pages = pages
        self._visits = setup.visits
        self._issuer = setup.issuer
        self._address = setup.address
        self._strangers = setup.strangers
        self._note = note

    def routes(self) -> list[Route]:
        """The routes."""
        shared = [Route("/sign-in", self.page), Route("/sign-out", self.out, methods=["POST"])]
        if self._issuer is None:
            return [
                *shared,
                Route("/sign-in/start", self.page),
                Route("/sign-in/once", self.use_link),
            ]
        return [*shared, Route("/sign-in/start", self.start), Route(CALLBACK, self.callback)]

    async def page(self, request: Request) -> Response:
        """How to sign in, for who just signed out or has nothing else."""
        then = way_back(request.query_params.get("then", "/"))
        out = "out" in request.query_params
        issuer = self._issuer.issuer if self._issuer else ""
        return self._pages.page("sign_in.html", then=quote(then, safe=""), issuer=issuer, out=out, error="")

    async def start(self, request: Request) -> Response:
        """Send the browser to the issuer, with a cookie that only the way back needs."""
        self._slow_down(request)
        issuer = self._require_issuer()
        url, attempt = await run_in_threadpool(issuer.start, way_back(request.query_params.get("then", "/")))
        response = RedirectResponse(url, status_code=303)
        self._set(response, self._attempt_cookie(attempt.state), attempt.to_text(), max_age=ATTEMPT_S)
        return response

    async def callback(self, request: Request) -> Response:
        """Back from the issuer: begin a visit, or say why not."""
        self._slow_down(request)
        issuer, name = self._require_issuer(), self._attempt_cookie(request.query_params.get("state", ""))
        attempt = read_attempt(request.cookies.get(name, ""))
        try:
            if attempt is None:
                raise SignInRequired(
                    "this browser began no sign-in here, or took longer than ten minutes",
                    hint="cookies of this site have to be allowed",
                )
            identity = await run_in_threadpool(issuer.finish, attempt, dict(request.query_params))
        except DbgateError as error:
            status = HTTPStatus.UNAUTHORIZED if isinstance(error, SignInRequired) else HTTPStatus.SERVICE_UNAVAILABLE
            then = quote(attempt.then if attempt else "/", safe="")
            values: dict[str, Any] = {"then": then, "issuer": issuer.issuer, "out": False, "error": error.message}
            refused: Response = self._pages.page("sign_in.html", status=status.value, **values)
            self._forget(refused, name)
            return refused
        response = await self._begin(identity, way_back(attempt.then), request)
        self._forget(response, name)
        return response

    def address_for(self, identity: Identity, request_id: str) -> str:
        """Where somebody finds a request's page, or the inbox. Where identities are local, a link that works once."""
        then = f"/requests/{request_id}" if request_id else "/"
        if self._issuer is not None:
            return f"{self._address.origin}{then}"
        return once_url(self._address, self._visits.make_link(identity), then)

    async def use_link(self, request: Request) -> Response:
        """Sign in by a one-time link. Only who reads the terminal has it."""
        self._slow_down(request)
        code = request.query_params.get("code", "")
        identity = await run_in_threadpool(self._visits.use_link, code)
        if identity is None:
            error = "this link was used already, or is older than five minutes"
            return self._pages.page("sign_in.html", status=401, then="", issuer="", out=False, error=error)
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

    def _require_issuer(self) -> IssuerSignIn:
        if self._issuer is None:
            raise HTTPException(404)
        return self._issuer


def once_url(address: Address, code: str, then: str = "/") -> str:
    """The address of a one-time link."""
    return f"{address.origin}/sign-in/once?code={quote(code, safe='')}" + (f"&then={then}" if then != "/" else "")
