"""Several queries of dbgate's own in one round trip (libpq's pipeline mode, PostgreSQL's manual, 32.5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from psycopg.pq import ExecStatus

from dbgate.database.rows import CHUNKS
from dbgate.errors import DbgateError, Interrupted

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from dbgate.database.rows import Row, RowReader
    from dbgate.database.wire import Wire


def ask_all(
    wire: Wire, reader: RowReader, texts: Sequence[str], failure: Callable[[PGresult], DbgateError]
) -> list[list[Row]]:
    """Run `texts` in order and return the rows of each. They stand or fall together, in one implicit transaction.

    Raises what `failure` makes of the first error, `ConnectionLost`, or `Interrupted` after a Ctrl-C.
    """
    pgconn = wire.pgconn
    with wire.losing():
        pgconn.enter_pipeline_mode()
        for text in texts:
            pgconn.send_query_params(text.encode(), None)
        pgconn.pipeline_sync()
    answers: list[list[Row]] = []
    rows: list[Row] = []
    failed: DbgateError | None = None
    wire.flush()
    while True:
        try:
            result = wire.take()
        except (KeyboardInterrupt, Interrupted):
            failed = Interrupted("interrupted")
            wire.cancel()
            continue
        if result is None:
            answers.append(rows)
            rows = []
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            break
        if result.status in CHUNKS:
            reader.start(result)
            rows += reader.read(result)
        elif result.status not in (ExecStatus.COMMAND_OK, ExecStatus.PIPELINE_ABORTED):
            failed = failed or failure(result)
    with wire.losing():
        pgconn.exit_pipeline_mode()
    if failed is not None:
        raise failed
    return answers
