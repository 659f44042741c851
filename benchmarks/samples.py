"""Records as real sessions write them, many of them: what the benchmarks of the record are made of."""

from __future__ import annotations

import hashlib

from dbgate.audit.recorder import SessionRecorder
from dbgate.model import Json

SESSION_RECORDS = 20_000
"""Of a session."""
_PEOPLE = 40
_TABLES = ("payroll.employees", "payroll.pay", "shop.customers", "shop.orders", "public.events")


def fill(recorder: SessionRecorder, records: int) -> None:
    """So many records of statements, not durable."""
    for number in range(1, records // 2 + 1):
        recorder.record("statement.intent", intent(number), durable=False)
        recorder.record("statement.outcome", outcome(number), durable=False)


def start(number: int) -> dict[str, Json]:
    """A `session.start`."""
    person = number % _PEOPLE
    return {
        "identity": {
            "issuer": "https://login.example.com/tenant",
            "subject": f"user-{person}",
            "email": f"user-{person}@example.com",
            "groups": ["engineering", "support"],
            "actor": "human",
            "on_behalf_of": "",
            "assurance": "oidc",
        },
        "target": f"prod-{number % 7}",
        "environment": "production",
        "door": "exec",
        "host": "bastion",
        "policy_digest": "sha256:12",
        "reason": f"INC-{number}",
    }


def intent(number: int, decision: str = "rewrite") -> dict[str, Json]:
    """A `statement.intent` of about 1,000 bytes."""
    table = _TABLES[number % len(_TABLES)]
    word = "needle" if number % 9973 == 0 else "hay"
    text = f"SELECT id, full_name, email FROM {table} WHERE region = 'EU' AND id = {number} AND notes <> '{word}'"
    return {
        "id": number,
        "text": text,
        "parameters": [],
        "verb": "select",
        "access": "read",
        "relations": [table],
        "columns": [f"{table}.id", f"{table}.full_name", f"{table}.email"],
        "tags": ["pii.email"],
        "labelled": [{"column": f"{table}.email", "tag": "pii.email", "hidden": True}],
        "decision": decision,
        "rules": ["staff-read (payroll.yaml:17)"],
        "rewritten": text.replace("email FROM", "'***' AS email FROM"),
    }


def outcome(number: int) -> dict[str, Json]:
    """A `statement.outcome`."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {
        "id": number,
        "status": "SELECT 1",
        "rows": 1,
        "bytes": 64,
        "duration_ms": 1.25,
        "masked": ["email"],
        "digest": digest,
    }
