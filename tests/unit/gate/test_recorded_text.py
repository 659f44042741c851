from __future__ import annotations

import pytest
from tests.catalogs import judged

from dbgate.gate.names import identifiers


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        ("SELECT id FROM payroll.employees WHERE id = 5", "SELECT id FROM payroll.employees WHERE id = 5"),
        ("SELECT 1 -- ticket 5", "SELECT 1 -- ticket 5"),
        ("SELECT 1 FROM payroll.employees WHERE ssn = 'x'", "SELECT 1 FROM payroll.employees WHERE ssn = '***'"),
        ("SELECT 1 FROM payroll.employees WHERE salary =-5.5", "SELECT 1 FROM payroll.employees WHERE salary ='***'"),
        ("SELECT 1 FROM payroll.employees WHERE salary = - 5", "SELECT 1 FROM payroll.employees WHERE salary = '***'"),
        ("SELECT 1 FROM payroll.employees WHERE ssn = 'a'\n'b'", "SELECT 1 FROM payroll.employees WHERE ssn = '***'"),
        ("SELECT 1 FROM payroll.employees WHERE ssn = $q$a$q$", "SELECT 1 FROM payroll.employees WHERE ssn = '***'"),
        (
            "SELECT 1 WHERE 'x' IN (SELECT ssn FROM payroll.employees)",
            "SELECT 1 WHERE '***' IN (SELECT ssn FROM payroll.employees)",
        ),
        (
            "SELECT 1 FROM (VALUES ('x')) v(s) JOIN payroll.employees e ON e.ssn = v.s WHERE e.id = 7",
            "SELECT 1 FROM (VALUES ('***')) v(s) JOIN payroll.employees e ON e.ssn = v.s WHERE e.id = 7",
        ),
        (
            "SELECT 1 FROM (VALUES ('x')) v(s) WHERE v.s IN (SELECT ssn FROM payroll.employees)",
            "SELECT 1 FROM (VALUES ('***')) v(s) WHERE v.s IN (SELECT ssn FROM payroll.employees)",
        ),
        (
            "SELECT 1 FROM payroll.employees, unnest(ARRAY['x']) g WHERE ssn = g",
            "SELECT 1 FROM payroll.employees, unnest(ARRAY['***']) g WHERE ssn = g",
        ),
        (
            "WITH g AS (SELECT 'x' AS s) SELECT 1 FROM g, payroll.employees WHERE ssn = g.s",
            "WITH g AS (SELECT '***' AS s) SELECT 1 FROM g, payroll.employees WHERE ssn = g.s",
        ),
        (
            "SELECT ssn FROM payroll.employees INTERSECT VALUES ('x')",
            "SELECT ssn FROM payroll.employees INTERSECT VALUES ('***')",
        ),
        (
            "INSERT INTO payroll.employees (id, ssn) VALUES (8, 'x')",
            "INSERT INTO payroll.employees (id, ssn) VALUES (8, '***')",
        ),
        (
            "INSERT INTO payroll.employees (id, ssn) SELECT 8, s FROM (VALUES ('x')) v(s)",
            "INSERT INTO payroll.employees (id, ssn) SELECT 8, s FROM (VALUES ('***')) v(s)",
        ),
        (
            "SELECT 1 FROM payroll.employees WHERE ssn = $1 AND ssn <> 'x'",
            "SELECT 1 FROM payroll.employees WHERE ssn = $1 AND ssn <> '***'",
        ),
        (
            "/* Sam */ SELECT 1/* x */FROM payroll.employees -- x\nWHERE/* x */ssn = 'x'",
            "/* … */ SELECT 1 /* … */ FROM payroll.employees /* … */\nWHERE /* … */ ssn = '***'",
        ),
        (
            "UPDATE payroll.employees SET ssn = 'x', dept = 3 WHERE id = 8",
            "UPDATE payroll.employees SET ssn = '***', dept = 3 WHERE id = 8",
        ),
    ],
)
def test_constants_that_meet_labelled_columns_are_not_recorded(typed: str, recorded: str) -> None:
    assert judged(typed).recorded_text == recorded


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Public.Numbers", ["public", "numbers"]),
        ('"A.b"', ["A.b"]),
        ('public . "say ""x"""', ["public", 'say "x"']),
        ("a.b.c", []),
        ("a.", []),
        ("", []),
        ("a b", []),
    ],
)
def test_names_in_strings_are_read_as_regclass_reads_them(text: str, parts: list[str]) -> None:
    assert identifiers(text) == parts
