"""The check of masked answers: the typed statement, on a database whose labelled columns really hold the masks.

The twin is in the same state as the direct database. For one statement the labelled columns of the tables that it
reads are overwritten with their masks, in a transaction or savepoint that is rolled back afterwards. The statement
runs there as it was typed: nothing of dbgate's rewriting takes part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tools.regress.seen import Seen
from tools.regress.sessions import Direct

from dbgate.catalog import CatalogRelation
from dbgate.errors import DbgateError
from dbgate.gate.names import literal, qualified, quote
from dbgate.gate.protection import Protection
from dbgate.model import TransactionStatus

_OBSTACLES = """
SELECT pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', conrelid::regclass, conname)
FROM pg_catalog.pg_constraint, pg_catalog.pg_class t
WHERE contype IN ('c', 'u', 'p', 'x', 'f') AND NOT (conislocal IS FALSE OR conparentid <> 0)
AND ((conrelid = {oid} AND (contype = 'f' OR conkey && ARRAY[{numbers}]::smallint[] OR conkey IS NULL)) OR confrelid = {oid})
AND t.oid = conrelid
UNION ALL
SELECT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', attrelid::regclass, attname)
FROM pg_catalog.pg_attribute
WHERE attrelid = {oid} AND attnum IN ({numbers}) AND attnotnull AND NOT attidentity IN ('a', 'd')
UNION ALL
SELECT pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION', attrelid::regclass, attname)
FROM pg_catalog.pg_attribute WHERE attrelid = {oid} AND attgenerated <> '' AND attinhcount = 0
UNION ALL
SELECT pg_catalog.format('ALTER TABLE %s DISABLE RULE %I', ev_class::regclass, rulename)
FROM pg_catalog.pg_rewrite WHERE ev_class = {oid} AND ev_type <> '1'
UNION ALL
SELECT pg_catalog.format('DROP INDEX IF EXISTS %s CASCADE', indexrelid::regclass)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = indexrelid
WHERE indrelid = {oid} AND NOT c.relispartition AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = indexrelid)
AND (indkey::smallint[] && ARRAY[{numbers}]::smallint[] OR indexprs IS NOT NULL OR indpred IS NOT NULL)
"""


class NotChecked(Exception):
    """The twin could not be brought into the masked state: why."""


class Twin(Direct):
    """A direct session that can also answer as if labelled columns held their masks."""

    def masked(
        self, text: str, relations: Iterable[CatalogRelation], protection: Protection, *, turned: bool = False
    ) -> Seen:
        """What the typed statement gives where the labelled columns of `relations` hold their masks.

        `turned` has the rows in the tables in the opposite order: what an answer owes to that, nobody asked for. Raises `NotChecked`.
        """
        connection = self.connection
        if connection.transaction is TransactionStatus.FAILED:
            raise NotChecked("the transaction has failed")
        with self.aside():
            try:
                for command in self._commands(relations, protection, turned=turned):
                    connection.execute_unrecorded(command)
            except DbgateError as error:
                raise NotChecked(f"{connection.raw or error.message}") from None
            return self.run(text)

    def _commands(self, relations: Iterable[CatalogRelation], protection: Protection, *, turned: bool) -> Iterator[str]:
        """What overwrites the labelled columns; asks the twin's own catalog, whose numbers may be others."""
        yield "SET LOCAL session_replication_role = replica"
        for number, relation in enumerate(relations):
            hidden = protection.hidden_columns(relation)
            if not hidden:
                continue
            if relation.kind not in "rp":
                raise NotChecked(f"{relation.name} is of kind {relation.kind}")
            name = qualified(relation.schema, relation.name)
            numbers = ", ".join(str(c.number) for c in relation.columns if c.name in hidden)
            oid = f"{literal(name)}::regclass"
            for row in self.connection.ask(_OBSTACLES.format(oid=oid, numbers=numbers)):
                yield row[0] or ""
            if relation.kind == "p":
                continue
            columns = [quote(c.name) for c in relation.columns]
            values = [
                protection.column_expression(relation, c.name, quote(c.name)) or quote(c.name) for c in relation.columns
            ]
            kept = f"public.regress_twin_{number}"  # a temporary one would keep the transaction from being prepared
            listed = ", ".join(f"{v} AS c{i}" for i, v in enumerate(values))
            yield f"CREATE UNLOGGED TABLE {kept} AS SELECT {listed} FROM ONLY {name}"
            yield f"TRUNCATE ONLY {name}"
            yield (
                f"INSERT INTO {name} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE"
                f" SELECT {', '.join(f'c{i}' for i in range(len(values)))} FROM {kept}"
                f"{' ORDER BY ctid DESC' if turned else ''}"
            )
            yield f"DROP TABLE {kept}"
        yield "SET LOCAL session_replication_role = origin"


def behind(relations: Iterable[int], protection: Protection) -> list[CatalogRelation]:
    """The stored relations behind the given ones: what views read, and the parts of tables; parents first."""
    schema = protection.schema
    found: dict[int, CatalogRelation] = {}
    todo = list(relations)
    while todo:
        oid = todo.pop(0)
        relation = schema.by_oid.get(oid)
        if relation is None or oid in found:
            continue
        found[oid] = relation
        todo += relation.depends
        todo += schema.descendants(oid)
    return [r for r in found.values() if r.kind != "v"]
