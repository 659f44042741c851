"""The single checks of `dbgate doctor`. None of them makes or changes anything."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.errors import AuditUnavailable, DbgateError, UsageError
from dbgate.settings import MAIN

if TYPE_CHECKING:
    from dbgate.cli.findings import Findings
    from dbgate.gate.policy.model import Policy
    from dbgate.model import Identity, Target
    from dbgate.settings import Settings

FREE_BYTES = 100 * 1024 * 1024
"""Less free space than this under the state directory is worth a warning."""


def configuration(findings: Findings, settings: Settings) -> None:
    """The configuration file, and who else can change it."""
    from dbgate.config.places import default_config_file

    if settings.file is None:
        place = default_config_file()
        findings.warn("configuration", "there is no configuration file: built-in defaults hold", f"write {place}")
        return
    count = len(settings.targets)
    findings.ok("configuration", f"{settings.file}, {count} target{'' if count == 1 else 's'}")
    _private_enough(findings, "configuration", settings.file)


def _private_enough(findings: Findings, name: str, file: Path) -> None:
    mode = file.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        findings.warn(name, f"others can write {file}", f"chmod go-w {file}")


def identity(findings: Findings, settings: Settings) -> Identity | None:
    """Who acts now, at every issuer; the one at the main issuer is given back."""
    from dbgate.config import everyone

    found = [_acting(findings, one) for one in everyone(settings)]
    return found[0]


def _acting(findings: Findings, settings: Settings) -> Identity | None:
    from dbgate.identity import current_identity
    from dbgate.model import Assurance

    line = f"identity at {settings.identity.name or MAIN}" if settings.issuers else "identity"
    try:
        who = current_identity(settings)
    except DbgateError as error:
        findings.fail(line, error)
        return None
    groups = ", ".join(who.groups) or "none"
    if who.assurance is Assurance.LOCAL:
        text = f"{who.label}, unverified (provider: local); groups: {groups}"
        findings.ok(line, text, "set identity.provider: oidc to prove who acts")
    else:
        findings.ok(line, f"{who.label}, {who.actor}, from {who.issuer}; groups: {groups}")
    return who


def state(findings: Findings, settings: Settings) -> None:
    """The state directory: ours alone, writable, with room, and what waits in it."""
    from dbgate.audit import spool

    place = settings.state_dir
    if not place.exists():
        parent = next(p for p in place.parents if p.exists())
        if not os.access(parent, os.W_OK | os.X_OK):
            findings.fail("state", AuditUnavailable(f"{place} cannot be made", hint="set DBGATE_STATE_DIR"))
        else:
            findings.ok("state", f"{place}, which will be made when it is needed")
        return
    status = place.stat()
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        findings.fail(
            "state", AuditUnavailable(f"{place} is not a directory that you can write", hint="set DBGATE_STATE_DIR")
        )
        return
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        findings.warn("state", f"{place} is open to others", f"chmod 700 {place}, and own it")
    if shutil.disk_usage(place).free < FREE_BYTES:
        findings.warn("state", "less than 100 MiB are free: a full disk stops statements", f"make room at {place}")
    waiting = len(spool.spooled(place))
    text = f"; {waiting} session{' waits' if waiting == 1 else 's wait'} to be shipped" if waiting else ""
    findings.ok("state", f"{place}{text}", "dbgate audit ship" if waiting else "")


def signing_key(findings: Findings, settings: Settings) -> None:
    """The key that seals transcripts, or where it will be kept."""
    from dbgate.audit import keys

    with findings.looking("signing key"):
        store = settings.audit.key_store
        if (keys.keys_dir(settings.state_dir) / "current").exists():
            found = keys.load_key(settings.state_dir, store)
            findings.ok("signing key", f"{found.public.id}{f' ({store})' if store else ''}")
            return
        ring = None if store == "file" else keys.usable_keyring()
        if ring is None and store == "keyring":
            raise AuditUnavailable("there is no keyring that can be used", hint=keys.FILE_HINT)
        kept = "in the keyring" if ring is not None else "in a file of the state directory"
        findings.ok("signing key", f"none yet; the first session makes one, kept {kept}")


def bucket(findings: Findings, settings: Settings, *, offline: bool) -> None:
    """Whether transcripts can be shipped, and whether they can be taken away again."""
    url = settings.audit.bucket
    with findings.looking("bucket"):
        if url.startswith("file:"):
            _file_bucket(findings, url)
        elif offline:
            findings.ok("bucket", f"{url} (not looked at)")
        else:
            _object_store(findings, url)


def _object_store(findings: Findings, url: str) -> None:
    """Whether it can be read, and whether what was shipped last is kept from being deleted."""
    from datetime import UTC, datetime

    from dbgate.audit.bucket import open_bucket
    from dbgate.audit.retention import newest_segment, retention_of

    bucket = open_bucket(url)
    newest = newest_segment(bucket)
    text = f"{url} can be read; writing is tried when something is shipped"
    advice = "set a default retention with object lock on the bucket"
    if not newest:
        findings.ok("bucket", text, f"nothing was shipped yet; {advice}, which shows here then")
    elif not url.startswith("s3:"):
        findings.ok("bucket", text, "its retention cannot be seen from here: lock the bucket's retention policy")
    elif (kept := retention_of(bucket, newest)) is None:
        told = "or allow s3:GetObjectRetention if it has one"
        findings.warn("bucket", f"{url} can be read, but what is there can be deleted", f"{advice}, {told}")
    elif kept.until <= datetime.now(UTC):
        findings.warn("bucket", f"{url}: the retention of what was shipped last is over", "keep it for longer")
    else:
        hint = "" if kept.mode == "COMPLIANCE" else "who may bypass governance can delete: use COMPLIANCE for evidence"
        findings.ok("bucket", f"{url}, locked until {kept.until.date()} ({kept.mode})", hint)


def _file_bucket(findings: Findings, url: str) -> None:
    from urllib.parse import unquote, urlsplit

    place = Path(unquote(urlsplit(url).path))
    nearest = next(p for p in (place, *place.parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"{place} cannot be written", hint="make it writable, or set audit.bucket")
    later = "" if place.exists() else ", made when it is needed"
    hint = "a directory has no retention: whoever can write it can delete; use a bucket with object lock for evidence"
    findings.ok("bucket", f"{url}{later}", hint)


def policy(findings: Findings, target: Target) -> Policy | None:
    """Whether a target's policy can be read, and who else can change it."""
    from dbgate.config import is_builtin, load_policy

    name = f"policy of {target.name}"
    try:
        found = load_policy(target)
    except DbgateError as error:
        findings.fail(name, error)
        return None
    if not target.policy:
        hint = f"name one under targets: {target.name}: policy:"
        findings.warn(name, "none of its own: the built-in read-only.yaml holds", hint)
    elif not any(rule.effect != "deny" for rule in found.rules):
        findings.warn(name, f"no rule of {target.policy} allows anything", "add rules with effect: allow")
    else:
        findings.ok(name, f"{target.policy}, {len(found.rules)} rules")
    for file in map(Path, found.files):
        if not is_builtin(file):
            _private_enough(findings, name, file)
    return found


