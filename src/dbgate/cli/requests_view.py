"""How approval requests look: a table of them, one in full, and a statement that people can read.

Everything from users, databases and the service goes through `printable`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dbgate.text import printable, span

if TYPE_CHECKING:
    from dbgate.approvals import RequestStatus

_STATEMENT_CHARACTERS = 60
_COUNTED = frozenset({"insert", "update", "delete", "merge", "truncate"})
_STYLES = {"pending": "yellow", "approved": "green", "denied": "red", "revoked": "red", "review-due": "red"}


def print_table(states: Sequence[RequestStatus]) -> None:
    """Print one line per request to stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 10_000, highlight=False, markup=False, emoji=False)
    table = Table(box=None, pad_edge=False, header_style="bold" if terminal else "")
    for title in ("ID", "STATUS", "ASKED", "BY", "TARGET", "STATEMENT", "STANDS", "YOU MAY"):
        table.add_column(title, no_wrap=title in ("ID", "STATUS", "ASKED"), overflow="fold")
    for state in states:
        view = state.view
        cells = (
            state.id,
            state.status,
            local_moment(view["created_at"]),
            requester(view["requester"]),
            str(view["target"]),
            first_line(wish(view)),
            state.summary,
            ", ".join(view.get("may", [])),
        )
        style = _STYLES.get(state.status, "")
        table.add_row(*(Text(printable(cell), style=style if cell == state.status else "") for cell in cells))
    console.print(table)


def print_request(state: RequestStatus, history: Sequence[Mapping[str, Any]]) -> None:
    """Print one request in full to stdout."""
    for line in _lines(state, history):
        print(line)


def _lines(state: RequestStatus, history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    from dbgate.approvals.summary import needs
    from dbgate.cli.sample_view import sample_lines

    view = state.view
    where = f"{view['target']} ({view['environment']})" if view["environment"] else str(view["target"])
    fields = [
        ("request", f"{state.id}  {state.status}"),
        ("stands", state.summary),
        ("asked by", f"{requester(view['requester'])}, {local_moment(view['created_at'])}"),
        *_proof(view["requester"]),
        ("reason", str(view["reason"]) or "(none given)"),
        ("target", where),
        *_what(view),
        ("rules", ", ".join(view["rules"])),
        ("rule says", str(view["message"])),
        ("reviewers", needs(view["clauses"])),
        ("masked columns", ", ".join(view["masked"])),
        ("policy", str(view["policy_digest"])),
        ("you may", ", ".join(view.get("may", [])) or f"only look: {view.get('why_not') or 'it is decided'}"),
    ]
    for name, value in fields:
        if value:
            yield f"{name:<17} {printable(value)}"
    yield from _opened(view.get("columns", ()))
    yield from _measured(view)
    yield from sample_lines(view.get("sample", ()))
    for number, value in enumerate(view["parameters"], start=1):
        yield f"{'parameter $' + str(number):<17} {'NULL' if value is None else printable(repr(value))}"
    yield ""
    if view["statement"]:
        yield from statement_lines(str(view["statement"]))
        yield ""
    for event in history:
        who = requester(event["by"]) if event["by"] else "dbgate"
        note = f": {event['note']}" if event["note"] else ""
        yield printable(f"{local_moment(event['at'])}  {event['kind']} by {who}{note}")


def _proof(who: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Whose word it is who asked, and in which groups they are: another issuer may give anybody any e-mail."""
    if who.get("assurance") == "oidc":
        yield "proven by", str(who["issuer"])
        yield "their groups", ", ".join(who["groups"])


def wish(view: Mapping[str, Any]) -> str:
    """What a request asks for: the statement, or which tags are to be seen in clear and for how long."""
    if view.get("kind") == "session":
        return f"all that {', '.join(view['rules'])} holds, in one session, for {span(int(view['expires_s']))}"
    if view.get("kind") != "unmask":
        return str(view["statement"])
    return f"see {', '.join(view['tags'])} in clear for {span(int(view['expires_s']))}"


def _what(view: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if view.get("kind") == "unmask":
        yield "asks to", f"{wish(view)}, in every statement that only reads"
        return
    match view.get("kind"):
        case "session":
            limits = view["limits"]
            bounds = [f"{limits[name]:,} {name}" for name in ("statements", "rows") if limits[name] is not None]
            most = f", at most {' and '.join(bounds)}" if bounds else ""
            yield "asks for", f"{wish(view)}{most}"
            yield "", "the statement below is the first of it"
        case "transaction":
            yield "asks to", "commit a transaction: its statements have run, and are undone without approval"
        case "break-glass":
            yield "break-glass", f"it ran without approval: open to {', '.join(view['break_glass'])}"
    if int(view["uses"]) > 1:
        yield "good for", f"{view['uses']} runs, {view['uses_left']} left"
    relations = view["relations"] or (view["measured"] if view.get("kind") == "transaction" else ())
    yield "reads and writes", f"{view['verb']}: {', '.join(relations) or '(no relation)'}"


def _opened(columns: Sequence[str]) -> Iterator[str]:
    """The columns that would be in clear, one a line."""
    if columns:
        yield "columns in clear"
        yield from (f"  {printable(name)}" for name in columns)


def _measured(view: Mapping[str, Any]) -> Iterator[str]:
    """The measured rows, one relation a line, and their sum; of a change, that they could not be counted."""
    counts: Mapping[str, int] = view["measured"]
    if not counts:
        if view["verb"] in _COUNTED:
            yield f"{'measured rows':<17} they could not be counted: the run is held to no number"
        return
    width = max(len(printable(name)) for name in (*counts, "in all"))
    yield "measured rows"
    for name, count in sorted(counts.items()):
        yield f"  {printable(name):<{width}} {count:>12,}"
    if len(counts) > 1:
        yield f"  {'in all':<{width}} {sum(counts.values()):>12,}"


def statement_lines(text: str) -> Iterator[str]:
    """The statement, formatted and, on a terminal, highlighted; as it was typed where it cannot be formatted safely."""
    from dbgate.approvals.layout import format_statement

    formatted = format_statement(text)
    yield "statement" if formatted is None else "statement (formatted; as it was typed with --raw)"
    shown = printable(text if formatted is None else formatted, keep="\n\t")
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        shown = _highlight(shown)
    for line in shown.splitlines():
        yield f"  {line}"


def _highlight(text: str) -> str:
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import PostgresLexer

    return highlight(text, PostgresLexer(stripnl=False), TerminalFormatter())


def requester(who: Mapping[str, Any]) -> str:
    """Who asks: `alice@example.com`, `… (agent, for …)`, with a mark when nothing proved it."""
    from dbgate.approvals.summary import person

    kind = str(who.get("actor", "human"))
    behind = f", for {who['on_behalf_of']}" if who.get("on_behalf_of") else ""
    return person(who) if kind == "human" else f"{who.get('name') or person(who)} ({kind}{behind})"


def first_line(text: str) -> str:
    """A statement on one line, cut short."""
    line = " ".join(text.split())
    return line if len(line) <= _STATEMENT_CHARACTERS else line[: _STATEMENT_CHARACTERS - 1] + "…"


def local_moment(text: str) -> str:
    """An RFC 3339 moment in local time, to the minute, with the date unless it is today's."""
    from dbgate.approvals.summary import local_time

    return local_time(text, datetime.now(UTC))
