"""The time claims of a token, checked against a clock that is handed in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MAX_SKEW_S = 60
"""How far two clocks may be apart, in seconds."""


def moment(claims: Mapping[str, Any], name: str) -> datetime | None:
    """A NumericDate claim (RFC 7519, section 2), or None when it is absent. Raises `ValueError` when it is no date."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError(f"{name} is not a number of seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{name} is out of range") from error


def why_not_now(claims: Mapping[str, Any], now: datetime, *, exp_skew_s: int = 0, skew_s: int = MAX_SKEW_S) -> str:
    """Why a token does not count now, or empty. `exp` and `iat` are required, `nbf` is optional.

    `exp` may lie `exp_skew_s` behind, `iat` and `nbf` `skew_s` ahead.
    """
    try:
        expires, issued, starts = moment(claims, "exp"), moment(claims, "iat"), moment(claims, "nbf")
    except ValueError as error:
        return str(error)
    if expires is None or issued is None:
        return "it has no expiry (exp)" if expires is None else "it has no time of issue (iat)"
    if (now - expires).total_seconds() >= exp_skew_s:
        return f"it expired at {expires:%Y-%m-%d %H:%M:%S} UTC"
    if max((start - now).total_seconds() for start in (issued, starts or issued)) > skew_s:
        return "it is not valid yet: are the clocks right?"
    return ""


def expired_since_s(claims: Mapping[str, Any], now: datetime) -> float:
    """How long ago a token expired, in seconds; negative while it lasts. `claims` passed `moment`, or it counts as lasting."""
    try:
        expires = moment(claims, "exp")
    except ValueError:
        return -math.inf
    return (now - expires).total_seconds() if expires else -math.inf
