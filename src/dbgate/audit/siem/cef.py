"""Events in the Common Event Format, version 0 (ArcSight CEF Implementation Standard).

    CEF:0|vendor|product|version|event class|name|severity|key=value key=value …

A pipe or backslash in the head, and an equals sign or backslash in a value, is escaped by a backslash; a line end in a
value is `\\n`. No other control, format or separating character is left as it is, so that no text ends its field or line.
"""

from __future__ import annotations

from typing import Any

from dbgate import __version__
from dbgate.audit.record import DECISION, REFUSED
from dbgate.audit.siem.events import APPROVAL, STATEMENT, Event, listed, number, words
from dbgate.audit.summary import moment
from dbgate.text import printable

_LENGTHS = {"act": 63, "outcome": 63, "externalId": 40, "msg": 1023, "reason": 1023, "suser": 1023, "suid": 1023,
            "shost": 1023, "duser": 1023, "dproc": 1023, "app": 31}  # fmt: skip
"""The format's own limits, in characters."""
_TEXT = 4000
"""The limit of a custom text."""


def cef(event: Event) -> str:
    """The event as one line, without its end."""
    head = ("dbgate", "dbgate", words(event.start.get("version")) or __version__, event.kind, _name(event))
    fields = _fields(event)
    shown = " ".join(f"{key}={value}" for key, value in fields)
    return f"CEF:0|{'|'.join(map(_head, head))}|{_severity(event)}|{shown}"


def _fields(event: Event) -> list[tuple[str, str]]:
    record, outcome, start = event.record, event.outcome, event.start
    at = moment(event.time)
    values: list[tuple[str, Any]] = [
        ("rt", int(at.timestamp() * 1000) if at else None),
        ("externalId", event.uid),
        ("suser", event.person),
        ("suid", words(event.identity.get("subject"))),
        ("shost", words(start.get("host"))),
        ("app", words(start.get("door"))),
        ("act", words(record.get("decision")) or words(record.get("action"))),
        ("outcome", words(outcome.get("status"))),
        ("reason", _why(event)),
    ]
    customs: list[tuple[str, Any]] = [
        ("statement", words(record.get("text"))),
        ("tables", ", ".join(sorted({*listed(record.get("relations")), *listed(record.get("writes"))}))),
        ("rules", ", ".join(listed(record.get("rules")))),
        ("masked", ", ".join(listed(outcome.get("masked") or record.get("masked")))),
        ("target", words(record.get("request_target")) or words(start.get("target"))),
        ("request", words(record.get("request")) or words(record.get("grant"))),
    ]
    for place, (label, value) in enumerate(customs, 1):
        if value:
            values += [(f"cs{place}Label", label), (f"cs{place}", value)]
    rows, sqlstate = number(outcome.get("rows")), words(outcome.get("sqlstate"))
    if rows is not None:
        values += [("cn1Label", "rows"), ("cn1", rows)]
    if event.identity.get("on_behalf_of"):
        values.append(("duser", words(event.identity.get("on_behalf_of"))))
    if sqlstate:
        values += [("flexString1Label", "sqlstate"), ("flexString1", sqlstate)]
    return [(key, _value(str(value), _LENGTHS.get(key, _TEXT))) for key, value in values if value not in (None, "")]


def _why(event: Event) -> str:
    record = event.record
    said = (record.get("denied"), record.get("error"), event.outcome.get("message"), record.get("why"), record.get("note"),
            record.get("reason"))  # fmt: skip
    return next((words(text) for text in said if words(text)), "")


def _name(event: Event) -> str:
    record = event.record
    if event.kind == STATEMENT:
        return f"{words(record.get('verb')) or 'statement'}: {words(record.get('decision'))}"
    return f"{event.kind} {words(record.get('action'))}".strip()


def _severity(event: Event) -> int:
    """0 to 10: denied 7, refused by the database or unknown 4, others 2; the glass broken 9."""
    record = event.record
    if "broke-glass" in (record.get("action"), event.kind.removeprefix(APPROVAL)):
        return 9
    if record.get("decision") == "deny" or event.kind == REFUSED or event.outcome.get("status") == "rolled back":
        return 7
    if record.get("decision") == "error" or event.outcome.get("status") in ("error", "unknown"):
        return 4
    return 3 if event.kind == DECISION else 2


def _head(text: str) -> str:
    return printable(text[:512]).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str, length: int) -> str:
    kept = text if len(text) <= length else text[: length - 1] + "…"
    kept = printable(kept.replace("\r\n", "\n").replace("\r", "\n"), keep="\n")
    return kept.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n")
