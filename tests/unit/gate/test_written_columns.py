"""Which labelled columns a write fills, however its rows are given: rules ask for them, and the record names them."""

from __future__ import annotations

import pytest
from tests.catalogs import judged, policy, rule

from dbgate.model import Access, Allow, Deny

EMPLOYEES = "payroll.employees"
READS = rule("read", access=(Access.READ,))
WRITES = rule("write", access=(Access.WRITE,))
NO_SSN = policy(READS, WRITES, rule("no-ssn", "deny", tags=("pii.ssn",), access=(Access.WRITE,)))

FILLING = [
    "INSERT INTO payroll.employees (id, ssn) VALUES (1, 'secret')",
    "INSERT INTO payroll.employees VALUES (1, 'n', 'secret')",
    "INSERT INTO payroll.employees (id, ssn) SELECT 1, 'secret'",
    "INSERT INTO payroll.employees (id, ssn) SELECT * FROM (SELECT 1, 'secret') q",
    "INSERT INTO payroll.employees (id, ssn) SELECT 1, 'a' UNION SELECT 2, 'secret'",
    "INSERT INTO payroll.employees (id, ssn) SELECT * FROM public.log",
    "INSERT INTO payroll.employees (id, ssn) TABLE public.log",
    'INSERT INTO payroll.employees (id, ssn) SELECT * FROM json_each_text(\'{"1": "secret"}\')',
    "INSERT INTO payroll.employees (id, ssn) WITH x AS (SELECT 1, 'secret') SELECT * FROM x",
    "INSERT INTO payroll.employees (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET ssn = 'secret'",
    "UPDATE payroll.employees SET ssn = 'secret' WHERE id = 1",
    "UPDATE payroll.employees SET (dept, ssn) = (1, 'secret') WHERE id = 1",
    "UPDATE payroll.employees SET (dept, ssn) = (SELECT 1, 'secret') WHERE id = 1",
    "MERGE INTO payroll.employees e USING payroll.departments d ON d.id = e.id WHEN NOT MATCHED THEN INSERT (id, ssn) "
    "VALUES (1, 'secret')",
    "MERGE INTO payroll.employees e USING payroll.departments d ON d.id = e.id WHEN MATCHED THEN UPDATE SET ssn = 'secret'",
    "WITH x AS (INSERT INTO payroll.employees (id, ssn) SELECT 1, 'secret' UNION SELECT 2, 'b') SELECT 1",
]


@pytest.mark.parametrize("sql", FILLING)
def test_a_rule_on_a_tag_holds_for_what_is_written(sql: str) -> None:
    decision = judged(sql, NO_SSN).decision
    assert isinstance(decision, Deny)
    assert [str(known.id) for known in decision.rules] == ["no-ssn"]


@pytest.mark.parametrize("sql", FILLING)
def test_the_record_names_what_is_written_and_hides_the_values(sql: str) -> None:
    judgement = judged(sql)
    assert "pii.ssn" in judgement.tags
    assert f"{EMPLOYEES}.ssn" in [str(one.column) for one in judgement.labelled]
    assert {f"{EMPLOYEES}.ssn", f"{EMPLOYEES}.*"} & {str(column) for column in judgement.columns}
    assert "secret" not in judgement.recorded_text
    assert f"{EMPLOYEES}.ssn" in judgement.guesses


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        (
            "INSERT INTO payroll.employees (id, full_name) VALUES (1, 'x')",
            [f"{EMPLOYEES}.full_name", f"{EMPLOYEES}.id"],
        ),
        ("INSERT INTO payroll.departments VALUES (1, 'x')", ["payroll.departments.*"]),
        ("INSERT INTO payroll.departments DEFAULT VALUES", ["payroll.departments.*"]),
        ("INSERT INTO payroll.employees SELECT 1, 'x'", [f"{EMPLOYEES}.*"]),
        (
            "MERGE INTO payroll.employees e USING payroll.departments d ON d.id = e.dept WHEN NOT MATCHED THEN "
            "INSERT (id, full_name) VALUES (1, d.name)",
            [
                "payroll.departments.id",
                "payroll.departments.name",
                f"{EMPLOYEES}.dept",
                f"{EMPLOYEES}.full_name",
                f"{EMPLOYEES}.id",
            ],
        ),
    ],
)
def test_other_columns_that_are_written_are_named_too(sql: str, columns: list[str]) -> None:
    judgement = judged(sql, NO_SSN)
    assert isinstance(judgement.decision, Allow)
    assert [str(column) for column in judgement.columns] == columns
    assert judgement.tags == ()
    assert judgement.recorded_text == sql
