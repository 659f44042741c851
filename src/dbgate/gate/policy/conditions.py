"""The conditions and people of rules: `when`, windows, comparisons, reviewers."""

from __future__ import annotations

import re
from datetime import time
from zoneinfo import ZoneInfo

from dbgate.document import Value
from dbgate.errors import DocumentError
from dbgate.gate.policy.globs import fault_in_glob, is_tag_glob
from dbgate.gate.policy.model import Comparison, When, Window
from dbgate.gate.policy.verbs import VERBS
from dbgate.model import Access, Actor, ReviewClause
from dbgate.text import suggest

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_COMPARISON = re.compile(r"(>=|<=|>|<|=) ?(0|[1-9][0-9]{0,14})")
_WINDOW = re.compile(r"(\S+) (\d\d):(\d\d)-(\d\d):(\d\d) (\S+)", re.ASCII)
_EXAMPLE = 'for example "Mon-Fri 08:00-18:00 Europe/Berlin"'
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def read_when(value: Value) -> When:
    """The conditions of a rule. Every condition takes one word or a list."""
    with value.mapping() as reader:
        access, verbs, actor = reader.value("access"), reader.value("verbs"), reader.value("actor")
        tables, tags, rows = reader.value("tables"), reader.value("tags"), reader.value("rows")
        outside, inside = reader.value("outside"), reader.value("inside")
        where = reader.value("where")
        when = When(
            groups=reader.texts("groups", ()),
            not_groups=reader.texts("not_groups", ()),
            access=tuple(Access(word) for word in access.choices(map(str, Access))) if access else (),
            verbs=verbs.choices(VERBS) if verbs else (),
            tables=read_globs(tables, 2) if tables else (),
            tags=read_tag_globs(tags) if tags else (),
            environment=reader.texts("environment", ()),
            actor=tuple(Actor(word) for word in actor.choices(map(str, Actor))) if actor else (),
            where_missing=where is not None and where.choice(("missing",)) == "missing",
            rows=read_comparison(rows) if rows else None,
            outside=read_window(outside) if outside else None,
            inside=read_window(inside) if inside else None,
        )
    both = set(when.groups) & set(when.not_groups)
    if both:
        raise value.error(f"when: {min(both)} stands in groups and in not_groups", "the rule could never match")
    if when.where_missing and when.verbs and not {"update", "delete"} & set(when.verbs):
        raise value.error("when: where: missing is for update and delete", "the rule could never match")
    return when


def read_globs(value: Value, parts: int) -> tuple[str, ...]:
    """Globs of `parts` dotted parts."""
    globs = value.texts()
    for glob, place in zip(globs, value.values() if value.is_list else (value,), strict=True):
        fault = fault_in_glob(glob, parts)
        if fault:
            raise place.error(f"{value.name}: {fault}")
    return globs


def read_tag_globs(value: Value) -> tuple[str, ...]:
    """Globs over tags."""
    globs = value.texts()
    for glob, place in zip(globs, value.values() if value.is_list else (value,), strict=True):
        if not is_tag_glob(glob):
            raise place.error(f"{value.name}: {glob} is no tag", "letters, digits, _ and - between dots, * and ?")
    return globs


def read_comparison(value: Value) -> Comparison:
    """A comparison with a number of rows: `">100"`."""
    try:
        text = value.text()
    except DocumentError:
        raise value.wrong('a comparison such as ">100"', "say >, >=, <, <= or = before the number") from None
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise value.wrong('a comparison such as ">100"')
    return Comparison(found[1], int(found[2]))


def read_window(value: Value) -> Window:
    """A weekly window: days, hours, zone."""
    found = _WINDOW.fullmatch(value.text())
    if found is None:
        raise value.wrong("days, hours and a time zone", _EXAMPLE)
    days, *clock, zone = found.groups()
    numbers = [int(n) for n in clock]
    start, end = _clock(numbers[0], numbers[1], value), _clock(numbers[2], numbers[3], value)
    if start == end and numbers != [0, 0, 24, 0]:
        raise value.error(f"{value.name}: the window begins and ends at the same time", "00:00-24:00 is a whole day")
    _check_zone(zone, value)
    return Window(_days(days, value), start, end, zone)


def _clock(hours: int, minutes: int, value: Value) -> time:
    """A time of day; 24:00 is the midnight that ends the day."""
    if (hours, minutes) == (24, 0):
        return time(0, 0)
    if hours > 23 or minutes > 59:
        raise value.error(f"{value.name}: there is no time {hours:02}:{minutes:02}", _EXAMPLE)
    return time(hours, minutes)


def _days(text: str, value: Value) -> frozenset[int]:
    """`Mon-Fri`, `Sat,Sun`, `Fri-Mon`: days as numbers, 0 for Monday."""
    found: set[int] = set()
    for piece in text.split(","):
        first, dash, last = piece.partition("-")
        for day in (first, last) if dash else (first,):
            if day not in _DAYS:
                raise value.error(f"{value.name}: there is no day {day}", suggest(day, _DAYS))
        start = _DAYS.index(first)
        span = (_DAYS.index(last) - start) % 7 if dash else 0
        found.update((start + i) % 7 for i in range(span + 1))
    return frozenset(found)


def _check_zone(zone: str, value: Value) -> None:
    try:
        if _ZONE.fullmatch(zone):
            ZoneInfo(zone)
            return
    except (LookupError, OSError, ValueError):
        pass
    from zoneinfo import available_timezones

    raise value.error(f"{value.name}: there is no time zone {zone}", _near_zone(zone, available_timezones()))


def _near_zone(zone: str, known: set[str]) -> str:
    hint = suggest(zone, known) if known else "no time zones are installed here: install tzdata"
    return hint if len(hint) < 200 else "an IANA name such as Europe/Berlin"


def read_clauses(value: Value) -> tuple[ReviewClause, ...]:
    """Reviewers: a list of groups with a count, all of which have to be met."""
    clauses = tuple(read_clause(item) for item in value.values())
    for clause in clauses:
        if clauses.count(clause) > 1:
            raise value.error("reviewers: the same clause stands twice", "raise its count instead")
    return clauses


def read_clause(value: Value) -> ReviewClause:
    """`{groups: […], count: n}`."""
    with value.mapping() as reader:
        return ReviewClause(reader.texts("groups"), reader.integer("count", 1, minimum=1, maximum=20))
