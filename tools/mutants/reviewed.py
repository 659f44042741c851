"""The mutants that no test can notice, because they change nothing that anybody could see: each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

FILE = Path(__file__).parent / "equivalent.yaml"


def reviewed() -> dict[str, str]:
    """Reason by key. Raises `ValueError` for an entry without a reason, or given twice."""
    found: dict[str, str] = {}
    for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")) or ():
        for key in entry["mutants"]:
            if not entry["why"].strip() or key in found:
                raise ValueError(f"{FILE.name}: {key}: no reason, or twice")
            found[key] = entry["why"]
    return found


def stale(keys: Iterable[str], known: Iterable[str]) -> list[str]:
    """The reviewed keys that no mutant has any more."""
    return sorted(set(known) - set(keys))
