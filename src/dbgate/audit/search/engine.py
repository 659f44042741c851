"""Runs one query over the tables of a bucket, streaming. It can read these tables and nothing else, and write nothing."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dbgate.audit.bucket import Bucket
from dbgate.audit.record import MAX_RECORD_BYTES
from dbgate.audit.search import tables
from dbgate.errors import StatementError, Unreachable, UsageError
from dbgate.model import Column

if TYPE_CHECKING:
    import duckdb

    from dbgate.audit.search.files import SegmentFiles

MEMORY = "1GB"
"""What a query may hold in memory; what is more goes to a temporary folder."""
_BATCH_ROWS = 2000
_RAISED = re.compile(r"\w+: ")
"""How the line of a traceback begins that names what was raised."""
_TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "smallint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "UTINYINT": "integer",
    "USMALLINT": "integer",
    "UINTEGER": "bigint",
    "UBIGINT": "numeric",
    "HUGEINT": "numeric",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "TIMESTAMP": "timestamp without time zone",
    "INTERVAL": "interval",
    "JSON": "json",
    "UUID": "uuid",
}
"""DuckDB's types by the names that the formats know."""


class Answer:
    """What a query gives, as `session.ports.Rows`: columns, then rows in text form."""

    def __init__(self, engine: Engine, cursor: duckdb.DuckDBPyConnection) -> None:
        self._engine = engine
        self._cursor = cursor
        self.columns = tuple(Column(str(name), _type(str(kind))) for name, kind, *_ in cursor.description or ())
        self.affected = 0

    @property
    def status(self) -> str:
        """`SELECT n`, once all rows were read."""
        return f"SELECT {self.affected}"

    def batches(self) -> Iterator[list[tuple[str | None, ...]]]:
        """The rows, some at a time. Raises `StatementError`, `Unreachable`."""
        while batch := self._engine.guarded(lambda: self._cursor.fetchmany(_BATCH_ROWS)):
            self.affected += len(batch)
            yield [tuple(map(_text, row)) for row in batch]

    def close(self) -> None:
        """Throw the rest away."""
        self._cursor.close()


class Engine:
    """The tables of one bucket. Use it as a context manager."""

    def __init__(self, bucket: Bucket, wanted_date: Callable[[str], bool], *, skip_damaged: bool = False) -> None:
        """`wanted_date` (YYYY-MM-DD, the day a session began) leaves out days. Raises `UsageError` without DuckDB."""
        try:
            import duckdb

            from dbgate.audit.search.files import SegmentFiles
        except ImportError as error:
            raise UsageError(f"searching needs {error.name}", hint="install dbgate[audit]") from None
        self._files: SegmentFiles = SegmentFiles(bucket, wanted_date, skip_damaged=skip_damaged)
        self._spill = tempfile.mkdtemp(prefix="dbgate-search-")
        self._skip_damaged = skip_damaged
        self._connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": self._spill})
        try:
            self._connection.register_filesystem(self._files)
            self._shut()
            for definition in tables.definitions(record_bytes=MAX_RECORD_BYTES, ignore_errors=skip_damaged):
                self.guarded(lambda text=definition: self._connection.execute(text))  # type: ignore[misc]
        except BaseException:
            self.__exit__()
            raise

    def _shut(self) -> None:
        for setting in (
            "autoinstall_known_extensions = false",
            "autoload_known_extensions = false",
            "python_enable_replacements = false",
            "preserve_insertion_order = false",
            "TimeZone = 'UTC'",
            f"allowed_directories = ['{self._files.protocol}://']",
            "enable_external_access = false",
            "lock_configuration = true",
        ):
            self._connection.execute(f"SET {setting}")

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def ask(self, text: str, values: Mapping[str, Any] | None = None) -> Answer:
        """Run one query; `values` are bound to `$name`. Raises `StatementError`, `UsageError`, `Unreachable`."""
        import duckdb

        statements = self.guarded(lambda: self._connection.extract_statements(text))
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError(
                "one query is taken, and nothing that changes anything",
                hint=f"write SELECT … FROM {', '.join(tables.NAMES)}",
            )
        cursor = self._connection.cursor()
        return Answer(self, self.guarded(lambda: cursor.execute(statements[0], values)))

    def hold(self) -> None:
        """Read the bucket once, for many queries: `records` alone goes on reading it. What does not fit into memory is
        kept in a temporary folder. Raises `StatementError`, `Unreachable`."""
        for name in tables.NAMES:
            if name != "records":
                self.guarded(lambda name=name: self._connection.execute(f"CREATE TABLE held_{name} AS FROM {name}"))  # type: ignore[misc]
                self._connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM held_{name}")

    @property
    def damaged(self) -> Mapping[str, str]:
        """The segments that were left out, and why."""
        return self._files.damaged

    def unreadable_lines(self) -> int:
        """How many lines were left out because they are no records."""
        if not self._skip_damaged:
            return 0
        rows = self._connection.execute("SELECT count(*) FROM records WHERE session IS NULL").fetchall()
        return int(rows[0][0])

    def guarded(self, call: Callable[[], Any]) -> Any:
        """What `call` gives. Raises `StatementError` or `Unreachable` for what DuckDB says."""
        import duckdb

        try:
            return call()
        except duckdb.Error as error:
            if self._files.failure is not None:
                raise self._files.failure from None
            if "Malformed JSON" in str(error):
                raise Unreachable(
                    _said(error), hint="dbgate audit verify tells more; leave out what cannot be read: --skip-damaged"
                ) from None
            raise StatementError(_said(error), hint=_hint(_said(error))) from None


def _hint(said: str) -> str:
    """What helps who wrote the query."""
    if "column" in said and "not found" in said:
        return f"DESCRIBE statements tells the columns of a table; the tables are {', '.join(tables.NAMES)}"
    if "parameters" in said:
        return "bind each $NAME with -p NAME=VALUE"
    return f"the tables are {', '.join(tables.NAMES)}"


def _said(error: Exception) -> str:
    """What DuckDB says, without its copy of the query and its guesses at other names."""
    lines = str(error).strip().split("\n")
    raised = [line for line in lines if _RAISED.match(line)] if lines[0].startswith("Traceback") else []
    return (raised or lines)[-1 if raised else 0].strip()


def _type(name: str) -> str:
    if name.endswith("[]") or name.startswith(("STRUCT", "MAP")):
        return "json"
    return "numeric" if name.startswith("DECIMAL") else _TYPES.get(name, "text")


def _text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case str():
            return value
        case bool():
            return "t" if value else "f"
        case list() | dict() | tuple():
            import json

            return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
