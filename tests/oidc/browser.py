"""A browser for the tests: follows redirects, keeps cookies, fills in the forms it meets.

Run as a command (`python browser.py URL`) with `TEST_BROWSER_LOGIN` and `TEST_BROWSER_CA` in the environment,
so that it can be what `BROWSER` names.
"""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests


class FirstForm(HTMLParser):
    """The action and the fields of the first form on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found = False
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form" and not self.found:
            self.found = True
            self.action = values.get("action", "")
        elif tag == "input" and self.found and values.get("name"):
            self.fields.setdefault(values["name"], values.get("value", ""))


def browse(url: str, login: str, ca_file: str) -> requests.Response:
    """Open `url`, fill in forms until there is none left, and return the last response."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca_file
        return browse_with(session, url, login)


def browse_with(session: requests.Session, url: str, login: str) -> requests.Response:
    """The same, with the cookies of a session."""
    response = session.get(url, timeout=20)
    for _ in range(8):
        form = FirstForm(response.text)
        if not form.found or urlsplit(response.url).scheme != "https":
            return response
        if "login" in form.fields:
            form.fields["login"] = login
        response = session.post(urljoin(response.url, form.action), data=form.fields, timeout=20)
    raise RuntimeError(f"too many forms, the last at {response.url}")


if __name__ == "__main__":
    browse(sys.argv[1], os.environ["TEST_BROWSER_LOGIN"], os.environ["TEST_BROWSER_CA"])
