"""Exports of recordings as their viewers see them: the page in a real Chromium, the cast in asciinema's own player."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from tests.audit.samples import START
from tests.browser.kit import SHOTS
from tests.node import install_packages
from tests.unit.audit.test_audit_replay import RECORDS, at, nasty_records, record

from dbgate.audit.export import cast
from dbgate.audit.page import page as made_page

WRITE: dict[str, Any] = {"access": "write", "writes": ["t"]}
SESSION = [
    record("session.start", at(0), **START),
    *(item | WRITE if item.get("grant") else item for item in RECORDS[1:]),
    {"kind": "verdict", "time": "", "text": "11 records in one chain", "holds": True},
]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that can reach nothing, and has no problems."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 700})
    found = context.new_page()
    problems: list[str] = []
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("console", lambda message: problems.append(message.text))
    found.on("dialog", lambda dialog: problems.append(dialog.message))
    yield found
    context.close()
    assert not problems


def opened(page: Page, tmp_path: Path, records: list[dict[str, Any]]) -> Page:
    file = tmp_path / "session.html"
    file.write_text("".join(made_page(records)), encoding="utf-8")
    page.goto(file.as_uri())
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    return page


def test_a_page_plays_alone(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, SESSION)
    statements, clock = page.locator("pre.statement"), page.locator("[data-clock]")
    expect(clock).to_have_text("0:08 / 0:08 · 08:00:27 UTC")
    expect(page.locator("pre.end").last).to_have_text("checked: 11 records in one chain")
    page.keyboard.press("Home")
    expect(statements.first).to_be_hidden()
    page.keyboard.press("d")
    expect(page.locator("pre.deny").first).to_be_visible()
    expect(statements.nth(2)).to_be_hidden()
    expect(clock).to_have_text("0:03 / 0:08 · 08:00:20 UTC")
    page.keyboard.press("w")
    expect(page.get_by_text("[approved by bulk · grant g1]")).to_be_visible()
    expect(page.locator("pre.error")).to_be_hidden()
    page.keyboard.press("e")
    expect(page.locator("pre.error")).to_be_visible()
    page.keyboard.press("Shift+A")
    page.keyboard.press("Shift+A")
    expect(page.get_by_text("[approval requested")).to_be_visible()
    expect(page.get_by_text("[approval redeemed")).to_be_hidden()
    page.keyboard.press("i")
    expect(clock).to_have_text("0:21 / 0:27 · 08:00:21 UTC")
    page.keyboard.press("ArrowLeft")
    expect(clock).to_have_text(re.compile("0:16 / 0:27"))
    page.keyboard.press("5")
    expect(clock).to_have_text(re.compile("0:13 / 0:27"))
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/export.png")


def test_a_page_is_searched_and_played_to_its_end(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, SESSION)
    page.keyboard.press("/")
    page.keyboard.type("drop table")
    page.keyboard.press("Enter")
    expect(page.locator("pre.statement.current")).to_have_text("payroll=> DROP TABLE t")
    expect(page.locator("pre.statement").nth(2)).to_be_hidden()
    page.keyboard.type(" nowhere")
    page.keyboard.press("Enter")
    expect(page.locator("[data-search]")).to_have_attribute("data-found", "no")
    page.keyboard.press("Escape")
    for _ in range(6):
        page.keyboard.press(">")
    expect(page.get_by_label("Speed")).to_have_value("64")
    page.keyboard.press("Space")
    expect(page.locator("main")).to_have_attribute("data-state", "still")
    expect(page.locator("pre.end").last).to_be_visible()


def test_a_page_of_a_hostile_recording_is_only_text(page: Page, tmp_path: Path) -> None:
    opened(page, tmp_path, nasty_records())
    assert page.evaluate("document.scripts.length") == 1
    assert page.locator("main *:not(pre)").count() == 0
    assert "<script>alert(1)</script>" in page.locator("main").inner_text()
    page.keyboard.press("/")
    page.keyboard.type("alert(1)")
    page.keyboard.press("Enter")
    expect(page.locator("[data-search]")).to_have_attribute("data-found", "yes")


@dataclass
class Stage:
    """asciinema's player on a page of its own."""

    page: Page
    cast: str = ""

    def play(self, records: list[dict[str, Any]]) -> list[str]:
        """Play a cast to its end; the labels of the markers that it passed."""
        self.cast = "".join(cast(records))
        labels: list[str] = self.page.evaluate(PLAY, {"speed": 50, "preload": True, "fit": False})
        return labels

    @property
    def screen(self) -> Locator:
        """What the player shows."""
        return self.page.locator(".ap-term")


PLAY = """options => new Promise((done) => {
    const labels = [];
    window.shown = AsciinemaPlayer.create("/session.cast", document.getElementById("player"), options);
    shown.addEventListener("marker", (marker) => labels.push(marker.label));
    shown.addEventListener("ended", () => done(labels));
    shown.play();
})"""


@pytest.fixture
def stage(page: Page) -> Stage:
    """The player from npm; nothing else can be reached."""
    home = install_packages("asciinema", Path(__file__).parent / "asciinema", ["package.json", "package-lock.json"])
    bundle = home / "node_modules" / "asciinema-player" / "dist" / "bundle"
    found = Stage(page)

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        if name == "session.cast":
            route.fulfill(body=found.cast)
        elif name:
            route.fulfill(path=bundle / name)
        else:
            head = '<!doctype html><link rel="icon" href="data:,"><link rel="stylesheet" href="/asciinema-player.css">'
            body = f'{head}<div id="player"></div><script src="/asciinema-player.min.js"></script>'
            route.fulfill(content_type="text/html", body=body)

    page.context.set_offline(False)
    page.route("**/*", answer)
    page.goto("http://player.invalid/")
    return found


def test_asciinema_plays_a_cast(stage: Stage) -> None:
    labels = stage.play(SESSION)
    assert labels == [
        "payroll=> SELECT ssn FROM t",
        "denial: payroll=> DROP TABLE t",
        "approval: [approval requested · request r1 · measured s.t: 420]",
        "approval: [approval redeemed · request r1 · by dba@example.com]",
        "write: payroll=> UPDATE t SET a = 1 -- all",
        "error: [error · 57014 · cancelled]",
    ]
    shown = stage.screen.inner_text()
    assert "session ended: quit" in shown
    assert "***6789" in shown
    # Pauses are cut to two seconds by the cast's own idle_time_limit.
    assert stage.page.evaluate("shown.getDuration()") == pytest.approx(8.6)
    stage.page.evaluate("shown.seek({marker: 1})")
    expect(stage.screen).to_contain_text("hint: write one")
    expect(stage.screen).not_to_contain_text("UPDATE t")


def test_asciinema_shows_hostile_text_as_text(stage: Stage) -> None:
    stage.play(nasty_records())
    shown = stage.screen.inner_text()
    assert "\\x1b[2J\\x1b]0;owned" in shown
    assert "session ended: x" in shown
    assert stage.page.title() == ""
