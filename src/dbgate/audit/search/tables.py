"""The tables that a query over transcripts can name. What they hold is documented in docs/audit.md, column by column."""

from __future__ import annotations

from dbgate.audit.search.files import EVERY_SEGMENT, EVERY_START

_COLUMNS = {
    "session": "VARCHAR",
    "seq": "UBIGINT",
    "time": "TIMESTAMPTZ",
    "kind": "VARCHAR",
    "id": "BIGINT",
    "text": "VARCHAR",
    "parameters": "VARCHAR[]",
    "verb": "VARCHAR",
    "access": "VARCHAR",
    "relations": "VARCHAR[]",
    "writes": "VARCHAR[]",
    "columns": "VARCHAR[]",
    "tags": "VARCHAR[]",
    "labelled": 'STRUCT("column" VARCHAR, tag VARCHAR, hidden BOOLEAN)[]',
    "decision": "VARCHAR",
    "rules": "VARCHAR[]",
    "denied": "VARCHAR",
    "error": "VARCHAR",
    "grant": "VARCHAR",
    "rewritten": "VARCHAR",
    "masked": "VARCHAR[]",
    "unmasked": "JSON",
    "dry_run": "BOOLEAN",
    "status": "VARCHAR",
    "rows": "BIGINT",
    "bytes": "BIGINT",
    "duration_ms": "DOUBLE",
    "digest": "VARCHAR",
    "sqlstate": "VARCHAR",
    "message": "VARCHAR",
    "guess": "VARCHAR[]",
    "request": "VARCHAR",
    "request_kind": "VARCHAR",
    "approved_by": "VARCHAR[]",
    "measured": "JSON",
    "detail": "VARCHAR",
    "identity": "JSON",
    "environment": "VARCHAR",
    "door": "VARCHAR",
    "client": "VARCHAR",
    "host": "VARCHAR",
    "policy_digest": "VARCHAR",
    "version": "VARCHAR",
    "reason": "VARCHAR",
    "level": "VARCHAR",
    "hint": "VARCHAR",
    "records": "BIGINT",
    "silent_s": "DOUBLE",
    "action": "VARCHAR",
    "at": "TIMESTAMPTZ",
    "by": "JSON",
    "note": "VARCHAR",
    "why": "VARCHAR",
    "requester": "JSON",
    "request_target": "VARCHAR",
    "binding": "VARCHAR",
    "uses_left": "BIGINT",
    "uses": "BIGINT",
    "expires_s": "DOUBLE",
    "expires_at": "VARCHAR",
    "clauses": "JSON",
    "limits": "JSON",
    "session_of_request": "VARCHAR",
    "watched": "VARCHAR",
    "approval": "VARCHAR",
    "held": "VARCHAR[]",
    "session_grants": "VARCHAR[]",
    "lineage_known": "BOOLEAN",
    "changed": "JSON",
    "truncated": "BOOLEAN",
    "statement": "VARCHAR",
    "torn": "JSON",
    "engine": "VARCHAR",
    "policy": "VARCHAR[]",
    "bucket": "VARCHAR",
    "log": "VARCHAR",
    "key": "VARCHAR",
    "follows": "VARCHAR",
    "statements": "BIGINT",
    "failed": "BIGINT",
    "transaction": "VARCHAR",
    "head": "VARCHAR",
    "seal": "JSON",
    "prev": "VARCHAR",
}

_RECORDS = """
CREATE VIEW {name} AS SELECT * EXCLUDE (filename), regexp_replace(filename, '^[a-z]+://', '') || '.zst' AS object
FROM read_json('{files}', format = 'newline_delimited', columns = {{{columns}}}, hive_partitioning = true,
    hive_types_autocast = false, filename = true, maximum_object_size = {record_bytes}, ignore_errors = {ignore_errors})
"""

_WHO = """
    coalesce(nullif(identity ->> 'email', ''), identity ->> 'subject') AS person, identity ->> 'subject' AS subject,
    identity ->> 'issuer' AS issuer, CAST(identity -> 'groups' AS VARCHAR[]) AS groups, identity ->> 'actor' AS actor,
    identity ->> 'on_behalf_of' AS on_behalf_of, identity ->> 'assurance' AS assurance
"""

