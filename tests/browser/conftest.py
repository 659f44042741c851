"""A real Chromium on the real service and the real provider, all over https on loopback.

`make test-browser` runs these; `make test` does not collect them. Nothing here sleeps: every wait is for a condition.
`DBGATE_TEST_CHROMIUM` names another browser than Debian's, `DBGATE_TEST_SHOTS` a folder for pictures of the pages.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from msgspec.structs import replace
from playwright.sync_api import Browser, expect, sync_playwright
from tests.approvals.kit import now
from tests.audit.samples import Installation, intent, outcome, overwrite
from tests.browser.kit import Console, Person
from tests.oidc.provider import OidcProvider, oidc_provider

from dbgate.approvals import keys
from dbgate.approvals.databases import open_store
from dbgate.approvals.grants import GrantSigner
from dbgate.approvals.service import ApprovalService
from dbgate.audit.layout import compress, decompress

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
START_S = 60

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def oidc_port() -> int:
    """The port that the service will listen on: the provider has to know it before."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def oidc(tmp_path_factory: pytest.TempPathFactory, oidc_port: int) -> Iterator[OidcProvider]:
    redirect = f"https://127.0.0.1:{oidc_port}/sign-in/callback"
    with oidc_provider(tmp_path_factory.mktemp("oidc"), redirects=[redirect]) as provider:
        yield provider


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory, oidc: OidcProvider, oidc_port: int) -> Iterator[Console]:
    """`dbgate serve`, as an operator would start it."""
    folder = tmp_path_factory.mktemp("service")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = ca.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    (folder / "secret").write_text(oidc.secret)
    (folder / "secret").chmod(0o600)
    archive, altered = recorded(Installation(folder / "archive"))
    (folder / "config.yaml").write_text(
        f"identity: {{provider: oidc, issuer: '{oidc.issuers['main']}', client_id: dbgate, ca_file: '{oidc.ca_file}',"
        f" scopes: [email, groups]}}\naudit: {{bucket: '{archive.url}', auditors: [auditors]}}\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBGATE_", "PG"))}
    environment |= {"DBGATE_CONFIG": str(folder / "config.yaml"), "XDG_STATE_HOME": str(folder / "state")}
    arguments = f"serve --port {oidc_port} --console-client dbgate-web --ready-file {folder / 'ready'}".split()
    arguments += ["--certificate", str(folder / "server.pem"), "--private-key", str(folder / "server.pem")]
    arguments += ["--console-secret-file", str(folder / "secret")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dbgate", *arguments], env=environment, stderr=log, stdout=log, text=True
        )
    try:
        url = started(process, folder)
        state_dir = folder / "state" / "dbgate"
        store = open_store("", state_dir / "approvals" / "approvals.db")
        signer = GrantSigner(keys.load_or_create(state_dir / "approvals" / "grants.key"))
        service = ApprovalService(store, signer, now)
        yield Console(url, oidc, state_dir, altered, process, folder / "ca.pem", service)
        store.close()
    finally:
        process.terminate()
        process.wait(30)


def started(process: subprocess.Popen[str], folder: Path) -> str:
    """The service's URL, once it accepts connections."""
    until = time.monotonic() + START_S
    while not (folder / "ready").exists():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the service did not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.05)
    return (folder / "ready").read_text().strip()


def recorded(archive: Installation) -> tuple[Installation, str]:
    """An archive with one session that has everything, and some more, of which one was altered."""
    with archive.open() as session:
        session.record("statement.intent", intent(1, "SELECT full_name, ssn FROM employees", "rewrite", masked=["ssn"]))
        session.record("output", {"id": 1, "text": " full_name | ssn •\n-----------+---------\n Grace     | ***7919\n"})
        session.record("statement.outcome", outcome(1, masked=["ssn"]))
        session.record("statement.intent", intent(2, "DELETE FROM pay", "deny", denied="no-blanket"))
        session.record("statement.intent", intent(3, "SELECT '<b>\u202e\x1b[2J'"))
        session.record("statement.outcome", outcome(3))
        session.close({"reason": "ended", "statements": 3})
    for _ in range(27):
        archive.session(1)
    altered = archive.session(1)
    archive.ship()
    (file,) = archive.folder(altered).glob("00000.*")
    overwrite(file, compress(decompress(file.read_bytes()).replace(b"select 1", b"select 2")))
    return archive, altered


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory, console: Console) -> Iterator[Browser]:
    """Chromium, which trusts the authorities of the service and of the provider and nothing else that is ours."""
    path = os.environ.get("DBGATE_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not path:
        pytest.fail("there is no chromium: apt-get install chromium, or name one in DBGATE_TEST_CHROMIUM")
    home = tmp_path_factory.mktemp("home")
    trust(home, console.ca_file, console.oidc.ca_file)
    with sync_playwright() as playwright:
        environment: dict[str, str | float | bool] = {**os.environ, "HOME": str(home)}
        made = playwright.chromium.launch(executable_path=path, args=FLAGS, env=environment)
        yield made
        made.close()


def trust(home: Path, *authorities: Path) -> None:
    """Make the browsers of a home trust these authorities, as an administrator would."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True)
    for number, file in enumerate(authorities):
        subprocess.run(
            ["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", f"authority {number}", "-i", str(file)],
            check=True,
        )


@pytest.fixture
def people(browser: Browser, console: Console) -> Iterator[Callable[..., Person]]:
    """`people(**options)` opens a fresh browser profile; its problems fail the test in the end."""
    made: list[Person] = []

    def come(**options: Any) -> Person:
        context = browser.new_context(**options)
        person = Person(context, context.new_page(), console)
        person.page.on("pageerror", lambda error: person.problems.append(str(error)))
        person.page.on("console", person.hear)
        made.append(person)
        return person

    yield come
    problems = [problem for person in made for problem in person.problems]
    for person in made:
        person.context.close()
    assert not problems


@pytest.fixture
def hana(people: Callable[..., Person]) -> Person:
    """A DBA and auditor, signed in."""
    person = people(viewport={"width": 1280, "height": 900})
    person.sign_in("hana")
    return person


@pytest.fixture(autouse=True)
def nothing_open(console: Console) -> Iterator[None]:
    """What a test filed is closed behind it."""
    yield
    from dbgate.approvals.states import Status
    from dbgate.approvals.store import Query

    dba = replace(console.person("closer", "dba", "data-owners"), email="")
    for request in console.service.find(Query(viewer=dba, role="review", statuses=(Status.PENDING,), limit=200)):
        console.service.deny(dba, request.id, "the test is over")
