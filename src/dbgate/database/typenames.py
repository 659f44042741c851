"""Names of result types as `format_type` writes them, known without asking the server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from psycopg.postgres import types

from dbgate.model import Column

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_ENCODINGS = ("UTF8", "LATIN1", "SQL_ASCII", "SQL_ASCII", "WIN1252")
_ARRAY_SUFFIX = "[]"


def _built_in() -> dict[int, str]:
    names: dict[int, str] = {}
    for info in types:
        name = info.regtype if info.name != "bpchar" else "character"
        names[info.oid] = '"char"' if info.name == "char" else name
        if info.array_oid:
            names[info.array_oid] = names[info.oid] + _ARRAY_SUFFIX
    return names


BUILT_IN = _built_in()
"""OID → name of PostgreSQL's own types."""

BUILT_IN_NAMES = frozenset(BUILT_IN.values()) | {info.name for info in types} | frozenset(_ENCODINGS)
"""What may be shown in a message as the name of a type or an encoding."""


def with_modifier(name: str, modifier: int) -> str:
    """The type's name with its modifier (`atttypmod`), e.g. `numeric(10,2)`; as it is where that is not known."""
    if modifier < 0:
        return name
    if name.endswith(_ARRAY_SUFFIX):
        return with_modifier(name[:-2], modifier) + _ARRAY_SUFFIX
    match name:
        case "character varying" | "character":
            return f"{name}({modifier - 4})"
        case "numeric":
            precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
            return f"numeric({precision},{(scale ^ 1024) - 1024})"
        case "bit" | "bit varying":
            return f"{name}({modifier})"
        case "timestamp without time zone" | "timestamp with time zone":
            return f"timestamp({modifier}){name.removeprefix('timestamp')}"
        case "time without time zone" | "time with time zone":
            return f"time({modifier}){name.removeprefix('time')}"
    return name


def columns_of(result: PGresult, known: Mapping[int, str], search_path: Collection[str]) -> tuple[Column, ...]:
    """The columns of a result. `known` are the names of the database's own types by OID, qualified."""
    return tuple(
        Column(
            (result.fname(number) or b"").decode("utf-8", "replace"),
            _type_name(result.ftype(number), result.fmod(number), known, search_path),
            result.ftype(number),
        )
        for number in range(result.nfields)
    )


def _type_name(oid: int, modifier: int, known: Mapping[int, str], search_path: Collection[str]) -> str:
    name = BUILT_IN.get(oid) or known.get(oid)
    if name is None:
        return f"type {oid}"
    schema, dot, rest = name.partition(".")
    if dot and schema in search_path:
        name = rest
    return with_modifier(name, modifier)
