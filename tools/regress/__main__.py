"""Compares dbgate with PostgreSQL over PostgreSQL's own regression SQL.

    python -m tools.regress                        all files of the suite, in its order
    python -m tools.regress join union             only these, after those that set things up
    python -m tools.regress --show different       and every statement that came out different

Exits with 1 when anything differs, or more than 3 % of the SELECTs are refused that PostgreSQL answers. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.regress.outcomes import Verdict
from tools.regress.play import Places, Play
from tools.regress.report import Report
from tools.regress.servers import Running, best_version, servers
from tools.regress.source import fetch

from dbgate.errors import DbgateError, UsageError

FOLDER = Path("build/regress")
SET_UP = (
    "test_setup",
    "create_function_c",
    "create_misc",
    "create_operator",
    "create_type",
    "create_index",
    "create_aggregate",
)
"""Files that make what others use."""


def main() -> int:
    """Run the comparison."""
    options = _options()
    try:
        suite = options.source or fetch(FOLDER)
        files = _wanted(suite, options.files)
        report = Report()
        FOLDER.mkdir(parents=True, exist_ok=True)
        with _alone(), servers(3, version=options.server or best_version(), folder=FOLDER, suite=suite) as running:
            _play(files, running, report, options)
    except DbgateError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    _print(report, options)
    return 1 if report.failed else 0


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the folder: a second comparison would stop the servers of the first."""
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another comparison runs in {FOLDER}", hint="wait until it has ended") from None
        yield


def _print(report: Report, options: argparse.Namespace) -> None:
    for line in [*report.table(), *report.summary()]:
        print(line)
    for verdict in options.show:
        print("", verdict, *report.shown(Verdict(verdict)), sep="\n")
    print(f"report: {options.json}", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make regress", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("files", nargs="*", metavar="FILE", help="names of the suite's files, without .sql")
    parser.add_argument("--show", action="append", default=[], choices=[str(v) for v in Verdict])
    parser.add_argument("--json", type=Path, default=FOLDER / "report.json", help="where the JSON report goes")
    parser.add_argument("--server", type=int, help="PostgreSQL's major version")
    parser.add_argument("--source", type=Path, help="an unpacked src/test/regress, instead of fetching it")
    return parser.parse_args()


def _wanted(suite: Path, names: list[str]) -> list[Path]:
    """The files to play, in the suite's order; for single ones, those before them that set things up."""
    schedule = re.findall(r"^test:(.*)$", (suite / "parallel_schedule").read_text(encoding="utf-8"), re.MULTILINE)
    order = [name for line in schedule for name in line.split()]
    unknown = sorted(set(names) - set(order))
    if unknown:
        raise UsageError(f"the suite has no file {unknown[0]}", hint=f"see {suite / 'parallel_schedule'}")
    wanted = {*names, *SET_UP} if names else set(order)
    return [
        suite / "sql" / f"{name}.sql" for name in order if name in wanted and (suite / "sql" / f"{name}.sql").is_file()
    ]


def _play(files: list[Path], running: Running, report: Report, options: argparse.Namespace) -> None:
    environment = {
        "PG_ABS_SRCDIR": str(running.suite),
        "PG_ABS_BUILDDIR": str(running.suite),
        "PG_LIBDIR": str(running.libraries),
        "PG_DLSUFFIX": ".so",
    }
    direct, gated, twin = running.dsns
    places = Places(direct, gated, twin, environment)
    for number, file in enumerate(files, 1):
        started = time.monotonic()
        played = Play(file, places).run()
        if not options.files or file.stem in options.files:
            report.add(file.stem, played)
            report.write(options.json)
        gc.collect()
        taken_s = time.monotonic() - started
        counts = {str(v): n for v in Verdict if (n := sum(o.verdict is v for o in played.outcomes))}
        print(f"{number}/{len(files)} {file.stem}: {taken_s:.1f} s {counts}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
