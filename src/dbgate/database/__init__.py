"""PostgreSQL through psycopg: connect, read the catalog, run, cancel; and the embedded server.

Never decides whether a statement may run.
"""
