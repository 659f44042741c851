"""What a sign-in believes of the browser's answer and of the issuer's addresses."""

from __future__ import annotations

import fcntl
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity import application as application_module
from dbgate.identity import flows, stored
from dbgate.identity.accounts import read_accounts
from dbgate.identity.application import Application
from dbgate.identity.client import Client
from dbgate.identity.file_store import FileStore
from dbgate.identity.flows import check_source, prompt_for, web_address
from dbgate.identity.issuer import Issuer, endpoint
from dbgate.identity.stored import StoredSignIn, lock_path
from dbgate.model import Identity
from dbgate.settings import IdentitySettings, Settings
from dbgate.tokens import TokenRefused

URL = "https://login.example.com/t"


def application(*, names_itself: bool) -> Application:
    client = Client(URL, "dbgate", "dbgate")
    issuer = Issuer(URL, f"{URL}/auth", f"{URL}/token", f"{URL}/keys", names_itself=names_itself)
    nothing: Any = None
    return Application(client, nothing, issuer, {}, None, None, ())


@pytest.mark.parametrize(
    ("names_itself", "answer"),
    [
        (True, {"code": "c", "iss": "https://evil.example.com"}),
        (False, {"code": "c", "iss": "https://evil.example.com"}),
        (True, {"code": "c", "iss": URL + "/"}),
        (True, {"code": "c"}),
        (True, {"error": "access_denied"}),
    ],
)
def test_an_answer_of_another_issuer_is_refused(names_itself: bool, answer: dict[str, str]) -> None:
    with pytest.raises(SignInRequired, match="came from another issuer"):
        check_source(application(names_itself=names_itself), answer)


def test_the_issuers_own_answer_is_taken() -> None:
    check_source(application(names_itself=True), {"code": "c", "iss": URL})
    check_source(application(names_itself=False), {"code": "c"})


@pytest.mark.parametrize("address", ["http://login.example.com/device", "javascript:alert(1)", "file:///etc/passwd"])
def test_a_person_is_sent_to_https_only(address: str) -> None:
    with pytest.raises(SignInRequired, match="not https"):
        web_address({"verification_uri": address}, "verification_uri", "verification_url")
    with pytest.raises(Exception, match="has no https authorization_endpoint"):
        endpoint({"authorization_endpoint": address}, "authorization_endpoint", URL)
    assert web_address({}, "verification_uri_complete") == ""


@pytest.mark.parametrize(
    ("configured", "wanted", "sent"),
    [
        ("", "", ""),
        ("consent", "", "consent"),
        ("", "alice@example.com", "login"),
        ("consent", "alice@example.com", "login consent"),
        ("select_account", "alice@example.com", "select_account"),
    ],
)
def test_for_a_wanted_account_the_issuer_asks_who_it_is(configured: str, wanted: str, sent: str) -> None:
    assert prompt_for(Client(URL, "dbgate", "dbgate", prompt=configured), wanted) == sent


KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {"keys": [ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "one"}]}


