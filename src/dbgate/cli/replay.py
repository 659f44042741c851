"""`dbgate replay`: play a session in the terminal, or export it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.app import new_app
from dbgate.cli.private_file import private_file
from dbgate.cli.sessions import load, open_archive
from dbgate.errors import UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.sessions import Archive, Place

app = new_app()
APPS = {"replay": app}


class Exports(StrEnum):
    """What a session can be exported as."""

    CAST = "cast"
    HTML = "html"
    JSON = "json"
    SQL = "sql"


@app.command()
def replay(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="A session, or an unambiguous beginning or end of its id.")
    ],
    speed: Annotated[float | None, typer.Option(min=0.01, max=1000, metavar="N", help="2 plays twice as fast.")] = None,
    max_idle: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Longest pause, in seconds.")] = 2.0,
    step: Annotated[bool, typer.Option("--step", help="Wait for a key before each statement.")] = False,
    export: Annotated[Exports | None, typer.Option(help="Write the session in this form instead.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the export to this file.")
    ] = None,
) -> int | None:
    """Play a recorded session at its own pace, or export it (cast: asciicast v3, html: one page)."""
    if export is not None and (step or speed is not None):
        raise UsageError("--export does not go with --speed or --step")
    if export is None and output is not None:
        raise UsageError("-o needs --export", hint="choose --export cast, html, json or sql")
    archive = open_archive(load())
    place = archive.find(session)
    warn_of_damage(archive, place)
    if export is not None:
        write(exported(archive, place, export), output)
        return None
    return watch(archive, place, speed, max_idle, step=step)


def watch(archive: Archive, place: Place, speed: float | None, max_idle_s: float, *, step: bool) -> int:
    """Play in this terminal. Without a terminal nothing waits, unless a speed was asked for."""
    from dbgate.audit.frames import frames
    from dbgate.audit.replay import Pace, play, wait_for_key

    terminal = sys.stdout.isatty()
    if step and not (terminal and sys.stdin.isatty()):
        raise UsageError("--step needs a terminal")
    pace = Pace(speed if speed is not None else float(terminal), max_idle_s)
    colour = terminal and not os.environ.get("NO_COLOR")
    ask = (lambda: wait_for_key(sys.stdin.fileno(), sys.stdout)) if step else None
    play(frames(archive.records(place)), sys.stdout, pace, colour=colour, step=ask)
    return 0


def exported(archive: Archive, place: Place, form: Exports) -> Iterator[str]:
    """The export, piece by piece."""
    from dbgate.audit.export import as_json, cast, sql
    from dbgate.audit.page import page

    records: Iterable[dict[str, Any]] = archive.records(place)
    match form:
        case Exports.CAST:
            return cast(records)
        case Exports.HTML:
            return page(records)
        case Exports.SQL:
            return sql(records)
        case Exports.JSON:
            return as_json(archive.summary(place).to_json(), records)


def write(pieces: Iterable[str], output: Path | None) -> None:
    """Write to a new or existing file (0600: a recording is confidential), or to stdout."""
    if output is None:
        for piece in pieces:
            sys.stdout.write(piece)
        return
    with private_file(output) as file:
        file.writelines(piece.encode() for piece in pieces)


def warn_of_damage(archive: Archive, place: Place) -> None:
    """Say so when the transcript that is shown does not hold together."""
    fault = archive.first_fault(place)
    if fault:
        print(f"notice: this transcript was altered: {printable(fault)}", file=sys.stderr)
        print(f"hint: dbgate audit verify --session {place.session}", file=sys.stderr)
