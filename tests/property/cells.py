"""The cells of the random databases, and the script that makes one edition of one."""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Iterator
from typing import Any

from tests.property.made import ROWS, Column, Made, Table

from dbgate.gate.names import literal, quote

WORDS = {"a": "zebrasent", "b": "othershow"}
_YEARS = {"a": 7654, "b": 8321}


def script(made: Made, edition: str) -> str:
    """The statements that make an edition of a database."""
    parts = [f"CREATE SCHEMA {quote(schema)};" for schema in made.schemas]
    for table in made.tables:
        typed = ", ".join(
            f"{quote(c.name)} {c.type}" + (" PRIMARY KEY" if c.name == "id" else "") for c in table.columns
        )
        split = " PARTITION BY RANGE (id)" if table.shape == "partitioned" else ""
        parts.append(f"CREATE TABLE {table.full} ({typed}){split};")
        for part in parts_of(table):
            bounds = "FROM (MINVALUE) TO (5)" if part.name.endswith("1") else "FROM (5) TO (MAXVALUE)"
            parts.append(
                f"CREATE TABLE {part.full} PARTITION OF {table.full} FOR VALUES {bounds};"
                if table.shape == "partitioned"
                else f"CREATE TABLE {part.full} () INHERITS ({table.full});"
            )
        for number in range(1, ROWS + 1):
            cells = row(made, table, number, edition)
            if cells is not None:
                child = parts_of(table)[0].full if table.shape == "inherited" and number > 6 else table.full
                parts.append(f"INSERT INTO {child} VALUES ({', '.join(map(_written, cells))});")
    parts += [f"CREATE VIEW {view.full} AS {view.definition};" for view in made.views]
    return "\n".join(parts)


def parts_of(table: Table) -> list[Table]:
    """The partitions of a table, or what inherits from it."""
    names = {"partitioned": (" part 1", " part 2"), "inherited": (" child",)}.get(table.shape, ())
    return [Table(table.schema, table.name[:40] + n, table.columns, "part", table.where) for n in names]


def visible(table: Table, number: int, region: str) -> bool:
    """Whether the filter of a table lets a row through."""
    match table.where:
        case "":
            return True
        case "region = 'EU'":
            return region == "EU"
        case "id % 2 = 0":
            return number % 2 == 0
        case _:
            return number in {1, 3, 5}


def row(made: Made, table: Table, number: int, edition: str) -> list[Any] | None:
    """The cells of one row; None where an edition has no such row."""
    region = "EU" if random.Random(f"{made.number} {table.name} {number}").random() < 0.5 else "US"
    seen = visible(table, number, region)
    if not seen and edition == "m":
        return None
    cells: list[Any] = [number]
    for column in table.columns[1:]:
        chance = random.Random(f"{made.number} {table.name} {number} {column.name}")
        if column.name == "region":
            cells.append(region)
        elif chance.random() < 0.15:
            cells.append(masked(column, None) if column.hidden and edition == "m" else None)
        elif column.hidden and edition == "m":
            cells.append(masked(column, _secret(column, chance, "a")))
        elif column.hidden or not seen:
            cells.append(_secret(column, chance, edition))
        else:
            cells.append(_plain(column, chance))
    return cells


def _plain(column: Column, chance: random.Random) -> Any:
    number = chance.randint(1, ROWS)
    match column.kind:
        case "text":
            return f"{chance.choice('pqr')}lain {number % 4}"
        case "int":
            return number
        case "numeric(12,2)":
            return number + 0.25
        case "date":
            return f"2020-01-{number:02}"
        case "jsonb":
            return f'{{"k": "plain {number}", "n": [{number}, 2]}}'
        case "text[]":
            return f"{{one,plain {number}}}"
    return number % 2 == 0


def _secret(column: Column, chance: random.Random, edition: str) -> Any:
    """A value that must not come out. What a mask shows of it is the same in both editions, its order is not."""
    shown = chance.randint(0, 2)
    number = 10 + chance.randint(0, 3) * 3 if edition == "a" else 10 + chance.randint(4, 29) * 3
    word, year = WORDS[edition], _YEARS[edition]
    match column.kind:
        case "text":
            return f"p{word}{number}@mail.e{shown}"
        case "int":
            return year * 1000 + number
        case "numeric(12,2)":
            return year * 1000 + number + 0.37
        case "date":
            return f"{year}-01-{1 + number % 28:02}"
        case "jsonb":
            return f'{{"k": "{word}{number}", "n": [{year}{number}, 2]}}'
        case "text[]":
            return f"{{{word}{number},{word}}}"
    return chance.random() < 0.5 if edition == "a" else chance.random() < 0.2


def masked(column: Column, value: Any) -> Any:
    """The mask of a cell, for methods without a key."""
    if column.kind != "text":
        return None
    match column.method:
        case "redact":
            return "***"
        case "partial" if value is not None:
            return "***" + value[-2:]
        case "email" if value is not None:
            return f"{value[0]}***{value[value.index('@') :]}"
    return None


def _written(cell: Any) -> str:
    if cell is None:
        return "NULL"
    return literal(cell) if isinstance(cell, str) else str(cell)


def forms() -> Iterator[str]:
    """What may stand in no answer on edition `a`, lower case: pieces of its secrets, in many encodings."""
    word = WORDS["a"]
    for text in (word[1:8], word[7:0:-1]):
        yield text
        yield text.encode().hex()
    for start in range(3):
        yield base64.b64encode(b"p" * start + word.encode()).decode().lower()[4:10]
    for number in (10, 13, 16, 19):
        for shown in range(3):
            raw = f"p{word}{number}@mail.e{shown}".encode()
            yield hashlib.md5(raw, usedforsecurity=False).hexdigest()
            yield hashlib.sha256(raw).hexdigest()
    yield "7654-01"


FORMS = tuple(forms())
_NUMBER = re.compile(r"(?<![0-9a-z.])76540\d\d(?!\d)|765410\b|76541\d\b")


def leaked(*texts: str) -> set[str]:
    """The forms that stand in the texts."""
    everything = " ".join(texts).lower()
    return {form for form in FORMS if form in everything} | set(_NUMBER.findall(everything))
