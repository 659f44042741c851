"""Which relations have to be unchanged when a statement runs: by the OIDs of the small catalog."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy, rule, table

from dbgate.gate.pins import NO_RELATION
from dbgate.gate.policy.model import FunctionList
from dbgate.model import Access

FAMILY = replace(
    CATALOG,
    fingerprint="family",
    relations=(
        *CATALOG.relations,
        table(20, "s.grand", "id int!", kind="p"),
        table(21, "s.parent", "id int!", kind="p", parents=(20,)),
        table(22, "s.child", "id int!", parents=(21,)),
    ),
)


@pytest.mark.parametrize(
    ("sql", "pins"),
    [
        ("SELECT id FROM payroll.departments", {10}),
        ("SELECT d.id FROM payroll.departments d, payroll.pay p", {10, 12}),
        ("SELECT id FROM payroll.directory", {13, 11}),
        ("SELECT 1", set()),
        ("WITH q AS (SELECT id FROM payroll.pay) SELECT id FROM q", {12}),
        ("INSERT INTO public.log (id) SELECT id FROM payroll.departments", {15, 10}),
        ("UPDATE public.log SET id = 1 WHERE id = 2", {15}),
        ("DELETE FROM public.log WHERE id = 2", {15}),
        ("MERGE INTO public.log l USING payroll.pay p ON p.id = l.id WHEN MATCHED THEN DELETE", {15, 12}),
        ("EXPLAIN SELECT id FROM payroll.departments", {10}),
        ("COPY payroll.departments TO STDOUT", {10}),
        ("COPY (SELECT id FROM payroll.departments) TO STDOUT", {10}),
        ("PREPARE p AS SELECT id FROM payroll.departments", {10}),
        ("DECLARE c CURSOR FOR SELECT id FROM payroll.departments", {10}),
        ("CREATE TEMP TABLE t AS SELECT id FROM payroll.departments", {10}),
        ("ALTER TABLE public.log ADD COLUMN x int", set()),
        ("SELECT id FROM s.child", {20, 21, 22}),
        ("SELECT id FROM s.parent", {20, 21}),
        ("SELECT id FROM s.grand", {20, 21}),
    ],
)
def test_a_judgement_hangs_on_what_is_read_and_changed_and_on_where_that_comes_from(sql: str, pins: set[int]) -> None:
    given = policy(rule("all", access=tuple(Access)))
    assert set(judged(sql, given, FAMILY).pins) == pins


def test_a_function_that_is_found_by_its_name_asks_for_the_check_alone() -> None:
    given = replace(policy(rule("all", access=tuple(Access))), functions=FunctionList(("public.fiscal_year(date)",)))
    assert judged("SELECT fiscal_year('2024-01-01')", given).pins == (NO_RELATION,)
    assert judged("SELECT lower('x')", given).pins == ()
