"""What to propose while typing: names from the catalog, keywords, backslash commands.

Runs in a thread of prompt-toolkit's. It reads only the immutable catalog, never the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from dbgate.catalog import CatalogRelation
from dbgate.doors.shell.names import KINDS, Names, folded, quoted
from dbgate.doors.shell.place import Place, TableRef, Wants, place_of
from dbgate.doors.shell.words import FUNCTIONS, KEYWORDS, SETTINGS, STARTERS, TYPES
from dbgate.text import printable

LIMIT = 100
"""More proposals than this are not shown: typing on narrows them down."""


class Proposal(msgspec.Struct, frozen=True):
    """A text that may stand at the cursor, with a word on what it is. `match` is what a prefix is compared with."""

    text: str
    kind: str
    match: str = ""


class SqlCompleter(Completer):
    """Completes SQL and backslash commands.

    `names` gives the names as they are now, or None while the catalog is not loaded; `commands` the backslash commands
    with their help.
    """

    def __init__(self, names: Callable[[], Names | None], commands: Sequence[tuple[str, str]]) -> None:
        self._names = names
        self._commands = commands
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Proposals for the cursor's place, the best first."""
        line = document.current_line_before_cursor
        if line.lstrip().startswith("\\") and not document.text_before_cursor[: -len(line)].strip():
            yield from self._command(line.lstrip(), complete_event)
            return
        place = place_of(document.text, document.cursor_position)
        is_eager = complete_event.completion_requested or place.wants in {Wants.RELATION, Wants.CONDITION}
        if place.wants is Wants.NOTHING or not (place.prefix or place.qualifier or is_eager):
            return
        proposals = best(propose(place, self._names()), place.prefix)
        if len(proposals) == 1 and proposals[0].text == place.prefix and not complete_event.completion_requested:
            return
        for proposal in proposals:
            yield Completion(proposal.text, start_position=-len(place.prefix), display_meta=printable(proposal.kind))

    def _command(self, line: str, event: CompleteEvent) -> Iterator[Completion]:
        name, space, argument = line.partition(" ")
        if not space:
            for command, help_line in self._commands:
                if command.startswith(name):
                    yield Completion(command, start_position=-len(name), display_meta=help_line)
            return
        if name in {"\\i", "\\o"}:
            yield from self._paths.get_completions(Document(argument, len(argument)), event)
            return
        if name.rstrip("+") in {"\\x", "\\timing", "\\pset"}:
            words: list[Proposal] = [Proposal(word, "") for word in _arguments(name, argument)]
        else:
            words = _relation_names(self._names()) if name.startswith("\\d") else []
        last = argument.rpartition(" ")[2]
        for proposal in best(words, last):
            yield Completion(proposal.text, start_position=-len(last), display_meta=printable(proposal.kind))


def _arguments(name: str, argument: str) -> Sequence[str]:
    if name == "\\pset" and " " not in argument:
        return ("expanded", "null", "pager", "timing")
    return ("on", "off", "auto") if name == "\\x" else ("on", "off")


def best(proposals: Iterable[Proposal], prefix: str) -> list[Proposal]:
    """The proposals that fit `prefix`: first those that begin with it, then those with it at a word's beginning."""
    wanted = folded(prefix).lower()
    first: dict[str, Proposal] = {}
    second: dict[str, Proposal] = {}
    inner = "_" + wanted
    for proposal in proposals:
        text = (proposal.match or proposal.text).lower()
        if text.startswith(wanted):
            first.setdefault(proposal.text, proposal)
            if len(first) >= LIMIT:
                break
        elif inner in text or "." + wanted in text:
            second.setdefault(proposal.text, proposal)
    rest = [proposal for text, proposal in second.items() if text not in first]
    return [*first.values(), *rest][:LIMIT]


