"""What one identity must not see of one database: hidden columns, filtered rows, and the SQL that stands instead."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from dbgate.catalog import Catalog, CatalogColumn, CatalogRelation
from dbgate.gate.labels import REDACT, Tagged, TagMap, column_named, inlinable, key_tags, tag_columns
from dbgate.gate.masks import mask
from dbgate.gate.names import qualified, quote
from dbgate.gate.policy.globs import matches, matches_parts
from dbgate.gate.policy.match import Classifier, tag_matches
from dbgate.gate.policy.model import MaskMethod, Policy, RowFilter
from dbgate.gate.relations import Schema, schema_of
from dbgate.gate.scope import Label, Labels
from dbgate.gate.stored import StoredQueries
from dbgate.model import ColumnName, Identity


class Unmasked(msgspec.Struct, frozen=True):
    """Tags that grants which live now let an identity see, sorted; `grants` are tag and grant id, in pairs."""

    tags: tuple[str, ...] = ()
    grants: tuple[tuple[str, str], ...] = ()


class Protection:
    """The labels and filters of a policy, for one identity, on one catalog. Make it with `protection_for`."""

    def __init__(self, schema: Schema, policy: Policy, tags: TagMap, identity: Identity, unmasked: Unmasked) -> None:
        self.schema = schema
        self.policy = policy
        self.tags = tags
        groups = set(identity.groups)
        self._always_visible = [
            glob for rule in policy.unmask if rule.approval is None and groups & set(rule.groups) for glob in rule.tags
        ]
        self._opened_tags = frozenset(unmasked.tags)
        self._filters = [f for f in policy.rows if not groups & set(f.except_groups)]
        self._hidden_tags: dict[str, bool] = {}
        self.labels: dict[int, dict[str, Labels]] = {
            oid: {name: self._labels(schema.by_oid[oid], name, found) for name, found in columns.items()}
            for oid, columns in tags.columns.items()
            if oid in schema.by_oid
        }
        self._filter_cache: dict[int, tuple[RowFilter, ...]] = {}
        self._reaches: dict[int, bool] = {}
        self.inlined: dict[int, str] = {}
        self.stored = StoredQueries(schema, policy.functions)
        self.prepared: dict[object, Any] = {}
        self._items: dict[tuple[int, str, str], str] = {}

    def _labels(self, relation: CatalogRelation, name: str, tagged: Tagged) -> Labels:
        column = ColumnName(relation.schema, relation.name, name)
        return frozenset(Label(column, tag, self.method(tag), self.hides(tag), tagged.exact) for tag in tagged.tags)

    def hides(self, tag: str) -> bool:
        """Whether this identity sees only masks of columns with the tag."""
        if tag not in self._hidden_tags:
            self._hidden_tags[tag] = tag not in self._opened_tags and not tag_matches(self._always_visible, tag)
        return self._hidden_tags[tag]

    def opens(self, tag: str) -> bool:
        """Whether only a grant lets this identity see columns with the tag."""
        return tag in self._opened_tags and not tag_matches(self._always_visible, tag)

    def method(self, tag: str) -> MaskMethod:
        """The mask method of a tag: its own, that of a matching glob, or redaction."""
        methods = dict(self.policy.mask)
        if tag in methods:
            return methods[tag]
        return next((m for glob, m in self.policy.mask if matches(glob, tag)), REDACT)

    def hidden(self, relation: CatalogRelation, name: str) -> Label | None:
        """The label that hides a column from this identity, or None. Of several, the one that shows least."""
        labels = [x for x in self.labels.get(relation.oid, {}).get(name, ()) if x.hidden]
        return min(labels, key=lambda x: (_SHOWS.get(x.method.method, 0), x.tag)) if labels else None

    def hidden_columns(self, relation: CatalogRelation) -> dict[str, Label]:
        """The columns of a relation that this identity sees masked."""
        names = self.labels.get(relation.oid, {})
        return {name: label for name in names if (label := self.hidden(relation, name)) is not None}

    def own_hidden(self, relation: CatalogRelation, name: str) -> bool:
        """Whether the policy's globs themselves hide a column, whatever feeds it."""
        return any(self.hides(tag) for tag in self.tags.own.get((relation.oid, name), ()))

    @cached_property
    def hidden_everywhere(self) -> tuple[ColumnName, ...]:
        """The hidden columns of the whole database, and all columns of tables that are hidden in part.

        A grant opens columns in queries, not the server's statistics of them.
        """
        found = [label.column for r in self.schema.catalog.relations for label in self.hidden_columns(r).values()]
        labels = (label for columns in self.labels.values() for found in columns.values() for label in found)
        found += sorted({label.column for label in labels if self._opened_tags and self.opens(label.tag)})
        for relation in self.schema.catalog.relations:
            if self._is_secret(relation):
                found += [ColumnName(relation.schema, relation.name, c.name) for c in relation.columns]
        return tuple(found)

    def _is_secret(self, relation: CatalogRelation) -> bool:
        """Whether statistics of any column would show rows behind a filter, or what system catalogs hide."""
        if relation.kind == "m" and (self.stored.guarded(relation) or self.stored.refusal(relation)):
            return True
        if self.chosen_by(relation):
            return True
        if not self._filters:
            return False
        below = relation.kind == "m" and self.filtered_below(relation)
        elsewhere = self.filtered_elsewhere(relation)
        return bool(self.filters(relation) or self.filtered_part(relation) or elsewhere or below)

    def filters(self, relation: CatalogRelation) -> tuple[RowFilter, ...]:
        """The row filters of a table: its own and those of the tables that it is a part of."""
        if relation.oid not in self._filter_cache:
            names = [(relation.schema, relation.name)]
            todo = list(relation.parents)
            while todo:
                parent = self.schema.by_oid.get(todo.pop())
                if parent is not None:
                    names.append((parent.schema, parent.name))
                    todo += parent.parents
            self._filter_cache[relation.oid] = tuple(
                f for f in self._filters if any(matches_parts(f.table, *name) for name in names)
            )
        return self._filter_cache[relation.oid]

    def shields(self, relation: CatalogRelation) -> bool:
        """Whether reading a relation meets hidden columns or filtered rows, here or in what a view reads."""
        oid = relation.oid
        if oid not in self._reaches:
            self._reaches[oid] = False  # ends the recursion of a view that names itself
            self._reaches[oid] = bool(
                self.hidden_columns(relation)
                or self.filters(relation)
                or self.filtered_part(relation)
                or self.filtered_elsewhere(relation)
                or (relation.kind in "vm" and self.stored.guarded(relation))
                or any(self.hides(tag) for tag in self.tags.predicates.get(oid, ()))
                or any(self.shields(self.schema.by_oid[d]) for d in relation.depends if d in self.schema.by_oid)
            )
        return self._reaches[oid]

    def chosen_by(self, relation: CatalogRelation) -> str:
        """The hidden tag that decides which rows a relation holds, where nothing can be masked to undo that."""
        if relation.kind == "v" and inlinable(self.schema, relation):
            return ""
        return next((t for t in sorted(self.tags.predicates.get(relation.oid, ())) if self.hides(t)), "")

    def keeps_apart(self, relation: CatalogRelation) -> bool:
        """Whether the place of a row in a partitioned table tells about a hidden column."""
        return any(self.hides(tag) for tag in key_tags(relation, self.tags)) or any(
            self.keeps_apart(self.schema.by_oid[oid]) for oid in self.schema.children.get(relation.oid, ())
        )

    def filtered_part(self, relation: CatalogRelation) -> RowFilter | None:
        """A row filter on a partition or child table that the relation itself does not have."""
        own = self.filters(relation)
        parts = (self.schema.by_oid[oid] for oid in self.schema.descendants(relation.oid) if self._filters)
        return next((f for part in parts for f in self.filters(part) if f not in own), None)

    def filtered_elsewhere(self, relation: CatalogRelation) -> CatalogRelation | None:
        """The table of this database with a row filter that a foreign table, or a child that is one, stands for."""
        oids = (relation.oid, *self.schema.descendants(relation.oid)) if self._filters else ()
        found = (self.schema.elsewhere(self.schema.by_oid[oid]) for oid in oids if oid in self.schema.by_oid)
        return next((other for other in found if other is not None and self.filtered_below(other)), None)

    def filtered_below(self, relation: CatalogRelation) -> RowFilter | None:
        """A row filter on the relation or on anything that its definition reads."""
        found = self.filters(relation)
        if found:
            return found[0]
        below = (self.schema.by_oid[d] for d in relation.depends if d in self.schema.by_oid)
        return next((f for r in below if (f := self.filtered_below(r)) is not None), None)

    def column_expression(self, relation: CatalogRelation, name: str, reference: str) -> str | None:
        """The mask that stands for a column, or None where it is shown. `reference` names its value."""
        column = column_named(relation, name)
        label = self.hidden(relation, name)
        if label is None:
            return None
        exact = self.tags.columns[relation.oid][name].exact
        return mask(label.method, column, reference, exact=exact)

    def masked_item(self, relation: CatalogRelation, column: CatalogColumn, name: str = "") -> str:
        """A column as an item of the sub-select that stands for a relation, with its name (or `name`) and its collation."""
        key = (relation.oid, column.name, name or column.name)
        if key not in self._items:
            if len(self._items) >= _MOST_ITEMS:
                self._items.clear()
            self._items[key] = self._made_item(relation, column, quote(key[2]))
        return self._items[key]

    def _made_item(self, relation: CatalogRelation, column: CatalogColumn, named: str) -> str:
        reference = quote(column.name)
        masked = self.column_expression(relation, column.name, reference)
        if not masked:
            return reference if named == reference else f"{reference} AS {named}"
        collation = f" COLLATE {column.collation}" if column.collation else ""
        return f"{masked}{collation} AS {named}"

    def projection(
        self,
        relation: CatalogRelation,
        system: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        asked: Collection[str] | None = None,
    ) -> str:
        """The target list of the sub-select that stands for a relation.

        `columns` are those that it has, with the names that they get; None asks for all of them, under their own. Those of
        them that are not `asked` for are NULL: the statement needs their places, and PostgreSQL no right to read them.
        """
        columns = {c.name: c.name for c in relation.columns} if columns is None else columns
        items = [
            self.masked_item(relation, c, columns[c.name])
            if asked is None or c.name in asked
            else f"NULL AS {quote(columns[c.name])}"
            for c in relation.columns
            if c.name in columns
        ]
        return ", ".join([*items, *system])  # names that are given by position are for those before

    def condition(self, relation: CatalogRelation) -> str:
        """The conditions of the row filters, joined; empty without any."""
        return " AND ".join(f"({f.where})" for f in self.filters(relation))

    def source(
        self,
        relation: CatalogRelation,
        *,
        only: str = "",
        sample: str = "",
        system: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        asked: Collection[str] | None = None,
        alias: str = "",
    ) -> str:
        """The sub-select that stands for a table, without parentheses. A filter is fenced by `OFFSET 0`.

        With the `alias` of the statement plans name the table as it does; a filter names it by its own name.
        """
        name = qualified(relation.schema, relation.name)
        condition = self.condition(relation)
        called = f" {quote(alias)}" if alias and not condition else ""
        text = f"SELECT {self.projection(relation, system, columns, asked)} FROM {only}{name}{called}{sample}"
        order = self._order(relation) if relation.kind == "p" and self.keeps_apart(relation) else ""
        return f"{text} WHERE {condition}{order} OFFSET 0" if condition else f"{text}{order}"

    def _order(self, relation: CatalogRelation) -> str:
        """ORDER BY what may be seen: the order of the partitions would show which rows lie together."""
        hidden = self.hidden_columns(relation)
        shown = [quote(c.name) for c in relation.columns if c.name not in hidden and c.base_type not in UNORDERED]
        return f" ORDER BY {', '.join(shown)}" if shown else ""


