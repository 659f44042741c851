"""What a statement reaches beyond the relations that it names: rules that deny or ask for approval hold there too.

A view's tables, a table's partitions and the tables that it is a part of, rows of other tables that a foreign key
carries along, and what CASCADE takes. Nothing more than the named relation has to be allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dbgate.catalog import CatalogFunction, CatalogRelation, CatalogType
from dbgate.gate.findings import Findings
from dbgate.gate.names import kind_of
from dbgate.gate.policy.model import Policy
from dbgate.gate.relations import Schema
from dbgate.gate.statement import Examined, relation_value
from dbgate.gate.syntax import parse_one
from dbgate.model import Access, Statement, Touch, Tree

_CHANGES = frozenset({"update", "delete", "truncate", "merge", "insert"})


def reached(statement: Statement, examined: Examined, schema: Schema, policy: Policy) -> tuple[Touch, ...]:
    """The touches that follow from those of a statement; empty where no rule could tell the difference."""
    if not any(rule.effect != "allow" and rule.when.tables for rule in policy.rules):
        return ()
    seen = dict.fromkeys((t.verb, t.access, t.relation.oid) for t in statement.touches if t.relation and t.relation.oid)
    if examined.kind == "DropStmt":
        seen |= dict.fromkeys(_dropped(statement, examined, schema))
    todo = [*seen]
    while todo:
        verb, access, oid = todo.pop()
        relation = schema.by_oid.get(oid)
        for step in _steps(verb, access, relation, schema, examined) if relation is not None else ():
            if step not in seen:
                seen[step] = None
                todo.append(step)
    named = {(t.verb, t.access, t.relation.oid) for t in statement.touches if t.relation}
    above = {(v, a, up): None for v, a, oid in seen for up in schema.ancestors(oid)}
    every = (seen | above).keys()
    beyond = (step for step in every if step not in named and step[2] in schema.by_oid)
    return tuple(Touch(verb, access, relation_value(schema.by_oid[oid])) for verb, access, oid in beyond)


_Step = tuple[str, Access, int]


_ALONE = frozenset(
    """OBJECT_TABLE OBJECT_FOREIGN_TABLE OBJECT_VIEW OBJECT_MATVIEW OBJECT_SEQUENCE OBJECT_INDEX OBJECT_TRIGGER OBJECT_RULE
    OBJECT_POLICY OBJECT_STATISTIC_EXT""".split()
)
"""What takes nothing along with CASCADE but what is known to read it."""


def _dropped(statement: Statement, examined: Examined, schema: Schema) -> Iterator[_Step]:
    """What goes with a schema; with CASCADE, behind a type or a function, any relation may: the catalog does not tell."""
    kind, cascades = examined.body.get("removeType"), examined.body.get("behavior") == "DROP_CASCADE"
    names = {t.relation.name for t in statement.touches if t.relation} if kind == "OBJECT_SCHEMA" else set()
    used = kind not in _ALONE and (not names or any(x.schema in names for x in _usable(schema)))
    for relation in schema.catalog.relations:
        if relation.schema in names or (cascades and used):
            yield "drop", Access.DDL, relation.oid


def _usable(schema: Schema) -> Iterator[CatalogFunction | CatalogType]:
    yield from schema.catalog.functions
    yield from schema.catalog.types


def _steps(verb: str, access: Access, relation: CatalogRelation, schema: Schema, examined: Examined) -> Iterator[_Step]:
    """One step further from what a verb does to a relation."""
    known = (oid for oid in _near(verb, relation, schema, examined) if oid in schema.by_oid)
    yield from ((verb, access, oid) for oid in known)
    if verb in _CHANGES:
        yield from _carried(verb, relation, schema, examined)
    if verb == "drop" and examined.body.get("behavior") == "DROP_CASCADE":
        yield from (("alter", Access.DDL, holder.oid) for holder in _holders(relation, schema))


def _near(verb: str, relation: CatalogRelation, schema: Schema, examined: Examined) -> Iterable[int]:
    family = schema.children.get(relation.oid, ())
    cascades = examined.body.get("behavior") == "DROP_CASCADE"
    if verb == "drop":
        return [*family, *(r.oid for r in schema.catalog.relations if cascades and relation.oid in r.depends)]
    if relation.kind in "vm":
        return relation.depends if verb in {"select", "refresh", "lock"} else _below(relation, schema)
    referring = schema.keys_to.get(relation.oid, ()) if verb == "truncate" and cascades else ()
    return [*family, *(key.relation for key in referring)]


def _holders(relation: CatalogRelation, schema: Schema) -> Iterator[CatalogRelation]:
    """The tables with columns of a relation's row type, or of arrays or domains of it: CASCADE drops these columns."""
    names = schema.catalog.type_names
    row = names.get(relation.type_oid)
    for other in schema.catalog.relations if row else ():
        types = (names.get(oid, "") for column in other.columns for oid in (column.type_oid, column.base_oid))
        if other.kind not in "vm" and any(name.removesuffix("[]") == row for name in types):
            yield other


def _below(view: CatalogRelation, schema: Schema) -> Iterator[int]:
    """The relation that a view that can be written to writes to: the only one in its FROM clause."""
    items: list[Tree] = (
        parse_one(view.definition).get("SelectStmt", {}).get("fromClause", []) if view.definition else []
    )
    kind, body = kind_of(items[0]) if len(items) == 1 else ("", {})
    found = schema.lookup(body.get("schemaname", ""), body["relname"], ()) if kind == "RangeVar" else None
    if found is not None:
        yield found.oid


def _carried(verb: str, relation: CatalogRelation, schema: Schema, examined: Examined) -> Iterator[_Step]:
    """What foreign keys do to the rows that refer to changed or deleted ones."""
    names = {c.number: c.name for c in relation.columns}
    for key in schema.keys_to.get(relation.oid, ()):
        if key.relation not in schema.by_oid:
            continue
        if verb == "delete" and key.on_delete in "cnd":
            yield "delete" if key.on_delete == "c" else "update", Access.WRITE, key.relation
        if verb == "update" and key.on_update in "cnd":
            assigned = _assigned(examined.found)
            if not assigned or any(names.get(n) in assigned for n in key.referenced_columns):
                yield "update", Access.WRITE, key.relation


def _assigned(found: Findings) -> set[str]:
    return {name for names in found.assigned_names.values() for name in names}
