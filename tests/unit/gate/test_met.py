"""What records say of the columns that a statement met."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import judged, policy, ref

from dbgate.gate.policy.model import Unmask

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
        ("SELECT (e).id FROM payroll.employees e", [f"{EMPLOYEES}.*"], []),
        ("SELECT (e).ssn FROM payroll.employees e", [f"{EMPLOYEES}.*"], [(f"{EMPLOYEES}.ssn", "pii.ssn", True)]),
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


@pytest.mark.parametrize(
    ("sql", "functions", "settings"),
    [
        ("SELECT upper(full_name), pg_catalog.now() FROM payroll.employees", {"upper", "pg_catalog.now"}, ()),
        (
            "SELECT 1 FROM payroll.employees WHERE length(full_name) > 1 ORDER BY lower(full_name)",
            {"length", "lower"},
            (),
        ),
        ("SELECT current_setting('work_mem')", {"current_setting"}, ("work_mem",)),
        ("SELECT set_config('Work_Mem', '4MB', false)", {"set_config"}, ("work_mem",)),
        ("SHOW work_mem", set(), ("work_mem",)),
        ("SET timezone = 'UTC'", set(), ("timezone",)),
        ("CALL public.unknown(1)", {"public.unknown"}, ()),
    ],
)
def test_functions_and_settings_are_named(sql: str, functions: set[str], settings: tuple[str, ...]) -> None:
    statement = judged(sql).statement
    assert set(statement.functions) == functions
    assert statement.settings == settings


def test_only_values_that_somebody_does_not_see_are_guessed() -> None:
    sql = "UPDATE payroll.employees SET ssn = 'x', salary = 1 WHERE id = 1"
    sees = replace(policy(digest="sees"), unmask=(Unmask(("pii.*",), ("staff",), ref("unmask")),))
    assert judged(sql).guesses == ("payroll.employees.salary", "payroll.employees.ssn")
    assert judged(sql, sees).guesses == ("payroll.employees.salary",)
