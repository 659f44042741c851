"""Waiting for events, and streams of them (server-sent events, WHATWG HTML, section 9.2).

All waiters of a process share one look at the store, ten times a second at most and only while anybody waits; what
this process changes itself wakes them at once. Instances on one store need no other channel between them: numbers of
events become visible in order, so whoever asks for those above the last one misses none, however late it asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime

import msgspec
from starlette.concurrency import run_in_threadpool

from dbgate.approvals.records import Event, StoredRequest
from dbgate.approvals.service import ApprovalService
from dbgate.errors import DbgateError
from dbgate.model import Identity, Json

POLL_S = 0.1
KEEP_ALIVE_S = 15.0
BATCH = 500
AWAY_PAUSE_S = 1.0


class Feed:
    """Tells waiters when something happened. Use from one event loop."""

    def __init__(self, service: ApprovalService, clock: Callable[[], datetime]) -> None:
        self._service = service
        self._clock = clock
        self._latest = 0
        self._looked_at = float("-inf")
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self.stopping = False

    def wake(self) -> None:
        """Make waiters look now: something was changed here."""
        self._looked_at = float("-inf")
        self._changed.set()
        self._changed = asyncio.Event()

    async def latest(self) -> int:
        """The number of the latest event, at most `POLL_S` old."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            began = loop.time()
            if began - self._looked_at >= POLL_S:
                self._latest = await run_in_threadpool(self._service.latest_event)
                self._looked_at = began
        return self._latest

    async def wait(self, after: int, timeout_s: float) -> bool:
        """Wait for an event with a number above `after`, at most `timeout_s`; tell whether there is one."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while not self.stopping:
            changed = self._changed
            if await self.latest() > after:
                return True
            left = until - loop.time()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), min(POLL_S, left))
        return False

    async def stream(self, viewer: Identity, after: int, request_id: str = "") -> AsyncIterator[bytes]:
        """Events that the viewer may see, as an event stream, until their token expires.

        While the store is away the stream stays open, and goes on where it was.
        """
        yield b"retry: 1000\n\n"
        while not self.stopping and self._left_s(viewer) > 0:
            try:
                if not await self.wait(after, min(KEEP_ALIVE_S, self._left_s(viewer))):
                    yield b": still here\n\n"
                    continue
                batch = await run_in_threadpool(self._service.visible_events, viewer, after, request_id, BATCH)
            except DbgateError:
                yield b": waiting for the database\n\n"
                await asyncio.sleep(AWAY_PAUSE_S)
                continue
            after = batch.last
            for event, request in batch.events:
                yield to_message(event, request)

    def _left_s(self, viewer: Identity) -> float:
        """How long the viewer's token is still good, in seconds."""
        return (viewer.expires_at - self._clock()).total_seconds() if viewer.expires_at else float("inf")


def to_message(event: Event, request: StoredRequest) -> bytes:
    """One server-sent event. Its `id` is the event's number, so that a reader can go on from it."""
    data: dict[str, Json] = event.to_json() | {
        "status": request.status.value,
        "target": request.asked.target,
        "verb": request.asked.verb,
        "requester": request.requester.label,
    }
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), msgspec.json.encode(data))
