"""The configuration file, the environment and the defaults, in their order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbgate.config import find_target, load_settings
from dbgate.config.reading import read_settings
from dbgate.errors import EXIT_USAGE, DocumentError, UsageError
from dbgate.model import PasswordSource
from dbgate.settings import IdentitySettings, Settings

WHOLE = """\
policy_dir: rules
identity:
  provider: oidc
  issuer: https://login.example.com/tenant/v2.0
  client_id: "7"
  scopes: [openid, email]
  ca_file: ca.pem
  token_store: file
approvals:
  url: https://approvals.example.com
  public_key: /keys/approvals.pem
audit:
  bucket: s3://corp-dbgate-audit?region=eu-central-1
  key_store: file
  output_limit: 2MiB
targets:
  prod-payroll:
    engine: postgres
    dsn: postgresql://payroll_app@db.internal/payroll?sslmode=verify-full
    password: keyring
    environment: production
    policy: payroll.yaml
  second:
    engine: postgres
    dsn: host=/run/pg dbname=x
    password: {command: [vault, read, -field=pw, db]}
  third: {engine: postgres, dsn: "postgresql://h/d", password: {env: PGPASS_3}, policy: /abs/p.yaml}
"""


def read(text: str) -> Settings:
    return read_settings(text, Path("/etc/dbgate/config.yaml"), Path("/state"))


def error_of(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value


def target(lines: str) -> str:
    return "targets:\n  prod:\n    engine: postgres\n    dsn: postgresql://h/d\n" + "".join(
        f"    {line}\n" for line in lines.splitlines()
    )


def test_every_key_finds_its_field() -> None:
    settings = read(WHOLE)
    assert settings.identity == IdentitySettings(
        provider="oidc",
        issuer="https://login.example.com/tenant/v2.0",
        client_id="7",
        scopes=("openid", "email"),
        ca_file="/etc/dbgate/ca.pem",
        token_store="file",
    )
    assert (settings.approvals.url, settings.approvals.public_key) == (
        "https://approvals.example.com",
        "/keys/approvals.pem",
    )
    assert settings.audit.bucket == "s3://corp-dbgate-audit?region=eu-central-1"
    assert (settings.audit.key_store, settings.audit.output_limit_bytes) == ("file", 2 * 1024 * 1024)
    assert list(settings.targets) == ["prod-payroll", "second", "third"]
    payroll = settings.targets["prod-payroll"]
    assert payroll.password == PasswordSource("keyring")
    assert (payroll.environment, payroll.policy) == ("production", "/etc/dbgate/rules/payroll.yaml")
    assert settings.targets["second"].password == PasswordSource(
        "command", command=("vault", "read", "-field=pw", "db")
    )
    assert settings.targets["second"].policy == ""
    assert settings.targets["third"].password == PasswordSource("env", env="PGPASS_3")
    assert settings.targets["third"].policy == "/abs/p.yaml"


def test_policies_stand_beside_the_configuration_without_policy_dir() -> None:
    assert read(target("policy: p.yaml")).targets["prod"].policy == "/etc/dbgate/p.yaml"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("identiy:\n  provider: local\n", 1, "unknown key: identiy", "did you mean identity?"),
        ("identity:\n  provider: oicd\n", 2, "provider: there is no oicd", "did you mean oidc?"),
        ("identity:\n  provider: oidc\n  issuer: https://x/y\n", 2, "the key client_id is missing", "add client_id"),
        (
            "identity:\n  provider: oidc\n  issuer: https://x/y\n  client_id: a\n  groups: [dba]\n",
            5,
            "groups does not go with provider: oidc",
            "local",
        ),
        ("identity:\n  provider: local\n  issuer: https://x/y\n", 3, "issuer does not go with provider: local", "oidc"),
        ("identity:\n  provider: local\n  groups: []\n", 3, "groups: the list is empty", "leave the key out"),
        ("identity:\n  provider: local\n  groups: [no]\n", 3, "groups: expected text, found no", 'quote it: "no"'),
        ("identity:\n  provider: local\n  group: [dba]\n", 3, "unknown key in identity: group", "groups"),
        ("audit:\n  bucket: /var/lib/audit\n", 2, "the bucket /var/lib/audit is not a URL", "file:///"),
        ("audit:\n  bucket: s4://x\n", 2, "there is no kind of bucket s4://", "s3"),
        ("approvals:\n  url: approvals.example.com\n", 2, "approvals.example.com is not a URL", "https://"),
        (target("pasword: keyring"), 5, "unknown key in prod: pasword", "did you mean password?"),
        (target("password: {}"), 5, "password: the mapping is empty", ""),
        (target("password: {env: A, command: [b]}"), 5, "exactly one of env and command", ""),
        (target("password: {command: [5]}"), 5, "command: expected text, found 5", "quote"),
        ("targets:\n  prod: {engine: postgre, dsn: x}\n", 2, "engine: there is no postgre", "did you mean postgres?"),
        ("targets:\n  prod: {engine: postgres}\n", 2, "prod: the key dsn is missing", "add dsn"),
        ("targets:\n  a/b: {engine: postgres, dsn: x}\n", 2, "a/b cannot be the name of a target", "letters"),
        ("targets:\n  ..: {engine: postgres, dsn: x}\n", 2, ".. cannot be the name of a target", "letters"),
        ("targets:\n  prod:\n", 2, "prod: nothing stands behind the key", ""),
        ("targets: [prod]\n", 1, "targets: expected a mapping", ""),
        ("targets:\n", 1, "targets: nothing stands behind the key", "leave it out"),
    ],
)
def test_mistakes_are_named_with_line_and_way_out(text: str, line: int, message: str, hint: str) -> None:
    error = error_of(text)
    assert error.line == line
    assert message in error.message
    assert error.message.startswith(f"/etc/dbgate/config.yaml:{line}: ")
    assert hint in error.hint


@pytest.mark.parametrize("lines", ["password: hunter22", "password: {env: hunter 22}", "password: [hunter22]"])
def test_what_may_be_a_password_is_not_shown(lines: str) -> None:
    error = error_of(target(lines))
    assert "hunter" not in error.message + error.hint


def test_files_and_environment_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DBGATE_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load_settings()
    assert settings.file is None
    assert settings.identity == IdentitySettings()
    assert not settings.targets
    assert settings.state_dir.is_relative_to(tmp_path)
    assert settings.audit.bucket == (settings.state_dir / "bucket").as_uri()
    assert not settings.state_dir.exists()

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "conf"))
    own = tmp_path / "conf" / "dbgate" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(target(""))
    assert load_settings().file == own

    named = tmp_path / "named.yaml"
    named.write_text("audit: {bucket: s3://named}\napprovals: {url: http://127.0.0.1:1}\n")
    monkeypatch.setenv("DBGATE_CONFIG", str(named))
    assert load_settings().audit.bucket == "s3://named"
    assert load_settings(own).file == own

    monkeypatch.setenv("DBGATE_BUCKET", "gs://other")
    monkeypatch.setenv("DBGATE_APPROVALS_URL", "https://elsewhere.example.com")
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "st"))
    changed = load_settings()
    assert (changed.audit.bucket, changed.approvals.url) == ("gs://other", "https://elsewhere.example.com")
    assert changed.state_dir == tmp_path / "st"

    monkeypatch.setenv("DBGATE_BUCKET", "other")
    with pytest.raises(UsageError, match="not a URL"):
        load_settings()


def test_a_named_file_has_to_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBGATE_CONFIG", str(tmp_path / "gone.yaml"))
    with pytest.raises(UsageError, match=r"no configuration file .*gone\.yaml") as caught:
        load_settings()
    assert "DBGATE_CONFIG" in caught.value.hint
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_a_dangling_link_is_no_missing_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configuration that is meant to be there must not silently become the defaults."""
    monkeypatch.delenv("DBGATE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "dbgate").mkdir()
    (tmp_path / "dbgate" / "config.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(UsageError, match="cannot be read"):
        load_settings()


def test_targets_are_found_by_name() -> None:
    settings = read(WHOLE)
    assert find_target(settings, "second").name == "second"
    with pytest.raises(UsageError, match="no such target: prod-payrol") as caught:
        find_target(settings, "prod-payrol")
    assert caught.value.hint == "did you mean prod-payroll?"
    with pytest.raises(UsageError) as caught:
        find_target(read("identity: {provider: local}\n"), "x")
    assert "/etc/dbgate/config.yaml has no targets" in caught.value.hint
