"""The life of one statement as a trace: effects out, replies in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from dbgate.binding import binding
from dbgate.errors import (
    AuditUnavailable,
    ConnectionLost,
    DbgateError,
    Interrupted,
    SignInRequired,
    StatementError,
    Unreachable,
)
from dbgate.gate.decide import Judgement
from dbgate.gate.policy.model import Limits
from dbgate.gate.syntax import Source, split
from dbgate.gate.tracking import Changes
from dbgate.model import (
    Access,
    Allow,
    ColumnName,
    CountQuery,
    Decision,
    Deny,
    Grant,
    Identity,
    LabelledColumn,
    MaskedColumn,
    Measured,
    NeedsApproval,
    NeedsMeasure,
    Outcome,
    Relation,
    ReviewClause,
    Rewrite,
    RuleRef,
    Statement,
    Target,
    Touch,
    TransactionStatus,
)
from dbgate.session.effects import (
    AskApproval,
    Effect,
    Exceeded,
    Failed,
    Finished,
    Measure,
    Record,
    Refresh,
    Refused,
    Run,
    Show,
)
from dbgate.session.life import Judge, statement_life, unreadable_life
from dbgate.session.records import Terms

ALICE = Identity("https://login.example.com/t", "alice", email="alice@example.com", groups=("engineering",))
TARGET = Target("payroll", "postgres", "postgresql:///payroll", environment="production")
TERMS = Terms(ALICE, TARGET, "sha256:policy", "01session", reason="month end")
EMPLOYEES = Relation("payroll", "employees", 16401)
PAY = Relation("payroll", "pay", 16402)
SSN = ColumnName("payroll", "employees", "ssn")
RULE = RuleRef("bulk", "payroll.yaml", 12)
DONE = Outcome("SELECT 1", rows=1, size_bytes=10, digest="ab")
COUNT = CountQuery(EMPLOYEES, "SELECT count(*) FROM payroll.employees")
COUNT_PAY = CountQuery(PAY, "SELECT count(*) FROM payroll.pay")


def source(text: str = "SELECT ssn FROM employees") -> Source:
    return split(text)[0]


def judgement(
    decision: Decision, *, access: Access = Access.READ, text: str = "SELECT ssn FROM employees"
) -> Judgement:
    verb = "select" if access is Access.READ else "update"
    statement = Statement(text, source(text).tree, verb, access, touches=(Touch(verb, access, EMPLOYEES),))
    return Judgement(
        statement,
        decision,
        ("pii.ssn",),
        text,
        recorded_rewritten="SELECT '***'",
        changes=Changes(catalog=True),
        columns=(SSN,),
        labelled=(LabelledColumn(SSN, "pii.ssn", hidden=True),),
    )


def always(decision: Decision, **options: Any) -> Judge:
    return lambda source, measured: judgement(decision, text=source.text, **options)


def by_measure(before: Decision, after: Callable[[Measured], Decision]) -> Judge:
    def judge(source: Source, measured: Measured | None) -> Judgement:
        return judgement(before if measured is None else after(measured), access=Access.WRITE, text=source.text)

    return judge


REWRITE = Rewrite(
    "SELECT '***' AS ssn FROM payroll.employees",
    (RuleRef("staff-read", "payroll.yaml", 3),),
    masked=(MaskedColumn(SSN, "pii.ssn", "redact"),),
    output=(0,),
)


class Trace:
    """Drives a life: replies come from a table by effect type, errors are thrown in."""

    def __init__(self, life: Any, replies: dict[type, Any] | None = None, fails: dict[str, DbgateError] | None = None):
        self.effects: list[Effect] = []
        self.replies = {Run: DONE, Refresh: False, **(replies or {})}
        self.fails = dict(fails or {})
        self.finished = self._drive(life)

    def _drive(self, life: Any) -> Finished:
        reply: Any = None
        error: DbgateError | None = None
        try:
            while True:
                effect = life.throw(error) if error else life.send(reply)
                self.effects.append(effect)
                error = self.fails.get(self.name(effect))
                reply = self.replies.get(type(effect))
                if isinstance(reply, list):
                    reply = reply.pop(0)
                if isinstance(reply, DbgateError):
                    error, reply = reply, None
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    @staticmethod
    def name(effect: Effect) -> str:
        return effect.kind if isinstance(effect, Record) else type(effect).__name__

    @property
    def names(self) -> list[str]:
        return [self.name(effect) for effect in self.effects]

    def record(self, kind: str) -> dict[str, Any]:
        return next(dict(e.fields) for e in self.effects if isinstance(e, Record) and e.kind == kind)

    @property
    def shown(self) -> list[tuple[str, str, str]]:
        return [(e.level, e.text, e.hint) for e in self.effects if isinstance(e, Show)]

    @property
    def run(self) -> Run:
        return next(e for e in self.effects if isinstance(e, Run))


def live(judge: Judge, *, terms: Terms = TERMS, text: str = "SELECT ssn FROM employees", **options: Any) -> Trace:
    transaction = options.pop("transaction", TransactionStatus.IDLE)
    return Trace(statement_life(source(text), 7, terms, judge, transaction), **options)


def test_an_intent_is_durable_before_the_run_and_the_outcome_follows() -> None:
    trace = live(always(REWRITE))
    assert trace.names == ["statement.intent", "Run", "Capture", "statement.outcome", "Adopt"]
    intent = trace.effects[0]
    assert isinstance(intent, Record)
    assert intent.durable
    assert intent.fields == {
        "id": 7,
        "text": "SELECT ssn FROM employees",
        "parameters": [],
        "verb": "select",
        "access": "read",
        "relations": ["payroll.employees"],
        "writes": [],
        "columns": ["payroll.employees.ssn"],
        "tags": ["pii.ssn"],
        "labelled": [{"column": "payroll.employees.ssn", "tag": "pii.ssn", "hidden": True}],
        "decision": "rewrite",
        "rules": ["staff-read (payroll.yaml:3)"],
        "reason": "month end",
        "rewritten": "SELECT '***'",
        "masked": ["payroll.employees.ssn"],
        "lineage_known": True,
    }
    assert trace.run == Run(REWRITE.text, (), 7, masked=(0,), reads=True, tables=(16401,))
    outcome = trace.record("statement.outcome")
    assert (outcome["id"], outcome["status"], outcome["rows"], outcome["bytes"]) == (7, "SELECT 1", 1, 10)
    assert (outcome["masked"], outcome["digest"]) == (["payroll.employees.ssn"], "ab")
    assert trace.finished == Finished(7, 0, "rewrite", {"status": "SELECT 1", "rows": 1})


def test_the_outcome_of_a_change_is_durable() -> None:
    trace = live(always(Allow("UPDATE t SET a = 1"), access=Access.WRITE))
    outcome = trace.effects[3]
    assert isinstance(outcome, Record)
    assert outcome.kind == "statement.outcome"
    assert outcome.durable


def test_a_predicate_on_a_mask_is_told_before_the_run() -> None:
    trace = live(always(replace(REWRITE, predicates=(SSN,))))
    assert trace.names[:4] == ["notice", "Show", "statement.intent", "Run"]
    assert trace.shown == [("notice", "compared on its mask: payroll.employees.ssn", "")]


@pytest.mark.parametrize("failing", ["statement.intent", "notice"])
def test_nothing_runs_when_the_intent_cannot_be_recorded(failing: str) -> None:
    full = AuditUnavailable("no space left on device")
    trace = live(always(replace(REWRITE, predicates=(SSN,))), fails={failing: full})
    assert "Run" not in trace.names
    assert trace.finished.exit_code == 6
    assert trace.finished.closes
    assert trace.shown[-1][1] == "nothing was run, for it cannot be recorded: no space left on device"


@pytest.mark.parametrize("failing", ["statement.outcome", "Capture"])
def test_an_outcome_that_cannot_be_recorded_ends_the_session(failing: str) -> None:
    trace = live(always(REWRITE), fails={failing: AuditUnavailable("no space left on device")})
    assert "Adopt" not in trace.names
    assert trace.finished.exit_code == 6
    assert trace.finished.closes
    assert trace.shown[0][1].startswith("the statement ran, but its outcome cannot be recorded")


def test_a_denial_is_recorded_and_named() -> None:
    decision = Deny(
        "Schema changes go through migrations.", (RuleRef("no-destruction", "payroll.yaml", 9),), "ask a dba"
    )
    trace = live(always(decision))
    assert trace.names == ["statement.intent", "notice", "Show"]
    assert trace.record("statement.intent")["decision"] == "deny"
    assert trace.record("statement.intent")["denied"] == "Schema changes go through migrations."
    assert trace.shown == [
        ("denied", "rule no-destruction (payroll.yaml:9): Schema changes go through migrations.", "ask a dba")
    ]
    assert (trace.finished.exit_code, trace.finished.decision) == (3, "deny")


def test_a_denial_that_cannot_be_recorded_is_still_no_run() -> None:
    trace = live(always(Deny("no")), fails={"statement.intent": AuditUnavailable("disk full")})
    assert "Run" not in trace.names
    assert trace.finished.exit_code == 6


def test_a_text_that_is_no_sql_is_recorded_without_its_literals() -> None:
    script = "SELECT 1;\nSELECT * FORM employees WHERE ssn = '123-45-6789' AND pin = 4711"
    error = StatementError('syntax error at or near "employees"', sqlstate="42601", position=script.index("FORM") + 1)
    trace = Trace(unreadable_life(error, script, 1, TERMS))
    assert trace.names == ["statement.intent", "Abort", "Show"]
    record = trace.record("statement.intent")
    assert record["decision"] == "error"
    assert record["text"] == "SELECT '***'; SELECT * FORM employees WHERE ssn = '***' AND pin = '***'"
    assert record["error"] == "syntax error at or near …"
    level, text, _ = trace.shown[0]
    assert level == "error"
    first, line, caret = text.split("\n")
    assert first == 'syntax error at or near "employees"'
    assert line == "LINE 2: SELECT * FORM employees WHERE ssn = '123-45-6789' AND pin = 4711"
    assert caret.index("^") == line.index("FORM")
    assert trace.finished == Finished(1, 1, "error", {"sqlstate": "42601"})


def test_the_gate_refusing_to_read_a_statement_is_an_error_on_record() -> None:
    def judge(source: Source, measured: Measured | None) -> Judgement:
        raise StatementError('relation "employes" does not exist', sqlstate="42P01", hint="did you mean employees?")

    trace = live(judge)
    assert trace.names == ["Refresh", "statement.intent", "notice", "Abort", "Show"]
    assert trace.record("statement.intent")["decision"] == "error"
    assert trace.finished.exit_code == 1


def test_in_a_failed_transaction_every_error_is_the_servers() -> None:
    def judge(source: Source, measured: Measured | None) -> Judgement:
        raise StatementError('relation "employes" does not exist', sqlstate="42P01", hint="did you mean employees?")

    trace = live(judge, transaction=TransactionStatus.FAILED)
    assert trace.names == ["statement.intent", "notice", "Abort", "Show"]
    assert trace.shown[0][1].startswith("current transaction is aborted, commands ignored")
    assert trace.finished.detail["sqlstate"] == "25P02"


def test_a_relation_that_was_made_since_the_catalog_was_read_is_found_at_the_second_look() -> None:
    looks: list[Source] = []

    def judge(source: Source, measured: Measured | None) -> Judgement:
        looks.append(source)
        if len(looks) == 1:
            raise StatementError('relation "fresh" does not exist', sqlstate="42P01")
        return always(Allow("SELECT 1"))(source, measured)

    trace = live(judge, replies={Refresh: True})
    assert trace.names[:3] == ["Refresh", "statement.intent", "Run"]
    assert trace.finished.exit_code == 0
    assert len(looks) == 2


def test_a_measure_is_announced_counted_and_judged_again() -> None:
    trace = live(
        by_measure(NeedsMeasure((COUNT,), (RULE,)), lambda measured: Allow(f"UPDATE {measured.total}")),
        replies={Measure: Measured(((EMPLOYEES, 12),))},
    )
    assert trace.names[:4] == ["notice", "Measure", "statement.intent", "Run"]
    announced = trace.effects[0]
    assert isinstance(announced, Record)
    assert announced.durable
    assert trace.run.text == "UPDATE 12"


def test_a_gate_that_never_stops_measuring_is_a_denial() -> None:
    trace = live(always(NeedsMeasure((COUNT,), (RULE,))), replies={Measure: Measured(())})
    assert "Run" not in trace.names
    assert trace.finished.exit_code == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StatementError("division by zero", sqlstate="22012"), 1),
        (ConnectionLost("gone"), 7),
        (Interrupted("stop"), 130),
    ],
)
def test_a_measure_that_fails_runs_nothing(error: DbgateError, code: int) -> None:
    trace = live(always(NeedsMeasure((COUNT,))), replies={Measure: error})
    assert "Run" not in trace.names
    assert trace.finished.exit_code == code
    assert bool(trace.finished.closes) == (code == 7)


UPDATE = "UPDATE employees SET salary = 1"
BOUND = binding(identity=ALICE.key, target="payroll", statement=UPDATE, parameters=(), policy_digest="sha256:policy")


def grant(**changes: Any) -> Grant:
    values: dict[str, Any] = {
        "id": "g1",
        "request": "r1",
        "identity": ALICE.key,
        "target": "payroll",
        "binding": BOUND,
        "policy_digest": "sha256:policy",
        "approved_by": ("bob@example.com",),
        "expires_at": datetime(2030, 1, 1, tzinfo=UTC),
        "uses": 1,
        "measured": {"payroll.employees": 120, "payroll.pay": 240},
        "clauses": (ReviewClause(("dba",)),),
    }
    return Grant(**(values | changes))


def approval(measured: Measured) -> NeedsApproval:
    return NeedsApproval(
        (ReviewClause(("dba",)),), (RULE,), Allow("UPDATE payroll.employees SET salary = 1"), "bulk", 600, measured
    )


def held(
    reply: Any,
    *,
    rows: Sequence[tuple[Relation, int]] = ((EMPLOYEES, 120), (PAY, 240)),
    terms: Terms = TERMS,
    run: Any = DONE,
) -> Trace:
    return live(
        by_measure(NeedsMeasure((COUNT, COUNT_PAY), (RULE,)), approval),
        text=UPDATE,
        terms=terms,
        replies={Measure: Measured(tuple(rows)), AskApproval: reply, Run: run},
    )


def test_a_grant_does_not_do_where_the_policy_asks_for_others_by_now() -> None:
    asked: list[ReviewClause] = []

    def judge(source: Source, measured: Measured | None) -> Judgement:
        if measured is None:
            return judgement(NeedsMeasure((COUNT, COUNT_PAY), (RULE,)), access=Access.WRITE, text=source.text)
        asked.append(ReviewClause(("dba" if not asked else "cfo",)))
        return judgement(
            msgspec.structs.replace(approval(measured), clauses=(asked[-1],)), access=Access.WRITE, text=source.text
        )

    replies = {Measure: Measured(((EMPLOYEES, 120), (PAY, 240))), AskApproval: grant()}
    trace = live(judge, text=UPDATE, replies=replies)
    assert [clause.groups for clause in asked] == [("dba",), ("cfo",)]
    assert "Run" not in trace.names
    assert trace.shown[-1][1].endswith("the policy asks for another approval by now")
    assert trace.finished.exit_code == 3


def test_an_approved_statement_runs_within_what_was_approved() -> None:
    trace = held(grant())
    assert trace.names == [
        "notice",
        "Measure",
        "approval.requested",
        "AskApproval",
        "approval.redeemed",
        "statement.intent",
        "Run",
        "Capture",
        "statement.outcome",
        "Adopt",
    ]
    asked = next(e for e in trace.effects if isinstance(e, AskApproval)).request
    assert (asked.binding, asked.statement, asked.measured) == (BOUND, UPDATE, grant().measured)
    assert (asked.reason, asked.message, asked.session) == ("month end", "bulk", "01session")
    assert trace.record("approval.redeemed")["approved_by"] == ["bob@example.com"]
    intent = trace.record("statement.intent")
    assert (intent["decision"], intent["grant"], intent["request"]) == ("approve", "g1", "r1")
    assert trace.run.at_most == 120
    assert trace.run.recount == (COUNT, COUNT_PAY)
    assert trace.run.allowed == grant().measured
    assert trace.finished.exit_code == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"binding": "sha256:other"}, "for something else"),
        ({"target": "other"}, "for something else"),
        ({"policy_digest": "sha256:older"}, "for something else"),
        ({"identity": "https://login.example.com/t#mallory"}, "to somebody else"),
        ({"measured": {"payroll.employees": 119, "payroll.pay": 240}}, "touches 120 rows of payroll.employees now"),
        ({"measured": {"payroll.employees": 120}}, "touches 240 rows of payroll.pay now"),
        ({"measured": {}}, "touches 120 rows"),
        ({"clauses": ()}, "lacks reviewers: dba (1)"),
        ({"clauses": (ReviewClause(("friends",)),)}, "lacks reviewers: dba (1)"),
    ],
)
def test_a_grant_that_does_not_fit_runs_nothing(changes: dict[str, Any], why: str) -> None:
    trace = held(grant(**changes))
    assert "Run" not in trace.names
    assert trace.finished.exit_code == 3
    assert trace.shown[-1][0] == "denied"
    assert why in trace.shown[-1][1]
    assert trace.record("statement.intent")["decision"] == "deny"


def test_a_run_beyond_its_grant_is_rolled_back_and_denied() -> None:
    trace = held(grant(), run=Exceeded(121, 120, "payroll.employees"))
    assert "Adopt" not in trace.names
    outcome = trace.record("statement.outcome")
    assert (outcome["status"], outcome["message"]) == ("rolled back", "121 rows of payroll.employees, approved for 120")
    assert trace.shown[-1][1] == "approved for 120 rows of payroll.employees but touches 121: rolled back"
    assert trace.finished.exit_code == 3


@pytest.mark.parametrize(
    ("status", "record", "level", "code"),
    [
        ("pending", "approval.pending", "notice", 4),
        ("denied", "approval.denied", "denied", 4),
        ("expired", "approval.expired", "denied", 4),
        ("withdrawn", "approval.withdrawn", "denied", 4),
        ("refused", "approval.refused", "denied", 4),
        ("interrupted", "approval.pending", "notice", 130),
    ],
)
def test_without_a_grant_nothing_runs(status: str, record: str, level: str, code: int) -> None:
    trace = held(Refused(status, "r1", "bob: too much"))
    assert "Run" not in trace.names
    assert trace.names[-5:] == [record, "statement.intent", "statement.outcome", "notice", "Show"]
    assert trace.record("statement.outcome")["status"] == "not run"
    assert trace.record("statement.intent")["request"] == "r1"
    assert trace.shown[-1][0] == level
    assert "bob: too much" in trace.shown[-1][1]
    assert trace.finished.exit_code == code
    assert trace.finished.detail["request"] == "r1"
    if status == "pending":
        assert trace.shown[-1][2] == "once it is approved: dbgate exec payroll … --request r1"


@pytest.mark.parametrize(
    ("error", "code"), [(Unreachable("no approvals service"), 7), (SignInRequired("token expired"), 5)]
)
def test_an_unreachable_approvals_service_runs_nothing(error: DbgateError, code: int) -> None:
    trace = held(error)
    assert "Run" not in trace.names
    assert trace.record("statement.intent")["error"] == error.message
    assert trace.record("statement.outcome")["status"] == "not run"
    assert trace.finished.exit_code == code
    assert trace.finished.closes == ""


def test_nothing_is_asked_when_the_question_cannot_be_recorded() -> None:
    trace = live(
        by_measure(NeedsMeasure((COUNT,)), approval),
        text=UPDATE,
        replies={Measure: Measured(((EMPLOYEES, 120),))},
        fails={"approval.requested": AuditUnavailable("disk full")},
    )
    assert "AskApproval" not in trace.names
    assert trace.finished.exit_code == 6


@pytest.mark.parametrize(
    ("error", "status", "code", "closes"),
    [
        (StatementError("division by zero", sqlstate="22012"), "error", 1, ""),
        (ConnectionLost("the connection broke"), "unknown", 7, "connection lost"),
        (Interrupted("cancelled"), "cancelled", 130, ""),
        (Interrupted("interrupted"), "unknown", 130, "interrupted"),
    ],
)
def test_a_run_that_fails_leaves_an_outcome(error: DbgateError, status: str, code: int, closes: str) -> None:
    sqlstate = getattr(error, "sqlstate", "")
    trace = live(
        always(REWRITE), replies={Run: Failed(error, Outcome(status, sqlstate=sqlstate, message=error.message))}
    )
    assert trace.names == ["statement.intent", "Run", "Capture", "statement.outcome", "Show"]
    outcome = trace.record("statement.outcome")
    assert (outcome["status"], outcome.get("sqlstate", ""), outcome["message"]) == (status, sqlstate, error.message)
    assert (trace.finished.exit_code, trace.finished.closes) == (code, closes)


def test_an_error_points_into_the_text_only_when_that_text_was_sent() -> None:
    error = StatementError("division by zero", sqlstate="22012", position=8)
    failed = Failed(error, Outcome("error", sqlstate="22012", message=error.message))
    same = live(always(Allow("SELECT 1/0")), text="SELECT 1/0", replies={Run: failed})
    assert same.shown[-1][1] == "division by zero\nLINE 1: SELECT 1/0\n               ^"
    other = live(always(REWRITE), replies={Run: failed})
    assert other.shown[-1][1] == "division by zero"
    spliced = live(always(replace(REWRITE, edits=((16, 25, 50),))), replies={Run: failed})
    assert spliced.shown[-1][1] == "division by zero\nLINE 1: SELECT ssn FROM employees\n               ^"
    within = replace(failed, error=StatementError("division by zero", sqlstate="22012", position=40))
    masked = live(always(replace(REWRITE, edits=((16, 25, 50),))), replies={Run: within})
    assert masked.shown[-1][1] == "division by zero"


DRIFT = Failed(
    StatementError("column does not exist", sqlstate="42703"),
    Outcome("error", sqlstate="42703", message="column does not exist"),
)


def test_a_drifted_catalog_is_read_again_and_the_statement_repeated_once() -> None:
    trace = live(always(REWRITE), replies={Run: [DRIFT, DONE], Refresh: True})
    first = ["statement.intent", "Run", "Capture", "statement.outcome"]
    assert trace.names == [*first, "Refresh", *first, "Adopt"]
    intents = [e.fields for e in trace.effects if isinstance(e, Record) and e.kind == "statement.intent"]
    assert [i.get("again") for i in intents] == [None, True]
    assert trace.finished.exit_code == 0
    endless = live(always(REWRITE), replies={Run: DRIFT, Refresh: True})
    assert endless.names.count("Run") == 2
    assert endless.finished.exit_code == 1


@pytest.mark.parametrize(
    ("transaction", "changed", "judge"),
    [
        (TransactionStatus.OPEN, True, always(REWRITE)),
        (TransactionStatus.IDLE, False, always(REWRITE)),
        (TransactionStatus.IDLE, True, always(Allow("SELECT ssn FROM employees"))),
    ],
)
def test_no_second_run_in_a_transaction_without_drift_or_without_rewriting(
    transaction: TransactionStatus, changed: bool, judge: Judge
) -> None:
    trace = live(judge, replies={Run: DRIFT, Refresh: changed}, transaction=transaction)
    assert trace.names.count("Run") == 1
    assert trace.names.count("Refresh") == 1
    assert trace.finished.exit_code == 1


def test_a_grant_is_never_spent_twice() -> None:
    trace = held(grant(), run=DRIFT)
    assert trace.names.count("Run") == 1


@pytest.mark.parametrize(
    ("decision", "word", "code"),
    [
        (REWRITE, "it would run rewritten", 0),
        (Allow("SELECT 1"), "it would run", 0),
        (approval(Measured(())), "it would need approval", 4),
        (Deny("no"), "no", 3),
    ],
)
def test_a_dry_run_records_and_runs_nothing(decision: Decision, word: str, code: int) -> None:
    trace = live(always(decision), terms=msgspec.structs.replace(TERMS, dry_run=True))
    assert {"Run", "AskApproval", "approval.requested"}.isdisjoint(trace.names)
    assert trace.record("statement.intent")["dry_run"] is True
    assert ("statement.outcome" in trace.names) == (code != 3)
    assert word in trace.shown[-1][1]
    assert trace.finished.exit_code == code


def test_a_required_reason_is_asked_for_before_anything_else() -> None:
    trace = live(always(REWRITE), terms=msgspec.structs.replace(TERMS, reason="", reason_required=True))
    assert trace.names == ["statement.intent", "notice", "Show"]
    assert "--reason" in trace.shown[-1][2]
    assert trace.finished.exit_code == 2


def test_limits_go_with_the_run_and_a_cut_result_is_told() -> None:
    limits = Limits(rows=10, bytes=1000)
    trace = live(
        always(REWRITE),
        terms=msgspec.structs.replace(TERMS, limits=limits),
        replies={Run: Outcome("SELECT 10", rows=10, truncated=True, message="cut")},
    )
    assert (trace.run.max_rows, trace.run.max_bytes) == (10, 1000)
    assert trace.record("statement.outcome")["truncated"] is True
    assert trace.shown == [
        (
            "notice",
            "the result was cut after 10 rows",
            "the policy allows 10 rows and 1000 bytes a statement; narrow it down",
        )
    ]
    assert trace.names[-3:] == ["Adopt", "notice", "Show"]


def test_every_run_is_preceded_by_its_own_intent() -> None:
    for trace in (live(always(REWRITE)), held(grant()), live(always(REWRITE), replies={Run: DRIFT, Refresh: True})):
        for index, effect in enumerate(trace.effects):
            if isinstance(effect, Run):
                before = trace.effects[index - 1]
                assert isinstance(before, Record)
                assert (before.kind, before.durable) == ("statement.intent", True)