def signed(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": URL, "sub": "ann", "email": "ann@example.com", "aud": "dbgate", "iat": now, "exp": now + 600}
    return jwt.encode(claims | changes, KEY, algorithm="ES256", headers={"kid": "one"})


class Msal:
    """msal's application, which answers as a test says and remembers what it was asked."""

    def __init__(self, answer: dict[str, Any], device: dict[str, Any] | None = None) -> None:
        self.answer, self.device = answer, device or {}
        self.asked: list[Any] = []

    def initiate_auth_code_flow(self, scopes: list[str], **options: Any) -> dict[str, Any]:
        self.asked.append(options)
        return {"state": "our-state", "auth_uri": f"{URL}/auth?nonce=ours", "redirect": options["redirect_uri"]}

    def acquire_token_by_auth_code_flow(self, flow: dict[str, Any], answer: dict[str, str]) -> dict[str, Any]:
        self.asked.append(answer)
        return self.answer

    def initiate_device_flow(self, scopes: list[str]) -> dict[str, Any]:
        return self.device

    def acquire_token_by_device_flow(
        self, flow: dict[str, Any], exit_condition: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        self.asked.append([exit_condition({"expires_at": time.time() + left_s}) for left_s in (100, -1)])
        return self.answer

    def serialize(self) -> str:
        return ""


class Person:
    """Who sees the address, and whose browser comes back with `answer`."""

    def __init__(self, app: Msal, answer: dict[str, str] | None = None) -> None:
        self.app, self.answer = app, answer or {}
        self.told: list[str] = []
        self.threads: list[threading.Thread] = []

    def visit(self, url: str, *, opening: bool) -> None:
        query = urlencode({"code": "c", "state": "our-state"} | self.answer)
        address = f"{self.app.asked[0]['redirect_uri']}/?{query}"
        self.threads.append(threading.Thread(target=urllib.request.urlopen, args=(address,)))
        self.threads[-1].start()

    def enter_code(self, url: str, code: str, *, complete_url: str, expires_s: float) -> None:
        self.told.append(f"{url} {code}")

    def waiting(self, left_s: float) -> None:
        self.told.append(f"{left_s:.0f}")


def opened(app: Msal, **described: Any) -> Application:
    nothing: Any = None
    issuer = Issuer(URL, f"{URL}/auth", f"{URL}/token", f"{URL}/keys", **described)
    return Application(Client(URL, "dbgate", "dbgate"), nothing, issuer, KEYS, app, app, ())


def by_browser(app: Msal, answer: dict[str, str] | None = None, wanted: str = "", **described: Any) -> StoredSignIn:
    person = Person(app, answer)
    try:
        return flows.by_browser(opened(app, **described), person, browser=False, wanted=wanted)
    finally:
        for thread in person.threads:
            thread.join()


def test_the_browser_brings_an_answer_that_is_checked() -> None:
    app = Msal({"id_token": signed(nonce="ours")})
    assert by_browser(app, {"iss": URL}).nonce == "ours"
    assert app.asked[0]["response_mode"] == "query"
    posting = Msal({"id_token": signed(nonce="ours")})
    by_browser(posting, wanted="ann@example.com", posts_answers=True)
    assert (posting.asked[0]["response_mode"], posting.asked[0]["login_hint"]) == ("form_post", "ann@example.com")


def test_a_code_of_another_issuer_is_not_redeemed() -> None:
    app = Msal({"id_token": signed(nonce="ours")})
    with pytest.raises(SignInRequired, match="came from another issuer"):
        by_browser(app, {"iss": "https://evil.example"})
    assert len(app.asked) == 1


def test_a_token_with_another_nonce_is_not_taken() -> None:
    with pytest.raises(TokenRefused, match="nonce is not ours"):
        by_browser(Msal({"id_token": signed(nonce="theirs")}))


def test_a_code_is_awaited_until_it_ends() -> None:
    code = {"user_code": "AB-CD", "verification_uri": f"{URL}/device", "expires_at": time.time() + 100}
    app = Msal({"id_token": signed()}, code)
    person = Person(app)
    flows.by_device(opened(app, device_endpoint=f"{URL}/device"), person, browser=False, wanted="")
    assert app.asked == [[False, True]]
    assert person.told == [f"{URL}/device AB-CD", "100", "0"]


@pytest.mark.parametrize(
    ("code", "answer", "endpoint", "reason"),
    [
        ({}, {}, "", "does not offer device codes"),
        ({"error": "unauthorized_client"}, {}, f"{URL}/device", "refused the sign-in: unauthorized_client"),
        ({"user_code": "x", "expires_at": 0}, {"error": "authorization_pending"}, f"{URL}/device", "nobody entered"),
        (
            {"user_code": "x", "expires_at": 0},
            {"error": "slow_down"},
            f"{URL}/device",
            "nobody entered the code in time",
        ),
        ({"user_code": "x", "expires_at": 0}, {"error": "access_denied"}, f"{URL}/device", "access_denied"),
    ],
)
def test_no_code_no_sign_in(code: dict[str, Any], answer: dict[str, Any], endpoint: str, reason: str) -> None:
    app = Msal(answer, code)
    with pytest.raises((SignInRequired, UsageError), match=reason):
        flows.by_device(opened(app, device_endpoint=endpoint), Person(app), browser=False, wanted="")


@pytest.fixture
def signing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Identity]:
    """Signs ann in, whom the issuer's page knows, as the configuration and the command line say."""
    app = Msal({})
    found = opened(app).stored({"id_token": signed()})
    monkeypatch.setattr(application_module, "open_application", lambda client: opened(app))

    def sign_in(account: str = "", configured: str = "") -> Identity:
        identity = IdentitySettings(
            provider="oidc", issuer=URL, client_id="dbgate", token_store="file", account=configured
        )
        settings = Settings(file=None, state_dir=tmp_path, identity=identity)
        return flows.sign_in(settings, device=False, progress=Person(app), browser=False, account=account)

    monkeypatch.setattr(flows, "by_browser", lambda *arguments, **options: found)
    return sign_in


@pytest.fixture
def configured(signing_in: Callable[..., Identity]) -> Callable[[str], Identity]:
    """The same for the account that the configuration names."""
    return lambda account: signing_in("", account)


def test_only_who_is_wanted_is_kept(
    signing_in: Callable[..., Identity], tmp_path: Path, configured: Callable[[str], Identity]
) -> None:
    for attempt in (signing_in, configured):
        with pytest.raises(SignInRequired, match=r"ann@example.com signed in, not bob: nothing was kept"):
            attempt("bob")
        assert not list((tmp_path / "identity").glob("*.json"))
        assert attempt("ANN@example.com").subject == "ann"
        (tmp_path / "identity" / "accounts.json").unlink()
        for kept in (tmp_path / "identity").glob("*.json"):
            kept.unlink()


def test_a_sign_in_is_listed_before_it_is_kept_and_kept_alone(
    signing_in: Callable[..., Identity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(store: FileStore, place: str, found: StoredSignIn) -> None:
        with lock_path(tmp_path, place).open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raise SignInRequired("the disk is full")

    monkeypatch.setattr(stored, "save", fail)
    with pytest.raises(SignInRequired, match="the disk is full"):
        signing_in()
    assert [one.subject for one in read_accounts(FileStore(tmp_path / "identity")).accounts] == ["ann"]


def test_nobody_is_asked_when_nothing_can_be_kept(
    signing_in: Callable[..., Identity], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "by_browser", None)
    (tmp_path / "identity").write_text("a file where the folder should be")
    with pytest.raises(SignInRequired, match="the token store cannot be used"):
        signing_in()
