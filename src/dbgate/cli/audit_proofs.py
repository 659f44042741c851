"""`dbgate audit prove` and `dbgate audit witness`: evidence for people who do not hold the bucket."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dbgate.cli.sessions import BucketOption, load, open_for_reading, open_named
from dbgate.errors import EXIT_OK, EXIT_STATEMENT, Unreachable, UsageError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.audit.bucket import Bucket
    from dbgate.audit.keys import PublicKey
    from dbgate.audit.note import Checkpoint
    from dbgate.audit.witness import Witnessed
    from dbgate.settings import Settings

Keys = Annotated[list[Path] | None, typer.Option("--key", metavar="FILE", help="Trust only this public key of a log.")]


def prove_command(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session, or the beginning of its id.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="A new folder for the evidence.")],
    bucket: BucketOption = "",
    key: Keys = None,
) -> int:
    """Write one session with proofs that the log holds it: enough to verify it offline, without the bucket."""
    from dbgate.audit.evidence import session_proofs, write_evidence
    from dbgate.audit.logcheck import keys_of_log
    from dbgate.audit.sessions import Archive
    from dbgate.audit.verification import counted

    settings = load()
    keys = trusted_keys(settings, key or [])
    source = _bucket(settings, bucket)
    archive = Archive(None, source)
    place = archive.find(session)
    names = sorted(name for name in source.names(place.folder) if name.rpartition("/")[0] == place.folder)
    start = next(archive.records(place))
    proofs = session_proofs(source, str(start.get("log", "")), place.session, keys)
    objects = ((name.rsplit("/", 1)[1], source.get(name) or b"") for name in names)
    signers = keys_of_log(source, str(start.get("log", "")), keys)
    signer = next(k for k in signers if k.id == proofs[0].verify(signers).signer)
    write_evidence(output, objects, proofs, signer)
    written = f"{counted(len(names), 'object')} and {counted(len(proofs), 'proof')}"
    print(f"notice: {written} of session {place.session}", file=sys.stderr)
    print(f"hint: dbgate audit verify {output} --key {signer.id}.pub, with the key from a safe place", file=sys.stderr)
    return EXIT_OK


def witness_command(
    bucket: BucketOption = "",
    key: Keys = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Write here what was cosigned, not into the bucket."),
    ] = None,
) -> int:
    """Cosign every log of a bucket that extends what this installation saw of it before. Refuse a log that does not.

    Run it regularly, on a machine that the bucket's owner does not control. Exit 1 when a log was refused.
    """
    from datetime import UTC, datetime

    from dbgate.audit.keys import load_key
    from dbgate.audit.verification import origins_of
    from dbgate.audit.witness import witness_log

    settings = load()
    keys = trusted_keys(settings, key or [])
    source = _bucket(settings, bucket)
    own = load_key(settings.state_dir, settings.audit.key_store)
    refused = 0
    for origin in origins_of(source):
        done = witness_log(source, origin, keys=keys, state_dir=settings.state_dir, key=own, at=datetime.now(UTC))
        if not done.note:
            refused += 1
            print(
                f"error: log {printable(origin)} was not cosigned: {printable(str(done.facts.verdict))}",
                file=sys.stderr,
            )
            continue
        _keep(source, origin, own.public, done, output)
        grown = (
            f"{done.before} leaves before, {done.facts.size} now"
            if done.before
            else f"{done.facts.size} leaves, seen first now"
        )
        print(f"log {printable(origin)}: cosigned, {grown}")
    print(f"notice: cosigned as witness {own.public.id}", file=sys.stderr)
    if refused:
        print("hint: keep a copy of the bucket as it is: the log was rolled back, forked or damaged", file=sys.stderr)
    return EXIT_STATEMENT if refused else EXIT_OK


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


def _keep(bucket: Bucket, origin: str, key: PublicKey, done: Witnessed, folder: Path | None) -> None:
    from dbgate.audit.witness import cosigned_path

    path = cosigned_path(origin, key.id, done.facts.size)
    if folder is None:
        bucket.put_new(path, done.note)
        return
    try:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(done.note)
    except OSError as error:
        raise UsageError(f"cannot write {error.filename}: {error.strerror}") from None


def _bucket(settings: Settings, path: str) -> Bucket:
    if path:
        return open_named(path)
    own = open_for_reading(settings)
    if own is None:
        raise Unreachable("nothing has been shipped to the bucket yet", hint="dbgate audit ship")
    return own
