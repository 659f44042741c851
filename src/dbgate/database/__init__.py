"""PostgreSQL through psycopg: connect, read the catalog, run, cancel; and the embedded server.

Never decides whether a statement may run. `connect` is the way in; `embedded` starts a server of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbgate.database.connection import Connection, connect
    from dbgate.database.opening import StatementLimits

__all__ = ["Connection", "StatementLimits", "connect"]


def __getattr__(name: str) -> object:
    """Import psycopg only with what needs it: the embedded server's programs do not."""
    if name in ("Connection", "connect"):
        from dbgate.database import connection

        return getattr(connection, name)
    if name == "StatementLimits":
        from dbgate.database.opening import StatementLimits

        return StatementLimits
    raise AttributeError(name)
