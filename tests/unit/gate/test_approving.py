"""What is asked when rules ask for approval: for the statement, the session, the transaction, or afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, NOW, STAFF, judged, policy, ref, rule

from dbgate.gate.approving import Held, Standing
from dbgate.gate.decide import Context, judge
from dbgate.gate.policy.model import Rule, When
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
from dbgate.model import (
    Access,
    Actor,
    Allow,
    Deny,
    HeldRule,
    Identity,
    Measured,
    NeedsApproval,
    NeedsMeasure,
    Relation,
    RequestKind,
    ReviewClause,
    Rewrite,
    SessionLimits,
)

DBA, OWNERS = ReviewClause(("dba",), 1), ReviewClause(("owners",), 1)
UPDATE = "UPDATE payroll.pay SET employee_id = 2 WHERE id = 1"


def counted(rows: int) -> Measured:
    return Measured(((Relation("payroll", "pay"), rows),))


def asking(name: str = "care", **more: object) -> Rule:
    """A rule that asks for approval of every write."""
    given = {"clauses": (DBA,), **more}
    return Rule(ref(name), When(access=(Access.WRITE,)), "approve", **given)  # type: ignore[arg-type]


def reading(name: str = "look") -> Rule:
    return Rule(ref(name), When(access=(Access.READ,)), "approve", clauses=(DBA,), at_commit=True)


READ = rule("read", access=(Access.READ,))
AT_COMMIT = policy(READ, asking(at_commit=True, message="mind", expires_s=60))


def test_what_waits_for_the_commit_runs_in_a_transaction_only() -> None:
    held = judged(UPDATE, AT_COMMIT, in_transaction=True).decision
    assert isinstance(held, Allow | Rewrite)
    assert held.held == (HeldRule(ref("care"), (DBA,), "mind", 60),)
    alone = judged(UPDATE, AT_COMMIT).decision
    assert isinstance(alone, NeedsApproval | NeedsMeasure)


def test_a_rule_that_does_not_wait_asks_at_once_in_a_transaction_too() -> None:
    given = policy(READ, asking(at_commit=True), asking("now", clauses=(OWNERS,)))
    decision = judged(UPDATE, given, in_transaction=True, measured=counted(1)).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.rules == (ref("now"),)
    assert [held.rule for held in decision.run.held] == [ref("care")]


def test_what_was_read_cannot_wait_for_the_commit() -> None:
    decision = judged("SELECT id FROM payroll.pay", policy(reading()), in_transaction=True).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.kind is RequestKind.STATEMENT


def held_rule(name: str, clause: ReviewClause, expires_s: int, message: str = "") -> HeldRule:
    return HeldRule(ref(name), (clause,), message, expires_s)


HELD = (
    Held("UPDATE a SET x = $1;", ("1",), (held_rule("care", DBA, 60),), {"payroll.pay": 2}),
    Held("DELETE FROM b", (), (held_rule("other", OWNERS, 30, "mind"), held_rule("care", DBA, 60)), {"payroll.pay": 3}),
    Held("INSERT INTO c VALUES ($1)", (None,), (), {"public.log": 1}),
)


def test_a_commit_asks_for_what_its_transaction_left_open() -> None:
    decision = judged("COMMIT", AT_COMMIT, in_transaction=True, held=HELD).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.kind is RequestKind.TRANSACTION
    assert decision.clauses == (DBA, OWNERS)
    assert decision.rules == (ref("care"), ref("other"))
    assert (decision.reason, decision.expires_s) == ("mind", 30)
    assert decision.changed == {"payroll.pay": 5, "public.log": 1}
    assert decision.parameters == ("1", None)
    assert decision.statement == (
        "-- $1 here is parameter 1\nUPDATE a SET x = $1;\nDELETE FROM b;\n"
        "-- $1 here is parameter 2\nINSERT INTO c VALUES ($1);\n"
    )
    assert isinstance(decision.run, Allow)


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("ROLLBACK", {"in_transaction": True, "held": HELD}),
        ("SAVEPOINT s", {"in_transaction": True, "held": HELD}),
        ("SELECT id FROM payroll.pay", {"in_transaction": True, "held": HELD}),
        ("COMMIT", {"in_transaction": True, "held": HELD[2:]}),
        ("COMMIT", {"in_transaction": True}),
        ("COMMIT", {"held": HELD}),
    ],
)
def test_nothing_else_waits(sql: str, more: dict[str, Any]) -> None:
    assert isinstance(judged(sql, AT_COMMIT, **more).decision, Allow | Rewrite)


def test_a_denied_commit_stays_denied() -> None:
    given = policy(READ, rule("never", "deny", verbs=("commit",)))
    assert isinstance(judged("COMMIT", given, in_transaction=True, held=HELD).decision, Deny)


@pytest.mark.parametrize("in_transaction", [True, False])
def test_a_prepared_statement_cannot_wait(in_transaction: bool) -> None:
    open_for_all = policy(READ, rule("write", access=(Access.WRITE,)))
    prepared = judged(f"PREPARE p AS {UPDATE}", open_for_all)
    assert isinstance(prepared.decision, Allow | Rewrite)
    objects = prepared.changes.apply(SessionObjects())
    assert isinstance(judged("EXECUTE p", open_for_all, objects=objects).decision, Allow | Rewrite)
    more = {"objects": objects, "in_transaction": in_transaction, "measured": counted(1)}
    decision = judged("EXECUTE p", AT_COMMIT, **more).decision  # type: ignore[arg-type]
    assert isinstance(decision, Deny), decision
    assert "a prepared statement cannot wait for approval" in decision.reason


def test_what_waits_for_approval_is_recorded_with_the_text_that_would_run() -> None:
    given = policy(Rule(ref("care"), When(access=(Access.READ,)), "approve", clauses=(DBA,)))
    judgement = judged("SELECT iban FROM payroll.pay", given)
    assert isinstance(judgement.decision, NeedsApproval)
    assert "'***'" in judgement.recorded_rewritten


def test_a_cursor_that_needs_approval_is_tracked_when_it_has_run() -> None:
    given = policy(Rule(ref("care"), When(access=(Access.READ,)), "approve", clauses=(DBA,)))
    judgement = judged("DECLARE c CURSOR FOR SELECT iban FROM payroll.pay", given, in_transaction=True)
    assert isinstance(judgement.decision, NeedsApproval)
    cursor = judgement.changes.apply(SessionObjects()).cursors["c"]
    assert cursor.masked == (0,)
    denied = judged("DECLARE c CURSOR FOR SELECT iban FROM payroll.pay", policy(rule("w", access=(Access.WRITE,))))
    assert denied.changes.apply(SessionObjects()).cursors == {}


# -- standing grants -------------------------------------------------------------------------------------------------

ASKED = str(ref("care"))


def decided(standing: Standing, measured: Measured | None = None) -> object:
    given = policy(READ, asking(session=SessionLimits(rows=10)))
    return judged(UPDATE, given, standing=(standing,), measured=measured).decision


@pytest.mark.parametrize("left", [SessionLimits(), SessionLimits(statements=1), SessionLimits(rows=3)])
def test_a_session_grant_lets_its_own_rules_pass(left: SessionLimits) -> None:
    passed = decided(Standing("g1", (ASKED,), left), counted(3))
    assert isinstance(passed, Allow | Rewrite)
    assert (passed.under, passed.measured) == (("g1",), counted(3))


@pytest.mark.parametrize(
    ("standing", "measured"),
    [
        (Standing("g1", ("another (test.yaml:1)",)), 3),
        (Standing("g1", (ASKED,), SessionLimits(statements=0)), 3),
        (Standing("g1", (ASKED,), SessionLimits(rows=2)), 3),
    ],
)
def test_another_grant_and_one_that_is_used_up_do_not(standing: Standing, measured: int) -> None:
    assert isinstance(decided(standing, counted(measured)), NeedsApproval)


def test_rows_that_were_not_counted_may_be_too_many() -> None:
    decision = decided(Standing("g1", (ASKED,), SessionLimits(rows=2)))
    assert isinstance(decision, NeedsMeasure)
    assert isinstance(decision.otherwise, NeedsApproval)


def test_a_session_grant_is_asked_for_with_the_narrowest_limits() -> None:
    given = policy(
        READ,
        asking(session=SessionLimits(statements=5, rows=100)),
        asking("more", session=SessionLimits(statements=9, rows=20), clauses=(OWNERS,)),
        asking("free", session=SessionLimits()),
        asking("few", session=SessionLimits(rows=2)),
        asking("once", clauses=(OWNERS,)),
    )
    decision = judged(UPDATE, given, measured=counted(3)).decision
    assert isinstance(decision, NeedsApproval)
    assert decision.kind is RequestKind.SESSION
    assert decision.limits == SessionLimits(5, 20)
    # Not for the rule whose limit this statement alone would exceed.
    assert decision.rules == (ref("care"), ref("more"), ref("free"))


def test_reviewers_see_a_sample_of_a_statement_and_of_a_session_not_after_broken_glass() -> None:
    for given in (asking(), asking(session=SessionLimits())):
        judgement = judged(UPDATE, policy(READ, given), measured=counted(1))
        assert isinstance(judgement.decision, NeedsApproval)
        assert "payroll.pay" in str(judgement.sample)
    (source,) = split(UPDATE)
    context = Context(ONCALL, policy(READ, GLASS), CATALOG, "production", NOW, measured=counted(1))
    assert judge(source, context).sample == ()
    assert judged(UPDATE, measured=counted(1)).sample == ()


# -- break glass -----------------------------------------------------------------------------------------------------


def broken(who: Identity, *rules: Rule) -> NeedsApproval:
    (source,) = split(UPDATE)
    measured = counted(1)
    decision = judge(source, Context(who, policy(READ, *rules), CATALOG, "production", NOW, measured=measured)).decision
    assert isinstance(decision, NeedsApproval)
    return decision


GLASS = asking(break_glass=("oncall",), uses=3)
ONCALL = replace(STAFF, groups=("staff", "oncall"))


def test_people_of_the_group_break_the_glass() -> None:
    decision = broken(ONCALL, GLASS)
    assert (decision.kind, decision.break_glass, decision.uses) == (RequestKind.BREAK_GLASS, ("oncall",), 1)


@pytest.mark.parametrize(
    ("who", "rules"),
    [
        (STAFF, (GLASS,)),
        (replace(ONCALL, actor=Actor.SERVICE), (GLASS,)),
        (replace(ONCALL, on_behalf_of="sam"), (GLASS,)),
        (ONCALL, (GLASS, asking("other"))),
    ],
)
def test_nobody_else_breaks_the_glass(who: Identity, rules: tuple[Rule, ...]) -> None:
    decision = broken(who, *rules)
    assert decision.kind is RequestKind.STATEMENT
    assert decision.break_glass == ()
