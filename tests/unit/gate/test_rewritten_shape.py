"""What of a rewritten statement stays as it was typed: names of results, rows that functions take, what is known of its columns."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy, rule

from dbgate.catalog import CatalogFunction
from dbgate.gate.policy.model import FunctionList
from dbgate.gate.splice import normal
from dbgate.gate.syntax import parse_one
from dbgate.model import Access, Allow, Rewrite

CAPTION = CatalogFunction(32, "public", "caption", "payroll.departments", returns="text", required=1)
WITH_CAPTION = replace(CATALOG, functions=(*CATALOG.functions, CAPTION), fingerprint="caption")
CAPTIONED = replace(policy(digest="caption"), functions=FunctionList(("public.caption(payroll.departments)",)))
DEFINES = policy(rule("any", access=(Access.READ, Access.WRITE, Access.DDL)))


def test_every_mask_of_a_returning_list_keeps_its_name() -> None:
    decision = judged("UPDATE payroll.employees SET dept = 1 WHERE id = 1 RETURNING id, ssn, salary, ssn AS s").decision
    assert isinstance(decision, Rewrite)
    body = parse_one(decision.text)["UpdateStmt"]
    assert [node["ResTarget"].get("name") for node in body["returningList"]] == [None, "ssn", "salary", "s"]


@pytest.mark.parametrize(
    "columns",
    ["d.caption", "*, d.caption", "*, caption(d)", "(d).caption", "*, (d).caption", "d.*, caption(d.*)"],
)
def test_a_function_of_a_table_gets_rows_of_the_table(columns: str) -> None:
    sql = f"SELECT {columns} FROM payroll.departments d"
    decision = judged(sql, CAPTIONED, WITH_CAPTION).decision
    assert isinstance(decision, Allow)
    assert normal(parse_one(decision.text)) == normal(parse_one(sql))


@pytest.mark.parametrize("row", ["e", "e.*"])
def test_a_function_of_a_masked_table_gets_masked_rows_of_its_type(row: str) -> None:
    given = replace(policy(digest="leak"), functions=FunctionList(("public.leak(payroll.employees)",)))
    decision = judged(f"SELECT leak({row}) FROM payroll.employees e", given).decision
    assert isinstance(decision, Rewrite), decision
    assert decision.text.startswith(f"SELECT leak({row}::payroll.employees) FROM (SELECT")


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("SELECT ssn FROM payroll.employees", True),
        ("SELECT j.*, ssn FROM payroll.employees, jsonb_each('{}') j", False),
        ("CREATE TABLE payroll.made AS SELECT q.id FROM (SELECT * FROM payroll.employees) q", True),
    ],
)
def test_a_record_says_whether_every_column_could_be_followed(sql: str, known: bool) -> None:
    decision = judged(sql, DEFINES).decision
    assert isinstance(decision, Rewrite)
    assert decision.lineage_known is known


@pytest.mark.parametrize(
    "sql",
    [
        """SELECT b FROM payroll.employees e, JSON_TABLE(e.ssn::jsonb, '$' COLUMNS (a int PATH '$',
           NESTED PATH '$[*]' COLUMNS (b text PATH '$'))) j""",
        """WITH RECURSIVE r AS (SELECT id, ssn FROM payroll.employees UNION ALL SELECT id, ssn FROM r)
           CYCLE ssn SET again USING path SELECT path FROM r""",
        """WITH RECURSIVE r AS (SELECT id, ssn FROM payroll.employees UNION ALL SELECT id, ssn FROM r)
           SEARCH DEPTH FIRST BY ssn SET place SELECT place FROM r""",
    ],
)
def test_what_columns_are_made_of_is_followed_into_every_clause(sql: str) -> None:
    decision = judged(sql).decision
    assert isinstance(decision, Rewrite), decision
    assert decision.output == (0,)
