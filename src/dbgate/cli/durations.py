"""Durations as people write them in options."""

from __future__ import annotations

import re

from dbgate.errors import UsageError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds of `90`, `90s`, `10m`, `1h` or `2d`. Raises `UsageError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a duration: {text}", hint="write seconds, or 90s, 10m, 1h, 2d")
    return float(match[1]) * _UNIT_S[match[2] or ""]
