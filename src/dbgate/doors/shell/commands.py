"""The backslash commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from dbgate.doors.shell import describe
from dbgate.doors.shell.describe import Listing, no_labels
from dbgate.doors.shell.desk import Desk
from dbgate.doors.shell.options import EXPANDED
from dbgate.doors.shell.unmask import unmask
from dbgate.errors import UsageError
from dbgate.text import printable, suggest

MAX_DEPTH = 10
MAX_FILE_BYTES = 16 * 1024 * 1024


class Command(msgspec.Struct, frozen=True):
    """A command: how it is written, what it does in a line, and the function that does it with its argument."""

    usage: str
    help: str
    run: Callable[[Desk, str], None]


def perform(desk: Desk, text: str) -> None:
    r"""Perform a command as typed: `\name argument`. Raises `UsageError` when there is no such command."""
    name, _, argument = text.partition(" ")
    name, semicolon, _ = name.partition(";")
    plain = name if name in COMMANDS else name.rstrip("+S")
    desk.is_verbose = "+" in name
    command = COMMANDS.get(plain)
    if command is None:
        near = suggest(name, COMMANDS)
        listing = near if near.startswith("did you mean") else "\\? lists the commands"
        raise UsageError(f"no such command: {name}", hint=ELSEWHERE.get(name, listing))
    command.run(desk, "" if semicolon else argument.strip().removesuffix(";").rstrip())


def _show(desk: Desk, listings: Sequence[Listing]) -> None:
    for listing in listings:
        desk.display.table(listing.columns, listing.rows, title=listing.title, notes=listing.notes)


def _relations(kinds: str) -> Callable[[Desk, str], None]:
    def run(desk: Desk, argument: str) -> None:
        names, labels = desk.directory.names(), desk.about.labels or no_labels
        _show(desk, [describe.relations(names, kinds, argument, labels, verbose=desk.is_verbose)])

    return run


def _describe(desk: Desk, argument: str) -> None:
    names = desk.directory.names()
    labels = desk.about.labels or no_labels
    if argument:
        _show(desk, describe.describe(names, argument, labels, verbose=desk.is_verbose))
    else:
        _show(desk, [describe.relations(names, "rpvmfS", "", labels, verbose=desk.is_verbose)])


def _functions(desk: Desk, argument: str) -> None:
    _show(desk, [describe.functions(desk.directory.names().catalog, argument)])


def _schemas(desk: Desk, argument: str) -> None:
    _show(desk, [describe.schemas(desk.directory.names().catalog, argument)])


def _types(desk: Desk, argument: str) -> None:
    _show(desk, [describe.types(desk.directory.names().catalog, argument)])


def _extensions(desk: Desk, argument: str) -> None:
    _show(desk, [describe.extensions(desk.directory.names().catalog, argument)])


def _targets(desk: Desk, argument: str) -> None:
    targets = desk.about.targets or (desk.about.target,)
    rows = [
        ("→" if target.name == desk.about.target.name else "", target.name, target.engine, target.environment)
        for target in sorted(targets, key=lambda t: t.name)
    ]
    desk.display.table(("", "Target", "Engine", "Environment"), list(rows))


def _expanded(desk: Desk, argument: str) -> None:
    options = desk.display.options
    if argument and argument not in EXPANDED:
        raise UsageError(f"not a way to expand: {argument}", hint="\\x on, \\x off or \\x auto")
    options.expanded = argument or ("off" if options.expanded == "on" else "on")
    desk.tell(f"Expanded display is {options.expanded}.")


def _switched(argument: str, now: bool) -> bool:
    if argument and argument not in {"on", "off"}:
        raise UsageError(f"neither on nor off: {argument}", hint="write on, off, or nothing to change over")
    return argument == "on" if argument else not now


def _timing(desk: Desk, argument: str) -> None:
    desk.display.options.timing = _switched(argument, desk.display.options.timing)
    desk.tell(f"Timing is {'on' if desk.display.options.timing else 'off'}.")


def _set_option(desk: Desk, argument: str) -> None:
    name, _, value = argument.partition(" ")
    value = value.strip()
    options = desk.display.options
    match name:
        case "":
            pager, timing = ("on" if on else "off" for on in (options.pager, options.timing))
            rows: list[tuple[str | None, ...]] = [
                ("expanded", options.expanded),
                ("null", options.null),
                ("pager", pager),
                ("timing", timing),
            ]
            desk.display.table(("Option", "Value"), rows)
        case "pager":
            options.pager = _switched(value, options.pager)
            desk.tell(f"The pager is {'on' if options.pager else 'off'}.")
        case "null":
            options.null = value.strip("'")
            desk.tell(f'NULL is shown as "{printable(options.null)}".')
        case "expanded" | "x":
            _expanded(desk, value)
        case "timing":
            _timing(desk, value)
        case _:
            raise UsageError(f"no such option: {name}", hint=suggest(name, ("pager", "null", "expanded", "timing")))


def _include(desk: Desk, argument: str) -> None:
    if not argument:
        raise UsageError("which file?", hint="\\i FILE")
    if desk.depth >= MAX_DEPTH:
        raise UsageError(f"files run one another more than {MAX_DEPTH} deep", hint="does a file run itself?")
    path = Path(argument.strip("'")).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="give a file of SQL") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start + 1})", hint="convert it with iconv") from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB", hint="split it")
    desk.depth += 1
    try:
        desk.run_text(text)
    finally:
        desk.depth -= 1


def _edit(desk: Desk, argument: str) -> None:
    from dbgate.doors.shell.editor import edit

    desk.prefill = edit(desk.prefill or desk.latest)


def _output(desk: Desk, argument: str) -> None:
    desk.display.show_on_screen()
    if argument:
        path = Path(argument.strip("'")).expanduser()
        try:
            desk.display.options.output = path.open("w", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", hint="give another file") from None
        desk.tell(f"Results go to {printable(str(path))}; \\o brings them back.")


def _leave(desk: Desk, argument: str) -> None:
    desk.is_leaving = True


def _help(desk: Desk, argument: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    shown = dict.fromkeys(COMMANDS.values())
    desk.show(*(f"  {command.usage.ljust(width)}  {command.help}" for command in shown), "", *KEYS)


def _sql_help(desk: Desk, argument: str) -> None:
    from dbgate.doors.shell.words import STARTERS

    words = [word for word in argument.lower().split() if word.isalnum()]
    if not words:
        desk.show("\\h COMMAND shows where a command is described:", "  " + " ".join(sorted(STARTERS)))
        return
    if words[0].upper() not in STARTERS:
        raise UsageError(f"no such SQL command: {argument}", hint=suggest(words[0].upper(), STARTERS))
    desk.show(f"https://www.postgresql.org/docs/current/sql-{''.join(words)}.html")


def _connection(desk: Desk, argument: str) -> None:
    about, catalog = desk.about, desk.directory.names().catalog
    version = f"{catalog.server_version // 10000}.{catalog.server_version % 10000}"
    facts = {
        "target": f"{about.target.name}{f' ({about.target.environment})' if about.target.environment else ''}",
        "database": f"{catalog.database}, as {catalog.role}, PostgreSQL {version}",
        "search path": ", ".join(desk.driver.search_path),
        "identity": about.who,
        "groups": ", ".join(about.identity.groups) or "none",
        "policy": about.policy,
        "session": desk.driver.session,
        "transaction": str(desk.driver.transaction),
    }
    desk.show(*(f"{name + ':':<13}{printable(value)}" for name, value in facts.items()))


def _history(desk: Desk, argument: str) -> None:
    count = int(argument) if argument.isdecimal() else 50
    entries = list(desk.past())[:count]
    desk.show(*(printable(entry, keep="\n\t") for entry in reversed(entries)))


def _why(desk: Desk, argument: str) -> None:
    from dbgate.doors.shell.why import explain

    decision = desk.driver.last_decision
    if decision is None:
        raise UsageError("nothing was decided yet", hint="run a statement first")
    desk.show(*explain(decision))


def _requests(desk: Desk, argument: str) -> None:
    if desk.about.requests is None:
        raise UsageError("there is no approvals service", hint="set approvals.url in the configuration")
    rows: list[tuple[str | None, ...]] = [(state.id, state.status, state.summary) for state in desk.about.requests()]
    notes = () if rows else ("No requests of yours.",)
    desk.display.table(("Request", "Status", ""), rows, notes=notes)


_DESCRIBE = Command("\\d [NAME]", "list relations, or describe the ones of that name; \\d+ tells more", _describe)
_REQUESTS = Command("\\w, \\requests", "your approval requests and where they stand", _requests)

COMMANDS: dict[str, Command] = {
    "\\d": _DESCRIBE,
    "\\dt": Command("\\dt [PATTERN]", "list tables", _relations("rp")),
    "\\dv": Command("\\dv [PATTERN]", "list views", _relations("v")),
    "\\dm": Command("\\dm [PATTERN]", "list materialized views", _relations("m")),
    "\\ds": Command("\\ds [PATTERN]", "list sequences", _relations("S")),
    "\\df": Command("\\df [PATTERN]", "list the database's own functions", _functions),
    "\\dn": Command("\\dn [PATTERN]", "list schemas", _schemas),
    "\\dT": Command("\\dT [PATTERN]", "list the database's own types", _types),
    "\\dx": Command("\\dx [PATTERN]", "list extensions", _extensions),
    "\\l": Command("\\l", "list targets: the databases within your reach", _targets),
    "\\why": Command("\\why", "explain the decision on the latest statement", _why),
    "\\unmask": Command("\\unmask [TAG… [REASON]]", "ask to see tags in clear for a while; list them", unmask),
    "\\w": _REQUESTS,
    "\\requests": _REQUESTS,
    "\\x": Command("\\x [on|off|auto]", "a line per value; auto does so for what is too wide", _expanded),
    "\\timing": Command("\\timing [on|off]", "show how long statements take", _timing),
    "\\pset": Command("\\pset [NAME [VALUE]]", "options: pager, null, expanded, timing", _set_option),
    "\\i": Command("\\i FILE", "run a file", _include),
    "\\o": Command("\\o [FILE]", "write results to a file; without one, show them again", _output),
    "\\e": Command("\\e", "edit the latest statement in $EDITOR", _edit),
    "\\s": Command("\\s [N]", "show what you typed before", _history),
    "\\conninfo": Command("\\conninfo", "target, database, identity, policy, session", _connection),
    "\\h": Command("\\h [COMMAND]", "where PostgreSQL describes a command", _sql_help),
    "\\?": Command("\\?", "this list", _help),
    "\\q": Command("\\q", "leave", _leave),
}

ELSEWHERE = {
    "\\c": "leave, and open the other target: dbgate connect TARGET",
    "\\connect": "leave, and open the other target: dbgate connect TARGET",
    "\\copy": "dbgate exec TARGET -c SQL --format csv -o FILE writes a file",
    "\\g": "\\o FILE before the statement writes its result to a file",
    "\\gx": "\\o FILE before the statement writes its result to a file",
    "\\!": "dbgate runs no other programs; use another terminal",
    "\\password": "dbgate changes no passwords",
    "\\set": "values are bound with dbgate exec -p NAME=VALUE",
    "\\watch": "dbgate exec in a loop of your own repeats a statement",
    "\\dp": "dbgate policy explain TARGET -c SQL tells what you may do",
    "\\du": "dbgate whoami tells who you are; roles belong to the database",
    "\\di": "\\d NAME shows the keys of a table",
    "\\dconfig": "SHOW NAME shows a setting, SELECT name, setting FROM pg_settings all of them",
}
"""Commands of psql that dbgate has not, and what to do instead."""

KEYS = (
    "  Enter           run when the statement ends with ; or else a new line",
    "  Alt-Enter       a new line in any case",
    "  Tab             proposals      Ctrl-R  search what you typed before",
    "  \\gx             instead of ;   one value per line",
    "  Ctrl-C          clear the line, or cancel what runs      Ctrl-D  leave",
    "  A line that begins with a space is not kept.",
)
