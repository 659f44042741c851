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


def masks_read(examined: Examined, objects: SessionObjects, schema: Schema) -> list[str]:
    """The columns with masks that a statement reads from temporary tables, as `table.column`, and from catalogs."""
    found = list(examined.system_masks)
    for entry in examined.found.reads:
        relation = entry.relation
        if relation is not None and schema.temp_schema and relation.schema == schema.temp_schema:
            kept = objects.masks.get(relation.name, frozenset())
            found += [f"{relation.name}.{name}" for name in sorted(kept & entry.asked.keys())]
    return found


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
    """The temporary table that a statement fills with masks, and its columns that hold them."""
    made, columns = examined.made, examined.found.columns or ()
    names = [column.name for column in columns]
    if made is not None and is_temporary(made) and examined.kind != "ViewStmt":
        given = strings(examined.body.get("into", {}).get("colNames", ()))
        names = [given[n] if n < len(given) else name for n, name in enumerate(names)]
        masked = {names[n] for n in run.output} if isinstance(run, Rewrite) else set()
        held = frozenset(names) if masks_read(examined, objects, schema) else frozenset(masked)
        return (made["relname"], held) if held or made["relname"] in objects.masks else None
    if masks_read(examined, objects, schema):
        for _, entry in examined.found.targets:
            relation = entry.relation
            if relation is not None and relation.schema == schema.temp_schema:
                return relation.name, frozenset(c.name for c in relation.columns)
    return None
