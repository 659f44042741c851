"""Which columns are labelled: by the policy's globs, and by where their values come from.

Labels follow values: through inheritance and partitions (both ways), foreign keys, generated columns, sequences, foreign
tables that name a table of this database, and the definitions of views and materialized views. Where a definition cannot be followed, every column is labelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from dbgate.catalog import CatalogColumn, CatalogRelation
from dbgate.errors import StatementError
from dbgate.gate.analysis import Analysis
from dbgate.gate.lexer import tokens
from dbgate.gate.names import kind_of, qualified, quote
from dbgate.gate.policy.model import MaskMethod
from dbgate.gate.relations import Schema
from dbgate.gate.scope import Label, Labels
from dbgate.gate.syntax import parse_one
from dbgate.model import ColumnName

REDACT = MaskMethod("redact")


class Tagged(msgspec.Struct, frozen=True):
    """The tags of a column. `exact` tells that it holds the value itself, not something made from it."""

    tags: frozenset[str]
    exact: bool = True


class TagMap(msgspec.Struct):
    """The tagged columns of a database: per relation OID, by column name.

    `predicates` holds, for views, the tags of columns that decide which rows they show.
    `unknown` are the views whose definition could not be followed. `own` are the tags that the policy's globs give.
    """

    columns: dict[int, dict[str, Tagged]] = msgspec.field(default_factory=dict)
    predicates: dict[int, frozenset[str]] = msgspec.field(default_factory=dict)
    unknown: set[int] = msgspec.field(default_factory=set)
    own: dict[tuple[int, str], frozenset[str]] = msgspec.field(default_factory=dict)

    def add(self, oid: int, name: str, tags: Iterable[str], *, exact: bool = True) -> bool:
        """Add tags to a column; tell whether that changed anything."""
        known = self.columns.get(oid, {}).get(name)
        merged = frozenset(tags) | (known.tags if known else frozenset())
        exact = exact and (known is None or known.exact)
        if known is not None and merged == known.tags and exact == known.exact:
            return False
        if merged:
            self.columns.setdefault(oid, {})[name] = Tagged(merged, exact)
        return bool(merged)


def tag_columns(schema: Schema, classify: Callable[[str, str, str], frozenset[str]]) -> TagMap:
    """Tag every column of a database. `classify(schema, table, column)` gives the tags of the policy's globs."""
    tags = TagMap()
    for relation in (*schema.catalog.relations, *schema.catalog.composites):
        for column in relation.columns:
            found = classify(relation.schema, relation.name, column.name)
            if found:
                tags.add(relation.oid, column.name, found)
                tags.own[relation.oid, column.name] = found
    # Each round carries tags one step further; every round but the last adds a tag, so it ends.
    changed = bool(tags.columns)
    while changed:
        changed = _through_tables(schema, tags)
        changed = _through_rows(schema, tags) or changed
        changed = _through_sequences(schema, tags) or changed
        changed = _through_foreign(schema, tags) or changed
        changed = _through_partitions(schema, tags) or changed
        changed = _through_views(schema, tags) or changed
    return tags


def _through_tables(schema: Schema, tags: TagMap) -> bool:
    changed = False
    for oid in list(tags.columns):
        for other in schema.family(oid) - {oid}:
            names = {c.name for c in schema.by_oid[other].columns} if other in schema.by_oid else set()
            for name, tagged in list(tags.columns[oid].items()):
                if name in names:
                    changed = tags.add(other, name, tagged.tags, exact=tagged.exact) or changed
        for key in schema.keys_to.get(oid, ()):
            changed = _through_key(schema, tags, oid, key.relation, key.referenced_columns, key.columns) or changed
        changed = _through_generated(schema.by_oid[oid], tags) or changed
    return changed


def _through_sequences(schema: Schema, tags: TagMap) -> bool:
    """A sequence holds the last value that it gave to a column."""
    changed = False
    for numbering in schema.catalog.numberings:
        relation = schema.by_oid.get(numbering.relation)
        names = [c.name for c in relation.columns if c.number == numbering.column] if relation is not None else []
        tagged = tags.columns.get(numbering.relation, {}).get(names[0]) if names else None
        if tagged is not None and numbering.sequence in schema.by_oid:
            changed = tags.add(numbering.sequence, "last_value", tagged.tags, exact=False) or changed
    return changed


def _through_foreign(schema: Schema, tags: TagMap) -> bool:
    """A foreign table that names a table as one here is called may show its values: only the server knows where it leads."""
    changed = False
    for relation in schema.catalog.relations:
        source = schema.elsewhere(relation)
        tagged = tags.columns.get(source.oid, {}) if source is not None else {}
        for column in relation.columns if tagged else ():
            found = tagged.get(column.remote or column.name)
            if found is not None:
                changed = tags.add(relation.oid, column.name, found.tags, exact=found.exact) or changed
    return changed


def _through_partitions(schema: Schema, tags: TagMap) -> bool:
    """The rows of a partition are chosen by the columns of its parents' keys."""
    changed = False
    for relation in schema.catalog.relations:
        keys = [schema.by_oid[oid] for oid in schema.ancestors(relation.oid) if oid in schema.by_oid]
        met = frozenset(tag for parent in keys for tag in key_tags(parent, tags))
        if met - tags.predicates.get(relation.oid, frozenset()):
            tags.predicates[relation.oid] = met
            changed = True
    return changed


def key_tags(relation: CatalogRelation, tags: TagMap) -> frozenset[str]:
    """The tags of the columns in a partitioned table's key."""
    tagged = tags.columns.get(relation.oid)
    near = {name: found for name, found in (tagged or {}).items() if quote(name) in relation.partition_key}
    if not near:  # the usual case, without a scan
        return frozenset()
    words = {token.text for token in tokens(relation.partition_key)}
    return frozenset(tag for name, found in near.items() if quote(name) in words for tag in found.tags)


