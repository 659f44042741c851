"""Several issuers in one configuration: read whole, told apart, and chosen by targets and by people."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbgate.config import at_issuer, everyone, find_target, for_target, load_settings
from dbgate.config.reading import read_settings
from dbgate.errors import DocumentError, UsageError
from dbgate.settings import Settings

TWO = """\
identity:
  provider: oidc
  issuer: https://login.example.com/t
  client_id: dbgate
  token_store: file
  issuers:
    partner:
      issuer: https://id.partner.example/realms/p
      client_id: dbgate-p
      ca_file: partner.pem
      groups_claim: roles
targets:
  own: {engine: postgres, dsn: "postgresql://h/a"}
  shared: {engine: postgres, dsn: "postgresql://h/b", issuer: partner}
  named: {engine: postgres, dsn: "postgresql://h/c", issuer: main}
"""


def read(text: str) -> Settings:
    return read_settings(text, Path("/etc/dbgate/config.yaml"), Path("/state"))


def refused(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(text)
    return caught.value


def test_each_issuer_has_its_own_keys_and_one_store() -> None:
    settings = read(TWO)
    assert list(settings.issuers) == ["main", "partner"]
    main, partner = settings.issuers.values()
    assert settings.identity == main
    assert (main.name, main.others, main.redirect_uri) == ("", ("partner",), "http://127.0.0.1")
    assert (partner.name, partner.others, partner.redirect_uri) == ("partner", (), "http://127.0.0.1/partner")
    assert (partner.provider, partner.issuer, partner.client_id) == (
        "oidc",
        "https://id.partner.example/realms/p",
        "dbgate-p",
    )
    assert (partner.ca_file, partner.groups_claim, partner.token_store) == ("/etc/dbgate/partner.pem", "roles", "file")
    assert (main.ca_file, main.groups_claim) == ("", "groups")


def test_one_issuer_has_no_name() -> None:
    settings = read(TWO.partition("  issuers:")[0])
    assert settings.issuers == {}
    assert at_issuer(settings, "main") == settings
    assert at_issuer(settings, "https://login.example.com/t") == settings
    assert everyone(settings) == (settings,)


def test_a_target_takes_one_issuer() -> None:
    settings = read(TWO)
    at = {name: for_target(settings, find_target(settings, name)).identity.name for name in settings.targets}
    assert at == {"own": "", "shared": "partner", "named": ""}
    acting = at_issuer(settings, "partner")
    assert for_target(acting, find_target(acting, "own")).identity.name == ""
    assert [one.identity.name for one in everyone(acting)] == ["partner", ""]


@pytest.mark.parametrize("name", ["partner", "https://id.partner.example/realms/p"])
def test_an_issuer_is_chosen_by_name_or_url(name: str) -> None:
    assert at_issuer(read(TWO), name).identity.client_id == "dbgate-p"


def test_a_mistyped_issuer_is_an_error() -> None:
    with pytest.raises(UsageError, match="no such issuer: partnr") as caught:
        at_issuer(read(TWO), "partnr")
    assert caught.value.hint == "did you mean partner?"
    with pytest.raises(UsageError, match="no such issuer: partner"):
        at_issuer(read(TWO.partition("  issuers:")[0]), "partner")


def test_the_environment_chooses_issuer_and_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(TWO)
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DBGATE_ISSUER", "partner")
    monkeypatch.setenv("DBGATE_ACCOUNT", "ann@example.com")
    settings = load_settings(file)
    assert (settings.identity.name, settings.identity.account) == ("partner", "ann@example.com")
    assert for_target(settings, find_target(settings, "own")).identity.account == "ann@example.com"
    monkeypatch.setenv("DBGATE_ISSUER", "nobody")
    with pytest.raises(UsageError, match="no such issuer: nobody"):
        load_settings(file)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    partner:", "    main:", "main cannot be the name of an issuer"),
        ("    partner:", "    Partner:", "Partner cannot be the name of an issuer"),
        ("    partner:", "    part/ner:", "part/ner cannot be the name of an issuer"),
        ("https://id.partner.example/realms/p", "https://login.example.com/t", "partner is the same issuer as main"),
        (
            "https://id.partner.example/realms/p",
            "https://LOGIN.example.com:443/t/",
            "partner is the same issuer as main",
        ),
        ("      client_id: dbgate-p\n", "", "partner: the key client_id is missing"),
        ("ca_file: partner.pem", "token_store: keyring", "unknown key in partner: token_store"),
        ("ca_file: partner.pem", "groups: [dba]", "unknown key in partner: groups"),
        ("ca_file: partner.pem", "issuers: {x: {}}", "unknown key in partner: issuers"),
        ("ca_file: partner.pem", "redirect_uri: http://localhost", "send the browser back to the same path"),
        ("ca_file: partner.pem", "redirect_uri: http://127.0.0.1:99/", "send the browser back to the same path"),
        ("issuer: partner}", "issuer: partners}", "issuer: there is no partners"),
        ("provider: oidc", "provider: local", "issuer does not go with provider: local"),
    ],
)
def test_what_could_be_confused_is_refused(old: str, new: str, message: str) -> None:
    assert old in TWO
    assert message in refused(TWO.replace(old, new)).message


def test_a_service_needs_no_path_to_come_back_to() -> None:
    text = TWO.replace("ca_file: partner.pem", "client_secret_env: SECRET\n      redirect_uri: http://127.0.0.1")
    assert read(text).issuers["partner"].client_secret_env == "SECRET"


def test_a_local_user_has_no_issuers() -> None:
    text = "identity:\n  provider: local\n  issuers:\n    partner: {issuer: https://x.example/y, client_id: z}\n"
    assert "issuers does not go with provider: local" in refused(text).message
    assert "issuer: there is no p" in refused("targets:\n  a: {engine: postgres, dsn: x, issuer: p}\n").message
