"""A generated database: tables whose every column is known to hold personal data or secrets of a kind, or nothing of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.scan.values import Make


@dataclass(frozen=True)
class Column:
    """A column. `tag` is what it holds in truth, empty for nothing; `nulls` the share of NULLs."""

    name: str
    make: Make
    tag: str = ""
    type: str = "text"
    comment: str = ""
    nulls: float = 0.0


@dataclass(frozen=True)
class Table:
    """A table `schema.name` with `rows` rows."""

    name: str
    columns: Sequence[Column]
    rows: int = 120
    comment: str = ""


def quoted(name: str) -> str:
    return ".".join(f'"{part}"' for part in name.split("."))


def script(tables: Sequence[Table]) -> str:
    """The SQL that makes the tables and fills them."""
    made = [f'CREATE SCHEMA IF NOT EXISTS "{s}";' for s in dict.fromkeys(t.name.partition(".")[0] for t in tables)]
    for number, table in enumerate(tables):
        columns = ", ".join(f'"{c.name}" {c.type}' for c in table.columns)
        made.append(f"CREATE TABLE {quoted(table.name)} ({columns});")
        if table.comment:
            made.append(f"COMMENT ON TABLE {quoted(table.name)} IS {literal(table.comment)};")
        made += [
            f'COMMENT ON COLUMN {quoted(table.name)}."{c.name}" IS {literal(c.comment)};'
            for c in table.columns
            if c.comment
        ]
        rows = []
        for row in range(table.rows):
            cells = [
                "NULL" if (row * 7919 + n * 31) % 100 < c.nulls * 100 else literal(c.make())
                for n, c in enumerate(table.columns)
            ]
            rows.append(f"({', '.join(cells)})")
        if rows:
            made.append(f"INSERT INTO {quoted(table.name)} VALUES {', '.join(rows)};")
        made.append(f"-- table {number}")
    made.append("ANALYZE;")
    return "\n".join(made)


def literal(text: str) -> str:
    return (
        "'" + text.replace("'", "''") + "'"
        if not re.search(r"\\", text)
        else "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    )


def truth(tables: Sequence[Table]) -> dict[str, str]:
    """The tag of each column, by `schema.table.column`."""
    return {f"{t.name}.{c.name}": c.tag for t in tables for c in t.columns}
