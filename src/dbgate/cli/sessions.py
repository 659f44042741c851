"""`dbgate sessions`: list and show what was recorded."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.app import new_app
from dbgate.errors import EXIT_OK, EXIT_STATEMENT, Unreachable, UsageError
from dbgate.text import printable, suggest

if TYPE_CHECKING:
    from dbgate.audit.bucket import Bucket
    from dbgate.audit.sessions import Archive
    from dbgate.audit.summary import Filter, Summary
    from dbgate.settings import Settings

app = new_app(invoke_without_command=True)
APPS = {"sessions": app}
BucketOption = Annotated[str, typer.Option("--bucket", metavar="PATH", help="Another bucket: its URL or directory.")]


class Outcomes(StrEnum):
    """What may be asked for with --outcome."""

    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"
    UNKNOWN = "unknown"
    APPROVED = "approved"
    CRASHED = "crashed"
    OPEN = "open"
    DAMAGED = "damaged"


class ListFormats(StrEnum):
    """How lists are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    MARKDOWN = "markdown"


class Formats(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


@app.callback()
def sessions(ctx: typer.Context) -> None:
    """List and show recorded sessions."""
    if ctx.invoked_subcommand is None:
        list_sessions()


@app.command("list")
def list_sessions(
    person: Annotated[str, typer.Option(metavar="TEXT", help="Part of the person's e-mail or subject.")] = "",
    target: Annotated[str, typer.Option(metavar="GLOB", help="Target name; * and ? match.")] = "",
    since: Annotated[
        str, typer.Option(metavar="TIME", help="2026-01-31, 2026-01-31T08:00, or 7d, 12h, 30m ago (UTC).")
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="As --since; a day counts to its end.")] = "",
    outcome: Annotated[Outcomes | None, typer.Option(help="What happened in it.")] = None,
    verb: Annotated[str, typer.Option(metavar="VERB", help="A verb of its statements, such as update.")] = "",
    table: Annotated[
        str, typer.Option(metavar="GLOB", help="A table that it read or wrote, as schema.table; * and ? match.")
    ] = "",
    tag: Annotated[str, typer.Option(metavar="GLOB", help="A tag of labelled columns it met; * and ? match.")] = "",
    actor: Annotated[str, typer.Option(metavar="ACTOR", help="human, service or agent.")] = "",
    bucket: BucketOption = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, newest first.")] = 50,
    format: Annotated[ListFormats, typer.Option(help="How to print.")] = ListFormats.TABLE,  # noqa: A002
) -> None:
    """List sessions, newest first.

    Those that wait in the spool and those in the bucket. --verb, --table, --tag and --outcome denied, failed, unknown or
    approved have to hold of one and the same statement. `damaged` are sessions whose records do not follow one another, or stand
    where they do not belong; `dbgate audit verify` finds more.
    """
    from dbgate.audit.summary import Filter
    from dbgate.cli.sessions_view import print_list, write_list

    known_actor(actor)
    times = parse_time(since), parse_time(until, end=True)
    wanted = Filter(person, target, *times, outcome or "", verb, table, tag, actor)
    found = collect(open_archive(load(), bucket), wanted, limit)
    if format is ListFormats.JSON:
        print(json.dumps([summary.to_json() for summary in found], indent=2))
        return
    if format is not ListFormats.TABLE:
        write_list(found, format)
        return
    if not found:
        print("notice: no sessions", file=sys.stderr)
        return
    print_list(found)
    waiting = sum(summary.place == "spool" and not summary.live for summary in found)
    if waiting:
        print(f"notice: {waiting} of them not shipped yet", file=sys.stderr)


@app.command("show")
def show(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="A session, or an unambiguous beginning or end of its id.")
    ],
    bucket: BucketOption = "",
    key: Annotated[
        list[Path] | None, typer.Option("--key", metavar="FILE", help="Trust only this public key for the seal.")
    ] = None,
    format: Annotated[Formats, typer.Option(help="How to print.")] = Formats.TABLE,  # noqa: A002
) -> int:
    """Show one session and its statements.

    Who, where and why, every statement with its decision and outcome, who approved what, and whether the record is intact:
    exit 1, after everything was shown, when it is not, or when no key of --key sealed it.
    """
    from dbgate.audit.checked import VERDICT
    from dbgate.audit.keys import read_public_keys
    from dbgate.audit.summary import Summary
    from dbgate.cli.sessions_view import Statements, print_session, write_session

    archive = open_archive(load(), bucket)
    place = archive.find(session)
    summary, found = Summary(place.session, place.name), Statements()
    integrity: dict[str, Any] = {}
    try:
        for record in archive.checked(place, read_public_keys(key) if key else None):
            if record["kind"] == VERDICT:
                integrity = {"holds": record["holds"], "text": record["text"]}
                continue
            summary.take(record)
            found.take(record)
        found.end()
        summary.live = not summary.end and archive.is_being_written(place)
        if format is Formats.JSON:
            write_session(summary, found, integrity)
            return code_of(integrity, is_pinned=bool(key))
        print_session(summary, found, integrity)
    finally:
        found.close()
    print(f"hint: whether the log holds it: dbgate audit verify --session {place.session}", file=sys.stderr)
    return code_of(integrity, is_pinned=bool(key))


