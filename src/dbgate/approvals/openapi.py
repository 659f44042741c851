"""The API as an OpenAPI 3.1 document: what clients send comes from `bodies`, what they get is described here.

`python -m dbgate.approvals.openapi` prints it; `docs/openapi.json` is a copy that a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dbgate import __version__
from dbgate.approvals import shapes
from dbgate.approvals.http import MAX_PAGE, ROLES
from dbgate.approvals.shapes import TEXT, WHOLE, Schema, ref
from dbgate.approvals.states import Status


@lru_cache(maxsize=1)
def document() -> Mapping[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dbgate approvals",
            "version": __version__,
            "description": "Requests for approval, the decisions of reviewers, and signed grants. See docs/approvals.md.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": {path: dict(operations) for path, operations in _paths().items()},
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An ID or access token of the issuer."}
            },
            "parameters": _parameters(),
            "responses": {"Problem": _problem()},
            "schemas": shapes.schemas(),
        },
    }


def _paths() -> dict[str, Schema]:
    one = "/requests/{id}"
    decisions = {
        "approve": "Agree. The last reviewer needed makes it approved.",
        "deny": "Refuse for good, with a note.",
        "withdraw": "Take a pending request back.",
        "revoke": "Take an approval back before it is used.",
    }
    found: dict[str, Schema] = {
        "/requests": {
            "get": _reads("findRequests", "Requests that concern the caller, newest first", "RequestPage", _filters()),
            "post": _changes(
                "fileRequest", "File a request, or find the open one for the same", "NewRequest", "Request", new=True
            ),
        },
        "/break-glass": {
            "post": _changes(
                "breakGlass", "Run at once; reviewers look at it afterwards", "NewRequest", "Granted", new=None
            )
        },
        one: {
            "get": _reads("showRequest", "One request", "Request", [_ID, ref("Wait"), ref("AfterVersion")]),
        },
        f"{one}/events": {
            "get": _reads(
                "showEvents", "What happened to a request", "EventPage", [_ID, ref("AfterEvent"), ref("EventLimit")]
            )
        },
        f"{one}/redeem": {"post": _changes("redeem", "Take one use of an approval", "Redemption", "Granted", [_ID])},
        "/events": {"get": _stream()},
        "/webhooks": {
            "get": _reads("findWebhooks", "Webhooks that nobody took, of the caller's requests", "Webhooks", [])
        },
        "/webhooks/{number}/again": {
            "post": _changes("sendWebhookAgain", "Try once more what was given up", "Nothing", "Webhooks")
            | {"parameters": [ref("Number")]}
        },
        "/console": {
            "post": _changes("consoleAddress", "Where the web console is, for the caller", "Place", "Address")
            | {"parameters": []}
        },
    }
    for name, text in decisions.items():
        found[f"{one}/{name}"] = {"post": _changes(name, text, "Note", "Request", [_ID])}
    for path, name, text, schema in (
        ("/health", "health", "Whether it can decide: its database answers and its record can be written", "Health"),
        ("/health/ready", "healthReady", "The same", "Health"),
        ("/health/live", "healthLive", "Whether the process answers", "Health"),
        ("/keys", "keys", "The public keys that grants are signed with", "Keys"),
        ("/openapi.json", "openapi", "This document", "Anything"),
    ):
        found[path] = {"get": _reads(name, text, schema, []) | {"security": []}}
    return found


_ID = ref("Id")


def _reads(name: str, summary: str, schema: str, parameters: list[Schema]) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": _answer(schema), "default": ref("Problem", "responses")},
    }


def _changes(
    name: str,
    summary: str,
    body: str,
    schema: str,
    parameters: list[Schema] | None = None,
    *,
    new: bool | None = False,
) -> Schema:
    """A POST. `new`: whether it may answer 201 (True), always does (None), or never."""
    answers = {False: ["200"], True: ["200", "201"], None: ["201"]}[new]
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*(parameters or []), ref("IdempotencyKey")],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ref(body, "schemas")}},
        },
        "responses": {status: _answer(schema) for status in answers} | {"default": ref("Problem", "responses")},
    }


def _stream() -> Schema:
    return {
        "operationId": "streamEvents",
        "summary": "Everything that happens to requests that the caller may see, as server-sent events",
        "parameters": [ref("LastEventId")],
        "responses": {
            "200": {"description": "Events, as they happen", "content": {"text/event-stream": {"schema": TEXT}}},
            "default": ref("Problem", "responses"),
        },
    }


def _answer(schema: str) -> Schema:
    return {
        "description": "Done",
        "headers": {
            "RateLimit": {"description": "What is left of the caller's pace", "schema": TEXT},
            "RateLimit-Policy": {"description": "The caller's pace", "schema": TEXT},
        },
        "content": {"application/json": {"schema": ref(schema, "schemas")}},
    }


def _problem() -> Schema:
    return {
        "description": "What is wrong, as problem details (RFC 9457)",
        "headers": {"Retry-After": {"description": "Seconds, with 429 and 503", "schema": WHOLE}},
        "content": {"application/problem+json": {"schema": ref("Problem", "schemas")}},
    }


def _query(name: str, schema: Schema, text: str, **more: Any) -> Schema:
    return {"name": name, "in": "query", "description": text, "schema": schema, **more}


def _filters() -> list[Schema]:
    return [ref(name) for name in ("Role", "Status", "Target", "Prefix", "Before", "Limit")]


def _parameters() -> dict[str, Schema]:
    statuses = {"type": "array", "items": {"enum": [status.value for status in Status]}}
    number = {"type": "number", "minimum": 0}
    key = {"type": "string", "pattern": "^[A-Za-z0-9_.:-]{8,128}$"}
    return {
        "Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
        "Number": {"name": "number", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}},
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The caller's own name for this call: it is done once, however often it is sent",
            "schema": key,
        },
        "LastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
        },
        "Role": _query("role", {"enum": list(ROLES)}, "Mine, for me to review, or both"),
        "Status": _query("status", statuses, "One or several", style="form", explode=False),
        "Target": _query("target", TEXT, "A target's name"),
        "Prefix": _query("prefix", TEXT, "The beginning of an id"),
        "Before": _query("before", TEXT, "The `next` of the page before"),
        "Limit": _query("limit", number, f"At most {MAX_PAGE}"),
        "Wait": _query("wait", number, "Seconds to wait for something newer than `after`"),
        "AfterVersion": _query("after", number, "The version last seen"),
        "AfterEvent": _query("after", number, "The `next` of the page before"),
        "EventLimit": _query("limit", number, "At most 1000"),
    }


def main() -> None:
    """Print the document."""
    print(json.dumps(document(), indent=1, ensure_ascii=False, default=str))


if __name__ == "__main__":
    main()
