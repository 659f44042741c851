"""From the configuration file and the environment to `Settings`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dbgate.config.places import config_file, state_dir
from dbgate.document import Reader, Value, decode, parse_document
from dbgate.errors import DbgateError, UsageError
from dbgate.model import Actor, PasswordSource, Target
from dbgate.settings import ApprovalsSettings, AuditSettings, IdentitySettings, Settings
from dbgate.text import suggest

ENGINES = ("postgres",)
SCHEMES = ("file", "s3", "gs", "az")
STORES = ("keyring", "file")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOCAL_ONLY = ("groups", "email", "user", "actor")
_OIDC_ONLY = (
    "issuer client_id scopes audience client_secret_env groups_claim actor_claim redirect_uri prompt resource "
    "workload_token_file"
).split()


def load_settings(file: Path | None = None) -> Settings:
    """The whole configuration: file, environment, defaults, in this order of weakness.

    `file`, else `DBGATE_CONFIG`, else the user's own configuration file, else built-in defaults: the local
    user, transcripts in the state directory, no targets. `DBGATE_STATE_DIR`, `DBGATE_BUCKET` and
    `DBGATE_APPROVALS_URL` go before what the file says. Raises `DocumentError`, `UsageError`.
    """
    place = config_file(file)
    state = state_dir()
    settings = Settings(file=None, state_dir=state)
    if place is not None:
        settings = read_settings(read_text(place), place, state)
    return _with_environment(settings)


def read_text(file: Path) -> str:
    """The text of a configuration or policy file. Raises `DocumentError`, `UsageError`."""
    try:
        return decode(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None


def read_settings(text: str, file: Path, state: Path) -> Settings:
    """The settings that a configuration file's text holds. Relative paths start at the file's directory."""
    with parse_document(text, str(file)).mapping() as top:
        base = file.parent
        policy_value = top.value("policy_dir")
        policies = _path(policy_value, base) if policy_value else base
        identity, approvals, audit = top.value("identity"), top.value("approvals"), top.value("audit")
        targets = top.value("targets")
        top.finish()
        return Settings(
            file=file,
            state_dir=state,
            identity=_identity(identity, base) if identity else IdentitySettings(),
            approvals=_approvals(approvals, base) if approvals else ApprovalsSettings(),
            audit=_audit(audit) if audit else AuditSettings(),
            targets=_targets(targets, policies) if targets else {},
        )


def find_target(settings: Settings, name: str) -> Target:
    """The target of that name. Raises `UsageError` with the nearest one."""
    target = settings.targets.get(name)
    if target is not None:
        return target
    if settings.targets:
        raise UsageError(f"no such target: {name}", hint=suggest(name, settings.targets))
    if settings.file is not None:
        raise UsageError(f"no such target: {name}", hint=f"{settings.file} has no targets: add one under targets:")
    from dbgate.config.places import default_config_file

    raise UsageError(
        f"no such target: {name}", hint=f"there is no configuration file: describe targets in {default_config_file()}"
    )


def _with_environment(settings: Settings) -> Settings:
    """The settings with what the environment says, and the bucket's default."""
    bucket = os.environ.get("DBGATE_BUCKET", "")
    if bucket:
        _check_bucket(bucket, _usage)
    bucket = bucket or settings.audit.bucket or (settings.state_dir / "bucket").as_uri()
    url = os.environ.get("DBGATE_APPROVALS_URL", "")
    if url:
        _check_url(url, _usage)
    return replace(
        settings,
        audit=replace(settings.audit, bucket=bucket),
        approvals=replace(settings.approvals, url=url or settings.approvals.url),
    )


def _identity(value: Value, base: Path) -> IdentitySettings:
    known = IdentitySettings()
    with value.mapping() as reader:
        provider = reader.choice("provider", ("oidc", "local"), known.provider)
        for key in _LOCAL_ONLY if provider == "oidc" else _OIDC_ONLY:
            stray = reader.value(key)
            if stray is not None:
                other = "local" if provider == "oidc" else "oidc"
                raise stray.error(f"{key} does not go with provider: {provider}", f"it belongs to provider: {other}")
        oidc = provider == "oidc"
        return IdentitySettings(
            provider=provider,
            issuer=reader.text("issuer") if oidc else "",
            client_id=reader.text("client_id") if oidc else "",
            scopes=reader.texts("scopes", ()),
            audience=reader.text("audience", ""),
            token_store=reader.choice("token_store", STORES, known.token_store),
            client_secret_env=_variable(reader, "client_secret_env"),
            groups_claim=reader.text("groups_claim", known.groups_claim),
            ca_file=_optional_path(reader, "ca_file", base),
            groups=reader.texts("groups", ()),
            email=reader.text("email", ""),
            user=reader.text("user", ""),
            actor=reader.choice("actor", [str(actor) for actor in Actor], known.actor),
            actor_claim=reader.text("actor_claim", ""),
            redirect_uri=reader.text("redirect_uri", known.redirect_uri),
            prompt=reader.text("prompt", ""),
            resource=reader.text("resource", ""),
            workload_token_file=_optional_path(reader, "workload_token_file", base),
        )