def _through_rows(schema: Schema, tags: TagMap) -> bool:
    """A column of a row type, a table's or a type of its own, or of an array of it, holds its values."""
    tagged: dict[str, frozenset[str]] = {}
    for oid, columns in tags.columns.items():
        relation = schema.by_oid[oid]
        tagged[qualified(relation.schema, relation.name)] = frozenset(t for c in columns.values() for t in c.tags)
    changed = False
    for relation in (*schema.catalog.relations, *schema.catalog.composites):
        for column in relation.columns:
            if column.category in "CA" and (found := tagged.get(_element(column, schema))):
                changed = tags.add(relation.oid, column.name, found, exact=False) or changed
    return changed


def _element(column: CatalogColumn, schema: Schema) -> str:
    """The row type of a column, or of the elements of its arrays, beneath any domain."""
    name = column.base_type.removesuffix("[]")
    return schema.domains.get(name, name)


def _through_key(
    schema: Schema, tags: TagMap, referenced: int, referencing: int, there: Iterable[int], here: Iterable[int]
) -> bool:
    """A foreign key copies the values of the columns that it refers to."""
    changed = False
    from_names = {c.number: c.name for c in schema.by_oid[referenced].columns}
    to_names = {c.number: c.name for c in schema.by_oid[referencing].columns} if referencing in schema.by_oid else {}
    for source, copy in zip(there, here, strict=False):
        tagged = tags.columns[referenced].get(from_names.get(source, ""))
        if tagged is not None and copy in to_names:
            changed = tags.add(referencing, to_names[copy], tagged.tags, exact=tagged.exact) or changed
    return changed


def _through_generated(relation: CatalogRelation, tags: TagMap) -> bool:
    changed = False
    for column in relation.columns:
        if column.generated and column.default:
            names = set(_column_names(column.default))
            sources = [t.tags for n, t in list(tags.columns[relation.oid].items()) if n in names]
            for found in sources:
                changed = tags.add(relation.oid, column.name, found, exact=False) or changed
    return changed


def _column_names(expression: str) -> Iterable[str]:
    todo: list[object] = [parse_one(f"SELECT {expression}")]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            kind, body = kind_of(node)
            if kind == "ColumnRef":
                yield from (f["String"]["sval"] for f in body["fields"] if "String" in f)
            else:
                todo += list(node.values())


def _through_views(schema: Schema, tags: TagMap) -> bool:
    changed = False
    labels = as_labels(schema, tags)
    for relation in schema.catalog.relations:
        if relation.kind not in "vm":
            continue
        if not any(oid in tags.columns or oid in tags.predicates for oid in relation.depends):
            continue
        if relation.oid in tags.unknown:
            continue
        changed = _through_view(schema, relation, labels, tags) or changed
    return changed


def _through_view(
    schema: Schema, relation: CatalogRelation, labels: Mapping[int, Mapping[str, Labels]], tags: TagMap
) -> bool:
    analysis = Analysis(schema, labels, ())
    try:
        tree = parse_one(relation.definition)
        columns = analysis.query(tree["SelectStmt"], None, None)
    except (StatementError, KeyError, LookupError):
        columns = None
    if columns is None or len(columns) < len(relation.columns):
        tags.unknown.add(relation.oid)
        every = {t for oid in relation.depends for c in tags.columns.get(oid, {}).values() for t in c.tags}
        added = [tags.add(relation.oid, c.name, every, exact=False) for c in relation.columns]
        return any(added)
    before = tags.predicates.get(relation.oid, frozenset())
    below = {tag for oid in relation.depends for tag in tags.predicates.get(oid, ())}
    chosen = analysis.found.predicates | analysis.found.multiplies
    met = before | {label.tag for label in chosen} | below
    tags.predicates[relation.oid] = met
    changed = met != before
    if met and not inlinable(schema, relation):
        for column in relation.columns:
            changed = tags.add(relation.oid, column.name, met, exact=False) or changed
    for column, out in zip(relation.columns, columns, strict=False):
        found = {label.tag for label in out.labels}
        if found:
            changed = tags.add(relation.oid, column.name, found, exact=out.plain) or changed
    return changed


def inlinable(schema: Schema, relation: CatalogRelation) -> bool:
    """Whether a view can be replaced by its definition: it stores nothing, and the role may read all of what it reads."""
    tables = [schema.by_oid[oid] for oid in relation.depends if oid in schema.by_oid]
    below = [table.readable and not table.row_security for table in tables]
    own = all(oid in schema.by_oid or oid < FIRST_USER_OID for oid in relation.depends)
    return relation.kind == "v" and own and all(below)


FIRST_USER_OID = 16384
"""Smaller ones belong to the system catalogs (PostgreSQL source, access/transam.h)."""


def as_labels(schema: Schema, tags: TagMap) -> dict[int, dict[str, Labels]]:
    """The tagged columns as labels that everybody has to see masked."""
    return {
        oid: {
            name: frozenset(
                Label(ColumnName(relation.schema, relation.name, name), t, REDACT, True, found.exact)
                for t in found.tags
            )
            for name, found in columns.items()
        }
        for oid, columns in tags.columns.items()
        if (relation := schema.by_oid[oid])
    }


def column_named(relation: CatalogRelation, name: str) -> CatalogColumn:
    """The column of that name. Raises `LookupError`."""
    for column in relation.columns:
        if column.name == name:
            return column
    raise LookupError(name)
