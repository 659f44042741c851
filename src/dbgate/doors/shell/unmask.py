r"""`\unmask TAG… [REASON]`: which of the words are tags, and what there is to ask for."""

from __future__ import annotations

from collections.abc import Iterable

from dbgate.doors.shell.desk import Desk
from dbgate.errors import UsageError
from dbgate.gate.policy.globs import is_glob, is_tag_glob, matches
from dbgate.text import suggest


def unmask(desk: Desk, argument: str) -> None:
    """Ask to see tags in clear; without any, list the policy's tags and how the person sees them."""
    tags = desk.about.tags() if desk.about.tags else {}
    if not argument:
        notes = () if tags else ("The policy labels nothing.",)
        desk.display.table(("Tag", "You see it"), list(tags.items()), notes=notes)
        return
    wanted, reason = read_wish(argument, tags)
    desk.failed = desk.unmask(wanted, reason)


def read_wish(argument: str, known: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """The tags that a wish begins with, and the reason behind them. Raises `UsageError` for a tag nobody knows."""
    tags, words = list(known), argument.split()
    wanted: list[str] = []
    while words and _names(words[0].rstrip(","), tags):
        wanted.append(words.pop(0).rstrip(","))
    if not wanted or (words and _is_misspelt(words[0].rstrip(","), tags)):
        raise UsageError(f"no such tag: {words[0]}", hint=suggest(words[0], tags) or "the policy labels nothing")
    return tuple(wanted), " ".join(words).strip("'\"")


def _names(word: str, tags: Iterable[str]) -> bool:
    return any(matches(word, tag) if is_glob(word) else word == tag for tag in tags)


def _is_misspelt(word: str, tags: Iterable[str]) -> bool:
    """Whether a word is meant as a tag: it begins like one (`pii.`), or is a glob of dotted words."""
    head, dot, _ = word.partition(".")
    return bool(dot) and is_tag_glob(word) and (is_glob(word) or any(tag.startswith(f"{head}.") for tag in tags))
