"""Masks in temporary tables of the session, and in system catalogs: a statement that reads them does not store them as data.

Of a view over such a catalog any column may hold one.
"""

from __future__ import annotations

from dbgate.catalog import CatalogRelation
from dbgate.gate.allow.system import is_system, system_verdict
from dbgate.gate.names import strings
from dbgate.gate.protection import Protection
from dbgate.gate.relations import Schema
from dbgate.gate.statement import Examined, is_temporary
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Decision, Deny, Rewrite

ANY = "*"
"""Stands for every column of a temporary table, where it is not known which ones hold masks."""


def masks_read(examined: Examined, objects: SessionObjects, schema: Schema) -> list[str]:
    """The columns with masks that a statement reads from temporary tables, as `table.column`, and from catalogs."""
    found = list(examined.system_masks)
    for entry in examined.found.reads if objects.masks else ():
        if entry.relation is not None:
            held = _held(entry.relation, objects, schema)
            found += [f"{entry.relation.name}.{name}" for name in sorted(held & entry.asked.keys())]
    return found


def _held(relation: CatalogRelation, objects: SessionObjects, schema: Schema) -> frozenset[str]:
    """The columns of a relation that may hold masks: of one that reads, or shares rows with, a table with masks, all."""
    known = _own(relation, objects, schema)
    family = [schema.by_oid[o] for o in (*schema.descendants(relation.oid), *schema.ancestors(relation.oid))]
    below = [schema.by_oid[oid] for oid in relation.depends if oid in schema.by_oid]
    if (
        ANY in known
        or any(_own(other, objects, schema) for other in family)
        or any(_held(other, objects, schema) for other in below)
    ):
        return frozenset(column.name for column in relation.columns)
    return known


def _own(relation: CatalogRelation, objects: SessionObjects, schema: Schema) -> frozenset[str]:
    is_temporary = schema.temp_schema and relation.schema == schema.temp_schema
    return objects.masks.get(relation.name, frozenset()) if is_temporary else frozenset()


def masks_of_system(examined: Examined, protection: Protection) -> tuple[str, ...]:
    """The columns that a statement reads of system catalogs and that are replaced there, as `schema.table.column`."""
    found: list[str] = []
    for entry in examined.found.reads:
        relation = entry.relation
        if relation is None or relation.schema == protection.schema.temp_schema:
            continue
        if is_system(relation.schema, relation.name):
            replaced = {column for column, _ in system_verdict(relation.schema, relation.name).columns}
        elif _over_catalogs(relation, protection):
            replaced = {column.name for column in relation.columns}
        else:
            continue
        found += [f"{relation.schema}.{relation.name}.{name}" for name in sorted(replaced & entry.asked.keys())]
    return tuple(found)


def _over_catalogs(relation: CatalogRelation, protection: Protection) -> bool:
    """Whether a view reads a catalog of which something is replaced, itself or through other views."""
    if relation.kind not in "vm":
        return False
    below = (protection.schema.by_oid[oid] for oid in relation.depends if oid in protection.schema.by_oid)
    return protection.stored.guarded(relation) or any(_over_catalogs(r, protection) for r in below)


def stores_kept_masks(examined: Examined, objects: SessionObjects, schema: Schema) -> Deny | None:
    """The denial of a write that reads masks out of a temporary table; another temporary table may hold them."""
    targets = [entry.relation for _, entry in examined.found.targets if entry.relation is not None]
    lasting = any(relation.schema != schema.temp_schema for relation in targets)
    if not lasting and (examined.made is None or examined.kind == "ViewStmt" or is_temporary(examined.made)):
        return None
    kept = masks_read(examined, objects, schema)
    if not kept:
        return None
    return Deny(f"{', '.join(kept)} may hold masks, which are not stored as data", hint="leave these columns out")


def masks_kept(
    examined: Examined, run: Decision, objects: SessionObjects, schema: Schema
) -> tuple[str, frozenset[str]] | None:
    """The temporary table that a statement fills with masks or gives another form, and its columns that hold them."""
    made, columns = examined.made, examined.found.columns
    if made is not None and is_temporary(made) and examined.kind != "ViewStmt":
        given = strings(examined.body.get("into", {}).get("colNames", ()))
        names = [given[n] if n < len(given) else column.name for n, column in enumerate(columns or ())]
        masked = {names[n] for n in run.output} if isinstance(run, Rewrite) else set()
        if columns is None and isinstance(run, Rewrite) and run.masked:
            masked = {ANY}
        held = frozenset({ANY} if masks_read(examined, objects, schema) else masked)
        # One of the name may be there already (IF NOT EXISTS), or come back (ROLLBACK TO).
        return (made["relname"], held | objects.masks.get(made["relname"], frozenset())) if held else None
    if examined.kind in {"RenameStmt", "AlterTableStmt"}:
        return _altered(examined, objects, schema)
    if masks_read(examined, objects, schema):
        for _, entry in examined.found.targets:
            relation = entry.relation
            if relation is not None and relation.schema == schema.temp_schema:
                return relation.name, frozenset({ANY})
    return None


def _altered(examined: Examined, objects: SessionObjects, schema: Schema) -> tuple[str, frozenset[str]] | None:
    """A table with masks under its new name: any of its columns may hold them now."""
    for relation in (touch.relation for touch in examined.touches if touch.relation is not None):
        if schema.temp_schema and relation.schema == schema.temp_schema and relation.name in objects.masks:
            renamed = examined.kind == "RenameStmt" and examined.body.get("renameType") != "OBJECT_COLUMN"
            return (examined.body["newname"] if renamed else relation.name), frozenset({ANY})
    return None
