"""What reviewers see of a change: the queries for a sample of its rows, as they stand and as they would be."""

from __future__ import annotations

import pytest
from tests.catalogs import judged, policy, ref, rule

from dbgate.gate.policy.model import Rule, When
from dbgate.model import Access, Measured, NeedsApproval, Relation, ReviewClause, SampleQuery

ASKING = Rule(ref("care"), When(access=(Access.WRITE,)), "approve", clauses=(ReviewClause(("dba",), 1),))
GIVEN = policy(rule("read", access=(Access.READ,)), ASKING)
COUNTED = Measured(tuple((Relation("payroll", name), 1) for name in ("employees", "pay", "departments")))

SSN = (
    "(CASE WHEN {0}.ssn IS NULL THEN NULL WHEN pg_catalog.length({0}.ssn) OPERATOR(pg_catalog.>) 4 THEN '***' "
    "OPERATOR(pg_catalog.||) pg_catalog.right({0}.ssn, 4) ELSE '***' END)::pg_catalog.text"
)
TOUCHED = f"touched.id, touched.full_name, {SSN.format('touched')}, NULL::numeric, touched.dept"
HIDDEN = "'***'::pg_catalog.text"


def sample_of(sql: str) -> tuple[SampleQuery, ...]:
    """What reviewers of a change are shown."""
    judgement = judged(sql, GIVEN, measured=COUNTED)
    assert isinstance(judgement.decision, NeedsApproval)
    return judgement.sample


@pytest.mark.parametrize(
    ("assigned", "changed", "items"),
    [
        ("full_name = 'n'", ("full_name",), "employees.id, employees.full_name, CAST(( 'n') AS text)"),
        (
            "full_name = upper(full_name), dept = dept + 1",
            ("full_name", "dept"),
            "employees.id, employees.full_name, employees.dept, CAST(( upper(full_name)) AS text), "
            "CAST(( dept + 1 ) AS integer)",
        ),
        (
            "full_name = coalesce(full_name, 'a, b = c'), dept = CASE WHEN dept = 1 THEN 2 ELSE 3 END",
            ("full_name", "dept"),
            "employees.id, employees.full_name, employees.dept, CAST(( coalesce(full_name, 'a, b = c')) AS text), "
            "CAST(( CASE WHEN dept = 1 THEN 2 ELSE 3 END ) AS integer)",
        ),
        ("dept = DEFAULT", ("dept",), "employees.id, employees.dept, 'DEFAULT'::pg_catalog.text"),
        ("ssn = 'secret'", ("ssn",), f"employees.id, {SSN.format('employees')}, {HIDDEN}"),
        ("dept = (SELECT 1)", ("dept",), f"employees.id, employees.dept, {HIDDEN}"),
        ("dept = (ARRAY[1, 2])[1]", ("dept",), f"employees.id, employees.dept, {HIDDEN}"),
        (
            "(full_name, dept) = ('n', 1)",
            ("full_name", "dept"),
            "employees.id, employees.full_name, employees.dept, '…'::pg_catalog.text, '…'::pg_catalog.text",
        ),
    ],
)
def test_an_update_shows_rows_before_and_after(assigned: str, changed: tuple[str, ...], items: str) -> None:
    (query,) = sample_of(f"UPDATE payroll.employees SET {assigned} WHERE id = 1")
    assert (query.verb, query.relation.name, query.changed, query.note) == ("update", "employees", changed, "")
    shown, _, rest = query.text.partition(" FROM ")
    assert shown.replace(" )", ")") == f"SELECT {items}".replace(" )", ")")
    assert rest.split() == ["payroll.employees", "WHERE", "id", "=", "1", "LIMIT", "5"]


def test_values_from_other_tables_are_not_shown() -> None:
    (query,) = sample_of(
        "UPDATE payroll.employees e SET full_name = d.name FROM payroll.departments d WHERE d.id = e.dept"
    )
    assert query.text.startswith(f"SELECT DISTINCT ON (e.tableoid, e.ctid) e.id, e.full_name, {HIDDEN} FROM ")


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("DELETE FROM payroll.employees WHERE id = 1", "delete"),
        (
            "MERGE INTO payroll.employees e USING payroll.departments d ON d.id = e.dept WHEN MATCHED THEN UPDATE SET dept = 1",
            "update",
        ),
        ("TRUNCATE payroll.employees", "truncate"),
    ],
)
def test_rows_that_go_are_shown_masked(sql: str, verb: str) -> None:
    (query,) = sample_of(sql)
    assert (query.verb, query.columns) == (verb, ("id", "full_name", "ssn", "salary", "dept"))
    assert query.text.startswith(f"SELECT {TOUCHED} FROM ")
    assert query.text.endswith(" AS touched LIMIT 5")


@pytest.mark.parametrize(
    ("sql", "columns", "text"),
    [
        (
            "INSERT INTO payroll.employees (id, full_name, ssn) VALUES (1, 'x', 'secret')",
            ("id", "full_name", "ssn"),
            f"SELECT v.id, v.full_name, {HIDDEN} FROM (VALUES (1, 'x', 'secret')\n) AS v (id, full_name, ssn) LIMIT 5",
        ),
        (
            "INSERT INTO payroll.departments VALUES (1)",
            ("id",),
            "SELECT v.id FROM (VALUES (1)\n) AS v (id) LIMIT 5",
        ),
        (
            "INSERT INTO payroll.departments SELECT id, 'x' FROM payroll.departments",
            ("id", "name"),
            "SELECT v.id, v.name FROM (SELECT id, 'x' FROM payroll.departments\n) AS v (id, name) LIMIT 5",
        ),
    ],
)
def test_new_rows_are_shown(sql: str, columns: tuple[str, ...], text: str) -> None:
    (query,) = sample_of(sql)
    assert (query.verb, query.columns, query.text, query.note) == ("insert", columns, text, "")


@pytest.mark.parametrize(
    ("sql", "note"),
    [
        (
            "INSERT INTO payroll.departments SELECT id, full_name FROM payroll.employees",
            "relations with labelled columns",
        ),
        ("INSERT INTO payroll.departments SELECT 1, (SELECT 'x')", "relations with labelled columns"),
        ("INSERT INTO payroll.departments DEFAULT VALUES", "a form that cannot be sampled"),
    ],
)
def test_where_there_is_no_sample_it_says_why(sql: str, note: str) -> None:
    (query,) = sample_of(sql)
    assert (query.verb, query.columns, query.text) == ("insert", (), "")
    assert note in query.note
