"""Reading many transcripts at once: the bucket as tables, for SQL.

`files` shows a bucket's segments to DuckDB, read-only; `tables` says what the tables are; `engine` runs a query that can
reach nothing else; `usage` asks who touched which data. Decides nothing, verifies nothing: `audit verify` does.
"""

from __future__ import annotations

from dbgate.audit.search.engine import Answer, Engine

__all__ = ["Answer", "Engine"]
