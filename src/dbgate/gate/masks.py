"""Mask methods as SQL: what stands in a query instead of a labelled column.

A mask has the type of its column, keeps NULL where it is made from the value, never raises an error, and names
only functions and operators of `pg_catalog`, so that nothing on the search path can stand in for them.
Keyed masks read the key from the setting `dbgate.key`, which dbgate sets per session and nobody else may read.
"""

from __future__ import annotations

import re

from dbgate.catalog import CatalogColumn
from dbgate.gate.names import literal
from dbgate.gate.policy.model import MaskMethod

_INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
_JOIN = "OPERATOR(pg_catalog.||)"
_KEY = "pg_catalog.current_setting('dbgate.key')"


_TEXT = "pg_catalog.text"
STRINGS = frozenset({"text", "character varying", "character", "bpchar", "name"})
_GRAMMAR = re.compile(
    r"(smallint|integer|bigint|real|double precision|numeric|boolean|bit|character|time|timestamp|interval)\b"
)
"""Types that the grammar itself knows; every other unqualified name would be looked for on the search path."""


def type_name(written: str) -> str:
    """A type as `format_type` writes it, so that nothing on the search path, a temporary type first, stands for it."""
    if written == "character":
        return "pg_catalog.bpchar"
    if _GRAMMAR.match(written) or re.match(r'("(?:[^"]|"")*"|[^".(\[]+)\.', written):
        return written
    return f"pg_catalog.{written}"


def mask(method: MaskMethod, column: CatalogColumn, value: str, *, exact: bool = True) -> str:
    """The SQL expression that stands for `value`, a reference to `column`.

    With `exact` false the column was only derived from labelled ones: nothing of it is shown.
    """
    # A domain's constraints could fail on a mask: the mask has the type under the domain.
    declared = type_name(column.type if column.type_oid == column.base_oid else column.base_type)
    name = method.method if exact else "redact"
    base = "text" if column.base_type in STRINGS or column.base_type.endswith("citext") else column.base_type
    expression = _expression(name, method, base, value, value if column.type == "text" else f"{value}::{_TEXT}")
    return f"({expression})::{declared}" if expression else f"NULL::{declared}"


def _expression(name: str, method: MaskMethod, base: str, value: str, text: str) -> str:
    """The mask before its cast to the column's type; empty for NULL."""
    if name in {"token", "hash"}:
        return _keyed(name, base, text)
    if base != "text" or name == "null":
        return ""
    match name:
        case "redact":
            return literal(method.text)
        case "partial":
            return _partial(text, method.first, method.last)
        case "email":
            at = f"pg_catalog.strpos({text}, '@')"
            return (
                f"CASE WHEN {value} IS NULL THEN NULL WHEN {at} OPERATOR(pg_catalog.>) 1 THEN "
                f"pg_catalog.left({text}, 1) {_JOIN} '***' {_JOIN} pg_catalog.substr({text}, {at}) ELSE '***' END"
            )
        case _:
            raise ValueError(f"unknown mask method {name}")


def _partial(text: str, first: int, last: int) -> str:
    kept = first + last
    head = f"pg_catalog.left({text}, {first}) {_JOIN} " if first else ""
    tail = f" {_JOIN} pg_catalog.right({text}, {last})" if last else ""
    return (
        f"CASE WHEN {text} IS NULL THEN NULL WHEN pg_catalog.length({text}) OPERATOR(pg_catalog.>) {kept} "
        f"THEN {head}'***'{tail} ELSE '***' END"
    )


def _keyed(name: str, base: str, text: str) -> str:
    digest = f"pg_catalog.sha256(pg_catalog.convert_to({_KEY} {_JOIN} {text}, 'UTF8'))"
    hexadecimal = f"pg_catalog.encode({digest}, 'hex')"
    if base == "text":
        if name == "hash":
            return hexadecimal
        return f"'tok_' {_JOIN} pg_catalog.substr({hexadecimal}, 1, 24)"
    if base in _INTEGERS:
        number = f"('x' {_JOIN} pg_catalog.substr({hexadecimal}, 1, 16))::bit(64)::bigint"
        return f"{number} OPERATOR(pg_catalog.&) {2 ** _INTEGERS[base] - 1}"
    if base == "uuid":
        return f"pg_catalog.substr({hexadecimal}, 1, 32)"
    if base == "bytea":
        return digest
    return ""
