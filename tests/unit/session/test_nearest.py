from __future__ import annotations

import pytest
from tests.catalogs import CATALOG

from dbgate.errors import StatementError
from dbgate.model import Access, Relation, Touch
from dbgate.session.nearest import nearest_column

EMPLOYEES, PAY = (
    Touch("select", Access.READ, Relation("payroll", name, oid)) for name, oid in (("employees", 11), ("pay", 12))
)


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ('column "full_nam" does not exist', "did you mean full_name?"),
        ("column e.full_nam does not exist", "did you mean full_name?"),
        ('column "full nam" does not exist', "did you mean full_name?"),
        ('column "fulname" of relation "employees" does not exist', "did you mean full_name?"),
        ('column "ibam" does not exist', ""),
        ('column "zzz" does not exist', ""),
        ("column does not exist", ""),
        ('relation "full_nam" does not exist', ""),
    ],
)
def test_the_nearest_column_of_what_a_statement_reads(message: str, hint: str) -> None:
    assert nearest_column(StatementError(message, sqlstate="42703"), [EMPLOYEES], CATALOG) == hint


def test_other_tables_and_other_errors_say_nothing() -> None:
    error = StatementError('column "ibam" does not exist', sqlstate="42703")
    assert nearest_column(error, [EMPLOYEES, PAY], CATALOG) == "did you mean iban?"
    assert nearest_column(error, [], CATALOG) == ""
    assert nearest_column(StatementError(error.message, sqlstate="42P01"), [PAY], CATALOG) == ""
