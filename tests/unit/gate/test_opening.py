"""Columns in clear for a while: what may be asked for, and what a grant opens of a statement."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, NOW, STAFF, judged, policy, ref, rule

from dbgate.errors import UsageError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.opening import Plan, columns_with, offers_for, plan_unmasking
from dbgate.gate.policy.model import Policy, Unmask, UnmaskApproval
from dbgate.gate.protection import Unmasked, protection_for
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
from dbgate.model import Access, Allow, ColumnName, Deny, OpenedColumn, ReviewClause, Rewrite

PRIVACY = UnmaskApproval((ReviewClause(("privacy",), 1),), 1800)
FINANCE = UnmaskApproval((ReviewClause(("cfo",), 2),), 600)
PII = Unmask(("pii.*",), ("staff",), ref("unmask"), PRIVACY)
MONEY = Unmask(("finance.*",), ("staff",), ref("unmask"), FINANCE)
ALL = ("finance.account", "finance.pay", "pii.ssn")
SSN = ColumnName("payroll", "employees", "ssn")
EVERYTHING = "SELECT e.ssn, e.salary, p.iban FROM payroll.employees e JOIN payroll.pay p ON p.employee_id = e.id"
COLUMN = {"pii.ssn": "ssn", "finance.pay": "salary", "finance.account": "iban"}
SUBSETS = list(chain.from_iterable(combinations(ALL, size) for size in range(4)))


def with_rules(*unmask: Unmask) -> Policy:
    given = policy(
        rule("read", access=(Access.READ,)),
        rule("write", access=(Access.WRITE,)),
        rule("make", access=(Access.DDL,)),
        digest=repr(unmask),
    )
    return replace(given, unmask=unmask)


def grants(*tags: str) -> Unmasked:
    return Unmasked(tuple(sorted(tags)), tuple((tag, f"g-{tag}") for tag in sorted(tags)))


def hidden(judgement: Judgement) -> set[str]:
    """The tags that a statement meets as masks only."""
    run = judgement.decision
    assert isinstance(run, Allow | Rewrite), run
    return {m.tag for m in run.masked} if isinstance(run, Rewrite) else set()


def plan(given: Policy, *wanted: str) -> list[tuple[tuple[str, ...], Unmask]]:
    found = plan_unmasking(given, STAFF, wanted)
    assert isinstance(found, Plan), found
    return [(offer.tags, offer.rule) for offer in found.offers]


def test_one_request_for_each_entry_that_is_needed() -> None:
    given = with_rules(PII, MONEY)
    assert plan(given, "pii.ssn") == [(("pii.ssn",), PII)]
    assert plan(given, "*") == [(("finance.account", "finance.pay"), MONEY), (("pii.ssn",), PII)]
    assert plan(given, "finance.*", "finance.pay") == [(("finance.account", "finance.pay"), MONEY)]


def test_the_entry_that_opens_most_is_asked() -> None:
    both = Unmask(("*",), ("staff",), ref("both"), FINANCE)
    assert plan(with_rules(PII, MONEY, both), "*") == [(ALL, both)]
    assert plan(with_rules(PII, both), "pii.ssn") == [(("pii.ssn",), PII)]


def test_what_is_seen_anyway_is_not_asked_for() -> None:
    open_pay = Unmask(("finance.pay",), ("staff",), ref("open"))
    found = plan_unmasking(with_rules(PII, MONEY, open_pay), STAFF, ["finance.*"])
    assert isinstance(found, Plan)
    assert [offer.tags for offer in found.offers] == [("finance.account",)]
    assert found.in_clear == ("finance.pay",)


@pytest.mark.parametrize(
    ("rules", "wanted", "reason"),
    [
        ((PII,), "finance.pay", "no unmask entry of the policy lets you ask to see finance.pay in clear"),
        ((), "pii.ssn", "no unmask entry"),
        ((replace(PII, groups=("support",)),), "pii.ssn", "no unmask entry"),
        ((replace(PII, groups=("Staff",)),), "*", "no unmask entry"),
    ],
)
def test_who_may_not_ask(rules: tuple[Unmask, ...], wanted: str, reason: str) -> None:
    found = plan_unmasking(with_rules(*rules), STAFF, [wanted])
    assert isinstance(found, Deny)
    assert reason in found.reason
    assert found.hint == "your groups: staff"
    nobody = plan_unmasking(with_rules(*rules), replace(STAFF, groups=()), [wanted])
    assert isinstance(nobody, Deny)
    assert nobody.hint == "your groups: none"


@pytest.mark.parametrize("name", ["pii.ss", "PII.SSN", "", "x*", "pii"])
def test_a_tag_that_does_not_exist(name: str) -> None:
    with pytest.raises(UsageError, match="no such tag"):
        plan_unmasking(with_rules(PII), STAFF, ["pii.ssn", name])


def test_offers_tell_of_masked_tags_only() -> None:
    open_pay = Unmask(("finance.pay",), ("staff",), ref("open"))
    found = offers_for(with_rules(PII, MONEY, open_pay), STAFF, ["pii.ssn", "finance.pay", "unknown"])
    assert [(offer.tags, offer.rule) for offer in found] == [(("pii.ssn",), PII)]


def test_the_columns_that_tags_name() -> None:
    protection = protection_for(CATALOG, with_rules(PII), STAFF, Unmasked())
    assert [str(name) for name in columns_with(protection, ["pii.ssn"])] == [
        "payroll.directory.number",
        "payroll.employees.ssn",
    ]


@pytest.mark.parametrize("tags", SUBSETS)
def test_exactly_the_granted_tags_are_open(tags: tuple[str, ...]) -> None:
    judgement = judged(EVERYTHING, with_rules(PII, MONEY), unmasked=grants(*tags))
    assert hidden(judgement) == set(ALL) - set(tags)
    assert {(str(o.column).split(".")[-1], o.tag, o.grant) for o in judgement.opened} == {
        (COLUMN[tag], tag, f"g-{tag}") for tag in tags
    }
    assert isinstance(judgement.decision, Allow) == (len(tags) == 3)


def test_without_a_grant_nothing_changes() -> None:
    given = with_rules(PII, MONEY)
    before = judged(EVERYTHING, given)
    judged(EVERYTHING, given, unmasked=grants(*ALL))
    after = judged(EVERYTHING, given)
    assert (after.decision, after.opened) == (before.decision, ())
    assert isinstance(after.decision, Rewrite)
    assert {m.tag for m in after.decision.masked} == set(ALL)


def test_a_column_with_two_tags_needs_both() -> None:
    given = with_rules(PII, MONEY)
    twice = replace(given, digest="twice", classify=(*given.classify, replace(given.classify[0], tag="finance.pay")))
    sql = "SELECT ssn FROM payroll.employees"
    for tags in (("pii.ssn",), ("finance.pay",)):
        judgement = judged(sql, twice, unmasked=grants(*tags))
        assert isinstance(judgement.decision, Rewrite)
        assert judgement.opened == ()
    judgement = judged(sql, twice, unmasked=grants("pii.ssn", "finance.pay"))
    assert hidden(judgement) == set()
    assert {o.tag for o in judgement.opened} == {"pii.ssn", "finance.pay"}


def test_what_is_seen_anyway_is_not_opened_by_a_grant() -> None:
    given = with_rules(PII, Unmask(("pii.ssn",), ("staff",), ref("open")))
    judgement = judged("SELECT ssn FROM payroll.employees", given, unmasked=grants("pii.ssn"))
    assert hidden(judgement) == set()
    assert judgement.opened == ()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM payroll.employees",
        "TABLE payroll.employees",
        "SELECT e FROM payroll.employees e",
        "SELECT count(*) FROM payroll.employees WHERE ssn LIKE '9%'",
        "SELECT number FROM payroll.directory",
        "COPY payroll.employees TO STDOUT",
        "COPY (SELECT ssn FROM payroll.employees) TO STDOUT",
        "EXPLAIN SELECT ssn FROM payroll.employees ORDER BY ssn",
        "PREPARE p AS SELECT ssn FROM payroll.employees",
        "DECLARE c CURSOR FOR SELECT ssn FROM payroll.employees",
        "WITH q AS (SELECT ssn AS s FROM payroll.employees) SELECT upper(s) FROM q",
    ],
)
def test_every_way_of_reading_says_what_it_shows(sql: str) -> None:
    judgement = judged(sql, with_rules(PII), unmasked=grants("pii.ssn"))
    assert "pii.ssn" not in hidden(judgement)
    shown = {str(o.column) for o in judgement.opened}
    assert shown & {"payroll.employees.ssn", "payroll.directory.number"}


def test_a_view_that_chooses_its_rows_by_an_opened_column_shows_them_as_a_whole() -> None:
    judgement = judged("SELECT id FROM payroll.rich", with_rules(MONEY), unmasked=grants("finance.pay"))
    assert hidden(judgement) == set()
    assert (ColumnName("payroll", "rich", "*"), "finance.pay") in {(o.column, o.tag) for o in judgement.opened}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE payroll.departments SET name = (SELECT ssn FROM payroll.employees LIMIT 1) WHERE id = 1",
        "UPDATE payroll.employees SET full_name = ssn WHERE id = 1",
        "UPDATE payroll.employees SET dept = 1 WHERE ssn LIKE '9%'",
        "INSERT INTO payroll.departments (name) SELECT ssn FROM payroll.employees",
        "DELETE FROM payroll.employees WHERE ssn = '1'",
        "CREATE TABLE public.kept AS SELECT ssn FROM payroll.employees",
        "SELECT ssn INTO public.kept FROM payroll.employees",
        "WITH gone AS (DELETE FROM payroll.departments WHERE id = 1 RETURNING id) SELECT ssn FROM payroll.employees, gone",
        "CREATE INDEX ON payroll.employees (ssn)",
    ],
)
def test_a_grant_never_helps_a_write(sql: str) -> None:
    given = with_rules(PII)
    without, under = judged(sql, given), judged(sql, given, unmasked=grants("pii.ssn"))
    assert under.decision == without.decision
    assert under.opened == ()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TEMP TABLE kept AS SELECT ssn FROM payroll.employees",
        "SELECT ssn INTO TEMP kept FROM payroll.employees",
        "UPDATE payroll.employees SET dept = 1 WHERE id = 1 RETURNING ssn",
        "SELECT ssn FROM payroll.employees FOR UPDATE",
    ],
)
def test_what_a_write_keeps_or_returns_stays_masked(sql: str) -> None:
    judgement = judged(sql, with_rules(PII), unmasked=grants("pii.ssn"))
    assert isinstance(judgement.decision, Rewrite)
    assert SSN in {m.column for m in judgement.decision.masked}
    assert judgement.opened == ()


def test_a_prepared_statement_does_not_outlive_the_grant() -> None:
    given = with_rules(PII)
    made = judged("PREPARE p AS SELECT ssn FROM payroll.employees", given, unmasked=grants("pii.ssn"))
    objects = made.changes.apply(SessionObjects())
    during = judged("EXECUTE p", given, unmasked=grants("pii.ssn"), objects=objects)
    assert hidden(during) == set()
    assert during.opened == (OpenedColumn(SSN, "pii.ssn", "g-pii.ssn"),)
    after = judged("EXECUTE p", given, objects=objects)
    assert isinstance(after.decision, Deny)
    assert "has changed" in after.decision.reason


def test_a_cursor_does_not_outlive_the_grant() -> None:
    given = with_rules(PII, MONEY)
    made = judged("DECLARE c CURSOR FOR SELECT ssn FROM payroll.employees", given, unmasked=grants("pii.ssn"))
    objects = made.changes.apply(SessionObjects())
    during = judged("FETCH 1 FROM c", given, unmasked=grants("pii.ssn", "finance.pay"), objects=objects)
    assert hidden(during) == set()
    assert during.opened == (OpenedColumn(SSN, "pii.ssn", "g-pii.ssn"),)
    for unmasked in (Unmasked(), grants("finance.pay")):
        after = judged("FETCH 1 FROM c", given, unmasked=unmasked, objects=objects)
        assert isinstance(after.decision, Deny)
        assert "has ended" in after.decision.reason
        assert after.opened == ()


def test_rules_and_denials_still_hold() -> None:
    given = replace(
        with_rules(PII),
        digest="strict",
        rules=(rule("read", access=(Access.READ,)), rule("never", "deny", tags=("pii.*",), message="not here")),
    )
    judgement = judged("SELECT ssn FROM payroll.employees", given, unmasked=grants("pii.ssn"))
    assert isinstance(judgement.decision, Deny)
    assert judgement.opened == ()


def test_statistics_of_opened_columns_stay_hidden() -> None:
    protection = protection_for(CATALOG, with_rules(PII), STAFF, grants("pii.ssn"))
    assert SSN in protection.hidden_everywhere


def test_constants_that_meet_opened_columns_are_recorded_masked() -> None:
    sql = "SELECT id FROM payroll.employees WHERE ssn = '123-45-6789'"
    judgement = judged(sql, with_rules(PII), unmasked=grants("pii.ssn"))
    assert isinstance(judgement.decision, Allow | Rewrite)
    assert "6789" in judgement.decision.text
    assert "6789" not in judgement.recorded_text + judgement.recorded_rewritten
    (source,) = split("SELECT id FROM payroll.employees WHERE ssn = :who", {"who": "123-45-6789"})
    bound = judge(source, Context(STAFF, with_rules(PII), CATALOG, "production", NOW, unmasked=grants("pii.ssn")))
    assert bound.recorded_parameters == ("***",)
