"""A console that runs in a process of its own, and people with browsers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect
from tests.approvals.kit import request_of
from tests.oidc.provider import OidcProvider

from dbgate.approvals.service import ApprovalService
from dbgate.model import ApprovalRequest, Assurance, Identity

SHOTS = os.environ.get("DBGATE_TEST_SHOTS", "")


@dataclass
class Console:
    """The service in its own process, and the means to ask it for something as somebody else."""

    url: str
    oidc: OidcProvider
    state_dir: Path
    altered: str
    process: subprocess.Popen[str]
    ca_file: Path
    service: ApprovalService = field(repr=False)

    def person(self, name: str, *groups: str, **more: Any) -> Identity:
        """Somebody whom the provider knows."""
        return Identity(
            issuer=self.oidc.issuers["main"],
            subject=name,
            email=f"{name}@example.com",
            groups=groups,
            assurance=Assurance.OIDC,
            **more,
        )

    def ask(self, who: Identity | None = None, request: Callable[[Identity], ApprovalRequest] = request_of) -> str:
        """File a request, as the command line of `who` would."""
        asker = who or self.person("dora", "engineering")
        return self.service.file(asker, request(asker))[0].id


@dataclass
class Person:
    """Somebody's browser. `problems` are errors of scripts and violations of the policy, of which there are none."""

    context: BrowserContext
    page: Page
    console: Console
    problems: list[str] = field(default_factory=list)

    def hear(self, message: ConsoleMessage) -> None:
        """Note errors that the console's pages log. A status such as 404 is none: tests look at pages themselves."""
        ours = message.location.get("url", "").startswith(self.console.url)
        if message.type == "error" and ours and not message.text.startswith("Failed to load resource"):
            self.problems.append(message.text)

    def open(self, path: str) -> Page:
        """Open a page of the console and wait until its scripts run."""
        self.page.goto(self.console.url + path)
        if self.context.storage_state()["cookies"]:
            self.ready()
        return self.page

    def ready(self) -> None:
        """Wait until the page's scripts run."""
        expect(self.page.locator("html[data-ready=yes]")).to_be_attached()

    def live(self) -> None:
        """Wait until the page follows events."""
        expect(self.page.locator("html[data-live=open]")).to_be_attached()

    def sign_in(self, name: str, path: str = "/") -> Page:
        """Open a page, and sign in at the provider on the way."""
        self.page.goto(self.console.url + path)
        self.page.locator("input[name=login]").fill(name)
        self.page.locator("input[name=login]").press("Enter")
        expect(self.page.locator(".who-name")).to_have_text(f"{name}@example.com")
        return self.page

    def shot(self, name: str, *, full: bool = False) -> None:
        """A picture of the page, when they are wanted."""
        if SHOTS:
            self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=full)