_SESSIONS = f"""
CREATE VIEW sessions AS
SELECT begun.*, ended.time AS ended_at, ended.reason AS ended, ended.records, ended.sealed_by
FROM (
    SELECT session, date, target, time AS started_at, {_WHO},
        environment, door, client, host, version, policy_digest, reason, log
    FROM starts WHERE kind = 'session.start' AND seq = 0
) AS begun LEFT JOIN (
    SELECT session, date, target, time, reason, records, seal ->> 'key' AS sealed_by FROM records WHERE kind = 'session.end'
) AS ended USING (session, date, target)
"""

_STATEMENTS = f"""
CREATE VIEW statements AS
SELECT session, date, target, intent.id, intent.time, person, subject, groups, actor, on_behalf_of, assurance, environment, door,
    intent.reason, intent.verb, intent.access, intent.text, intent.parameters, intent.decision, intent.rules,
    coalesce(intent.denied, intent.error) AS refused, intent.relations, intent.writes, intent.columns, intent.tags,
    intent.labelled, intent.masked, intent.unmasked, intent.rewritten, intent."grant", intent.dry_run, outcome.status,
    outcome.rows, outcome.bytes, outcome.duration_ms, outcome.sqlstate, outcome.message, outcome.digest, outcome.guess
FROM (
    SELECT * EXCLUDE (environment, door) FROM records WHERE kind = 'statement.intent'
) AS intent
JOIN (
    SELECT session, date, target, environment, door, {_WHO} FROM starts WHERE kind = 'session.start' AND seq = 0
) AS begun USING (session, date, target)
LEFT JOIN (
    SELECT session, date, target, id, status, rows, bytes, duration_ms, sqlstate, message, digest, guess
    FROM records WHERE kind = 'statement.outcome'
) AS outcome USING (session, date, target, id)
"""

_APPROVALS = """
CREATE VIEW approvals AS
SELECT session, date, target, id, time, substr(kind, 10) AS what, request, request_kind, "grant", approved_by, measured,
    reason, detail, tags
FROM records WHERE kind LIKE 'approval.%'
"""

_DECISIONS = """
CREATE VIEW decisions AS
SELECT session, date, intent.id, intent.time, intent.at, intent.request, intent.request_kind, intent.action, intent.requester,
    intent.person, intent.subject, intent.groups, intent.note, intent.request_target, intent.environment, intent.verb,
    intent.relations, intent.rules, intent.tags, intent.measured, intent.policy_digest, intent.state, outcome.status AS settled
FROM (
    SELECT session, date, target, id, time, "at", request, request_kind, action, {requester} AS requester, {person} AS person,
        "by" ->> 'subject' AS subject, CAST("by" -> 'groups' AS VARCHAR[]) AS groups, note, request_target, environment, verb,
        relations, rules, tags, measured, policy_digest, status AS state
    FROM records WHERE kind = 'decision.intent'
    UNION ALL
    SELECT session, date, target, id, time, time, request, NULL, 'refused: ' || action, NULL, {person},
        "by" ->> 'subject', CAST("by" -> 'groups' AS VARCHAR[]), why, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM records WHERE kind = 'decision.refused'
) AS intent
LEFT JOIN (
    SELECT session, date, target, id, status FROM records WHERE kind = 'decision.outcome'
) AS outcome USING (session, date, target, id)
""".format(
    requester="""coalesce(nullif(requester ->> 'email', ''), requester ->> 'subject')""",
    person="""coalesce(nullif("by" ->> 'email', ''), "by" ->> 'subject')""",
)

NAMES = ("records", "sessions", "statements", "approvals", "decisions")


def definitions(*, record_bytes: int, ignore_errors: bool) -> list[str]:
    """The statements that make the tables. A record has at most `record_bytes`; with `ignore_errors`, lines that are
    no records become rows without a session."""
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _COLUMNS.items())
    records, starts = (
        _RECORDS.format(
            name=name,
            files=files,
            columns=columns,
            record_bytes=record_bytes,
            ignore_errors=str(ignore_errors).lower(),
        )
        for name, files in (("records", EVERY_SEGMENT), ("starts", EVERY_START))
    )
    return [records, starts, _SESSIONS, _STATEMENTS, _APPROVALS, _DECISIONS]
