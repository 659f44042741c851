"""JSON Schemas of what the API takes and gives, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec

from dbgate.approvals import bodies
from dbgate.approvals.states import Status
from dbgate.model import Actor, Assurance, RequestKind

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
WHOLE: Schema = {"type": "integer", "minimum": 0}


def ref(name: str, kind: str = "parameters") -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schemas() -> dict[str, Schema]:
    """All of them, by name. Bodies come from `bodies`, so that what is described is what is checked."""
    _, sent = msgspec.json.schema_components(
        [bodies.NewRequest, bodies.Note, bodies.Nothing, bodies.Place, bodies.Redemption],
        ref_template="#/components/schemas/{name}",
    )
    identity = _record(
        dict.fromkeys(("issuer", "subject", "email", "name"), TEXT)
        | {"actor": {"enum": list(Actor)}, "assurance": {"enum": list(Assurance)}}
    )
    event = _record(
        {
            "number": WHOLE,
            "request": TEXT,
            "at": TIME,
            "kind": TEXT,
            "by": _or_null(ref("Person", "schemas")),
            "note": TEXT,
        }
    )
    request = _request()
    brief = {name: kind for name, kind in request.items() if name not in ("parameters", "masked", "columns", "why_not")}
    return {name: _ecma(schema) for name, schema in sent.items()} | {
        "Person": identity,
        "Event": event,
        "Request": _record(request),
        "BriefRequest": _record(brief | {"is_cut": {"type": "boolean"}}),
        "RequestPage": _record({"requests": _many(ref("BriefRequest", "schemas")), "next": _or_null(TEXT)}),
        "EventPage": _record({"events": _many(ref("Event", "schemas")), "next": _or_null(WHOLE)}),
        "Granted": _record({"grant": TEXT, "request": ref("Request", "schemas")}),
        "Address": _record({"url": TEXT}),
        "Webhooks": _record({"webhooks": _many(ref("Webhook", "schemas"))}),
        "Webhook": _record(
            {
                "number": WHOLE,
                "hook": TEXT,
                "request": TEXT,
                "event": WHOLE,
                "status": {"enum": ["waiting", "dead"]},
                "attempts": WHOLE,
                "next_at": _or_null(TEXT),
                "at": TEXT,
                "error": TEXT,
            }
        ),
        "Health": _record({"status": {"const": "ok"}}),
        "Keys": _record({"keys": _many({"type": "object"})}),
        "Anything": {"type": "object"},
        "Problem": _record(
            {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT},
            {"hint": TEXT, "request_status": TEXT},
        ),
    }


def _request() -> dict[str, Schema]:
    """A request as it is shown: what was asked for, and where it stands."""
    texts = (
        "id",
        "target",
        "environment",
        "statement",
        "binding",
        "policy_digest",
        "verb",
        "reason",
        "message",
        "session",
    )
    lists = ("relations", "rules", "masked", "tags", "columns", "break_glass", "may")
    counts = ("version", "expires_s", "uses", "uses_left")
    approval = _record({"by": ref("Person", "schemas"), "at": TIME, "note": TEXT})
    return {
        **dict.fromkeys(texts, TEXT),
        **dict.fromkeys(lists, _many(TEXT)),
        **dict.fromkeys(counts, WHOLE),
        "parameters": _many(_or_null(TEXT)),
        "status": {"enum": [status.value for status in Status]},
        "kind": {"enum": list(RequestKind)},
        "created_at": TIME,
        "deadline": TIME,
        "approved_at": _or_null(TIME),
        "requester": {
            "allOf": [ref("Person", "schemas")],
            "properties": {"groups": _many(TEXT), "on_behalf_of": TEXT},
        },
        "clauses": _many(ref("Clause", "schemas")),
        "needs": _many(ref("Clause", "schemas")),
        "measured": {"type": "object", "additionalProperties": WHOLE},
        "limits": {"type": "object"},
        "sample": _many({"type": "object"}),
        "approvals": _many(approval),
        "last_event": _or_null(ref("Event", "schemas")),
        "why_not": TEXT,
    }


def _record(properties: Schema, optional: Schema | None = None) -> Schema:
    return {"type": "object", "required": sorted(properties), "properties": properties | (optional or {})}


def _many(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ecma(value: Any) -> Any:
    """A schema with patterns as JSON Schema wants them: `^` and `$` for Python's `\\A` and `\\Z`."""
    if isinstance(value, dict):
        return {
            name: item.replace("\\A", "^").replace("\\Z", "$")
            if name == "pattern" and isinstance(item, str)
            else _ecma(item)
            for name, item in value.items()
        }
    return [_ecma(item) for item in value] if isinstance(value, list) else value
