"""Reads what the server counts of a transaction's changes, table by table: `pg_stat_xact_user_tables`."""

from __future__ import annotations

from collections.abc import Sequence

from dbgate.counters import Counter, Counters

COUNTERS = (
    "SELECT pg_catalog.current_setting('track_counts'), s.relid, s.schemaname, s.relname,"
    " s.n_tup_ins, s.n_tup_upd, s.n_tup_del FROM (VALUES (1)) AS v (one) LEFT JOIN"
    " pg_catalog.pg_stat_xact_user_tables AS s ON s.n_tup_ins OPERATOR(pg_catalog.>) 0"
    " OR s.n_tup_upd OPERATOR(pg_catalog.>) 0 OR s.n_tup_del OPERATOR(pg_catalog.>) 0"
)
"""One row at least: whether the server counts at all."""


def counters_in(rows: Sequence[tuple[str | None, ...]]) -> Counters | None:
    """The counters in the answer to `COUNTERS`; None when the server does not count."""
    if not rows or rows[0][0] != "on":
        return None
    found: dict[int, Counter] = {}
    for _, oid, schema, name, *numbers in rows:
        if oid is not None:
            inserted, updated, deleted = (int(n or 0) for n in numbers)
            found[int(oid)] = Counter(f"{schema}.{name}", inserted, updated, deleted)
    return found
