"""The queries that count what a statement would touch (`tests/live/test_measured.py` holds them against the server's count)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, table

from dbgate.catalog import ForeignKey
from dbgate.gate.measure import count_queries, truncate_queries
from dbgate.gate.relations import Schema

SCHEMA = Schema(CATALOG)
PLACES = '{0}.tableoid AS "dbgate table", {0}.ctid AS "dbgate row", {0}.*'
EACH = f"DISTINCT ON (p.tableoid, p.ctid) {PLACES.format('p')}"


def counted(text: str, name: str, schema: Schema = SCHEMA, values: tuple[str | None, ...] | None = ()) -> list[str]:
    """What is counted, as `verb relation: query`, white space aside; empty where it cannot be counted."""
    target = schema.by_name[tuple(name.split("."))]  # type: ignore[index]
    queries = count_queries(text, values, schema, target)
    return [f"{q.verb} {q.relation}: {' '.join(q.text.split())}" for q in queries or ()]


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        (
            "UPDATE payroll.pay AS p SET iban = 'x' FROM payroll.employees e WHERE e.id = p.id",
            f"SELECT {EACH} FROM payroll.pay AS p, payroll.employees e WHERE e.id = p.id",
        ),
        (
            "UPDATE ONLY payroll.pay SET iban = 'x' RETURNING id",
            f"SELECT {PLACES.format('pay')} FROM ONLY payroll.pay",
        ),
        (
            "WITH q AS (SELECT 1 AS a) UPDATE payroll.pay SET iban = 'x' WHERE id IN (SELECT a FROM q)",
            f"WITH q AS (SELECT 1 AS a) SELECT {PLACES.format('pay')} FROM payroll.pay WHERE id IN (SELECT a FROM q)",
        ),
        (
            "DELETE FROM payroll.pay AS p USING payroll.employees e WHERE e.id = p.id RETURNING p.id",
            f"SELECT {EACH} FROM payroll.pay AS p, payroll.employees e WHERE e.id = p.id",
        ),
    ],
)
def test_rows_are_selected_as_the_statement_selects_them_and_count_once(text: str, selected: str) -> None:
    verb = "delete" if text.startswith("DELETE") else "update"
    assert counted(text, "payroll.pay") == [f"{verb} payroll.pay: SELECT count(*) FROM ({selected} ) AS touched"]


def test_a_view_has_no_places_of_rows() -> None:
    made = counted("UPDATE payroll.directory SET number = 'x'", "payroll.directory")
    assert made == [
        "update payroll.directory: SELECT count(*) FROM (SELECT directory.* FROM payroll.directory ) AS touched"
    ]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("INSERT INTO public.log VALUES (1), (2)", "SELECT 2::bigint"),
        ("INSERT INTO public.log DEFAULT VALUES", "SELECT 1::bigint"),
        (
            "INSERT INTO public.log SELECT p.id FROM payroll.pay p JOIN payroll.pay q ON true ON CONFLICT DO NOTHING RETURNING id",
            "SELECT count(*) FROM (SELECT p.id FROM payroll.pay p JOIN payroll.pay q ON true ) AS touched",
        ),
        (
            "WITH q AS (SELECT 1 AS a) INSERT INTO public.log TABLE q",
            "WITH q AS (SELECT 1 AS a) SELECT count(*) FROM (TABLE q ) AS touched",
        ),
        (
            "INSERT INTO public.log WITH q AS (SELECT 1 AS a) SELECT a FROM q",
            "SELECT count(*) FROM (WITH q AS (SELECT 1 AS a) SELECT a FROM q ) AS touched",
        ),
    ],
)
def test_rows_that_are_inserted_are_those_of_the_query(text: str, query: str) -> None:
    assert counted(text, "public.log") == [f"insert public.log: {query}"]


MERGE = "MERGE INTO payroll.pay p USING (SELECT 1 AS id) AS x ON p.id = x.id "
PAIRS = "payroll.pay AS p JOIN (SELECT 1 AS id) AS x ON p.id = x.id"


def test_each_branch_of_a_merge_gets_the_rows_that_no_branch_before_it_took() -> None:
    made = counted(
        f"{MERGE} WHEN MATCHED AND p.iban IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET iban = 'y' "
        "WHEN NOT MATCHED AND x.id = 1 THEN INSERT (id) VALUES (1)",
        "payroll.pay",
    )
    first_of = "CASE WHEN ( p.iban IS NULL ) THEN 0 WHEN true THEN 1 ELSE -1 END"
    assert made == [
        "insert payroll.pay: SELECT count(*) FROM (SELECT 1 AS id) AS x LEFT JOIN payroll.pay AS p ON p.id = x.id "
        "WHERE p.ctid IS NULL AND CASE WHEN ( x.id = 1 ) THEN 0 ELSE -1 END IN (0)",
        f"update payroll.pay: SELECT count(*) FROM (SELECT {EACH} FROM {PAIRS} WHERE {first_of} IN (1) ) AS touched",
        f"delete payroll.pay: SELECT count(*) FROM (SELECT {EACH} FROM {PAIRS} WHERE {first_of} IN (0) ) AS touched",
    ]


def test_a_merge_counts_rows_of_its_target_that_have_no_source() -> None:
    made = counted(f"{MERGE} WHEN NOT MATCHED BY SOURCE THEN DELETE WHEN MATCHED THEN DO NOTHING", "payroll.pay")
    assert made == [
        f"delete payroll.pay: SELECT count(*) FROM (SELECT {EACH} FROM payroll.pay AS p WHERE NOT EXISTS "
        "(SELECT FROM (SELECT 1 AS id) AS x WHERE p.id = x.id ) AND CASE WHEN true THEN 0 ELSE -1 END IN (0) ) AS touched"
    ]


def test_on_conflict_that_changes_a_key_which_others_follow_cannot_be_counted() -> None:
    insert = "INSERT INTO payroll.employees VALUES (1) ON CONFLICT (id) DO UPDATE SET"
    assert counted(f"{insert} id = 2", "payroll.employees") == []
    assert counted(f"{insert} dept = 2", "payroll.employees") == ["insert payroll.employees: SELECT 1::bigint"]


def test_parameters_are_numbered_again_in_the_part_that_is_counted() -> None:
    target = SCHEMA.by_name["payroll", "pay"]
    text = "UPDATE payroll.pay SET iban = $1 WHERE id = $3 OR id = $2 OR employee_id = $3"
    (query,) = count_queries(text, ("a", "b", None), SCHEMA, target, {2: "int"}) or ()
    assert query.text.endswith(" id = $1 OR id = ($2::int) OR employee_id = $1\n) AS touched")
    assert query.parameters == (None, "b")


def test_a_part_whose_parameters_are_not_known_cannot_be_counted() -> None:
    assert counted("DELETE FROM payroll.pay WHERE id = $1", "payroll.pay", values=None) == []
    assert len(counted("DELETE FROM payroll.pay WHERE id = 1", "payroll.pay", values=None)) == 1


def test_truncate_takes_what_refers_to_a_partition_and_to_that_over_all_levels() -> None:
    whole = table(60, "s.whole", "id int!", kind="p")
    part = table(61, "s.part", "id int!", parents=(60,))
    refers, far = table(62, "s.refers", "id int!"), table(63, "s.far", "id int!")
    keys = tuple(ForeignKey("k", a, (1,), b, (1,), "a", "a") for a, b in ((62, 61), (63, 62), (61, 63)))
    schema = Schema(replace(CATALOG, relations=(whole, part, refers, far), foreign_keys=keys))
    found = [str(query.relation) for query in truncate_queries(schema, [60], cascades=True)]
    assert found == ["s.whole", "s.refers", "s.far"]
    assert [str(query.relation) for query in truncate_queries(schema, [60], cascades=False)] == ["s.whole"]
