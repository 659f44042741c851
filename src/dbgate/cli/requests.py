"""`dbgate requests`: list, show, decide and watch approval requests."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dbgate.cli.app import AccountOption, IssuerOption, new_app
from dbgate.errors import EXIT_DENIED, EXIT_OK, SignInRequired, Unreachable, UsageError
from dbgate.text import printable, suggest

if TYPE_CHECKING:
    from dbgate.approvals import ApprovalsClient, RequestStatus

app = new_app(invoke_without_command=True)

RECONNECT_S = 1.0
"""How long `watch` waits before it connects again, in seconds."""

_LIVE = "pending,approved,review-due"


class Format(StrEnum):
    """How requests are printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", envvar="DBGATE_REQUESTS_FORMAT", help="table or json.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="A request's id, or the beginning of it.")]
NoteOption = Annotated[str, typer.Option("--note", envvar="DBGATE_REQUESTS_NOTE", help="A remark for the history.")]


YesOption = Annotated[
    bool, typer.Option("--yes", "-y", envvar="DBGATE_REQUESTS_YES", help="Do not ask for confirmation on a terminal.")
]


@app.callback()
def requests(
    context: typer.Context, form: FormatOption = Format.TABLE, account: AccountOption = "", issuer: IssuerOption = ""
) -> int:
    """List, show and decide approval requests. Without a command: list."""
    command = context.invoked_subcommand
    if command is None:
        return list_requests(form=form, account=account, issuer=issuer)
    for name, option in (("form", "--format"), ("account", "--account"), ("issuer", "--issuer")):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"{option} goes behind the command", hint=f"dbgate requests {command} … {option} …")
    return EXIT_OK


@app.command("list")
def list_requests(
    every: Annotated[
        bool, typer.Option("--all", envvar="DBGATE_REQUESTS_ALL", help="Decided and expired ones too.")
    ] = False,
    target: Annotated[
        str, typer.Option("--target", envvar="DBGATE_REQUESTS_TARGET", help="Only those for this target.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", envvar="DBGATE_REQUESTS_LIMIT", min=1, max=200, help="How many, newest first.")
    ] = 50,
    form: FormatOption = Format.TABLE,
    account: AccountOption = "",
    issuer: IssuerOption = "",
) -> int:
    """List my requests and those I may decide, newest first."""
    from dbgate.cli.requests_view import print_table

    with client(account, issuer) as approvals:
        found = approvals.find(limit=limit, status="" if every else _LIVE, target=target)
    if form is Format.JSON:
        print(json.dumps([dict(state.view) for state in found], indent=2))
    elif found:
        print_table(found)
    else:
        print("notice: no requests" if every else "notice: no open requests", file=sys.stderr)
    return EXIT_OK


@app.command()
def show(
    request: IdArgument,
    raw: Annotated[
        bool, typer.Option("--raw", envvar="DBGATE_REQUESTS_RAW", help="Only the statement, exactly as it was typed.")
    ] = False,
    form: FormatOption = Format.TABLE,
    account: AccountOption = "",
    issuer: IssuerOption = "",
) -> int:
    """Show one request in full, with its history."""
    from dbgate.cli.requests_view import print_request

    with client(account, issuer) as approvals:
        state = approvals.state(resolve(approvals, request))
        history = [] if raw else approvals.history(state.id)
    if raw and not state.view["statement"]:
        raise UsageError(f"request {state.id} is to see tags in clear: there is no statement", hint="leave --raw out")
    if raw:
        print(printable(str(state.view["statement"]), keep="\n\t"))
    elif form is Format.JSON:
        print(json.dumps(dict(state.view) | {"history": [dict(event) for event in history]}, indent=2))
    else:
        print_request(state, history)
    return EXIT_OK


