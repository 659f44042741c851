"""Who touched which data: one query over `statements`, grouped as wanted.

A statement counts once in each group. It is *masked* where it met a labelled column's mask, *clear* where it met the
value; both can hold of different columns. Rows are those of whole statements: of a join, every table gets them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

DIMENSIONS = ("person", "actor", "target", "table", "column", "tag", "verb", "reason", "day")
USUAL = ("person", "target", "table")

_EXPRESSIONS = {
    "person": "person",
    "actor": "CASE WHEN coalesce(on_behalf_of, '') = '' THEN actor ELSE actor || ' for ' || on_behalf_of END",
    "target": "target",
    "table": 'item."table"',
    "column": 'item."column"',
    "tag": "item.tag",
    "verb": "verb",
    "reason": "reason",
    "day": "CAST(time AS DATE)",
}

_LABELLED = """
    list_transform(coalesce(labelled, list_transform(coalesce(masked, []),
        lambda m: {'column': m, 'tag': CAST(NULL AS VARCHAR), 'hidden': true})), lambda l: {
        'table': regexp_replace(l."column", '[.][^.]*$', ''), 'column': l."column", 'tag': l.tag, 'hidden': l.hidden})
"""
"""The labelled columns that a statement met. Records from before `labelled` name those that were masked."""

_BY_COLUMN = """
    list_concat(met, list_transform(
        list_filter(coalesce(columns, []), lambda c: NOT list_contains(list_transform(met, lambda m: m."column"), c)),
        lambda c: {'table': regexp_replace(c, '[.][^.]*$', ''), 'column': c, 'tag': CAST(NULL AS VARCHAR),
            'hidden': CAST(NULL AS BOOLEAN)}))
"""
_BY_TABLE = """
    flatten(list_transform(list_distinct(list_concat(coalesce(relations, []), list_transform(met, lambda m: m."table"))),
        lambda r: CASE WHEN list_contains(list_transform(met, lambda m: m."table"), r)
            THEN list_filter(met, lambda m: m."table" = r)
            ELSE [{'table': r, 'column': CAST(NULL AS VARCHAR), 'tag': CAST(NULL AS VARCHAR), 'hidden': CAST(NULL AS BOOLEAN)}]
        END))
"""

_QUERY = """
WITH made AS (
    SELECT *, {labelled} AS met, coalesce(refused, '') <> '' OR coalesce(status, 'not run') = 'not run' AS stopped
    FROM statements WHERE NOT coalesce(dry_run, false) AND {wanted}
), listed AS (
    SELECT *, {items} AS items FROM made
), items AS (
    SELECT *, unnest(CASE WHEN len(items) = 0 THEN [NULL] ELSE items END) AS item FROM listed
), touched AS (
    SELECT {named}, session, id, any_value(time) AS happened, any_value(stopped) AS stopped,
        any_value(CASE WHEN access = 'read' THEN rows END) AS returned, any_value(CASE WHEN access <> 'read' THEN rows END) AS written,
        bool_or(item.hidden AND NOT stopped) AS masked, bool_or(NOT item.hidden AND NOT stopped) AS clear,
        any_value(coalesce("grant", '') <> '' OR coalesce(json_array_length(unmasked), 0) > 0) AS approved, any_value(nullif(reason, '')) AS given
    FROM items WHERE {of_items} GROUP BY ALL
)
SELECT {names}, count(*) FILTER (NOT stopped) AS statements, count(*) FILTER (stopped) AS refused,
    CAST(coalesce(sum(returned), 0) AS BIGINT) AS rows_returned, CAST(coalesce(sum(written), 0) AS BIGINT) AS rows_written,
    count(*) FILTER (masked OR clear) AS labelled, count(*) FILTER (masked) AS masked, count(*) FILTER (clear) AS clear, count(*) FILTER (approved) AS approved,
    count(DISTINCT given) AS reasons, max(happened) AS last
FROM touched GROUP BY ALL ORDER BY {order}
"""


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """What is counted. Empty fields count all. `person` is a part of the name; `target`, `table`, `tag` are globs."""

    person: str = ""
    target: str = ""
    table: str = ""
    tag: str = ""
    since: datetime | None = None
    until: datetime | None = None


def usage_query(by: Sequence[str], wanted: UsageFilter) -> tuple[str, Mapping[str, Any]]:
    """The query, and the values for its `$name`s. `by` are some of `DIMENSIONS`, in the order of the columns.

    Its columns: those of `by`, then statements, refused, rows_returned, rows_written, labelled, masked, clear (statements
    that met labelled columns at all, masks, and values in clear), approved, reasons (different ones), last.
    """
    values: dict[str, Any] = {}
    of_statements = _conditions(
        values,
        ("person", wanted.person, "contains(lower(person), lower($person))"),
        ("target", wanted.target, "target GLOB $target"),
        ("since", wanted.since, "time >= $since"),
        ("until", wanted.until, "time <= $until"),
    )
    of_items = _conditions(
        values,
        ("table", wanted.table, 'item."table" GLOB $table'),
        ("tag", wanted.tag, "item.tag GLOB $tag"),
    )
    items = _BY_COLUMN if "column" in by else _BY_TABLE
    names = ", ".join(f'"{name}"' for name in by)
    order = '"day", statements DESC, ALL' if "day" in by else f"statements DESC, refused DESC, {names}"
    text = _QUERY.format(
        labelled=_LABELLED,
        wanted=of_statements,
        of_items=of_items,
        items=items,
        named=", ".join(f'{_EXPRESSIONS[name]} AS "{name}"' for name in by),
        names=names,
        order=order.replace(", ALL", f", {names}"),
    )
    return text, values


def _conditions(values: dict[str, Any], *conditions: tuple[str, Any, str]) -> str:
    held = [text for name, value, text in conditions if value]
    values.update({name: value for name, value, _ in conditions if value})
    return " AND ".join(held) or "true"
