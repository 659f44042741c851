"""A bucket with a bit of everything that an evidence pack tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.audit.samples import START, Installation, intent, outcome

from dbgate.model import Json

EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\u202e\x1b[2J\n' OR 1=1 --"
SSN: dict[str, Json] = {"column": "payroll.employees.ssn", "tag": "pii.ssn", "hidden": True}
PAY: Json = {"column": "payroll.employees.salary", "tag": "finance.pay", "hidden": False}
LEO: Json = {"issuer": "https://login.example.com/tenant", "subject": "77", "email": "leo@example.com", "groups": ["dba"],
             "actor": "human", "assurance": "oidc"}  # fmt: skip
BOT: Json = {"issuer": "https://login.example.com/tenant", "subject": "bot", "actor": "agent", "on_behalf_of": "leo@example.com",
             "assurance": "oidc", "groups": []}  # fmt: skip
OWN: Json = {"issuer": "local", "subject": EVIL, "actor": "human", "assurance": "local", "groups": [EVIL]}
SERVE: dict[str, Json] = {
    "identity": {"issuer": "dbgate-serve", "subject": "host", "email": "", "actor": "service"},
    "target": "approvals",
    "door": "serve",
    "reason": "",
}


def who(name: str) -> Json:
    return {
        "issuer": "https://login.example.com/tenant",
        "subject": name,
        "email": f"{name}@example.com",
        "groups": ["dba"],
    }


def decisions(here: Installation, *told: Mapping[str, Any]) -> None:
    """A transcript of the approvals service."""
    with here.open(**SERVE) as serve:
        for number, fields in enumerate(told, 1):
            if "why" in fields:
                serve.record("decision.refused", {"id": number, **fields})
                continue
            more = {"note": "", "requester": who("leo"), "request_target": "payroll", "environment": "production"}
            serve.record("decision.intent", {"id": number, "request_kind": "statement", **more, **fields})
            serve.record("decision.outcome", {"id": number, "status": "done"})
        serve.close({"reason": "turned"})


def evidence(here: Installation) -> None:
    """Six sessions of four identities, and the service's decisions; all shipped."""
    reads: dict[str, Any] = {
        "access": "read",
        "relations": ["payroll.employees"],
        "rules": ["staff-read (p.yaml:3)"],
        "reason": "INC-1",
    }
    with here.open() as mia:
        mia.record("statement.intent", intent(1, "SELECT ssn", "rewrite", labelled=[SSN], **reads))
        mia.record("statement.outcome", outcome(1, "SELECT 5", rows=5))
        mia.record("statement.intent", intent(2, "SELECT ssn, salary", "rewrite", labelled=[SSN, PAY], **reads))
        mia.record("statement.outcome", outcome(2, "SELECT 2", rows=2))
        mia.record(
            "statement.intent",
            intent(3, "DROP TABLE t", "deny", verb="drop", access="ddl", denied="no", rules=["no-ddl (p.yaml:9)"]),
        )
        mia.record("statement.intent", intent(4, "SELECT 1/0", **reads))
        mia.record("statement.outcome", outcome(4, "error", sqlstate="22012"))
        mia.record("statement.intent", intent(5, "SELECT 1", dry_run=True, **reads))
        mia.record("statement.outcome", outcome(5, "not run"))
        mia.close({"reason": "quit", "statements": 5})
    opened: Json = [{"column": "payroll.employees.ssn", "tag": "pii.ssn", "grant": "g9"}]
    with here.open(identity=LEO) as leo:
        leo.record(
            "statement.intent",
            intent(1, "UPDATE t SET a = 1", "approve", verb="update", access="write", grant="g1", writes=["payroll.t"]),
        )
        leo.record("approval.redeemed", {"id": 1, "request": "r1", "grant": "g1", "approved_by": ["grace"]})
        leo.record("statement.outcome", outcome(1, "UPDATE 3", rows=3))
        leo.record(
            "statement.intent",
            intent(2, "SELECT ssn", labelled=[{**SSN, "hidden": False}], unmasked=opened, tags=["pii.ssn"], **reads),
        )
        leo.record("statement.outcome", outcome(2, "SELECT 1", rows=1))
        leo.record("statement.intent", intent(3, "CREATE TABLE x (a int)", verb="create table", access="ddl"))
        leo.record("statement.outcome", outcome(3, "CREATE TABLE"))
        leo.record("statement.intent", intent(4, "DELETE FROM t", verb="delete", access="write"))
        leo.record("statement.outcome", outcome(4, "rolled back"))
        leo.record("statement.intent", intent(5, "INSERT INTO t", verb="insert", access="write"))
        leo.record("statement.outcome", outcome(5, "unknown"))
        leo.close({"reason": "crashed", "statements": 5})
    with here.open(identity=BOT, target="prod/pay roll") as bot:
        bot.record(
            "statement.intent", intent(1, "INSERT INTO t", verb="insert", access="write", rules=["agents (p.yaml:1)"])
        )
        bot.record("statement.outcome", outcome(1, "error", sqlstate="23505", guess=["payroll.employees.ssn"]))
        bot.record("statement.intent", intent(2, "INSERT INTO t", verb="insert", access="write"))
        bot.record("statement.outcome", outcome(2, "INSERT 0 1"))
        bot.close({"reason": "ended", "statements": 2})
    with here.open(identity=OWN, target=EVIL[:20], policy_digest=EVIL) as evil:
        evil.record(
            "statement.intent",
            {"id": 1, "text": EVIL, "parameters": [], "decision": "error", "error": EVIL, "rules": []},
        )
        evil.record(
            "statement.intent",
            intent(2, EVIL, "deny", verb=EVIL, denied=EVIL, rules=[EVIL], labelled=[{**SSN, "column": EVIL}]),
        )
        evil.close({"reason": EVIL, "statements": 2})
    decisions(
        here,
        {
            "request": "r1",
            "action": "requested",
            "by": who("leo"),
            "note": "INC-7",
            "status": "pending",
            "verb": "update",
            "rules": ["bulk (p.yaml:5)"],
        },
        {"request": "r1", "action": "approval", "by": who("grace"), "note": "looks right", "status": "pending"},
        {"request": "r1", "action": "approval", "by": who("heidi"), "status": "pending"},
        {"request": "r1", "action": "approved", "by": None, "status": "approved"},
        {"request": "r1", "action": "approve", "by": who("leo"), "why": "nobody approves their own request"},
        {"request": "r2", "action": "requested", "by": who("leo"), "note": EVIL, "status": "pending"},
        {"request": "r2", "action": "denied", "by": who("grace"), "note": EVIL, "status": "denied"},
        {
            "request": "r3",
            "action": "broke-glass",
            "by": who("leo"),
            "note": "the site is down",
            "status": "review-due",
            "request_kind": "break-glass",
        },
        {
            "request": "r4",
            "action": "broke-glass",
            "by": who("leo"),
            "note": "again",
            "status": "review-due",
            "request_kind": "break-glass",
        },
        {"request": "r4", "action": "review", "by": who("grace"), "note": "fine", "status": "review-due"},
        {"request": "r4", "action": "reviewed", "by": None, "status": "reviewed"},
    )
    here.ship()


__all__ = ["EVIL", "START", "decisions", "evidence", "who"]
