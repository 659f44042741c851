"""The server's own log as a second witness: nothing of a person reaches it before its intent is on disk, and nothing that was
denied reaches it at all. Every statement carries a number of its own, by which it is found in the log and in the transcript."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.cli.test_cli_exec import POLICY, WORLD
from tests.conftest import TEST_VERSION
from tests.servers import versions
from tests.shell.terminal import Terminal

from dbgate.audit import spool
from dbgate.gate.syntax import split

pytestmark = pytest.mark.live

SLOW_DISK = """
import json, os, sys, time

def timed(real):
    def sync(descriptor):
        time.sleep(0.05)
        real(descriptor)
        at, about = time.time(), os.fstat(descriptor)
        with open(os.environ["TEST_SYNCED"], "a") as file:
            print(json.dumps([at, about.st_ino, about.st_size]), file=file)
    return sync

os.fsync, os.fdatasync = timed(os.fsync), timed(os.fdatasync)
from dbgate.cli.app import run
sys.exit(run())
"""
"""dbgate on a disk that takes 50 ms to keep anything, and that tells when it has kept what."""

SETTINGS = {
    "log_statement": "all",
    "log_min_duration_statement": "0",  # what is only parsed and bound shows, too
    "log_line_prefix": "@%n|%u|",
    "log_parameter_max_length": "-1",
}
USER = "witnessed"
ENTRY = re.compile(r"^@(\d+\.\d+)\|([^|]*)\|(.*)", re.MULTILINE)

RUN = (
    "SELECT 7101;"
    "SELECT ssn, 7102 FROM payroll.employees WHERE id = 1;"
    "UPDATE payroll.pay SET amount = 7103 WHERE id = 1;"
    "SELECT 1 / (7104 - 7104);"
    "INSERT INTO payroll.pay VALUES (7105, 1, 1);"
    "BEGIN; DELETE FROM payroll.pay WHERE id = 1 AND amount <> 7106; ROLLBACK;"
    "PREPARE p AS SELECT 7107; EXECUTE p;"
    "WITH w AS (UPDATE payroll.pay SET amount = 7108 WHERE id = 2 RETURNING id) SELECT id FROM w;"
    "COPY (SELECT 7109) TO STDOUT;"
    "EXPLAIN SELECT 7110;"
)
STOPPED = (
    "DROP TABLE payroll.pay /* 7201 */;"
    "UPDATE payroll.pay SET amount = 7202 WHERE id > 0;"
    "SELECT pg_sleep(7203);"
    "SELECT 7204 FROM payroll.nowhere;"
    "COPY payroll.pay TO PROGRAM 'cat 7205';"
    "UPDATE payroll.employees SET note = ssn || 7206 WHERE id = 1;"
    "EXPLAIN ANALYZE UPDATE payroll.pay SET amount = 7207;"
    "PREPARE q AS SELECT pg_read_file('7208');"
    "WITH w AS (UPDATE payroll.pay SET amount = 7209 RETURNING id) SELECT id FROM w;"
    "SELECT 7210 INTO payroll.kept;"
    "DO 'BEGIN PERFORM 7211; END';"
)


class Witness:
    """A server that logs everything, and a person's machine with a slow disk."""

    def __init__(self, folder: Path, log: Path, dsn: str) -> None:
        self.folder, self.log, self.synced = folder, log, folder / "synced"
        (folder / "policy.yaml").write_text(POLICY)
        config = {
            "identity": {"provider": "local", "email": "ann@example.com", "groups": ["engineering"]},
            "audit": {"key_store": "file"},
            "targets": {"pay": {"engine": "postgres", "dsn": dsn, "policy": str(folder / "policy.yaml")}},
        }
        (folder / "config.yaml").write_text(json.dumps(config))
        self.environment = {
            "HOME": str(folder),
            "DBGATE_CONFIG": str(folder / "config.yaml"),
            "DBGATE_STATE_DIR": str(folder / "state"),
            "TEST_SYNCED": str(self.synced),
        }

    def logged(self) -> list[tuple[float, str]]:
        """When the server got what from the person's role: time and text."""
        text = self.log.read_text(errors="replace")
        return [(float(at), said) for at, user, said in ENTRY.findall(text.replace("\n\t", " ")) if user == USER]

    def kept(self, kind: str = "statement.intent", field: str = "text") -> list[tuple[str, float]]:
        """The statements of the transcript, as recorded in a field of a kind, and when the record was on disk."""
        synced = [json.loads(line) for line in self.synced.read_text().splitlines()]
        found = []
        for path in (self.folder / "state" / "spool").glob("*/00000.jsonl"):
            end = 0
            for line in path.read_bytes().splitlines(keepends=True):
                end += len(line)
                record = json.loads(line)
                if record["kind"] == kind and field in record:
                    times = [at for at, inode, size in synced if inode == path.stat().st_ino and size >= end]
                    found.append((record[field], min(times)))
        return found

    def numbers(self, series: int, *, looking: bool = False) -> dict[int, list[float]]:
        """When the server got anything with a number of a series (71 or 72), however it was sent.

        What dbgate counts, and shows to reviewers, before there is a decision, comes with `looking` alone: it is read-only.
        """
        found: dict[int, list[float]] = {}
        read_only = False
        for at, said in self.logged():
            if "set_config('transaction_read_only', 'on', true)" in said:
                read_only = True
            elif "ROLLBACK" in said:
                read_only = False
            if read_only is not looking:
                continue
            for number in re.findall(rf"\b{series}\d\d\b", said):
                found.setdefault(int(number), []).append(at)
        return found


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witness]:
    """A server of this test's own; transcripts stay in the spool, for the shipper's lock is taken."""
    with versions.start(TEST_VERSION, tmp_path / "server") as server:
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            password = os.urandom(12).hex()
            admin.execute(f"CREATE ROLE {USER} LOGIN PASSWORD '{password}'")
            admin.execute(WORLD.format(app=USER))
            for name, value in SETTINGS.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            admin.execute("SELECT pg_reload_conf()")
        parts = psycopg.conninfo.conninfo_to_dict(server.dsn)
        dsn = f"postgresql://{USER}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"
        (tmp_path / "state").mkdir(mode=0o700)
        lock = spool.try_lock(tmp_path / "state" / spool.SHIP_LOCK, create=True)
        assert lock is not None
        try:
            yield Witness(tmp_path, server.directory / "log", dsn)
        finally:
            os.close(lock)


