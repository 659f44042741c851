"""A session that asks to see tags in clear, as a trace: the real gate, ports of memory, and a clock set by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, STAFF, policy, ref, rule
from tests.trace.test_session_driver import FakeDatabase, FakeDisplay, Log, Transcript

from dbgate.binding import binding_of
from dbgate.errors import DbgateError, Interrupted, SignInRequired, Unreachable, UsageError
from dbgate.gate.decide import judge
from dbgate.gate.policy.model import Policy, Unmask, UnmaskApproval
from dbgate.gate.script import read_script
from dbgate.model import Access, ApprovalRequest, Grant, RequestKind, ReviewClause, Target
from dbgate.session.driver import SessionDriver
from dbgate.session.openings import RECHECK_S, RETRY_S
from dbgate.text import span

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
TARGET = Target("payroll", "postgres", "postgresql:///payroll", environment="production")
PRIVACY = (ReviewClause(("privacy",), 1),)
PII = Unmask(("pii.*",), ("staff",), ref("unmask"), UnmaskApproval(PRIVACY, 1800))
MONEY = Unmask(("finance.*",), ("staff",), ref("money"), UnmaskApproval((ReviewClause(("cfo",), 2),), 600))
SSN = "SELECT ssn FROM payroll.employees"
BULK = "UPDATE payroll.departments SET name = 'x' WHERE id = 1"
CLEAR = "SELECT ssn FROM (SELECT ssn FROM payroll.employees) AS employees"


def policy_with(*unmask: Unmask) -> Policy:
    given = policy(
        rule("read", access=(Access.READ,)),
        replace(rule("held", "approve", verbs=("update",)), clauses=(ReviewClause(("dba",)),)),
        rule("write", access=(Access.WRITE,)),
        digest="sha256:p",
    )
    chosen = unmask or (PII, MONEY)
    # Policies that differ have different digests: what is prepared for one is kept by it.
    return replace(given, unmask=chosen, digest=f"sha256:{chosen}" if unmask else given.digest)


@dataclass
class Clock:
    at: float = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at


@dataclass
class Filed:
    id: str
    request: ApprovalRequest
    status: str = "pending"
    summary: str = "0 of 1 approvals: needs privacy (1)"

    @property
    def kind(self) -> str:
        return str(self.request.kind)

    @property
    def binding(self) -> str:
        return self.request.binding

    @property
    def policy_digest(self) -> str:
        return self.request.policy_digest

    @property
    def reason(self) -> str:
        return self.request.reason


@dataclass
class Service:
    """An approvals service in memory: what is filed is `status`, and a grant is what `bend` makes of an honest one."""

    clock: Clock
    status: str = "approved"
    filed: dict[str, Filed] = field(default_factory=dict)
    bend: Callable[[Grant], Grant] = lambda grant: grant
    fails: DbgateError | None = None
    calls: list[str] = field(default_factory=list)

    def _say(self, call: str) -> None:
        self.calls.append(call)
        if self.fails:
            raise self.fails

    def ask(self, request: ApprovalRequest) -> Filed:
        self._say("ask")
        for known in self.filed.values():
            if known.binding == request.binding and known.status in {"pending", "approved"}:
                return known
        made = Filed(f"r{len(self.filed) + 1}", request, self.status)
        self.filed[made.id] = made
        return made

    def state(self, request_id: str) -> Filed:
        self._say(f"state {request_id}")
        return self.filed[request_id]

    def watch(self, request_id: str, *, timeout_s: float) -> Filed:
        self._say("watch")
        raise Interrupted("interrupted")

    def open(self, request_id: str, request: ApprovalRequest) -> Grant:
        self._say(f"open {request_id}")
        return self.bend(self._grant(request_id, request, self.clock.now() + timedelta(seconds=request.expires_s)))

    def redeem(self, request_id: str, *, binding: str) -> Grant:
        self._say(f"redeem {request_id}")
        return self.bend(self._grant(request_id, self.filed[request_id].request, START + timedelta(days=1)))

    def break_glass(self, request: ApprovalRequest) -> Grant:
        self._say("break-glass")
        self.filed["g"] = Filed("g", request, "review-due")
        return self.bend(self._grant("g", request, self.clock.now() + timedelta(seconds=60)))

    def withdraw(self, request_id: str) -> Filed:
        raise NotImplementedError

    def _grant(self, request_id: str, asked: ApprovalRequest, ends: datetime) -> Grant:
        return Grant(
            id=f"g-{request_id}",
            request=request_id,
            identity=STAFF.key,
            target=asked.target,
            binding=binding_of(STAFF.key, asked),
            policy_digest=asked.policy_digest,
            approved_by=("petra@example.com",),
            expires_at=ends,
            uses=1,
            clauses=asked.clauses,
            kind=asked.kind,
            tags=asked.tags,
            measured=asked.measured,
            rules=asked.rules if asked.kind is RequestKind.SESSION else (),
            limits=asked.limits,
            session=asked.session if asked.kind is RequestKind.SESSION else "",
        )


class Session:
    """A driver on the real gate."""

    def __init__(self, status: str = "approved", given: Policy | None = None, **options: Any) -> None:
        self.log = Log()
        self.clock = Clock()
        self.transcript = Transcript(self.log)
        self.database = FakeDatabase(self.log)
        self.database.known = self.database.real = CATALOG
        self.database.counts = [0] * 10
        self.display = FakeDisplay(self.log)
        self.service = Service(self.clock, status)
        settings: dict[str, Any] = {"approvals": lambda: self.service, "wait_s": 0.0} | options
        self.driver = SessionDriver(
            judge=judge,
            read_script=read_script,
            policy=given or policy_with(),
            identity=STAFF,
            target=TARGET,
            recorder=self.transcript,
            database=self.database,
            display=self.display,
            clock=self.clock,
            how_to_unmask=lambda tags: f"unmask {' '.join(tags)}",
            **settings,
        )

    def unmask(self, *tags: str, reason: str = "a call") -> list[int]:
        return [finished.exit_code for finished in self.driver.unmask(tags, reason)]

    def sent(self, sql: str) -> str:
        """The text that was sent for a statement; empty when none was."""
        before = len(self.log.events)
        for _ in self.driver.execute(sql):
            pass
        return next((e.removeprefix("run ") for e in self.log.events[before:] if e.startswith("run ")), "")

    @property
    def last(self) -> Mapping[str, Any]:
        return self.transcript.of("statement.intent")[-1]


def test_tags_are_in_clear_from_the_grant_to_its_end() -> None:
    session = Session()
    masked = session.sent(SSN)
    assert "***" in masked
    assert session.unmask("pii.ssn") == [0]
    assert session.sent(SSN) == CLEAR
    session.clock.at = 1799.9
    assert session.sent(SSN) == CLEAR
    session.clock.at = 1800
    assert session.sent(SSN) == masked
    ended = session.transcript.of("approval.expired")
    assert [(fields["grant"], fields["tags"]) for fields in ended] == [("g-r1", ["pii.ssn"])]
    assert session.display.said[-1][:2] == ("notice", "pii.ssn is masked again: the approval has expired")


def test_reviewers_are_told_who_why_what_and_for_how_long() -> None:
    session = Session()
    session.unmask("pii.*", reason="TICKET-7")
    asked = session.service.filed["r1"].request
    assert (asked.kind, asked.tags, asked.expires_s, asked.reason) == (
        RequestKind.UNMASK,
        ("pii.ssn",),
        1800,
        "TICKET-7",
    )
    assert asked.columns == ("payroll.directory.number", "payroll.employees.ssn")
    assert (asked.target, asked.environment, asked.statement) == ("payroll", "production", "")
    assert (asked.clauses, asked.rules) == (PRIVACY, ("unmask (test.yaml:1)",))
    (recorded,) = session.transcript.of("approval.requested")
    assert (recorded["request_kind"], recorded["tags"], recorded["reason"]) == ("unmask", ["pii.ssn"], "TICKET-7")
    assert recorded["columns"] == list(asked.columns)
    (redeemed,) = session.transcript.of("approval.redeemed")
    assert (redeemed["request_kind"], redeemed["grant"], redeemed["tags"]) == ("unmask", "g-r1", ["pii.ssn"])
    assert session.display.said[-1][1] == "pii.ssn is in clear for 30 min, approved by petra@example.com"


def test_the_record_says_what_was_seen_under_which_grant_and_holds_no_value() -> None:
    session = Session()
    session.unmask("pii.ssn")
    session.display.seen = "123-45-6789\n"
    session.sent("SELECT ssn FROM payroll.employees WHERE ssn = '123-45-6789'")
    assert session.last["unmasked"] == [{"column": "payroll.employees.ssn", "tag": "pii.ssn", "grant": "g-r1"}]
    outcome = session.transcript.of("statement.outcome")[-1]
    assert (outcome["unmasked"], outcome["digest"]) == (["payroll.employees.ssn"], "")
    (output,) = session.transcript.of("output")
    assert output["text"] == "(not kept: it shows payroll.employees.ssn in clear under a grant)\n"
    assert output["truncated"] is True
    assert "6789" not in str(session.transcript.records)
    session.sent("SELECT full_name FROM payroll.employees")
    assert "unmasked" not in session.last


def test_two_entries_are_two_requests_and_each_opens_its_own() -> None:
    session = Session()
    session.service.status = "pending"
    assert session.unmask("*") == [4, 4]
    money, pii = session.service.filed.values()
    assert (money.request.tags, pii.request.tags) == (("finance.account", "finance.pay"), ("pii.ssn",))
    money.status = "approved"
    assert session.unmask("*") == [0, 4]
    sent = session.sent("SELECT ssn, salary FROM payroll.employees")
    assert "salary" in sent
    assert "NULL::" not in sent
    assert "'***'" in sent
    assert {found["tag"] for found in session.last["unmasked"]} == {"finance.pay"}


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        ("pending", 4, "pii.ssn stays masked, approval pending: request r1"),
        ("denied", 4, "pii.ssn stays masked: request r1 was denied"),
        ("expired", 4, "pii.ssn stays masked: request r1 has expired"),
        ("withdrawn", 4, "pii.ssn stays masked: request r1 was withdrawn"),
        ("revoked", 4, "pii.ssn stays masked: request r1 was revoked"),
    ],
)
def test_without_a_grant_everything_stays_masked(status: str, code: int, said: str) -> None:
    session = Session(status)
    assert session.unmask("pii.ssn") == [code]
    assert session.display.said[-1][1].startswith(said)
    assert session.transcript.of(f"approval.{status}")[0]["request"] == "r1"
    assert "***" in session.sent(SSN)
    assert "unmasked" not in session.last


def test_waiting_can_be_broken_off() -> None:
    session = Session("pending", wait_s=None)
    assert session.unmask("*") == [130]
    assert session.service.calls == ["ask", "watch"]
    assert "***" in session.sent(SSN)


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        (("pii.snn",), 2, "no such tag: pii.snn"),
        (("pii.ssn", "nothing.*"), 2, "no such tag: nothing.*"),
        (("finance.pay",), 3, "no unmask entry of the policy lets you ask to see finance.pay in clear"),
    ],
)
def test_what_cannot_be_asked_for_is_on_record(wanted: tuple[str, ...], code: int, said: str) -> None:
    session = Session(given=policy_with(PII))
    assert session.unmask(*wanted) == [code]
    assert session.display.said[-1][1] == said
    assert session.display.said[-1][2]
    assert session.transcript.of("notice")[-1]["text"] == said
    assert session.service.calls == []


def test_what_is_seen_anyway_needs_nobody() -> None:
    session = Session(given=policy_with(replace(PII, approval=None)))
    assert session.unmask("pii.ssn") == [0]
    assert session.service.calls == []
    assert "shown to you in clear without asking" in session.display.said[-1][1]
    session.sent(SSN)
    assert "unmasked" not in session.last


def test_a_required_reason() -> None:
    session = Session(given=replace(policy_with(), reason_required=True), reason="")
    assert session.unmask("pii.ssn", reason="") == [2]
    assert session.service.calls == []
    assert session.unmask("pii.ssn", reason="TICKET-7") == [0]


def test_a_dry_run_asks_nobody() -> None:
    session = Session(dry_run=True)
    assert session.unmask("pii.ssn") == [4]
    assert session.service.calls == []
    assert "1 of privacy would have to approve; nobody was asked" in session.display.said[-1][1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": RequestKind.STATEMENT}, "for something else"),
        ({"tags": ("finance.pay", "pii.ssn")}, "for something else"),
        ({"tags": ()}, "for something else"),
        ({"binding": "sha256:other"}, "for something else"),
        ({"target": "other"}, "for another target or policy"),
        ({"policy_digest": "sha256:older"}, "for another target or policy"),
        ({"identity": "https://login.example.com/t#mallory"}, "to somebody else"),
        ({"clauses": (ReviewClause(("friends",)),)}, "by other reviewers"),
        ({"clauses": ()}, "by other reviewers"),
    ],
)
def test_a_grant_that_does_not_fit_opens_nothing(changes: dict[str, Any], why: str) -> None:
    session = Session()
    session.service.bend = lambda grant: replace(grant, **changes)
    assert session.unmask("pii.ssn") == [3]
    assert why in session.display.said[-1][1]
    assert "***" in session.sent(SSN)


def test_a_grant_to_unmask_runs_no_statement() -> None:
    session = Session()
    session.service.bend = lambda grant: replace(grant, kind=RequestKind.UNMASK, tags=("pii.ssn",))
    assert session.sent(BULK) == ""
    assert "was given for something else" in session.display.said[-1][1]


def test_a_service_that_is_away_opens_nothing() -> None:
    session = Session()
    session.service.fails = Unreachable("cannot reach it")
    assert session.unmask("pii.ssn") == [7]
    session.service.fails = SignInRequired("who are you")
    assert session.unmask("pii.ssn") == [5]
    assert "***" in session.sent(SSN)


@pytest.mark.parametrize("status", ["revoked", "expired", "denied", "anything"])
def test_what_is_taken_back_closes_in_an_open_session(status: str) -> None:
    session = Session()
    session.unmask("pii.ssn")
    session.service.filed["r1"].status = status
    session.clock.at = RECHECK_S - 1
    assert session.sent(SSN) == CLEAR
    session.clock.at = RECHECK_S
    assert "***" in session.sent(SSN)
    assert session.transcript.of(f"approval.{status}")[0]["grant"] == "g-r1"
    session.service.filed["r1"].status = "approved"
    session.clock.at = 3 * RECHECK_S
    assert "***" in session.sent(SSN)


def test_what_cannot_be_asked_about_is_masked_until_it_can() -> None:
    session = Session()
    session.unmask("pii.ssn")
    session.service.fails = Unreachable("cannot reach it")
    session.clock.at = RECHECK_S
    for _ in range(2):
        assert "***" in session.sent(SSN)
    assert [text for _, text, _ in session.display.said].count(
        "pii.ssn is masked until the approvals service can be asked: cannot reach it"
    ) == 1
    session.service.fails = None
    session.clock.at += RETRY_S
    assert session.sent(SSN) == CLEAR
    assert session.service.calls.count("state r1") == 2


def test_the_last_use_by_another_session_takes_nothing_back() -> None:
    session = Session()
    session.unmask("pii.ssn")
    session.service.filed["r1"].status = "redeemed"
    session.clock.at = RECHECK_S
    assert session.sent(SSN) == CLEAR


def test_a_request_is_resumed_by_its_id() -> None:
    session = Session(request="r9")
    asked = Session()
    asked.unmask("pii.ssn")
    session.service.filed["r9"] = Filed("r9", asked.service.filed["r1"].request, "approved")
    assert session.unmask("*") == [0, 0]
    assert session.service.calls == ["state r9", "ask", "open r2", "state r9", "open r9"]


def test_the_id_of_one_kind_is_not_the_other_s() -> None:
    session = Session(request="r1")
    session.service.filed["r1"] = Filed("r1", Session().service.ask(_asked("pii.ssn")).request, "approved")
    assert session.sent(BULK) == ""
    assert session.display.said[-1][1] == "request r1 is to see tags in clear, not to run a statement"
    assert "redeem r1" not in session.service.calls


def _asked(tag: str) -> ApprovalRequest:
    session = Session()
    session.unmask(tag)
    return session.service.filed["r1"].request


def test_an_approval_that_comes_late_runs_what_is_decided_then() -> None:
    given = policy_with(replace(PII, approval=UnmaskApproval(PRIVACY, 60)))
    held = replace(rule("held", "approve", verbs=("select",)), clauses=(ReviewClause(("dba",)),))
    session = Session(given=replace(given, digest="sha256:q", rules=(held,)))
    assert session.unmask("pii.ssn") == [0]
    service = session.service

    def late(grant: Grant) -> Grant:
        session.clock.at = 61
        return grant

    service.bend = late
    sent = session.sent(SSN)
    assert "***" in sent
    assert "unmasked" not in session.last
    assert session.last["grant"] == "g-r2"


def test_a_masked_result_says_once_how_it_may_be_opened() -> None:
    session = Session()
    for _ in range(2):
        session.sent("SELECT ssn, salary FROM payroll.employees")
    assert [line for line in session.display.said if "may be opened" in line[1]] == [
        ("notice", "finance.pay may be opened for 10 min with approval by 2 of cfo (test.yaml:1)", "unmask finance.pay"),
        ("notice", "pii.ssn may be opened for 30 min with approval by 1 of privacy (test.yaml:1)", "unmask pii.ssn"),
    ]  # fmt: skip
    silent = Session(given=policy_with(replace(PII, groups=("support",))))
    silent.sent(SSN)
    silent.sent("SELECT count(*) FROM payroll.employees WHERE ssn = 'x'")
    assert not [line for line in silent.display.said if "may be opened" in line[1]]


def test_no_service_is_configured() -> None:
    session = Session(approvals=None)
    assert session.unmask("pii.ssn") == [2]
    assert session.display.said[-1][1:] == (
        "this needs an approval, and no approvals service is configured",
        "set approvals.url",
    )


def test_a_session_past_its_time_asks_nobody() -> None:
    given = policy_with()
    session = Session(given=replace(given, limits=replace(given.limits, session_s=60)))
    session.clock.at = 61
    assert session.unmask("*") == [3]
    assert session.service.calls == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (45.4, "45 s"), (99, "99 s"), (100, "2 min"), (1800, "30 min"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_refused_by_the_service_at_the_last_moment() -> None:
    session = Session()

    def refuse(grant: Grant) -> Grant:
        raise UsageError("request r1 was revoked")

    session.service.bend = refuse
    assert session.unmask("pii.ssn") == [4]
    assert session.display.said[-1][1] == "pii.ssn stays masked: request r1 cannot be used: it was revoked"
