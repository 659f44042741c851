"""What all tests share: an isolated home, and a real PostgreSQL with a fresh database for whoever asks.

- `dbgate_home`: HOME, XDG folders and `DBGATE_CONFIG` of this test alone; no `PG…` or `DBGATE_…` variables.
- `postgres_server`: one server for the whole run, shared by the workers, started when first asked for.
  `DBGATE_TEST_POSTGRES` picks its version (15 to 18), `DBGATE_TEST_DSN` (a superuser's) names another one instead.
- `backend`: the URL of a fresh approvals database, SQLite's and PostgreSQL's in turn.
- `database`: a fresh, empty database for one test; `module_database`: one for all tests of a module.
- `oidc`: a real OpenID provider for all tests of a module.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg import conninfo, sql
from tests.servers import versions

from dbgate.model import Target

if TYPE_CHECKING:
    from tests.oidc.provider import OidcProvider

WITH_PACKAGES = tuple(Path(__file__).parent / name for name in ("browser", "desktop"))
TEST_DSN = os.environ.get("DBGATE_TEST_DSN", "")
TEST_VERSION = int(os.environ.get("DBGATE_TEST_POSTGRES", "18"))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs Debian's packages (a Chromium, a Secret Service) is collected only by `make test-browser`, which names it."""
    is_named = any(collection_path.name in Path(argument).parts for argument in config.args)
    return True if collection_path in WITH_PACKAGES and not is_named else None


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server that tests may make databases on: `dsn` is a superuser's, `app_user` an ordinary role's name."""

    dsn: str
    app_user: str
    app_password: str = field(repr=False)
    admin: psycopg.Connection[tuple[Any, ...]] = field(repr=False)

    def dsn_of(self, database: str) -> str:
        """The superuser's DSN to `database`."""
        return conninfo.make_conninfo(self.dsn, dbname=database)

    def app_dsn_of(self, database: str) -> str:
        """The ordinary role's DSN to `database`, with its password."""
        return conninfo.make_conninfo(self.dsn, dbname=database, user=self.app_user, password=self.app_password)


@dataclass(frozen=True, slots=True)
class LiveDatabase:
    """A database of a test's own.

    `dsn` is the superuser's, who owns everything; `app_dsn` is an ordinary role's, who owns nothing and may
    do what PUBLIC may, and what the test grants to `app_user`.
    """

    server: LiveServer
    name: str

    @property
    def dsn(self) -> str:
        return self.server.dsn_of(self.name)

    @property
    def app_dsn(self) -> str:
        return self.server.app_dsn_of(self.name)

    @property
    def app_url(self) -> str:
        """`app_dsn` as a URL."""
        parameters = conninfo.conninfo_to_dict(self.app_dsn)
        return f"postgresql:///?{urlencode({name: str(value) for name, value in parameters.items()})}"

    @property
    def app_user(self) -> str:
        return self.server.app_user

    def execute(self, script: str) -> None:
        """Run a script of any number of statements as superuser."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(script.encode())

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Run a query as superuser and return its rows."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(text.encode()).fetchall()

    def target(self, name: str = "test", *, superuser: bool = False, policy: str = "") -> Target:
        """This database as a target of the ordinary role, or of the superuser."""
        dsn = self.dsn if superuser else self.app_dsn
        return Target(name=name, engine="postgres", dsn=dsn, environment="test", policy=policy)


@contextmanager
def _server_dsn() -> Iterator[str]:
    if TEST_DSN:
        yield TEST_DSN
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir()) / f"dbgate-test-{os.geteuid()}-{TEST_VERSION}-{run}"
    with versions.start(TEST_VERSION, folder) as server:
        with psycopg.connect(server.dsn, autocommit=True) as admin:  # costs of plans are compared
            admin.execute("ALTER SYSTEM SET autovacuum = off")
            admin.execute("SELECT pg_reload_conf()")
        yield server.dsn


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LiveServer]:
    """The run's server, with a role of this worker's own."""
    user, password = f"app_{secrets.token_hex(4)}", secrets.token_hex(16)
    with _server_dsn() as dsn, psycopg.connect(dsn, autocommit=True) as admin:
        role = sql.Identifier(user)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        yield LiveServer(dsn, user, password, admin)
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


@contextmanager
def fresh_database(server: LiveServer) -> Iterator[LiveDatabase]:
    """A database that is gone again afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    server.admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield LiveDatabase(server, name)
    finally:
        server.admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres_server: LiveServer) -> Iterator[LiveDatabase]:
    """A fresh database for one test."""
    with fresh_database(postgres_server) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_database(postgres_server: LiveServer) -> Iterator[LiveDatabase]:
    """A fresh database that the tests of a module share."""
    with fresh_database(postgres_server) as fresh:
        yield fresh


@pytest.fixture(params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database for `dbgate serve`: a file, or one of a role that may make a schema in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'approvals' / 'approvals.db'}"
    database: LiveDatabase = request.getfixturevalue("module_database")
    database.execute(f'DROP SCHEMA IF EXISTS dbgate CASCADE; GRANT CREATE ON DATABASE "{database.name}" TO PUBLIC')
    return database.app_url


@pytest.fixture
def dbgate_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test's own; returns it. `DBGATE_CONFIG` names `config.yaml` in it, which does not exist yet."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [n for n in os.environ if n.startswith(("DBGATE_", "PG", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (("CONFIG", "config"), ("STATE", "state"), ("DATA", "data"), ("CACHE", "cache")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / folder))
    monkeypatch.setenv("DBGATE_CONFIG", str(home / "config.yaml"))
    return home


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """`wait_until(condition, timeout_s=10)`: wait for `condition()` to hold, or fail."""
    import time

    def wait(condition: Callable[[], object], *, timeout_s: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"still not: {condition}"
            time.sleep(0.01)

    return wait


@pytest.fixture(scope="module")
def oidc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """A real OpenID provider for the tests of a module."""
    from tests.oidc.provider import oidc_provider

    with oidc_provider(tmp_path_factory.mktemp("oidc")) as provider:
        yield provider
