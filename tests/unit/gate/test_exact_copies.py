"""Stored copies of a labelled column: what holds the value itself has its mask, what was made from it shows nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, column, judged

from dbgate.catalog import CatalogRelation
from dbgate.model import Allow, Decision, Deny, Rewrite

PARTIAL = "pg_catalog.right(kept, 4)"
REDACTED = "('***')::pg_catalog.text AS kept"


def decided(definition: str) -> Decision:
    """The decision on `SELECT kept` from a materialized view."""
    stored = CatalogRelation(
        40, "payroll", "stored", "m", (column(1, "kept text"),), definition=f" {definition};", depends=(10, 11)
    )
    catalog = replace(CATALOG, relations=(*CATALOG.relations, stored), fingerprint=definition)
    return judged("SELECT kept FROM payroll.stored", catalog=catalog).decision


def sent(definition: str) -> str:
    """What is sent for it."""
    decision = decided(definition)
    assert isinstance(decision, Allow | Rewrite), decision
    return decision.text


@pytest.mark.parametrize(
    "definition",
    [
        "SELECT ssn AS kept FROM payroll.employees",
        "SELECT employees.ssn AS kept FROM payroll.employees",
        "SELECT payroll.employees.ssn AS kept FROM payroll.employees",
        "SELECT e.ssn AS kept FROM payroll.employees e",
        "SELECT q.s AS kept FROM (SELECT e.ssn AS s FROM payroll.employees e) q",
        "SELECT s AS kept FROM (SELECT e.ssn FROM payroll.employees e) q(s)",
        "WITH q AS (SELECT ssn AS s FROM payroll.employees) SELECT q.s AS kept FROM q",
        "SELECT ssn AS kept FROM payroll.employees UNION ALL SELECT 'none'",
        "SELECT name AS kept FROM payroll.departments UNION ALL SELECT ssn FROM payroll.employees",
        "SELECT q.* FROM (SELECT ssn AS kept FROM payroll.employees) q",
    ],
)
def test_a_copy_of_the_value_is_masked_as_the_value(definition: str) -> None:
    assert PARTIAL in sent(definition)


@pytest.mark.parametrize(
    "definition",
    [
        "SELECT upper(ssn) AS kept FROM payroll.employees",
        "SELECT reverse(e.ssn) AS kept FROM payroll.employees e",
        "SELECT e.ssn || e.full_name AS kept FROM payroll.employees e",
        "SELECT e::text AS kept FROM payroll.employees e",
        "SELECT (ARRAY[ssn])[1] AS kept FROM payroll.employees",
        "SELECT q.s AS kept FROM (SELECT reverse(e.ssn) AS s FROM payroll.employees e) q",
        "SELECT s AS kept FROM (SELECT reverse(e.ssn) FROM payroll.employees e) q(s)",
        "WITH q AS (SELECT reverse(ssn) AS s FROM payroll.employees) SELECT q.s AS kept FROM q",
        "SELECT ssn AS kept FROM payroll.employees UNION ALL SELECT reverse(ssn) FROM payroll.employees",
        "SELECT reverse(ssn) AS kept FROM payroll.employees UNION ALL SELECT ssn FROM payroll.employees",
        "SELECT (SELECT max(ssn) FROM payroll.employees) AS kept",
    ],
)
def test_what_was_made_from_the_value_shows_nothing(definition: str) -> None:
    text = sent(definition)
    assert REDACTED in text
    assert PARTIAL not in text


@pytest.mark.parametrize(
    "definition",
    [
        "SELECT name AS kept FROM payroll.departments WHERE name IN (SELECT ssn FROM payroll.employees)",
        "SELECT full_name AS kept FROM payroll.employees ORDER BY ssn LIMIT 1",
    ],
)
def test_rows_that_a_hidden_column_chose_are_not_shown(definition: str) -> None:
    decision = decided(definition)
    assert isinstance(decision, Deny)
    assert "were chosen by values (pii.ssn)" in decision.reason


def test_other_columns_stay_as_they_are() -> None:
    text = sent("SELECT full_name AS kept FROM payroll.employees")
    assert PARTIAL not in text
    assert "***" not in text
