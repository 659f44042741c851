"""How recorded sessions are shown: as a list, and one with everything that is known of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from dbgate.audit.summary import Summary, moment
from dbgate.cli.columns import print_table
from dbgate.text import printable

MAX_TEXT = 60
_COLUMNS = (
    ("session", "text"),
    ("started_at", "timestamp with time zone"),
    ("duration_s", "double precision"),
    ("person", "text"),
    ("actor", "text"),
    ("on_behalf_of", "text"),
    ("target", "text"),
    ("environment", "text"),
    ("door", "text"),
    ("reason", "text"),
    ("outcomes", "text"),
    ("statements", "bigint"),
    ("denied", "bigint"),
    ("failed", "bigint"),
    ("unknown", "bigint"),
    ("approved", "bigint"),
    ("rows", "bigint"),
    ("verbs", "text"),
    ("tables", "text"),
    ("tags", "text"),
    ("place", "text"),
)
"""The columns of csv, ndjson and markdown, with their types; lists stand as words with commas."""


def print_list(found: Sequence[Summary]) -> None:
    """A table for people."""
    headings = ("SESSION", "STARTED (UTC)", "PERSON", "TARGET", ">STMTS", "OUTCOME")
    print_table(headings, [_row(summary) for summary in found], elastic=("PERSON", "TARGET"))


def write_list(found: Iterable[Summary], form: str) -> None:
    """A table for programs, to stdout."""
    from dbgate.doors.formats import open_writer
    from dbgate.model import Column

    writer = open_writer(form, sys.stdout, is_terminal=sys.stdout.isatty())
    writer.begin(tuple(Column(name, kind) for name, kind in _COLUMNS), ())
    count = 0
    for summary in found:
        fields = {**summary.identity, **summary.to_json(), "person": summary.person}
        writer.rows([tuple(_text(fields.get(name)) for name, _ in _COLUMNS)])
        count += 1
    writer.end(f"SELECT {count}", count, ())
    writer.close()


def statements_of(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each intent with its outcome."""
    found: list[dict[str, Any]] = []
    for record in records:
        if record["kind"] == "statement.intent":
            found.append({"id": record.get("id"), "intent": record, "outcome": {}})
        elif record["kind"] == "statement.outcome" and found and found[-1]["id"] == record.get("id"):
            found[-1]["outcome"] = record
    return found


def approvals_of(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was asked for and answered, in order."""
    return [record for record in records if str(record["kind"]).startswith("approval.")]


def print_session(summary: Summary, records: Sequence[dict[str, Any]], integrity: dict[str, Any]) -> None:
    """Who, when and why, what was decided of each statement, who approved what, and whether the record holds."""
    from dbgate.audit.frames import header

    print(header(summary.start))
    ended = printable(str(summary.end.get("reason", ""))) or ("still open" if summary.live else "without a seal")
    print(f"{'ended':<9} {ended}, after {duration(summary.duration_s)} and {summary.records} records")
    print(f"{'outcome':<9} {_outcome(summary)}")
    print(f"{'in':<9} {summary.place}")
    sure = {True: "", None: "not proven: ", False: "NO: "}[integrity["holds"]]
    print(f"{'intact':<9} {sure}{printable(str(integrity['text']))}")
    statements = [_statement_row(item) for item in statements_of(records)]
    if statements:
        print()
        headings = (">#", "STATEMENT", "DECISION", "RULES", "MASKED", "OUTCOME", ">ROWS", ">MS")
        print_table(headings, statements, elastic=("STATEMENT", "RULES", "MASKED"))
    approvals = [_approval_row(record) for record in approvals_of(records)]
    if approvals:
        print()
        columns = (">#", "APPROVAL", "REQUEST", "BY", "AT (UTC)", "ABOUT")
        print_table(columns, approvals, elastic=("BY", "ABOUT"))


def duration(seconds: float) -> str:
    """A duration for people: `0.4s`, `12s`, `3m05s`, `2h07m`."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def _row(summary: Summary) -> tuple[str, ...]:
    at = summary.started_at
    return (
        summary.session,
        at.strftime("%Y-%m-%d %H:%M") if at else "?",
        summary.person,
        summary.target,
        str(summary.statements),
        _outcome(summary),
    )


def _outcome(summary: Summary) -> str:
    """`crashed, 1 unknown, 2 denied, 1 approved`, or `ok`."""
    words = [word for word in summary.outcomes if word in ("crashed", "open")]
    words += [
        f"{getattr(summary, name)} {name}" for name in ("unknown", "denied", "failed") if name in summary.outcomes
    ]
    words = words or ["ok"]
    return ", ".join([*words, f"{summary.approved} approved"] if summary.approved else words)


def _statement_row(item: dict[str, Any]) -> tuple[str, ...]:
    intent, outcome = item["intent"], item["outcome"]
    text = " ".join(str(intent.get("text", "")).split())
    short = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    rules = [str(rule).split(" (", 1)[0] for rule in _list(intent.get("rules"))]
    masked = [str(name).rpartition(".")[2] for name in _list(outcome.get("masked"))]
    ran = bool(outcome) and outcome.get("status") != "not run"
    return (
        str(item["id"]),
        short,
        str(intent.get("decision", "")),
        ", ".join(rules),
        ", ".join(masked),
        str(outcome.get("sqlstate") or outcome.get("status") or "not run"),
        str(outcome.get("rows", "")) if ran else "",
        f"{outcome['duration_ms']:.1f}" if ran and isinstance(outcome.get("duration_ms"), int | float) else "",
    )


def _approval_row(record: dict[str, Any]) -> tuple[str, ...]:
    at = moment(record.get("time"))
    measured = record.get("measured")
    about = [f"{name}: {count}" for name, count in measured.items()] if isinstance(measured, dict) else []
    about += map(str, _list(record.get("tags")))
    about += [str(record[name]) for name in ("reason", "detail") if record.get(name)]
    return (
        str(record.get("id") or ""),
        str(record["kind"]).removeprefix("approval."),
        str(record.get("request") or ""),
        ", ".join(map(str, _list(record.get("approved_by")))),
        at.strftime("%Y-%m-%d %H:%M:%S") if at else "?",
        ", ".join(about),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    if value is None:
        return None
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
