"""A desk with an approvals service behind it: what the tests of approvals through `dbgate exec` share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.approvals.kit import Running, person, running_service
from tests.cli.test_cli_exec import POLICY, UPDATE, Desk
from tests.conftest import LiveDatabase

from dbgate.audit import spool
from dbgate.config import load_settings

DORA = person("dora", "dba")


class Reviewed(Desk):
    """A desk with an approvals service."""

    service: Running

    def setup(self, policy: str = POLICY, more: str = "") -> None:
        """Write configuration and policy anew."""
        self.configure(f"approvals: {{url: '{self.service.url}'{more}}}\n", policy)

    def approved(self, statement: str = UPDATE) -> str:
        """Have a statement, the update unless said, asked for and approved; the request's id."""
        name = str(self.exec("--format", "json", "--no-wait", "-c", statement).json[0]["request"])
        self.service.client(DORA).decide(name, "approve")
        return name

    def total(self) -> object:
        """What the update would change."""
        return self.database.query("SELECT sum(amount) FROM payroll.pay")[0][0]


@contextmanager
def reviewed(
    home: Path, world: LiveDatabase, capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reviewed]:
    """A desk whose transcripts stay in the spool: the shipper's lock is taken."""
    monkeypatch.setenv("DBGATE_STATE_DIR", str(folder / "state"))
    (folder / "state").mkdir(mode=0o700)
    lock = spool.try_lock(folder / "state" / spool.SHIP_LOCK, create=True)
    assert lock is not None
    made = Reviewed(home, world, capsys)
    with running_service(load_settings().state_dir) as service:
        made.service = service
        made.setup()
        yield made
    made.close()
    os.close(lock)
