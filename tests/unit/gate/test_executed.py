"""EXECUTE is counted with the values that it gives, as far as they are plain: otherwise nobody knows how many rows it touches."""

from __future__ import annotations

import pytest
from tests.catalogs import judged, policy, rule

from dbgate.gate.executed import arguments_of, declared_types
from dbgate.gate.policy.model import Comparison, Policy
from dbgate.gate.syntax import parse_one
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Allow, CountQuery, Deny, Measured, NeedsApproval, NeedsMeasure


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ("", ()),
        ("(1, -2, 0)", ("1", "-2", "0")),
        ("(1.50, 12345678901234567890)", ("1.50", "12345678901234567890")),
        ("('a''b', '')", ("a'b", "")),
        ("(NULL, true, false)", (None, "true", "false")),
        ("($2, $1)", ("second", None)),
        ("($3)", None),
        ("(1, now())", None),
        ("(1 + 1)", None),
        ("('a'::text)", None),
        ("(B'101')", None),
    ],
)
def test_plain_arguments_have_values(arguments: str, values: tuple[str | None, ...] | None) -> None:
    body = parse_one(f"EXECUTE p {arguments}")["ExecuteStmt"]
    assert arguments_of(body, (None, "second")).values == values


def test_types_are_those_that_were_declared() -> None:
    body = parse_one('PREPARE p (int, text, pg_catalog.date, "char") AS SELECT 1')["PrepareStmt"]
    names = ("int4", "text", "date", '"char"')
    assert declared_types(body) == {n: f"pg_catalog.{name}" for n, name in enumerate(names, 1)}


@pytest.mark.parametrize("types", ["int[]", "payroll.mine", "int, public.text", "SETOF int"])
def test_types_that_are_no_plain_ones_of_the_server_are_not_guessed(types: str) -> None:
    with pytest.raises(LookupError):
        declared_types(parse_one(f"PREPARE p ({types}) AS SELECT 1")["PrepareStmt"])


def bulk() -> Policy:
    """More than ten rows need approval."""
    return policy(
        rule("all"), rule("bulk", "approve", verbs=("delete", "create", "truncate", "update"), rows=Comparison(">", 10))
    )


def queries(sql: str, objects: SessionObjects | None = None) -> tuple[CountQuery, ...]:
    """What is counted before a statement runs."""
    decision = judged(sql, bulk(), objects=objects or SessionObjects()).decision
    assert isinstance(decision, NeedsMeasure), decision
    return decision.queries


def prepared(sql: str) -> SessionObjects:
    """A session that has prepared a statement, which touches nothing and so needs no approval."""
    text = f"PREPARE p (int) AS {sql}"
    assert queries(text) == ()
    judgement = judged(text, bulk(), measured=Measured(()))
    assert isinstance(judgement.decision, Allow), judgement.decision
    return judgement.changes.apply(SessionObjects())


@pytest.mark.parametrize(
    ("prefix", "own"),
    [("", True), ("EXPLAIN ANALYZE ", False)],
)
def test_what_is_executed_is_counted_with_its_values(prefix: str, own: bool) -> None:
    (query,) = queries(f"{prefix}EXECUTE p (7)", prepared("DELETE FROM public.log WHERE id > $1"))
    assert (str(query.relation), query.parameters, query.is_own) == ("public.log", ("7",), own)


def test_rows_that_follow_are_counted_of_what_is_executed_too() -> None:
    found = queries("EXECUTE p (3)", prepared("DELETE FROM payroll.departments WHERE id = $1"))
    assert [str(q.relation) for q in found] == ["payroll.departments", "payroll.employees", "payroll.pay"]


def test_values_that_have_to_be_computed_leave_the_rows_unknown() -> None:
    given = prepared("DELETE FROM public.log WHERE id > $1")
    decision = judged("EXECUTE p (length('abc'))", bulk(), objects=given).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "a prepared statement cannot wait for approval"


@pytest.mark.parametrize(
    ("sql", "own"),
    [
        ("DELETE FROM public.log WHERE id > 1", [True]),
        ("WITH d AS (DELETE FROM public.log WHERE id = 1) DELETE FROM payroll.pay WHERE id = 2", [False, True]),
        ("EXPLAIN ANALYZE DELETE FROM public.log WHERE id > 1", [False]),
        ("TRUNCATE public.log", [False]),
    ],
)
def test_what_the_servers_status_line_does_not_say_is_counted_again(sql: str, own: list[bool]) -> None:
    assert [query.is_own for query in queries(sql)] == own


def test_a_table_that_is_made_of_a_query_is_not_counted() -> None:
    assert isinstance(judged("CREATE TABLE public.made AS SELECT 1 AS a", bulk()).decision, NeedsApproval)
