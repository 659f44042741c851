"""What the server itself counts as changed by a statement: rows by table, those of cascades and triggers included.

PostgreSQL counts the tuples that a transaction inserts, updates and deletes, table by table (its manual, 27.2,
`pg_stat_xact_user_tables`). The difference before and after a statement is the statement's. Not counted: foreign
tables, rows that TRUNCATE takes, sequences, and what functions do outside of the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbgate.counters import Counter, Counters
from dbgate.model import CountQuery
from dbgate.session.rows import TouchesMore


def changed_rows(before: Counters, after: Counters, counted: Sequence[CountQuery]) -> dict[str, int]:
    """Rows changed between two readings, by table; partitions and children count for the table that was measured."""
    family = {oid: str(query.relation) for query in counted for oid in query.oids}
    moves = {str(query.relation): query.verb == "update" for query in counted}
    for query in counted:
        moves[str(query.relation)] &= query.verb == "update"
    sums: dict[str, list[int]] = {}
    for oid, counter in after.items():
        earlier = before.get(oid, Counter(""))
        total = sums.setdefault(family.get(oid, counter.name), [0, 0, 0])
        total[0] += max(counter.inserted - earlier.inserted, 0)
        total[1] += max(counter.updated - earlier.updated, 0)
        total[2] += max(counter.deleted - earlier.deleted, 0)
    # A row that an UPDATE moves to another partition is deleted from one and inserted into the other.
    rows = {
        name: updated + (max(inserted, deleted) if moves.get(name) else inserted + deleted)
        for name, (inserted, updated, deleted) in sums.items()
    }
    return {name: count for name, count in sorted(rows.items()) if count}


def check_changed(changed: Mapping[str, int], allowed: Mapping[str, int]) -> None:
    """Raise `TouchesMore` for a table with more changed rows than allowed.

    What triggers and functions change beside the measured tables cannot be counted beforehand: in no table may that be
    more rows than were approved in all.
    """
    total = sum(allowed.values())
    for name, rows in changed.items():
        if rows > allowed.get(name, total):
            raise TouchesMore(rows, allowed.get(name, total), name, beyond=name not in allowed)
