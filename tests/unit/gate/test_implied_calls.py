"""Functions that are called without being named: which statements may choose them, by the types that occur."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, column, judged, policy, rule, table

from dbgate.catalog import CatalogCast, CatalogColumn, CatalogFunction, CatalogOperator, CatalogType
from dbgate.gate.policy.model import FunctionList
from dbgate.model import Access, Allow, Deny, Rewrite

PAIR, MARK = 20_000, 20_001
OWN = replace(
    CATALOG,
    server_version=160000,
    types=(CatalogType(PAIR, "public", "pair", "c"), CatalogType(MARK, "public", "mark", "e")),
    functions=(
        *CATALOG.functions,
        CatalogFunction(40, "public", "guess", "text, integer", argument_types=(25, 23)),
        CatalogFunction(41, "public", "same", "pair, pair", argument_types=(PAIR, PAIR)),
        CatalogFunction(42, "public", "told", "mark", argument_types=(MARK,)),
        CatalogFunction(43, "public", "json_value", "text, text", argument_types=(25, 25)),
        CatalogFunction(44, "public", "area", "pair", argument_types=(PAIR,)),
        CatalogFunction(45, "public", "note", "integer", kind="p", argument_types=(23,)),
    ),
    operators=(
        CatalogOperator("public", ">=", 40, 25, 23),
        CatalogOperator("public", "=", 41, PAIR, PAIR),
        CatalogOperator("public", "<", 41, PAIR, PAIR),
        CatalogOperator("public", "@@", 41, 23, PAIR),
    ),
    casts=(CatalogCast(MARK, 1043, "varchar", 42, "a", "mark"), CatalogCast(20, PAIR, "pair", 41, "e", "int8")),
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM payroll.departments WHERE name BETWEEN 1 AND 2",
        "SELECT id FROM payroll.departments WHERE name NOT BETWEEN '(1,x)'::pair AND name",
        "SELECT 1 WHERE ROW(1, 2)::pair IN (SELECT NULL::pair)",
        "SELECT id @@ '(1,x)' FROM payroll.departments",
        "SELECT 'x'::mark::varchar",
        "SELECT 'x'::mark::varchar(3)",
        "SELECT id::bigint::pair FROM payroll.departments",
        "SELECT area(NULL::pair)",
        "SELECT area('(1,x)')",
        "SELECT public.area('(1,x)')",
        "SELECT json_value('a', 'b')",
        "CALL note(1)",
        "CALL fiscal_year('2024-01-01')",
        "CALL nothing(1)",
    ],
)
def test_what_may_be_chosen_is_refused(sql: str) -> None:
    decision = judged(sql, POLICY, catalog=OWN).decision
    assert isinstance(decision, Deny), decision
    assert "not allowed" in decision.reason or "does not allow" in decision.reason or "not known" in decision.reason


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM payroll.departments WHERE id = 1 AND id < 3 AND name IN ('a', 'b')",
        "SELECT id FROM payroll.departments WHERE (id, name) = (1, 'x')",
        "SELECT '(1,x)'::pair, ROW(1, 'x')::pair, NULL::pair",
        "SELECT 'x'::mark, 'x'::mark::text",
        "SELECT name::varchar, id::varchar(5) FROM payroll.departments",
        "SELECT 5::pair",
        "SELECT area(b) FROM (SELECT box(point(0, 0), point(1, 1)) AS b) q",
        "UPDATE payroll.departments SET name = 'x' WHERE id = 1",
    ],
)
def test_what_cannot_be_chosen_is_no_obstacle(sql: str) -> None:
    decision = judged(sql, POLICY, catalog=replace(OWN, operators=OWN.operators[1:])).decision
    assert isinstance(decision, Allow | Rewrite), decision


ROW = 20_050
HOLDS_PAIRS = replace(
    OWN,
    fingerprint="holds pairs",
    relations=(
        *OWN.relations,
        replace(
            table(50, "public.pairs", type_oid=ROW),
            columns=(column(1, "id int!"), CatalogColumn(2, "p", "public.pair", PAIR, PAIR, "public.pair", "C")),
        ),
    ),
    functions=(
        *OWN.functions,
        CatalogFunction(46, "public", "made", "integer", argument_types=(23,)),
        CatalogFunction(47, "public", "whole", "pairs, pairs", argument_types=(ROW, ROW)),
    ),
    casts=(CatalogCast(23, PAIR, "pair", 46, "a", "int4"),),
    operators=(CatalogOperator("public", "=", 41, PAIR, PAIR), CatalogOperator("public", "<", 47, ROW, ROW)),
    type_parts={ROW: (PAIR,)},
)


@pytest.mark.parametrize(
    ("sql", "function"),
    [
        ("UPDATE public.pairs SET p = 5 WHERE id = 1", "public.made"),
        ("INSERT INTO public.pairs (p) VALUES (5)", "public.made"),
        ("INSERT INTO public.pairs VALUES (1, 5)", "public.made"),
        ("SELECT ROW(1, 5)::public.pairs", "public.made"),
        ("SELECT id FROM public.pairs WHERE p = p", "public.same"),
        ("SELECT id FROM public.pairs WHERE pairs < pairs", "public.whole"),
        ("ALTER TABLE public.pairs ADD CHECK (p = p)", "public.same"),
        ("ALTER TABLE public.pairs ADD CHECK (pairs < pairs)", "public.whole"),
    ],
)
def test_what_columns_and_rows_of_a_type_call_is_refused(sql: str, function: str) -> None:
    decision = judged(sql, BUILDERS, catalog=HOLDS_PAIRS).decision
    assert isinstance(decision, Deny), decision
    assert f"calls {function}, which the policy does not allow" in decision.reason


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE public.pairs SET id = 5 WHERE id = 1",
        "INSERT INTO public.pairs (id) VALUES (5)",
        "SELECT id FROM public.pairs WHERE id = 1 AND id < 3",
        "ALTER TABLE public.log ADD CHECK (id = 1 AND log < log)",
    ],
)
def test_other_columns_of_the_relation_call_nothing(sql: str) -> None:
    decision = judged(sql, BUILDERS, catalog=HOLDS_PAIRS).decision
    assert isinstance(decision, Allow | Rewrite), decision


def test_json_functions_are_syntax_since_17() -> None:
    decision = judged("SELECT json_value('a', 'b')", POLICY, catalog=replace(OWN, server_version=170000)).decision
    assert isinstance(decision, Allow)
    quoted = judged("""SELECT "json_value"('a', 'b')""", POLICY, catalog=replace(OWN, server_version=170000)).decision
    assert isinstance(quoted, Deny)


def test_an_allowed_procedure_needs_a_rule() -> None:
    allowed = replace(POLICY, functions=replace(POLICY.functions, allow=("public.note(integer)",)), digest="c")
    assert isinstance(judged("CALL note(1)", allowed, catalog=OWN).decision, Allow)
    assert isinstance(judged("CALL note((SELECT 1))", allowed, catalog=OWN).decision, Deny)
    reads = replace(allowed, rules=allowed.rules[:1], digest="r")
    assert isinstance(judged("CALL note(1)", reads, catalog=OWN).decision, Deny)


POLICY = policy(rule("read", access=(Access.READ,)), rule("write", access=(Access.WRITE,)))
BUILDERS = policy(*POLICY.rules, rule("build", access=(Access.DDL, Access.ADMIN)))


def test_what_an_allowed_function_gives_may_choose_functions_too() -> None:
    gives = CatalogFunction(48, "public", "give", "integer", argument_types=(23,), required=1, result_types=(PAIR,))
    catalog = replace(OWN, functions=(*OWN.functions, gives), fingerprint="gives")
    given = replace(policy(digest="gives"), functions=FunctionList(("public.give(integer)",)))
    assert isinstance(judged("SELECT give(1)", given, catalog).decision, Allow)
    decision = judged("SELECT give(1) = give(2)", given, catalog).decision
    assert isinstance(decision, Deny)
    assert "public.same" in decision.reason


TYPED = replace(
    HOLDS_PAIRS,
    fingerprint="typed",
    types=(*OWN.types, CatalogType(20_003, "public", "codes", "d", base="varchar")),
    type_functions={PAIR: (41,)},
)
CITEXT = 20_060
"""A type of an extension that the policy does not name."""
WITH_CITEXT = replace(
    OWN,
    fingerprint="citext",
    relations=(
        *OWN.relations,
        replace(
            table(51, "public.names"),
            columns=(
                column(1, "id int!"),
                CatalogColumn(2, "n", "public.citext", CITEXT, CITEXT, "public.citext", "S"),
            ),
        ),
    ),
    types=(CatalogType(CITEXT, "public", "citext", "b", extension="citext"),),
    functions=(
        *CATALOG.functions,
        CatalogFunction(
            48, "public", "citext_eq", "citext, citext", argument_types=(CITEXT, CITEXT), extension="citext"
        ),
    ),
    operators=(CatalogOperator("public", "=", 48, CITEXT, CITEXT),),
    casts=(),
)


@pytest.mark.parametrize("sql", ["SELECT p FROM public.pairs", "SELECT id FROM public.pairs WHERE p IS NOT NULL"])
def test_a_column_of_a_type_that_calls_something_is_refused(sql: str) -> None:
    decision = judged(sql, BUILDERS, catalog=TYPED).decision
    assert isinstance(decision, Deny)
    assert "calls public.same, which the policy does not allow" in decision.reason


def test_a_cast_to_a_domain_casts_to_what_is_under_it() -> None:
    catalog = replace(TYPED, type_functions={}, casts=OWN.casts, fingerprint="codes")
    decision = judged("SELECT 'x'::mark::public.codes", BUILDERS, catalog=catalog).decision
    assert isinstance(decision, Deny)
    assert "a cast to varchar calls public.told" in decision.reason


@pytest.mark.parametrize(
    "sql", ["SELECT p FROM public.pairs WHERE id IN (1, 2)", "SELECT p FROM public.pairs WHERE id = 1"]
)
def test_numbers_are_not_of_a_type_of_somebodys_own(sql: str) -> None:
    assert isinstance(judged(sql, BUILDERS, catalog=HOLDS_PAIRS).decision, Allow | Rewrite)


def test_an_extensions_own_equality_is_no_obstacle() -> None:
    decision = judged("SELECT id FROM public.names WHERE n = n", BUILDERS, catalog=WITH_CITEXT).decision
    assert isinstance(decision, Allow | Rewrite), decision


def test_a_view_that_cannot_be_analysed_may_call_what_the_rows_below_call() -> None:
    made = table(60, "public.odd", "x int", kind="v", definition=" SELECT x FROM nowhere.t;", depends=(50,))
    catalog = replace(TYPED, relations=(*TYPED.relations, made), type_functions={ROW: (41,)}, fingerprint="odd")
    decision = judged("SELECT x FROM public.odd", BUILDERS, catalog=catalog).decision
    assert isinstance(decision, Deny)
    assert "in the view public.odd, the type " in decision.reason
    assert "calls public.same" in decision.reason
