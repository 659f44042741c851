"""What records say of the columns that a statement met."""

from __future__ import annotations

import pytest
from tests.catalogs import judged

EMPLOYEES = "payroll.employees"


@pytest.mark.parametrize(
    ("sql", "columns", "labelled"),
    [
        ("SELECT 1", [], []),
        (
            "SELECT ssn AS x FROM payroll.employees e WHERE id = 1",
            [f"{EMPLOYEES}.id", f"{EMPLOYEES}.ssn"],
            [(f"{EMPLOYEES}.ssn", "pii.ssn", True)],
        ),
        ("SELECT id FROM payroll.employees", [f"{EMPLOYEES}.id"], []),
        (
            "SELECT * FROM payroll.pay",
            ["payroll.pay.*"],
            [("payroll.pay.iban", "finance.account", True)],
        ),
        (
            "SELECT id FROM payroll.employees WHERE ssn LIKE '9%'",
            [f"{EMPLOYEES}.id", f"{EMPLOYEES}.ssn"],
            [(f"{EMPLOYEES}.ssn", "pii.ssn", True)],
        ),
        (
            "WITH x AS (SELECT id, ssn FROM payroll.employees) SELECT id FROM x",
            [f"{EMPLOYEES}.id", f"{EMPLOYEES}.ssn"],
            [(f"{EMPLOYEES}.ssn", "pii.ssn", True)],
        ),
        (
            "UPDATE payroll.employees SET full_name = 'x' WHERE id = 1",
            [f"{EMPLOYEES}.full_name", f"{EMPLOYEES}.id"],
            [],
        ),
    ],
)
def test_columns_and_labels_are_named(sql: str, columns: list[str], labelled: list[tuple[str, str, bool]]) -> None:
    judgement = judged(sql)
    assert [str(column) for column in judgement.columns] == columns
    assert [(str(one.column), one.tag, one.hidden) for one in judgement.labelled] == labelled
    assert judgement.tags == tuple(sorted({tag for _, tag, _ in labelled}))
