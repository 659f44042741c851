"""The gate: what a statement is, what it touches, and what may happen to it.

Pure: no I/O, no clock, no environment, no rich. `(statement, identity, policy, catalog, grants, now) -> Decision`.
"""
