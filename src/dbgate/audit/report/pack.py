"""Gathering an evidence pack: every figure by its query, and the verdicts over the bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dbgate.audit.report.controls import LIMITS, STANDARDS
from dbgate.audit.report.figures import FIGURES, MOST_ROWS
from dbgate.audit.search import Engine

Row = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a pack is about. `target` is a glob, empty for all; `seed` and `size` are those of the sample."""

    standard: str
    since: datetime
    until: datetime
    target: str = ""
    seed: str = "1"
    size: int = 25

    def conditions(self) -> Mapping[str, str]:
        """The parts of queries that hold them to period and scope, with all values as literals."""
        since, until = (f"TIMESTAMPTZ '{at.astimezone(UTC).isoformat()}'" for at in (self.since, self.until))
        glob = self.target.replace("'", "''")

        def held(time: str, target: str) -> str:
            scope = f" AND {target} GLOB '{glob}'" if glob else ""
            return f"{time} >= {since} AND {time} <= {until}{scope}"

        return {
            "statements": held("time", "target"),
            "sessions": held("started_at", "target"),
            "decisions": held("time", "coalesce(request_target, '')"),
            "before": f"time <= {until}",
            "seed": self.seed.replace("'", "''"),
            "size": str(self.size),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """A figure and what came of it. `total` are the rows of a table without its cut."""

    label: str
    query: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    table: bool
    total: int

    @property
    def number(self) -> int:
        """The value of a number."""
        return int(self.rows[0][0] or 0)


@dataclass(slots=True)
class Pack:
    """Everything that a report says. `integrity` is what `dbgate audit verify --format json` prints, held to the scope."""

    scope: Scope
    bucket: str
    version: str
    made_at: datetime
    figures: dict[str, Found] = field(default_factory=dict)
    integrity: dict[str, Any] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The pack as JSON values: all that the page shows."""
        standard = STANDARDS[self.scope.standard]
        return {
            "standard": self.scope.standard,
            "title": standard.title,
            "period": {"from": _iso(self.scope.since), "to": _iso(self.scope.until)},
            "bucket": self.bucket,
            "target": self.scope.target,
            "made_at": _iso(self.made_at),
            "dbgate": self.version,
            "keys": list(self.keys),
            "left_out": list(self.left_out),
            "integrity": self.integrity,
            "controls": [
                {"id": c.id, "title": c.title, "does": c.does, "figures": list(c.figures), "limits": c.limits}
                for c in standard.controls
            ],
            "figures": {
                name: {
                    "label": found.label,
                    "query": found.query,
                    "columns": list(found.columns),
                    "rows": [list(row) for row in found.rows],
                    "total": found.total,
                }
                for name, found in self.figures.items()
            },
            "sample": {"seed": self.scope.seed, "size": self.scope.size},
            "limits": list(LIMITS),
        }


def gather(engine: Engine, scope: Scope, pack: Pack, progress: Callable[[str], None] = lambda name: None) -> None:
    """Compute every figure into `pack`. Raises `StatementError`, `Unreachable`."""
    conditions = scope.conditions()
    for name, figure in FIGURES.items():
        progress(name)
        query = figure.query.strip().format_map(conditions)
        if figure.table and name != "samples":
            query += f"\nLIMIT {MOST_ROWS}"
        columns, rows = _asked(engine, query)
        total = len(rows)
        if figure.table and total == MOST_ROWS:
            whole = query.rpartition("\nLIMIT ")[0]
            total = int(_asked(engine, f"SELECT count(*) FROM ({whole})")[1][0][0] or 0)
        pack.figures[name] = Found(figure.label, query, columns, rows, figure.table, total)


def _asked(engine: Engine, query: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    answer = engine.ask(query)
    rows: list[Row] = [row for batch in answer.batches() for row in batch]
    return tuple(column.name for column in answer.columns), tuple(rows)


def in_scope(sessions: Iterable[Mapping[str, Any]], scope: Scope) -> Sequence[Mapping[str, Any]]:
    """The sessions that began in the period, or do not verify, whenever they began: those first."""
    since, until = _iso(scope.since), _iso(scope.until)

    def bad(item: Mapping[str, Any]) -> bool:
        return not all(item[name]["holds"] for name in ("intact", "complete", "anchored"))

    kept = [item for item in sessions if bad(item) or since <= str(item["started_at"])[:26] + "Z" <= until]
    return sorted(kept, key=lambda item: (not bad(item), str(item["session"])))


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
