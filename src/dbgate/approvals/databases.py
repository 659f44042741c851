"""Which store `--database` names."""

from __future__ import annotations

from pathlib import Path

from dbgate.approvals.store import Store
from dbgate.errors import UsageError

_POSTGRES = ("postgresql://", "postgres://")


def open_store(database: str, usual: Path) -> Store:
    """The store of `sqlite:///PATH` or `postgresql://…`, with its tables up to date; `usual` is the file without a name.

    Raises `UsageError` when it cannot be used, `Unreachable` when no database answers.
    """
    if database.startswith(_POSTGRES):
        from dbgate.approvals.postgres import PostgresStore

        return PostgresStore(database)
    from dbgate.approvals.sqlite import SqliteStore

    if not database:
        return SqliteStore(usual)
    path = database.removeprefix("sqlite:///")
    if path == database or not path:
        raise UsageError(
            "--database names neither an SQLite file nor a PostgreSQL database",
            hint="write it as sqlite:///PATH or postgresql://USER@HOST/DATABASE",
        )
    return SqliteStore(Path(path).expanduser())


def holds_password(database: str) -> bool:
    """Whether a URL of a database holds a password, as its user information or as a parameter."""
    if not database.startswith(_POSTGRES):
        return False
    from psycopg import ProgrammingError, conninfo

    try:
        return bool(conninfo.conninfo_to_dict(database).get("password"))
    except ProgrammingError:
        return True
