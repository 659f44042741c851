"""The settings that hold now: the configuration file, then the environment; and a target by its name."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from dbgate.config.choosing import at_issuer
from dbgate.config.places import config_file, default_config_file, read_bytes, state_dir
from dbgate.config.urls import check_bucket, check_service
from dbgate.errors import UsageError
from dbgate.model import Target
from dbgate.settings import Settings
from dbgate.text import suggest


def load_settings(file: Path | None = None) -> Settings:
    """The whole configuration. The environment goes before the file, the file before the defaults.

    The file is `file`, else `DBGATE_CONFIG`, else the user's own; without one, built-in defaults hold: the local
    user, transcripts in the state directory, no targets. `DBGATE_STATE_DIR`, `DBGATE_BUCKET` and
    `DBGATE_APPROVALS_URL` are looked at, `DBGATE_ISSUER` and `DBGATE_ACCOUNT`. Raises `DocumentError`, `UsageError`.
    """
    place = config_file(file)
    state = state_dir()
    return _with_environment(Settings(file=None, state_dir=state) if place is None else _from_file(place, state))


def _from_file(file: Path, state: Path) -> Settings:
    from dbgate.config import cache

    known = cache.recall(state, file, Settings)
    if known is not None:
        return replace(known, state_dir=state)
    from dbgate.config.reading import read_settings
    from dbgate.document import decode

    content = read_bytes(file)
    settings = read_settings(decode(content, str(file)), file, state)
    cache.keep(state, file, settings, [(file, content)], [])
    return settings


def _with_environment(settings: Settings) -> Settings:
    """The settings with what the environment says, and the bucket's default."""
    bucket = os.environ.get("DBGATE_BUCKET", "")
    if bucket:
        check_bucket(bucket, _usage)
    bucket = bucket or settings.audit.bucket or (settings.state_dir / "bucket").as_uri()
    url = os.environ.get("DBGATE_APPROVALS_URL", "")
    if url:
        check_service(url, _usage)
    settings = _with_account(settings, os.environ.get("DBGATE_ACCOUNT", ""))
    return replace(
        at_issuer(settings, os.environ.get("DBGATE_ISSUER", "")),
        audit=replace(settings.audit, bucket=bucket),
        approvals=replace(settings.approvals, url=url or settings.approvals.url),
    )


def _with_account(settings: Settings, account: str) -> Settings:
    """The settings with `account` as the one that acts, at every issuer."""
    if not account:
        return settings
    issuers = {name: replace(issuer, account=account) for name, issuer in settings.issuers.items()}
    return replace(settings, identity=replace(settings.identity, account=account), issuers=issuers)


def _usage(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint)


def find_target(settings: Settings, name: str) -> Target:
    """The target of that name. Raises `UsageError` with the nearest one."""
    target = settings.targets.get(name)
    if target is not None:
        return target
    if settings.targets:
        raise UsageError(f"no such target: {name}", hint=suggest(name, settings.targets))
    if settings.file is not None:
        raise UsageError(f"no such target: {name}", hint=f"{settings.file} has no targets: add one under targets:")
    raise UsageError(
        f"no such target: {name}", hint=f"there is no configuration file: describe targets in {default_config_file()}"
    )
