"""Whether a rule, a window or a glob of a policy matches. Pure: values in, answers out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dbgate.gate.policy.globs import is_glob, matches, matches_parts, pattern
from dbgate.gate.policy.model import Classify, Rule, When, Window
from dbgate.model import Identity, Relation, Touch

NONE: frozenset[str] = frozenset()


def rule_applies(
    rule: Rule,
    *,
    touch: Touch,
    identity: Identity,
    environment: str,
    tags: frozenset[str],
    where_missing: bool,
    measured: int | None,
    now: datetime,
) -> bool | None:
    """Whether a rule matches one touch of a statement; None when that hangs on rows that are not measured yet.

    `tags` are those of the columns that the statement meets, `where_missing` tells that it changes rows without an
    effective WHERE, `measured` is how many rows it would touch, `now` is aware.
    """
    when = rule.when
    fits = (
        is_meant(when, identity, environment)
        and (not when.access or touch.access in when.access)
        and (not when.verbs or touch.verb in when.verbs)
        and (not when.where_missing or where_missing)
        and (not when.tables or table_matches(when.tables, touch.relation))
        and (not when.tags or any(tag_matches(when.tags, tag) for tag in tags))
        and (when.inside is None or in_window(when.inside, now))
        and (when.outside is None or not in_window(when.outside, now))
    )
    if not fits or when.rows is None:
        return fits
    return None if measured is None else when.rows.holds(measured)


def is_meant(when: When, identity: Identity, environment: str) -> bool:
    """Whether the identity and the environment are ones that the rule means. Groups compare with their case."""
    if when.environment and environment not in when.environment:
        return False
    if when.actor and identity.actor not in when.actor:
        return False
    if when.groups and not any(group in identity.groups for group in when.groups):
        return False
    return not any(group in identity.groups for group in when.not_groups)


def table_matches(globs: Iterable[str], relation: Relation | None) -> bool:
    """Whether any glob `schema.table` holds the relation. `pg_temp` stands for every session's temporary schema."""
    if relation is None:
        return False
    schema = "pg_temp" if relation.schema.startswith("pg_temp_") else relation.schema
    return any(
        matches_parts(glob, schema, relation.name) or matches_parts(glob, relation.schema, relation.name)
        for glob in globs
    )


def tag_matches(globs: Iterable[str], tag: str) -> bool:
    """Whether any glob holds the tag. `*` crosses dots here: `pii.*` holds `pii.name.last`."""
    return any(matches(glob, tag) for glob in globs)


def in_window(window: Window, now: datetime) -> bool:
    """Whether the aware time `now` lies in a weekly window, by the clock on the wall of its zone.

    Hours that a change of clocks skips or repeats count as that clock shows them.
    """
    if now.tzinfo is None:
        raise ValueError("now has no time zone")
    local = now.astimezone(_zone(window.zone))
    wall = local.time()
    if window.end > window.start:
        return local.weekday() in window.days and window.start <= wall < window.end
    yesterday = (local.date() - timedelta(days=1)).weekday()
    return (local.weekday() in window.days and wall >= window.start) or (yesterday in window.days and wall < window.end)


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


class Classifier:
    """The `classify` entries of a policy, compiled: which tags a column carries.

    Made for catalogs of some hundred thousand columns: globs over any table are held against each distinct column
    name once, those of a table against the columns of that table only.
    """

    def __init__(self, entries: Sequence[Classify]) -> None:
        anywhere: dict[str, list[str]] = {}
        self._exact: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._tables: list[tuple[str, str, str, str]] = []
        for entry in entries:
            for glob in entry.columns:
                schema, table, column = glob.split(".")
                if schema == table == "*":
                    anywhere.setdefault(entry.tag, []).append(column)
                elif is_glob(schema) or is_glob(table):
                    self._tables.append((schema, table, column, entry.tag))
                else:
                    self._exact.setdefault((schema, table), []).append((column, entry.tag))
        self._anywhere = [(tag, _alternatives(globs)) for tag, globs in anywhere.items()]
        self._by_column: dict[str, frozenset[str]] = {}
        self._by_table: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}

    def tags(self, schema: str, table: str, column: str) -> frozenset[str]:
        """The tags of a column."""
        found = self._by_column.get(column)
        if found is None:
            found = frozenset(tag for tag, globs in self._anywhere if globs.fullmatch(column)) or NONE
            self._by_column[column] = found
        here = self._by_table.get((schema, table))
        if here is None:
            here = self._of_table(schema, table)
            self._by_table[(schema, table)] = here
        if not here:
            return found
        return found.union(tag for glob, tag in here if matches(glob, column))

    def _of_table(self, schema: str, table: str) -> tuple[tuple[str, str], ...]:
        """The column globs that hold for a table, with their tags."""
        found = list(self._exact.get((schema, table), ()))
        found += [(c, tag) for s, t, c, tag in self._tables if matches(s, schema) and matches(t, table)]
        return tuple(found)


def _alternatives(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern(glob)})" for glob in globs), re.DOTALL)
