"""Signing in at a real, certified OpenID provider: every flow, and what goes wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.oidc.memory_keyring import MemoryKeyring
from tests.oidc.provider import OidcProvider, oidc_provider

from dbgate.errors import SignInRequired, Unreachable, UsageError
from dbgate.identity import bearer_token, current_identity, sign_in, sign_out
from dbgate.model import Actor, Assurance, Identity
from dbgate.settings import IdentitySettings, Settings

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    with oidc_provider(tmp_path_factory.mktemp("oidc")) as provider:
        yield provider


@pytest.fixture
def settings(oidc: OidcProvider, tmp_path: Path) -> MakeSettings:
    """Settings for an issuer of the provider, all with the same state directory."""

    def make(issuer: str = "main", **changes: Any) -> Settings:
        fields: dict[str, Any] = {
            "provider": "oidc",
            "issuer": oidc.issuers.get(issuer, issuer),
            "client_id": "dbgate",
            "ca_file": str(oidc.ca_file),
            "token_store": "file",
            "prompt": "consent",
        }
        return Settings(file=None, state_dir=tmp_path / "state", identity=IdentitySettings(**(fields | changes)))

    return make


class Person:
    """Does in the browser what dbgate asks for, as `login`."""

    def __init__(self, oidc: OidcProvider, login: str) -> None:
        self.oidc = oidc
        self.login = login
        self.asked: list[str] = []

    def visit(self, url: str, *, opening: bool) -> None:
        self.asked.append(url)
        threading.Thread(target=self.oidc.browse, args=(url, self.login)).start()

    def enter_code(self, url: str, code: str, *, complete_url: str, expires_s: float) -> None:
        self.asked.append(complete_url)
        assert complete_url == f"{url}?user_code={code}"
        assert 500 < expires_s <= 600
        self.oidc.browse(complete_url, self.login)

    def waiting(self, left_s: float) -> None:
        raise AssertionError("the code was entered at once")


def as_person(settings: Settings, oidc: OidcProvider, login: str = "alice", *, device: bool = False) -> Identity:
    return sign_in(settings, device=device, browser=False, progress=Person(oidc, login))


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.state_dir.rglob("*")) if settings.state_dir.exists() else []


@pytest.mark.parametrize("device", [False, True], ids=["browser", "device"])
@pytest.mark.parametrize("issuer", ["main", "root"])
def test_a_person_signs_in_and_out(settings: MakeSettings, oidc: OidcProvider, issuer: str, device: bool) -> None:
    chosen = settings(issuer)
    found = as_person(chosen, oidc, device=device)
    assert (found.issuer, found.subject, found.email) == (oidc.issuers[issuer], "alice", "alice@example.com")
    assert (found.name, found.groups) == ("Alice Adams", ("engineering", "dba"))
    assert (found.actor, found.assurance) == (Actor.HUMAN, Assurance.OIDC)
    assert current_identity(chosen) == found
    shown = jwt.decode(bearer_token(chosen), options={"verify_signature": False})
    assert (shown["sub"], shown["aud"], shown["groups"]) == ("alice", "dbgate", ["engineering", "dba"])
    done = sign_out(chosen)
    assert (done.found, done.revoked) == (True, True)
    assert files(chosen) == []
    with pytest.raises(SignInRequired, match="nobody is signed in"):
        current_identity(chosen)


def test_what_is_kept_is_private(settings: MakeSettings, oidc: OidcProvider) -> None:
    chosen = settings()
    as_person(chosen, oidc)
    token = bearer_token(chosen)
    holding = [path for path in chosen.state_dir.rglob("*") if path.is_file() and token in path.read_text()]
    assert len(holding) == 1
    assert holding[0].stat().st_mode & 0o777 == 0o600
    assert holding[0].parent.stat().st_mode & 0o777 == 0o700


def test_a_token_that_ran_out_is_renewed_silently(settings: MakeSettings, oidc: OidcProvider) -> None:
    chosen = settings(client_id="dbgate-short")
    before = as_person(chosen, oidc)
    old = bearer_token(chosen)
    assert before.expires_at is not None
    run_out(before)
    after = current_identity(chosen)
    assert after.expires_at is not None
    assert after.expires_at > before.expires_at
    assert after.expires_at.timestamp() > time.time()
    assert (after.subject, after.groups, after.signed_in_at) == (before.subject, before.groups, before.signed_in_at)
    assert bearer_token(chosen) != old


def run_out(identity: Identity) -> None:
    """Wait until the token has expired."""
    assert identity.expires_at is not None
    time.sleep(max(0.0, identity.expires_at.timestamp() - time.time()) + 0.1)


def test_without_a_refresh_token_a_person_must_sign_in_again(settings: MakeSettings, oidc: OidcProvider) -> None:
    # This issuer gives a refresh token in the browser only after asking for consent.
    chosen = settings(client_id="dbgate-short", prompt="")
    run_out(as_person(chosen, oidc))
    with pytest.raises(SignInRequired, match="the issuer gave nothing to renew it with") as error:
        current_identity(chosen)
    assert error.value.hint.startswith("run: dbgate login\n")
    assert "identity.prompt: consent" in error.value.hint


def test_renewing_at_once_does_not_end_the_sign_in(settings: MakeSettings, oidc: OidcProvider) -> None:
    # The issuer rotates refresh tokens: the second use of one would end everything.
    chosen = settings(client_id="dbgate-short")
    as_person(chosen, oidc)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: current_identity(chosen).subject, range(8)))
    assert found == ["alice"] * 8
    assert current_identity(chosen).subject == "alice"


def test_a_rotated_refresh_token_is_kept_before_anything_else_can_fail(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbgate.identity.application import Application

    chosen = settings(client_id="dbgate-short")
    run_out(as_person(chosen, oidc))

    def fail(*_: object, **__: object) -> None:
        raise Unreachable("the keys cannot be fetched")

    with monkeypatch.context() as broken:
        broken.setattr(Application, "stored", fail)
        with pytest.raises(SignInRequired, match="the keys cannot be fetched"):
            current_identity(chosen)
    assert current_identity(chosen).subject == "alice"


def test_signing_out_ends_the_sign_in_at_the_issuer(settings: MakeSettings, oidc: OidcProvider, tmp_path: Path) -> None:
    chosen = settings(client_id="dbgate-short")
    found = as_person(chosen, oidc)
    shutil.copytree(chosen.state_dir, tmp_path / "stolen")
    assert sign_out(chosen).revoked is True
    shutil.copytree(tmp_path / "stolen", chosen.state_dir, dirs_exist_ok=True)
    run_out(found)
    for _ in range(2):
        with pytest.raises(SignInRequired, match="the issuer ended the sign-in: ") as error:
            current_identity(chosen)
        assert error.value.hint.startswith("run: dbgate login\n")


def test_issuers_on_one_host_do_not_mix(settings: MakeSettings, oidc: OidcProvider) -> None:
    people = {"main": "alice", "same-port": "bob", "same-path": "grace", "root": "bob"}
    for issuer, login in people.items():
        as_person(settings(issuer, client_id="dbgate-short"), oidc, login)
    for issuer, login in people.items():
        found = current_identity(settings(issuer, client_id="dbgate-short"))
        assert (found.issuer, found.subject) == (oidc.issuers[issuer], login)
    sign_out(settings("same-path", client_id="dbgate-short"))
    assert current_identity(settings("main", client_id="dbgate-short")).subject == "alice"
    with pytest.raises(SignInRequired, match="nobody is signed in"):
        current_identity(settings("same-path", client_id="dbgate-short"))


def test_signing_in_again_replaces_who_it_is(settings: MakeSettings, oidc: OidcProvider) -> None:
    as_person(settings(), oidc, "alice")
    as_person(settings(), oidc, "bob")
    assert current_identity(settings()).groups == ("data-owners",)


def test_an_agent_acts_for_a_person(settings: MakeSettings, oidc: OidcProvider) -> None:
    found = as_person(settings(), oidc, "grace")
    assert (found.subject, found.actor, found.on_behalf_of) == ("grace", Actor.AGENT, "grace@example.com")
    assert found.name == "report-bot for Grace Green"


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        ("mallory", "refused the sign-in: no such user"),
        ("erin", "the issuer left the groups out because there are too many"),
        ("frank", "'groups' is not a list of group names"),
    ],
)
def test_who_cannot_be_trusted_is_not_signed_in(
    settings: MakeSettings, oidc: OidcProvider, login: str, reason: str
) -> None:
    for device in (False, True) if login != "mallory" else (False,):
        with pytest.raises(SignInRequired, match=reason):
            as_person(settings(), oidc, login, device=device)
    assert not any(name.endswith(".json") for name in files(settings()))


def test_a_refused_sign_in_keeps_the_one_before(settings: MakeSettings, oidc: OidcProvider) -> None:
    as_person(settings(), oidc, "alice")
    with pytest.raises(SignInRequired):
        as_person(settings(), oidc, "erin")
    assert current_identity(settings()).subject == "alice"


def service(oidc: OidcProvider, **changes: Any) -> dict[str, Any]:
    return {
        "client_id": "dbgate-service",
        "client_secret_env": "TEST_SECRET",
        "audience": "urn:dbgate:approvals",
    } | changes


def test_a_service_signs_in_by_itself(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET", oidc.secret)
    chosen = settings(**service(oidc))
    found = current_identity(chosen)
    assert (found.subject, found.actor, found.groups) == ("dbgate-service", Actor.SERVICE, ("batch",))
    shown = jwt.decode(bearer_token(chosen), options={"verify_signature": False})
    assert shown["aud"] == "urn:dbgate:approvals"
    assert "TEST_SECRET" not in os.environ, "no child process may inherit the secret"
    assert current_identity(chosen) == found
    assert not any(oidc.secret in path.read_text() for path in chosen.state_dir.rglob("*.json"))
    assert sign_out(chosen).revoked is None
    assert files(chosen) == []


def test_a_service_asks_for_a_resource(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET", oidc.secret)
    chosen = settings(**service(oidc, client_id="dbgate-opaque", resource="urn:dbgate:approvals"))
    assert current_identity(chosen).subject == "dbgate-opaque"


@pytest.mark.parametrize(
    ("changes", "secret", "reason"),
    [
        ({}, "wrong", "refused the service"),
        ({"client_id": "nobody"}, "", "refused the service"),
        ({"client_id": "dbgate-opaque"}, "", "an access token that is not a JSON Web Token"),
        ({"audience": "urn:other"}, "", "its audience is not urn:other"),
    ],
    ids=["secret", "client", "opaque", "audience"],
)
def test_a_service_that_cannot_prove_itself_is_refused(
    settings: MakeSettings,
    oidc: OidcProvider,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    secret: str,
    reason: str,
) -> None:
    monkeypatch.setenv("TEST_SECRET", secret or oidc.secret)
    chosen = settings(**service(oidc, **changes))
    with pytest.raises(SignInRequired, match=reason):
        current_identity(chosen)
    assert not any(name.endswith(".json") for name in files(chosen))


def test_a_workload_signs_in_with_its_assertion(settings: MakeSettings, oidc: OidcProvider, tmp_path: Path) -> None:
    now = int(time.time())
    issuer = oidc.issuers["main"]
    claims = {
        "iss": "dbgate-workload",
        "sub": "dbgate-workload",
        "aud": issuer,
        "iat": now,
        "exp": now + 60,
        "jti": "1",
    }
    assertion = tmp_path / "assertion"
    chosen = settings(client_id="dbgate-workload", workload_token_file=str(assertion), audience="urn:dbgate:approvals")
    with pytest.raises(SignInRequired, match="workload_token_file cannot be read or is empty"):
        current_identity(chosen)
    assertion.write_text(jwt.encode(claims, oidc.workload_key, "ES256", headers={"kid": "workload-1"}) + "\n")
    found = current_identity(chosen)
    assert (found.subject, found.actor) == ("dbgate-workload", Actor.SERVICE)


def test_a_service_signs_in_with_its_private_key(settings: MakeSettings, oidc: OidcProvider, tmp_path: Path) -> None:
    key_file = tmp_path / "key.pem"
    key_file.write_text(oidc.workload_key)
    key_file.chmod(0o600)
    named = {"client_id": "dbgate-workload", "private_key_file": str(key_file), "audience": "urn:dbgate:approvals"}
    for issuer in ("main", "root"):
        for more in ({}, {"private_key_id": "workload-1"}, {"assertion_audience": oidc.issuers[issuer]}):
            chosen = settings(issuer, **named, **more)
            found = current_identity(chosen)
            assert (found.subject, found.actor, found.groups) == ("dbgate-workload", Actor.SERVICE, ("batch",))
            assert sign_out(chosen).found is True
    assert files(settings()) == []
    with pytest.raises(SignInRequired, match="refused the service") as error:
        current_identity(settings(**named, assertion_audience="https://elsewhere.example.com"))
    assert error.value.hint == "check the client id and what it proves itself with"
    other = rsa.generate_private_key(65537, 2048)
    key_file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SignInRequired, match="refused the service"):
        current_identity(settings(**named))


def test_the_issuer_must_call_itself_what_the_configuration_says(settings: MakeSettings, oidc: OidcProvider) -> None:
    for wrong in (oidc.issuers["main"] + "/", oidc.issuers["root"] + "/"):
        with pytest.raises(UsageError, match="calls itself") as error:
            as_person(settings(wrong), oidc)
        assert error.value.hint == "set identity.issuer to exactly what the issuer calls itself"
    with pytest.raises(UsageError, match="is not an issuer's: it answers 404"):
        as_person(settings(oidc.issuers["main"].replace("/v2", "/v9")), oidc)


def test_an_unknown_authority_is_not_trusted(settings: MakeSettings, oidc: OidcProvider, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="is not trusted") as error:
        as_person(settings(ca_file=""), oidc)
    assert "identity.ca_file" in error.value.hint
    with pytest.raises(UsageError, match=r"identity\.ca_file is not a file"):
        as_person(settings(ca_file=str(tmp_path / "none.pem")), oidc)


def test_the_environment_cannot_replace_the_authority(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "empty.pem"))
    assert as_person(settings(), oidc).subject == "alice"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(oidc.ca_file))
    with pytest.raises(Unreachable, match="is not trusted"):
        as_person(settings(ca_file=""), oidc)


def test_a_machine_may_add_the_authority_to_its_own(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(oidc.ca_file))
    assert as_person(settings(ca_file=""), oidc).subject == "alice"


def test_without_a_keyring_nobody_is_asked_to_sign_in(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring
    from keyring.backends.fail import Keyring

    monkeypatch.setattr(keyring, "get_keyring", Keyring)
    person = Person(oidc, "alice")
    with pytest.raises(SignInRequired, match="no keyring") as error:
        sign_in(settings(token_store="keyring"), device=False, browser=False, progress=person)
    assert "identity.token_store: file" in error.value.hint
    assert person.asked == []


def test_a_keyring_holds_everything_in_small_pieces(
    settings: MakeSettings, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keyring

    from dbgate.identity import keyring_store

    backend = MemoryKeyring(limit=1280)
    monkeypatch.setattr(keyring, "get_keyring", lambda: backend)
    monkeypatch.setattr(keyring_store, "PIECE_CHARS", 1200)
    chosen = settings(token_store="keyring", client_id="dbgate-short")
    found = as_person(chosen, oidc)
    assert len(backend.items) > 2
    assert current_identity(chosen).subject == found.subject
    assert not any(name.endswith(".json") for name in files(chosen))
    assert sign_out(chosen).revoked is True
    assert (backend.items, files(chosen)) == ({}, [])


def test_the_providers_packages_are_locked_and_stand_outside_the_repository(oidc: OidcProvider) -> None:
    lock = json.loads((Path(__file__).parents[1] / "oidc" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages["node_modules/oidc-provider"]["integrity"].startswith("sha512-")
    assert [name for name, entry in packages.items() if "resolved" in entry or "integrity" not in entry] == []
    assert not (Path(__file__).parents[1] / "oidc" / "node_modules").exists()
    assert os.access(oidc.ca_file, os.R_OK)
