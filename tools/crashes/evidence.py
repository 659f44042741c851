"""Holds the records to what the server saw: its log is the witness, and so are its tables."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tools.crashes.world import World

from dbgate.audit import layout
from dbgate.audit.bucket import open_bucket
from dbgate.audit.keys import own_keys
from dbgate.audit.log import InstallationLog
from dbgate.audit.note import open_checkpoint
from dbgate.audit.verification import verify_bucket

_RAN = re.compile(r"(?:execute [^:]*|statement): (.*)")
_MARK = re.compile(r"\b([a-z]+\d+(?:x\d+)*-\d)\b")
_DONE = ("INSERT 0 1", "SELECT 10", "UPDATE 0")


def faults_of(world: World) -> list[str]:
    """Everything that is wrong with the evidence; nothing when it holds. All has to be shipped."""
    # What never became a session (nothing had run yet) is swept up later.
    left = [path.name for path in world.state_dir.glob("spool/*") if not path.name.startswith(".new-")]
    found = [f"left in the spool: {name}" for name in sorted(left)]
    found += _verdicts(world) if world.bucket_dir.exists() else []
    sessions = list(_sessions(world))
    intents = Counter(mark for records in sessions for mark in _marks(records))
    found += [f"statement {mark} was recorded {count} times" for mark, count in intents.items() if count > 1]
    seen = seen_by_server(world)
    found += [f"the server saw {mark}, and nobody recorded the intent" for mark in sorted(seen - intents.keys())]
    stored = {str(row[0]) for row in world.query("SELECT mark FROM seen")}
    found += [f"{mark} is in the table, and the server did not see it" for mark in sorted(stored - seen)]
    for records in sessions:
        found += _contradictions(records, stored, seen)
    return found


def counts(world: World) -> Counter[str]:
    """How many sessions there are, records, sessions that were ended as crashed, and statements that the server saw."""
    sessions = list(_sessions(world))
    crashed = sum(records[-1].get("reason") == "crashed" for records in sessions)
    records, seen = sum(map(len, sessions)), len(seen_by_server(world))
    return Counter(sessions=len(sessions), records=records, crashed=crashed, seen=seen)


def seen_by_server(world: World) -> set[str]:
    """The marks of all statements in the server's log."""
    log = (world.server.directory / "log").read_bytes()[world.log_from :].decode("utf-8", "replace")
    return {mark for line in _RAN.finditer(log) for mark in _MARK.findall(line[1])}


def _verdicts(world: World) -> list[str]:
    keys = own_keys(world.state_dir)
    note = InstallationLog(world.state_dir).published()
    seen = [open_checkpoint(note, keys)] if note else []
    report = verify_bucket(open_bucket(world.bucket_dir.as_uri()), keys=keys, seen=seen)
    verdicts = {"intact": report.intact, "complete": report.complete, "anchored": report.anchored}
    return [f"not {name}: {verdict}" for name, verdict in verdicts.items() if not verdict.holds]


def _sessions(world: World) -> Iterator[list[dict[str, Any]]]:
    for folder in sorted(world.bucket_dir.glob("sessions/*/*/*")):
        content = b"".join(layout.decompress(file.read_bytes()) for file in sorted(folder.glob("0*.zst")))
        yield [json.loads(line) for line in content.splitlines()]


def _marks(records: list[dict[str, Any]]) -> Iterator[str]:
    for record in records:
        if record["kind"] == "statement.intent":
            yield from _MARK.findall(record["text"])


def _contradictions(records: list[dict[str, Any]], stored: set[str], seen: set[str]) -> Iterator[str]:
    """Outcomes that are not what happened."""
    outcomes = {record["id"]: record for record in records if record["kind"] == "statement.outcome"}
    in_transaction = False
    for record in records:
        if record["kind"] != "statement.intent":
            continue
        outcome = outcomes.get(record["id"], {"status": "none"})["status"]
        in_transaction |= record["text"].startswith("BEGIN")
        for mark in _MARK.findall(record["text"]):
            if record["decision"] == "deny" and mark in seen:
                yield f"{mark} was denied, and the server saw it"
            if record["verb"] == "insert" and outcome in _DONE and not in_transaction and mark not in stored:
                yield f"{mark} is recorded as done, and is not in the table"
            if record["verb"] == "insert" and mark in stored and outcome not in (*_DONE, "unknown"):
                yield f"{mark} is in the table, and is recorded as {outcome}"
