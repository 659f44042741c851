"""The SQLite tables, and how an older file becomes a current one.

Times are milliseconds since 1970 in UTC. `person` columns hold `Identity.key`; folded columns hold what
`reviewers.fold` makes of an e-mail or a name.
"""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
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
)
"""Applied in order; `PRAGMA user_version` counts how many were."""
