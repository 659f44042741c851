"""`dbgate replay`: play a session in the terminal, or export it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.app import new_app
from dbgate.cli.private_file import private_file
from dbgate.cli.sessions import BucketOption, load, open_archive
from dbgate.errors import EXIT_OK, EXIT_STATEMENT, UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.frames import Frame
    from dbgate.audit.replay.recording import Recording
    from dbgate.audit.sessions import Archive, Place

app = new_app()
APPS = {"replay": app}
DEFAULT_IDLE_S = 2.0
READING_S = 0.5
FIRST_RECORDS = 2_000
"""So many records are read before the first picture."""
READ_RECORDS = 500


class Exports(StrEnum):
    """What a session can be exported as."""

    CAST = "cast"
    HTML = "html"
    JSON = "json"
    SQL = "sql"


@app.command()
def replay(
    session: Annotated[
        str,
        typer.Argument(metavar="SESSION", help="A session, the beginning or end of its id, or a folder with it alone."),
    ],
    speed: Annotated[float | None, typer.Option(min=0.01, max=1000, metavar="N", help="2 plays twice as fast.")] = None,
    idle_limit: Annotated[
        float | None,
        typer.Option("--idle-limit", "--max-idle", min=0, metavar="SECONDS", help="Longest pause, 2 by default."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Pauses as long as they were.")] = False,
    step: Annotated[bool, typer.Option("--step", help="Wait for a key before each statement.")] = False,
    start: Annotated[
        str,
        typer.Option(
            "--from", metavar="TIME|STATEMENT", help="Begin at statement 3, 1:30, 1m30s or 2026-01-31T08:00:20."
        ),
    ] = "",
    export: Annotated[Exports | None, typer.Option(help="Write the session in this form instead.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the export to this file.")
    ] = None,
    key: Annotated[
        list[Path] | None, typer.Option("--key", metavar="FILE", help="Trust only this public key for the seal.")
    ] = None,
    bucket: BucketOption = "",
) -> int:
    """Play a recorded session at its own pace, or export it (cast: asciicast v3, html: one page).

    On a terminal: space pauses, arrows and digits seek, / searches, d a w e go to denials, approvals, writes and errors,
    ? shows all keys. Everywhere else the session is printed as text. The chain is checked while it plays: exit 1, after
    everything was shown, when it does not hold together, or when no key of --key sealed it.
    """
    from dbgate.audit.keys import read_public_keys

    if export is not None and (step or exact or start or (speed, idle_limit) != (None, None)):
        raise UsageError("--export does not go with --speed, --idle-limit, --exact, --step or --from")
    if export is None and output is not None:
        raise UsageError("-o needs --export", hint="choose --export cast, html, json or sql")
    if exact and idle_limit is not None:
        raise UsageError("--exact does not go with --idle-limit")
    archive = open_archive(load(), bucket)
    place = archive.in_folder(Path(session)) if Path(session).is_dir() else archive.find(session)
    records = Told(archive.checked(place, read_public_keys(key) if key else None), place, is_pinned=bool(key))
    if export is not None:
        write(exported(archive, place, export, records), output)
        return records.exit_code
    limit_s = None if exact else DEFAULT_IDLE_S if idle_limit is None else idle_limit
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        records.hold()
        try:
            watch(records, speed or 1.0, limit_s, start, step=step)
        finally:
            records.tell()
        return records.exit_code
    if step:
        raise UsageError("--step needs a terminal")
    print_frames(records, speed, limit_s, start)
    return records.exit_code


def watch(records: Iterable[dict[str, Any]], speed: float, limit_s: float | None, start: str, *, step: bool) -> None:
    """Play on a screen of its own, at once: the rest is read while it is shown, and to its end when the viewer leaves."""
    from dbgate.audit.replay.player import Options, Player
    from dbgate.audit.replay.recording import Recording
    from dbgate.audit.replay.starting import first_cue
    from dbgate.audit.replay.terminal import Screen

    with Recording(records, whole=False) as recording:
        player = Player(recording, Options(speed, limit_s, step))
        if start:
            read_aloud(recording)
            player.begin_at(first_cue(recording, start))
        else:
            recording.read(FIRST_RECORDS)
            player.begin()
        Screen(player).run()
        read_aloud(recording)


def read_aloud(recording: Recording) -> None:
    """Read a recording to its end; when that takes long, how many records there were so far stands on stderr meanwhile."""
    began = said = time.monotonic()
    while not recording.is_whole:
        recording.read(READ_RECORDS)
        now = time.monotonic()
        if now - said >= READING_S:
            said = now
            print(f"\rreading and checking: {recording.records:,} records\x1b[K", end="", file=sys.stderr, flush=True)
    if said != began:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def print_frames(records: Iterable[dict[str, Any]], speed: float | None, limit_s: float | None, start: str) -> None:
    """Print the session as text. Without a terminal nothing waits, unless a speed was asked for."""
    from dbgate.audit.frames import frames
    from dbgate.audit.replay import Pace, play
    from dbgate.audit.replay.recording import Recording

    terminal = sys.stdout.isatty()
    pace = Pace(speed if speed is not None else float(terminal), limit_s)
    colour = terminal and not os.environ.get("NO_COLOR")
    if not start:
        play(frames(records), sys.stdout, pace, colour=colour)
        return
    with Recording(records) as recording:
        play(frames_from(recording, start), sys.stdout, pace, colour=colour)


def frames_from(recording: Recording, start: str) -> Iterator[Frame]:
    """The header, and the frames from where it was asked to begin. Raises `UsageError`."""
    from dbgate.audit.frames import Frame
    from dbgate.audit.replay.starting import first_cue

    first = first_cue(recording, start)
    if first > 0 and recording.cues[0].role == "header":
        yield Frame(recording.cues[first].at_s, "header", recording.text(0))
    yield from recording.frames(max(first, 0))


def exported(archive: Archive, place: Place, form: Exports, records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The export, piece by piece."""
    from dbgate.audit.export import as_json, cast, sql
    from dbgate.audit.page import page

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


class Told:
    """The records of a session, once. Says on stderr, as soon as it is known, when the transcript does not hold together."""

    def __init__(self, records: Iterable[dict[str, Any]], place: Place, *, is_pinned: bool) -> None:
        """With `is_pinned`, a transcript that the given keys did not seal does not hold."""
        self._records = records
        self._place = place
        self._is_pinned = is_pinned
        self._held: list[str] | None = None
        self.exit_code = EXIT_OK
        """Once all records were taken: 0, or 1 when the transcript does not hold together."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        from dbgate.audit.checked import DAMAGED, VERDICT

        for record in self._records:
            if record["kind"] == DAMAGED:
                self._say("was altered", record)
            elif record["kind"] == VERDICT and record["holds"] is False:
                self._say("is not whole", record)
            elif record["kind"] == VERDICT and record["holds"] is None and self._is_pinned:
                self._say("is not proven", record)
            yield record

    def hold(self) -> None:
        """Say nothing until `tell`: the screen is in use."""
        self._held = []

    def tell(self) -> None:
        """Say what was held back."""
        for line in self._held or ():
            print(line, file=sys.stderr)
        self._held = None

    def _say(self, what: str, record: dict[str, Any]) -> None:
        if self.exit_code == EXIT_OK:
            self.exit_code = EXIT_STATEMENT
            notice = f"notice: this transcript {what}: {printable(str(record['text']))}"
            said = [notice, f"hint: dbgate audit verify --session {self._place.session}"]
            if self._held is None:
                print("\n".join(said), file=sys.stderr)
            else:
                self._held += said
