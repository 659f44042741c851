"""`dbgate exec`: run statements on a target and print their results."""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from dbgate.cli.app import AccountOption, new_app, quiet_stdout
from dbgate.cli.durations import parse_duration
from dbgate.cli.plain import PlainCommand
from dbgate.errors import EXIT_INTERRUPTED, EXIT_OK, UsageError
from dbgate.text import suggest

if TYPE_CHECKING:
    from dbgate.doors.exec import ExecDisplay, OutputFile
    from dbgate.session.driver import SessionDriver

app = new_app()
APPS = {"exec": app}

FORMATS = ("table", "csv", "json", "ndjson", "markdown")
MAX_INPUT_BYTES = 16 * 1024 * 1024
"""Larger scripts are refused: the gate reads no more."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ORDER = "dbgate.exec.order"


class OrderedCommand(PlainCommand):
    """A command that remembers in which order -c and -f were given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[_ORDER] = [option.name for option in order if option.name in {"command", "file"}]
        return super().parse_args(ctx, args)


@app.command(cls=OrderedCommand)
def run(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target to run on.", envvar="DBGATE_TARGET")],
    command: Annotated[
        list[str] | None,
        typer.Option(
            "--command", "-c", metavar="SQL", help="Statements to run; may be repeated. [env var: DBGATE_COMMAND]"
        ),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", metavar="FILE", help="A file of statements, - for stdin. [env var: DBGATE_FILE]"),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="Bind :NAME to a value. [env var: DBGATE_PARAM]"),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            envvar="DBGATE_FORMAT",
            help=f"{', '.join(FORMATS)}. Default: table on a terminal, csv elsewhere.",
        ),
    ] = "",
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", envvar="DBGATE_REASON", help="Why, for the record.")
    ] = "",
    wait: Annotated[
        str,
        typer.Option(
            "--wait",
            metavar="SECONDS",
            envvar="DBGATE_WAIT",
            help="Wait that long for an approval (90, 10m, 1h). Default: until decided on a terminal, else not at all.",
        ),
    ] = "",
    no_wait: Annotated[
        bool, typer.Option("--no-wait", envvar="DBGATE_NO_WAIT", help="Do not wait for approvals.")
    ] = False,
    request: Annotated[
        str, typer.Option("--request", metavar="ID", envvar="DBGATE_REQUEST", help="Resume an approval request.")
    ] = "",
    unmask: Annotated[
        list[str] | None,
        typer.Option(
            "--unmask",
            metavar="TAG",
            help="Ask to see a tag, or a glob of tags, in clear for a while; may be repeated. [env var: DBGATE_UNMASK]",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", envvar="DBGATE_DRY_RUN", help="Show the decision and what would run; run nothing."),
    ] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", envvar="DBGATE_OUTPUT", help="Write results to a file.")
    ] = "",
    account: AccountOption = "",
    keep_going: Annotated[
        bool, typer.Option("--keep-going", envvar="DBGATE_KEEP_GOING", help="Go on after a failure.")
    ] = False,
) -> int:
    """Run statements on a target and print their results.

    Every statement is decided, recorded and run alone, in one session, stopping at the first failure. Results go to
    stdout, everything else to stderr. Exit codes: 0 ok, 1 the database refused the statement, 2 usage or
    configuration, 3 denied, 4 approval pending, denied or expired, 5 not signed in, 6 audit unavailable, 7 database
    or approvals unreachable, 130 interrupted.
    """
    values = _parameters(param if param else os.environ.get("DBGATE_PARAM", "").splitlines())
    form = _format(form, output)
    wait_s = _wait_s(wait, no_wait)
    commands = command or [text for text in [os.environ.get("DBGATE_COMMAND", "")] if text]
    files = file or [name for name in [os.environ.get("DBGATE_FILE", "")] if name]
    scripts = list(_scripts(commands, files, context.meta.get(_ORDER, [])))
    tags = unmask or os.environ.get("DBGATE_UNMASK", "").split()
    from dbgate.cli.signals import Signals
    from dbgate.cli.wiring import open_driver, settings_now

    settings = settings_now()
    with (
        _open_output(output) as stream,
        Signals() as signals,
        open_driver(
            target,
            settings=settings,
            display=(display := _display(form, stream, settings.audit.output_limit_bytes)),
            door="exec",
            reason=reason,
            wait_s=wait_s,
            dry_run=dry_run,
            keep_going=keep_going,
            request=request or None,
            account=account,
        ) as driver,
    ):
        signals.forward_to(driver)
        try:
            return _unmask(driver, display, tags) or _execute(driver, display, scripts, values)
        finally:
            display.finish()


