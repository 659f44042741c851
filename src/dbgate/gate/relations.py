"""Find relations by name exactly as the server will: temporary schema, `pg_catalog`, then the search path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

from dbgate.catalog import Catalog, CatalogColumn, CatalogFunction, CatalogRelation, CatalogType, Constraint, ForeignKey
from dbgate.gate.names import qualified

SYSTEM_SCHEMAS = ("pg_catalog", "information_schema")


class Schema:
    """A catalog, indexed. Make it once per catalog with `schema_of`."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.by_oid: dict[int, CatalogRelation] = {}
        self.by_name: dict[tuple[str, str], CatalogRelation] = {}
        self.children: dict[int, list[int]] = {}
        for relation in catalog.relations:
            self.by_oid[relation.oid] = relation
            self.by_name[relation.schema, relation.name] = relation
            for parent in relation.parents:
                self.children.setdefault(parent, []).append(relation.oid)
        for composite in catalog.composites:
            self.by_oid[composite.oid] = composite
        self.constraints: dict[int, list[Constraint]] = {}
        for constraint in catalog.constraints:
            self.constraints.setdefault(constraint.relation, []).append(constraint)
        self.functions: dict[str, list[CatalogFunction]] = {}
        for function in catalog.functions:
            self.functions.setdefault(function.name, []).append(function)
        self.functions_by_oid = {f.oid: f for f in catalog.functions}
        self.keys_to: dict[int, list[ForeignKey]] = {}
        for key in catalog.foreign_keys:
            self.keys_to.setdefault(key.referenced, []).append(key)
        self.temp_schema = next((s for s in catalog.schemas if s.startswith("pg_temp_")), "")
        self.types: dict[str, list[CatalogType]] = {}
        for kept in catalog.types:
            self.types.setdefault(kept.name, []).append(kept)
        self.domains = {qualified(t.schema, t.name): t.base for t in catalog.types if t.base}
        self.operators = {o.name for o in catalog.operators}

    @cached_property
    def _type_names(self) -> dict[int, str]:
        rows = {relation.type_oid: relation.name for relation in self.catalog.relations}
        return rows | {kept.oid: kept.name for kept in self.catalog.types}

    def type_name(self, oid: int) -> str:
        """The bare name of a type outside `pg_catalog`; empty for one that is not known, such as an array."""
        return self._type_names.get(oid, "")

    def lookup(self, schema: str, name: str, search_path: Sequence[str]) -> CatalogRelation | None:
        """The relation that a name means, or None. `schema` is empty for an unqualified name."""
        if schema == "pg_temp":
            schema = self.temp_schema
        if schema:
            return self._get(schema, name)
        before = [place for place in (self.temp_schema, "pg_catalog") if place not in search_path]
        for candidate in (*before, *search_path):
            found = self._get(candidate, name) if candidate else None
            if found is not None:
                return found
        return None

    def _get(self, schema: str, name: str) -> CatalogRelation | None:
        found = self.by_name.get((schema, name))
        if found is None and schema in SYSTEM_SCHEMAS:
            columns = self.catalog.system.get(f"{schema}.{name}")
            if columns is not None:
                return _system_relation(schema, name, tuple(columns))
        return found

    def elsewhere(self, relation: CatalogRelation) -> CatalogRelation | None:
        """The table of this database that has the names which a foreign table stands for, if that is another one."""
        found = self.by_name.get((relation.remote[0], relation.remote[1])) if relation.remote else None
        return found if found is not relation else None

    def functions_named(self, schema: str, name: str, search_path: Sequence[str]) -> list[CatalogFunction]:
        """The functions outside `pg_catalog` that a name can mean."""
        found = self.functions.get(name, [])
        schema = self.temp_schema or schema if schema == "pg_temp" else schema
        return [f for f in found if (f.schema == schema if schema else f.schema in search_path)]

    def family(self, oid: int) -> set[int]:
        """The OIDs of all relations connected by inheritance or partitioning, itself included."""
        seen = {oid}
        todo = [oid]
        while todo:
            current = todo.pop()
            relation = self.by_oid.get(current)
            near = [*self.children.get(current, ()), *(relation.parents if relation else ())]
            for other in near:
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    def ancestors(self, oid: int) -> list[int]:
        """The OIDs of the tables that a relation is a part of or inherits from, of all levels."""
        found: list[int] = []
        todo = [oid]
        while todo:
            relation = self.by_oid.get(todo.pop())
            for parent in relation.parents if relation else ():
                if parent not in found:
                    found.append(parent)
                    todo.append(parent)
        return found

    def descendants(self, oid: int) -> list[int]:
        """The OIDs of partitions and inheriting tables, of all levels, itself not included."""
        found: list[int] = []
        todo = list(self.children.get(oid, ()))
        while todo:
            current = todo.pop()
            if current not in found:
                found.append(current)
                todo += self.children.get(current, ())
        return found


@lru_cache(maxsize=4096)
def _system_relation(schema: str, name: str, columns: tuple[str, ...]) -> CatalogRelation:
    return CatalogRelation(
        oid=0,
        schema=schema,
        name=name,
        kind="v",
        columns=tuple(CatalogColumn(n, c, "", 0, 0, "", "") for n, c in enumerate(columns, 1)),
    )


_cache: list[tuple[Catalog, Schema]] = []


def schema_of(catalog: Catalog) -> Schema:
    """The index of a catalog; kept for the last few catalogs."""
    for known, schema in _cache:
        if known is catalog:
            return schema
    schema = Schema(catalog)
    _cache.insert(0, (catalog, schema))
    del _cache[4:]
    return schema
