"""The pace of an identity over several instances: never more than one bucket holds, whoever asks where and when."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress

import pytest

from dbgate.approvals.limits import RateLimit
from dbgate.approvals.rates import KEPT_S, SharedRate
from dbgate.approvals.refusals import Busy
from dbgate.errors import Unreachable


class Hand:
    """A clock that is set by hand, and a bucket by it, as the database keeps one."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked = 0
        self.is_away = False
        self.levels: dict[str, tuple[float, float]] = {}

    def take(self, identity: str, *, most: int, burst: float, per_s: float) -> tuple[int, float]:
        time.sleep(0.005)
        self.asked += 1
        if self.is_away:
            raise Unreachable("the approvals database cannot be used now")
        level, since = self.levels.get(identity, (burst, self.now))
        level = min(burst, level + (self.now - since) * per_s)
        granted = min(most, math.floor(level))
        self.levels[identity] = (level - granted, self.now)
        return granted, level - granted

    def instance(self, burst: float = 40, per_s: float = 1) -> SharedRate:
        return SharedRate(RateLimit(burst=burst, per_s=per_s), self, monotonic=lambda: self.now)


async def ask(*instances: SharedRate, times: int, who: str = "ann") -> int:
    """How many of so many requests, at each instance in turn, get through."""
    through = 0
    for number in range(times):
        with suppress(Busy):
            await instances[number % len(instances)].take(who)
            through += 1
    return through


def test_two_instances_share_one_bucket() -> None:
    async def run() -> None:
        hand = Hand()
        one, other = hand.instance(), hand.instance()
        assert await ask(one, other, times=100) == 40
        assert hand.asked <= 12, "a tenth at once, and no question while it cannot have filled again"
        assert await ask(one, times=4, who="ben") == 4
        hand.now += 10
        assert await ask(one, other, times=100) == 10

    asyncio.run(run())


def test_at_once_is_no_more_than_one_after_the_other() -> None:
    async def run() -> None:
        hand = Hand()
        instances = [hand.instance() for _ in range(4)]
        found = await asyncio.gather(*(ask(one, times=1) for one in instances * 50))
        assert sum(found) == 40
        assert hand.asked <= 16, "who waits shares one answer"

    asyncio.run(run())


def test_what_was_taken_long_ago_is_not_used() -> None:
    async def run() -> None:
        hand = Hand()
        one = hand.instance(burst=40, per_s=0.001)
        await one.take("ann")
        hand.now += KEPT_S
        await one.take("ann")
        assert (hand.asked, math.floor(hand.levels["ann"][0])) == (2, 32)

    asyncio.run(run())


def test_a_bucket_that_is_away_lets_nothing_through() -> None:
    async def run() -> None:
        hand = Hand()
        hand.is_away = True
        one = hand.instance()
        with pytest.raises(Unreachable):
            await one.take("ann")
        hand.is_away = False
        await one.take("ann")

    asyncio.run(run())


def test_the_pace_is_that_of_all() -> None:
    async def run() -> None:
        hand = Hand()
        one, other = hand.instance(), hand.instance()
        assert (one.pace("ann").quota, one.pace("ann").left) == (40, 40)
        await ask(one, times=4)
        await ask(other, times=1)
        assert other.pace("ann").left == 35
        await ask(one, other, times=100)
        assert (one.pace("ann").left, other.pace("ann").left) == (0, 0)
        hand.now += 2
        assert other.pace("ann").left == 2

    asyncio.run(run())