_MOST_ITEMS = 4096
UNORDERED = frozenset("json xml point box circle lseg line path polygon txid_snapshot pg_snapshot".split())
"""Types that cannot be sorted or grouped by."""
_SHOWS = {"null": 0, "redact": 0, "hash": 1, "token": 1, "email": 2, "partial": 2}
"""How much of a value the mask methods show."""

_tag_maps: list[tuple[Catalog, str, TagMap]] = []
_protections: dict[tuple[int, str, str, tuple[str, ...], tuple[str, ...]], tuple[Catalog, Protection]] = {}


def protection_for(catalog: Catalog, policy: Policy, identity: Identity, unmasked: Unmasked) -> Protection:
    """The protection for an identity; kept while catalog and policy stay the same."""
    key = (id(catalog), policy.digest, identity.key, identity.groups, unmasked.tags)
    found = _protections.get(key)
    if found is not None and found[0] is catalog:
        return found[1]
    made = Protection(schema_of(catalog), policy, _tags_of(catalog, policy), identity, unmasked)
    if len(_protections) > 64:
        _protections.clear()
    _protections[key] = (catalog, made)
    return made


def _tags_of(catalog: Catalog, policy: Policy) -> TagMap:
    for known, digest, tags in _tag_maps:
        if known is catalog and digest == policy.digest:
            return tags
    classifier = Classifier(policy.classify)
    made = tag_columns(schema_of(catalog), classifier.tags)
    _tag_maps.insert(0, (catalog, policy.digest, made))
    del _tag_maps[4:]
    return made
