"""The tables of both back ends, and how an older database becomes a current one.

Times are milliseconds since 1970 in UTC. `person` columns hold `Identity.key`; folded columns hold what
`reviewers.fold` makes of an e-mail or a name. Migrations only ever go forward: each is applied once, in order,
in one transaction with its line in `schema_version`, while the store's write lock is held. A new one is added
at the end of both lists, empty where only the other needs it; what stands here is never edited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbgate.errors import UsageError

if TYPE_CHECKING:
    from dbgate.approvals.queries import Statements

SQLITE: tuple[str, ...] = (
    """
    CREATE TABLE requests (
        position    INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL UNIQUE,
        person      TEXT NOT NULL,
        behind      TEXT NOT NULL,
        target      TEXT NOT NULL,
        binding     TEXT NOT NULL,
        asked       TEXT NOT NULL,
        requester   TEXT NOT NULL,
        status      TEXT NOT NULL,
        created_at  INTEGER NOT NULL,
        deadline    INTEGER NOT NULL,
        approved_at INTEGER,
        uses        INTEGER NOT NULL,
        uses_left   INTEGER NOT NULL CHECK (uses_left BETWEEN 0 AND uses)
    );
    CREATE INDEX requests_of_person ON requests (person, status);
    CREATE INDEX requests_due ON requests (deadline) WHERE status IN ('pending', 'approved');
    CREATE TABLE reviewer_groups (
        request     TEXT NOT NULL REFERENCES requests (id),
        name        TEXT NOT NULL,
        PRIMARY KEY (name, request)
    ) WITHOUT ROWID;
    CREATE TABLE approvals (
        request     TEXT NOT NULL REFERENCES requests (id),
        person      TEXT NOT NULL,
        identity    TEXT NOT NULL,
        at          INTEGER NOT NULL,
        note        TEXT NOT NULL,
        PRIMARY KEY (request, person)
    );
    CREATE INDEX approvals_of_person ON approvals (person);
    CREATE TABLE events (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        request     TEXT NOT NULL REFERENCES requests (id),
        at          INTEGER NOT NULL,
        kind        TEXT NOT NULL,
        identity    TEXT,
        note        TEXT NOT NULL
    );
    CREATE INDEX events_of_request ON events (request, number);
    CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE (ABORT, 'events are append-only'); END;
    CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE (ABORT, 'events are append-only'); END;
    CREATE TRIGGER approvals_stay BEFORE UPDATE ON approvals BEGIN SELECT RAISE (ABORT, 'approvals are append-only'); END;
    CREATE TRIGGER approvals_remain BEFORE DELETE ON approvals BEGIN SELECT RAISE (ABORT, 'approvals are append-only'); END;
    """,
    """
    CREATE TABLE grant_keys (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        key_id      TEXT NOT NULL,
        jwk         TEXT NOT NULL,
        since       INTEGER NOT NULL
    );
    CREATE TABLE answers (
        person      TEXT NOT NULL,
        name        TEXT NOT NULL,
        asked       TEXT NOT NULL,
        status      INTEGER NOT NULL,
        body        TEXT NOT NULL,
        at          INTEGER NOT NULL,
        PRIMARY KEY (person, name)
    );
    CREATE INDEX answers_by_age ON answers (at);
    """,
    """
    CREATE TABLE kept (
        name        TEXT PRIMARY KEY,
        content     TEXT NOT NULL,
        until       INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX kept_until ON kept (until);
    """,
    """
    CREATE TABLE hooks (
        name        TEXT PRIMARY KEY,
        told        INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE deliveries (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        hook        TEXT NOT NULL,
        label       TEXT NOT NULL,
        event       INTEGER NOT NULL REFERENCES events (number),
        request     TEXT NOT NULL REFERENCES requests (id),
        status      TEXT NOT NULL,
        attempts    INTEGER NOT NULL,
        due_at      INTEGER NOT NULL,
        at          INTEGER NOT NULL,
        error       TEXT NOT NULL,
        UNIQUE (hook, event)
    );
    CREATE INDEX deliveries_due ON deliveries (due_at) WHERE status = 'waiting';
    CREATE INDEX deliveries_done ON deliveries (status, number);
    """,
    "",  # rates, which several machines share
)
"""`PRAGMA user_version` counts them as well, so that a dbgate from before `schema_version` refuses what is newer."""

POSTGRES: tuple[str, ...] = (
    """
    CREATE TABLE requests (
        position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id          text NOT NULL UNIQUE,
        person      text NOT NULL,
        behind      text NOT NULL,
        target      text NOT NULL,
        binding     text NOT NULL,
        asked       text NOT NULL,
        requester   text NOT NULL,
        status      text NOT NULL,
        created_at  bigint NOT NULL,
        deadline    bigint NOT NULL,
        approved_at bigint,
        uses        integer NOT NULL,
        uses_left   integer NOT NULL CHECK (uses_left BETWEEN 0 AND uses)
    );
    CREATE INDEX requests_of_person ON requests (person, status);
    CREATE INDEX requests_due ON requests (deadline) WHERE status IN ('pending', 'approved');
    CREATE TABLE reviewer_groups (
        request     text NOT NULL REFERENCES requests (id),
        name        text NOT NULL,
        PRIMARY KEY (name, request)
    );
    CREATE TABLE approvals (
        rowid       bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        request     text NOT NULL REFERENCES requests (id),
        person      text NOT NULL,
        identity    text NOT NULL,
        at          bigint NOT NULL,
        note        text NOT NULL,
        PRIMARY KEY (request, person)
    );
    CREATE INDEX approvals_of_person ON approvals (person);
    CREATE TABLE events (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request     text NOT NULL REFERENCES requests (id),
        at          bigint NOT NULL,
        kind        text NOT NULL,
        identity    text,
        note        text NOT NULL
    );
    CREATE INDEX events_of_request ON events (request, number);
    CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '% are append-only', TG_TABLE_NAME; END $$;
    CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events EXECUTE FUNCTION append_only();
    CREATE TRIGGER approvals_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON approvals EXECUTE FUNCTION append_only();
    """,
    """
    CREATE TABLE grant_keys (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key_id      text NOT NULL,
        jwk         text NOT NULL,
        since       bigint NOT NULL
    );
    CREATE TABLE answers (
        person      text NOT NULL,
        name        text NOT NULL,
        asked       text NOT NULL,
        status      integer NOT NULL,
        body        text NOT NULL,
        at          bigint NOT NULL,
        PRIMARY KEY (person, name)
    );
    CREATE INDEX answers_by_age ON answers (at);
    """,
    """
    CREATE TABLE kept (
        name        text PRIMARY KEY,
        content     text NOT NULL,
        until       bigint NOT NULL
    );
    CREATE INDEX kept_until ON kept (until);
    """,
    """
    CREATE TABLE hooks (
        name        text PRIMARY KEY,
        told        bigint NOT NULL
    );
    CREATE TABLE deliveries (
        number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        hook        text NOT NULL,
        label       text NOT NULL,
        event       bigint NOT NULL REFERENCES events (number),
        request     text NOT NULL REFERENCES requests (id),
        status      text NOT NULL,
        attempts    bigint NOT NULL,
        due_at      bigint NOT NULL,
        at          bigint NOT NULL,
        error       text NOT NULL,
        UNIQUE (hook, event)
    );
    CREATE INDEX deliveries_due ON deliveries (due_at) WHERE status = 'waiting';
    CREATE INDEX deliveries_done ON deliveries (status, number);
    """,
    """
    CREATE UNLOGGED TABLE rates (
        person      text PRIMARY KEY,
        level       double precision NOT NULL,
        at          double precision NOT NULL,
        granted     integer NOT NULL
    );
    """,
)
"""In the schema `dbgate` of the database that `--database` names."""

VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, applied_at bigint NOT NULL)"
"""One line for each migration that was applied."""


def version_of(statements: Statements) -> int:
    """How many migrations a database has seen."""
    return int(statements.rows("SELECT coalesce(max(version), 0) AS version FROM schema_version")[0]["version"])


def check_version(found: int, known: int, place: str) -> int:
    """`found`. Raises `UsageError` when it is more than this dbgate knows: it would not know what it reads."""
    if found > known:
        raise UsageError(
            f"{place} was written by a newer dbgate (schema {found}, this one knows {known})",
            hint="upgrade dbgate, or name another database",
        )
    return found


def note_version(statements: Statements, version: int, at_s: float) -> None:
    """Remember that a migration was applied, once."""
    statements.change(
        "INSERT INTO schema_version (version, applied_at) VALUES (:version, :at) ON CONFLICT DO NOTHING",
        version=version,
        at=round(at_s * 1000),
    )