def number(text: str) -> int:
    found = re.search(r"7[12]\d\d", text)
    return int(found[0]) if found else 0


def check(witness: Witness, run: str, stopped: str) -> None:
    kept = witness.kept()
    assert len(kept) == len(split(run)) + len(split(stopped))
    on_disk = {number(text): at for text, at in kept}
    sent = witness.numbers(71)
    assert sent.keys() == {number(source.text) for source in split(run) if number(source.text)}
    for which, times in sent.items():
        assert min(times) >= on_disk[which] - 0.002, f"{which} reached the server before its intent was on disk"
    assert witness.numbers(72) == {}, "something that was not to run reached the server"
    announced = {number(text): at for text, at in reversed(witness.kept("notice", "statement"))}
    for series in (71, 72):
        for which, times in witness.numbers(series, looking=True).items():
            assert min(times) >= announced[which] - 0.002, f"{which} was looked at before that was on disk"


def test_exec_sends_nothing_before_its_intent_is_on_disk_and_nothing_denied(witness: Witness) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW_DISK, "exec", "pay", "--keep-going", "--no-wait", "-c", RUN, "-c", STOPPED],
        env=os.environ | witness.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert "7101" in done.stdout, done.stderr
    assert "***6001" in done.stdout
    assert done.stderr.count("error: division by zero") == 1
    check(witness, RUN, STOPPED)


def test_connect_sends_nothing_before_its_intent_is_on_disk_and_nothing_denied(witness: Witness) -> None:
    typed = {
        "SELECT 7101;": "(1 row)",
        "DROP TABLE payroll.pay /* 7201 */;": "denied: rule no-destruction",
        "SELECT ssn, 7102 FROM payroll.employees WHERE id = 1;": "***6001",
        "SELECT pg_sleep(7203);": "pg_sleep is refused",
        "UPDATE payroll.pay SET amount = 7103 WHERE id = 1;": "UPDATE 1",
        "SELECT 7204 FROM payroll.nowhere;": "does not exist",
    }
    with Terminal([sys.executable, "-c", SLOW_DISK, "connect", "pay"], environment=witness.environment) as terminal:
        for text, answer in typed.items():
            terminal.line(text)
            terminal.see(answer)
        terminal.line("\\q")
        assert terminal.end() == 0
    run = " ".join(text for text in typed if re.search(r"\b71\d\d\b", text))
    stopped = " ".join(text for text in typed if re.search(r"\b72\d\d\b", text))
    check(witness, run, stopped)


def test_the_witness_notices_what_is_sent_too_early(witness: Witness) -> None:
    early = SLOW_DISK.replace(
        "from dbgate.cli.app", "from dbgate.audit.recorder import SessionRecorder\nreal = SessionRecorder.record\n"
        "def late(self, kind, fields, **options):\n    return real(self, kind, fields, **(options | {'durable': False}))\n"
        "SessionRecorder.record = late\nfrom dbgate.cli.app"
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", early, "exec", "pay", "-c", "SELECT 7101; SELECT 7102"],
        env=os.environ | witness.environment,
        capture_output=True,
        check=True,
        timeout=60,
    )
    with pytest.raises(AssertionError, match="before its intent"):
        check(witness, "SELECT 7101;SELECT 7102", "")