def _unmask(driver: "SessionDriver", display: "ExecDisplay", tags: Sequence[str]) -> int:
    """Ask for the tags and return the first failure's exit code: then nothing is run."""
    first = EXIT_OK
    for finished in driver.unmask(tags) if tags else ():
        first = first or finished.exit_code
        display.ended(finished)
    return first


def _execute(
    driver: "SessionDriver", display: "ExecDisplay", scripts: Sequence[str], values: Mapping[str, str | None]
) -> int:
    """Run the scripts and return the first failure's exit code."""
    first = EXIT_OK
    for script in scripts:
        for finished in driver.execute(script, values):
            first = first or finished.exit_code
            display.ended(finished)
            if isinstance(display.failure, BrokenPipeError):
                return first or quiet_stdout()
            if display.failure is not None:
                raise UsageError(f"the results cannot be written: {display.failure.strerror}")
        if driver.closed or first == EXIT_INTERRUPTED or (first and not driver.keep_going):
            break
    return first


def _scripts(commands: Sequence[str], files: Sequence[str], order: Sequence[str]) -> Iterator[str]:
    """The scripts in the order of the command line; standard input when there are none."""
    if not commands and not files:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("nothing to run", hint="give statements with -c SQL, -f FILE or on standard input")
        yield _read("-")
        return
    left = {"command": list(commands), "file": list(files)}
    for kind in [*order, *("command" for _ in commands), *("file" for _ in files)]:
        if left[kind]:
            text = left[kind].pop(0)
            yield text if kind == "command" else _read(text)


def _read(name: str) -> str:
    """The text of a file; `-` is standard input. Raises `UsageError`."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1) if sys.stdin else b""
        else:
            with Path(name).open("rb") as file:
                data = file.read(MAX_INPUT_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}", hint="give a file of SQL, or - for stdin") from None
    if len(data) > MAX_INPUT_BYTES:
        raise UsageError(f"{name} is larger than {MAX_INPUT_BYTES // 1024 // 1024} MiB", hint="split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text (byte {error.start + 1})", hint="convert it with iconv") from None


def _parameters(pairs: Sequence[str]) -> dict[str, str | None]:
    values: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise UsageError(f"not a parameter: {name or pair}", hint="write -p NAME=VALUE, and :NAME in the statement")
        if name in values:
            raise UsageError(f"the parameter {name} is given twice", hint="give each name once")
        if "\0" in value:
            raise UsageError(f"the parameter {name} holds a NUL character", hint="remove it")
        values[name] = value
    return values


def _format(form: str, output: str) -> str:
    if not form:
        return "table" if not output and sys.stdout is not None and sys.stdout.isatty() else "csv"
    if form not in FORMATS:
        raise UsageError(f"no such format: {form}", hint=suggest(form, FORMATS))
    return form


def _wait_s(wait: str, no_wait: bool) -> float | None:
    """Seconds to wait for an approval; None until it is decided."""
    if wait and no_wait:
        raise UsageError("--wait and --no-wait exclude each other", hint="give one of them")
    if no_wait:
        return 0.0
    if not wait:
        attended = sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()
        return None if attended else 0.0
    return parse_duration(wait)


def _open_output(output: str) -> "AbstractContextManager[BinaryIO | OutputFile]":
    if output:
        from dbgate.doors.exec import OutputFile

        return closing(OutputFile(Path(output)))
    if sys.stdout is None:
        raise UsageError("standard output is closed", hint="write to a file with -o")
    return nullcontext(sys.stdout.buffer)


def _display(form: str, stream: "BinaryIO | OutputFile", keep_bytes: int) -> "ExecDisplay":
    from dbgate.doors.exec import ExecDisplay, Output
    from dbgate.doors.formats import open_writer

    on_terminal = stream is getattr(sys.stdout, "buffer", None) and sys.stdout.isatty()
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    width = None
    if on_terminal:
        import shutil

        width = shutil.get_terminal_size().columns
    output = Output(stream, keep_bytes=keep_bytes)
    writer = open_writer(form, output, color=on_terminal and not plain, width=width, is_terminal=on_terminal)
    return ExecDisplay(
        writer,
        output,
        sys.stderr,
        color=sys.stderr.isatty() and not plain,
        takes_copies=form == "csv" and not on_terminal,
        is_json=form in {"json", "ndjson"},
        for_terminal=on_terminal,
    )