def approvals(findings: Findings, settings: Settings, who: Identity | None, policies: Iterable[Policy | None]) -> None:
    """Whether the approvals service answers, where some policy needs it."""
    url = settings.approvals.url
    if not url:
        if any(rule.effect == "approve" for found in policies if found for rule in found.rules):
            hint = "set approvals.url; `dbgate serve --local` runs a service on this machine"
            findings.warn("approvals", "no service is configured, but rules ask for approval", hint)
        return
    if who is None:
        findings.warn("approvals", f"{url} was not asked: nobody is signed in", "dbgate login")
        return
    from dbgate.cli.approvals_wiring import open_approvals

    with findings.looking("approvals"):
        client = open_approvals(settings, who)
        try:
            client.find(limit=1)
        finally:
            client.close()
        findings.ok("approvals", f"{url} answers")


def password(findings: Findings, target: Target) -> None:
    """Whether a target's password is where the configuration says, as far as that can be seen without asking for it."""
    name = f"password of {target.name}"
    source = target.password
    if source.kind == "env" and not os.environ.get(source.env):
        findings.fail(name, UsageError(f"the variable {source.env} is not set", hint=f"export {source.env}=…"))
    elif source.kind == "command" and shutil.which(source.command[0]) is None:
        findings.fail(name, UsageError(f"there is no command {source.command[0]}", hint="correct password: command:"))
    elif _in_dsn(target.dsn):
        hint = "use password: keyring, {env: NAME} or {command: […]}"
        findings.warn(name, "it stands in the configuration, in the DSN", hint)


def _in_dsn(dsn: str) -> bool:
    from urllib.parse import urlsplit

    if "://" in dsn:
        try:
            parts = urlsplit(dsn)
        except ValueError:
            return False
        return bool(parts.password) or "password=" in parts.query
    return "password=" in dsn.replace(" ", "")


def database(findings: Findings, target: Target, found: Policy | None) -> None:
    """Whether the database can be reached, and which globs of its policy match nothing in it."""
    from dbgate.config import is_builtin
    from dbgate.database import connect
    from dbgate.gate.policy.trial import idle_globs

    name = f"target {target.name}"
    with findings.looking(name):
        connection = connect(target)
        try:
            catalog = connection.catalog()
        finally:
            connection.close()
        version = f"{catalog.server_version // 10000}.{catalog.server_version % 10000}"
        findings.ok(name, f"PostgreSQL {version}, database {catalog.database}, role {catalog.role}")
        own = [file for file in (found.files if found else ()) if not is_builtin(Path(file))]
        for idle in idle_globs(found, catalog, own) if found else ():
            findings.warn(
                name, f"{idle.glob} matches nothing", f"correct or remove it: {idle.ref.file}:{idle.ref.line}"
            )
