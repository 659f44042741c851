"""A recognizer tells whether one value is of a kind. Values never leave it: it answers yes or no."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec


class Recognizer(msgspec.Struct, frozen=True):
    """How values of a kind are recognised.

    `shape` has to hold the whole value; `test` (a checksum, a date inside) decides then. `checked` tells that `test` ties
    characters together, so that its chance rate is measured on the column; otherwise `chance` is it. `lookalike` is
    the share of other columns that are full of values which fit. `noun` is for people, plural.
    """

    kind: str
    noun: str
    shape: re.Pattern[str]
    test: Callable[[str], bool] | None = None
    lookalike: float = 0.001
    checked: bool = False
    chance: float = 0.002

    def holds(self, value: str) -> bool:
        """Whether the value is of the kind. What a library raises on odd input means no, and is not told."""
        if self.shape.fullmatch(value) is None:
            return False
        if self.test is None:
            return True
        try:
            return bool(self.test(value))
        except (ValueError, LookupError, ArithmeticError, TypeError, AttributeError):
            return False


def recognizer(
    kind: str,
    noun: str,
    shape: str,
    test: Callable[[str], bool] | None = None,
    *,
    lookalike: float = 0.001,
    checked: bool = False,
    chance: float = 0.002,
) -> Recognizer:
    """A recognizer whose shape is written as a regular expression."""
    return Recognizer(kind, noun, re.compile(shape), test, lookalike, checked, chance)
