"""How recorded sessions are shown: as a list, and one with everything that is known of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from textwrap import indent
from typing import Any

from dbgate.audit.kept import Kept
from dbgate.audit.record import INTENT, OUTCOME
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


class Statements:
    """Takes a session's records, and keeps each statement with its outcome, and each step of an approval. Close it."""

    def __init__(self) -> None:
        self.statements = Kept()
        """Objects of `id`, `intent` and `outcome`, the last two records as they stand."""
        self.approvals = Kept()
        self._open: dict[str, Any] | None = None

    def take(self, record: dict[str, Any]) -> None:
        """Take one more record."""
        if record["kind"] == INTENT:
            self.end()
            self._open = {"id": record.get("id"), "intent": record, "outcome": {}}
        elif record["kind"] == OUTCOME and self._open is not None and self._open["id"] == record.get("id"):
            self._open["outcome"] = record
        elif str(record["kind"]).startswith("approval."):
            self.approvals.append(record)

    def end(self) -> None:
        """There are no more records of the statement that was open."""
        if self._open is not None:
            self.statements.append(self._open)
        self._open = None

    def close(self) -> None:
        """Let go of temporary files."""
        self.statements.close()
        self.approvals.close()


def write_session(summary: Summary, found: Statements, integrity: dict[str, Any]) -> None:
    """All of it as one JSON object, to stdout, piece by piece."""
    parts = {"statements": found.statements, "approvals": found.approvals}
    sys.stdout.write(json.dumps(summary.to_json(), indent=2).removesuffix("\n}"))
    for name, values in parts.items():
        sys.stdout.write(f',\n  "{name}": [')
        separator = "\n"
        for value in values:
            sys.stdout.write(separator + indent(json.dumps(value, indent=2), "    "))
            separator = ",\n"
        sys.stdout.write("\n  ]" if values else "]")
    sys.stdout.write(f',\n  "integrity": {indent(json.dumps(integrity, indent=2), "  ").lstrip()}\n}}\n')


class _Rows:
    """Kept values as rows of a table, as often as they are wanted."""

    def __init__(self, values: Kept, row: Callable[[dict[str, Any]], tuple[str, ...]]) -> None:
        self._values, self._row = values, row

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return map(self._row, self._values)


def print_session(summary: Summary, found: Statements, integrity: dict[str, Any]) -> None:
    """Who, when and why, what was decided of each statement, who approved what, and whether the record holds."""
    from dbgate.audit.frames import header

    print(header(summary.start))
    ended = printable(str(summary.end.get("reason", ""))) or ("still open" if summary.live else "without a seal")
    print(f"{'ended':<9} {ended}, after {duration(summary.duration_s)} and {summary.records} records")
    print(f"{'outcome':<9} {_outcome(summary)}")
    print(f"{'in':<9} {summary.place}")
    sure = {True: "", None: "not proven: ", False: "NO: "}[integrity["holds"]]
    print(f"{'intact':<9} {sure}{printable(str(integrity['text']))}")
    if found.statements:
        print()
        headings = (">#", "STATEMENT", "DECISION", "RULES", "MASKED", "OUTCOME", ">ROWS", ">MS")
        print_table(headings, _Rows(found.statements, _statement_row), elastic=("STATEMENT", "RULES", "MASKED"))
    if found.approvals:
        print()
        columns = (">#", "APPROVAL", "REQUEST", "BY", "AT (UTC)", "ABOUT")
        print_table(columns, _Rows(found.approvals, _approval_row), elastic=("BY", "ABOUT"))


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
    """`damaged, crashed, 1 unknown, 2 denied, 1 approved`, or `ok`."""
    words = [word for word in summary.outcomes if word in ("damaged", "crashed", "open")]
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
