"""A session as a trace: scripts in, calls on the ports out, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from dbgate.catalog import Catalog, CatalogRelation
from dbgate.counters import Counters
from dbgate.errors import AuditUnavailable, ConnectionLost, DbgateError, Interrupted, StatementError, UsageError
from dbgate.gate.decide import Context, Judgement
from dbgate.gate.policy.model import Limits, Policy
from dbgate.gate.script import read_script
from dbgate.gate.syntax import Source
from dbgate.gate.tracking import Changes
from dbgate.model import (
    Access,
    Allow,
    ApprovalRequest,
    Column,
    CountQuery,
    Decision,
    Deny,
    Grant,
    Identity,
    Json,
    NeedsApproval,
    NeedsMeasure,
    Outcome,
    Relation,
    ReviewClause,
    Statement,
    Target,
    TransactionStatus,
)
from dbgate.session.driver import SessionDriver
from dbgate.session.effects import Run
from dbgate.session.ports import RequestState, Rows
from dbgate.session.running import Cancellation, Runner

ALICE = Identity("https://login.example.com/t", "alice", groups=("engineering",))
TARGET = Target("payroll", "postgres", "postgresql:///payroll", environment="production")
EMPLOYEES = Relation("payroll", "employees", 1)
IDLE, OPEN, FAILED = TransactionStatus.IDLE, TransactionStatus.OPEN, TransactionStatus.FAILED
CATALOG = Catalog("payroll", "app", 180000, ("payroll", "public"), "f1", ("payroll", "public"), ())


@dataclass
class Log:
    """What happened, in order."""

    events: list[str] = field(default_factory=list)

    def __call__(self, event: str) -> None:
        self.events.append(event)


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at


class Transcript:
    def __init__(self, log: Log) -> None:
        self.log = log
        self.records: list[tuple[str, Mapping[str, Json]]] = []
        self.full_at: str = ""
        self.totals: Mapping[str, Json] | None = None

    session = "01session"

    def record(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> int:
        if kind == self.full_at:
            raise AuditUnavailable("disk full")
        self.log(f"record {kind}{' durable' if durable else ''}")
        self.records.append((kind, fields))
        return len(self.records)

    def close(self, totals: Mapping[str, Json]) -> None:
        self.log("record session.end")
        self.totals = totals

    def of(self, kind: str) -> list[Mapping[str, Json]]:
        return [fields for k, fields in self.records if k == kind]


class Result:
    def __init__(self, batches: Sequence[Any], status: str, affected: int) -> None:
        self.columns = (Column("n", "integer"),) if batches else ()
        self.status = status
        self.affected = affected
        self._batches = batches

    def batches(self) -> Iterator[list[tuple[str | None, ...]]]:
        for batch in self._batches:
            if isinstance(batch, DbgateError):
                raise batch
            yield batch() if callable(batch) else batch

    def close(self) -> None: ...


class FakeDatabase:
    def __init__(self, log: Log) -> None:
        self.log = log
        self.answers: dict[str, Any] = {}
        self.counts: list[int] = []
        self.counted: list[Counters | None] = []
        self.transaction = IDLE
        self.known = CATALOG
        self.real = CATALOG
        self.said: list[str] = []

    def catalog(self, *, refresh: bool = False) -> Catalog:
        if refresh:
            self.log("refresh")
            self.known = self.real
        return self.known

    def verify(self, pins: Sequence[int]) -> None:
        self.log("verify")

    def run(
        self,
        text: str,
        parameters: Sequence[str | None] = (),
        *,
        max_rows: int | None = None,
        pins: Sequence[int] = (),
    ) -> Rows:
        self.log(f"run {text}")
        answer = self.answers.get(text, ("DONE", 1))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = answer()
        if isinstance(answer, DbgateError):
            raise answer
        if isinstance(answer, Result):
            return answer
        status, affected = answer
        return Result([], status, affected)

    def count(self, text: str, parameters: Sequence[str | None] = ()) -> int:
        self.log(f"count {text}")
        return self.counts.pop(0)

    def look(self, text: str, parameters: Sequence[str | None] = ()) -> list[tuple[str | None, ...]]:
        self.log(f"look {text}")
        answer = self.answers.get(text, [])
        if isinstance(answer, DbgateError):
            raise answer
        return list(answer)

    def counters(self) -> Counters | None:
        return self.counted.pop(0) if self.counted else {}

    def execute_unrecorded(self, text: str) -> None:
        self.log(f"own {text}")

    def cancel(self) -> None:
        self.log("cancel")

    def notices(self) -> list[str]:
        said, self.said = self.said, []
        return said

    def close(self) -> None:
        self.log("disconnect")


class FakeDisplay:
    def __init__(self, log: Log) -> None:
        self.log = log
        self.said: list[tuple[str, str, str]] = []
        self.seen = ""
        self.on_wait: Callable[[], None] | None = None

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        for batch in rows.batches():
            self.seen += "".join(f"{row[0]}\n" for row in batch)
        return Outcome(rows.status, rows=rows.affected)

    def message(self, level: str, text: str, hint: str = "") -> None:
        self.said.append((level, text, hint))

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        self.log(f"waiting {left_s}")
        if self.on_wait:
            self.on_wait()

    def output(self) -> tuple[str, bool]:
        seen, self.seen = self.seen, ""
        return seen, False


@dataclass(frozen=True)
class State:
    id: str
    status: str
    summary: str = "dba: 0 of 1"
    kind: str = "statement"
    binding: str = ""
    policy_digest: str = "sha256:p"
    reason: str = ""


class FakeApprovals:
    """Answers `ask` and `state` with the first state, and each `watch` with the next."""

    def __init__(self, log: Log, clock: Clock, *states: str) -> None:
        self.log = log
        self.clock = clock
        self.states = list(states)
        self.measured = {"payroll.employees": 120}
        self.filed: ApprovalRequest | None = None
        self.wrong = False

    def _next(self) -> State:
        return State("r1", self.states.pop(0) if len(self.states) > 1 else self.states[0])

    def ask(self, request: ApprovalRequest) -> State:
        self.log("ask")
        self.filed = request
        return self._next()

    def state(self, request_id: str) -> State:
        self.log(f"state {request_id}")
        return self._next()

    def watch(self, request_id: str, *, timeout_s: float) -> State:
        self.log(f"watch {timeout_s:g}")
        self.clock.at += timeout_s
        return self._next()

    def redeem(self, request_id: str, *, binding: str) -> Grant:
        self.log(f"redeem {request_id}")
        if self.wrong:
            raise UsageError("the request is for another statement")
        expires = datetime(2030, 1, 1, tzinfo=UTC)
        return Grant(
            id="g1",
            request="r1",
            identity=ALICE.key,
            target="payroll",
            binding=binding,
            policy_digest="sha256:p",
            approved_by=("bob",),
            expires_at=expires,
            uses=1,
            measured=dict(self.measured),
            token="token",
            clauses=(ReviewClause(("dba",)),),
        )

    def open(self, request_id: str, request: ApprovalRequest) -> Grant:
        raise NotImplementedError

    def break_glass(self, request: ApprovalRequest) -> Grant:
        raise NotImplementedError

    def withdraw(self, request_id: str) -> RequestState:
        raise NotImplementedError


COUNT = CountQuery(EMPLOYEES, "SELECT count(*) FROM payroll.employees", "update", ("x",))


def judge(source: Source, context: Context) -> Judgement:
    """A gate in miniature: DROP is denied, bulk is measured and held, everything else is allowed."""
    text = source.text
    access = Access.WRITE if text.startswith(("UPDATE", "DROP")) else Access.READ
    decision: Decision = Allow(text)
    changes = Changes()
    if "BULK" in text:
        decision = NeedsMeasure((COUNT,))
        if context.measured is not None:
            decision = NeedsApproval((ReviewClause(("dba",)),), (), Allow(text), measured=context.measured)
    if text.startswith("DROP"):
        decision = Deny("no")
    if text.startswith("SET"):
        changes = Changes(search_path=True)
    if text.startswith(("COMMIT", "ROLLBACK")):
        changes = Changes(catalog=True, search_path=True, end_transaction=True)
    if text.startswith("CREATE"):
        changes = Changes(catalog=True)
    statement = Statement(text, source.tree, "update" if access is Access.WRITE else "select", access)
    return Judgement(statement, decision, recorded_text=text, changes=changes)


class Session:
    """A driver with all its ports faked."""

    def __init__(self, *states: str, limits: Limits | None = None, identity: Identity = ALICE, **options: Any) -> None:
        self.log = Log()
        self.clock = Clock()
        self.transcript = Transcript(self.log)
        self.database = FakeDatabase(self.log)
        self.display = FakeDisplay(self.log)
        self.approvals = FakeApprovals(self.log, self.clock, *states)
        self.contexts: list[Context] = []
        settings: dict[str, Any] = {"approvals": (lambda: self.approvals) if states else None} | options
        self.driver = SessionDriver(
            judge=self._judge,
            read_script=read_script,
            policy=Policy("sha256:p", ("p.yaml",), limits=limits or Limits()),
            identity=identity,
            target=TARGET,
            recorder=self.transcript,
            database=self.database,
            display=self.display,
            clock=self.clock,
            **settings,
        )

    def _judge(self, source: Source, context: Context) -> Judgement:
        self.contexts.append(context)
        return judge(source, context)

    def execute(self, script: str, **values: str) -> list[int]:
        return [finished.exit_code for finished in self.driver.execute(script, values)]


def test_each_statement_is_decided_recorded_and_run_alone() -> None:
    session = Session()
    assert session.execute("SELECT 1; UPDATE t SET a = 1") == [0, 0]
    assert session.log.events == [
        "record statement.intent durable",
        "run SELECT 1",
        "record statement.outcome",
        "record statement.intent durable",
        "run UPDATE t SET a = 1",
        "record statement.outcome durable",
    ]
    assert [fields["id"] for fields in session.transcript.of("statement.intent")] == [1, 2]


def test_what_is_no_sql_is_recorded_and_not_sent_and_stops_the_script() -> None:
    session = Session()
    assert session.execute("SELECT 1; SELEC 2; SELECT 3") == [0, 1]
    assert session.log.events == [
        "record statement.intent durable",
        "run SELECT 1",
        "record statement.outcome",
        "record statement.intent durable",
    ]
    assert session.display.said[0][1].startswith("syntax error at or near")
    assert [fields["decision"] for fields in session.transcript.of("statement.intent")] == ["allow", "error"]


@pytest.mark.parametrize(("keep_going", "codes"), [(False, [0, 3]), (True, [0, 3, 0])])
def test_the_first_failure_stops_the_script(keep_going: bool, codes: list[int]) -> None:
    session = Session(keep_going=keep_going)
    assert session.execute("SELECT 1; DROP TABLE t; SELECT 2") == codes


def test_a_lost_connection_stops_even_with_keep_going() -> None:
    session = Session(keep_going=True)
    session.database.answers["SELECT 1"] = ConnectionLost("the connection broke")
    assert session.execute("SELECT 1; SELECT 2") == [7]
    assert session.driver.closed
    assert session.transcript.of("statement.outcome")[0]["status"] == "unknown"


def test_a_full_disk_sends_nothing_and_ends_the_session() -> None:
    session = Session(keep_going=True)
    session.transcript.full_at = "statement.intent"
    assert session.execute("SELECT 1; SELECT 2") == [6]
    assert session.log.events == []
    assert session.driver.closed


def test_parameters_are_bound_never_pasted() -> None:
    session = Session()
    assert session.execute("SELECT :a", a="'; DROP TABLE t") == [0]
    assert "run SELECT $1" in session.log.events


def test_what_was_seen_and_what_the_server_said_are_recorded() -> None:
    session = Session()
    session.database.answers["SELECT 1"] = Result([[("7",)], [("8",)]], "SELECT 2", 2)
    session.database.said = ["NOTICE: hello"]
    session.execute("SELECT 1")
    assert session.transcript.of("output") == [{"id": 1, "text": "7\n8\n", "truncated": False}]
    assert session.transcript.of("notice") == [{"id": 1, "level": "notice", "text": "NOTICE: hello"}]
    assert ("notice", "NOTICE: hello", "") in session.display.said


def test_a_result_beyond_the_limit_is_cut_and_told() -> None:
    session = Session(limits=Limits(rows=1))
    session.database.answers["SELECT 1"] = Result([[("7",), ("8",)]], "SELECT 2", 2)
    assert session.execute("SELECT 1") == [0]
    assert session.transcript.of("output")[0]["text"] == "7\n"
    assert session.transcript.of("statement.outcome")[0]["truncated"] is True
    assert session.display.said[0][1] == "the result was cut after 1 rows"


def test_an_approved_change_is_counted_again_and_run_in_one_transaction() -> None:
    session = Session("approved")
    session.database.counts = [120, 119]
    session.database.answers["UPDATE BULK SET a = 1"] = ("UPDATE 119", 119)
    assert session.execute("UPDATE BULK SET a = 1") == [0]
    assert session.log.events == [
        "record notice durable",
        f"count {COUNT.text}",
        "record approval.requested durable",
        "ask",
        "redeem r1",
        "record approval.redeemed durable",
        "record statement.intent durable",
        "own BEGIN ISOLATION LEVEL REPEATABLE READ",
        f"count {COUNT.text}",
        "run UPDATE BULK SET a = 1",
        "own COMMIT",
        "record statement.outcome durable",
    ]


def test_more_rows_than_approved_are_never_sent_when_the_count_shows_them() -> None:
    session = Session("approved")
    session.database.counts = [120, 121]
    assert session.execute("UPDATE BULK SET a = 1") == [3]
    assert "run UPDATE BULK SET a = 1" not in session.log.events
    assert "own ROLLBACK" in session.log.events
    assert "own COMMIT" not in session.log.events


def test_a_run_that_touches_more_than_approved_is_rolled_back() -> None:
    session = Session("approved")
    session.database.counts = [120, 120]
    session.database.answers["UPDATE BULK SET a = 1"] = ("UPDATE 121", 121)
    assert session.execute("UPDATE BULK SET a = 1") == [3]
    assert session.log.events[-3:] == ["own ROLLBACK", "record statement.outcome durable", "record notice"]
    assert "touches 121: rolled back" in session.display.said[-1][1]


def test_within_a_transaction_an_approved_run_is_a_savepoint() -> None:
    session = Session("approved")
    session.database.transaction = OPEN
    session.database.counts = [120, 120]
    session.database.answers["UPDATE BULK SET a = 1"] = ("UPDATE 121", 121)
    assert session.execute("UPDATE BULK SET a = 1") == [3]
    own = [event for event in session.log.events if event.startswith("own")]
    assert own == [
        "own SAVEPOINT dbgate_grant",
        "own ROLLBACK TO SAVEPOINT dbgate_grant",
        "own RELEASE SAVEPOINT dbgate_grant",
    ]


def test_a_failed_commit_of_an_approved_run_is_its_failure() -> None:
    session = Session("approved")
    session.database.counts = [120, 120]
    session.database.answers["UPDATE BULK SET a = 1"] = ("UPDATE 1", 1)

    def own(text: str) -> None:
        if text == "COMMIT":
            raise StatementError("deferred constraint", sqlstate="23503")

    session.database.execute_unrecorded = own  # type: ignore[method-assign]
    assert session.execute("UPDATE BULK SET a = 1") == [1]
    assert session.transcript.of("statement.outcome")[0]["sqlstate"] == "23503"


def test_without_waiting_a_pending_request_is_named() -> None:
    session = Session("pending", wait_s=0)
    session.database.counts = [120]
    assert session.execute("UPDATE BULK SET a = 1") == [4]
    assert "redeem r1" not in session.log.events
    assert not any(event.startswith("watch") for event in session.log.events)
    assert session.display.said[-1][2] == "once it is approved: dbgate exec payroll … --request r1"


def test_waiting_shows_the_state_and_ends_in_time() -> None:
    session = Session("pending", wait_s=50)
    session.database.counts = [120]
    assert session.execute("UPDATE BULK SET a = 1") == [4]
    waits = [event for event in session.log.events if event.startswith(("watch", "waiting"))]
    assert waits == ["waiting 50.0", "watch 20", "waiting 30.0", "watch 20", "waiting 10.0", "watch 10"]


def test_waiting_ends_with_the_decision() -> None:
    session = Session("pending", "pending", "approved")
    session.database.counts = [120, 120]
    assert session.execute("UPDATE BULK SET a = 1") == [0]
    assert "waiting None" in session.log.events


def test_a_known_request_is_looked_up_once_and_only_once() -> None:
    session = Session("approved", request="r9", keep_going=True)
    session.database.counts = [120, 120, 120, 120]
    session.approvals.wrong = True
    assert session.execute("UPDATE BULK SET a = 1; UPDATE BULK SET a = 2") == [4, 4]
    looked = [e for e in session.log.events if e.startswith(("state", "ask"))]
    assert looked == ["state r9", "ask"]
    assert "request r1 cannot be used: the request is for another statement" in session.display.said[0][1]


def test_without_an_approvals_service_such_a_statement_is_a_configuration_error() -> None:
    session = Session(keep_going=True)
    session.database.counts = [120]
    assert session.execute("UPDATE BULK SET a = 1; SELECT 1") == [2, 0]


def test_cancel_while_waiting_keeps_the_request_and_the_session() -> None:
    session = Session("pending")
    session.database.counts = [120]
    session.display.on_wait = session.driver.cancel
    assert session.execute("UPDATE BULK SET a = 1") == [130]
    assert session.transcript.of("statement.intent")[0]["approval"] == "pending"
    assert "--request r1" in session.display.said[-1][2]
    assert session.execute("SELECT 1") == [0]


def test_cancel_while_running_asks_the_server_and_keeps_the_session() -> None:
    session = Session(keep_going=True)

    def cancelled() -> DbgateError:
        session.driver.cancel()
        return StatementError("canceling statement due to user request", sqlstate="57014")

    session.database.answers["SELECT 1"] = cancelled
    assert session.execute("SELECT 1; SELECT 2") == [130]
    assert session.log.events.count("cancel") == 1
    assert session.transcript.of("statement.outcome")[0]["status"] == "cancelled"
    assert session.execute("SELECT 2") == [0]


def test_a_timeout_is_not_a_cancel() -> None:
    session = Session()
    session.database.answers["SELECT 1"] = StatementError("statement timeout", sqlstate="57014")
    assert session.execute("SELECT 1") == [1]


def test_cancelling_twice_lets_go_and_ends_the_session() -> None:
    session = Session()

    def stubborn() -> DbgateError:
        session.driver.cancel()
        session.driver.cancel()
        raise AssertionError("not reached")

    session.database.answers["SELECT 1"] = stubborn
    assert session.execute("SELECT 1") == [130]
    assert session.transcript.of("statement.outcome")[0]["status"] == "unknown"
    assert session.driver.closed


def test_a_cancel_between_statements_stops_before_the_next_is_sent() -> None:
    session = Session(keep_going=True)
    codes = []
    for finished in session.driver.execute("SELECT 1; SELECT 2; SELECT 3"):
        codes.append(finished.exit_code)
        session.driver.cancel()
    assert codes == [0, 130]
    assert "run SELECT 2" not in session.log.events


def test_the_search_path_is_read_again_after_a_set_and_after_its_rollback() -> None:
    session = Session()
    ask = "SELECT unnest(pg_catalog.current_schemas(false))::pg_catalog.text"
    session.database.answers[ask] = [Result([[("a",)]], "SELECT 1", 1), Result([[("b",)]], "SELECT 1", 1)]
    session.execute("SELECT 1")
    session.execute("SET search_path = a; SELECT 2; SELECT 3; ROLLBACK; SELECT 4; ROLLBACK; SELECT 5")
    paths = [context.search_path for context in session.contexts]
    own, a, b = ("payroll", "public"), ("a",), ("b",)
    assert paths == [own, own, a, a, a, b, b, b]


def test_the_search_path_is_read_again_after_definitions_and_where_the_catalog_has_changed() -> None:
    session = Session()
    ask = "SELECT unnest(pg_catalog.current_schemas(false))::pg_catalog.text"
    answers = [Result([[(name,)]], "SELECT 1", 1) for name in "abcd"]
    session.database.answers[ask] = answers
    session.execute("SET search_path = a, b; SELECT 1; CREATE SCHEMA b; SELECT 2; SELECT 3; ROLLBACK; SELECT 4")
    session.clock.at = 31
    session.execute("SELECT 5")
    session.clock.at = 62
    session.database.real = msgspec.structs.replace(CATALOG, fingerprint="another")
    session.execute("SELECT 6")
    paths = [context.search_path for context in session.contexts]
    own, a, b, c, d = ("payroll", "public"), ("a",), ("b",), ("c",), ("d",)
    assert paths == [own, a, a, b, b, b, c, c, d]


def test_a_definition_that_fails_may_leave_something_behind() -> None:
    session = Session()
    ask = "SELECT unnest(pg_catalog.current_schemas(false))::pg_catalog.text"
    session.database.answers[ask] = [Result([[("a",)]], "SELECT 1", 1)]
    session.database.answers["CREATE TABLE a ()"] = StatementError("no", sqlstate="42501")
    session.execute("CREATE TABLE a ()")
    session.execute("SELECT 1")
    assert session.log.events.count("refresh") == 1
    assert session.contexts[-1].search_path == ("a",)


def test_a_hint_for_an_unknown_column_asks_the_server_nothing() -> None:
    session = Session()

    def late() -> StatementError:
        session.clock.at += 31
        return StatementError("column full_nam does not exist", sqlstate="42703")

    session.database.answers["SELECT full_nam"] = late
    session.execute("SELECT full_nam")
    assert session.log.events.count("refresh") == 1, "once, to see whether a column was added"


def test_the_catalog_is_compared_after_ddl_its_rollback_and_with_age() -> None:
    session = Session()
    session.execute("CREATE TABLE a (); SELECT 1; SELECT 2; ROLLBACK; SELECT 3; ROLLBACK; SELECT 4")
    events = [e for e in session.log.events if "current_schemas" not in e]
    refreshed = [i for i, event in enumerate(events) if event == "refresh"]
    runs = [e for i, e in enumerate(events) if i - 2 in refreshed]
    assert runs == ["run SELECT 1", "run SELECT 3"]
    session.clock.at = 31
    session.execute("SELECT 5; SELECT 6")
    assert session.log.events.count("refresh") == 3


def test_in_a_failed_transaction_nothing_is_asked_of_the_server() -> None:
    session = Session()
    session.execute("CREATE TABLE a ()")
    session.database.transaction = FAILED
    session.execute("SELECT 1")
    assert "refresh" not in session.log.events
    session.database.transaction = IDLE
    session.execute("SELECT 2")
    assert "refresh" in session.log.events


def test_an_error_that_the_gate_finds_fails_an_open_transaction() -> None:
    session = Session()
    session.execute("SELEC 1")
    assert not [event for event in session.log.events if event.startswith("own ")]
    session.database.transaction = OPEN
    session.log.events.clear()
    session.execute("SELEC 1")
    assert session.log.events[:2] == [
        "record statement.intent durable",
        'own ROLLBACK TO SAVEPOINT "dbgate: the statement is in error"',
    ]


def test_drift_is_repaired_by_reading_the_catalog_again() -> None:
    session = Session()
    session.database.real = msgspec.structs.replace(CATALOG, fingerprint="f2")

    def rewriting(source: Source, context: Context) -> Judgement:
        found = judge(source, context)
        statement, text = found.statement, f"SELECT {context.catalog.fingerprint}"
        return Judgement(statement, Allow(text), recorded_text=source.text, changes=Changes())

    session._judge = rewriting  # type: ignore[method-assign]
    session.driver._performer.judge_with = rewriting
    session.database.answers["SELECT f1"] = StatementError("column does not exist", sqlstate="42703")
    assert session.execute("SELECT x") == [0]
    path = "run SELECT unnest(pg_catalog.current_schemas(false))::pg_catalog.text"
    assert [e for e in session.log.events if e.startswith("run")] == ["run SELECT f1", path, "run SELECT f2"]
    assert session.log.events.count("record statement.intent durable") == 2


@pytest.mark.parametrize(
    ("limits", "why"), [(Limits(session_s=60), "older than 60 s"), (Limits(idle_s=60), "idle for more than 60 s")]
)
def test_a_session_past_its_time_runs_nothing_more(limits: Limits, why: str) -> None:
    session = Session(limits=limits)
    assert session.execute("SELECT 1") == [0]
    session.clock.at = 61
    assert session.execute("SELECT 2") == [3]
    assert "run SELECT 2" not in session.log.events
    assert why in session.display.said[-1][1]
    assert why in session.driver.closed


def test_closing_seals_the_transcript_and_disconnects() -> None:
    session = Session(keep_going=True)
    session.execute("SELECT 1; DROP TABLE t")
    session.driver.close("done")
    session.driver.close("again")
    assert session.log.events[-2:] == ["record session.end", "disconnect"]
    assert session.transcript.totals == {
        "statements": 2,
        "rows": 1,
        "denied": 1,
        "failed": 0,
        "reason": "done",
        "transaction": "idle",
    }


def test_an_interrupt_raised_by_the_database_is_a_cancelled_statement() -> None:
    session = Session()
    session.database.answers["SELECT 1"] = Interrupted("cancelled")
    assert session.execute("SELECT 1") == [130]
    assert session.transcript.of("statement.outcome")[0]["status"] == "cancelled"
    assert not session.driver.closed


def test_a_large_table_is_written_by_the_server_when_the_display_takes_it() -> None:
    session = Session()
    big = CatalogRelation(7, "payroll", "employees", "r", (), row_estimate=1_000_000)
    view = CatalogRelation(8, "payroll", "v", "v", (), depends=(7,))
    session.database.known = msgspec.structs.replace(CATALOG, relations=(big, view))
    copies = CopyingDisplay(session.log)
    copies.seen = ""
    database = CopyingDatabase(session.log)
    database.known = session.database.known
    database.answers["SELECT * FROM (SELECT 1\n) AS q LIMIT 0"] = Result([[]], "SELECT 0", 0)
    runner = Runner(database, copies, session.clock, Cancellation(database))
    assert runner.run(Run("SELECT 1", (), 1, tables=(8,))).status == "COPIED 2"  # type: ignore[union-attr]
    assert session.log.events == ["run SELECT * FROM (SELECT 1\n) AS q LIMIT 0", "copy out COPY (SELECT 1)"]
    for left_alone in (Run("SELECT 1", (), 1), Run("SELECT 1", (), 1, tables=(9,))):
        assert runner.run(left_alone).status == "DONE"  # type: ignore[union-attr]
    database.transaction = OPEN
    assert runner.run(Run("SELECT 1", (), 1, tables=(8,))).status == "DONE"  # type: ignore[union-attr]
    database.transaction = IDLE
    copies.takes_copies = False
    assert runner.run(Run("SELECT 1", (), 1, tables=(8,))).status == "DONE"  # type: ignore[union-attr]


def test_a_query_that_cannot_be_wrapped_runs_as_it_is() -> None:
    log = Log()
    database = CopyingDatabase(log)
    big = CatalogRelation(7, "payroll", "employees", "r", (), row_estimate=1_000_000)
    database.known = msgspec.structs.replace(CATALOG, relations=(big,))
    database.answers["SELECT * FROM (SELECT 1\n) AS q LIMIT 0"] = StatementError("no", sqlstate="42601")
    runner = Runner(database, CopyingDisplay(log), Clock(), Cancellation(database))
    assert runner.run(Run("SELECT 1", (), 1, tables=(7,))).status == "DONE"  # type: ignore[union-attr]


class CopyingDatabase(FakeDatabase):
    def copy_out(self, text: str) -> Iterator[bytes]:
        self.log(f"copy out {text}")
        yield b"1\n"
        yield b"2\n"


class CopyingDisplay(FakeDisplay):
    takes_copies = True

    def copy_text(self, query: str, columns: Sequence[Column], *, max_rows: int | None) -> str:
        return f"COPY ({query})"

    def copied(
        self, columns: Sequence[Column], blocks: Iterator[bytes], *, max_rows: int | None, max_bytes: int | None
    ) -> Outcome:
        return Outcome(f"COPIED {len(list(blocks))}")


def test_a_fault_of_the_gate_is_recorded_and_runs_nothing_and_the_session_goes_on() -> None:
    session = Session()

    def faulty(source: Source, context: Context) -> Judgement:
        if "secret" in source.text:
            raise KeyError(source.text)
        return judge(source, context)

    session.driver._performer.judge_with = faulty
    assert session.execute("SELECT 'secret'") == [1]
    assert session.execute("SELECT 1") == [0]
    assert [event for event in session.log.events if event.startswith("run")] == ["run SELECT 1"]
    assert session.transcript.of("statement.intent")[0]["decision"] == "error"
    assert "a fault of its own (KeyError, test_session_driver.py:" in session.display.said[0][1]
    assert "secret" not in session.display.said[0][1]
