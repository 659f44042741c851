"""What a webhook says: a line for people (Slack's mrkdwn) and the facts for programs.

No statement, no parameter, no sample and no note is in it: they may hold values of labelled columns. Whoever wants to
know more follows the link and signs in.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dbgate.approvals.records import Event, StoredRequest, to_text
from dbgate.approvals.summary import needs
from dbgate.text import printable

TOLD = {
    "requested": "asks for approval",
    "approved": "approved",
    "denied": "denied",
    "withdrawn": "withdrawn",
    "revoked": "revoked",
    "expired": "expired",
    "broke-glass": "ran WITHOUT approval (break-glass), and waits for review",
    "reviewed": "reviewed: it ran without approval (break-glass)",
    "objected": "objected to: it ran without approval (break-glass)",
}
"""The events that are told, and how."""

MAX_CHARACTERS = 200
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "*": "∗", "_": "＿", "~": "∼", "`": "ˋ", "|": "¦"})


def message(event: Event, request: StoredRequest, console: str) -> bytes:
    """The body: `text` for Slack and whoever speaks like it, `dbgate` for programs. `console` is its origin, or empty."""
    asked = request.asked
    link = f"{console}/requests/{request.id}" if console else ""
    facts: dict[str, Any] = {
        "event": event.kind,
        "number": event.number,
        "at": to_text(event.at),
        "request": request.id,
        "kind": asked.kind.value,
        "status": request.status.value,
        "target": asked.target,
        "environment": asked.environment,
        "verb": asked.verb,
        "relations": list(asked.relations[:20]),
        "tags": list(asked.tags),
        "rows": dict(list(asked.measured.items())[:20]),
        "requester": request.requester.label,
        "on_behalf_of": request.requester.on_behalf_of,
        "by": event.by.label if event.by else None,
        "needs": [clause.to_json() for clause in request.needs],
        "deadline": to_text(request.deadline),
        "url": link or None,
    }
    return msgspec.json.encode({"text": _line(event, request, link), "dbgate": facts})


def _line(event: Event, request: StoredRequest, link: str) -> str:
    """For example `*asks for approval*: ada@example.com, update payroll.pay on prod (production), 1,200 rows · <…|open>`."""
    asked = request.asked
    what = f"see {', '.join(asked.tags)}" if asked.tags else f"{asked.verb} {', '.join(asked.relations[:3])}".strip()
    where = f"{asked.target} ({asked.environment})" if asked.environment else asked.target
    parts = [f"*{TOLD[event.kind]}*: {_plain(request.requester.label)}, {_plain(what)} on {_plain(where)}"]
    if asked.measured:
        parts.append(f"{sum(asked.measured.values()):,} rows")
    if event.kind in ("requested", "broke-glass"):
        parts.append(f"needs {_plain(needs([clause.to_json() for clause in asked.clauses]))}")
    elif event.by is not None:
        parts.append(f"by {_plain(event.by.label)}")
    elif event.kind in ("approved", "reviewed"):
        parts.append(f"by {_plain(', '.join(approval.by.label for approval in request.approvals))}")
    return " · ".join([*parts, f"<{link}|open it>"] if link else parts)


def _plain(text: str) -> str:
    """Text that is nothing but text in Slack: no mentions, links, marks, control or direction characters."""
    shown = printable(text)
    return (shown if len(shown) <= MAX_CHARACTERS else shown[: MAX_CHARACTERS - 1] + "…").translate(_ESCAPES)
