"""How much a number of recognised values says: their likelihood against what chance and lookalikes would give.

One in ten random numbers passes Luhn's check, and sequential ones do so as often. How often the values of *this* column
would pass by chance is measured: their characters are shuffled within each position, which keeps alphabet, length, prefix
and separators and breaks only what a check digit ties together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

SCRAMBLES = 150
"""How many shuffled values are tried for a chance rate."""
EFFECTIVE = 40
"""Values of one column are not independent of each other: more of them than this count no further."""
_RATES = ((0.985, 0.0), (0.9, -0.7), (0.75, -1.4), (0.5, -2.5))
"""Shares of a column of the kind that are recognised (the rest is dirt, or another notation), with their log-prior."""
_PARTIAL_RATES = (*_RATES, (0.35, -2.5), (0.2, -3.0), (0.12, -3.5))
"""The same where only the common ones are recognised."""
_LEAST = 1e-4


def chance_rate(values: Sequence[str], is_valid: Callable[[str], bool]) -> float:
    """The share of shuffled `values` that pass `is_valid`, a little above what was counted."""
    generator = random.Random(len(values))  # noqa: S311 (statistics, no secret; the same scan gives the same answer)
    by_length: dict[int, list[str]] = {}
    for value in values:
        by_length.setdefault(len(value), []).append(value)
    passed = 0
    for number in range(SCRAMBLES):
        like = by_length[len(values[number % len(values)])]
        passed += is_valid("".join(generator.choice(like)[place] for place in range(len(like[0]))))
    return (passed + 0.5) / (SCRAMBLES + 1)


def column_weight(valid: int, tried: int, chance: float, lookalike: float, *, partial: bool = False) -> float:
    """The log-likelihood ratio of `valid` out of `tried` values for a column of the kind against any other.

    `chance` is how often a value passes that is not of the kind, `lookalike` how often a whole column passes that
    is not: no evidence by values is stronger than that. `partial` tells that of a column of the kind, too, only some values
    are recognised.
    """
    if not tried:
        return 0.0
    chance = min(max(chance, _LEAST), 0.999)
    rates = _PARTIAL_RATES if partial else _RATES
    scale = min(1.0, EFFECTIVE / tried)
    good, bad = valid * scale, (tried - valid) * scale
    ours = max(good * math.log(rate) + bad * math.log(1 - rate) + prior for rate, prior in rates)
    theirs = good * math.log(chance) + bad * math.log(1 - chance)
    return ours - log_sum(math.log(lookalike) + ours, math.log(1 - lookalike) + theirs)


def log_sum(one: float, other: float) -> float:
    """log(exp(one) + exp(other)), without overflow."""
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))


def confidence(log_odds: float) -> float:
    """Log-odds as a probability, never certain."""
    return min(0.99, max(0.01, 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))))
