"""Events as dbgate's own JSON: all that is known of them, one object a line."""

from __future__ import annotations

import json
from typing import Any

from dbgate.audit.siem.events import STATEMENT, Event, own_fields

CUTS = (16384, 8192, 4096, 2048, 1024, 512, 256, 128, 64)
"""To how many characters texts are cut, one after the other, until an event fits."""


def plain(event: Event) -> dict[str, Any]:
    """The event. `statement` and `outcome` hold the fields of docs/transcript.md; of other kinds `record` does."""
    start = event.start
    told: dict[str, Any] = {
        "uid": event.uid,
        "time": event.time,
        "kind": event.kind,
        "session": event.session,
        "person": event.person,
        "identity": dict(event.identity),
    }
    told |= {name: start.get(name, "") for name in ("target", "environment", "door", "host", "policy_digest")}
    if event.kind == STATEMENT:
        return told | {"statement": own_fields(event.record), "outcome": own_fields(event.outcome)}
    told["record"] = own_fields(event.record)
    return told | {"outcome": own_fields(event.outcome)} if event.outcome else told


_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode


def line(value: Any) -> str:
    """A value as one line of ASCII JSON: whatever a text holds, it ends neither the line nor its quotes."""
    try:
        text = _encode(value)
    except ValueError:
        return _encode(whole(value))
    return _encode(whole(value)) if "\\ud" in text else text


def whole(value: Any) -> Any:
    """`value` without lone surrogates, which no strict reader takes: each as the text of its escape."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case dict():
            return {whole(str(name)): whole(item) for name, item in value.items()}
        case list() | tuple():
            return [whole(item) for item in value]
        case float():
            return value if value - value == 0 else str(value)
    return value
