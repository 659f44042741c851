"""Every clause that a labelled column can stand in: a query says that it compares masks there, a write is refused."""

from __future__ import annotations

import pytest
from tests.catalogs import judged

from dbgate.model import Allow, Deny, Rewrite

CLAUSES = [
    "SELECT e.id FROM payroll.employees e WHERE e.ssn = 'x'",
    "SELECT count(*) FROM payroll.employees GROUP BY ssn",
    "SELECT count(*) FROM payroll.employees GROUP BY GROUPING SETS ((ssn), ())",
    "SELECT id FROM payroll.employees ORDER BY ssn LIMIT 1",
    "SELECT id FROM payroll.employees ORDER BY upper(ssn) DESC NULLS LAST LIMIT 1",
    "SELECT DISTINCT ON (ssn) id FROM payroll.employees",
    "SELECT count(*) FROM payroll.employees HAVING max(ssn) > 'x'",
    "SELECT rank() OVER w FROM payroll.employees WINDOW w AS (ORDER BY ssn)",
    "SELECT count(*) OVER w FROM payroll.employees WINDOW w AS (PARTITION BY ssn)",
    "SELECT e.id FROM payroll.employees e, LATERAL (SELECT 1 LIMIT length(e.ssn)) q",
    "SELECT e.id FROM payroll.employees e, LATERAL (SELECT 1 OFFSET length(e.ssn)) q",
    "SELECT e.id FROM payroll.employees e, LATERAL (VALUES (1), (2) LIMIT length(e.ssn)) q",
    "SELECT a.id FROM payroll.employees a JOIN payroll.employees b ON a.ssn = b.full_name",
    "SELECT a.id FROM payroll.employees a JOIN payroll.employees b USING (ssn)",
    "SELECT a.id FROM payroll.employees a NATURAL JOIN (SELECT ssn FROM payroll.employees) b",
    "SELECT id FROM payroll.departments WHERE name IN (SELECT ssn FROM payroll.employees)",
    "SELECT id, name IN (SELECT ssn FROM payroll.employees) FROM payroll.departments",
    "SELECT id FROM payroll.departments WHERE name > ALL (SELECT ssn FROM payroll.employees)",
    "SELECT id FROM payroll.departments d WHERE EXISTS (SELECT 1 FROM payroll.employees e WHERE e.ssn = d.name)",
    "SELECT id FROM payroll.departments ORDER BY (SELECT max(ssn) FROM payroll.employees)",
    "SELECT id FROM (SELECT id, ssn FROM payroll.employees) q WHERE q.ssn = 'x'",
    "SELECT id FROM (SELECT id FROM payroll.employees ORDER BY ssn LIMIT 1) q",
    "(SELECT id FROM payroll.employees ORDER BY ssn LIMIT 1) UNION ALL SELECT 2",
    "WITH q AS (SELECT id, ssn AS s FROM payroll.employees) SELECT id FROM q WHERE s = 'x'",
    "WITH q AS (SELECT id FROM payroll.employees ORDER BY ssn LIMIT 1) SELECT id FROM q",
]
SHOWN = [
    ("SELECT id, ssn FROM payroll.employees ORDER BY 2", True),
    ("SELECT id, ssn AS s FROM payroll.employees ORDER BY s", True),
    ("SELECT id, upper(ssn) AS u FROM payroll.employees ORDER BY u", True),
    ("SELECT ssn, count(*) FROM payroll.employees GROUP BY 1", True),
    ("SELECT id AS ssn FROM payroll.employees ORDER BY ssn", True),
    ("SELECT full_name AS ssn FROM payroll.employees GROUP BY ssn, full_name", True),
    ("SELECT DISTINCT ssn FROM payroll.employees", True),
    ("SELECT ssn FROM payroll.employees UNION SELECT name FROM payroll.departments", True),
    ("SELECT name FROM payroll.departments INTERSECT SELECT ssn FROM payroll.employees", True),
    ("SELECT ssn FROM payroll.employees UNION ALL SELECT name FROM payroll.departments ORDER BY 1", True),
    ("SELECT ssn FROM payroll.employees UNION ALL SELECT name FROM payroll.departments ORDER BY ssn", True),
    ("SELECT ssn FROM payroll.employees UNION ALL SELECT name FROM payroll.departments", False),
    ("SELECT id, ssn FROM payroll.employees ORDER BY 1", False),
    ("SELECT id, ssn FROM payroll.employees ORDER BY id", False),
    ("SELECT id, ssn FROM payroll.employees ORDER BY 3", False),
    ("SELECT id, ssn FROM payroll.employees ORDER BY '2'", False),
    ("SELECT DISTINCT ON (id) id, ssn FROM payroll.employees", False),
    ("SELECT ssn FROM payroll.employees LIMIT 1", False),
    ("SELECT (SELECT max(ssn) FROM payroll.employees), ARRAY (SELECT ssn FROM payroll.employees)", False),
]


def predicates(sql: str) -> list[str]:
    """The labelled columns that a condition, order or group of a query met."""
    decision = judged(sql).decision
    assert isinstance(decision, Allow | Rewrite), decision
    return [str(c) for c in decision.predicates] if isinstance(decision, Rewrite) else []


@pytest.mark.parametrize("sql", CLAUSES)
def test_a_query_says_where_it_compares_masks(sql: str) -> None:
    assert predicates(sql) == ["payroll.employees.ssn"]


@pytest.mark.parametrize("sql", CLAUSES)
def test_a_write_does_not_choose_by_a_hidden_column(sql: str) -> None:
    decision = judged(f"INSERT INTO public.log (id) {sql}").decision
    assert isinstance(decision, Deny)
    assert decision.reason == "the statement writes and reads payroll.employees.ssn, which you see only masked"


@pytest.mark.parametrize(("sql", "compared"), SHOWN)
def test_showing_a_mask_is_not_comparing_it(sql: str, compared: bool) -> None:
    assert predicates(sql) == (["payroll.employees.ssn"] if compared else [])


def test_a_write_may_choose_by_other_columns() -> None:
    sql = "INSERT INTO public.log (id) SELECT id FROM payroll.employees WHERE dept = 1 ORDER BY full_name LIMIT 3"
    assert isinstance(judged(sql).decision, Allow | Rewrite)
