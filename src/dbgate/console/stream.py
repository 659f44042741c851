"""Tells open pages that something happened (server-sent events). The pages then fetch what they show anew.

A message holds the numbers and kinds of events and the ids of requests, and nothing that anybody typed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec
from starlette.concurrency import run_in_threadpool

from dbgate.approvals.feed import BATCH, KEEP_ALIVE_S
from dbgate.approvals.http import EventStream
from dbgate.approvals.refusals import BadRequest

if TYPE_CHECKING:
    from starlette.responses import Response

    from dbgate.approvals.app import Api
    from dbgate.console.visits import Visit, Visits


class Stream:
    """Streams of events for browsers that are signed in."""

    def __init__(self, api: Api, visits: Visits) -> None:
        self._api = api
        self._visits = visits

    async def open(self, visit: Visit, secret: str, last: str) -> Response:
        """A stream from behind the event `last`, or from now on. Raises `BadRequest`, `Busy`."""
        if last and not (last.isascii() and last.isdigit() and len(last) < 16):
            raise BadRequest("Last-Event-ID is not a number")
        after = int(last) if last else await self._api.feed.latest()
        key, streams = visit.identity.key, self._api.streams
        streams.take(key)
        return EventStream(self._events(visit, secret, after), lambda: streams.give_back(key))

    async def _events(self, visit: Visit, secret: str, after: int) -> AsyncIterator[bytes]:
        """Events that concern the visitor, for as long as their browser is signed in."""
        feed, service = self._api.feed, self._api.service
        yield b"retry: 1000\nid: %d\nevent: hello\ndata: {}\n\n" % after
        while not feed.stopping:
            happened = await feed.wait(after, KEEP_ALIVE_S)
            if await run_in_threadpool(self._visits.find, secret, moves=False) is None:
                yield b"event: over\ndata: {}\n\n"
                return
            if not happened:
                yield b": still here\n\n"
                continue
            batch = await run_in_threadpool(service.visible_events, visit.identity, after, "", BATCH)
            after = batch.last
            for event, request in batch.events:
                data = msgspec.json.encode({"kind": event.kind, "request": request.id})
                yield b"id: %d\nevent: news\ndata: %s\n\n" % (event.number, data)
