"""Signing in to the console with a real OpenID provider: code flow, PKCE, state, nonce."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
import requests
from msgspec.structs import replace
from tests.approvals.kit import now, request_of
from tests.console.kit import RunningConsole, Surfer, running_console
from tests.oidc.browser import browse_with
from tests.oidc.provider import OidcProvider

from dbgate.approvals.oidc import OidcVerifier
from dbgate.console.address import Address
from dbgate.console.issuer import Attempt, IssuerSignIn, Registration, read_attempt
from dbgate.console.sign_in import CALLBACK
from dbgate.model import Actor, Identity

CLIENT = "dbgate-console"


@pytest.fixture
def console(oidc: OidcProvider, tmp_path: Path) -> Iterator[RunningConsole]:
    issuer, ca_file = oidc.issuers["main"], str(oidc.ca_file)
    verifier = OidcVerifier(issuer, [CLIENT], clock=now, ca_file=ca_file, clients=[CLIENT])

    def sign_in(address: Address) -> IssuerSignIn:
        us = Registration(issuer, CLIENT, f"{address.origin}{CALLBACK}", ca_file=ca_file)
        return IssuerSignIn(us, verifier)

    with running_console(tmp_path, issuer=sign_in, verifier=verifier) as made:
        yield made


def surfer_of(console: RunningConsole, oidc: OidcProvider) -> Surfer:
    surfer = console.surfer()
    surfer.session.verify = str(oidc.ca_file)
    return surfer


def until_callback(surfer: Surfer, login: str, then: str = "/") -> str:
    """Sign in at the issuer, and return the address that brings the answer back, not opened yet."""
    response = surfer.get(f"/sign-in/start?then={then}")
    assert response.status_code == 303
    url = response.headers["location"]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43
    while not url.startswith(surfer.origin):
        response = surfer.session.get(url, allow_redirects=False, timeout=20)
        if response.status_code == 200:
            response = surfer.session.post(url, data={"login": login}, allow_redirects=False, timeout=20)
        url = requests.compat.urljoin(url, response.headers["location"])
    return url.removeprefix(surfer.origin)


def attempt_cookie(surfer: Surfer) -> tuple[str, Attempt]:
    """The cookie of a sign-in that was begun."""
    (name,) = (cookie.name for cookie in surfer.session.cookies if "-sign-in-" in cookie.name)
    attempt = read_attempt(surfer.session.cookies[name] or "")
    assert attempt
    return name, attempt


def test_from_a_deep_link_to_the_request(console: RunningConsole, oidc: OidcProvider) -> None:
    asker = Identity(issuer=oidc.issuers["main"], subject="dora", email="dora@example.com", groups=("engineering",))
    from dbgate.approvals.grants import GrantSigner
    from dbgate.approvals.keys import load_or_create
    from dbgate.approvals.service import ApprovalService

    signer = GrantSigner(load_or_create(console.running.state_dir / "approvals" / "grants.key"))
    service = ApprovalService(console.running.store, signer, now)
    name = service.file(asker, request_of(asker))[0].id
    surfer = surfer_of(console, oidc)
    page = browse_with(surfer.session, f"{console.origin}/requests/{name}", "hana")
    assert page.url == f"{console.origin}/requests/{name}"
    assert "hana@example.com" in page.text
    assert "serve --local" not in page.text
    done = surfer.submit(f"/requests/{name}", f"/requests/{name}/approve", note="fine")
    assert done.status_code == 303
    (approval,) = service.get(asker, name).approvals
    assert approval.by.key == f"{oidc.issuers['main']}#hana"
    assert approval.by.groups == ("dba", "auditors")
    assert not [cookie for cookie in surfer.session.cookies if "-sign-in-" in cookie.name]
    kept = (console.running.state_dir / "approvals").glob("approvals.db*")
    assert "eyJ" not in page.text + str(list(surfer.session.cookies)) + "".join(
        file.read_text("latin-1") for file in kept
    )


def test_who_reviews_nothing_reads_for_which_groups(console: RunningConsole, oidc: OidcProvider) -> None:
    page = browse_with(surfer_of(console, oidc).session, console.origin, "hana").text
    assert "Your groups: dba, auditors." in page


def test_an_answer_counts_once(console: RunningConsole, oidc: OidcProvider) -> None:
    surfer = surfer_of(console, oidc)
    path = until_callback(surfer, "hana", "/mine")
    name, attempt = attempt_cookie(surfer)
    first = surfer.get(path)
    assert (first.status_code, first.headers["location"]) == (303, "/mine")
    again = surfer.get(path)
    assert again.status_code == 401
    assert "this browser began no sign-in here" in again.text
    surfer.session.cookies.set(name, attempt.to_text(), path="/")
    replayed = surfer.get(path)
    assert replayed.status_code == 401
    assert "the issuer gave no token" in replayed.text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": "x" * 43}, "not to the sign-in that this browser began"),
        ({"nonce": "x" * 43}, "its nonce is not ours"),
        ({"verifier": "x" * 43}, "the issuer gave no token"),
        ({"begun": 0.0}, "took longer than ten minutes"),
        ({"begun": now().timestamp() - 700}, "took longer than ten minutes"),
        ({"begun": now().timestamp() + 1000}, "took longer than ten minutes"),
    ],
)
def test_what_the_browser_has_to_bring_back(
    console: RunningConsole, oidc: OidcProvider, change: dict[str, Any], reason: str
) -> None:
    surfer = surfer_of(console, oidc)
    path = until_callback(surfer, "hana")
    name, attempt = attempt_cookie(surfer)
    surfer.session.cookies.clear()
    surfer.session.cookies.set(name, replace(attempt, **change).to_text(), path="/")
    refused = surfer.get(path)
    assert refused.status_code == 401
    assert reason in refused.text
    assert surfer.get("/").status_code == 303


def test_where_to_go_on_to_is_looked_at_again(console: RunningConsole, oidc: OidcProvider) -> None:
    surfer = surfer_of(console, oidc)
    path = until_callback(surfer, "hana")
    name, attempt = attempt_cookie(surfer)
    surfer.session.cookies.clear()
    surfer.session.cookies.set(name, replace(attempt, then="//evil.example").to_text(), path="/")
    assert surfer.get(path).headers["location"] == "/"


def test_an_answer_in_somebody_else_s_browser(console: RunningConsole, oidc: OidcProvider) -> None:
    path = until_callback(surfer_of(console, oidc), "hana")
    victim = surfer_of(console, oidc)
    refused = victim.get(path)
    assert refused.status_code == 401
    assert victim.get("/").status_code == 303


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("iss=", "is=", "another issuer"),
        ("iss=https", "iss=http", "another issuer"),
        ("code=", "error=access_denied&error_description=%1B[2Jno&x=", "the issuer refused the sign-in: \\x1b[2Jno"),
        ("code=", "cod=", "holds no code"),
        ("code=", "code=x", "the issuer gave no token"),
    ],
)
def test_answers_that_were_changed(
    console: RunningConsole, oidc: OidcProvider, old: str, new: str, reason: str
) -> None:
    surfer = surfer_of(console, oidc)
    path = until_callback(surfer, "hana")
    assert old in path
    refused = surfer.get(path.replace(old, new))
    assert refused.status_code == 401
    assert reason in refused.text


@pytest.mark.parametrize(("login", "reason"), [("erin", "groups"), ("frank", "groups")])
def test_tokens_whose_groups_do_not_count(console: RunningConsole, oidc: OidcProvider, login: str, reason: str) -> None:
    surfer = surfer_of(console, oidc)
    refused = surfer.get(until_callback(surfer, login))
    assert refused.status_code == 401
    assert "the token was refused" in refused.text
    assert reason in refused.text


def test_an_agent_is_no_reviewer_here_either(console: RunningConsole, oidc: OidcProvider) -> None:
    surfer = surfer_of(console, oidc)
    surfer.get(until_callback(surfer, "grace"))
    visit = console.setup.visits.find(surfer.session.cookies[console.setup.address.cookie] or "", moves=False)
    assert visit
    assert (visit.identity.actor, visit.identity.on_behalf_of) == (Actor.AGENT, "grace@example.com")


def test_no_links_where_an_issuer_signs_in(console: RunningConsole, oidc: OidcProvider) -> None:
    surfer = surfer_of(console, oidc)
    code = console.setup.visits.make_link(Identity(issuer="x", subject="y"))
    assert surfer.get(f"/sign-in/once?code={code}").status_code == 404
    assert f"Sign in with {oidc.issuers['main']}" in surfer.get("/sign-in?out").text


def test_an_issuer_that_is_away(tmp_path: Path) -> None:
    verifier = OidcVerifier("https://127.0.0.1:1/x", [CLIENT], clock=now)

    def sign_in(address: Address) -> IssuerSignIn:
        return IssuerSignIn(Registration("https://127.0.0.1:1/x", CLIENT, f"{address.origin}{CALLBACK}"), verifier)

    with running_console(tmp_path, issuer=sign_in, verifier=verifier) as console:
        answer = console.surfer().get("/requests/1")
        assert answer.headers["location"] == "/sign-in/start?then=%2Frequests%2F1"
        away = console.surfer().get(answer.headers["location"])
        assert away.status_code == 503
        assert "cannot be reached" in away.text


def test_attempts_that_are_none() -> None:
    for text in ("", "x", "e30", "////", "\u202e", msgspec.json.encode({"state": 1}).hex()):
        assert read_attempt(text) is None