@app.command()
def approve(
    request: IdArgument,
    note: NoteOption = "",
    yes: YesOption = False,
    account: AccountOption = "",
    issuer: IssuerOption = "",
) -> int:
    """Agree to a request, or to what ran by breaking the glass. On a terminal it is shown first, and you are asked."""
    with client(account, issuer) as approvals:
        request_id = resolve(approvals, request)
        if not yes and on_terminal():
            state = show_whole(approvals, request_id)
            is_due = state.status == "review-due"
            typer.confirm("it ran already: was that right?" if is_due else "approve this?", abort=True, err=True)
        return decide(approvals, request_id, "approve", note)


@app.command()
def deny(
    request: IdArgument,
    note: Annotated[
        str, typer.Option("--note", envvar="DBGATE_REQUESTS_NOTE", help="Why; asked for on a terminal.")
    ] = "",
    yes: YesOption = False,
    account: AccountOption = "",
    issuer: IssuerOption = "",
) -> int:
    """Refuse a request, for good, or object to what ran by breaking the glass. On a terminal it is shown first."""
    with client(account, issuer) as approvals:
        request_id = resolve(approvals, request)
        if not yes and on_terminal():
            show_whole(approvals, request_id)
            note = note or typer.prompt(
                "why do you deny this? (empty: go back)", default="", show_default=False, err=True
            )
            if not note.strip():
                raise typer.Abort
        if not note.strip():
            raise UsageError("a denial needs a note that says why", hint="add --note TEXT")
        return decide(approvals, request_id, "deny", note)


