"""What relations looked like when a statement was judged, and the query that finds them unchanged as it runs.

Labels hang on names, columns, view definitions, parents and children. Another session may change these after the catalog
was read. So the statement goes out behind a check, in one transaction and one message (see `checked.py`): parsing it locks
what it names, then the check looks, then it runs. The check compares text: what the catalog holds, written by `written`,
with what the server has now, written by the check in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable

from dbgate.catalog import Catalog, CatalogRelation
from dbgate.database.catalog_queries import NEWEST

_TOUCHED = """
    SELECT xmax FROM pg_catalog.pg_class WHERE oid = ANY ((SELECT $1)::pg_catalog.oid[])
    UNION ALL SELECT xmax FROM pg_catalog.pg_attribute WHERE attrelid = ANY ((SELECT $1)::pg_catalog.oid[])
    UNION ALL SELECT xmax FROM pg_catalog.pg_rewrite WHERE ev_class = ANY ((SELECT $1)::pg_catalog.oid[])
"""
_OVERTAKEN = f"""
  SELECT FROM (SELECT xmax::pg_catalog.text::pg_catalog.int8 AS low FROM ({_TOUCHED}) AS t) AS t, (
    SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 AS top) AS s,
  LATERAL (SELECT s.top + (t.low - s.top % 4294967296 + 6442450944) % 4294967296 - 2147483648 AS number) AS x
  WHERE t.low <> 0 AND x.number > 0
    AND pg_catalog.pg_xact_status(x.number::pg_catalog.text::pg_catalog.xid8) IN ('committed', 'in progress')
"""
"""Rows of catalogs that this transaction's snapshot shows although others have replaced them since: what they say is not
what a statement meets. Only a snapshot that is older than the statement can show any. `number` is the transaction that
`xmax` means: the nearest to the snapshot's, for `xmax` wraps around."""

_CHECK = f"""
SELECT (CASE WHEN pg_catalog.concat((
  SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', c.oid, c.relkind, n.nspname, c.relname, (
      SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attnum, a.attname, a.atttypid, a.attgenerated), ','
        ORDER BY a.attnum)
      FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '^', (
      SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ' ' ORDER BY i.inhparent)
      FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid), 'v', CASE WHEN c.relhassubclass THEN (
      SELECT pg_catalog.string_agg(i.inhrelid::pg_catalog.text, ' ' ORDER BY i.inhrelid)
      FROM pg_catalog.pg_inherits AS i JOIN pg_catalog.pg_class AS k ON k.oid = i.inhrelid
      WHERE i.inhparent = c.oid AND (k.relpersistence <> 't' OR k.relnamespace = pg_catalog.pg_my_temp_schema())) END, (
      SELECT pg_catalog.sum(x.mark) FROM (
        SELECT pg_catalog.hashtextextended(r.ev_action::pg_catalog.text, 0) AS mark
        FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid
        UNION ALL SELECT pg_catalog.hashtextextended(d.adbin::pg_catalog.text, 0)
        FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = c.oid) AS x)), ';' ORDER BY c.oid)
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.oid = ANY ((SELECT $1)::pg_catalog.oid[])), ';', {NEWEST}) = (SELECT $2)::pg_catalog.text
  AND %s
THEN '1' ELSE 'changed' END)::pg_catalog.int4
"""
_OLDER = f"(pg_catalog.current_setting('transaction_isolation') = 'read committed' OR NOT EXISTS ({_OVERTAKEN}))"

CHECKS = (
    (b"dbgate_definitions", (_CHECK % "true").encode()),
    (b"dbgate_definitions_in_transaction", (_CHECK % _OLDER).encode()),
)
"""The check outside of a transaction and in one, each as the name of its prepared statement and its text.

Fails with `CHANGED` when anything is different. The parameters stand in sub-selects so that the plan is made once.
"""

CHANGED = "22P02"
"""The SQLSTATE of casting `changed` to a number."""


class Definitions:
    """The relations of one catalog, written as the check writes them."""

    def __init__(self, catalog: Catalog) -> None:
        self._newest = catalog.newest
        self._by_oid = {relation.oid: relation for relation in catalog.relations}
        self._children: dict[int, list[int]] = {}
        for relation in catalog.relations:
            for parent in relation.parents:
                self._children.setdefault(parent, []).append(relation.oid)
        self._written: dict[int, str] = {}

    def parameters(self, pins: Iterable[int]) -> list[bytes]:
        """The parameters of the check for the relations with these OIDs."""
        oids = sorted(oid for oid in set(pins) if oid in self._by_oid)
        text = ";".join(self._text(oid) for oid in oids)
        return [("{" + ",".join(map(str, oids)) + "}").encode(), f"{text};{self._newest}".encode()]

    def _text(self, oid: int) -> str:
        text = self._written.get(oid)
        if text is None:
            text = self._written[oid] = written(self._by_oid[oid], self._children.get(oid, ()))
        return text


def written(relation: CatalogRelation, children: Iterable[int]) -> str:
    """A relation in the words of the check: NULLs are left out."""
    parts = [str(relation.oid), relation.kind, relation.schema, relation.name]
    if relation.columns:
        parts.append(",".join(f"{c.number} {c.name} {c.type_oid} {c.generated}" for c in relation.columns))
    parts += ["^", " ".join(map(str, sorted(relation.parents)))] if relation.parents else ["^"]
    below = " ".join(map(str, sorted(children)))
    parts += ["v", below] if below else ["v"]
    return " ".join([*parts, relation.mark] if relation.mark else parts)
