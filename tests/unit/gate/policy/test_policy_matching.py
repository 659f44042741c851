"""Globs, windows and rules: what matches, what does not, and what cannot be said yet."""

from __future__ import annotations

import time as clock
from datetime import UTC, datetime, time

import pytest

from dbgate.gate.policy.globs import matches, matches_parts
from dbgate.gate.policy.match import Classifier, in_window, rule_applies, table_matches, tag_matches
from dbgate.gate.policy.model import Classify, Comparison, Rule, When, Window
from dbgate.model import Access, Actor, Identity, Relation, RuleRef, Touch

EMPLOYEES = Relation("payroll", "employees", 1)
NOW = datetime(2026, 3, 4, 11, 0, tzinfo=UTC)


def applies(
    when: When,
    *,
    verb: str = "update",
    access: Access = Access.WRITE,
    relation: Relation | None = EMPLOYEES,
    groups: tuple[str, ...] = ("engineering",),
    actor: Actor = Actor.HUMAN,
    environment: str = "production",
    tags: frozenset[str] = frozenset({"pii.ssn"}),
    where_missing: bool = False,
    measured: int | None = None,
    now: datetime = NOW,
) -> bool | None:
    return rule_applies(
        Rule(RuleRef("r"), when, "deny"),
        touch=Touch(verb, access, relation),
        identity=Identity("i", "s", groups=groups, actor=actor),
        environment=environment,
        tags=tags,
        where_missing=where_missing,
        measured=measured,
        now=now,
    )


@pytest.mark.parametrize(
    ("glob", "names", "expected"),
    [
        ("payroll.employees", ("payroll", "employees"), True),
        ("payroll.*", ("payroll", "employees"), True),
        ("payroll.*", ("payroll2", "employees"), False),
        ("pay*.e?ployees", ("payroll", "employees"), True),
        ("payroll.employees", ("Payroll", "employees"), False),
        ("*.*", ("payroll", "odd.name"), True),
        ("payroll.odd", ("payroll.odd", "x"), False),
        ("*.*.*ssn*", ("a", "b", "my_ssn_number"), True),
        ("*.*.*ssn*", ("a", "ssn", "x"), False),
        ("*.*.a+b", ("a", "b", "a+b"), True),
        ("*.*.a+b", ("a", "b", "aab"), False),
        ("*.*.x", ("a", "b", "x\n"), False),
        ("*.*.x*", ("a", "b", "x\ny"), True),
        ("*.*.?", ("a", "b", ""), False),
    ],
)
def test_globs_stay_within_their_part(glob: str, names: tuple[str, ...], expected: bool) -> None:
    assert matches_parts(glob, *names) is expected


def test_globs_do_not_explode() -> None:
    start = clock.perf_counter()
    assert not matches("*a" * 30 + "*", "b" * 63)
    assert not matches("*" * 60 + "x", "a" * 63)
    assert clock.perf_counter() - start < 2


def test_tags_are_one_word() -> None:
    assert tag_matches(("pii.*",), "pii.name.last")
    assert tag_matches(("*",), "pii.ssn")
    assert not tag_matches(("pii.*",), "pii")
    assert not tag_matches(("pii",), "pii.ssn")


def test_temporary_schemas_are_all_pg_temp() -> None:
    assert table_matches(("pg_temp.*",), Relation("pg_temp_17", "t"))
    assert table_matches(("pg_temp.*",), Relation("pg_temp", "t"))
    assert not table_matches(("pg_temp.*",), Relation("pg_temperature", "t"))
    assert table_matches(("pg_temp_17.*",), Relation("pg_temp_17", "t"))
    assert not table_matches(("*.*",), None)


