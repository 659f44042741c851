"""Which queries count what a statement would touch: of all its data-changing parts, or none.

What the server's status line says is checked when the statement has run (`CountQuery.is_own`). What foreign keys carry along,
and what stands inside EXPLAIN, COPY or WITH, it does not say: that is counted again right before the run, in the same
transaction, and only of conditions that give the same then (`steady`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from dbgate.catalog import CatalogRelation
from dbgate.gate.executed import Arguments, declared_types
from dbgate.gate.lexer import tokens
from dbgate.gate.measure import count_queries, truncate_queries
from dbgate.gate.names import kind_of
from dbgate.gate.parts import CHANGES, changing_parts
from dbgate.gate.relations import Schema
from dbgate.gate.statement import Examined
from dbgate.gate.steady import is_steady
from dbgate.gate.syntax import parse_one
from dbgate.model import CountQuery, Statement


def counting(
    text: str, examined: Examined, statement: Statement, schema: Schema, arguments: Arguments | None
) -> tuple[CountQuery, ...] | None:
    """The queries that count the rows of a statement that runs as `text`; None when they cannot be counted.

    `arguments` are those of the EXECUTE that runs a prepared statement; preparing one touches nothing.
    """
    if examined.kind == "TruncateStmt":
        return _truncated(examined, statement, schema)
    if examined.kind == "CallStmt":
        return None
    if not examined.found.targets:
        # Only writes are counted; a read that a rule on rows meets touches none.
        return () if not examined.changes_data else None
    values: Sequence[str | None] | None = statement.parameters
    types: dict[int, str] = {}
    if examined.kind == "PrepareStmt":
        if arguments is None:
            return ()
        values, types = arguments.values, declared_types(examined.body)
    parts = changing_parts(text)
    if parts is None or len(parts) != len(examined.found.targets):
        return None
    wrapped = examined.kind in {"ExplainStmt", "CopyStmt"} or (arguments is not None and arguments.explained)
    alone = len(parts) == 1 and examined.inner_kind in CHANGES and not wrapped
    queries: list[CountQuery] = []
    for part in parts:
        found = _part(part, values, types, examined, schema)
        if found is None:
            return None
        queries += found
    if not alone:
        queries[0] = replace(queries[0], is_own=False)
    if len(queries) == 1 and alone:
        return tuple(queries)
    guessed = examined.kind == "PrepareStmt" and _guessed(text, types)
    steady = not guessed and all(is_steady(parse_one(part)) for part in parts)
    return tuple(queries) if steady else None


def _guessed(text: str, types: Mapping[int, str]) -> bool:
    """Whether a parameter may be of another type in a count: the server infers it from where it stands first."""
    numbers = [int(token.text[1:]) for token in tokens(text) if token.kind == "param"]
    return any(numbers.count(number) > 1 and number not in types for number in numbers)


def _part(
    part: str, values: Sequence[str | None] | None, types: Mapping[int, str], examined: Examined, schema: Schema
) -> tuple[CountQuery, ...] | None:
    target = _target(part, examined, schema)
    return None if target is None else count_queries(part, values, schema, target, types)


def _target(part: str, examined: Examined, schema: Schema) -> CatalogRelation | None:
    """The relation that a part changes: the statement's only one, or the one that the part names in full."""
    relations = [entry.relation for _, entry in examined.found.targets]
    if len(relations) == 1:
        return relations[0]
    body = kind_of(parse_one(part))[1]["relation"]
    named = (body.get("schemaname", ""), body["relname"])
    return next((r for r in relations if r is not None and _sent_name(r, schema) == named), None)


def _sent_name(relation: CatalogRelation, schema: Schema) -> tuple[str, str]:
    name = "pg_temp" if relation.schema == schema.temp_schema else relation.schema
    return name, relation.name


def _truncated(examined: Examined, statement: Statement, schema: Schema) -> tuple[CountQuery, ...] | None:
    oids = [t.relation.oid for t in statement.touches if t.relation]
    cascades = examined.body.get("behavior") == "DROP_CASCADE"
    found = truncate_queries(schema, oids, cascades=cascades)
    return tuple(replace(query, is_own=False) for query in found) or None
