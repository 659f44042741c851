from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, STAFF, judged, policy, rule, table

from dbgate.gate.masks import type_name
from dbgate.gate.policy.model import Policy
from dbgate.gate.protection import Unmasked, protection_for
from dbgate.gate.statement import examine
from dbgate.model import Access, Allow, Deny, Rewrite

ANYTHING = policy(rule("anything", access=tuple(Access)))


def inserts_only() -> Policy:
    return policy(rule("read", access=(Access.READ,)), rule("insert", verbs=("insert", "merge")))


@pytest.mark.parametrize(
    "sql",
    [
        "WITH i AS (INSERT INTO public.log VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET t = 'b') SELECT 1",
        "INSERT INTO public.log VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET t = 'b'",
        "MERGE INTO public.log l USING payroll.departments d ON d.id = l.id WHEN MATCHED THEN DELETE",
        "WITH m AS (MERGE INTO public.log l USING payroll.departments d ON d.id = l.id WHEN MATCHED THEN UPDATE SET t = 'x' "
        "RETURNING l.id) SELECT * FROM m",
        "SELECT 1 AS a INTO copy UNION SELECT 2",
        "EXPLAIN ANALYZE SELECT 1 AS a INTO copy",
        "EXPLAIN (ANALYZE off, ANALYZE on) DELETE FROM public.log WHERE id = 1",
        "SELECT * FROM (SELECT id FROM public.log) q FOR UPDATE",
    ],
)
def test_the_verb_is_the_strongest_thing_that_happens(sql: str) -> None:
    assert isinstance(judged(sql, inserts_only()).decision, Deny)


def test_what_a_policy_allows_of_them_runs() -> None:
    sql = "MERGE INTO public.log l USING payroll.departments d ON d.id = l.id WHEN NOT MATCHED THEN INSERT VALUES (d.id, 'x')"
    assert isinstance(judged(sql, inserts_only()).decision, Allow | Rewrite)


def test_a_new_relation_without_a_schema_is_made_in_the_first_one_of_the_path() -> None:
    given = policy(rule("read", access=(Access.READ,)), rule("make", verbs=("create",), tables=("payroll.*",)))
    assert isinstance(judged("SELECT 1 AS a INTO copy", given, search_path=("payroll",)).decision, Allow | Rewrite)
    assert isinstance(judged("SELECT 1 AS a INTO copy", given).decision, Deny)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("text", "pg_catalog.text"),
        ("text[]", "pg_catalog.text[]"),
        ('"char"', 'pg_catalog."char"'),
        ("integer", "integer"),
        ("character varying(80)", "character varying(80)"),
        ("character", "pg_catalog.bpchar"),
        ("bpchar", "pg_catalog.bpchar"),
        ("timestamp with time zone", "timestamp with time zone"),
        ("numeric(12,2)", "numeric(12,2)"),
        ("hr.mood", "hr.mood"),
        ('"Hr x"."a.b"[]', '"Hr x"."a.b"[]'),
        ("jsonb", "pg_catalog.jsonb"),
    ],
)
def test_no_temporary_type_stands_for_one_of_the_server(written: str, sent: str) -> None:
    assert type_name(written) == sent


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM payroll.employees WHERE id IN (" + ", ".join(map(str, range(5000))) + ")",
        "SELECT " + " + ".join(["id"] * 300) + " FROM payroll.employees",
        "SELECT count(*) FROM payroll.departments d "
        + " ".join(f"JOIN payroll.employees e{n} ON e{n}.id = d.id" for n in range(60)),
        "SELECT id FROM payroll.employees WHERE full_name = '" + "x" * 1_000_000 + "'",
        " UNION ALL ".join(["SELECT ssn FROM payroll.employees"] * 100),
        "SELECT " + "(" * 400 + "id" + ")" * 400 + " FROM payroll.employees",
    ],
    ids=["list", "sum", "joins", "megabyte", "union", "parentheses"],
)
def test_large_statements_are_rewritten(sql: str) -> None:
    decision = judged(sql).decision
    assert isinstance(decision, Rewrite), decision
    assert (
        decision.text.count("(SELECT id FROM payroll.employees") + decision.text.count("FROM payroll.employees)") >= 1
    )


def test_statements_that_nest_too_deeply_are_refused() -> None:
    from dbgate.errors import StatementError

    with pytest.raises(StatementError, match="too deeply"):
        judged("SELECT " + " + ".join(["id"] * 20_000) + " FROM payroll.employees")


@pytest.mark.parametrize("options", ["", "ANALYZE "])
def test_what_holds_no_query_cannot_be_explained(options: str) -> None:
    decision = judged(f"EXPLAIN {options}REFRESH MATERIALIZED VIEW payroll.rich", ANYTHING).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "EXPLAIN of REFRESHMATVIEW"


@pytest.mark.parametrize("start", ["PREPARE p AS", "DECLARE c CURSOR FOR", "CREATE VIEW public.v AS"])
def test_select_into_stands_alone(start: str) -> None:
    decision = judged(f"{start} SELECT 1 INTO public.made", ANYTHING).decision
    assert isinstance(decision, Deny)
    assert decision.reason == f"{start.split()[0]} of SELECT INTO"


def test_a_statement_that_nobody_knows_is_refused() -> None:
    protection = protection_for(CATALOG, ANYTHING, STAFF, Unmasked())
    assert examine({"MadeUpStmt": {}}, protection, ()).refusal == "dbgate does not know MadeUpStmt"


def test_who_draws_a_number_updates() -> None:
    catalog = replace(CATALOG, relations=(*CATALOG.relations, table(70, "public.s", kind="S")), fingerprint="sequence")
    statement = judged("SELECT nextval('public.s')", ANYTHING, catalog).statement
    assert (statement.verb, statement.access) == ("update", Access.WRITE)
