"""One line that says where a request stands, for a status display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any


def summary(view: Mapping[str, Any], now: datetime) -> str:
    """For example `1 of 2 approvals: needs dba (1), until 14:05`. Times are local.

    `view` is a request as the service gives it; raises `KeyError`, `TypeError` or `ValueError` when it is not.
    """
    approvers = ", ".join(person(approval["by"]) for approval in view["approvals"])
    match view["status"]:
        case "pending":
            wanted = sum(int(clause["count"]) for clause in view["clauses"])
            missing = view["needs"]
            have = wanted - sum(int(clause["count"]) for clause in missing)
            until = local_time(view["deadline"], now)
            return f"{have} of {wanted} approvals: needs {needs(missing)}, until {until}"
        case "approved":
            return f"approved by {approvers}, {_usable(view)} until {local_time(view['deadline'], now)}"
        case "review-due":
            due = f"the review of {needs(view['needs'])} is due"
            return f"ran at {local_time(view['created_at'], now)} without approval (break-glass): {due}"
        case "reviewed":
            return f"ran without approval (break-glass), reviewed by {approvers}"
        case "expired" if view["approved_at"]:
            return f"the approval by {approvers} expired at {local_time(view['deadline'], now)}"
        case "expired":
            return f"nobody decided in time: expired at {local_time(view['deadline'], now)}"
        case other:
            last = view["last_event"]
            by = f" by {person(last['by'])}" if last and last["by"] else ""
            note = f": {last['note']}" if last and last["note"] else ""
            return f"{other}{by}{note}"


def _usable(view: Mapping[str, Any]) -> str:
    """What an approval is good for, now."""
    match view.get("kind"):
        case "unmask":
            return "in clear"
        case "session":
            return "usable by one session" if view["uses_left"] else "in use by a session"
    return f"usable {view['uses_left']} more times" if int(view["uses"]) > 1 else "usable"


def needs(clauses: Sequence[Mapping[str, Any]]) -> str:
    """The reviewers that are missing: `dba (1), data-owners or legal (2)`."""
    return ", ".join(f"{' or '.join(clause['groups'])} ({clause['count']})" for clause in clauses)


def person(who: Mapping[str, Any]) -> str:
    """Somebody's e-mail or subject, with a mark when nothing proved who they are."""
    label = str(who["email"] or who["subject"])
    return f"{label} (local, unverified)" if who.get("assurance") == "local" else label


def local_time(text: str, now: datetime) -> str:
    """An RFC 3339 moment in local time: the hour and minute, with the date unless it is today's."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    return f"{moment:%H:%M}" if moment.date() == now.astimezone().date() else f"{moment:%Y-%m-%d %H:%M}"
