"""Overhead of an open session over bare psycopg: prints milliseconds as `dbgate=… psycopg=… fsync=…`."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import psycopg

from dbgate.cli.wiring import open_driver
from dbgate.doors.exec import ExecDisplay, Output
from dbgate.doors.formats import open_writer

STATEMENT = "SELECT id, full_name FROM payroll.employees WHERE id = {n}"
FSYNCS = 2
"""Durable records of one statement: its intent and its outcome."""


def timed(action: Callable[[int], object], count: int) -> float:
    """The median of `count` calls, in milliseconds."""
    spent = []
    for n in range(1, count + 1):
        start = time.perf_counter()
        action(n)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1000


def main() -> None:
    """Measure all three in turn."""
    dsn, count = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(dir=os.environ["DBGATE_STATE_DIR"]) as folder:
        descriptor = os.open(Path(folder) / "probe", os.O_WRONLY | os.O_CREAT, 0o600)

        def sync(n: int) -> None:
            for _ in range(FSYNCS):
                os.write(descriptor, b"x" * 700)
                os.fdatasync(descriptor)

        fsync_ms = timed(sync, count)
        os.close(descriptor)
    with psycopg.connect(dsn, autocommit=True) as connection:
        bare_ms = timed(lambda n: connection.execute(STATEMENT.format(n=n)).fetchall(), count)
    with Path(os.devnull).open("wb") as out:
        dbgate_ms = through_dbgate(out, count)
    print(f"dbgate={dbgate_ms} psycopg={bare_ms} fsync={fsync_ms}")


def through_dbgate(out: BinaryIO, count: int) -> float:
    """The same statements through a session: judged, recorded, run, shown."""
    output = Output(out, keep_bytes=64 * 1024)
    display = ExecDisplay(open_writer("csv", output, color=False, width=None, is_terminal=False), output, sys.stderr)
    with open_driver("payroll", display=display, door="exec") as driver:

        def execute(n: int) -> None:
            for finished in driver.execute(STATEMENT.format(n=n)):
                if finished.exit_code:
                    raise RuntimeError(finished)

        execute(1)
        return timed(execute, count)


if __name__ == "__main__":
    main()
