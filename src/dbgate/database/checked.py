"""Sends a statement behind the check of `definitions.py`, in one message and one implicit transaction.

Everything stops at the first error of a pipeline (PostgreSQL's manual, 32.5): what the check refuses does not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus

from dbgate.database.definitions import CHANGED, CHECKS, Definitions
from dbgate.database.wire import encoded
from dbgate.errors import DefinitionsChanged

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from dbgate.catalog import Catalog
    from dbgate.database.wire import Wire

_FORGOTTEN = "26000"
"""The SQLSTATE for a prepared statement that the session does not have."""


class Check:
    """The check of one session: prepared there when it is first needed."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._known: set[bytes] = set()
        self._definitions: Definitions | None = None
        self._catalog: Catalog | None = None

    def forget(self) -> None:
        """The session has no prepared statements any more."""
        self._known.clear()

    def send(
        self, catalog: Catalog, text: str, parameters: Sequence[str | None], pins: Sequence[int]
    ) -> PGresult | None:
        """Send a statement, whose results come as after `Wire.send`; return the error if it cannot even be parsed.

        Raises `DefinitionsChanged` unless the relations with the OIDs `pins` are as `catalog` has them.
        """
        if self._definitions is None or self._catalog is not catalog:
            self._definitions, self._catalog = Definitions(catalog), catalog
        check = self._definitions.parameters(pins)
        idle = self._wire.status == TransactionStatus.IDLE
        step, failed = self._send(text, parameters, check)
        if failed is None:
            return None
        sqlstate = (failed.error_field(DiagnosticField.SQLSTATE) or b"").decode()
        if step == "check" and sqlstate == CHANGED:
            raise DefinitionsChanged
        if step == "check" and sqlstate == _FORGOTTEN and idle:
            self.forget()
            _, failed = self._send(text, parameters, check)
        return failed

    def _send(self, text: str, parameters: Sequence[str | None], check: Sequence[bytes]) -> tuple[str, PGresult | None]:
        """Parse `text`, which locks what it names, check, and run it. Returns the step that failed, and its error."""
        wire, pgconn = self._wire, self._wire.pgconn
        command = encoded(text, "the statement")
        values = [None if value is None else encoded(value, "a parameter") for value in parameters]
        name, query = CHECKS[wire.status != TransactionStatus.IDLE]
        steps = ["parse", "check"] if name in self._known else ["prepare", "parse", "check"]
        with wire.losing():
            wire.begin_pipeline()
            if name not in self._known:
                pgconn.send_prepare(name, query)
            pgconn.send_prepare(b"", command)
            pgconn.send_query_prepared(name, list(check))
            pgconn.send_query_prepared(b"", values)
            pgconn.pipeline_sync()
        wire.flush()
        with wire.interruptible():
            for step in steps:
                failed = self._step()
                if failed is not None:
                    wire.end_pipeline()
                    return step, failed
                self._known.add(name)
            with wire.losing():
                wire.stream()
        return "", None

    def _step(self) -> PGresult | None:
        """Read the results of one step; return its error if it failed."""
        failed: PGresult | None = None
        while (result := self._wire.step()) is not None:
            if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
                failed = failed or result
        return failed
