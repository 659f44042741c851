"""What the demo runs on: a database, an approvals service, two people with a configuration each."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dbgate.database import embedded
from dbgate.errors import Unreachable
from dbgate.private import make_private

DATABASE = "payroll"
ROLE = "payroll_app"
SERVICE_START_S = 30.0

_WATCHED = 'exec 3<&0 </dev/null; (read _ <&3; kill "$$") & exec 3<&-; exec "$@"'
"""Runs a command that is stopped when the pipe on standard input closes, however its writer ended."""

PEOPLE = {
    "ada": ("ada@corp.example", ("engineering",)),
    "grace": ("grace@corp.example", ("dba", "payroll-admins")),
}
"""Who takes part: name → (e-mail, groups). Ada works; Grace reviews."""


@dataclass(frozen=True, slots=True)
class World:
    """A running demo. `environment` is what every `dbgate` in it needs beside `DBGATE_CONFIG`."""

    directory: Path
    url: str
    environment: dict[str, str]

    def config(self, person: str) -> Path:
        """The configuration file of a person."""
        return self.directory / f"{person}.yaml"

    def environment_of(self, person: str) -> dict[str, str]:
        """The environment in which `dbgate` acts for a person."""
        return self.environment | {"DBGATE_CONFIG": str(self.config(person))}


@contextmanager
def running(directory: Path) -> Iterator[World]:
    """Build the demo in `directory` and run it; stop the database and the service on the way out.

    Raises `Unreachable` when one of them does not start.
    """
    make_private(directory)
    with embedded.start(directory / "postgresql", ephemeral=True) as server:
        _fill(server, directory)
        state = directory / "state"
        state.mkdir(mode=0o700, exist_ok=True)
        environment = dict(os.environ) | {"DBGATE_STATE_DIR": str(state)}
        for name in ("DBGATE_BUCKET", "DBGATE_APPROVALS_URL", "DBGATE_CONFIG"):
            environment.pop(name, None)
        _write_configurations(directory, server, "http://127.0.0.1:1")
        with _service(directory, environment) as url:
            _write_configurations(directory, server, url)
            yield World(directory, url, environment)


def _fill(server: embedded.EmbeddedServer, directory: Path) -> None:
    """Make the database and the role that dbgate connects as, unless an earlier run did."""
    import psycopg

    password_file = directory / "role.password"
    if password_file.exists():
        return
    password = secrets.token_urlsafe(24)
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")
        connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    script = Path(__file__).with_name("database.sql").read_bytes()
    with psycopg.connect(server.dsn_of(DATABASE)) as connection:
        connection.execute(script)
        for schema in ("payroll", "shop", "reporting"):
            connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}".encode())
            connection.execute(
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {ROLE}".encode()
            )
    with psycopg.connect(server.dsn_of(DATABASE), autocommit=True) as connection:
        connection.execute("ANALYZE")
    descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(password)


def _write_configurations(directory: Path, server: embedded.EmbeddedServer, url: str) -> None:
    import yaml

    policy = Path(__file__).with_name("policy.yaml")
    for name, (email, groups) in PEOPLE.items():
        document = {
            "identity": {"provider": "local", "user": name, "email": email, "groups": list(groups)},
            "approvals": {"url": url},
            "audit": {"bucket": (directory / "audit").as_uri(), "key_store": "file"},
            "targets": {
                "payroll": {
                    "engine": "postgres",
                    "dsn": f"postgresql://{ROLE}@{server.host}:{server.port}/{DATABASE}",
                    "password": {"command": ["cat", str(directory / "role.password")]},
                    "environment": "demo",
                    "policy": str(policy),
                }
            },
        }
        path = directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        path.chmod(0o600)


@contextmanager
def _service(directory: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run `dbgate serve --local` and yield its URL."""
    ready = directory / "approvals.url"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "dbgate", "serve", "--local", "--port", "0", "--ready-file", str(ready)]
    with (directory / "approvals.log").open("ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", _WATCHED, "sh", *command],
            env=environment | {"DBGATE_CONFIG": str(directory / "grace.yaml")},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield _await_url(ready, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_url(ready: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + SERVICE_START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready.exists() and (url := ready.read_text(encoding="utf-8").strip()):
            return url
        time.sleep(0.05)
    raise Unreachable(
        "the demo's approvals service did not start", hint=f"its log is {ready.with_name('approvals.log')}"
    )
