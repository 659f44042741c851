"""How typical recognised values are of their kind as a column: version numbers are addresses one by one, never together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from dbgate.scan.formats import birth_year


def typical(kind: str, noun: str, values: Sequence[str], tried: int) -> float:
    """A log-likelihood ratio beyond what each of `values`, recognised of `tried`, says; zero where nothing is to add."""
    if not values:
        return 0.0
    match kind:
        case "ip":
            return _addresses(values)
        case "birth":
            return _births(values)
        case "person" if len(values) < 0.25 * tried:
            # Towns, brands and firms are called after people, a column of them less often.
            return -1.5
        case "location":
            return 0.0 if sum("," in v or len(v.partition(".")[2]) >= 4 for v in values) > len(values) / 2 else -2.0
        case "token" | "password" if noun == "opaque strings":
            return -1.0 if len({len(v) for v in values}) > 12 else 0.0
    return 0.0


def _addresses(values: Sequence[str]) -> float:
    """Versions have small numbers; addresses of a network have large ones somewhere."""
    parts = [[int(p) for p in re.findall(r"\d+", v.partition("/")[0])] for v in values if ":" not in v]
    if not parts:
        return 0.0
    return 0.0 if sum(max(p, default=0) >= 64 for p in parts) > 0.6 * len(parts) else -5.0


def _births(values: Sequence[str]) -> float:
    """People are born over decades, and few lately."""
    years = [year for v in values if (year := int(v) if len(v) == 4 else birth_year(v)) is not None]
    if not years:
        return -2.0
    return 1.0 if max(years) - min(years) >= 15 and median(years) <= 2008 else -1.5
