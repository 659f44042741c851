"""`dbgate audit`: ship transcripts to the bucket, and verify what stands there."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.app import new_app
from dbgate.cli.columns import print_table
from dbgate.cli.sessions import Formats, load, open_for_reading
from dbgate.errors import EXIT_OK, EXIT_STATEMENT, DbgateError, UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.keys import PublicKey
    from dbgate.audit.note import Checkpoint
    from dbgate.audit.shipping import ShipReport
    from dbgate.audit.transcript import Verdict
    from dbgate.audit.verification import SessionVerdicts, VerifyReport
    from dbgate.settings import Settings

app = new_app(no_args_is_help=True)
APPS = {"audit": app}
SHIPPER_WAIT_S = 15.0
MAX_ROWS = 40


@app.callback()
def audit() -> None:
    """Verify, ship and read the audit bucket."""


@app.command("ship")
def ship_command(
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing, not even errors.")] = False,
) -> int:
    """Ship every finished session to the bucket now. Nothing leaves the spool before the bucket has it."""
    from dbgate.audit.shipping import ship

    try:
        settings = load()
        report = ship(settings.state_dir, settings.audit.bucket, settings.audit.key_store)
    except DbgateError as error:
        if quiet:
            return error.exit_code
        raise
    if not quiet:
        _tell_shipped(report)
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
    allow_unanchored: Annotated[bool, typer.Option("--allow-unanchored", help="Exit 0 without a log.")] = False,
    format: Annotated[Formats, typer.Option(help="How to print.")] = Formats.TABLE,  # noqa: A002
) -> int:
    """Verify transcripts: intact, complete, anchored. Exit 0 only when all three hold, else 1."""
    settings = load()
    keys = trusted_keys(settings, key or [])
    seen = known_checkpoints(settings, checkpoint or [], keys, own=not path and not key)
    report = examine(settings, path, session, keys, seen)
    if format is Formats.JSON:
        print(json.dumps(_as_json(report), indent=2))
    else:
        _print_report(report, keys)
    return _print_failures(report, allow_unanchored=allow_unanchored)


def examine(
    settings: Settings, path: str, session: str, keys: Sequence[PublicKey], seen: Sequence[Checkpoint]
) -> VerifyReport:
    """Verify what `path` names: nothing for the configured bucket, else a URL, a directory or a file."""
    from dbgate.audit import spool
    from dbgate.audit.bucket import open_bucket
    from dbgate.audit.sessions import Archive
    from dbgate.audit.verification import VerifyReport, counted, verify_bucket

    if path:
        alone = _single(path, keys)
        if alone is not None:
            return VerifyReport([alone])
        bucket = open_bucket(path if "://" in path else Path(path).absolute().as_uri())
        found = Archive(None, bucket).find(session).session if session else ""
        return verify_bucket(bucket, keys=keys, session=found, seen=seen)
    _await_shipper(settings.state_dir)
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
        report = verify_bucket(own_bucket, keys=keys, session=session, seen=seen, elsewhere=waiting)
    if waiting and not session:
        report.notes.append(f"{counted(len(waiting), 'session')} in the spool, not shipped yet: dbgate audit ship")
    return report


def trusted_keys(settings: Settings, files: Sequence[Path]) -> tuple[PublicKey, ...]:
    """The keys to trust: those named, or else this installation's own."""
    from dbgate.audit.keys import own_keys, read_public_keys

    keys = read_public_keys(files) if files else own_keys(settings.state_dir)
    if not keys:
        raise UsageError(
            "there is no key to verify with: this installation has none of its own",
            hint="name the public key that you trust, from a safe place: --key KEYID.pub",
        )
    return keys


def known_checkpoints(
    settings: Settings, files: Sequence[Path], keys: Sequence[PublicKey], *, own: bool
) -> list[Checkpoint]:
    """The checkpoints that logs must extend: those named, and the last that the own bucket acknowledged."""
    from dbgate.audit.log import InstallationLog
    from dbgate.audit.note import open_checkpoint

    notes: list[tuple[str, bytes]] = []
    try:
        notes += [(str(file), file.read_bytes()) for file in files]
        published = InstallationLog(settings.state_dir).published() if own else None
    except OSError as error:
        raise UsageError(f"cannot read the checkpoint {error.filename}: {error.strerror}") from None
    if published is not None:
        notes.append((str(InstallationLog(settings.state_dir).directory / "published"), published))
    found = []
    for name, note in notes:
        try:
            found.append(open_checkpoint(note, keys))
        except ValueError as error:
            raise UsageError(f"{name}: {error}", hint="name the key that signed it with --key") from None
    return found


def _single(path: str, keys: Sequence[PublicKey]) -> SessionVerdicts | None:
    """The verdicts of one session's folder or file, or None when `path` is a whole bucket."""
    from dbgate.audit.verification import verify_files

    place = Path(path)
    if "://" in path:
        return None
    if place.is_dir():
        return _verify_directory(place, keys) if any(place.glob("00000.jsonl*")) else None
    if not place.exists():
        raise UsageError(f"no such file or directory: {path}", hint="a bucket's URL has the form file:///… or s3://…")
    return verify_files(_named_session(place), [place], keys=keys, place=path)


def _verify_directory(directory: Path, keys: Sequence[PublicKey]) -> SessionVerdicts:
    from dbgate.audit.verification import verify_files

    files = sorted([*directory.glob("*.jsonl"), *directory.glob("*.zst"), *directory.glob("torn-*.bin")])
    return verify_files(directory.resolve().name, files, keys=keys, place=str(directory))


