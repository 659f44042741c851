"""What `dbgate serve` puts together: the store and the key of grants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.errors import UsageError

if TYPE_CHECKING:
    import typer

    from dbgate.approvals.grants import GrantSigner
    from dbgate.approvals.store import Store
    from dbgate.cli.serve_ledger import TranscriptLedger
    from dbgate.settings import Settings


@contextmanager
def open_state(
    settings: Settings, database: str, grant_key: Path | None, *, is_new_key: bool
) -> Iterator[tuple[Store, GrantSigner]]:
    """The store, and the key that all instances on it sign with. `grant_key` is its file, None for the usual one."""
    from dbgate.approvals import keys, signing
    from dbgate.approvals.databases import open_store
    from dbgate.approvals.grants import GrantSigner

    folder = settings.state_dir / "approvals"
    signer = GrantSigner(keys.load_or_create(grant_key or folder / "grants.key"))
    store = open_store(database, folder / "approvals.db")
    try:
        signing.agree(store, signer, datetime.now(UTC), is_new=is_new_key)
        yield store, signer
    finally:
        store.close()


def open_ledger(settings: Settings, database: str, every: str) -> TranscriptLedger:
    """The transcript of what the service decides. `every` is a duration as people write it."""
    from dbgate.cli.durations import parse_duration
    from dbgate.cli.serve_ledger import TranscriptLedger

    every_s = parse_duration(every)
    if every_s < 1:
        raise UsageError("--audit-every is less than a second", hint="an hour does well: 1h")
    backend = "postgresql" if database.startswith("postgres") else "sqlite"
    return TranscriptLedger(settings, backend=backend, every_s=every_s)


def read_token(file: Path | None) -> str:
    """The token in a file, without the space around it; empty without a file. Raises `UsageError`."""
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"cannot read {file}: {error}", hint="--metrics-token names a file with the token") from error
    if not token:
        raise UsageError(f"{file} is empty", hint="put a long random text into it")
    return token


def refuse_shown_password(context: typer.Context, database: str) -> None:
    """Raise `UsageError` for a password among the arguments, where every user of the machine can read it."""
    from dbgate.approvals.databases import holds_password

    source = context.get_parameter_source("database")
    if source is not None and source.name == "COMMANDLINE" and holds_password(database):
        raise UsageError(
            "a password on the command line can be read by everybody on this machine",
            hint="leave it out and use PGPASSFILE or PGPASSWORD, or put the whole URL into DBGATE_SERVE_DATABASE",
        )