def code_of(integrity: dict[str, Any], *, is_pinned: bool) -> int:
    """The exit code for what the check of a transcript says; with keys of one's own, nobody else's seal will do."""
    return EXIT_STATEMENT if integrity["holds"] is False or (is_pinned and not integrity["holds"]) else EXIT_OK


def known_actor(actor: str) -> None:
    """Raise `UsageError` for what is no actor."""
    from dbgate.model import Actor

    if actor and actor not in set(Actor):
        raise UsageError(f"no such actor: {actor}", hint=suggest(actor, list(Actor)))


def load() -> Settings:
    """The configuration."""
    from dbgate.config import load_settings

    return load_settings()


def open_named(path: str) -> Bucket:
    """The bucket that an option names: by its URL, or as a directory. Raises `UsageError`, `Unreachable`."""
    from dbgate.audit.bucket import open_bucket

    return open_bucket(path if "://" in path else Path(path).absolute().as_uri())


def open_for_reading(settings: Settings) -> Bucket | None:
    """The configured bucket; None for a file bucket into which nothing was ever shipped. Raises `Unreachable`."""
    from dbgate.audit.bucket import open_bucket
    from dbgate.audit.log import InstallationLog

    try:
        return open_bucket(settings.audit.bucket)
    except Unreachable:
        if settings.audit.bucket.startswith("file:") and InstallationLog(settings.state_dir).published() is None:
            return None
        raise


def open_archive(settings: Settings, path: str = "") -> Archive:
    """Spool and bucket, or another bucket alone, when `path` names one (its URL or directory).

    When the own bucket is away, that is said, and the spool is read alone. Raises `UsageError`, `Unreachable`.
    """
    from dbgate.audit.sessions import Archive

    if path:
        return Archive(None, open_named(path))
    try:
        bucket = open_for_reading(settings)
    except Unreachable as error:
        warn(error)
        bucket = None
    return Archive(settings.state_dir, bucket)


def warn(error: Unreachable) -> None:
    """Say that the bucket is away, without giving up."""
    print(f"notice: {printable(error.message)}", file=sys.stderr)
    print("hint: only the sessions that wait in the spool are shown", file=sys.stderr)


def collect(archive: Archive, wanted: Filter, limit: int) -> list[Summary]:
    """Summaries of the wanted sessions, newest first. A session in both places counts once, as spooled."""
    found: dict[str, Summary] = {}
    spooled = set()
    for place in archive.in_spool():
        try:
            summary = archive.summary_if(wanted, place)
        except FileNotFoundError:
            continue  # shipped meanwhile: the bucket has it
        spooled.add(place.session)
        if summary is not None:
            found[place.session] = summary
    try:
        others = (summary for summary in archive.wanted_in_bucket(wanted) if summary.session not in spooled)
        for summary in islice(others, limit):
            summary.damaged |= summary.session in found
            found[summary.session] = summary
    except Unreachable as error:
        warn(error)
    newest = sorted(found.values(), key=lambda summary: summary.session, reverse=True)
    return newest[:limit]


def parse_time(text: str, *, end: bool = False) -> datetime | None:
    """A point in time from an option: a date, a date and time, or `7d`, `12h`, `30m` ago. Raises `UsageError`."""
    if not text:
        return None
    ago = re.fullmatch(r"(\d{1,6})([dhm])", text)
    if ago:
        unit = {"d": "days", "h": "hours", "m": "minutes"}[ago[2]]
        return datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a time: {text}", hint="write 2026-01-31, 2026-01-31T08:00, 7d, 12h or 30m") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at + timedelta(days=1, microseconds=-1) if end and len(text) == len("2026-01-31") else at
