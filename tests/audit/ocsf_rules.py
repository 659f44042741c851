"""What the OCSF schema demands of a Datastore Activity event, read from `ocsf/datastore_activity.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("ocsf").joinpath("datastore_activity.json").read_text())


def faults(event: Mapping[str, Any]) -> list[str]:
    """Everything that the schema forbids, as `path: why`."""
    found = list(_object(event, SCHEMA["class"], "event"))
    if event.get("type_uid") != 600500 + event.get("activity_id", 0):
        found.append("event.type_uid: is not class_uid * 100 + activity_id")
    return found


def _object(value: Any, kind: Mapping[str, Any], path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: not an object"
        return
    one_of = kind.get("constraints", {}).get("at_least_one", [])
    if one_of and not set(one_of) & value.keys():
        yield f"{path}: none of {', '.join(one_of)}"
    for name, rule in kind["attributes"].items():
        if rule["requirement"] == "required" and name not in value:
            yield f"{path}.{name}: is required"
    for name, item in value.items():
        rule = kind["attributes"].get(name)
        if rule is None:
            yield f"{path}.{name}: is unknown"
        elif rule.get("deprecated"):
            yield f"{path}.{name}: is deprecated"
        else:
            yield from _attribute(item, rule, f"{path}.{name}")
            yield from _sibling(value, item, rule, f"{path}.{name}")


def _attribute(value: Any, rule: Mapping[str, Any], path: str) -> Iterator[str]:
    if rule.get("array"):
        if not isinstance(value, list):
            yield f"{path}: not a list"
            return
        for place, item in enumerate(value):
            yield from _attribute(item, {**rule, "array": False}, f"{path}[{place}]")
    elif rule["type"] == "object_t" and rule["object"] == "object":
        if not isinstance(value, dict):
            yield f"{path}: not an object"
    elif rule["type"] == "object_t":
        yield from _object(value, SCHEMA["objects"][rule["object"]], path)
    else:
        yield from _scalar(value, rule["type"], path)
        if "enum" in rule and str(value) not in rule["enum"]:
            yield f"{path}: {value} is none of {', '.join(rule['enum'])}"


def _scalar(value: Any, kind: str, path: str) -> Iterator[str]:
    definition = SCHEMA["types"].get(kind, {})
    base = definition.get("type", kind)
    wanted = {"boolean_t": bool, "integer_t": int, "long_t": int, "float_t": float}.get(base, str)
    if base == "json_t":
        return
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        yield f"{path}: not a {kind}"
    elif isinstance(value, str) and not re.search(definition.get("regex", ""), value):
        yield f"{path}: {value!r} is no {kind}"


def _sibling(parent: Mapping[str, Any], value: Any, rule: Mapping[str, Any], path: str) -> Iterator[str]:
    """The name beside an identifier: the schema's own, but for 99, which needs the source's."""
    name = rule.get("sibling")
    caption = rule.get("enum", {}).get(str(value))
    if not name or caption is None:
        return
    if str(value) == "99":
        if not parent.get(name):
            yield f"{path}: 99 needs {name}"
    elif name in parent and parent[name] != caption:
        yield f"{path}: {name} is {parent[name]!r}, not {caption!r}"
