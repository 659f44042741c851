"""Who comes in and who watches a recording is on record before they do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from tests.approvals.kit import BOB, person
from tests.audit.samples import Installation, intent
from tests.console.kit import RunningConsole, running_console

from dbgate.approvals.ledger import Access, UnsafeUnrecorded
from dbgate.approvals.limits import RateLimit
from dbgate.audit.bucket import open_bucket
from dbgate.audit.sessions import Archive
from dbgate.errors import AuditUnavailable

OLGA = person("olga", "auditors")


class Noted(UnsafeUnrecorded):
    """Remembers accesses, or fails to."""

    def __init__(self) -> None:
        self.found: list[Access] = []
        self.fails = False

    def note(self, access: Access) -> None:
        """Remember."""
        if self.fails:
            raise AuditUnavailable("the disk is full")
        self.found.append(access)


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
def archive(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "archive")
    with made.open() as session:
        session.record("statement.intent", intent(1, "SELECT 41 + 1"))
        session.close({"reason": "ended", "statements": 1})
    made.ship()
    return made


@pytest.fixture
def console(tmp_path: Path, noted: Noted, archive: Installation) -> Iterator[RunningConsole]:
    def opened() -> Archive:
        return Archive(None, open_bucket(archive.url))

    with running_console(tmp_path / "service", auditors=("auditors",), archive=opened, ledger=noted) as made:
        yield made


def test_who_came_in_and_who_watched(console: RunningConsole, noted: Noted) -> None:
    olga = console.surfer(OLGA)
    assert [(one.action, one.by.email) for one in noted.found] == [("signed-in", "olga@example.com")]
    listing = olga.get("/sessions").text
    (session,) = {part.partition('"')[0] for part in listing.split('href="/sessions/')[1:]}
    assert len(noted.found) == 1, "a list shows no recording"
    page = olga.get(f"/sessions/{session}")
    assert "SELECT 41 + 1" in page.text
    (watched,) = noted.found[1:]
    assert (watched.action, watched.by.key, watched.session) == ("watched", OLGA.key, session)
    assert olga.get("/sessions/01m8mx00390t7btzvjrccm8an3").status_code == 404
    assert console.surfer(BOB).get(f"/sessions/{session}").status_code == 404
    assert [one.action for one in noted.found] == ["signed-in", "watched", "signed-in"]


def test_a_long_list_goes_on_where_its_page_ended(
    console: RunningConsole, archive: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbgate.console.recordings.PAGE", 3)
    monkeypatch.setattr("dbgate.console.recordings.MAX_LOOKED_AT", 5)
    for number in range(7):
        archive.session(start={"identity": {"email": f"p{number % 4}@example.com"}, "target": "payroll"})
    archive.ship()
    olga = console.surfer(OLGA)

    def pages(path: str) -> list[list[str]]:
        text = olga.get(path).text
        found = re.findall(r'href="/sessions/([0-9a-z]{26})"', text)
        further = re.search(r'rel="next" href="([^"]+)"', text)
        return [found, *(pages(unescape(further[1])) if further else [])]

    everything = sorted((folder.name for folder in archive.bucket_dir.glob("sessions/*/*/*")), reverse=True)
    assert pages("/sessions") == [everything[:3], everything[3:6], everything[6:]]
    # The fifth that is looked at ends a page, wanted or not.
    assert pages("/sessions?person=p0@") == [[everything[2]], [everything[6]]]


def test_without_a_record_nobody_comes_in_or_watches(console: RunningConsole, noted: Noted) -> None:
    olga = console.surfer(OLGA)
    session = olga.get("/sessions").text.split('href="/sessions/')[1].partition('"')[0]
    noted.fails = True
    refused = olga.get(f"/sessions/{session}")
    assert refused.status_code == 503
    assert "SELECT 41" not in refused.text
    stranger = console.surfer()
    answer = stranger.get(f"/sign-in/once?code={console.setup.visits.make_link(OLGA)}")
    assert answer.status_code == 503
    assert console.setup.address.cookie not in stranger.session.cookies
    noted.fails = False
    assert olga.get(f"/sessions/{session}").status_code == 200


def test_strangers_are_slowed_down_and_nobody_else(tmp_path: Path) -> None:
    with running_console(tmp_path, strangers=RateLimit(burst=4, per_s=0.01)) as console:
        bob, stranger = console.surfer(BOB), console.surfer()
        answers = [stranger.get(f"/sign-in/once?code=guess{n}") for n in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert stranger.get("/sign-in").status_code == 200
        assert bob.get("/").status_code == 200
