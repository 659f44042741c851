"""From the text of a configuration file to `Settings`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dbgate.config.issuers import side_by_side
from dbgate.config.urls import check_bucket, check_service
from dbgate.document import Reader, Value, parse_document
from dbgate.model import Actor, PasswordSource, Target
from dbgate.settings import MAIN, ApprovalsSettings, AuditSettings, IdentitySettings, Settings

ENGINES = ("postgres",)
STORES = ("keyring", "file")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ISSUER_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
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
        issuers = _identity(identity, base) if identity else {MAIN: IdentitySettings()}
        return Settings(
            file=file,
            state_dir=state,
            identity=issuers[MAIN],
            approvals=_approvals(approvals, base) if approvals else ApprovalsSettings(),
            audit=_audit(audit) if audit else AuditSettings(),
            targets=_targets(targets, policies, tuple(issuers)) if targets else {},
            issuers=issuers if len(issuers) > 1 else {},
        )


def _identity(value: Value, base: Path) -> dict[str, IdentitySettings]:
    """The main issuer, or the local user, under `MAIN`; then the named issuers."""
    known = IdentitySettings()
    with value.mapping() as reader:
        provider = reader.choice("provider", ("oidc", "local"), known.provider)
        for key in _LOCAL_ONLY if provider == "oidc" else (*_OIDC_ONLY, "issuers"):
            stray = reader.value(key)
            if stray is not None:
                other = "local" if provider == "oidc" else "oidc"
                raise stray.error(f"{key} does not go with provider: {provider}", f"it belongs to provider: {other}")
        store = reader.choice("token_store", STORES, known.token_store)
        if provider == "oidc":
            named = reader.value("issuers")
            return side_by_side(_oidc(reader, base, store), _named(named, base, store) if named else {})
        local = IdentitySettings(
            provider=provider,
            token_store=store,
            groups_claim=reader.text("groups_claim", known.groups_claim),
            ca_file=_optional_path(reader, "ca_file", base),
            groups=reader.texts("groups", ()),
            email=reader.text("email", ""),
            user=reader.text("user", ""),
            actor=reader.choice("actor", [str(actor) for actor in Actor], known.actor),
        )
        return {MAIN: local}


def _oidc(reader: Reader, base: Path, store: str, name: str = "") -> IdentitySettings:
    """One issuer, and what dbgate is there. A named one sends the browser back to a path of its own."""
    known = IdentitySettings()
    return IdentitySettings(
        provider="oidc",
        name=name,
        token_store=store,
        issuer=reader.text("issuer"),
        client_id=reader.text("client_id"),
        scopes=reader.texts("scopes", ()),
        audience=reader.text("audience", ""),
        client_secret_env=_variable(reader, "client_secret_env"),
        groups_claim=reader.text("groups_claim", known.groups_claim),
        ca_file=_optional_path(reader, "ca_file", base),
        actor_claim=reader.text("actor_claim", ""),
        redirect_uri=reader.text("redirect_uri", f"{known.redirect_uri}/{name}" if name else known.redirect_uri),
        prompt=reader.text("prompt", ""),
        resource=reader.text("resource", ""),
        workload_token_file=_optional_path(reader, "workload_token_file", base),
        account=reader.text("account", ""),
        private_key_file=_optional_path(reader, "private_key_file", base),
        private_key_id=reader.text("private_key_id", ""),
        certificate_file=_optional_path(reader, "certificate_file", base),
        assertion_audience=reader.text("assertion_audience", ""),
    )


def _named(value: Value, base: Path, store: str) -> dict[str, tuple[Value, IdentitySettings]]:
    """The issuers beside the main one, by name, each with where it stands."""
    issuers = value.mapping()
    found = {}
    for name in issuers.keys():  # noqa: SIM118 (a Reader is no dict)
        place = issuers.required(name)
        if not _ISSUER_NAME.fullmatch(name) or name == MAIN:
            raise place.error(f"{name} cannot be the name of an issuer", f"small letters, digits and -, not {MAIN}")
        with place.mapping() as reader:
            found[name] = place, _oidc(reader, base, store, name)
    return found


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


def _targets(value: Value, policies: Path, issuers: Sequence[str]) -> dict[str, Target]:
    reader = value.mapping()
    return {name: _target(name, reader, policies, issuers) for name in reader.keys()}  # noqa: SIM118 (a Reader is no dict)


def _target(name: str, targets: Reader, policies: Path, issuers: Sequence[str]) -> Target:
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
            issuer="" if (issuer := reader.choice("issuer", issuers, MAIN)) == MAIN else issuer,
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
