"""`dbgate serve` with its console and webhooks, and `dbgate requests console` and `webhooks`, as commands."""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests as http
from tests.approvals.kit import ALICE, request_of

from dbgate.approvals import ApprovalsClient
from dbgate.approvals.local import mint_local_token
from dbgate.cli.app import run
from dbgate.config import load_settings
from dbgate.settings import ApprovalsSettings

DBGATE = [sys.executable, "-c", "import sys; sys.argv[0] = 'dbgate'; from dbgate.cli import main; main()"]
Wait = Callable[..., None]


@pytest.fixture
def state_dir(dbgate_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (dbgate_home / "config.yaml").write_text("identity: {provider: local, email: me@example.com, groups: [dba]}\n")
    monkeypatch.setenv("NO_COLOR", "1")
    return load_settings().state_dir


@contextmanager
def serving(folder: Path, wait_until: Wait, *arguments: str) -> Iterator[tuple[str, list[str]]]:
    """`dbgate serve --local`: its URL, and what it said when it is over."""
    ready, said = folder / "ready", list[str]()
    ready.unlink(missing_ok=True)
    command = [*DBGATE, "serve", "--local", "--port", "0", "--ready-file", str(ready), *arguments]
    with (folder / "said").open("w") as log, subprocess.Popen(command, stderr=log, stdout=log, text=True) as child:
        try:
            wait_until(lambda: ready.exists() or child.poll() is not None, timeout_s=60)
            assert child.poll() is None, (folder / "said").read_text()
            said += (folder / "said").read_text().splitlines()
            yield ready.read_text().strip(), said
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(20)


def ask(url: str, state_dir: Path) -> str:
    client = ApprovalsClient(ApprovalsSettings(url=url), lambda: mint_local_token(state_dir, ALICE), ALICE, state_dir)
    try:
        return client.ask(request_of(ALICE)).id
    finally:
        client.close()


def test_a_link_to_a_request_s_page(
    state_dir: Path,
    tmp_path: Path,
    wait_until: Wait,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(tmp_path, wait_until) as (url, said):
        monkeypatch.setenv("DBGATE_APPROVALS_URL", url)
        name = ask(url, state_dir)
        assert run(["requests", "console", name[:6]]) == 0
        link = capsys.readouterr().out.strip()
        assert re.fullmatch(rf"{url}/sign-in/once\?code=[\w-]{{43}}&then=/requests/{name}", link)
        with http.Session() as browser:
            browser.trust_env = False
            page = browser.get(link, timeout=20)
            assert page.url == f"{url}/requests/{name}"
            assert "me@example.com" in page.text
            printed = re.search(r"web console: (\S+) \(works once\)", "\n".join(said))
            assert printed
            assert browser.get(printed[1], timeout=20).url == f"{url}/"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://approvals.example.com", "the console's address must be an https URL"),
        ("approvals", "the console's address must be an https URL"),
        ("https://approvals.example.com/console", "the console's address has more than a host and a port"),
        ("https://me@127.0.0.1", "the console's address has more than a host and a port"),
        ("https://approvals.example.com", "can be reached from elsewhere"),
    ],
)
def test_addresses_that_are_refused(state_dir: Path, url: str, reason: str) -> None:
    done = subprocess.run(
        [*DBGATE, "serve", "--local", "--port", "0", "--public-url", url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert reason in done.stderr


def test_another_port_in_front(state_dir: Path, tmp_path: Path, wait_until: Wait) -> None:
    with serving(tmp_path, wait_until, "--public-url", "https://localhost:8443") as (url, said):
        assert any("web console: https://localhost:8443/sign-in/once" in line for line in said)
        assert http.get(f"{url}/", timeout=20).status_code == 421
        assert http.get(f"{url}/sign-in", headers={"Host": "localhost:8443"}, timeout=20).status_code == 200


def test_webhooks_are_told_and_what_is_given_up_is_listed(
    state_dir: Path,
    tmp_path: Path,
    wait_until: Wait,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[dict[str, Any]] = []
    statuses = [404]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        monkeypatch.setenv("DBGATE_SERVE_WEBHOOK", f"http://127.0.0.1:{receiver.server_address[1]}/secret-path")
        monkeypatch.setenv("DBGATE_SERVE_WEBHOOK_SECRET", secrets.token_hex(16))
        with serving(tmp_path, wait_until) as (url, said):
            label = f"http://127.0.0.1:{receiver.server_address[1]}/…"
            assert f"notice: webhooks: {label}" in said
            monkeypatch.setenv("DBGATE_APPROVALS_URL", url)
            name = ask(url, state_dir)
            wait_until(lambda: taken, timeout_s=30)
            assert taken[0]["dbgate"]["url"] == f"{url}/requests/{name}"

            def listed() -> list[dict[str, Any]]:
                assert run(["requests", "webhooks", "--format", "json"]) == 0
                found: list[dict[str, Any]] = json.loads(capsys.readouterr().out or "[]")
                return found

            wait_until(lambda: [one["status"] for one in listed()] == ["dead"], timeout_s=30)
            (dead,) = listed()
            assert (dead["hook"], dead["request"], dead["error"]) == (label, name, "answered 404")
            assert run(["requests", "webhooks"]) == 0
            assert re.search(
                rf"{dead['number']}\s+dead\s+{re.escape(label)}\s+{name}\s+1 .* answered 404", capsys.readouterr().out
            )
            metrics = http.get(f"{url}/metrics", timeout=20).text
            assert 'dbgate_webhooks{status="dead"} 1.0' in metrics
            assert run(["requests", "webhooks", "--again", str(dead["number"])]) == 0
            wait_until(lambda: len(taken) == 2 and not listed(), timeout_s=30)
            assert run(["requests", "webhooks", "--again", str(dead["number"])]) == 2
        assert "secret-path" not in (tmp_path / "said").read_text()
        receiver.shutdown()
        thread.join(10)


def test_webhooks_need_a_secret(state_dir: Path) -> None:
    done = subprocess.run(
        [*DBGATE, "serve", "--local", "--port", "0", "--webhook", "https://hooks.example.com/x"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "webhooks are signed with a secret of at least 16 characters" in done.stderr
