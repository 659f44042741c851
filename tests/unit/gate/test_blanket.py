from __future__ import annotations

import pytest
from tests.catalogs import CATALOG

from dbgate.gate.blanket import is_blanket
from dbgate.gate.syntax import parse_one

EMPLOYEES = next(r for r in CATALOG.relations if r.name == "employees")


@pytest.mark.parametrize(
    ("where", "blanket"),
    [
        ("", True),
        ("WHERE true", True),
        ("WHERE 1 = 1", True),
        ("WHERE id = id", True),
        ("WHERE employees.id >= employees.id", True),
        ("WHERE id IS NOT NULL", True),
        ("WHERE full_name IS NOT NULL", False),
        ("WHERE lower(full_name) IS NOT NULL", False),
        ("WHERE id = 1 OR true", True),
        ("WHERE id = 1 AND true", False),
        ("WHERE full_name IS NULL OR full_name IS NOT NULL", True),
        ("WHERE NOT false", True),
        ("WHERE id IN (SELECT id FROM payroll.employees)", True),
        ("WHERE id IN (SELECT id FROM payroll.employees WHERE dept = 1)", False),
        ("WHERE EXISTS (SELECT 1 FROM payroll.departments)", True),
        ("WHERE random() < 2", True),
        ("WHERE id = $1", False),
        ("WHERE id <> id", False),
        ("WHERE CURRENT OF c", False),
        ("WHERE id = id AND dept >= dept", True),
        ("WHERE id = id AND dept > 1", False),
        ("WHERE NOT id <> id", True),
        ("WHERE NOT id IN (1, 2)", False),
        ("WHERE EXISTS (SELECT 1)", True),
        ("WHERE EXISTS (SELECT 1 FROM payroll.departments, payroll.pay)", True),
        ("WHERE EXISTS (SELECT 1 FROM payroll.pay p WHERE p.id = dept UNION SELECT 1)", True),
        ("WHERE EXISTS (SELECT 1 WHERE id = 1 UNION SELECT 1 WHERE id = 2)", False),
        ("WHERE EXISTS (SELECT 1 FROM payroll.pay INTERSECT SELECT 1 WHERE id = 2)", False),
        ("WHERE EXISTS (SELECT 1 FROM generate_series(1, dept))", False),
        ("WHERE id IN (SELECT id FROM payroll.employees UNION SELECT 1)", True),
        ("WHERE id IN (SELECT id FROM payroll.employees, payroll.pay)", False),
        ("WHERE id = ALL (SELECT id FROM payroll.employees)", False),
    ],
)
def test_a_condition_that_keeps_every_row_is_none(where: str, blanket: bool) -> None:
    body = parse_one(f"DELETE FROM payroll.employees {where}")["DeleteStmt"]
    assert is_blanket(body.get("whereClause"), EMPLOYEES) is blanket
