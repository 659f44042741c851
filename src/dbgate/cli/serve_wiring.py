"""What `dbgate serve` puts together: the store and the key of grants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.errors import UsageError
from dbgate.settings import MAIN

if TYPE_CHECKING:
    import typer

    from dbgate.approvals.grants import GrantSigner
    from dbgate.approvals.oidc import OidcVerifier
    from dbgate.approvals.store import Store
    from dbgate.cli.serve_ledger import TranscriptLedger
    from dbgate.settings import IdentitySettings, Settings


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


def issuers_of(settings: Settings, issuer: str) -> list[IdentitySettings]:
    """Whose tokens count: those of `issuer` (a URL, or a name of the configuration) alone, else all that are configured.

    Raises `UsageError` when there is none.
    """
    from msgspec.structs import replace

    from dbgate.config import everyone

    known = [one.identity for one in everyone(settings) if one.identity.provider == "oidc"]
    if not issuer and known:
        return known
    if not issuer:
        raise UsageError(
            "no issuer is named whose tokens to accept",
            hint="add --issuer URL --audience ID, or --local to try it on this machine alone",
        )
    named = [one for one in known if issuer == one.issuer or (settings.issuers and issuer == (one.name or MAIN))]
    return named or [replace(settings.identity, issuer=issuer, client_id="", audience="", name="", others=())]


def verifier_of(
    identity: IdentitySettings,
    clock: Callable[[], datetime],
    audiences: Sequence[str] = (),
    clients: Sequence[str] = (),
    ca_file: str = "",
) -> OidcVerifier:
    """Who checks the tokens of an issuer: as the configuration describes it, where nothing else is said."""
    from dbgate.approvals.oidc import OidcVerifier

    return OidcVerifier(
        identity.issuer,
        audiences or [name for name in (identity.client_id, identity.audience) if name],
        clock=clock,
        ca_file=ca_file or identity.ca_file,
        groups_claim=identity.groups_claim,
        actor_claim=identity.actor_claim,
        clients=clients,
        name=identity.name,
        others=identity.others,
    )


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