def _named_session(file: Path) -> str:
    """The session that a lone file says it belongs to: there is no folder to hold it to."""
    from dbgate.audit.layout import decompress
    from dbgate.audit.record import parse

    try:
        content = file.read_bytes()
        content = decompress(content) if file.suffix == ".zst" else content
        return str(parse(content.split(b"\n", 1)[0])["session"])
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        return file.stem


def _await_shipper(state_dir: Path) -> None:
    """Let a shipper of this installation finish: in the middle of its work nothing would fit."""
    from dbgate.audit import spool

    until = time.monotonic() + SHIPPER_WAIT_S
    while (state_dir / spool.SHIP_LOCK).exists() and time.monotonic() < until:
        lock = spool.try_lock(state_dir / spool.SHIP_LOCK)
        if lock is not None:
            os.close(lock)
            return
        time.sleep(0.05)


def _tell_shipped(report: ShipReport) -> None:
    from dbgate.audit.verification import counted

    if report.busy:
        print("notice: another shipper is at work", file=sys.stderr)
        return
    for name in report.recovered:
        print(f"notice: session {name} had died and was ended as crashed", file=sys.stderr)
    done = f"{counted(len(report.shipped), 'session')} shipped ({report.objects} objects, {report.size_bytes} bytes)"
    print(f"notice: {done}", file=sys.stderr)
    if report.waiting:
        print(f"notice: {counted(len(report.waiting), 'session')} still open", file=sys.stderr)
    for reason in report.refused.values():
        print(f"error: not shipped: {printable(reason)}", file=sys.stderr)
    if report.refused:
        print("hint: they stay in the spool; keep a copy, and run: dbgate audit verify --session ID", file=sys.stderr)


def _print_report(report: VerifyReport, keys: Sequence[PublicKey]) -> None:
    print(f"keys      {', '.join(key.id for key in keys)}")
    for log in report.logs:
        print(f"log       {printable(log.origin)}: {printable(str(log.verdict))}")
    failed = [item for item in report.sessions if not _all_hold(item)]
    passed = [item for item in report.sessions if _all_hold(item)]
    rows = [_row(item) for item in (failed + passed)[:MAX_ROWS]]
    if rows:
        print()
        headings = ("SESSION", "PERSON", "TARGET", ">RECORDS", "INTACT", "COMPLETE", "ANCHORED")
        print_table(headings, rows, elastic=("PERSON", "TARGET"))
    if len(report.sessions) > MAX_ROWS:
        print(f"… and {len(report.sessions) - MAX_ROWS} more")
    print()
    for name, verdict in (("intact", report.intact), ("complete", report.complete), ("anchored", report.anchored)):
        print(f"{name:<9} {_word(verdict):<3}  {printable(str(verdict))}")


def _print_failures(report: VerifyReport, *, allow_unanchored: bool) -> int:
    for note in report.notes:
        print(f"notice: {printable(note)}", file=sys.stderr)
    for item in report.sessions:
        for name in ("intact", "complete"):
            verdict: Verdict = getattr(item, name)
            if not verdict.holds:
                print(f"error: {item.session} is not {name}: {printable(str(verdict))}", file=sys.stderr)
    for verdict in report.strays:
        print(f"error: not intact: {printable(str(verdict))}", file=sys.stderr)
    for verdict in report.missing:
        print(f"error: not complete: session {printable(str(verdict))}", file=sys.stderr)
    if not report.anchored.holds and not allow_unanchored:
        print(f"error: not anchored: {printable(str(report.anchored))}", file=sys.stderr)
    if report.holds(allow_unanchored=allow_unanchored):
        return EXIT_OK
    if report.intact.holds and report.complete.holds:
        print("hint: --allow-unanchored accepts transcripts without a log", file=sys.stderr)
    else:
        print("hint: keep the bucket and the spool as they are; compare them with a backup", file=sys.stderr)
    return EXIT_STATEMENT


def _all_hold(item: SessionVerdicts) -> bool:
    return item.intact.holds and item.complete.holds and item.anchored.holds


def _row(item: SessionVerdicts) -> tuple[str, ...]:
    verdicts = (_word(item.intact), _word(item.complete), "yes" if item.anchored.holds else "no")
    return (item.session, item.person, item.target, str(item.records), *verdicts)


def _word(verdict: Verdict) -> str:
    return "yes" if verdict.holds else "NO"


def _as_json(report: VerifyReport) -> dict[str, Any]:
    def told(verdict: Verdict) -> dict[str, Any]:
        return {"holds": verdict.holds, "evidence": verdict.evidence, "place": verdict.place}

    return {
        "intact": told(report.intact),
        "complete": told(report.complete),
        "anchored": told(report.anchored),
        "sessions": [
            {
                "session": item.session,
                "place": item.place,
                "person": item.person,
                "target": item.target,
                "started_at": item.started_at,
                "records": item.records,
                "intact": told(item.intact),
                "complete": told(item.complete),
                "anchored": told(item.anchored),
            }
            for item in report.sessions
        ],
        "logs": [
            {"origin": log.origin, "size": log.size, "signer": log.signer, **told(log.verdict)} for log in report.logs
        ],
        "strays": [told(verdict) for verdict in report.strays],
        "missing": [told(verdict) for verdict in report.missing],
        "notes": report.notes,
    }
