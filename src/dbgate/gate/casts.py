"""Casts that call a function of somebody's own: a type's name, or a column of the type, may run it.

Where the server uses a cast without being asked (`AS ASSIGNMENT`, `AS IMPLICIT`), no word in the statement tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dbgate.catalog import CatalogCast
from dbgate.gate.findings import Findings
from dbgate.gate.names import identifiers
from dbgate.gate.own_functions import ADVICE, allowed
from dbgate.gate.policy.model import FunctionList
from dbgate.gate.relations import Schema
from dbgate.gate.scope import Entry

_BUILT_IN = "pg_catalog."


def refused_cast(
    types: Iterable[tuple[str, ...]],
    found: Findings,
    schema: Schema,
    functions: FunctionList,
    search_path: Sequence[str],
) -> tuple[str, str]:
    """Why a statement may not run because of a cast, and what to do; empty when nothing stands in the way.

    `types` are the names of types in the statement, part by part.
    """
    refused = [c for c in schema.catalog.casts if _foreign(c, schema, functions)]
    if not refused:
        return "", ""
    named = {full for names in types for full in _named(names, search_path, schema)}
    entries = (*found.reads, *(e for _, e in found.targets))
    used = _with_fields({full for entry in entries for full in _column_types(entry)}, schema)
    for cast in refused:
        if _may_run(cast, named, used, found):
            known = schema.functions_by_oid[cast.function]
            called = f"{known.schema}.{known.name}({known.arguments})"
            return (
                f"the cast from {cast.source} to {cast.target} calls {called}, which the policy does not allow",
                ADVICE,
            )
    return "", ""


def _foreign(cast: CatalogCast, schema: Schema, functions: FunctionList) -> bool:
    known = schema.functions_by_oid.get(cast.function)
    return known is not None and not known.extension and not allowed(cast.function, schema, functions)


def _may_run(cast: CatalogCast, named: set[str], used: set[str], found: Findings) -> bool:
    if not cast.source.startswith(_BUILT_IN):  # its values come from a column, or from a cast to it
        return cast.source in named | used
    if not cast.target.startswith(_BUILT_IN):
        return cast.target in (named if cast.context == "e" else named | used)
    if cast.context == "e":
        return cast.target in named
    return cast.context == "i" or cast.target in named or bool(found.targets)


def _named(names: tuple[str, ...], search_path: Sequence[str], schema: Schema) -> Iterator[str]:
    """The types that a name can mean, in full."""
    if len(names) > 1:
        yield ".".join(names[-2:])
    elif names:
        yield from (f"{place}.{names[0]}" for place in ("pg_catalog", *search_path, schema.temp_schema))


def _column_types(entry: Entry) -> Iterator[str]:
    """The types of the columns that a statement uses of a relation, of arrays their elements'."""
    relation = entry.relation
    for column in relation.columns if relation is not None else ():
        if entry.whole or entry.target or column.name in entry.used:
            yield from (_full(column.type), _full(column.base_type))


def _full(written: str) -> str:
    """A type's name in full, an array's that of its elements, from what `format_type` says."""
    name = written.removesuffix("[]")
    parts = identifiers(name)
    return ".".join(parts) if len(parts) > 1 else f"{_BUILT_IN}{name}"


def _with_fields(types: set[str], schema: Schema) -> set[str]:
    """The types, and those of the fields of row types among them."""
    rows = {f"{r.schema}.{r.name}": r for r in (*schema.catalog.composites, *schema.catalog.relations)}
    todo = list(types)
    while todo:
        relation = rows.get(todo.pop())
        for column in relation.columns if relation is not None else ():
            if (full := _full(column.base_type)) not in types:
                types.add(full)
                todo.append(full)
    return types
