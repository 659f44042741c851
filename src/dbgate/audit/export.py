"""A session as asciicast v3, JSON or SQL. (`page.py` makes the HTML page.)"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from dbgate.audit.approvers import Approvers
from dbgate.audit.checked import DAMAGED, VERDICT
from dbgate.audit.frames import Frame, decision_text, header, outcome_text, who
from dbgate.audit.record import INTENT, OUTCOME, START
from dbgate.audit.replay import painted
from dbgate.audit.replay.recording import Recording
from dbgate.audit.summary import moment
from dbgate.text import printable

MAX_COLUMNS = 200
MAX_MARKER = 60
_NOT_RUN = ("deny", "error")
_LINE_END = re.compile(r"\r\n|\r|\n|\f|\v|\x1c|\x1d|\x1e|\x85|\u2028|\u2029")


def cast(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Asciicast v3 (docs.asciinema.org/manual/asciicast/v3), line by line. Markers stand at statements, denials and approvals."""
    with Recording(records) as recording:
        head: dict[str, Any] = {
            "version": 3,
            "term": {"cols": min(max(recording.widest + 1, 80), MAX_COLUMNS), "rows": 30, "type": "xterm-256color"},
            "title": printable(
                f"dbgate {recording.start.get('session', '')} {recording.start.get('target', '')}".strip()
            ),
            "idle_time_limit": 2,
        }
        at = moment(recording.start.get("time"))
        if at:
            head["timestamp"] = int(at.timestamp())
        yield json.dumps(head) + "\n"
        last_s = 0.0
        for frame in recording.frames():
            gap_s = round(frame.at_s - last_s, 6)
            last_s = frame.at_s
            if frame.marks:
                yield json.dumps([gap_s, "m", _marker(frame)]) + "\n"
                gap_s = 0.0
            text = painted(frame, colour=True).replace("\n", "\r\n")
            yield json.dumps([gap_s, "o", text]) + "\n"
        yield json.dumps([0.0, "x", "0"]) + "\n"


def _marker(frame: Frame) -> str:
    text = " ".join(frame.text.split())[:MAX_MARKER]
    grave = [mark for mark in frame.marks if mark != "statement"]
    return f"{grave[0]}: {text}" if grave else text


def as_json(summary: dict[str, Any], records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One JSON document: the summary, every record as it stands, and what the check of the chain says of them."""
    yield f'{{"summary": {json.dumps(summary)},\n "records": ['
    separator = "\n  "
    integrity = {}
    for record in records:
        if record["kind"] == VERDICT:
            integrity = {"holds": record["holds"], "text": record["text"]}
            continue
        yield separator + json.dumps(record)
        separator = ",\n  "
    yield f'\n ],\n "integrity": {json.dumps(integrity)}}}\n'


def sql(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The statements as an SQL script, with who, when, what was decided, who approved and how it ended in comments.

    A statement that did not run stands as a comment; so does one whose text cannot be given exactly, and everything behind the
    first place where the record does not hold together. No text of the recording can leave its comment.
    """
    pending: dict[str, Any] | None = None
    approvers, person, proven, checked = Approvers(), "", True, ""
    for record in records:
        kind = record["kind"]
        if kind == START and not person:
            person = who(record) or "somebody"
            yield comment(f"dbgate recording\n{header(record)}") + "\n"
        elif kind == INTENT:
            if pending is not None:
                yield _statement(pending, {}, person, approvers, proven=proven)
            pending = record
        elif kind == OUTCOME and pending is not None and pending.get("id") == record.get("id"):
            yield _statement(pending, record, person, approvers, proven=proven)
            pending = None
        elif kind == DAMAGED:
            proven = False
            yield comment(f"damaged: {record.get('text')}") + "\n"
        elif kind == VERDICT:
            checked = comment(f"checked: {record.get('text')}")
        else:
            approvers.take(record)
    if pending is not None:
        yield _statement(pending, {}, person, approvers, proven=proven)
    yield checked


def comment(text: str) -> str:
    """`text` as line comments. PostgreSQL ends such a comment at a line feed or a carriage return."""
    return "".join(f"-- {printable(line)}".rstrip() + "\n" for line in _LINE_END.split(text))


def _statement(
    intent: dict[str, Any], outcome: dict[str, Any], person: str, approvers: Approvers, *, proven: bool
) -> str:
    notes = [f"statement {intent.get('id')} at {intent.get('time')} by {person}: {decision_text(intent)}"]
    approved_by = approvers.of(intent)
    notes += [f"approved by: {approved_by}"] if approved_by else []
    notes += [f"ended: {outcome_text(outcome)}"] if outcome else []
    parameters = intent.get("parameters")
    if isinstance(parameters, list) and parameters:
        notes.append("parameters: " + ", ".join(f"${n} = {_literal(value)}" for n, value in enumerate(parameters, 1)))
    text = str(intent.get("text", ""))
    ran = intent.get("decision") not in _NOT_RUN and outcome.get("status") not in (None, "not run")
    kept = text.replace("\r\n", "\n").replace("\r", "\n")
    is_exact = printable(kept, keep="\n\t") == kept
    if ran and not is_exact:
        notes.append(
            "not given to run: control and direction characters stand as \\xNN; the JSON export has the exact text"
        )
    if ran and not proven:
        notes.append("not given to run: the record does not hold together here")
    # The semicolon stands on its own line: the statement may end in a line comment.
    body = f"{kept}\n;\n" if ran and is_exact and proven else comment(text)
    return "".join(comment(note) for note in notes) + body + "\n"


def _literal(value: object) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