def _approvals(value: Value, base: Path) -> ApprovalsSettings:
    with value.mapping() as reader:
        url = reader.required("url")
        _check_url(url.text(), url.error)
        return ApprovalsSettings(
            url=url.text(),
            ca_file=_optional_path(reader, "ca_file", base),
            public_key=_optional_path(reader, "public_key", base),
        )


def _audit(value: Value) -> AuditSettings:
    with value.mapping() as reader:
        bucket = reader.value("bucket")
        if bucket is not None:
            _check_bucket(bucket.text(), bucket.error)
        return AuditSettings(
            bucket=bucket.text() if bucket else "",
            key_store=reader.choice("key_store", STORES, ""),
            output_limit_bytes=reader.size("output_limit", AuditSettings().output_limit_bytes),
        )


def _targets(value: Value, policies: Path) -> dict[str, Target]:
    reader = value.mapping()
    return {name: _target(name, reader, policies) for name in reader.keys()}  # noqa: SIM118 (a Reader is no dict)


def _target(name: str, targets: Reader, policies: Path) -> Target:
    value = targets.required(name)
    if not _NAME.fullmatch(name):
        raise value.error(f"{name} cannot be the name of a target", "use letters, digits, . _ - and at most 63 of them")
    with value.mapping() as reader:
        password, policy = reader.value("password"), reader.value("policy")
        return Target(
            name=name,
            engine=reader.choice("engine", ENGINES),
            dsn=reader.text("dsn"),
            password=_password(password) if password else PasswordSource(),
            environment=reader.text("environment", ""),
            policy=str(_path(policy, policies)) if policy else "",
        )


def _password(value: Value) -> PasswordSource:
    """`keyring`, `{env: NAME}` or `{command: [word, …]}`. Never a password itself."""
    if not value.is_mapping:
        if value.text() != "keyring":
            # The text may be a password: it is not shown.
            raise value.error(
                "password: expected keyring, {env: NAME} or {command: [word, …]}", "never a password itself"
            )
        return PasswordSource("keyring")
    with value.mapping() as reader:
        env, command = reader.value("env"), reader.value("command")
        reader.finish()
        if (env is None) == (command is None):
            raise value.error("password: expected exactly one of env and command")
        if command is not None:
            return PasswordSource("command", command=tuple(word.text() for word in command.values()))
        return PasswordSource("env", env=_variable(reader, "env"))


def _variable(reader: Reader, key: str) -> str:
    """The name of an environment variable; empty when the key is not there."""
    value = reader.value(key)
    if value is None:
        return ""
    if not _VARIABLE.fullmatch(value.text()):
        # The text may be a secret: it is not shown.
        raise value.error(f"{key}: expected the name of an environment variable", "letters, digits and _ only")
    return value.text()


def _path(value: Value, base: Path) -> Path:
    return (base / Path(value.text()).expanduser()).absolute()


def _optional_path(reader: Reader, key: str, base: Path) -> str:
    value = reader.value(key)
    return str(_path(value, base)) if value else ""


def _usage(message: str, hint: str) -> DbgateError:
    return UsageError(message, hint=hint)


def _check_bucket(url: str, error: Callable[[str, str], DbgateError]) -> None:
    scheme, found, _ = url.partition("://")
    if found and scheme in SCHEMES:
        return
    if not found:
        raise error(f"the bucket {url} is not a URL", "for example file:///var/lib/dbgate/audit or s3://name")
    raise error(f"there is no kind of bucket {scheme}://", suggest(scheme, SCHEMES))


def _check_url(url: str, error: Callable[[str, str], DbgateError]) -> None:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", url):
        raise error(f"{url} is not a URL of a web service", "for example https://approvals.example.com")
