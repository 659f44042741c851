"""Who acts, from the operating system or from what is stored; stored tokens are verified on every use."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from msgspec.structs import replace

from dbgate.errors import DbgateError, SignInRequired, UsageError
from dbgate.identity import bearer_token, current_identity, renewal, sign_out, sign_out_all, stored
from dbgate.identity.accounts import LIST, enter, place_of
from dbgate.identity.client import read_client
from dbgate.identity.stored import StoredSignIn, lock_path, only_one, save
from dbgate.identity.token_store import open_store
from dbgate.model import Actor, Assurance, Identity
from dbgate.settings import IdentitySettings, Settings

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {"keys": [ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "e1"}]}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on loopback where nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def settings_for(state_dir: Path, issuer: str = "https://127.0.0.1:1/tenant", **changes: Any) -> Settings:
    fields: dict[str, Any] = {"provider": "oidc", "issuer": issuer, "client_id": "dbgate", "token_store": "file"}
    return Settings(file=None, state_dir=state_dir, identity=IdentitySettings(**(fields | changes)))


def signed(issuer: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": issuer, "sub": "alice", "aud": "dbgate", "iat": now, "exp": now + 600, "groups": ["dba"]} | changes
    return jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": "e1"})


def keep(settings: Settings, **changes: Any) -> StoredSignIn:
    issuer = settings.identity.issuer
    fields: dict[str, Any] = {
        "issuer": issuer,
        "client_id": "dbgate",
        "service": False,
        "token": signed(issuer),
        "keys": KEYS,
        "signed_in_at": 1_700_000_000.0,
    }
    found = StoredSignIn(**(fields | changes))
    client, store = read_client(settings.identity), open_store(settings)
    whose = Identity(issuer=issuer, subject="alice", groups=(), assurance=Assurance.OIDC)
    save(store, place_of(client, "alice"), found)
    enter(store, settings.state_dir, client, whose)
    return found


def test_the_local_user_is_unverified(tmp_path: Path) -> None:
    local = IdentitySettings(groups=("engineering",), email="me@example.com", actor="agent")
    found = current_identity(Settings(file=None, state_dir=tmp_path, identity=local))
    assert found.subject == pwd.getpwuid(os.getuid()).pw_name
    assert found.issuer == f"local:{os.uname().nodename}"
    assert (found.groups, found.email, found.actor) == (("engineering",), "me@example.com", Actor.AGENT)
    assert found.assurance is Assurance.LOCAL
    assert (found.signed_in_at, found.expires_at) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_may_name_the_local_user_and_proves_nothing(tmp_path: Path) -> None:
    found = current_identity(Settings(file=None, state_dir=tmp_path, identity=IdentitySettings(user="bea")))
    assert (found.subject, found.assurance) == ("bea", Assurance.LOCAL)


def test_the_environment_does_not_name_the_local_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "mallory")
    found = current_identity(Settings(file=None, state_dir=tmp_path))
    assert found.subject == pwd.getpwuid(os.getuid()).pw_name


def test_a_uid_without_a_name_is_still_somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 987_654)
    found = current_identity(Settings(file=None, state_dir=tmp_path))
    assert found.subject == "uid:987654"


def test_an_unknown_local_actor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"identity\.actor is 'robot'") as error:
        current_identity(Settings(file=None, state_dir=tmp_path, identity=IdentitySettings(actor="robot")))
    assert error.value.hint == "one of: human, service, agent"


def test_the_local_user_has_no_token(tmp_path: Path) -> None:
    with pytest.raises(SignInRequired, match="there is no token to show"):
        bearer_token(Settings(file=None, state_dir=tmp_path))


def test_nobody_is_signed_in(tmp_path: Path) -> None:
    for ask in (current_identity, bearer_token):
        with pytest.raises(SignInRequired, match=r"nobody is signed in to https://127\.0\.0\.1:1/tenant") as error:
            ask(settings_for(tmp_path / "state"))
        assert error.value.hint == "run: dbgate login"
    assert not (tmp_path / "state").exists()


def test_a_stored_sign_in_serves_without_the_network(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    kept = keep(settings)
    found = current_identity(settings)
    assert (found.subject, found.groups, found.assurance) == ("alice", ("dba",), Assurance.OIDC)
    assert found.signed_in_at is not None
    assert found.signed_in_at.timestamp() == 1_700_000_000
    assert bearer_token(settings) == kept.token


def test_a_changed_token_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    kept = keep(settings)
    header, _, signature = kept.token.split(".")
    _, richer, _ = signed(settings.identity.issuer, groups=["dba", "payroll-admins"]).split(".")
    keep(settings, token=f"{header}.{richer}.{signature}")
    with pytest.raises(SignInRequired, match="its signature is wrong"):
        current_identity(settings)


def test_a_token_of_another_issuer_or_client_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings, token=signed("https://127.0.0.1:1/other"))
    with pytest.raises(SignInRequired, match=r"its issuer is not https://127\.0\.0\.1:1/tenant"):
        current_identity(settings)
    keep(settings, token=signed(settings.identity.issuer, aud="another"))
    with pytest.raises(SignInRequired, match="its audience is not dbgate") as caught:
        current_identity(settings)
    assert "a service's for identity.audience" in caught.value.hint
    assert "dbgate login" not in caught.value.hint
    keep(settings, token=signed(settings.identity.issuer, azp="another"))
    with pytest.raises(SignInRequired, match="it was issued to another client"):
        current_identity(settings)
    keep(settings, issuer="https://127.0.0.1:1/other")
    with pytest.raises(SignInRequired, match="belongs to another issuer or client"):
        current_identity(settings)


def test_another_configuration_is_another_sign_in(tmp_path: Path) -> None:
    keep(settings_for(tmp_path))
    for changes in (
        {"issuer": "https://127.0.0.1:2/tenant"},
        {"issuer": "https://127.0.0.1:1/tenant2"},
        {"client_id": "b"},
    ):
        with pytest.raises(SignInRequired, match="nobody is signed in"):
            current_identity(settings_for(tmp_path, **changes))


def test_a_replayed_nonce_is_refused(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings, nonce="n-1", token=signed(settings.identity.issuer, nonce="n-2"))
    with pytest.raises(SignInRequired, match="nonce"):
        current_identity(settings)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff", b"[1]", b'{"issuer": 1}'])
def test_a_damaged_store_is_an_error_and_can_be_signed_out_of(tmp_path: Path, damage: bytes) -> None:
    settings = settings_for(tmp_path)
    keep(settings)
    client = read_client(settings.identity)
    open_store(settings).write(place_of(client, "alice"), damage)
    with pytest.raises(SignInRequired, match="the stored sign-in is damaged"):
        current_identity(settings)
    assert sign_out(settings).found is True
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_ends_soon_lasts_when_the_issuer_is_away(tmp_path: Path, closed_port: int) -> None:
    settings = settings_for(tmp_path, f"https://127.0.0.1:{closed_port}/tenant")
    keep(settings, token=signed(settings.identity.issuer, exp=int(time.time()) + 30))
    assert current_identity(settings).subject == "alice"


def test_an_expired_token_is_not_used_when_the_issuer_is_away(tmp_path: Path, closed_port: int) -> None:
    settings = settings_for(tmp_path, f"https://127.0.0.1:{closed_port}/tenant")
    for ago_s in (5, 3600):
        keep(settings, token=signed(settings.identity.issuer, exp=int(time.time()) - ago_s))
        with pytest.raises(
            SignInRequired, match=r"has expired and cannot be renewed: the issuer .* cannot be reached"
        ) as error:
            current_identity(settings)
        assert "run: dbgate login" in error.value.hint


def test_a_service_without_its_secret_says_which_variable(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(
        tmp_path, f"https://127.0.0.1:{closed_port}/tenant", client_secret_env="DBGATE_TEST_NO_SECRET"
    )
    monkeypatch.delenv("DBGATE_TEST_NO_SECRET", raising=False)
    with pytest.raises(SignInRequired, match="the environment variable DBGATE_TEST_NO_SECRET is empty"):
        current_identity(settings)


def test_a_service_whose_token_no_longer_fits_gets_another(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer = f"https://127.0.0.1:{closed_port}/tenant"
    monkeypatch.setenv("DBGATE_TEST_SECRET", "s" * 8)
    before = settings_for(tmp_path, issuer, client_secret_env="DBGATE_TEST_SECRET", audience="urn:a")
    keep(before, service=True, token=signed(issuer, aud="urn:a"))
    assert current_identity(before).actor is Actor.SERVICE
    after = settings_for(tmp_path, issuer, client_secret_env="DBGATE_TEST_SECRET", audience="urn:b")
    with pytest.raises(SignInRequired, match=r"the service cannot sign in: the issuer .* cannot be reached"):
        current_identity(after)


def test_signing_out_removes_the_file_even_without_a_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backends.fail import Keyring

    monkeypatch.setattr(keyring, "get_keyring", Keyring)
    keep(settings_for(tmp_path))
    with pytest.raises(SignInRequired, match="no keyring"):
        sign_out(settings_for(tmp_path, token_store="keyring"))
    with pytest.raises(SignInRequired, match="nobody is signed in"):
        current_identity(settings_for(tmp_path))


def test_signing_out_forgets_what_is_there_and_leaves_others(tmp_path: Path) -> None:
    mine, other = settings_for(tmp_path), settings_for(tmp_path, "https://127.0.0.1:1/other")
    keep(mine)
    keep(other)
    assert sign_out(mine).found is True
    assert current_identity(other).issuer == "https://127.0.0.1:1/other"
    assert sign_out(mine).found is False
    assert sign_out(other).found is True
    assert list(tmp_path.iterdir()) == []


def test_signing_out_removes_a_file_that_others_can_read(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings)
    path = tmp_path / "identity" / f"{place_of(read_client(settings.identity), 'alice')}.json"
    path.chmod(0o644)
    with pytest.raises(SignInRequired, match="can be read by others"):
        current_identity(settings)
    assert sign_out(settings).found is True
    assert not path.exists()


@pytest.mark.parametrize("damage", [b"", b"[]", b"\xff", b'{"version": 2}', b'{"accounts": [{"key": 1}]}'])
def test_a_damaged_list_of_accounts_is_an_error_and_can_be_cleared(tmp_path: Path, damage: bytes) -> None:
    settings = settings_for(tmp_path)
    keep(settings)
    open_store(settings).write(LIST, damage)
    for use in (current_identity, sign_out):
        with pytest.raises(SignInRequired, match="the list of accounts is damaged") as error:
            use(settings)
        assert error.value.hint == "run: dbgate logout --all, then dbgate login"
    sign_out_all(settings)
    assert list(tmp_path.iterdir()) == []


def test_signing_everybody_out_leaves_no_file(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    for issuer in ("https://127.0.0.1:1/tenant", "https://127.0.0.1:1/other"):
        keep(settings_for(tmp_path, issuer))
    (tmp_path / "identity" / f".{'0' * 32}-left").write_text("from an interrupted write")
    done = sign_out_all(settings)
    assert [(one.found, one.account, one.now) for one in done] == [(True, "alice", "")] * 2
    assert list(tmp_path.iterdir()) == []
    assert sign_out_all(settings) == ()


def test_one_process_at_a_time_even_when_the_lock_file_goes_away(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from dbgate.identity.stored import lock_path, only_one\n"
        "with only_one(Path(sys.argv[1]), 'place'):\n"
        "    print('in', flush=True); sys.stdin.readline(); lock_path(Path(sys.argv[1]), 'place').unlink()\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "in\n"
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as waiter:
            time.sleep(0.3)
            holder.stdin.write("\n")
            holder.stdin.close()
            assert holder.wait(10) == 0
            assert waiter.communicate("\n", timeout=10)[0] == "in\n"
            assert waiter.returncode == 0
    with only_one(tmp_path, "place"):
        pass


def test_only_what_is_needed_is_imported(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    keep(settings)
    code = (
        "import json, sys\nfrom pathlib import Path\n"
        "from dbgate.identity import current_identity\nfrom dbgate.settings import IdentitySettings, Settings\n"
        "heavy = {'msal', 'keyring', 'requests', 'jwt', 'cryptography', 'rich', 'typer'}\n"
        "current_identity(Settings(file=None, state_dir=Path(sys.argv[1])))\n"
        "local = sorted(heavy & set(sys.modules))\n"
        "identity = IdentitySettings(provider='oidc', issuer=sys.argv[2], client_id='dbgate', token_store='file')\n"
        "current_identity(Settings(file=None, state_dir=Path(sys.argv[1]), identity=identity))\n"
        "print(json.dumps([local, sorted(heavy & set(sys.modules))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), settings.identity.issuer],
        capture_output=True,
        text=True,
        check=True,
    )
    local, oidc = json.loads(done.stdout)
    assert local == []
    assert oidc == ["cryptography", "jwt"]


def test_the_account_of_the_configuration_acts(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, account="alice")
    keep(settings)
    enter(open_store(settings), tmp_path, read_client(settings.identity), Identity(settings.identity.issuer, "bob"))
    assert current_identity(settings).subject == "alice"
    with pytest.raises(SignInRequired, match="nobody is signed in"):
        current_identity(settings, "bob")


def test_a_token_is_renewed_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path)
    keep(settings, token=signed(settings.identity.issuer, exp=int(time.time()) + 50))
    place = place_of(read_client(settings.identity), "alice")

    def renew(client: object, held: StoredSignIn, kept: object) -> StoredSignIn:
        with lock_path(tmp_path, place).open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return replace(held, token=fresh)

    monkeypatch.setattr(renewal, "renew", renew)
    fresh = signed(settings.identity.issuer, jti="fresh")
    assert bearer_token(settings) == fresh
    monkeypatch.setattr(renewal, "renew", None)
    assert bearer_token(settings) == fresh, "it was kept"


def test_what_another_process_renewed_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(tmp_path)
    keep(settings, token=signed(settings.identity.issuer, exp=int(time.time()) + 50))
    fresh = signed(settings.identity.issuer, jti="fresh")

    @contextmanager
    def after_another(state_dir: Path, place: str) -> Iterator[None]:
        if place != LIST:
            keep(settings, token=fresh)
        yield

    monkeypatch.setattr(stored, "only_one", after_another)
    monkeypatch.setattr(renewal, "renew", None)
    assert bearer_token(settings) == fresh


@pytest.mark.parametrize("main", [True, False])
def test_no_issuers_secret_stays_in_the_environment(
    tmp_path: Path, main: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBGATE_TEST_SECRET_TAKEN", "s" * 8)
    other = IdentitySettings(client_secret_env="DBGATE_TEST_SECRET_TAKEN")
    settings = settings_for(tmp_path)
    settings = replace(
        settings,
        identity=replace(settings.identity, **({"client_secret_env": other.client_secret_env} if main else {})),
    )
    settings = replace(settings, issuers={} if main else {"main": settings.identity, "partner": other})
    with pytest.raises(DbgateError):
        current_identity(settings)
    assert "DBGATE_TEST_SECRET_TAKEN" not in os.environ
