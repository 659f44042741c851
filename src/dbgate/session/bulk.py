"""Which results are large enough that the server should write them itself."""

from __future__ import annotations

from collections.abc import Iterable

from dbgate.catalog import Catalog

LARGE_ROWS = 20_000
"""A query on a relation with more rows than this, by the server's own estimate, may have a large result."""

_DEPTH = 4


def is_large(catalog: Catalog, oids: Iterable[int]) -> bool:
    """Whether any of the relations, or what lies behind it (partitions, a view's tables), is large."""
    wanted = set(oids)
    for _ in range(_DEPTH):
        behind: set[int] = set()
        for relation in catalog.relations:
            if relation.oid in wanted or wanted.intersection(relation.parents):
                if relation.row_estimate >= LARGE_ROWS:
                    return True
                behind.update((relation.oid, *relation.depends))
        if behind <= wanted:
            return False
        wanted |= behind
    return False
