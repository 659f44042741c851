"""What a monitoring system may know: counts and durations, for Prometheus. Nobody's name is in them.

Labels take their values from closed lists: methods, routes as they are declared, statuses, kinds of events.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from dbgate import __version__
from dbgate.errors import DbgateError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        Info("dbgate_build", "The version that runs", registry=registry).info({"version": __version__})
        self.requests = Counter(
            "dbgate_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
        )
        self.durations = Histogram(
            "dbgate_http_request_duration_seconds",
            "Time to the last byte of an answer; waiting and streams are left out",
            ["method", "route"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.decisions = Counter("dbgate_decisions", "What happened to requests", ["event"], registry=registry)
        self.refusals = Counter("dbgate_refusals", "Attempts that were refused", ["action"], registry=registry)
        self.streams = Gauge("dbgate_open_streams", "Open event streams and long polls", registry=registry)
        self._live = Gauge("dbgate_live_requests", "Requests that wait or can be used", ["status"], registry=registry)
        self._webhooks = Gauge("dbgate_webhooks", "Webhooks kept: waiting, sent, dead", ["status"], registry=registry)
        self._is_up = Gauge("dbgate_database_up", "Whether the database answered at this look", registry=registry)

    def render(self, live: Callable[[], Mapping[str, int]], webhooks: Callable[[], Mapping[str, int]] = dict) -> bytes:
        """All metrics as text. `live` counts requests by status, `webhooks` those; while they cannot, the database is down."""
        self._live.clear()
        self._webhooks.clear()
        try:
            for status, count in live().items():
                self._live.labels(status).set(count)
            for status, count in webhooks().items():
                self._webhooks.labels(status).set(count)
            self._is_up.set(1)
        except DbgateError:
            self._is_up.set(0)
        return generate_latest(self._registry)


def may_read(authorization: str, token: str) -> bool:
    """Whether a request may read the metrics: anybody without a `token`, else who sends it as a bearer token."""
    scheme, _, sent = authorization.partition(" ")
    return not token or (scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode()))


class Observed:
    """ASGI middleware: counts what is answered, and says in each answer how much of the caller's pace is left.

    Handlers leave their route and the caller's pace in the state of the request.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._metrics = metrics
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._monotonic()
        state = scope.setdefault("state", {})
        status = 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                pace = state.get("pace")
                if pace is not None:
                    message["headers"] = [*message["headers"], *pace.headers()]
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = state.get("route", "other")
            self._metrics.requests.labels(method, route, str(status)).inc()
            if not state.get("waits"):
                self._metrics.durations.labels(method, route).observe(self._monotonic() - began)
