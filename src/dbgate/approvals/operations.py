"""What operators ask: does it work, how much does it do, with which key does it sign, what does the API look like.

None of it needs a token, but the metrics when one was set for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from dbgate.approvals import openapi
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.http import HEADERS, answer_json
from dbgate.approvals.limits import Streams
from dbgate.approvals.metrics import CONTENT_TYPE, Metrics, may_read
from dbgate.approvals.service import ApprovalService
from dbgate.errors import SignInRequired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Operations:
    """The handlers, and the metrics that they show."""

    def __init__(self, service: ApprovalService, signer: GrantSigner, streams: Streams, metrics_token: str) -> None:
        self._service = service
        self._signer = signer
        self._streams = streams
        self._token = metrics_token
        self.metrics = Metrics()
        service.transactions.on_decided = lambda kind: self.metrics.decisions.labels(kind).inc()
        service.transactions.on_refused = lambda action: self.metrics.refusals.labels(action).inc()

    def table(self) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        """Methods, paths under the API's prefix, handlers."""
        return [
            ("GET", "/health", self.ready),
            ("GET", "/health/ready", self.ready),
            ("GET", "/health/live", self.live),
            ("GET", "/keys", self.keys),
            ("GET", "/openapi.json", self.openapi),
        ]

    async def live(self, request: Request) -> Response:
        """Whether the process answers at all: restart it when it does not."""
        return answer_json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether it can decide: its database answers and its record can be written."""
        await run_in_threadpool(self._service.check)
        return answer_json({"status": "ok"})

    async def keys(self, request: Request) -> Response:
        """The public keys that grants are signed with, as a JWK set."""
        return answer_json(self._signer.jwks())

    async def openapi(self, request: Request) -> Response:
        """The description of the API."""
        return answer_json(openapi.document())

    async def show_metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        request.state.route = "/metrics"
        if not may_read(request.headers.get("authorization", ""), self._token):
            raise SignInRequired("the metrics need their token", hint="send it as: Authorization: Bearer TOKEN")
        self.metrics.streams.set(self._streams.count)
        content = await run_in_threadpool(
            self.metrics.render, self._service.live_counts, self._service.store.delivery_counts
        )
        return Response(content, headers=HEADERS, media_type=CONTENT_TYPE)
