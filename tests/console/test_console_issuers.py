"""Signing in to the console where it trusts two issuers, each of which tries to speak for the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace
from tests.approvals.kit import now
from tests.console.kit import RunningConsole, Surfer, running_console
from tests.console.test_console_sign_in import CLIENT, attempt_cookie, surfer_of, until_callback
from tests.oidc.provider import OidcProvider

from dbgate.approvals.issuers import IssuersVerifier
from dbgate.approvals.oidc import OidcVerifier
from dbgate.console.address import Address
from dbgate.console.issuer import IssuerSignIn, Registration
from dbgate.console.sign_in import callback_of
from dbgate.model import Identity


@pytest.fixture
def console(oidc: OidcProvider, tmp_path: Path) -> Iterator[RunningConsole]:
    urls = {"": oidc.issuers["main"], "partner": oidc.issuers["same-port"]}
    verifiers = {
        name: OidcVerifier(url, [CLIENT], clock=now, ca_file=str(oidc.ca_file), clients=[CLIENT], name=name)
        for name, url in urls.items()
    }

    def sign_ins(address: Address) -> tuple[IssuerSignIn, ...]:
        made = []
        for name, url in urls.items():
            back = f"{address.origin}{callback_of(name)}"
            us = Registration(url, CLIENT, back, scopes=("groups",), ca_file=str(oidc.ca_file), name=name)
            made.append(IssuerSignIn(us, verifiers[name]))
        return tuple(made)

    with running_console(tmp_path, issuer=sign_ins, verifier=IssuersVerifier(list(verifiers.values()))) as running:
        yield running


def back_from(surfer: Surfer, login: str, at: str, then: str = "/") -> str:
    """The address that brings the answer of the issuer called `at`, not opened yet."""
    return until_callback(surfer, login, f"{then}&at={at}")


def who(console: RunningConsole, surfer: Surfer) -> Identity:
    visit = console.setup.visits.find(surfer.session.cookies[console.setup.address.cookie] or "", moves=False)
    assert visit
    return visit.identity


def test_the_person_chooses_the_issuer(console: RunningConsole, oidc: OidcProvider) -> None:
    surfer = surfer_of(console, oidc)
    assert surfer.get("/mine").headers["location"] == "/sign-in/start?then=%2Fmine"
    page = surfer.get("/sign-in/start?then=%2Fmine")
    assert page.status_code == 200
    for name, url in (("", oidc.issuers["main"]), ("partner", f"partner: {oidc.issuers['same-port']}")):
        assert f'href="/sign-in/start?at={name}&amp;then=%2Fmine">Sign in with {url}</a>' in page.text
    assert surfer.get("/sign-in/start?at=evil").status_code == 404
    assert surfer.get(callback_of("evil")).status_code == 404


def test_one_name_at_two_issuers_is_two_people(console: RunningConsole, oidc: OidcProvider) -> None:
    found = []
    for at in ("", "partner"):
        surfer = surfer_of(console, oidc)
        path = back_from(surfer, "hana", at, "/mine")
        assert urlsplit(path).path == callback_of(at)
        assert surfer.get(path).headers["location"] == "/mine"
        found.append(who(console, surfer))
    ours, theirs = found
    assert (ours.key, ours.groups) == (f"{oidc.issuers['main']}#hana", ("dba", "auditors"))
    assert (theirs.key, theirs.groups) == (f"{oidc.issuers['same-port']}#hana", ("partner/dba", "partner/auditors"))


@pytest.mark.parametrize(("asked", "answered"), [("", "partner"), ("partner", "")])
def test_an_answer_of_the_other_issuer_is_refused(
    console: RunningConsole, oidc: OidcProvider, asked: str, answered: str
) -> None:
    """A mix-up (RFC 9700, 4.4): an issuer sends a browser that asked it to the other, whose code it wants to see."""
    surfer = surfer_of(console, oidc)
    path = back_from(surfer, "hana", answered)
    name, attempt = attempt_cookie(surfer)
    issuers = {"": oidc.issuers["main"], "partner": oidc.issuers["same-port"]}
    assert attempt.issuer == issuers[answered]
    query = urlsplit(path).query

    at_the_other = surfer.get(f"{callback_of(asked)}?{query}")
    assert (at_the_other.status_code, "sign-in at another issuer" in at_the_other.text) == (401, True)

    surfer.session.cookies.set(name, replace(attempt, issuer=issuers[asked]).to_text(), path="/")
    names_itself = surfer.get(f"{callback_of(asked)}?{query}")
    assert (names_itself.status_code, "answer is another issuer" in names_itself.text) == (401, True)
    assert surfer.get("/").status_code == 303


def test_each_issuer_is_told_an_address_of_its_own(console: RunningConsole, oidc: OidcProvider) -> None:
    told = set()
    for at in ("", "partner"):
        asked = parse_qs(urlsplit(surfer_of(console, oidc).get(f"/sign-in/start?at={at}").headers["location"]).query)
        told.add(asked["redirect_uri"][0].removeprefix(console.origin))
    assert told == {"/sign-in/callback", "/sign-in/callback/partner"}
