"""Operators that stand in a statement without a sign: each of them could be one of somebody's own."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged

from dbgate.catalog import CatalogOperator
from dbgate.model import Allow, Deny, Rewrite

EQUALS = replace(CATALOG, operators=(CatalogOperator("public", "=", 31),), fingerprint="with equals")
NO_LESS = replace(CATALOG, operators=(CatalogOperator("public", ">=", 31),), fingerprint="with no less")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CASE id WHEN 1 THEN 'one' END FROM payroll.departments",
        "SELECT 1 FROM payroll.departments JOIN payroll.pay USING (id)",
        "SELECT 1 FROM payroll.departments NATURAL JOIN payroll.pay",
        "SELECT id FROM payroll.departments WHERE id IN (SELECT id FROM payroll.pay)",
        "SELECT id FROM payroll.departments WHERE id IN (1, 2)",
        "SELECT id FROM payroll.departments WHERE id = 1",
        "SELECT nullif(id, 1) FROM payroll.departments",
        "SELECT id FROM payroll.departments WHERE id OPERATOR(public.=) 1",
        "SELECT id FROM payroll.departments WHERE id = ANY (ARRAY[1])",
    ],
)
def test_an_own_operator_stands_behind_words(sql: str) -> None:
    decision = judged(sql, catalog=EQUALS).decision
    assert isinstance(decision, Deny)
    assert "the operator public.= calls public.leak" in decision.reason


@pytest.mark.parametrize("sql", ["id BETWEEN 1 AND 2", "id BETWEEN SYMMETRIC 2 AND 1"])
def test_between_stands_for_two_comparisons(sql: str) -> None:
    decision = judged(f"SELECT id FROM payroll.departments WHERE {sql}", catalog=NO_LESS).decision
    assert isinstance(decision, Deny)
    assert "the operator public.>= calls public.leak" in decision.reason


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CASE WHEN id > 1 THEN 'one' END FROM payroll.departments",
        "SELECT 1 FROM payroll.departments d JOIN payroll.pay p ON d.id < p.id",
        "SELECT id FROM payroll.departments WHERE EXISTS (SELECT 1 FROM payroll.pay)",
        "SELECT id FROM payroll.departments WHERE id OPERATOR(pg_catalog.=) 1",
        "SELECT id FROM payroll.departments WHERE id BETWEEN 1 AND 2",
    ],
)
def test_other_operators_do_not_mean_it(sql: str) -> None:
    assert isinstance(judged(sql, catalog=EQUALS).decision, Allow | Rewrite)


def test_an_operator_outside_the_search_path_is_not_meant() -> None:
    elsewhere = replace(CATALOG, operators=(CatalogOperator("payroll", "=", 31),), fingerprint="elsewhere")
    assert isinstance(judged("SELECT id FROM payroll.departments WHERE id = 1", catalog=elsewhere).decision, Allow)
