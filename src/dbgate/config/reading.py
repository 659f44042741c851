"""From the text of a configuration file to `Settings`."""

from __future__ import annotations

import re
from pathlib import Path

from dbgate.config.urls import check_bucket, check_service
from dbgate.document import Reader, Value, parse_document
from dbgate.model import Actor, PasswordSource, Target
from dbgate.settings import ApprovalsSettings, AuditSettings, IdentitySettings, Settings

ENGINES = ("postgres",)
STORES = ("keyring", "file")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOCAL_ONLY = ("groups", "email", "user", "actor")
_OIDC_ONLY = (
    "issuer client_id scopes audience client_secret_env groups_claim actor_claim redirect_uri prompt resource "
    "workload_token_file account private_key_file private_key_id certificate_file assertion_audience"
).split()


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
            account=reader.text("account", ""),
            private_key_file=_optional_path(reader, "private_key_file", base),
            private_key_id=reader.text("private_key_id", ""),
            certificate_file=_optional_path(reader, "certificate_file", base),
            assertion_audience=reader.text("assertion_audience", ""),
        )


def _approvals(value: Value, base: Path) -> ApprovalsSettings:
    with value.mapping() as reader:
        url = reader.required("url")
        check_service(url.text(), url.error)
        return ApprovalsSettings(
            url=url.text(),
            ca_file=_optional_path(reader, "ca_file", base),
            public_key=_optional_path(reader, "public_key", base),
        )


def _audit(value: Value) -> AuditSettings:
    with value.mapping() as reader:
        bucket = reader.value("bucket")
        if bucket is not None:
            check_bucket(bucket.text(), bucket.error)
        return AuditSettings(
            bucket=bucket.text() if bucket else "",
            key_store=reader.choice("key_store", STORES, ""),
            output_limit_bytes=reader.size("output_limit", AuditSettings().output_limit_bytes),
            auditors=reader.texts("auditors", ()),
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
