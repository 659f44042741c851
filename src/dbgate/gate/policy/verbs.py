"""The verbs that rules name: every statement of PostgreSQL by its first word, in lower case."""

from __future__ import annotations

from collections.abc import Mapping

from dbgate.model import Access


def _verbs(**words: str) -> dict[str, Access]:
    return {verb: Access(access) for access, verbs in words.items() for verb in verbs.split()}


VERBS: Mapping[str, Access] = _verbs(
    transaction="begin commit rollback savepoint release",
    session="set reset show close deallocate listen unlisten discard",
    read="select copy explain declare fetch prepare execute",
    write="insert update delete merge truncate call do lock refresh notify",
    ddl="create alter drop comment",
    admin="grant revoke vacuum analyze cluster reindex checkpoint security import reassign load",
)
"""Verb → the access it means by itself. A statement's access is that of the strongest thing in it: `copy` and `explain`
are reads, `EXPLAIN ANALYZE DELETE` is a delete. COPY FROM, IMPORT FOREIGN SCHEMA: `copy`, `import`."""