def test_an_empty_condition_matches_everything() -> None:
    assert applies(When()) is True
    assert applies(When(), relation=None, tags=frozenset(), groups=()) is True


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (When(groups=("engineering", "dba")), True),
        (When(groups=("Engineering",)), False),
        (When(not_groups=("engineering",)), False),
        (When(not_groups=("dba",)), True),
        (When(groups=("engineering",), not_groups=("dba",)), True),
        (When(access=(Access.READ,)), False),
        (When(access=(Access.READ, Access.WRITE)), True),
        (When(verbs=("delete",)), False),
        (When(verbs=("delete", "update")), True),
        (When(tables=("payroll.*",)), True),
        (When(tables=("hr.*", "shop.*")), False),
        (When(tags=("pii.*",)), True),
        (When(tags=("finance.*",)), False),
        (When(environment=("staging",)), False),
        (When(environment=("staging", "production")), True),
        (When(actor=(Actor.AGENT,)), False),
        (When(actor=(Actor.HUMAN,)), True),
        (When(where_missing=True), False),
        (When(groups=("engineering",), tables=("payroll.*",), access=(Access.DDL,)), False),
    ],
)
def test_conditions_all_have_to_hold(when: When, expected: bool) -> None:
    assert applies(when) is expected


def test_people_without_groups_are_outside_every_group() -> None:
    assert applies(When(groups=("engineering",)), groups=()) is False
    assert applies(When(not_groups=("engineering",)), groups=()) is True


def test_tables_never_match_a_statement_without_one() -> None:
    assert applies(When(tables=("*.*",)), relation=None) is False


def test_where_missing_is_told_by_the_gate() -> None:
    assert applies(When(where_missing=True), where_missing=True) is True
    assert applies(When(where_missing=True, verbs=("delete",)), where_missing=True) is False


def test_rows_are_unknown_until_they_are_measured() -> None:
    bulk = When(verbs=("update",), rows=Comparison(">", 100))
    assert applies(bulk) is None
    assert applies(bulk, measured=100) is False
    assert applies(bulk, measured=101) is True
    assert applies(When(verbs=("delete",), rows=Comparison(">", 100))) is False


@pytest.mark.parametrize(
    ("operator", "holding"), [(">", [6, 9]), (">=", [5, 6, 9]), ("<", [0, 4]), ("<=", [0, 4, 5]), ("=", [5])]
)
def test_comparisons(operator: str, holding: list[int]) -> None:
    assert [n for n in (0, 4, 5, 6, 9) if Comparison(operator, 5).holds(n)] == holding


BERLIN = Window(frozenset(range(5)), time(8), time(18), "Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-04T07:00:00+00:00", True),  # 08:00 in winter
        ("2026-03-04T06:59:59+00:00", False),
        ("2026-03-04T16:59:59+00:00", True),
        ("2026-03-04T17:00:00+00:00", False),
        ("2026-07-01T06:00:00+00:00", True),  # 08:00 in summer
        ("2026-07-01T05:59:59+00:00", False),
        ("2026-07-01T16:00:00+00:00", False),
        ("2026-03-27T16:30:00+00:00", True),  # the Friday before the clocks change
        ("2026-03-30T16:30:00+00:00", False),  # the Monday after
        ("2026-03-07T11:00:00+00:00", False),  # Saturday
        ("2026-03-04T12:00:00+14:00", False),  # still Tuesday night in Berlin
        ("2026-03-04T03:30:00-05:00", True),
    ],
)
def test_windows_follow_the_clock_on_the_wall(now: str, expected: bool) -> None:
    assert in_window(BERLIN, datetime.fromisoformat(now)) is expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-06T21:59:59", False),
        ("2026-03-06T22:00:00", True),  # Friday
        ("2026-03-07T05:59:59", True),  # Saturday morning belongs to Friday
        ("2026-03-07T06:00:00", False),
        ("2026-03-07T22:00:00", False),
        ("2026-03-06T03:00:00", False),  # Friday morning belongs to Thursday
    ],
)
def test_windows_over_midnight_belong_to_the_day_they_start_on(now: str, expected: bool) -> None:
    night = Window(frozenset({4}), time(22), time(6), "UTC")
    assert in_window(night, datetime.fromisoformat(now).replace(tzinfo=UTC)) is expected


