"""The edges of what no rule can allow: the neighbours of a refused statement are not refused."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy, rule

from dbgate.catalog import Catalog, CatalogColumn, Constraint
from dbgate.model import Access, Allow, Deny, Rewrite

BUILDERS = policy(rule("build", access=(Access.READ, Access.DDL, Access.ADMIN)))
WRITERS = policy(rule("write", access=(Access.READ, Access.WRITE)))
_OTHERS = [r for r in CATALOG.relations if r.name != "employees"]
_EMPLOYEES = next(r for r in CATALOG.relations if r.name == "employees")


def catalog_with(hidden: CatalogColumn) -> Catalog:
    """The catalog with another type of `employees.ssn`, and nothing else that is hidden."""
    columns = (*(c for c in _EMPLOYEES.columns if c.name in {"id", "full_name"}), hidden)
    relations = [r for r in _OTHERS if r.name not in {"pay", "directory", "rich"}]
    return replace(
        CATALOG,
        relations=(*relations, replace(_EMPLOYEES, columns=columns)),
        foreign_keys=(),
        fingerprint=f"with {hidden}",
    )


PLAIN = CatalogColumn(3, "ssn", "text", 25, 25, "text", "S")
DOMAIN = CatalogColumn(3, "ssn", "public.code", 40, 25, "text", "S")
ARRAY = CatalogColumn(3, "ssn", "public.code[]", 41, 41, "public.code[]", "A")
COMPOSITE = CatalogColumn(3, "ssn", "public.pair", 42, 42, "public.pair", "C")


@pytest.mark.parametrize("hidden", [DOMAIN, ARRAY, COMPOSITE], ids=["domain", "array", "composite"])
@pytest.mark.parametrize(
    "change",
    ["ADD CONSTRAINT c CHECK (VALUE <> 'x')", "VALIDATE CONSTRAINT c", "SET NOT NULL"],
)
def test_a_domain_that_hidden_values_may_have_is_not_checked_against_them(hidden: CatalogColumn, change: str) -> None:
    decision = judged(f"ALTER DOMAIN public.code {change}", BUILDERS, catalog_with(hidden)).decision
    assert isinstance(decision, Deny)
    assert "may hold values of the domain" in decision.reason


@pytest.mark.parametrize(
    ("sql", "hidden"),
    [
        ("ALTER DOMAIN public.code SET NOT NULL", PLAIN),
        ("ALTER DOMAIN public.code SET DEFAULT 'x'", DOMAIN),
        ("ALTER DOMAIN public.code DROP NOT NULL", DOMAIN),
        ("CREATE DOMAIN public.code AS text", DOMAIN),
        ("ALTER COLLATION public.one RENAME TO other", DOMAIN),
        ("ALTER TABLE public.log RENAME TO notes", DOMAIN),
    ],
)
def test_other_definitions_are_the_rules_to_allow(sql: str, hidden: CatalogColumn) -> None:
    assert isinstance(judged(sql, BUILDERS, catalog_with(hidden)).decision, Allow)


def test_a_check_that_compares_with_a_hidden_column_is_named_with_both_sides() -> None:
    check = Constraint("pay_fits", 11, "c", (4, 5))
    catalog = replace(CATALOG, constraints=(check,), fingerprint="with a check")
    decision = judged("UPDATE payroll.employees SET dept = 3, full_name = 'x' WHERE id = 1", WRITERS, catalog).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "the check pay_fits compares dept with salary, which you see only masked"


def test_a_new_table_holds_no_masks_of_what_nobody_uses() -> None:
    sql = "CREATE TABLE public.made AS SELECT q.id FROM (SELECT * FROM payroll.employees) q"
    assert isinstance(judged(sql, BUILDERS).decision, Rewrite)


def test_the_definition_of_a_view_holds_no_masks() -> None:
    sql = "CREATE VIEW public.v AS SELECT ssn FROM payroll.employees"
    decision = judged(sql, BUILDERS).decision
    assert isinstance(decision, Allow)
    assert decision.text == sql
