"""What PostgreSQL counts of the tuples that the open transaction has changed (its manual, 27.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec


class Counter(msgspec.Struct, frozen=True):
    """Tuples of one table, `schema.table`, that the open transaction has inserted, updated and deleted so far."""

    name: str
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


Counters: TypeAlias = Mapping[int, Counter]
"""By the OID of the table."""
