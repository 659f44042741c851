"""Sessions on a live database, whose clock stands still: the catalog is never compared by age."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from tests.conftest import LiveDatabase

from dbgate.database import connect
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.policy.read import read_policy
from dbgate.gate.script import read_script
from dbgate.gate.syntax import Source
from dbgate.model import Identity, Json, Outcome, Target
from dbgate.session.driver import SessionDriver
from dbgate.session.ports import RequestState, Rows


class Notes:
    """A recorder that keeps everything as text."""

    session = "drift"

    def __init__(self) -> None:
        self.text = ""

    def record(self, kind: str, fields: Mapping[str, Json], *, durable: bool = True) -> int:
        self.text += f"{kind} {fields}\n"
        return 1

    def close(self, totals: Mapping[str, Json]) -> None:
        self.text += f"{totals}"


class Screen:
    """A display that keeps everything that a person would see."""

    def __init__(self) -> None:
        self.rows: list[tuple[str | None, ...]] = []
        self.said: list[str] = []

    def result(self, rows: Rows, *, statement_id: int, masked: Sequence[int]) -> Outcome:
        for batch in rows.batches():
            self.rows += batch
        return Outcome(rows.status, rows=rows.affected)

    def message(self, level: str, text: str, hint: str = "") -> None:
        self.said.append(f"{level}: {text}")

    def waiting(self, state: RequestState, *, left_s: float | None) -> None:
        raise AssertionError("nothing waits here")

    def output(self) -> tuple[str, bool]:
        return "", False


class Stopped:
    """A clock on which no time passes."""

    def now(self) -> datetime:
        return datetime(2026, 11, 25, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


class PersonsSession:
    """A person's session under a policy; `between` is called after the next judgement, before its statement runs."""

    def __init__(self, database: LiveDatabase, policy: str) -> None:
        self.notes, self.screen = Notes(), Screen()
        self.between: Callable[[], None] | None = None
        target = Target("drift", "postgres", database.app_dsn)
        self.database = connect(target)
        self.driver = SessionDriver(
            judge=self._judge,
            read_script=read_script,
            policy=read_policy([("policy.yaml", policy)]),
            identity=Identity("local:test", "sam"),
            target=target,
            recorder=self.notes,
            database=self.database,
            approvals=None,
            display=self.screen,
            clock=Stopped(),
            keep_going=True,
        )

    def _judge(self, source: Source, context: Context) -> Judgement:
        judgement = judge(source, context)
        if self.between is not None:
            between, self.between = self.between, None
            between()
        return judgement

    def show(self, script: str) -> Screen:
        """Run a script; what it shows."""
        self.screen.rows, self.screen.said = [], []
        list(self.driver.execute(script))
        return self.screen
