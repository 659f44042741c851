"""Which functions of one name a call can mean: those that the policy does not allow refuse it only where they can be meant."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy, table

from dbgate.catalog import CatalogFunction, CatalogType
from dbgate.gate.policy.model import FunctionList
from dbgate.model import Allow, Deny

ALLOWED = (
    "bigint",
    "character varying",
    "text",
    "real",
    "boolean",
    "time without time zone",
    "timestamp with time zone",
)
FUNCTIONS = (
    *(CatalogFunction(40 + n, "public", "f", kind) for n, kind in enumerate(ALLOWED)),
    CatalogFunction(60, "public", "f", "date"),
    CatalogFunction(61, "public", "g", "integer"),
    CatalogFunction(62, "public", "g", "integer, integer", required=2),
)
OVERLOADED = replace(CATALOG, functions=FUNCTIONS, fingerprint="overloaded")
GIVEN = replace(
    policy(digest="own functions"),
    functions=FunctionList(allow=(*(f"public.f({kind})" for kind in ALLOWED), "public.g(integer)")),
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT f(1::bigint)",
        "SELECT f(1::int8)",
        "SELECT f('a'::varchar), f('a'::varchar(5)), f('a'::text)",
        "SELECT f(1::real), f(1::float4), f(true::bool)",
        "SELECT f('10:00'::time), f('2026-01-01'::timestamptz)",
        "SELECT g(id) FROM public.log",
    ],
)
def test_the_one_that_is_meant_is_allowed(sql: str) -> None:
    assert isinstance(judged(sql, GIVEN, OVERLOADED).decision, Allow)


@pytest.mark.parametrize("sql", ["SELECT f('2026-01-01'::date)", "SELECT f('a')", "SELECT g(1, 2)"])
def test_another_that_may_be_meant_is_not(sql: str) -> None:
    decision = judged(sql, GIVEN, OVERLOADED).decision
    assert isinstance(decision, Deny)
    assert "is not allowed" in decision.reason


@pytest.mark.parametrize(
    "beside",
    [
        {"relations": (*CATALOG.relations, table(70, "pg_temp_3.text", "a text"))},
        {"types": (CatalogType(71, "public", "text", "c"),)},
    ],
    ids=["temporary table", "type"],
)
def test_a_type_of_that_name_may_stand_before_the_built_in_one(beside: dict[str, object]) -> None:
    catalog = replace(OVERLOADED, fingerprint=repr(beside), **beside)
    assert isinstance(judged("SELECT f('a'::text)", GIVEN, catalog).decision, Deny)
    assert isinstance(judged("SELECT f('a'::pg_catalog.text)", GIVEN, catalog).decision, Allow)


def test_an_ordered_set_aggregate_takes_more_than_its_direct_arguments() -> None:
    middle = CatalogFunction(71, "public", "middle", "double precision, integer", kind="a", required=2)
    catalog = replace(CATALOG, functions=(*CATALOG.functions, middle), fingerprint="middle")
    decision = judged(
        "SELECT middle(0.5) WITHIN GROUP (ORDER BY id) FROM payroll.departments", catalog=catalog
    ).decision
    assert isinstance(decision, Deny)
    assert "public.middle(double precision, integer) is not allowed" in decision.reason
