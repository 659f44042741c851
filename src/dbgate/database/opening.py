"""Connects to a target: DSN, password, what can go wrong, and the settings that dbgate owns in a session."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from dbgate.database.passwords import password_of
from dbgate.errors import Interrupted, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbgate.database.wire import Wire
    from dbgate.model import Target

CONNECT_S = 15
"""How long to wait for each of a target's hosts, where the DSN does not say."""
OLDEST = 140000
"""PostgreSQL 14, the oldest server that dbgate speaks to (`hash_record_extended`)."""


class Limits(Protocol):
    """Limits that the server itself enforces, in seconds; None leaves the role's own."""

    @property
    def statement_timeout_s(self) -> float | None:
        """For each statement."""

    @property
    def lock_timeout_s(self) -> float | None:
        """For each wait for a lock."""

    @property
    def idle_s(self) -> float | None:
        """For a transaction in which nothing happens."""


class StatementLimits(msgspec.Struct, frozen=True):
    """`Limits` as a value."""

    statement_timeout_s: float | None = None
    lock_timeout_s: float | None = None
    idle_s: float | None = None


class Session(msgspec.Struct, frozen=True):
    """What the server said when the session was set up. `search_path` is the pinned one, without `pg_catalog`."""

    role: str
    database: str
    server_version: int
    search_path: tuple[str, ...]
    english: bool
    address: str


_SETUP = """
WITH path AS MATERIALIZED (
  SELECT pg_catalog.array_agg(s ORDER BY o) AS names
  FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, o)
  WHERE s OPERATOR(pg_catalog.<>) 'pg_catalog' AND NOT pg_catalog.starts_with(s::pg_catalog.text, 'pg_temp')
), pinned AS MATERIALIZED (
  SELECT pg_catalog.set_config('search_path', COALESCE((
    SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n::pg_catalog.text), ', ')
    FROM pg_catalog.unnest(names) AS n), ''), false), names FROM path
), owned AS MATERIALIZED (
  SELECT pg_catalog.count(pg_catalog.set_config(name, value, false))
  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS s(name, value)
), key AS MATERIALIZED (
  SELECT pg_catalog.count(pg_catalog.set_config('dbgate.key', pg_catalog.replace(
    pg_catalog.gen_random_uuid()::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.gen_random_uuid()::pg_catalog.text,
    '-', ''), false))
)
SELECT pg_catalog.json_build_array(CURRENT_USER, pg_catalog.current_database(), COALESCE(names, '{}'),
  pg_catalog.current_setting('lc_messages'), owned.count, key.count)
FROM pinned, owned, key
"""
"""One round trip. The key of keyed masks is made by the server and never leaves it (244 random bits in 64 digits)."""

_OWNED = {
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
}


def open_connection(target: Target, application_name: str) -> psycopg.Connection[Any]:
    """Connect to `target`. Raises `UsageError` for its password's place, `Unreachable` for everything else."""
    try:
        options = conninfo_to_dict(target.dsn)
    except psycopg.Error as error:
        raise _invalid(target, str(error)) from None
    password = password_of(target)
    if password is not None:
        options["password"] = password
    options.setdefault("connect_timeout", CONNECT_S)
    options["application_name"] = application_name
    options["client_encoding"] = "UTF8"
    try:
        connection = psycopg.connect(make_conninfo("", **options), autocommit=True)
    except KeyboardInterrupt:
        raise Interrupted("interrupted") from None
    except psycopg.Error as error:
        raise _unreachable(target, options, str(error)) from None
    if connection.info.server_version < OLDEST:
        version = connection.info.server_version // 10000
        connection.close()
        raise Unreachable(f"target {target.name}: PostgreSQL {version} is too old", hint="dbgate needs 14 or newer")
    return connection


def set_up(
    wire: Wire, limits: Limits | None, ask: Callable[[str, list[str | None]], list[tuple[str | None, ...]]]
) -> Session:
    """Make the session dbgate's: settings, pinned search path, key of masks. `ask` runs a query."""
    owned = dict(_OWNED)
    if limits is not None:
        for name, seconds in (
            ("statement_timeout", limits.statement_timeout_s),
            ("lock_timeout", limits.lock_timeout_s),
            ("idle_in_transaction_session_timeout", limits.idle_s),
        ):
            if seconds is not None:
                owned[name] = f"{max(1, round(seconds * 1000))}ms"
    rows = ask(_SETUP, [_array(list(owned)), _array(list(owned.values()))])
    role, database, path, messages, *_ = json.loads(rows[0][0] or "[]")
    pgconn = wire.pgconn
    host = (pgconn.hostaddr or pgconn.host).decode("utf-8", "replace")
    return Session(
        role=role,
        database=database,
        server_version=pgconn.server_version,
        search_path=tuple(path),
        english=is_english(messages),
        address=f"{host}:{pgconn.port.decode('utf-8', 'replace')}",
    )


