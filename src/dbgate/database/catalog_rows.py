"""From the rows that the catalog's queries give to the values of `dbgate.catalog`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from dbgate.catalog import (
    CatalogCast,
    CatalogColumn,
    CatalogFunction,
    CatalogRelation,
    CatalogType,
    Constraint,
    ForeignKey,
)

if TYPE_CHECKING:
    from dbgate.database.rows import Row


class TypeRow(NamedTuple):
    kind: str
    category: str
    base: int
    written: str


def columns(rows: list[Row], types: dict[int, TypeRow], texts: list[Row]) -> dict[str, tuple[CatalogColumn, ...]]:
    """The columns of each relation, by its OID as text; `rows` are in order of relation and number."""
    expressions: dict[tuple[str | None, str | None], str] = {}
    comments: dict[tuple[str | None, str | None], str] = {}
    collations: dict[tuple[str | None, str | None], str] = {}
    written: dict[tuple[str | None, str | None], str] = {}
    remotes: dict[tuple[str | None, str | None], str] = {}
    by_kind = {"default": expressions, "comment": comments, "collation": collations, "remote": remotes}
    for relation, number, kind, text in texts:
        by_kind.get(kind or "", written)[relation, number] = text or ""
    described: dict[tuple[str | None, str | None], tuple[str, int, int, str, str]] = {}
    found: dict[str, list[CatalogColumn]] = {}
    for relation, number, name, oid, modifier, not_null, generated in rows:
        about = described.get((oid, modifier))
        if about is None:
            about = described[oid, modifier] = _described(int(oid or 0), written.get((oid, modifier), ""), types)
        column = CatalogColumn(
            int(number or 0),
            name or "",
            *about,
            not_null == "t",
            generated or "",
            expressions.get((relation, number), "") if generated else "",
            comments.get((relation, number), "") if comments else "",
            collations.get((relation, number), "") if collations else "",
            remotes.get((relation, number), "") if remotes else "",
        )
        found.setdefault(relation or "", []).append(column)
    return {relation: tuple(columns) for relation, columns in found.items()}


def _described(oid: int, written: str, types: dict[int, TypeRow]) -> tuple[str, int, int, str, str]:
    """Of a column's type: as written, OID, OID without domains, name of that, category."""
    unknown = TypeRow("", "U", 0, f"type {oid}")
    declared = types.get(oid, unknown)
    base, base_oid = declared, oid
    while base.kind == "d" and base.base in types:
        base_oid = base.base
        base = types[base_oid]
    return written or declared.written, oid, base_oid, base.written, base.category


def relation(row: Row, columns: tuple[CatalogColumn, ...]) -> CatalogRelation:
    """A relation with its columns."""
    oid, schema, name, kind, parents, definition, depends, readable, key, rules, triggers, rows, *rest = row
    comment, type_oid, partition_key, mark, secured, remote = rest
    return CatalogRelation(
        oid=int(oid or 0),
        schema=schema or "",
        name=name or "",
        kind=kind or "",
        columns=columns,
        parents=numbers(parents),
        definition=definition or "",
        depends=numbers(depends),
        readable=readable == "t",
        primary_key=numbers(key),
        has_rules=rules == "t",
        has_triggers=triggers == "t",
        row_estimate=int(rows or 0),
        comment=comment or "",
        type_oid=int(type_oid or 0),
        partition_key=partition_key or "",
        mark=mark or "",
        row_security=secured == "t",
        # Without the options it has the names that stand here (PostgreSQL 18 manual, F.38.1.3).
        remote=tuple(r or own or "" for r, own in zip(json.loads(remote), (schema, name), strict=True))
        if remote
        else (),
    )


def constraint(row: Row) -> Constraint:
    """A constraint."""
    _, name, kind, relation, columns = row
    return Constraint(name or "", int(relation or 0), kind or "", numbers(columns))


def foreign_key(row: Row) -> ForeignKey:
    """A foreign key."""
    name, relation, columns, referenced, referenced_columns, on_delete, on_update = row
    return ForeignKey(
        name or "",
        int(relation or 0),
        numbers(columns),
        int(referenced or 0),
        numbers(referenced_columns),
        on_delete or "",
        on_update or "",
    )


def function(row: Row) -> CatalogFunction:
    """A function."""
    (
        oid,
        schema,
        name,
        arguments,
        kind,
        language,
        definer,
        extension,
        returns,
        required,
        variadic,
        constructs,
        *types,
    ) = (value or "" for value in row)
    return CatalogFunction(
        int(oid),
        schema,
        name,
        arguments,
        kind,
        language,
        definer == "t",
        extension,
        returns,
        int(required or 0),
        variadic == "t",
        int(constructs or 0),
        numbers(types[0]),
        numbers(types[1]),
    )


def cast(row: Row) -> CatalogCast:
    """A cast of somebody's own."""
    function, target = numbers(row[2])
    context, source = (row[4] or " ")[:1], (row[4] or "")[1:]
    return CatalogCast(int(row[1] or 0), target, row[3] or "", function, context, source)


def kind_of_type(row: Row, types: dict[int, TypeRow]) -> CatalogType:
    """A type outside `pg_catalog`."""
    oid, kind = int(row[0] or 0), row[3] or ""
    base = _described(oid, "", types)[3] if kind == "d" else ""
    return CatalogType(oid, row[1] or "", row[2] or "", kind, row[7] or "", numbers(row[9]), base)


def numbers(text: str | None) -> tuple[int, ...]:
    """The numbers in a JSON array."""
    return tuple(int(number) for number in json.loads(text)) if text else ()
