"""The names of a database, arranged for looking up while typing. Built once per catalog."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dbgate.catalog import Catalog, CatalogRelation
from dbgate.doors.shell.words import RESERVED

KINDS = {
    "r": "table",
    "p": "partitioned table",
    "v": "view",
    "m": "materialized view",
    "f": "foreign table",
    "S": "sequence",
}
"""What `pg_class.relkind` stands for."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")


def quoted(name: str) -> str:
    """The name as it has to stand in SQL."""
    if _PLAIN.fullmatch(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def folded(name: str) -> str:
    """The name that a piece of SQL means: without quotes, or in lower case."""
    if name.startswith('"'):
        return name.strip('"').replace('""', '"')
    return name.lower()


@dataclass(frozen=True)
class Names:
    """What can be named, as seen from a search path. Names that would play tricks on a terminal are left out."""

    catalog: Catalog
    search_path: tuple[str, ...]
    _by_name: dict[tuple[str, str], CatalogRelation] = field(init=False, default_factory=dict)
    _by_oid: dict[int, CatalogRelation] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for relation in self.catalog.relations:
            self._by_oid[relation.oid] = relation
            if _is_harmless(relation.name, relation.schema):
                self._by_name[relation.schema, relation.name] = relation

    def relation(self, schema: str, name: str) -> CatalogRelation | None:
        """The relation of that name; an empty schema means the search path."""
        if schema:
            return self._by_name.get((schema, name))
        return next((found for s in self.search_path if (found := self._by_name.get((s, name)))), None)

    def by_oid(self, oid: int) -> CatalogRelation | None:
        """The relation with that OID."""
        return self._by_oid.get(oid)

    @cached_property
    def relations(self) -> tuple[tuple[str, CatalogRelation], ...]:
        """Every table and view with the shortest text that names it; those that need no schema come first."""
        bare, qualified = [], []
        for (schema, name), relation in self._by_name.items():
            if relation.kind not in "rpvmf":
                continue
            if self.relation("", name) is relation:
                bare.append((quoted(name), relation))
            else:
                qualified.append((f"{quoted(schema)}.{quoted(name)}", relation))
        return (*sorted(bare, key=_by_text), *sorted(qualified, key=_by_text))

    @cached_property
    def by_schema(self) -> dict[str, list[CatalogRelation]]:
        """The relations of each schema."""
        result: dict[str, list[CatalogRelation]] = {}
        for (schema, _), relation in sorted(self._by_name.items()):
            result.setdefault(schema, []).append(relation)
        return result

    @cached_property
    def schemas(self) -> tuple[str, ...]:
        """The schemas, as they stand in SQL."""
        return tuple(quoted(schema) for schema in self.catalog.schemas if _is_harmless(schema))

    @cached_property
    def functions(self) -> tuple[tuple[str, str], ...]:
        """The database's own functions and procedures with their arguments, qualified where that is needed."""
        return tuple(
            sorted(
                (
                    quoted(f.name) if f.schema in self.search_path else f"{quoted(f.schema)}.{quoted(f.name)}",
                    f.arguments,
                )
                for f in self.catalog.functions
                if not f.extension and _is_harmless(f.name, f.schema, f.arguments)
            )
        )

    def functions_of(self, schema: str) -> Iterable[tuple[str, str]]:
        """The functions of a schema with their arguments."""
        return [
            (quoted(f.name), f.arguments) for f in self.catalog.functions if f.schema == schema and _is_harmless(f.name)
        ]

    @cached_property
    def types(self) -> tuple[str, ...]:
        """The database's own types."""
        return tuple(
            sorted(
                quoted(t.name) if t.schema in self.search_path else f"{quoted(t.schema)}.{quoted(t.name)}"
                for t in self.catalog.types
                if _is_harmless(t.name, t.schema)
            )
        )

    def keys_between(self, left: CatalogRelation, right: CatalogRelation) -> list[tuple[tuple[str, str], ...]]:
        """The foreign keys between two relations, either way, each as pairs of a left and a right column."""
        found = []
        for key in self.catalog.foreign_keys:
            if (key.relation, key.referenced) == (left.oid, right.oid):
                found.append(_pairs(left, key.columns, right, key.referenced_columns))
            elif (key.relation, key.referenced) == (right.oid, left.oid):
                found.append(_pairs(left, key.referenced_columns, right, key.columns))
        return found


def _pairs(
    left: CatalogRelation, left_numbers: Sequence[int], right: CatalogRelation, right_numbers: Sequence[int]
) -> tuple[tuple[str, str], ...]:
    left_names = {c.number: c.name for c in left.columns}
    right_names = {c.number: c.name for c in right.columns}
    return tuple(
        (left_names.get(a, ""), right_names.get(b, "")) for a, b in zip(left_numbers, right_numbers, strict=True)
    )


def _by_text(entry: tuple[str, CatalogRelation]) -> str:
    return entry[0]


def _is_harmless(*names: str) -> bool:
    return all(name.isprintable() for name in names)
