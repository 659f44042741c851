"""`dbgate sessions`: list and show what was recorded."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.app import new_app
from dbgate.cli.columns import print_table
from dbgate.errors import Unreachable, UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.bucket import Bucket
    from dbgate.audit.sessions import Archive
    from dbgate.audit.summary import Filter, Summary
    from dbgate.settings import Settings

app = new_app(invoke_without_command=True)
APPS = {"sessions": app}
MAX_TEXT = 60


class Outcomes(StrEnum):
    """What may be asked for with --outcome."""

    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"
    CRASHED = "crashed"
    OPEN = "open"


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
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, newest first.")] = 50,
    format: Annotated[Formats, typer.Option(help="How to print.")] = Formats.TABLE,  # noqa: A002
) -> None:
    """List sessions, newest first.

    Those that wait in the spool and those in the bucket.
    """
    from dbgate.audit.summary import Filter

    wanted = Filter(person, target, parse_time(since), parse_time(until, end=True), outcome or "", verb)
    found = collect(open_archive(load()), wanted, limit)
    if format is Formats.JSON:
        print(json.dumps([summary.to_json() for summary in found], indent=2))
        return
    if not found:
        print("notice: no sessions", file=sys.stderr)
        return
    headings = ("SESSION", "STARTED (UTC)", "PERSON", "TARGET", ">STMTS", "OUTCOME")
    print_table(headings, [_row(summary) for summary in found], elastic=("PERSON", "TARGET"))
    waiting = sum(summary.place == "spool" and not summary.live for summary in found)
    if waiting:
        print(f"notice: {waiting} of them not shipped yet", file=sys.stderr)


@app.command("show")
def show(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="A session, or an unambiguous beginning or end of its id.")
    ],
    format: Annotated[Formats, typer.Option(help="How to print.")] = Formats.TABLE,  # noqa: A002
) -> None:
    """Show one session and its statements.

    Who, where and why, and every statement with its decision and outcome.
    """
    from dbgate.audit.frames import header
    from dbgate.audit.sessions import summarise

    archive = open_archive(load())
    place = archive.find(session)
    records = list(archive.records(place))
    summary = summarise(place, records)
    if format is Formats.JSON:
        print(json.dumps({**summary.to_json(), "statements": _statements(records)}, indent=2))
        return
    print(header(summary.start))
    ended = printable(str(summary.end.get("reason", ""))) or ("still open" if summary.live else "without a seal")
    print(f"{'ended':<9} {ended}, after {duration(summary.duration_s)} and {summary.records} records")
    print(f"{'in':<9} {summary.place}")
    rows = [_statement_row(item) for item in _statements(records)]
    if rows:
        print()
        headings = (">#", "STATEMENT", "DECISION", "RULES", "MASKED", "OUTCOME", ">ROWS", ">MS")
        print_table(headings, rows, elastic=("STATEMENT", "RULES", "MASKED"))


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
    for place in archive.in_spool():
        summary = archive.summary(place)
        if wanted.wants(summary):
            found[place.session] = summary
    spooled = {place.session for place in archive.in_spool()}
    matched = 0
    try:
        for place in archive.in_bucket(wanted):
            if matched >= limit:
                break
            if place.session in spooled:
                continue
            summary = archive.summary(place)
            if wanted.wants(summary):
                found[place.session] = summary
                matched += 1
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


def duration(seconds: float) -> str:
    """A duration for people: `0.4s`, `12s`, `3m05s`, `2h07m`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def _row(summary: Summary) -> tuple[str, ...]:
    at = summary.started_at
    counted = [
        f"{number} {word}" for number, word in ((summary.denied, "denied"), (summary.failed, "failed")) if number
    ]
    grave = [word for word in summary.outcomes if word in ("crashed", "open")]
    return (
        summary.session,
        at.strftime("%Y-%m-%d %H:%M") if at else "?",
        summary.person,
        summary.target,
        str(summary.statements),
        ", ".join(grave + counted) or "ok",
    )


def _statements(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each intent with its outcome."""
    found: list[dict[str, Any]] = []
    for record in records:
        if record["kind"] == "statement.intent":
            found.append({"id": record.get("id"), "intent": record, "outcome": {}})
        elif record["kind"] == "statement.outcome" and found and found[-1]["id"] == record.get("id"):
            found[-1]["outcome"] = record
    return found


def _statement_row(item: dict[str, Any]) -> tuple[str, ...]:
    intent, outcome = item["intent"], item["outcome"]
    text = " ".join(str(intent.get("text", "")).split())
    short = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    rules = [str(rule).split(" (", 1)[0] for rule in intent.get("rules") or []]
    masked = [str(name).rpartition(".")[2] for name in outcome.get("masked") or []]
    ran = bool(outcome) and outcome.get("status") != "not run"
    return (
        str(item["id"]),
        short,
        str(intent.get("decision", "")),
        ", ".join(rules),
        ", ".join(masked),
        str(outcome.get("sqlstate") or outcome.get("status") or "not run"),
        str(outcome.get("rows", "")) if ran else "",
        f"{outcome['duration_ms']:.1f}" if ran and isinstance(outcome.get("duration_ms"), int | float) else "",
    )
