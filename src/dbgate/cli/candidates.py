"""What a shell may complete a command line with: commands, options, and the names of targets, requests and sessions.

A completion script (`completions.py`) runs `dbgate WORDS…` with `_DBGATE_COMPLETE` set; the last word is the one
being typed. Answered is one candidate a line, then a tab and what it is. Nothing is ever run.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from typer._click.shell_completion import _resolve_context, _resolve_incomplete

from dbgate.errors import EXIT_OK, DbgateError
from dbgate.text import printable

VARIABLE = "_DBGATE_COMPLETE"
WORD_VARIABLE = "_DBGATE_WORD"
TIMEOUT_S = 3
MOST = 50

Candidate = tuple[str, str]
"""A word, and what it is."""

_SAFE = re.compile(r"[A-Za-z0-9@%+=:,./_-]+")
"""Words that no shell takes for anything else."""


def answer(words: Sequence[str]) -> int:
    """Print the candidates for the last of `words`. Errors and long waits give none."""
    arguments, typed = list(words[:-1]), words[-1] if words else ""
    if WORD_VARIABLE in os.environ:
        arguments, typed = list(words), os.environ[WORD_VARIABLE]
    before = signal.signal(signal.SIGALRM, lambda *_: os._exit(EXIT_OK))
    signal.alarm(TIMEOUT_S)
    try:
        found = candidates(arguments, typed)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    for value, about in found:
        if _SAFE.fullmatch(value):
            print(f"{value}\t{' '.join(printable(about, keep=chr(10)).split())}")
    return EXIT_OK


def candidates(arguments: Sequence[str], typed: str) -> list[Candidate]:
    """What `typed` may become after `arguments`."""
    from typer import TyperException
    from typer.main import get_command

    from dbgate.cli.app import COMMANDS, app

    # bash hands `--format=js` over as three words.
    arguments = [a for i, a in enumerate(arguments) if a != "=" or i == 0 or not arguments[i - 1].startswith("--")]
    if not arguments and not typed.startswith("-"):
        return [(name, about) for name, (_, about) in COMMANDS.items() if name.startswith(typed)]
    try:
        context = _resolve_context(get_command(app), {}, "dbgate", list(arguments))
        place, rest = _resolve_incomplete(context, list(arguments), "" if typed == "=" else typed)
        names = _names_for(place, context.command_path)
        if names is not None:
            return [(value, about) for value, about in islice(names, MOST) if value.startswith(rest)]
        return [(item.value, item.help or "") for item in place.shell_complete(context, rest) if item.type == "plain"]
    except (DbgateError, TyperException):
        return []


def _names_for(place: Any, path: str) -> Iterable[Candidate] | None:
    """The names that a parameter stands for; None when it is for typer to say."""
    if not hasattr(place, "param_type_name"):
        return None
    source = _SOURCES.get(place.name)
    if source is None and "--format" in place.opts and place.metavar == "FORMAT":
        return _formats(path)
    return source() if source is not None else None


def _targets() -> Iterator[Candidate]:
    from dbgate.config import load_settings

    for target in load_settings().targets.values():
        yield target.name, target.environment or target.engine


def _sessions() -> Iterator[Candidate]:
    from dbgate.audit.sessions import Archive
    from dbgate.audit.summary import Filter
    from dbgate.cli.sessions import open_for_reading
    from dbgate.config import load_settings

    settings = load_settings()
    archive = Archive(settings.state_dir, open_for_reading(settings))
    known: set[str] = set()
    for place in archive.in_spool():
        known.add(place.session)
        yield place.session, "here"
    for place in archive.in_bucket(Filter()):
        if place.session not in known:
            yield place.session, place.folder.removesuffix(f"/{place.session}").rpartition("target=")[2]


def _requests() -> Iterator[Candidate]:
    from dbgate.cli.approvals_wiring import open_approvals
    from dbgate.config import load_settings
    from dbgate.identity import current_identity

    settings = load_settings()
    client = open_approvals(settings, current_identity(settings))
    try:
        for state in client.find(limit=MOST):
            yield state.id, state.summary
    finally:
        client.close()


def _formats(path: str) -> Iterator[Candidate]:
    from dbgate.doors.formats.interface import FORMATS

    return ((word, "") for word in (FORMATS if path.endswith(" exec") else ("text", "json")))


def _actors() -> Iterator[Candidate]:
    from dbgate.model import Actor

    return ((str(actor), "") for actor in Actor)


_SOURCES: dict[str, Callable[[], Iterator[Candidate]]] = {
    "target": _targets,
    "targets": _targets,
    "session": _sessions,
    "request": _requests,
    "actor": _actors,
}
"""Parameter name → where its values come from."""