def on_terminal() -> bool:
    """Whether a person can be shown a request, and asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def show_whole(approvals: ApprovalsClient, request_id: str) -> RequestStatus:
    """Show all of a request before it is decided."""
    from dbgate.cli.requests_view import print_request

    state = approvals.state(request_id)
    print_request(state, approvals.history(request_id))
    return state


@app.command()
def withdraw(request: IdArgument, note: NoteOption = "", account: AccountOption = "", issuer: IssuerOption = "") -> int:
    """Take a request of mine back while it is pending."""
    with client(account, issuer) as approvals:
        return decide(approvals, resolve(approvals, request), "withdraw", note)


@app.command()
def revoke(request: IdArgument, note: NoteOption = "", account: AccountOption = "", issuer: IssuerOption = "") -> int:
    """Take an approval back before it is used."""
    with client(account, issuer) as approvals:
        return decide(approvals, resolve(approvals, request), "revoke", note)


@app.command()
def watch(form: FormatOption = Format.TABLE, account: AccountOption = "", issuer: IssuerOption = "") -> int:
    """Show what happens to requests as it happens, until Ctrl-C."""
    from dbgate.cli.requests_view import print_table

    with client(account, issuer) as approvals:
        found = approvals.find(status=_LIVE)
        if form is Format.TABLE:
            if found:
                print_table(found)
            print("notice: watching; Ctrl-C ends it", file=sys.stderr)
        for event in events(approvals, after=max((state.version for state in found), default=None)):
            print(json.dumps(event) if form is Format.JSON else event_line(event), flush=True)
    return EXIT_OK


@app.command()
def webhooks(
    again: Annotated[
        int, typer.Option("--again", metavar="NUMBER", help="Let the service try this one, which it gave up, again.")
    ] = 0,
    form: FormatOption = Format.TABLE,
    account: AccountOption = "",
    issuer: IssuerOption = "",
) -> int:
    """List webhooks that nobody took: given up, or failed and tried again."""
    from dbgate.cli.columns import print_table
    from dbgate.cli.requests_view import local_moment

    with client(account, issuer) as approvals:
        if again:
            approvals.webhook_again(again)
        found = approvals.webhooks()
    if form is Format.JSON:
        print(json.dumps([dict(one) for one in found], indent=2))
    elif found:
        headings = (">NUMBER", "STATUS", "HOOK", "REQUEST", ">TRIES", "LAST", "NEXT", "ERROR")
        rows = [
            (
                str(one["number"]),
                str(one["status"]),
                printable(str(one["hook"])),
                printable(str(one["request"])),
                str(one["attempts"]),
                local_moment(str(one["at"])),
                local_moment(str(one["next_at"])) if one["next_at"] else "",
                printable(str(one["error"])),
            )
            for one in found
        ]
        print_table(headings, rows, elastic=("ERROR",))
    else:
        print("notice: every webhook was taken", file=sys.stderr)
    return EXIT_OK


@app.command()
def console(
    request: Annotated[
        str, typer.Argument(metavar="[ID]", help="A request's id, or the beginning of it: its page.")
    ] = "",
    account: AccountOption = "",
    issuer: IssuerOption = "",
) -> int:
    """Print the address of the web console, or of a request's page in it.

    Where identities are local, the address signs in once, within five minutes.
    """
    with client(account, issuer) as approvals:
        print(printable(approvals.console(resolve(approvals, request) if request else "")))
    return EXIT_OK


def event_line(event: Mapping[str, Any]) -> str:
    """One event: when, which request, what happened, by whom, and where it stands."""
    from dbgate.cli.requests_view import local_moment, requester

    who = requester(event["by"]) if event["by"] else "dbgate"
    where = f"{event['verb']} on {event['target']}"
    if event["kind"] not in ("requested", "broke-glass"):
        where += f" for {event['requester']}"
    return printable(f"{local_moment(event['at'])}  {event['request']}  {event['kind']} by {who}: {where}")


def events(approvals: ApprovalsClient, *, after: int | None) -> Iterator[dict[str, Any]]:
    """Events without end. When the connection breaks they go on where they stopped, once the service is back."""
    last, is_away = after, False
    while True:
        try:
            for event in approvals.events(last):
                is_away = False
                last = int(event["number"])
                yield dict(event)
        except Unreachable as error:
            if not is_away:
                print(f"notice: {printable(error.message)}; connecting again", file=sys.stderr)
            is_away = True
        time.sleep(RECONNECT_S)


@contextmanager
def client(account: str, issuer: str) -> Iterator[ApprovalsClient]:
    """The approvals client of whoever runs this, or of the `account` and at the `issuer` that they name."""
    from dbgate.cli.approvals_wiring import open_approvals
    from dbgate.config import at_issuer, load_settings
    from dbgate.identity import current_identity

    settings = at_issuer(load_settings(), issuer)
    try:
        who = current_identity(settings, account)
    except SignInRequired as error:
        if settings.identity.others:
            error.hint += f"\n--issuer NAME acts at another issuer: {', '.join(settings.identity.others)}"
        raise
    approvals = open_approvals(settings, who)
    try:
        yield approvals
    finally:
        approvals.close()


def decide(approvals: ApprovalsClient, request_id: str, action: str, note: str) -> int:
    """Do it, print where the request stands now, and return the exit code: 3 when it is not allowed."""
    from dbgate.approvals.refusals import NotAllowed

    try:
        state = approvals.decide(request_id, action, note)
    except NotAllowed as refusal:
        print(f"denied: {printable(refusal.message)}", file=sys.stderr)
        if refusal.hint:
            print(f"hint: {printable(refusal.hint)}", file=sys.stderr)
        return EXIT_DENIED
    print(printable(f"{state.id} {state.status}: {state.summary}"))
    return EXIT_OK


def resolve(approvals: ApprovalsClient, text: str) -> str:
    """The id that `text` is or begins. Raises `UsageError` when there is none, or more than one."""
    found: list[RequestStatus] = list(approvals.find(prefix=text, limit=10)) if text else []
    if len(found) == 1 or any(state.id == text for state in found):
        return text if len(found) > 1 else found[0].id
    if found:
        raise UsageError(
            f"{text} is the beginning of several requests", hint=f"which one? {', '.join(state.id for state in found)}"
        )
    known = [state.id for state in approvals.find(limit=200)]
    hint = suggest(text, known) if len(known) <= 10 or text else ""
    raise UsageError(f"no such request: {text}", hint=hint if len(hint) < 200 else "see them with: dbgate requests")


APPS = {"requests": app}
