"""What is weighed: a column as the catalog describes it, a sample of its values, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dbgate.model import ColumnName


class Subject(msgspec.Struct, frozen=True):
    """A column. `category` is `pg_type.typcategory`, `siblings` the names of the other columns of its table."""

    column: ColumnName
    base_type: str
    category: str
    comment: str = ""
    table_comment: str = ""
    siblings: tuple[str, ...] = ()


class Sample:
    """Values of a column in text form, NULL left out. It shows its size only, wherever it is printed."""

    __slots__ = ("distinct", "values")

    def __init__(self, values: Sequence[str] = ()) -> None:
        self.values = [value for value in (v.strip() for v in values) if value]
        self.distinct = list(dict.fromkeys(self.values))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"<{len(self.values)} values>"


class Evidence(msgspec.Struct, frozen=True):
    """Why a column may hold what it is taken for: in words, and as counts of sampled values. Never a value."""

    words: tuple[str, ...] = ()
    recognized: int = 0
    sampled: int = 0
    chance: float | None = None
    """How often a value of this column would pass by chance, where that was measured."""


class Finding(msgspec.Struct, frozen=True):
    """A column, or a path in its documents, that seems to hold data of a kind."""

    column: ColumnName
    kind: str
    tag: str
    confidence: float
    evidence: Evidence
    path: str = ""
