"""What no rule can allow: writes that read hidden columns, masks stored as data, handles of unknown origin."""

from __future__ import annotations

from collections.abc import Iterable

from dbgate.catalog import CatalogRelation
from dbgate.gate.definitions import is_harmless
from dbgate.gate.kept import stores_kept_masks
from dbgate.gate.labels import column_named
from dbgate.gate.names import strings
from dbgate.gate.protection import Protection
from dbgate.gate.relations import SYSTEM_SCHEMAS, Schema
from dbgate.gate.scope import Label
from dbgate.gate.statement import Examined
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Deny, Touch

_READS_OR_MOVES = frozenset(
    """RenameStmt AlterObjectSchemaStmt AlterTableStmt IndexStmt ClusterStmt CreateStmt CreateStatsStmt""".split()
)
"""Definitions that take columns out of the policy's globs (names, schemas), or whose building reads stored values:
an index's condition decides its size, a unique one fails on equal values, a foreign key on missing ones."""


def may_run(examined: Examined, protection: Protection, objects: SessionObjects) -> Deny | None:
    """The denial of a statement that must not run whatever the rules say; None when rules may decide."""
    return (
        _stores(examined)
        or _write_reads(examined)
        or stores_kept_masks(examined, objects, protection.schema)
        or _blind_write(examined, protection)
        or _compares(examined, protection)
        or _moves_labels(examined, protection)
        or _handles(examined, objects)
    )


def _names(labels: Iterable[Label]) -> str:
    return ", ".join(sorted({str(label.column) for label in labels}))


def _hidden(labels: Iterable[Label]) -> list[Label]:
    return [label for label in labels if label.hidden]


def _write_reads(examined: Examined) -> Deny | None:
    """A write may not read a column that this identity may not see: its effect would show the value."""
    found = examined.found
    hidden = _hidden(found.write_reads | found.cte_reads if found.targets else found.write_reads)
    if not hidden:
        return None
    return Deny(
        f"the statement writes and reads {_names(hidden)}, which you see only masked",
        hint="select rows by other columns; an approval to see them in clear is for reading only",
    )


def _stores(examined: Examined) -> Deny | None:
    """A mask is never stored as data; temporary tables may hold masks. A view's definition holds no values."""
    found = examined.found
    again = examined.body.get("objtype") == "OBJECT_MATVIEW"  # its definition holds every mask, and runs again
    hidden = _hidden(found.outputs | found.predicates if again else found.write_reads) if examined.stores else []
    if not hidden:
        return None
    return Deny(
        f"the new relation would store masks of {_names(hidden)}",
        hint="leave these columns out, or make a temporary table",
    )


def _blind_write(examined: Examined, protection: Protection) -> Deny | None:
    """Rewrite rules on a table run statements that nobody has looked at."""
    for _, entry in examined.found.targets:
        relation = entry.relation
        if relation is not None and relation.schema in SYSTEM_SCHEMAS:
            return Deny(f"{relation.schema}.{relation.name} is the server's own: nobody writes to it")
        ruled = _with_rules(relation, protection.schema) if relation is not None else None
        if ruled is not None:
            return Deny(f"{ruled.schema}.{ruled.name} has rewrite rules, which dbgate cannot look into")
        if relation is not None and relation.kind in "vm" and protection.shields(relation):
            return Deny(
                f"{relation.schema}.{relation.name} is a view over masked columns or filtered rows",
                hint="write to its table",
            )
    return None


def _compares(examined: Examined, protection: Protection) -> Deny | None:
    """A check that compares what is assigned with a hidden column would tell by its error where that lies."""
    schema = protection.schema
    for oid, assigned in examined.found.assigned_names.items():
        for part in (oid, *(schema.descendants(oid) if _reaches_children(examined, oid) else ())):
            relation = schema.by_oid[part]
            hidden = set(protection.hidden_columns(relation)) - assigned
            for constraint in schema.constraints.get(part, ()):
                named = {c.name for c in relation.columns if c.number in constraint.columns}
                if constraint.kind == "c" and named & assigned and named & hidden:
                    return Deny(
                        f"the check {constraint.name} compares {', '.join(sorted(named & assigned))} with "
                        f"{', '.join(sorted(named & hidden))}, which you see only masked",
                        hint="set these columns together, or ask for unmasked access",
                    )
    return None


