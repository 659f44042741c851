"""A PostgreSQL that logs every statement, and a home with a policy, a state directory and a bucket."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from tools.crashes.faults import Fault, install

from dbgate.database import embedded

POLICY = """
version: 1
classify: [{columns: [public.people.ssn], tag: pii.ssn}]
rules:
  - {id: all, when: {verbs: [select, insert, update, begin, commit]}, effect: allow}
  - {id: transactions, when: {access: transaction}, effect: allow}
"""
SCHEMA = """
CREATE TABLE seen (mark text PRIMARY KEY);
CREATE TABLE people (id int PRIMARY KEY, ssn text);
INSERT INTO people SELECT n, '900-00-' || n FROM generate_series(1000, 1009) n;
CREATE ROLE app LOGIN PASSWORD '{password}';
ALTER ROLE app SET log_statement = 'all';
GRANT SELECT, INSERT, UPDATE ON seen, people TO app;
"""


@dataclass(frozen=True)
class Ended:
    """How a process ended: `killed` by our fault, or with `code`; what it said on stderr; the steps it took."""

    killed: bool
    code: int
    err: str
    steps: int


@dataclass
class World:
    """Where the processes run. `epoch` counts installations: each has a state directory and a bucket of its own."""

    home: Path
    server: embedded.EmbeddedServer
    password: str
    epoch: int = 0
    log_from: int = 0

    @property
    def place(self) -> Path:
        """The folder of this epoch."""
        return self.home / f"epoch{self.epoch}"

    @property
    def state_dir(self) -> Path:
        return self.place / "state"

    @property
    def bucket_dir(self) -> Path:
        return self.place / "bucket"

    def renew(self) -> None:
        """Begin a new epoch: a fresh installation, an empty table, and the server's log from here on."""
        self.epoch += 1
        self.place.mkdir()
        self.query("DELETE FROM seen RETURNING mark")
        self.log_from = (self.server.directory / "log").stat().st_size
        dsn = self.server.dsn_of(user="app", password=self.password)
        (self.place / "policy.yaml").write_text(POLICY)
        (self.place / "config.yaml").write_text(
            "identity: {provider: local, email: ann@example.com, groups: [engineering]}\n"
            f"audit: {{key_store: file, bucket: '{self.bucket_dir.as_uri()}'}}\n"
            f"targets:\n  here: {{engine: postgres, dsn: '{dsn}', environment: test, policy: policy.yaml}}\n"
        )

    def query(self, text: str) -> list[tuple[object, ...]]:
        """Ask the server as its superuser."""
        with psycopg.connect(self.server.dsn_of(), autocommit=True) as connection:
            return connection.execute(text.encode()).fetchall()

    def script(self, run: str) -> str:
        """What one session does. Every statement that changes something carries a mark of its own."""
        marks = [f"{run}-{number}" for number in range(5)]
        return (
            f"INSERT INTO seen VALUES ('{marks[0]}');\n"
            f"SELECT ssn, '{marks[1]}' AS mark FROM people ORDER BY id;\n"
            f"DROP TABLE seen /* {marks[2]} */;\n"
            f"BEGIN; INSERT INTO seen VALUES ('{marks[3]}'); COMMIT;\n"
            f"UPDATE seen SET mark = mark || '' WHERE mark = '{marks[4]}';\n"
        )

    def session(self, run: str, fault: Fault, *, after_s: float = 0.0) -> Ended:
        """One `dbgate exec` in a process of its own."""
        return self.process(["exec", "here", "--keep-going", "-c", self.script(run)], fault, after_s=after_s)

    def ship(self, fault: Fault, *, after_s: float = 0.0) -> Ended:
        """One `dbgate audit ship`."""
        return self.process(["audit", "ship"], fault, after_s=after_s)

    def process(self, arguments: list[str], fault: Fault, *, after_s: float = 0.0) -> Ended:
        """Run dbgate in a child with a fault; with `after_s`, kill it from outside that many seconds later."""
        said, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(said)
            _be_dbgate(self, arguments, fault, told)
        os.close(told)
        if after_s:
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
        with os.fdopen(said, "rb") as pipe:
            heard = pipe.read().decode("utf-8", "replace")
        _, status = os.waitpid(child, 0)
        text, _, report = heard.partition("\0")
        steps = int(json.loads(report)["steps"]) if report else 0
        return Ended(os.WIFSIGNALED(status), os.waitstatus_to_exitcode(status), text, steps)


def apart(work: Callable[[], Any]) -> Any:
    """What `work` returns, as JSON, from a process of its own.

    Whoever has used a bucket has threads that a fork does not copy: this process, which forks, never does.
    """
    said, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(said)
        try:
            with os.fdopen(told, "wb") as pipe:
                pipe.write(json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(told)
    with os.fdopen(said, "rb") as pipe:
        heard = pipe.read()
    os.waitpid(child, 0)
    return json.loads(heard)


def _be_dbgate(world: World, arguments: list[str], fault: Fault, told: int) -> None:
    """The child: dbgate's command line with faults installed. Never returns."""
    import dbgate.audit
    from dbgate.cli.app import run

    code = 70
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(told, 2)
        os.environ.update(
            {
                "DBGATE_CONFIG": str(world.place / "config.yaml"),
                "HOME": str(world.home),
                "DBGATE_STATE_DIR": str(world.state_dir),
            }
        )
        dbgate.audit.ship_in_background = lambda *_: False  # Shipping has faults of its own.
        random.seed()
        install(fault)
        code = run(arguments)
    finally:
        import sys

        sys.stderr.flush()
        os.write(2, b"\0" + json.dumps({"steps": fault.steps}).encode())
        os._exit(code)


@contextmanager
def new_world(home: Path) -> Iterator[World]:
    """A server and a home in `home`, which must not exist; the server stops afterwards."""
    home.mkdir(parents=True)
    with embedded.start(home / "postgresql", ephemeral=True) as server:
        password = os.urandom(12).hex()
        with psycopg.connect(server.dsn_of(), autocommit=True) as connection:
            connection.execute(SCHEMA.format(password=password).encode())
        world = World(home, server, password)
        world.renew()
        yield world