def propose(place: Place, names: Names | None) -> Iterator[Proposal]:
    """Everything that may stand at the place, best first, whatever was typed of it."""
    if place.qualifier:
        yield from _qualified(place, names)
        return
    match place.wants:
        case Wants.START:
            yield from _words(STARTERS, place)
        case Wants.KEYWORD:
            yield from _words(KEYWORDS, place)
        case Wants.RELATION:
            yield from (Proposal(quoted(query), "query", query) for query in place.queries)
            yield from _relation_names(names)
            yield from _schemas(names)
            yield from _words(("ONLY", "LATERAL", "SELECT", "VALUES"), place)
        case Wants.CONDITION:
            yield from _conditions(place, names)
            yield from _expression(place, names)
        case Wants.COLUMN:
            yield from _expression(place, names)
        case Wants.TARGET_COLUMN:
            yield from _columns(place.tables[:1], names)
            yield from _words(("SELECT", "VALUES", "WHERE", "FROM", "SET"), place)
        case Wants.SETTING:
            yield from (Proposal(setting, "setting") for setting in SETTINGS)
            yield from _words(("LOCAL", "SESSION", "TRANSACTION", "TIME", "ALL"), place)
        case Wants.TYPE:
            yield from (Proposal(name, "type") for name in TYPES)
            yield from (Proposal(name, "type") for name in (names.types if names else ()))
        case Wants.NOTHING:
            return


def _words(words: Iterable[str], place: Place) -> Iterator[Proposal]:
    lower = place.prefix.islower()
    return (Proposal(word.lower() if lower else word, "keyword") for word in words)


def _relation_names(names: Names | None) -> list[Proposal]:
    found = names.relations if names else ()
    return [Proposal(text, KINDS[relation.kind], relation.name if "." not in text else "") for text, relation in found]


def _schemas(names: Names | None) -> Iterator[Proposal]:
    return (Proposal(schema, "schema") for schema in (names.schemas if names else ()))


def _expression(place: Place, names: Names | None) -> Iterator[Proposal]:
    yield from _columns(place.tables, names)
    for table in place.tables:
        yield Proposal(quoted(table.called), "table", table.called)
    yield from (Proposal(name, f"function({arguments})") for name, arguments in (names.functions if names else ()))
    yield from (Proposal(name, "function") for name in FUNCTIONS)
    yield from _words(KEYWORDS, place)
    if not place.tables:
        yield from _relation_names(names)
    yield from _schemas(names)


def _columns(tables: Sequence[TableRef], names: Names | None) -> Iterator[Proposal]:
    seen: dict[str, list[tuple[TableRef, str]]] = {}
    for table in tables:
        relation = names.relation(table.schema, table.name) if names else None
        for column in relation.columns if relation else ():
            if column.name.isprintable():
                seen.setdefault(column.name, []).append((table, column.type))
    for name, places in seen.items():
        if len(places) == 1:
            yield Proposal(quoted(name), f"{places[0][1]} · {places[0][0].called}", name)
        else:
            for table, type_name in places:
                yield Proposal(f"{quoted(table.called)}.{quoted(name)}", f"{type_name} · {table.called}", name)


def _qualified(place: Place, names: Names | None) -> Iterator[Proposal]:
    """What follows `alias.`, `schema.` or `schema.table.`."""
    if names is None:
        return
    *schema, last = place.qualifier
    relation: CatalogRelation | None = None
    if schema:
        relation = names.relation(schema[-1], last)
    else:
        table = next((t for t in place.tables if t.called == last), None)
        relation = names.relation(table.schema, table.name) if table else None
    if relation is not None and place.wants is not Wants.RELATION:
        yield from (Proposal(quoted(c.name), c.type, c.name) for c in relation.columns if c.name.isprintable())
        return
    if schema:
        return
    for found in names.by_schema.get(last, ()):
        yield Proposal(quoted(found.name), KINDS.get(found.kind, ""), found.name)
    yield from (Proposal(name, f"function({arguments})") for name, arguments in names.functions_of(last))
    yield from _system(names, last)


def _system(names: Names, schema: str) -> Iterator[Proposal]:
    start = f"{schema}."
    return (Proposal(key[len(start) :], "system") for key in names.catalog.system if key.startswith(start))


def _conditions(place: Place, names: Names | None) -> Iterator[Proposal]:
    """Join conditions from the foreign keys between the latest table and those before it."""
    if names is None or len(place.tables) < 2:
        return
    new = place.tables[-1]
    right = names.relation(new.schema, new.name)
    for table in place.tables[:-1]:
        left = names.relation(table.schema, table.name)
        if left is None or right is None:
            continue
        for pairs in names.keys_between(left, right):
            parts = [f"{quoted(new.called)}.{quoted(b)} = {quoted(table.called)}.{quoted(a)}" for a, b in pairs]
            if all(part.isprintable() for part in parts):
                yield Proposal(" AND ".join(parts), "foreign key", pairs[0][1])
