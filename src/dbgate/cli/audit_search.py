"""`dbgate audit search` and `dbgate audit usage`: questions to many transcripts at once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.private_file import private_file
from dbgate.cli.sessions import BucketOption, load, open_for_reading, open_named, parse_time
from dbgate.errors import EXIT_OK, UsageError
from dbgate.text import printable, suggest

if TYPE_CHECKING:
    from dbgate.audit.bucket import Bucket
    from dbgate.audit.search import Answer, Engine
    from dbgate.settings import Settings

FORMATS = ("table", "csv", "json", "ndjson", "markdown")
SinceOption = Annotated[
    str, typer.Option(metavar="TIME", help="2026-01-31, 2026-01-31T08:00, or 7d, 12h, 30m ago (UTC).")
]
UntilOption = Annotated[str, typer.Option(metavar="TIME", help="As --since; a day counts to its end.")]
FormOption = Annotated[
    str,
    typer.Option("--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}. Default: table on a terminal, else csv."),
]
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to this file (0600).")]
SkipOption = Annotated[
    bool, typer.Option("--skip-damaged", help="Leave out what cannot be read, and say so, instead of stopping.")
]


def search_command(
    query: Annotated[str, typer.Argument(metavar="SQL", help="One query; - reads it from standard input.")],
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Bind $NAME to a text.")
    ] = None,
    since: SinceOption = "",
    until: UntilOption = "",
    bucket: BucketOption = "",
    skip_damaged: SkipOption = False,
    form: FormOption = "",
    output: OutputOption = None,
) -> int:
    """Ask the bucket in SQL (DuckDB's dialect): who ran what, when, on which data.

    The tables: `statements` (a row each, with its decision and outcome), `sessions`, `approvals`, and `records`, which
    holds all fields of every record. `DESCRIBE statements` tells the columns; docs/audit.md what they mean.
    Conditions on `date` (YYYY-MM-DD, when the session began) and `target` read only those folders of the bucket, and
    so do --since and --until, which choose sessions by their beginning.

    \b
    dbgate audit search "SELECT person, count(*) FROM statements WHERE decision = 'deny' GROUP BY ALL"
    dbgate audit search "SELECT time, person, text FROM statements
        WHERE list_contains(relations, 'payroll.employees')" --since 7d
    """
    text = sys.stdin.read() if query == "-" else query
    values = dict(_parameter(one) for one in param or [])
    with opened(load(), bucket, parse_time(since), parse_time(until, end=True), skip_damaged) as engine:
        _write(engine.ask(text, values), form, output)
        tell(engine)
    return EXIT_OK


def usage_command(
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="NAME,…", help="Group by person, actor, target, table, column, tag, verb, reason, day."
        ),
    ] = "person,target,table",
    person: Annotated[str, typer.Option(metavar="TEXT", help="Part of the person's e-mail or subject.")] = "",
    target: Annotated[str, typer.Option(metavar="GLOB", help="Target name; * and ? match.")] = "",
    table: Annotated[str, typer.Option(metavar="GLOB", help="Table, as schema.table; * and ? match.")] = "",
    tag: Annotated[str, typer.Option(metavar="GLOB", help="Tag of labelled columns; * and ? match.")] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    bucket: BucketOption = "",
    skip_damaged: SkipOption = False,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help=f"{', '.join(FORMATS)}, html. Default: table on a terminal, else csv."
        ),
    ] = "",
    output: OutputOption = None,
    chart: Annotated[bool | None, typer.Option("--chart/--no-chart", help="Show the days as bars, too.")] = None,
) -> int:
    """Show who touched which data, how often, and whether masked or in clear.

    Statements that were refused or did not run are counted apart. Rows are those of whole statements.

    \b
    dbgate audit usage --by person,tag --since 30d
    dbgate audit usage --by person,column --table 'payroll.*' --format csv
    """
    from dbgate.audit.search.usage import UsageFilter, usage_query

    names = _dimensions(by)
    wanted = UsageFilter(person, target, table, tag, parse_time(since), parse_time(until, end=True))
    terminal = sys.stdout.isatty() and output is None
    with opened(load(), bucket, wanted.since, wanted.until, skip_damaged, late=True) as engine:
        days = (
            engine.ask(*usage_query(["day"], wanted))
            if form == "html" or (terminal if chart is None else chart)
            else None
        )
        answer = engine.ask(*usage_query(names, wanted))
        if form == "html":
            from dbgate.audit.search.usage_page import page

            put(page(answer, days, title=f"Usage by {', '.join(names)}"), output)
        else:
            _write(answer, form, output, (*FORMATS, "html"))
            if days is not None and (form or "table") == "table":
                _bars(days)
        tell(engine)
    return EXIT_OK


def _dimensions(text: str) -> list[str]:
    from dbgate.audit.search.usage import DIMENSIONS

    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in DIMENSIONS:
            raise UsageError(
                f"usage cannot be grouped by {name}", hint=suggest(name, DIMENSIONS) or ", ".join(DIMENSIONS)
            )
    if not names or len(set(names)) < len(names):
        raise UsageError("--by needs different names", hint=", ".join(DIMENSIONS))
    return names


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"not a parameter: {text}", hint="write -p NAME=VALUE, and $NAME in the query")
    return name, value


@contextmanager
def opened(
    settings: Settings,
    bucket: str,
    since: datetime | None,
    until: datetime | None,
    skip_damaged: bool,
    *,
    late: bool = False,
    source: Bucket | None = None,
) -> Iterator[Engine]:
    """The engine on the bucket that was named, or the configured one. `late`: sessions of the days before `since` count,
    since they may have gone on."""
    from dbgate.audit.search import Engine
    from dbgate.audit.summary import Filter

    source = source or source_bucket(settings, bucket)
    days = Filter(since=None if late else since, until=until)
    with Engine(source, days.wants_date, skip_damaged=skip_damaged) as engine:
        yield engine


def source_bucket(settings: Settings, bucket: str) -> Bucket:
    """The bucket that was named, or the configured one; says what is not shipped. Raises `UsageError`, `Unreachable`."""
    from dbgate.audit import spool

    if bucket:
        return open_named(bucket)
    waiting = len(spool.spooled(settings.state_dir))
    if waiting:
        some = "1 session of this machine is" if waiting == 1 else f"{waiting} sessions of this machine are"
        print(f"notice: {some} not shipped yet, and not searched", file=sys.stderr)
        print("hint: dbgate audit ship", file=sys.stderr)
    found = open_for_reading(settings)
    if found is None:
        raise UsageError("nothing has been shipped to the bucket yet", hint="dbgate audit ship")
    return found


def _write(answer: Answer, form: str, output: Path | None, known: Sequence[str] = FORMATS) -> None:
    from dbgate.doors.formats import open_writer, write_result

    terminal = sys.stdout.isatty() and output is None
    chosen = form or ("table" if terminal else "csv")
    if chosen not in FORMATS:
        raise UsageError(f"no such format: {chosen}", hint=suggest(chosen, known))
    with _stream(output) as stream:
        writer = open_writer(
            chosen,
            stream,
            color=terminal and not os.environ.get("NO_COLOR"),
            width=shutil.get_terminal_size().columns if terminal else None,
            is_terminal=terminal,
            max_cell=80 if terminal else None,
        )
        write_result(answer, writer, ())
        writer.close()


def _stream(output: Path | None) -> AbstractContextManager[Any]:
    return nullcontext(sys.stdout) if output is None else private_file(output)


def put(pieces: Iterator[str], output: Path | None) -> None:
    """Write text to standard output, or to a file (0600). Raises `UsageError`."""
    with _stream(output) as stream:
        for piece in pieces:
            stream.write(piece if output is None else piece.encode())


def _bars(days: Answer) -> None:
    """A bar for each day: statements that met values in clear, masks, neither."""
    from dbgate.audit.search.usage_page import day_rows

    rows = day_rows(days)
    if not rows:
        return
    width = max(20, min(shutil.get_terminal_size().columns, 100) - 30)
    most = max(row.statements for row in rows) or 1
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for row in rows:
        scaled = [(kind, -(-width * count // most)) for kind, count in row.parts]
        print(f"{row.day}  {''.join(_bar(kind, length, colour) for kind, length in scaled)} {row.statements:,}")
    print(f"            {'  '.join(f'{glyph} {name}' for glyph, _, name in _BARS.values())}")


_BARS = {
    "clear": ("█", "31", "in clear"),
    "masked": ("▓", "33", "masked"),
    "plain": ("░", "36", "no labelled column"),
}


def _bar(kind: str, length: int, colour: bool) -> str:
    glyph, code, _ = _BARS[kind]
    return f"\x1b[{code}m{glyph * length}\x1b[0m" if colour and length else glyph * length


def tell(engine: Engine) -> None:
    """Say what was left out."""
    for name, why in engine.damaged.items():
        print(f"notice: left out: {printable(name)}: {printable(why)}", file=sys.stderr)
    lines = engine.unreadable_lines()
    if lines:
        print(f"notice: left out: {lines} lines that are no records", file=sys.stderr)
    if engine.damaged or lines:
        print("hint: dbgate audit verify", file=sys.stderr)
