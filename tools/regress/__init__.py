"""PostgreSQL's own regression SQL, run directly and through dbgate, and compared. `make regress` calls it.

    source ─► script ─► play ─► comparison ─► report
                         │
              sessions (direct, gated, twin) on three servers in the same state

Reads the SQL that Debian's source package holds; nothing of it is copied into this repository.
"""
