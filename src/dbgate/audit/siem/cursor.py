"""What was told already, kept in a file, so that the next run goes on from there: SQLite, one writer at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from dbgate.errors import UsageError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS scope (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (folder TEXT PRIMARY KEY, told INTEGER NOT NULL, ended INTEGER NOT NULL) WITHOUT ROWID;
"""


class Cursor:
    """A cursor file. Use it as a context manager. Sessions may arrive late and in any order: each is remembered by itself."""

    def __init__(self, path: Path, scope: Mapping[str, str]) -> None:
        """Open or make the file (0600). `scope` is what is exported: a cursor goes on with the same only.

        Raises `UsageError` when it is another export's, in use, or no cursor.
        """
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise UsageError(f"cannot write the cursor {path}: {error.strerror}") from None
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("BEGIN EXCLUSIVE")
            for statement in filter(str.strip, _SCHEMA.split(";")):
                self._connection.execute(statement)
            self._hold_to(scope)
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._connection.close()
            if "locked" in str(error):
                raise UsageError(f"another export uses the cursor {path}", hint="let it finish") from None
            raise UsageError(f"cannot use the cursor {path}: {error}") from None
        except sqlite3.DatabaseError:
            self._connection.close()
            raise UsageError(
                f"{path} is not a cursor of dbgate", hint="name a new file, or the one of before"
            ) from None
        except BaseException:
            self._connection.close()
            raise

    def _hold_to(self, scope: Mapping[str, str]) -> None:
        known = dict(self._connection.execute("SELECT name, value FROM scope").fetchall())
        if not known:
            self._connection.executemany("INSERT INTO scope VALUES (?, ?)", list(scope.items()))
            return
        for name in sorted(known.keys() | scope.keys()):
            before, now = known.get(name, ""), scope.get(name, "")
            if before != now:
                raise UsageError(
                    f"the cursor {self._path} is of another export: its {name} is {before or 'not given'}, not {now or 'given'}",
                    hint="one cursor for each export: name another file",
                )

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def told(self, folder: str) -> int | None:
        """Up to which record a session was told: -1 nothing, None all of it."""
        row = self._connection.execute("SELECT told, ended FROM sessions WHERE folder = ?", (folder,)).fetchone()
        if row is None:
            return -1
        return None if row[1] else int(row[0])

    def keep(self, marks: Mapping[str, tuple[int, bool]]) -> None:
        """Remember, durably, up to which record each session was told, and whether that is all of it. Raises `UsageError`."""
        if not marks:
            return
        rows = [(folder, told, ended) for folder, (told, ended) in marks.items()]
        try:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise UsageError(
                f"cannot write the cursor {self._path}: {error}", hint="what was told since is told again next time"
            ) from None
