"""One pace for an identity at all instances on one PostgreSQL: each takes a few requests at a time out of a shared bucket.

So a request costs a round trip to the database only where the last few are used up. What an instance took and did not
use within `KEPT_S` is lost; it is never given out twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from dbgate.approvals.limits import Pace, RateLimit

SHARES = 10
"""An instance takes a tenth of the whole bucket at once."""

KEPT_S = 5.0
"""How long an instance keeps what it took, in seconds."""


class Bucket(Protocol):
    """The buckets that all instances share."""

    def take(self, identity: str, *, most: int, burst: float, per_s: float) -> tuple[int, float]:
        """Take up to `most` requests out of an identity's bucket: how many, and what is left. Raises `Unreachable`."""


@dataclass(slots=True)
class Taken:
    """What an instance took for an identity and has not used: `left` requests of those that `level` lay behind, at `since`."""

    left: int
    level: float
    since: float


class SharedRate:
    """The rate limit of all instances, or of this one alone where there is no `bucket`. For one event loop."""

    def __init__(
        self, local: RateLimit, bucket: Bucket | None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._local = local
        self._bucket = bucket
        self._monotonic = monotonic
        self._most = max(1, int(local.burst) // SHARES)
        self._taken: OrderedDict[str, Taken] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def take(self, identity: str) -> None:
        """Take one request. Raises `Busy` when there is none, `Unreachable` when the bucket is."""
        if self._bucket is None:
            self._local.take(identity)
            return
        while not self._use(identity):
            # One question at a time: who comes meanwhile waits for the same answer.
            asking = self._asking.get(identity)
            if asking is None:
                asking = self._asking[identity] = asyncio.ensure_future(self._refill(identity, self._bucket))
                asking.add_done_callback(lambda done: self._answered(identity, done))
            await asyncio.shield(asking)

    def _answered(self, identity: str, done: asyncio.Task[None]) -> None:
        """Forget the question. Its error is for who waits; if nobody does any more, it is no news."""
        self._asking.pop(identity, None)
        if not done.cancelled():
            done.exception()

    def _use(self, identity: str) -> bool:
        """Use one of what was taken; whether there was one. Raises `Busy` while the bucket cannot have filled again."""
        taken = self._taken.get(identity)
        if taken is None:
            return False
        age_s = self._monotonic() - taken.since
        if taken.left and age_s < KEPT_S:
            taken.left -= 1
            return True
        if not taken.left and (missing := 1 - taken.level - age_s * self._local.per_s) > 0:
            raise self._local.busy(missing)
        return False

    async def _refill(self, identity: str, bucket: Bucket) -> None:
        local = self._local
        granted, level = await run_in_threadpool(
            bucket.take, identity, most=self._most, burst=local.burst, per_s=local.per_s
        )
        self._taken.pop(identity, None)
        self._taken[identity] = Taken(granted, level, self._monotonic())
        if len(self._taken) > local.max_identities:
            self._taken.popitem(last=False)
        if not granted:
            raise local.busy(1 - level)

    def pace(self, identity: str) -> Pace:
        """What is left of the identity's bucket, as far as this instance knows."""
        if self._bucket is None:
            return self._local.pace(identity)
        taken = self._taken.get(identity)
        if taken is None:
            return self._local.pace_at(self._local.burst)
        return self._local.pace_at(taken.left + taken.level + (self._monotonic() - taken.since) * self._local.per_s)