def test_a_whole_day_ends_at_midnight() -> None:
    sunday = Window(frozenset({6}), time(0), time(0), "UTC")
    assert [in_window(sunday, datetime(2026, 3, d, h, tzinfo=UTC)) for d, h in [(7, 23), (8, 0), (8, 23), (9, 0)]] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-25T00:30:00+00:00", True),  # 02:30, the first time
        ("2026-10-25T01:30:00+00:00", True),  # 02:30 again
        ("2026-10-25T02:00:00+00:00", False),  # 03:00
        ("2026-03-29T01:00:00+00:00", False),  # 03:00 follows 01:59: there is no 02:30
    ],
)
def test_hours_that_come_twice_or_never(now: str, expected: bool) -> None:
    small = Window(frozenset({6}), time(2), time(3), "Europe/Berlin")
    assert in_window(small, datetime.fromisoformat(now)) is expected


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        in_window(BERLIN, datetime(2026, 3, 4, 12, 0))


def test_inside_and_outside() -> None:
    assert applies(When(inside=BERLIN)) is True
    assert applies(When(outside=BERLIN)) is False
    late = datetime(2026, 3, 4, 20, 0, tzinfo=UTC)
    assert applies(When(inside=BERLIN), now=late) is False
    assert applies(When(outside=BERLIN), now=late) is True


def entry(tag: str, *columns: str) -> Classify:
    return Classify(columns, tag, RuleRef("classify"))


def test_columns_get_the_tags_of_all_globs_that_match() -> None:
    classifier = Classifier(
        [
            entry("pii.ssn", "payroll.employees.ssn", "*.*.*ssn*"),
            entry("pii.id", "*.*.ssn"),
            entry("hr", "hr.*.*", "*.staff.n?me"),
            entry("own", "payroll.employees.*"),
        ]
    )
    assert classifier.tags("payroll", "employees", "ssn") == {"pii.ssn", "pii.id", "own"}
    assert classifier.tags("payroll", "employees", "id") == {"own"}
    assert classifier.tags("payroll", "Employees", "id") == frozenset()
    assert classifier.tags("x", "y", "old_ssn_2") == {"pii.ssn"}
    assert classifier.tags("hr", "anything", "x") == {"hr"}
    assert classifier.tags("x", "staff", "name") == {"hr"}
    assert classifier.tags("x", "staff", "names") == frozenset()


def test_two_hundred_thousand_columns_are_labelled_quickly() -> None:
    entries = [entry(f"t{i}", f"*.*.word{i}", f"*.*.*_word{i}", f"s{i}.*.x", f"s1.t{i}.y") for i in range(60)]
    classifier = Classifier(entries)
    start = clock.process_time()
    found = [classifier.tags(f"s{i % 50}", f"t{i // 40}", f"column_{i % 400}") for i in range(200_000)]
    assert not any(found)
    assert clock.process_time() - start < 10


@pytest.mark.parametrize(
    ("operator", "number", "ceiling"),
    [
        (">", 3, 5), (">", 5, 5), (">", 6, None), (">=", 3, 4), (">=", 5, None), ("<", 3, 4), ("<", 5, None),
        ("<=", 3, 5), ("<=", 6, None), ("=", 3, 4), ("=", 5, 5), ("=", 6, None),
    ],
)  # fmt: skip
def test_how_far_rows_may_grow_before_a_comparison_says_something_else(
    operator: str, number: int, ceiling: int | None
) -> None:
    comparison = Comparison(operator, 5)
    assert comparison.ceiling(number) == ceiling
    until = 20 if ceiling is None else ceiling
    assert {comparison.holds(n) for n in range(number, until + 1)} == {comparison.holds(number)}
    assert ceiling is None or comparison.holds(ceiling + 1) != comparison.holds(number)
