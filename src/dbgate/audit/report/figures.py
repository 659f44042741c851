"""The figures of an evidence pack: each is one query over the tables of `dbgate audit search`.

`{statements}`, `{sessions}`, `{decisions}` and `{before}` stand for the conditions of period and scope, which the
queries hold as literals, so that anybody can run them again as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MOST_ROWS = 500
"""Tables are cut to so many rows, and say so."""

_STOPPED = "(coalesce(refused, '') <> '' OR coalesce(status, 'not run') = 'not run')"
_REAL = "NOT coalesce(dry_run, false) AND {statements}"
_RAN = f"NOT {_STOPPED} AND {_REAL}"
_CHANGED = f"status NOT IN ('error', 'rolled back', 'cancelled') AND {_RAN}"
_WRITE = "access NOT IN ('read', 'transaction', 'session')"
_SHOWN = "len(list_filter(coalesce(labelled, []), lambda l: NOT l.hidden)) > 0"
_HIDDEN = "len(list_filter(coalesce(labelled, []), lambda l: l.hidden)) > 0"
_COUNT = "SELECT count(*) AS n FROM"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number (`table` false: one row, one column `n`) or a table, by the query that gives it."""

    label: str
    query: str
    table: bool = False


NUMBERS: Mapping[str, Figure] = {
    name: Figure(label, query)
    for name, label, query in (
        ("sessions", "Sessions", f"{_COUNT} sessions WHERE door <> 'serve' AND {{sessions}}"),
        ("people", "Different identities",
         "SELECT count(DISTINCT (issuer, subject)) AS n FROM sessions WHERE door <> 'serve' AND {sessions}"),
        ("unverified_sessions", "Sessions of identities that no provider vouched for",
         f"{_COUNT} sessions WHERE door <> 'serve' AND coalesce(assurance, '') <> 'oidc' AND {{sessions}}"),
        ("agent_sessions", "Sessions of agents and services",
         f"{_COUNT} sessions WHERE door <> 'serve' AND actor <> 'human' AND {{sessions}}"),
        ("unsealed_sessions", "Sessions without their end in the bucket",
         f"{_COUNT} sessions WHERE ended IS NULL AND {{sessions}}"),
        ("crashed_sessions", "Sessions that ended in a crash, and were sealed afterwards",
         f"{_COUNT} sessions WHERE ended = 'crashed' AND {{sessions}}"),
        ("statements", "Statements, refused ones included", f"{_COUNT} statements WHERE {_REAL}"),
        ("ran", "Statements sent to the database", f"{_COUNT} statements WHERE {_RAN}"),
        ("denied", "Statements denied by policy", f"{_COUNT} statements WHERE decision = 'deny' AND {_REAL}"),
        ("unread", "Texts refused because they are no statement that dbgate could judge",
         f"{_COUNT} statements WHERE decision = 'error' AND {_REAL}"),
        ("failed", "Statements that the database refused", f"{_COUNT} statements WHERE status = 'error' AND {_REAL}"),
        ("rolled_back", "Statements rolled back because they touched more than was allowed",
         f"{_COUNT} statements WHERE status = 'rolled back' AND {_REAL}"),
        ("unknown_outcomes", "Statements whose outcome nobody saw",
         f"{_COUNT} statements WHERE decision NOT IN ('deny', 'error') AND coalesce(status, 'unknown') = 'unknown' AND {_REAL}"),
        ("without_reason", "Statements sent without a reason given",
         f"{_COUNT} statements WHERE coalesce(reason, '') = '' AND {_RAN}"),
        ("labelled", "Statements that met labelled columns",
         f"{_COUNT} statements WHERE len(coalesce(labelled, [])) > 0 AND {_RAN}"),
        ("masked", "… of which met masks", f"{_COUNT} statements WHERE {_HIDDEN} AND {_RAN}"),
        ("clear", "… of which met values in clear", f"{_COUNT} statements WHERE {_SHOWN} AND {_RAN}"),
        ("unmasked", "Statements that showed values in clear under a grant",
         f"{_COUNT} statements WHERE unmasked IS NOT NULL AND {_RAN}"),
        ("writes", "Statements that changed something, or may have", f"{_COUNT} statements WHERE {_WRITE} AND {_CHANGED}"),
        ("definitions", "Statements that changed definitions (DDL)", f"{_COUNT} statements WHERE access = 'ddl' AND {_CHANGED}"),
        ("administration", "Administrative statements", f"{_COUNT} statements WHERE access = 'admin' AND {_CHANGED}"),
        ("granted", "Statements that ran under an approval",
         f"{_COUNT} statements WHERE (coalesce(\"grant\", '') <> '' OR decision = 'approve') AND {_RAN}"),
        ("agent_writes", "Changes made by agents and services",
         f"{_COUNT} statements WHERE actor <> 'human' AND {_WRITE} AND {_CHANGED}"),
        ("guesses", "Writes whose error told whether a hidden value exists",
         f"{_COUNT} statements WHERE len(coalesce(guess, [])) > 0 AND {_REAL}"),
        ("policies", "Different policies in force", "SELECT count(DISTINCT policy_digest) AS n FROM sessions WHERE door <> 'serve' AND {sessions}"),
        ("requested", "Requests for approval", f"{_COUNT} decisions WHERE action = 'requested' AND settled = 'done' AND {{decisions}}"),
        ("approvals", "Agreements of reviewers", f"{_COUNT} decisions WHERE action = 'approval' AND settled = 'done' AND {{decisions}}"),
        ("approved", "Requests approved by all who were needed",
         f"{_COUNT} decisions WHERE action = 'approved' AND settled = 'done' AND {{decisions}}"),
        ("requests_denied", "Requests denied", f"{_COUNT} decisions WHERE action = 'denied' AND settled = 'done' AND {{decisions}}"),
        ("self_approved", "Agreements by the one who asked (must be 0)",
         f"{_COUNT} decisions WHERE action IN ('approval', 'review') AND settled = 'done' AND person = requester AND {{decisions}}"),
        ("refused_attempts", "Attempts that the approvals service refused",
         f"{_COUNT} decisions WHERE starts_with(action, 'refused: ') AND {{decisions}}"),
        ("broke_glass", "Runs that broke the glass",
         f"{_COUNT} decisions WHERE action = 'broke-glass' AND settled = 'done' AND {{decisions}}"),
        ("unreviewed", "… of which not reviewed by the end of the period",
         "SELECT count(*) AS n FROM (SELECT request FROM decisions WHERE settled = 'done' AND {before} GROUP BY request"
         " HAVING bool_or(action = 'broke-glass' AND {decisions}) AND NOT bool_or(action IN ('reviewed', 'objected')))"),
    )
}  # fmt: skip