def _reaches_children(examined: Examined, oid: int) -> bool:
    """Whether a statement may change rows of the tables that inherit from one, or of its partitions."""
    return any(
        not entry.alone and (verb != "insert" or entry.relation.kind == "p")
        for verb, entry in examined.found.targets
        if entry.relation is not None and entry.relation.oid == oid
    )


def _with_rules(relation: CatalogRelation, schema: Schema) -> CatalogRelation | None:
    """The relation whose rules a write may meet: its own, or those of what a view reads, through which it goes."""
    if relation.has_rules:
        return relation
    below = (schema.by_oid[oid] for oid in relation.depends if oid in schema.by_oid)
    return next((ruled for r in below if (ruled := _with_rules(r, schema)) is not None), None)


def _moves_labels(examined: Examined, protection: Protection) -> Deny | None:
    """A definition may not take labels off, nor be built from values that this identity may not see."""
    if examined.kind == "CreateDomainStmt" and strings(examined.body.get("domainname", ()))[0].startswith("pg_temp"):
        return Deny("a temporary domain would stand before PostgreSQL's own types", hint="make it in a schema")
    if examined.kind == "AlterDomainStmt" and examined.body.get("subtype") in _CHECKS_VALUES:
        return _checks_values(protection)
    if examined.kind not in _READS_OR_MOVES:
        return None
    for touch in examined.touches:
        relation = _meant(touch, protection)
        if relation is None:
            continue
        hidden = protection.hidden_columns(relation)
        if is_harmless(examined.kind, examined.body, relation, protection):
            continue
        if protection.filters(relation) or protection.filtered_part(relation):
            return Deny(
                f"{relation.schema}.{relation.name} has a row filter for you",
                hint=f"such a definition could take the filter off, or show what it was built from; {_HARMLESS}",
            )
        if hidden:
            return Deny(
                f"{relation.schema}.{relation.name} has columns that you see only masked: {', '.join(sorted(hidden))}",
                hint=f"such a definition could take the labels off, or show what it was built from; {_HARMLESS}",
            )
    return None


_HARMLESS = "adding columns, and keys and indexes on columns that you see, are allowed"


def _meant(touch: Touch, protection: Protection) -> CatalogRelation | None:
    """The relation or composite type that a definition works on."""
    named = touch.relation
    if named is None:
        return None
    types = protection.schema.catalog.composites
    return protection.schema.by_oid.get(named.oid) or next(
        (t for t in types if (t.schema, t.name) == (named.schema, named.name)), None
    )


_CHECKS_VALUES = frozenset({"C", "V", "O"})
"""ALTER DOMAIN … ADD CONSTRAINT, VALIDATE CONSTRAINT, SET NOT NULL: they look at every stored value of the domain."""


def _checks_values(protection: Protection) -> Deny | None:
    for column in protection.hidden_everywhere:
        relation = protection.schema.by_name[column.schema, column.table]
        kept = column_named(relation, column.column)
        if kept.type_oid != kept.base_oid or kept.category in "AC":
            return Deny(
                f"{column} may hold values of the domain, which you see only masked",
                hint="whether a constraint holds would tell about its values",
            )
    return None


def _handles(examined: Examined, objects: SessionObjects) -> Deny | None:
    """Prepared statements and cursors have to come from this session."""
    body = examined.body
    executed = examined.executed
    if examined.kind in {"PrepareStmt", "DeallocateStmt"} and body.get("name", "").startswith("dbgate_"):
        return Deny(f"the prepared statement {body['name']} is dbgate's own", hint="choose a name without dbgate_")
    if executed is not None and executed not in objects.prepared:
        return Deny(f"no prepared statement {executed} was made in this session", hint="PREPARE it first")
    if examined.kind == "FetchStmt" and body.get("portalname", "") not in objects.cursors:
        return Deny(f"no cursor {body.get('portalname', '')} was declared in this session", hint="DECLARE it first")
    return None
