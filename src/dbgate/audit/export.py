"""A session as asciicast v3, JSON or SQL. (`page.py` makes the HTML page.)"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from dbgate.audit.checked import DAMAGED, VERDICT
from dbgate.audit.frames import decision_text, frames, header, outcome_text
from dbgate.audit.record import INTENT, OUTCOME, START
from dbgate.audit.replay import painted
from dbgate.audit.summary import moment
from dbgate.text import printable

MAX_COLUMNS = 200
_NOT_RUN = ("deny", "error")
_LINE_END = re.compile(r"\r\n|\r|\n|\f|\v|\x1c|\x1d|\x1e|\x85|\u2028|\u2029")


def cast(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Asciicast v3 (docs.asciinema.org/manual/asciicast/v3), line by line. Statements are markers."""
    kept = list(records)
    shown = list(frames(kept))
    start = kept[0] if kept and kept[0]["kind"] == START else {}
    widest = max((len(line) for frame in shown for line in frame.text.split("\n")), default=80)
    head: dict[str, Any] = {
        "version": 3,
        "term": {"cols": min(max(widest + 1, 80), MAX_COLUMNS), "rows": 30, "type": "xterm-256color"},
        "title": printable(f"dbgate {start.get('session', '')} {start.get('target', '')}".strip()),
        "idle_time_limit": 2,
    }
    at = moment(start.get("time"))
    if at:
        head["timestamp"] = int(at.timestamp())
    yield json.dumps(head) + "\n"
    last_s = 0.0
    for frame in shown:
        gap_s = round(frame.at_s - last_s, 6)
        last_s = frame.at_s
        if frame.role == "statement":
            yield json.dumps([gap_s, "m", " ".join(frame.text.split())[:60]]) + "\n"
            gap_s = 0.0
        text = painted(frame, colour=True).replace("\n", "\r\n")
        yield json.dumps([gap_s, "o", text]) + "\n"
    yield json.dumps([0.0, "x", "0"]) + "\n"


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
    """The statements as an SQL script, with what was decided and how it ended in comments.

    A statement that did not run stands as a comment. No text of the recording can leave its comment.
    """
    pending: list[dict[str, Any]] = []
    checked = ""
    for record in records:
        kind = record["kind"]
        if kind == START:
            yield comment(f"dbgate recording\n{header(record)}") + "\n"
        elif kind == INTENT:
            yield from map(_statement, pending, [{}] * len(pending))
            pending = [record]
        elif kind == OUTCOME and pending and pending[0].get("id") == record.get("id"):
            yield _statement(pending.pop(), record)
        elif kind == DAMAGED:
            yield comment(f"damaged: {record.get('text')}") + "\n"
        elif kind == VERDICT:
            checked = comment(f"checked: {record.get('text')}")
    yield from map(_statement, pending, [{}] * len(pending))
    yield checked


def comment(text: str) -> str:
    """`text` as line comments. PostgreSQL ends such a comment at a line feed or a carriage return."""
    return "".join(f"-- {printable(line)}".rstrip() + "\n" for line in _LINE_END.split(text))


def _statement(intent: dict[str, Any], outcome: dict[str, Any]) -> str:
    decided = f"statement {intent.get('id')} at {intent.get('time')}: {decision_text(intent)}"
    notes = [decided, f"ended: {outcome_text(outcome)}"] if outcome else [decided]
    parameters = intent.get("parameters")
    if isinstance(parameters, list) and parameters:
        notes.append("parameters: " + ", ".join(f"${n} = {_literal(value)}" for n, value in enumerate(parameters, 1)))
    text = str(intent.get("text", ""))
    ran = intent.get("decision") not in _NOT_RUN and outcome.get("status") not in (None, "not run")
    # The semicolon stands on its own line: the statement may end in a line comment.
    body = f"{_kept(text)}\n;\n" if ran else comment(text)
    return "".join(comment(note) for note in notes) + body + "\n"


def _kept(text: str) -> str:
    """A statement that ran: carriage returns as line feeds, other control and direction marks made visible."""
    return printable(text.replace("\r\n", "\n").replace("\r", "\n"), keep="\n\t")


def _literal(value: object) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
