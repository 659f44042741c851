"""`dbgate audit export`: what the bucket holds, for a SIEM."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.audit_search import source_bucket
from dbgate.cli.private_file import private_file
from dbgate.cli.sessions import BucketOption, load, parse_time
from dbgate.errors import EXIT_OK, EXIT_UNREACHABLE, UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.siem.feed import Feed
    from dbgate.audit.siem.sinks import Sink
    from dbgate.audit.siem.syslog import Syslog
    from dbgate.audit.siem.telling import Told


class ExportFormats(StrEnum):
    """What events look like."""

    OCSF = "ocsf"
    CEF = "cef"
    JSON = "json"


FromOption = Annotated[
    str,
    typer.Option(
        "--from",
        "--since",
        metavar="TIME",
        envvar="DBGATE_AUDIT_FROM",
        help="2026-01-31, 2026-01-31T08:00, or 7d, 12h, 30m ago (UTC).",
    ),
]
ToOption = Annotated[
    str,
    typer.Option(
        "--to", "--until", metavar="TIME", envvar="DBGATE_AUDIT_TO", help="As --from; a day counts to its end."
    ),
]


def export_command(
    form: Annotated[ExportFormats, typer.Option("--format", help="What events look like.")] = ExportFormats.OCSF,
    from_: FromOption = "",
    to: ToOption = "",
    target: Annotated[str, typer.Option(metavar="GLOB", help="Target name; * and ? match.")] = "",
    person: Annotated[str, typer.Option(metavar="TEXT", help="Part of the person's e-mail or subject.")] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to this file (0600); with --cursor, append.",
        ),
    ] = None,
    cursor: Annotated[
        Path | None,
        typer.Option(
            "--cursor",
            "--since-checkpoint",
            metavar="FILE",
            envvar="DBGATE_AUDIT_EXPORT_CURSOR",
            help="Remember here what was exported, and export only what is new.",
        ),
    ] = None,
    syslog: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Send as syslog over TLS; tcp://HOST:PORT or udp://… else.",
        ),
    ] = "",
    syslog_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who vouches for the receiver (PEM), not the system's list.",
        ),
    ] = None,
    syslog_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A certificate to show to the receiver (PEM)."),
    ] = None,
    syslog_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate's key (PEM)."),
    ] = None,
    syslog_limit: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            min=2048,
            max=1048576,
            help="The longest message. Default: 8192, udp 2048.",
        ),
    ] = None,
    bucket: BucketOption = "",
    skip_damaged: Annotated[
        bool,
        typer.Option(
            "--skip-damaged",
            help="Exit 0 though a session cannot be read to its end.",
        ),
    ] = False,
) -> int:
    """Export what happened as events for a SIEM, one a line: OCSF, CEF, or dbgate's own JSON.

    A statement with its outcome is one event. Its id is the same in every export. `ocsf` tells statements and the starts
    of sessions as Datastore Activity; `cef` and `json` tell approvals and the ends of sessions, too.
    With --cursor, run it from cron: sessions that arrive late are not missed, and nothing counts as exported before it
    has arrived. A session that cannot be read to its end stops none of the others; the exit code is then 7.

    \b
    dbgate audit export --format ocsf --from 7d -o events.ndjson
    dbgate audit export --format cef --syslog siem.example.com:6514 --cursor /var/lib/dbgate/siem.cursor
    """
    from dbgate.audit.siem import Cursor, Feed, Wanted
    from dbgate.audit.siem.syslog import Syslog, overhead
    from dbgate.audit.siem.telling import tell

    if output is not None and syslog:
        raise UsageError("-o and --syslog exclude each other")
    if cursor is not None and to:
        raise UsageError("--cursor and --to exclude each other", hint="a cursor exports all that is new")
    if cursor is not None and output is not None and cursor.resolve() == output.resolve():
        raise UsageError("--cursor and -o name the same file")
    if not syslog and (syslog_ca or syslog_cert or syslog_key or syslog_limit):
        raise UsageError("there is no --syslog to use it for", hint="--syslog HOST:PORT")
    if bool(syslog_cert) != bool(syslog_key):
        raise UsageError("--syslog-cert and --syslog-key go together")
    settings = load()
    wanted = Wanted(target, person, parse_time(from_), parse_time(to, end=True))
    with ExitStack() as stack:
        receiver = None
        if syslog:
            client = (syslog_cert, syslog_key) if syslog_cert and syslog_key else None
            receiver = Syslog(syslog, limit=syslog_limit or 0, authority=syslog_ca, client=client)
        source = source_bucket(settings, bucket)
        scope = {"bucket": source.url, "format": form.value, "from": from_, "target": target, "person": person}
        scope |= {"receiver": syslog, "output": str(output.absolute()) if output else ""}
        kept = stack.enter_context(Cursor(cursor, scope)) if cursor else None
        sink = _sink(stack, receiver, output, is_continued=kept is not None)
        feed = Feed(source, wanted)
        told = tell(feed, form.value, sink, kept, overhead=overhead if syslog else lambda event: 0)
    return _report(feed, told, skip_damaged)


def _sink(stack: ExitStack, receiver: Syslog | None, output: Path | None, *, is_continued: bool) -> Sink:
    """Where events go: to the receiver, to standard output, or to a file, which a cursor goes on with."""
    from dbgate.audit.siem.sinks import AppendedFile, StreamSink

    if receiver is not None:
        if not receiver.is_sure:
            print("notice: over UDP nobody knows whether a message arrived", file=sys.stderr)
        return stack.enter_context(receiver)
    if output is None:
        return StreamSink(sys.stdout.buffer)
    if is_continued:
        return stack.enter_context(AppendedFile(output))
    return StreamSink(stack.enter_context(private_file(output)))


def _report(feed: Feed, told: Told, skip_damaged: bool) -> int:
    print(f"notice: {told.events} events of {told.sessions} sessions", file=sys.stderr)
    if told.shortened:
        print(f"notice: {told.shortened} events were shortened to the receiver's limit", file=sys.stderr)
    for folder in feed.open:
        print(f"notice: {printable(folder)} has no end yet: what is open in it waits", file=sys.stderr)
    for folder, why in feed.damaged.items():
        level = "notice" if skip_damaged else "error"
        print(f"{level}: not read to its end: {printable(folder)}: {printable(why)}", file=sys.stderr)
    if feed.damaged:
        print("hint: find out what happened: dbgate audit verify", file=sys.stderr)
    return EXIT_UNREACHABLE if feed.damaged and not skip_damaged else EXIT_OK
