"""An evidence pack in a real browser: on a screen, on a phone, and on paper."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.audit.evidence import EVIL, evidence
from tests.audit.samples import Installation
from tests.cli.test_cli_audit import environment

from dbgate.cli.app import run
from dbgate.text import printable

SHOTS = os.environ.get("DBGATE_TEST_SHOTS", "")


@pytest.fixture(params=["soc2", "fedramp"])
def page(
    request: pytest.FixtureRequest, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    """A report, opened from its file by a browser without a network; its problems fail the test in the end."""
    here = Installation(tmp_path)
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    evidence(here)
    file = tmp_path / "report.html"
    period = ("--from", "2020-01-01", "--to", "2099-01-01")
    assert run(["audit", "report", "--standard", request.param, *period, "-o", str(file)]) == 0
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    made = context.new_page()
    problems: list[str] = []
    made.on("console", lambda message: problems.append(message.text))
    made.on("pageerror", lambda error: problems.append(str(error)))
    made.on("dialog", lambda dialog: problems.append(f"a dialog: {dialog.message}"))
    made.on("request", lambda sent: problems.append(sent.url) if sent.url != file.as_uri() else None)
    made.goto(file.as_uri())
    yield made
    context.close()
    assert problems == []


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"report-{name}.png", full_page=True)


def overflow(page: Page) -> list[str]:
    """What sticks out of the page to the right."""
    script = """() => [...document.querySelectorAll("td, th, p, pre, li, dd, h1, h2, h3")]
        .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
        .map(e => e.tagName + ": " + e.textContent.slice(0, 60))"""
    found: list[str] = page.evaluate(script)
    return found


def test_a_report_on_a_screen(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text("Evidence of database access")
    expect(page.locator(".verdicts").first).to_contain_text("intact: holds")
    expect(page.get_by_text(printable(EVIL), exact=True).first).to_be_visible()
    assert overflow(page) == []
    style = page.locator("h2").first.evaluate("e => getComputedStyle(e).fontFamily")
    assert "sans-serif" in style, "its own style is let through by its policy"
    shot(page, "screen")


def test_every_figure_links_to_its_query(page: Page) -> None:
    links = page.locator("sup a")
    assert links.count() > 40
    targets = links.evaluate_all("all => all.filter(a => !document.querySelector(a.getAttribute('href'))).length")
    assert targets == 0
    links.first.click()
    expect(page.locator(":target")).to_contain_text("SELECT")


def test_a_report_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    shot(page, "phone")


def test_a_report_on_paper(page: Page, tmp_path: Path) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1017, "height": 700})
    assert overflow(page) == []
    assert page.locator("section.part").nth(1).evaluate("e => getComputedStyle(e).breakBefore") == "page"
    shot(page, "paper")
    content = page.pdf(path=str(tmp_path / "report.pdf"), prefer_css_page_size=True)
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") >= 10
