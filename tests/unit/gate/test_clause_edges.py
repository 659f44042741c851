"""Where masks and filters cannot simply stand: clauses of writes, views, names that occur twice."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy, ref, table

from dbgate.gate.policy.model import RowFilter
from dbgate.model import Deny, Rewrite

CLAUSE = "CASE WHEN (SELECT (t = 'x') FROM (SELECT log.*) AS log) THEN ("


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        (
            "INSERT INTO public.log VALUES (1, 'a') ON CONFLICT (id) WHERE id > 5 DO UPDATE SET t = 'b' WHERE log.id = 3",
            f"ON CONFLICT (id) WHERE id > 5 DO UPDATE SET t = 'b' WHERE {CLAUSE} log.id = 3) ELSE false END",
        ),
        ("DELETE FROM public.log WHERE id = 3", f"DELETE FROM public.log WHERE {CLAUSE} id = 3) ELSE false END"),
    ],
)
def test_the_filter_of_a_table_stands_in_the_clause_that_chooses_the_changed_rows(sql: str, sent: str) -> None:
    decision = judged(sql, policy(rows=(RowFilter("public.log", "t = 'x'", ref("rows")),))).decision
    assert isinstance(decision, Rewrite), decision
    assert sent in decision.text


@pytest.mark.parametrize("sql", ["UPDATE public.log SET t = 'b'", "DELETE FROM public.log"])
def test_a_cursor_says_nothing_of_the_filter_of_its_table(sql: str) -> None:
    given = policy(rows=(RowFilter("public.log", "t = 'x'", ref("rows")),))
    decision = judged(f"{sql} WHERE CURRENT OF c", given).decision
    assert isinstance(decision, Deny)
    assert "WHERE CURRENT OF on public.log, which has a row filter" in decision.reason


def test_a_masked_column_of_a_changed_row_names_no_setting() -> None:
    decision = judged("DELETE FROM payroll.employees WHERE id = 1 RETURNING current_setting(ssn)").decision
    assert isinstance(decision, Deny)
    assert "the name of a setting is a column that is replaced here" in decision.reason


@pytest.mark.parametrize(
    "sql", ["SELECT ctid FROM payroll.directory", "SELECT id FROM payroll.directory TABLESAMPLE system (1)"]
)
def test_a_view_has_no_samples_and_no_system_columns(sql: str) -> None:
    decision = judged(sql).decision
    assert isinstance(decision, Deny)
    assert "payroll.directory is a view here" in decision.reason


def test_names_that_occur_twice_are_not_written_out() -> None:
    sql = "UPDATE payroll.employees SET dept = 1 FROM (SELECT 1 AS a, 2 AS a) x WHERE x.a = employees.id RETURNING *"
    decision = judged(sql.replace("x.a = employees.id", "employees.id = 1")).decision
    assert isinstance(decision, Deny)
    assert "list the columns" in decision.reason


@pytest.mark.parametrize("depth", [5, 60])
def test_views_nest_as_deep_as_anybody_makes_them(depth: int) -> None:
    names = ["payroll.employees", *(f"payroll.v{n}" for n in range(1, depth + 1))]
    views = [
        table(
            1000 + n,
            name,
            "ssn text",
            kind="v",
            definition=f" SELECT ssn FROM {below};",
            depends=(999 + n if n else 11,),
        )
        for n, (name, below) in enumerate(zip(names[1:], names[:-1], strict=True))
    ]
    catalog = replace(CATALOG, relations=(*CATALOG.relations, *views), fingerprint=f"nested {depth}")
    decision = judged(f"SELECT ssn FROM {names[-1]}", catalog=catalog).decision
    assert isinstance(decision, Rewrite)
    assert "FROM payroll.v" not in decision.text
    assert "'***'" in decision.text