def is_english(lc_messages: str) -> bool:
    """Whether a server with this setting writes its messages in English, which `scrub` can read."""
    return lc_messages in ("", "C", "POSIX") or lc_messages.startswith(("C.", "en_", "en.", "English"))


def _array(values: list[str]) -> str:
    """A PostgreSQL array literal of plain words."""
    return "{" + ",".join(f'"{value}"' for value in values) + "}"


def _invalid(target: Target, message: str) -> Unreachable:
    """What libpq says of a DSN may quote the password in it: only the name of an option is taken from that."""
    found = re.search(r'invalid (?:connection option|URI query parameter:?) "(\w+)"', message)
    what = f": there is no option {found.group(1)}" if found else ""
    hint = "write it as postgresql://role@host:port/database?sslmode=verify-full, or as key=value pairs"
    return Unreachable(f"target {target.name}: the DSN is not valid{what}", hint=hint)


_CAUSES: tuple[tuple[str, str, str], ...] = (
    (r"connection refused", "{place} refuses connections", "start the server, or correct host and port of the target"),
    (
        r"could not translate host name|name or service not known|failed to resolve host|getaddrinfo",
        "the host {host} is unknown",
        "correct the host of the target, or check the name service and VPN",
    ),
    (r"timeout expired|timed out", "{place} does not answer", "check host, port, firewall and VPN"),
    (r"no such file or directory", "no server listens on the socket {place}", "start the server, or name a host"),
    (
        r"password authentication failed|no password supplied|scram",
        "{place} refuses the password of {user}",
        "check `password:` of the target, or what libpq finds ({password})",
    ),
    (
        r"no pg_hba.conf entry|peer authentication|ident authentication|certificate authentication|authentication failed",
        "{place} does not let {user} in from here",
        "have the server's pg_hba.conf allow it, or connect another way",
    ),
    (
        r'role "[^"]*" does not exist|is not permitted to log in',
        "{place} knows no role {user} that may log in",
        "correct the user of the target",
    ),
    (r'database "[^"]*" does not exist', "{place} has no database {database}", "correct the database of the target"),
    (r"permission denied for database", "{user} may not connect to the database {database}", "ask for GRANT CONNECT"),
    (
        r"certificate verify failed|root certificate|does not match host name|certificate",
        "the certificate of {place} was not accepted",
        "check sslmode, sslrootcert and the host name",
    ),
    (r"server does not support ssl|ssl", "no encrypted connection to {place}", "check sslmode of the target"),
    (
        r"too many (?:clients|connections)|remaining connection slots",
        "{place} has no connection left",
        "try again later",
    ),
    (
        r"starting up|shutting down|recovery mode|not yet accepting",
        "{place} is starting or stopping",
        "try again in a moment",
    ),
    (r"network is unreachable|no route to host", "no way to {place}", "check the network and VPN"),
)


def _unreachable(target: Target, options: dict[str, Any], message: str) -> Unreachable:
    """An error for people: what happened, where, what to do. libpq's own text only where no cause is known."""
    host = str(options.get("host") or options.get("hostaddr") or "the local server")
    told = {
        "host": host,
        "place": f"{host}:{options['port']}" if options.get("port") else host,
        "user": str(options.get("user") or "the default user"),
        "database": str(options.get("dbname") or options.get("user") or "of that name"),
        "password": "PGPASSWORD, .pgpass" if target.password.kind == "libpq" else target.password.kind,
    }
    for pattern, what, hint in _CAUSES:
        if re.search(pattern, message, re.IGNORECASE):
            return Unreachable(f"target {target.name}: {what.format(**told)}", hint=hint.format(**told))
    line = " ".join(message.split())
    if password := str(options.get("password") or ""):
        for form in (password, quote(password, safe=""), quote(password)):
            line = line.replace(form, "***")
    return Unreachable(f"target {target.name}: {line[:300]}", hint="correct the DSN of the target")
