"""Rules on what a statement does not name: what keys, CASCADE and views reach; and how far a measured number carries."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, STAFF, judged, policy, rule

from dbgate.catalog import Catalog, CatalogColumn, CatalogType, ForeignKey
from dbgate.gate.policy.model import Comparison, Policy, Rule
from dbgate.model import Access, Allow, Deny, Identity, Measured, NeedsApproval, NeedsMeasure, Relation, Rewrite

ALL = rule("all", access=tuple(Access))
DEPARTMENTS = Relation("payroll", "departments", 10)
DELETE = "DELETE FROM payroll.departments WHERE id = 1"
"""Takes employees along by a key, and their pay by another."""


def pay(effect: str, **when: Any) -> Rule:
    return rule("pay", effect, tables=("payroll.pay",), **when)


def with_key(on_delete: str) -> Catalog:
    """The catalog where the key from employees to departments does something else on DELETE."""
    key = ForeignKey("dept", 11, (5,), 10, (1,), on_delete, "a")
    return replace(CATALOG, foreign_keys=(key, *CATALOG.foreign_keys[1:]), fingerprint=f"key {on_delete}")


def test_what_keys_take_along_needs_the_approval_that_its_rules_ask_for() -> None:
    decision = judged(DELETE, policy(ALL, pay("approve")), measured=Measured(((DEPARTMENTS, 1),))).decision
    assert isinstance(decision, NeedsApproval)
    assert [r.id for r in decision.rules] == ["pay"]
    other = rule("pay", "approve", tables=("public.log",))
    decision = judged(DELETE, policy(ALL, other), measured=Measured(((DEPARTMENTS, 1),))).decision
    assert isinstance(decision, Allow)


def test_what_keys_take_along_is_counted_for_rules_on_rows() -> None:
    given = policy(ALL, pay("approve", rows=Comparison(">", 100)))
    decision = judged(DELETE, given).decision
    assert isinstance(decision, NeedsMeasure)
    assert [r.id for r in decision.rules] == ["pay"]
    few, many = (judged(DELETE, given, measured=Measured(((DEPARTMENTS, n),))).decision for n in (100, 101))
    assert isinstance(few, Allow)
    assert few.ceiling == 100
    assert isinstance(many, NeedsApproval)


@pytest.mark.parametrize(("on_delete", "verb"), [("c", "delete"), ("n", "update"), ("d", "update")])
def test_a_key_deletes_or_updates_as_it_says(on_delete: str, verb: str) -> None:
    for other in ("delete", "update"):
        denied = rule("stays", "deny", tables=("payroll.employees",), verbs=(other,))
        decision = judged(DELETE, policy(ALL, denied), with_key(on_delete)).decision
        assert isinstance(decision, Deny if other == verb else Allow), (other, decision)


PAYROLL = {"payroll.pay", "payroll.directory", "payroll.rich", "payroll.employees"}


@pytest.mark.parametrize(
    ("sql", "reached"),
    [
        ("DROP SCHEMA payroll CASCADE", PAYROLL),
        ("DROP SCHEMA public CASCADE", {*PAYROLL, "public.log"}),  # it holds functions, which views may call
        ("DROP FUNCTION public.fiscal_year(date) CASCADE", {*PAYROLL, "public.log"}),
        ("DROP FUNCTION public.fiscal_year(date)", set()),
        ("DROP TYPE public.pair CASCADE", {*PAYROLL, "public.log"}),
        ("DROP INDEX payroll.some_index CASCADE", set()),
        ("DROP TABLE payroll.employees CASCADE", {"payroll.directory", "payroll.rich"}),
        ("DROP TABLE payroll.employees", set()),
        ("DROP TABLE public.log CASCADE", set()),
        ("TRUNCATE payroll.employees CASCADE", {"payroll.pay"}),
        ("TRUNCATE payroll.employees", set()),
        ("DROP VIEW payroll.directory CASCADE", set()),
        ("DROP MATERIALIZED VIEW payroll.rich", set()),
        ("SELECT 1", set()),
    ],
)
def test_rules_that_deny_hold_for_what_cascade_takes(sql: str, reached: set[str]) -> None:
    for name in {*PAYROLL, "public.log"} - set(sql.split()):
        decision = judged(sql, policy(ALL, rule("stays", "deny", tables=(name,)))).decision
        if name in reached:
            assert isinstance(decision, Deny), (name, decision)
            assert decision.reason == f"the policy denies it (it reaches {name})"
        else:
            assert isinstance(decision, Allow), (name, decision)


def test_reviewers_are_asked_with_the_rows_that_were_counted() -> None:
    given = policy(ALL, rule("writes", "approve", access=(Access.WRITE,)))
    decision = judged("DELETE FROM public.log WHERE id = 1", given).decision
    assert isinstance(decision, NeedsMeasure)
    assert isinstance(decision.otherwise, NeedsApproval)


def test_what_is_set_in_a_column_that_does_not_exist_is_not_shown_to_reviewers() -> None:
    given = policy(ALL, rule("writes", "approve", access=(Access.WRITE,)))
    counted = Measured(((Relation("public", "log", 15), 1),))
    judgement = judged("UPDATE public.log SET nothing = 1 WHERE id = 1", given, measured=counted)
    assert isinstance(judgement.decision, NeedsApproval)
    assert [query.text for query in judgement.sample] == [""]


@pytest.mark.parametrize("measured", [3, 10])
def test_a_measured_number_holds_up_to_where_a_rule_says_something_else(measured: int) -> None:
    rules = (
        rule("bulk", "approve", verbs=("delete",), rows=Comparison(">", 10)),
        rule("huge", "deny", verbs=("delete",), rows=Comparison(">=", 1000)),
    )
    decision = judged(DELETE, policy(ALL, *rules), measured=Measured(((DEPARTMENTS, measured),))).decision
    assert isinstance(decision, Allow)
    assert decision.ceiling == 10
    free = judged(DELETE, policy(ALL), measured=Measured(((DEPARTMENTS, measured),))).decision
    assert isinstance(free, Allow)
    assert free.ceiling is None


@pytest.mark.parametrize(
    "sql",
    ["COMMENT ON TABLE pg_catalog.pg_class IS 'x'", "ANALYZE pg_catalog.pg_class", "LOCK TABLE pg_catalog.pg_class"],
)
def test_system_catalogs_are_free_to_read_only(sql: str) -> None:
    reads = policy(rule("read", access=(Access.READ,)))
    assert isinstance(judged("SELECT relname FROM pg_catalog.pg_class", reads).decision, Allow | Rewrite)
    decision = judged(sql, reads).decision
    assert isinstance(decision, Deny)
    assert "no rule allows" in decision.reason


@pytest.mark.parametrize(("groups", "named"), [((), "none"), (("staff", "dba"), "staff, dba")])
def test_who_is_not_allowed_is_told_their_groups(groups: tuple[str, ...], named: str) -> None:
    decision = _denied(replace(STAFF, groups=groups), policy(rule("read", groups=("others",))))
    assert decision.hint.startswith(f"your groups: {named};")


def _denied(who: Identity, given: Policy) -> Deny:
    from tests.catalogs import NOW

    from dbgate.gate.decide import Context, judge
    from dbgate.gate.syntax import split

    decision = judge(split("SELECT id FROM public.log")[0], Context(who, given, CATALOG, "production", NOW)).decision
    assert isinstance(decision, Deny)
    return decision


@pytest.mark.parametrize(
    ("sql", "reaches"),
    [
        ("UPDATE payroll.employees SET id = 2 WHERE id = 1", True),
        ("UPDATE payroll.employees SET (dept, id) = (1, 2) WHERE id = 1", True),
        ("UPDATE payroll.employees SET dept = 2 WHERE id = 1", False),
    ],
)
def test_a_key_carries_a_changed_value_on(sql: str, reaches: bool) -> None:
    decision = judged(sql, policy(ALL, rule("stays", "deny", tables=("payroll.pay",), verbs=("update",)))).decision
    assert isinstance(decision, Deny if reaches else Allow), decision


def test_with_a_schema_that_holds_a_type_any_relation_may_go() -> None:
    given = policy(ALL, rule("stays", "deny", tables=("public.log",)))
    kept = replace(CATALOG, schemas=(*CATALOG.schemas, "kinds"), functions=(), fingerprint="no types")
    assert isinstance(judged("DROP SCHEMA kinds CASCADE", given, kept).decision, Allow)
    typed = replace(kept, types=(CatalogType(20_000, "kinds", "pair", "c"),), fingerprint="a type")
    assert isinstance(judged("DROP SCHEMA kinds CASCADE", given, typed).decision, Deny)


@pytest.mark.parametrize(
    ("written", "cascade"), [("payroll.pay", True), ("payroll.pay[]", True), ("payroll.pay", False)]
)
def test_columns_of_a_dropped_tables_row_type_go_with_it(written: str, cascade: bool) -> None:
    pay = next(relation for relation in CATALOG.relations if relation.name == "pay")
    log = next(relation for relation in CATALOG.relations if relation.oid == 15)
    held = CatalogColumn(9, "held", written, 20_001, 20_001, written, "C")
    others = [relation for relation in CATALOG.relations if relation.oid not in {12, 15}]
    catalog = replace(
        CATALOG,
        relations=(*others, replace(pay, type_oid=20_000), replace(log, columns=(*log.columns, held))),
        type_names={20_000: "payroll.pay", 20_001: written},
        fingerprint=written,
    )
    given = policy(ALL, rule("stays", "deny", tables=("public.log",), verbs=("alter",)))
    decision = judged(f"DROP TABLE payroll.pay {'CASCADE' if cascade else ''}", given, catalog).decision
    assert isinstance(decision, Deny if cascade else Allow)
