"""Events as OCSF (schema.ocsf.io): *Datastore Activity*, class 6005, with the profile *security_control*.

Told are statements, and the start of a session as *Connect*. Steps of approvals and the end of a session fit no class:
`plain` tells them. What OCSF has no place for stands in `unmapped`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dbgate import __version__
from dbgate.audit.record import START
from dbgate.audit.siem.events import STATEMENT, Event, listed, number, words
from dbgate.audit.summary import moment

VERSION = "1.9.0"
CLASS, CATEGORY = 6005, 6

_EMAIL = re.compile(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9.-]+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_ACTIVITIES = {
    "select": (4, "Query"),
    "insert": (6, "Create"),
    "update": (2, "Update"),
    "merge": (2, "Update"),
    "delete": (7, "Delete"),
    "truncate": (7, "Delete"),
}
_USERS = {"human": (1, "User"), "service": (4, "Service")}
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
_UNMAPPED = ("verb", "access", "writes", "columns", "tags", "labelled", "rules", "masked", "unmasked", "grant", "rewritten",
             "parameters", "request", "approval", "session_grants", "held", "dry_run", "lineage_known", "truncated_to")  # fmt: skip
_UNMAPPED_OUTCOME = ("rows", "bytes", "duration_ms", "digest", "changed", "truncated", "guess")


def ocsf(event: Event) -> dict[str, Any] | None:
    """The event, or None for a kind that no class fits."""
    if event.kind not in (STATEMENT, START):
        return None
    activity, named = _activity(event)
    severity = _severity(event)
    told: dict[str, Any] = {
        "metadata": {
            "version": VERSION,
            "uid": event.uid,
            "correlation_uid": event.session,
            "sequence": number(event.record.get("seq")) or 0,
            "original_time": event.time,
            "profiles": ["security_control"],
            "product": {
                "name": "dbgate",
                "vendor_name": "dbgate",
                "version": words(event.start.get("version")) or __version__,
            },
        },
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "Datastore Activity",
        "activity_id": activity,
        "activity_name": named,
        "type_uid": CLASS * 100 + activity,
        "type_name": f"Datastore Activity: {named if activity != 99 else 'Other'}",
        "time": _milliseconds(event.time),
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "actor": _actor(event),
        "src_endpoint": _endpoint(event.start),
        "database": {"name": words(event.start.get("target")) or "unknown", "type_id": 1, "type": "Relational"},
        "type_id": 1,
        "type": "Database",
        "policy": {"name": "dbgate", "uid": words(event.start.get("policy_digest")), "is_applied": True},
    }
    return told | (_of_statement(event) if event.kind == STATEMENT else _of_start(event))


def _of_start(event: Event) -> dict[str, Any]:
    unmapped = {"door": event.start.get("door"), "environment": event.start.get("environment"),
                "reason": event.start.get("reason"), "on_behalf_of": event.identity.get("on_behalf_of"),
                "assurance": event.identity.get("assurance"), "client": event.start.get("client")}  # fmt: skip
    return {
        "status_id": 1,
        "status": "Success",
        "action_id": 1,
        "action": "Allowed",
        "disposition_id": 1,
        "disposition": "Allowed",
        "message": f"{event.person} began a session on {words(event.start.get('target'))}",
        "unmapped": _given(unmapped),
    }


def _of_statement(event: Event) -> dict[str, Any]:
    intent, outcome = event.record, event.outcome
    relations = listed(intent.get("relations"))
    tables = sorted({*relations, *listed(intent.get("writes"))})
    action, disposition = _decided(event)
    status, detail = _status(event)
    told: dict[str, Any] = {
        "status_id": status[0],
        "status": status[1],
        "action_id": action[0],
        "action": action[1],
        "disposition_id": disposition[0],
        "disposition": disposition[1],
        "message": f"{event.person}: {words(intent.get('verb')) or 'statement'} on {', '.join(tables) or 'no table'}: "
        f"{words(intent.get('decision'))}, {detail or status[1].lower()}",
        "query_info": {"uid": event.uid, "query_string": words(intent.get("text"))},
        "authorizations": _authorizations(event),
        "unmapped": _given(
            {name: intent.get(name) for name in _UNMAPPED}
            | {name: outcome.get(name) for name in _UNMAPPED_OUTCOME}
            | {
                "relations": relations,
                "reason": intent.get("reason"),
                "decision": intent.get("decision"),
                "on_behalf_of": event.identity.get("on_behalf_of"),
                "assurance": event.identity.get("assurance"),
                "environment": event.start.get("environment"),
                "door": event.start.get("door"),
                "statement_id": intent.get("id"),
            }
        ),
    }
    if detail:
        told["status_detail"] = detail
    if words(outcome.get("sqlstate")):
        told["status_code"] = outcome["sqlstate"]
    if len(tables) == 1:
        told["table"] = {"name": tables[0]}
    return told


def _activity(event: Event) -> tuple[int, str]:
    if event.kind == START:
        return 3, "Connect"
    verb = words(event.record.get("verb")).lower()
    if verb in _ACTIVITIES:
        return _ACTIVITIES[verb]
    if event.record.get("access") == "read" and verb:
        return 4, "Query"
    return (99, verb) if verb else (0, "Unknown")


def _decided(event: Event) -> tuple[tuple[int, str], tuple[int, str]]:
    """The action and the disposition: what was decided, whatever became of it."""
    intent = event.record
    match words(intent.get("decision")):
        case "allow":
            return (1, "Allowed"), (1, "Allowed")
        case "rewrite":
            return (4, "Modified"), (99, "Masked")
        case "approve" if event.outcome.get("status") != "not run":
            return (1, "Allowed"), (8, "Approved")
        case "approve" if intent.get("approval") == "pending":
            return (2, "Denied"), (99, "Pending Approval")
        case "approve":
            return (2, "Denied"), (25, "Rejected")
        case "deny":
            return (2, "Denied"), (2, "Blocked")
        case "error":
            return (2, "Denied"), (27, "Error")
    return (0, "Unknown"), (0, "Unknown")


def _status(event: Event) -> tuple[tuple[int, str], str]:
    """The status, and in words what is known of it."""
    intent, outcome = event.record, event.outcome
    refused = words(intent.get("denied")) or words(intent.get("error"))
    decision = intent.get("decision")
    if decision in ("deny", "error"):
        return (2, "Failure"), refused or words(decision)
    said, ended = words(outcome.get("message")), words(outcome.get("status"))
    if not outcome or ended == "unknown":
        return (0, "Unknown"), said or "the outcome is unknown"
    if ended in ("error", "cancelled", "rolled back", "not run"):
        if intent.get("dry_run") and ended == "not run":
            return (99, "Dry Run"), said or "a dry run: nothing was changed"
        return (2, "Failure"), said or ended
    return (1, "Success"), ended


def _severity(event: Event) -> int:
    if event.kind == STATEMENT:
        if event.record.get("decision") == "deny" or event.outcome.get("status") == "rolled back":
            return 3
        if event.record.get("decision") == "error" or event.outcome.get("status") in ("error", "unknown"):
            return 2
    return 1


def _authorizations(event: Event) -> list[dict[str, Any]]:
    """Each rule that decided."""
    decision = words(event.record.get("decision")) or "unknown"
    rules = listed(event.record.get("rules"))
    return [{"decision": decision, "policy": {"name": rule}} for rule in rules if rule] or [{"decision": decision}]


def _actor(event: Event) -> dict[str, Any]:
    identity = event.identity
    subject, email = words(identity.get("subject")), words(identity.get("email"))
    kind = words(identity.get("actor"))
    type_id, named = _USERS.get(kind, (99, kind.title()) if kind else (0, "Unknown"))
    user: dict[str, Any] = {"name": email or subject or "unknown", "type_id": type_id, "type": named}
    if subject:
        user["uid"] = subject
    if _EMAIL.fullmatch(email):
        user["email_addr"] = email
    groups = [{"name": group} for group in listed(identity.get("groups")) if group]
    if groups:
        user["groups"] = groups
    session: dict[str, Any] = {"uid": event.session, "created_time": _milliseconds(words(event.start.get("time")))}
    actor: dict[str, Any] = {"user": user, "session": session}
    issuer = words(identity.get("issuer"))
    if issuer:
        session["issuer"] = issuer
        actor["idp"] = {"name": issuer, "issuer": issuer}
    return actor


def _endpoint(start: Mapping[str, Any]) -> dict[str, Any]:
    """Where dbgate ran."""
    host = words(start.get("host"))
    if _HOST.fullmatch(host):
        return {"hostname": host, "svc_name": "dbgate"}
    return {"name": host, "svc_name": "dbgate"} if host else {"svc_name": "dbgate"}


def _milliseconds(time: str) -> int:
    at = moment(time)
    return int(at.timestamp() * 1000) if at else 0


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
