"""Functions of extensions: trust in an extension does not cover those that run text as SQL."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, judged, policy, rule, table

from dbgate.catalog import CatalogFunction
from dbgate.gate.policy.model import FunctionList
from dbgate.model import Access, Allow, Deny

WITH = replace(
    CATALOG,
    relations=(
        *CATALOG.relations,
        table(
            30,
            "public.crossed",
            "a text",
            "b text",
            kind="v",
            definition=" SELECT x.a, x.b FROM public.crosstab('SELECT id, ssn FROM payroll.employees') x(a text, b text);",
        ),
        table(31, "public.alike", "n text", kind="v", definition=" SELECT public.similarity('a', 'b') AS n;"),
    ),
    functions=(
        *CATALOG.functions,
        CatalogFunction(50, "public", "crosstab", "text", extension="tablefunc", argument_types=(25,), required=1),
        CatalogFunction(
            51, "public", "normal_rand", "integer", extension="tablefunc", argument_types=(23,), required=1
        ),
        CatalogFunction(52, "public", "dblink", "text, text", extension="dblink", argument_types=(25, 25), required=2),
        CatalogFunction(
            53, "public", "similarity", "text, text", extension="pg_trgm", argument_types=(25, 25), required=2
        ),
    ),
)


def allowing(*signatures: str) -> FunctionList:
    return FunctionList(signatures, ("tablefunc", "dblink"))


def decided(sql: str, functions: FunctionList) -> object:
    given = replace(policy(rule("read", access=(Access.READ,))), functions=functions, digest=repr(functions))
    return judged(sql, given, catalog=WITH).decision


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM crosstab('SELECT id, ssn FROM payroll.employees') AS x(a text, b text)",
        "SELECT * FROM public.dblink('dbname=payroll', 'SELECT ssn FROM payroll.employees') AS x(a text)",
        "SELECT * FROM crossed",
    ],
)
def test_what_runs_text_as_sql_is_refused_in_trusted_extensions_too(sql: str) -> None:
    assert isinstance(decided(sql, allowing()), Deny)


def test_the_rest_of_a_trusted_extension_runs_and_so_do_views_over_extensions() -> None:
    assert isinstance(decided("SELECT * FROM normal_rand(3)", allowing()), Allow)
    assert isinstance(decided("SELECT * FROM alike", allowing()), Allow)
    assert isinstance(decided("SELECT similarity('a', 'b')", allowing()), Deny)


def test_a_signature_allows_one_function_of_an_extension() -> None:
    trusted = allowing("public.crosstab(text)", "public.similarity(text, text)")
    assert isinstance(decided("SELECT * FROM crosstab('SELECT 1') AS x(a text, b text)", trusted), Allow)
    assert isinstance(decided("SELECT * FROM crossed", trusted), Allow)
    assert isinstance(decided("SELECT similarity('a', 'b')", trusted), Allow)