TABLES: Mapping[str, Figure] = {
    name: Figure(label, query, table=True)
    for name, label, query in (
        ("who", "Everybody who had a session", """
SELECT person, actor, assurance, string_agg(DISTINCT target, ', ' ORDER BY target) AS targets, count(*) AS sessions,
    min(started_at) AS first, max(started_at) AS last
FROM sessions WHERE door <> 'serve' AND {sessions} GROUP BY ALL ORDER BY ALL"""),
        ("groups", "The groups that people had, as their provider said", """
SELECT person, u.name AS "group", count(*) AS sessions
FROM sessions, unnest(coalesce(groups, [])) AS u(name) WHERE door <> 'serve' AND {sessions} GROUP BY ALL ORDER BY ALL"""),
        ("data", "Who touched which labelled data", f"""
SELECT person, actor, target, l.tag, l."column", count(*) FILTER (l.hidden) AS masked, count(*) FILTER (NOT l.hidden) AS clear,
    max(time) AS last
FROM statements, unnest(coalesce(labelled, [])) AS u(l) WHERE {_RAN} GROUP BY ALL ORDER BY clear DESC, masked DESC, person, actor, target, l."column", l.tag"""),
        ("requests", "Requests for approval, and who decided them", """
SELECT request, min(time) AS asked_at, min(requester) AS requester, min(request_target) AS target, min(request_kind) AS kind,
    coalesce(min(verb), '') AS verb, coalesce(min(array_to_string(rules, ', ')), '') AS rules,
    coalesce(min(note) FILTER (action IN ('requested', 'broke-glass')), '') AS reason,
    coalesce(string_agg(DISTINCT person, ', ' ORDER BY person) FILTER (action IN ('approval', 'review')), '') AS agreed,
    coalesce(string_agg(DISTINCT person, ', ' ORDER BY person) FILTER (action IN ('denied', 'objected', 'revoked', 'withdrawn')), '') AS refused_by,
    coalesce(string_agg(note, ' / ' ORDER BY time, id) FILTER (note <> '' AND action IN ('approval', 'review', 'denied', 'objected', 'revoked')), '') AS notes,
    max_by(state, (time, id)) AS state, max(time) AS last_at
FROM decisions WHERE settled = 'done' AND {decisions} GROUP BY request ORDER BY asked_at, request"""),
        ("exceptions", "Runs that broke the glass, and their reviews", """
SELECT request, min(time) FILTER (action = 'broke-glass') AS ran_at, min(requester) AS person, min(request_target) AS target,
    coalesce(min(note) FILTER (action = 'broke-glass'), '') AS reason,
    coalesce(string_agg(DISTINCT person, ', ' ORDER BY person) FILTER (action IN ('review', 'objected')), '') AS reviewers,
    CASE WHEN bool_or(action = 'objected') THEN 'objected' WHEN bool_or(action = 'reviewed') THEN 'reviewed' ELSE 'NOT REVIEWED' END AS review,
    max(time) FILTER (action IN ('reviewed', 'objected')) AS reviewed_at
FROM decisions WHERE settled = 'done' AND {before} GROUP BY request HAVING bool_or(action = 'broke-glass' AND {decisions})
ORDER BY ran_at, request"""),
        ("attempts", "Attempts that the approvals service refused", """
SELECT time, person, action, request, note AS why FROM decisions WHERE starts_with(action, 'refused: ') AND {decisions}
ORDER BY time, session, id"""),
        ("denials", "What was denied, to whom, by which rule", f"""
SELECT person, target, verb, array_to_string(rules, ', ') AS rules, refused AS why, count(*) AS statements, max(time) AS last
FROM statements WHERE decision = 'deny' AND {_REAL} GROUP BY ALL ORDER BY statements DESC, person, target, verb, rules, why"""),
        ("changes", "Changes of definitions, and administrative statements", f"""
SELECT time, person, target, verb, text, coalesce("grant", '') AS "grant", status, session, id
FROM statements WHERE access IN ('ddl', 'admin') AND {_CHANGED} ORDER BY time, session, id"""),
        ("in_clear", "Values shown in clear under a grant", f"""
SELECT time, person, target, tags, coalesce(reason, '') AS reason, rows, session, id
FROM statements WHERE unmasked IS NOT NULL AND {_RAN} ORDER BY time, session, id"""),
        ("policy_use", "The policies in force, by their digest", """
SELECT target, policy_digest, count(*) AS sessions, min(started_at) AS first, max(started_at) AS last
FROM sessions WHERE door <> 'serve' AND {sessions} GROUP BY ALL ORDER BY target, first, policy_digest"""),
        ("open_ends", "Statements whose outcome nobody saw", f"""
SELECT time, person, target, verb, status, session, id FROM statements
WHERE decision NOT IN ('deny', 'error') AND coalesce(status, 'unknown') = 'unknown' AND {_REAL} ORDER BY time, session, id"""),
        ("samples", "Statements drawn at random", f"""
SELECT time, person, target, verb, decision, array_to_string(rules, ', ') AS rules, coalesce(reason, '') AS reason,
    coalesce(status, '') AS status, rows, len(list_filter(coalesce(labelled, []), lambda l: l.hidden)) AS masked_columns,
    len(list_filter(coalesce(labelled, []), lambda l: NOT l.hidden)) AS clear_columns, text, session, id
FROM statements WHERE {_REAL} ORDER BY md5(session || ' ' || id || ' ' || '{{seed}}'), session, id LIMIT {{size}}"""),
    )
}  # fmt: skip

FIGURES: Mapping[str, Figure] = {**NUMBERS, **TABLES}
