"""Signatures of functions in policies: `schema.name(type, …)`, types as PostgreSQL's `format_type` writes them."""

from __future__ import annotations

import re

from dbgate.document import Value

_NAME = r'(?:[a-z_][a-z0-9_$]*|"[^".,()]+")'
_SIGNATURE = re.compile(rf"({_NAME})\.({_NAME})\(([^()]*)\)")
_TYPE = re.compile(rf"(?:{_NAME}\.)?(?:[a-z_][a-z0-9_ ]*|\"[^\".,()]+\")(?:\[\])?")
_FORM = "schema.name(type, …), for example public.fiscal_year(date)"
_ALIASES = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "decimal": "numeric",
    "bool": "boolean",
    "varchar": "character varying",
    "char": "character",
    "bpchar": "character",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
}
"""PostgreSQL's other names of types (manual, table 8.1) → what `format_type` calls them."""


def signature(value: Value) -> str:
    """The signature with the types' own names, `, ` between them, and no quotes. Raises `DocumentError`."""
    found = _SIGNATURE.fullmatch(value.text().strip())
    if found is None:
        raise value.error(f"{value.name}: {value.text()} is not a function's signature", _FORM)
    types = [re.sub(" +", " ", part.strip()) for part in found[3].split(",")] if found[3].strip() else []
    for part in types:
        if not _TYPE.fullmatch(part):
            raise value.error(f"{value.name}: {part or 'nothing'} is not a type", _FORM)
    arguments = ", ".join(_own_name(part) for part in types)
    return f"{found[1]}.{found[2]}({arguments})".replace('"', "")


def _own_name(part: str) -> str:
    bare, array = (part[:-2], "[]") if part.endswith("[]") else (part, "")
    return _ALIASES.get(bare, bare) + array
