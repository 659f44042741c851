"""`dbgate policy scan`: proposes `classify` entries from names, comments and samples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.errors import EXIT_DENIED, EXIT_OK, UsageError
from dbgate.text import printable, suggest

if TYPE_CHECKING:
    from dbgate.scan.report import Report

FORMATS = ("table", "yaml", "json")


def scan(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The target.", show_default=False)],
    schema: Annotated[
        str, typer.Option("--schema", metavar="GLOB", envvar="DBGATE_POLICY_SCHEMA", help="Only these schemas.")
    ] = "*",
    table: Annotated[
        str, typer.Option("--table", metavar="GLOB", envvar="DBGATE_POLICY_TABLE", help="Only these tables.")
    ] = "*",
    output: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            envvar="DBGATE_POLICY_FORMAT",
            help="table, yaml or json. Default: table on a terminal, yaml elsewhere.",
        ),
    ] = "",
    file: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", envvar="DBGATE_POLICY_OUTPUT", help="Write to a file.")
    ] = "",
    confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence",
            min=0.1,
            max=0.99,
            envvar="DBGATE_POLICY_MIN_CONFIDENCE",
            help="Leave out what is below.",
        ),
    ] = 0.5,
    rows: Annotated[
        int, typer.Option("--rows", min=10, max=5000, envvar="DBGATE_POLICY_SAMPLE", help="Rows to sample of a table.")
    ] = 200,
    foreign: Annotated[
        bool, typer.Option("--foreign", envvar="DBGATE_POLICY_FOREIGN", help="Sample foreign tables, too.")
    ] = False,
    fail_on_new: Annotated[
        bool,
        typer.Option("--fail-on-new", envvar="DBGATE_POLICY_FAIL_ON_NEW", help="End with 3 if the policy misses any."),
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", envvar="DBGATE_REASON", help="Why, for the record.")
    ] = "",
) -> int:
    """Propose labels for columns, from their names, comments and samples. No value is ever shown.

    The scan reads through the gate, in a read-only session of its own that is recorded: it sees what you may see.
    Columns that are masked for you are judged by their names.
    """
    from dbgate.cli.signals import Signals
    from dbgate.cli.wiring import open_driver
    from dbgate.doors.sampling import SampleDisplay
    from dbgate.doors.scanning import Scanner, Wanted

    form = _format(output, file)
    display = SampleDisplay()
    wanted = Wanted(schema, table, rows, foreign, confidence)
    with (
        Signals() as signals,
        open_driver(target, display=display, door="scan", reason=reason, may_ask=False) as driver,
    ):
        signals.forward_to(driver)
        for level, text, hint in display.take_messages():
            _say(level, text, hint)
        scanner = Scanner(driver, display, wanted, _progress)
        report = scanner.scan()
    _clear()
    _print(report, form, file)
    _summary(report)
    if scanner.exit_code != EXIT_OK:
        return scanner.exit_code
    return EXIT_DENIED if fail_on_new and report.new() else EXIT_OK


def _format(form: str, file: str) -> str:
    if not form:
        return "table" if not file and sys.stdout is not None and sys.stdout.isatty() else "yaml"
    if form not in FORMATS:
        raise UsageError(f"no such format: {form}", hint=suggest(form, FORMATS))
    return form


def _progress(name: str, number: int, count: int) -> None:
    """One line on a terminal, written over."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r\x1b[K{number} of {count}  {printable(name)[:60]}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr is not None and sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(report: Report, form: str, file: str) -> None:
    from dbgate.scan.report import as_json, as_yaml

    if form == "table":
        _print_table(report)
        return
    text = as_json(report) if form == "json" else "\n".join(as_yaml(report))
    if not file:
        print(text)
        return
    try:
        Path(file).write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror}", hint="check the path and its permissions"
        ) from None


def _print_table(report: Report) -> None:
    from dbgate.cli.columns import print_table
    from dbgate.scan.report import evidence_of

    rows = [
        (
            str(p.finding.column),
            ", ".join(p.carries) or p.finding.tag,
            f"{p.finding.confidence:.0%}",
            p.state,
            p.mask,
            evidence_of(p),
        )
        for p in report.proposals
    ]
    if rows:
        print_table(("COLUMN", "TAG", ">SURE", "STATE", "MASK", "EVIDENCE"), rows, elastic=("EVIDENCE", "COLUMN"))


def _summary(report: Report) -> None:
    """What was looked at, and what could not be, on stderr."""
    new = len(report.new())
    looked = f"{report.columns} columns of {report.tables} tables looked at, {report.sampled} with values"
    ended = "the scan was interrupted: " if report.interrupted else ""
    hint = "" if not new else "add the entries to the policy, then dbgate policy check; --format yaml prints them"
    _say("notice", f"{ended}{looked}; {new} new, {len(report.proposals) - new} labelled already or following", hint)
    for one in report.unsampled[:20]:
        _say("notice", f"{one.table}: judged by names only: {one.reason}")
    if len(report.unsampled) > 20:
        _say("notice", f"and {len(report.unsampled) - 20} more were judged by names only", "--format json lists them")


def _say(level: str, text: str, hint: str = "") -> None:
    print(f"{level}: {printable(text)}", file=sys.stderr)
    if hint:
        print(f"hint: {printable(hint)}", file=sys.stderr)
