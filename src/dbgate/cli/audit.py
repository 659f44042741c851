"""`dbgate audit`: ship transcripts to the bucket, and verify what stands there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli import audit_keys
from dbgate.cli.app import new_app
from dbgate.cli.audit_export import export_command
from dbgate.cli.audit_pack import report_command
from dbgate.cli.audit_progress import DEFAULT, Manner, verify
from dbgate.cli.audit_proofs import known_checkpoints, prove_command, trusted_keys, witness_command
from dbgate.cli.audit_report import print_failures, print_report, report_json, tell_shipped
from dbgate.cli.audit_search import search_command, usage_command
from dbgate.cli.durations import parse_duration
from dbgate.cli.sessions import Formats, load, open_for_reading, open_named
from dbgate.errors import EXIT_OK, EXIT_STATEMENT, DbgateError, UsageError

if TYPE_CHECKING:
    from dbgate.audit.keys import PublicKey
    from dbgate.audit.note import Checkpoint
    from dbgate.audit.verification import SessionVerdicts, VerifyReport
    from dbgate.settings import Settings

app = new_app(no_args_is_help=True)
app.add_typer(audit_keys.app, name="keys")
APPS = {"audit": app}


@app.callback()
def audit() -> None:
    """Verify, ship and read the audit bucket."""


@app.command("ship")
def ship_command(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing, not even errors.")] = False,
    heartbeat: Annotated[
        bool, typer.Option("--heartbeat", help="Sign into the log that nothing else has happened (for a timer).")
    ] = False,
) -> int:
    """Ship every finished session to the bucket now. Nothing leaves the spool before the bucket has it."""
    from dbgate.audit.shipping import ship

    try:
        settings = load()
        report = ship(settings.state_dir, settings.audit.bucket, settings.audit.key_store, heartbeat=heartbeat)
    except DbgateError as error:
        if quiet:
            return error.exit_code
        raise
    if not quiet:
        tell_shipped(report)
    return EXIT_STATEMENT if report.refused else EXIT_OK


@app.command("verify")
def verify_command(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A bucket's URL or directory, a session's folder, or one file.")
    ] = "",
    session: Annotated[str, typer.Option(metavar="SESSION", help="Only this session.")] = "",
    key: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Trust only this public key (may be repeated).")
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A checkpoint known from earlier.")
    ] = None,
    witness: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="The key of a witness who must have cosigned every log.")
    ] = None,
    max_silence: Annotated[
        str, typer.Option(metavar="DURATION", help="No log may have gained nothing for longer, up to now (e.g. 25h).")
    ] = "",
    allow_unanchored: Annotated[
        bool, typer.Option("--allow-unanchored", help="Exit 0 without a log, too; a log that is there has to hold.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", min=0, max=64, metavar="N", help="Processes; 0: as many as are worth it.")
    ] = 0,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="FILE", help="Remember here what was verified, and spare it the next time."),
    ] = None,
    format: Annotated[Formats, typer.Option(help="How to print.")] = Formats.TABLE,  # noqa: A002
) -> int:
    """Verify transcripts: intact, complete, anchored. Exit 0 only when all three hold, else 1."""
    from dbgate.audit.keys import read_public_keys
    from dbgate.audit.logcheck import refuse_silence

    settings = load()
    witnesses = read_public_keys(witness or [])
    keys = trusted_keys(settings, key or [])
    seen = known_checkpoints(settings, checkpoint or [], keys, own=not path and not key)
    manner = Manner(jobs, resume, pinned=bool(key) and not session)
    report = examine(settings, path, session, keys, seen, witnesses, manner)
    if max_silence:
        refuse_silence(report.logs, parse_duration(max_silence), datetime.now(UTC))
    if format is Formats.JSON:
        print(json.dumps(report_json(report), indent=2))
    else:
        print_report(report, keys)
    return print_failures(report, allow_unanchored=allow_unanchored)


def examine(
    settings: Settings,
    path: str,
    session: str,
    keys: Sequence[PublicKey],
    seen: Sequence[Checkpoint],
    witnesses: Sequence[PublicKey] = (),
    manner: Manner = DEFAULT,
) -> VerifyReport:
    """Verify what `path` names: nothing for the configured bucket, else a URL, a directory or a file."""
    from dbgate.audit import spool
    from dbgate.audit.background import let_shipper_finish
    from dbgate.audit.sessions import Archive
    from dbgate.audit.verification import VerifyReport, counted

    if path:
        alone = _single(path, keys)
        if alone is not None:
            return VerifyReport([alone])
        bucket = open_named(path)
        found = Archive(None, bucket).find(session).session if session else ""
        report = verify(bucket, keys, manner, session=found, seen=seen, witnesses=witnesses)
        if not (report.sessions or report.logs or report.strays):
            raise UsageError(f"there is no transcript in {path}", hint="name a bucket, a session's folder, or one file")
        return report
    let_shipper_finish(settings.state_dir)
    waiting = spool.spooled(settings.state_dir)
    own_bucket = open_for_reading(settings)
    if session:
        place = Archive(settings.state_dir, own_bucket).find(session)
        if place.directory is not None:
            return VerifyReport([_verify_directory(place.directory, keys)])
        session = place.session
    if own_bucket is None:
        report = VerifyReport(notes=["nothing has been shipped to the bucket yet"])
    else:
        report = verify(own_bucket, keys, manner, session=session, seen=seen, elsewhere=waiting, witnesses=witnesses)
    if waiting and not session:
        report.notes.append(f"{counted(len(waiting), 'session')} in the spool, not shipped yet: dbgate audit ship")
    return report


def _single(path: str, keys: Sequence[PublicKey]) -> SessionVerdicts | None:
    """The verdicts of one session's folder or file, or None when `path` is a whole bucket."""
    from dbgate.audit.evidence import PROOFS
    from dbgate.audit.verification import verify_files

    place = Path(path)
    if "://" in path:
        return None
    if place.is_dir():
        alone = any(place.glob("00000.jsonl*")) or any(place.glob(PROOFS))
        return _verify_directory(place, keys) if alone else None
    if not place.exists():
        raise UsageError(f"no such file or directory: {path}", hint="a bucket's URL has the form file:///… or s3://…")
    return verify_files(_named_session(place), [place], keys=keys, place=path)


def _verify_directory(directory: Path, keys: Sequence[PublicKey]) -> SessionVerdicts:
    from dbgate.audit.evidence import PROOFS
    from dbgate.audit.verification import verify_files

    files = sorted([*directory.glob("*.jsonl"), *directory.glob("*.zst"), *directory.glob("torn-*.bin")])
    proofs = sorted(directory.glob(PROOFS))
    session = _named_session(files[0]) if proofs and files else directory.resolve().name
    return verify_files(session, files, keys=keys, place=str(directory), proofs=proofs)


def _named_session(file: Path) -> str:
    """The session that a lone file says it belongs to: there is no folder to hold it to."""
    from dbgate.audit.layout import decompress
    from dbgate.audit.record import parse

    try:
        content = file.read_bytes() if file.is_file() else b""
        content = decompress(content) if file.suffix == ".zst" else content
        return str(parse(content.split(b"\n", 1)[0])["session"])
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        return file.stem


# Commands of their own files; this one is the group's.
app.command("prove")(prove_command)
app.command("witness")(witness_command)
app.command("search")(search_command)
app.command("usage")(usage_command)
app.command("export")(export_command)
app.command("report")(report_command)
