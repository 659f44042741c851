"""Limits of the service: requests per identity and second, and open streams."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dbgate.approvals.refusals import Busy


@dataclass(frozen=True, slots=True)
class Pace:
    """How much an identity may still ask for: `left` of `quota` requests, all of them again in `reset_s` seconds."""

    quota: int
    left: int
    window_s: int
    reset_s: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields of draft-ietf-httpapi-ratelimit-headers-10."""
        policy = f'"identity";q={self.quota};w={self.window_s}'
        now = f'"identity";r={self.left};t={self.reset_s}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", now.encode())]


class RateLimit:
    """A token bucket per identity: `burst` requests at once, `per_s` in the long run. For one thread."""

    def __init__(
        self,
        *,
        burst: float = 200,
        per_s: float = 40,
        max_identities: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.burst = burst
        self.per_s = per_s
        self.max_identities = max_identities
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, identity: str) -> None:
        """Take one request from the identity's bucket. Raises `Busy` when it is empty."""
        now = self._monotonic()
        level, since = self._buckets.pop(identity, (self.burst, now))
        level = min(self.burst, level + (now - since) * self.per_s)
        self._buckets[identity] = (max(level - 1, 0) if level >= 1 else level, now)
        if len(self._buckets) > self.max_identities:
            self._buckets.popitem(last=False)
        if level < 1:
            raise self.busy(1 - level)

    def busy(self, missing: float) -> Busy:
        """The error when `missing` (a part of) a request is not there yet."""
        wait_s = max(1, math.ceil(missing / self.per_s))
        return Busy("too many requests", retry_after_s=wait_s, hint=f"try again in {wait_s} s")

    def pace(self, identity: str) -> Pace:
        """What is left of the identity's bucket now."""
        now = self._monotonic()
        level, since = self._buckets.get(identity, (self.burst, now))
        return self.pace_at(level + (now - since) * self.per_s)

    def pace_at(self, level: float) -> Pace:
        """The pace of a bucket with `level` requests in it."""
        level = min(self.burst, level)
        return Pace(
            quota=math.floor(self.burst),
            left=math.floor(level),
            window_s=math.ceil(self.burst / self.per_s),
            reset_s=math.ceil((self.burst - level) / self.per_s),
        )


class Streams:
    """Counts open streams and long polls, in all and per identity. For one thread."""

    def __init__(self, *, per_identity: int = 20, total: int = 500) -> None:
        self._per_identity = per_identity
        self._total = total
        self._open: dict[str, int] = {}

    @contextmanager
    def slot(self, identity: str) -> Iterator[None]:
        """Hold a place while waiting. Raises `Busy` when there is none."""
        self.take(identity)
        try:
            yield
        finally:
            self.give_back(identity)

    def take(self, identity: str) -> None:
        """Take a place. Raises `Busy`."""
        mine = self._open.get(identity, 0)
        if mine >= self._per_identity or self.count >= self._total:
            raise Busy("too many open streams", retry_after_s=5, hint="close some of them")
        self._open[identity] = mine + 1

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(self._open.values())

    def give_back(self, identity: str) -> None:
        """Give a place back."""
        left = self._open[identity] - 1
        if left:
            self._open[identity] = left
        else:
            del self._open[identity]
