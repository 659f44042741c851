r"""`\unmask` in `dbgate connect` on a real PostgreSQL, key by key, with a real approvals service."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.approvals.kit import Running, person, running_service
from tests.conftest import LiveDatabase
from tests.live.test_shell_live import POLICY, SCHEMA, SSN, recorded
from tests.shell.terminal import Terminal

pytestmark = pytest.mark.live

ENTRY = "unmask: [{tags: [pii.*], groups: [engineering], approval: {groups: [dba], count: 1, for: 30m}}]\nrules:"
DORA = person("dora", "dba")


class Home:
    """A person with one target, `hr`, and the service that keeps their requests."""

    def __init__(self, folder: Path, database: LiveDatabase, service: Running) -> None:
        self.service = service
        database.execute(SCHEMA)
        (folder / "policy.yaml").write_text(POLICY.replace("rules:", ENTRY))
        config = {
            "identity": {"provider": "local", "user": "pia", "email": "pia@example.com", "groups": ["engineering"]},
            "approvals": {"url": service.url},
            "audit": {"key_store": "file", "bucket": (folder / "audit").as_uri()},
            "targets": {"hr": {"engine": "postgres", "dsn": database.app_dsn, "policy": str(folder / "policy.yaml")}},
        }
        (folder / "config.yaml").write_text(json.dumps(config))
        self.environment = {
            "HOME": str(folder),
            "DBGATE_CONFIG": str(folder / "config.yaml"),
            "DBGATE_STATE_DIR": str(folder / "state"),
        }

    def connect(self) -> Terminal:
        return Terminal([sys.executable, "-m", "dbgate", "connect", "hr"], environment=self.environment)

    def decide(self, action: str) -> None:
        """What a reviewer does with the one open request."""
        reviewer = self.service.client(DORA)
        deadline = time.monotonic() + 20
        while not (found := reviewer.find(status="pending,approved")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        reviewer.decide(found[0].id, action, "a note")


@pytest.fixture
def home(tmp_path: Path, module_database: LiveDatabase) -> Iterator[Home]:
    (tmp_path / "state").mkdir(mode=0o700)
    with running_service(tmp_path / "state") as service:
        yield Home(tmp_path, module_database, service)


def test_asked_waited_for_approved_and_seen(home: Home) -> None:
    with home.connect() as terminal:
        terminal.prompt()
        terminal.line("select ssn from hr.people where id = 1;")
        terminal.see("notice: pii.ssn may be opened for 30 min with approval by 1 of dba")
        terminal.see("hint: \\unmask pii.ssn")
        terminal.see("***8144")
        terminal.line("\\unmask pii.ssn a customer calls")
        terminal.see("0 of 1 approvals: needs dba (1)")
        home.decide("approve")
        terminal.see("notice: pii.ssn is in clear for 30 min, approved by dora@example.com")
        terminal.prompt()
        terminal.line("select ssn from hr.people where id = 1;")
        terminal.see(SSN)
        terminal.line("\\unmask")
        terminal.see("| in clear until ")
        terminal.line("\\q")
        assert terminal.end() == 0
    assert SSN not in recorded(home.environment)
    assert "a customer calls" in recorded(home.environment)


def test_waiting_is_broken_off_and_the_request_withdrawn(home: Home) -> None:
    with home.connect() as terminal:
        terminal.prompt()
        terminal.line("\\unmask pii.ssn")
        terminal.see("Ctrl-C stops")
        terminal.type("\x03")
        terminal.see("[Y/n: withdraw it]")
        terminal.type("n\r")
        terminal.see("is withdrawn")
        terminal.line("select ssn from hr.people where id = 1;")
        terminal.see("***8144")
        terminal.line("\\q")
        assert terminal.end() == 0


def test_a_denial_is_told_with_its_reason(home: Home) -> None:
    with home.connect() as terminal:
        terminal.prompt()
        terminal.line("\\unmask pii.*")
        terminal.see("Ctrl-C stops")
        home.decide("deny")
        terminal.see("was denied by dora@example.com")
        terminal.line("\\unmask pii.snn")
        terminal.see("error: no such tag: pii.snn")
        terminal.line("\\q")
        assert terminal.end() == 0
