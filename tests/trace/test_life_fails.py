"""The life of one statement where counting or recording fails on the way."""

from __future__ import annotations

import msgspec
import pytest
from tests.trace.test_statement_life import COUNT, REWRITE, RULE, TERMS, Trace, always, live

from dbgate.errors import AuditUnavailable, StatementError
from dbgate.gate.decide import Judgement
from dbgate.gate.syntax import Source
from dbgate.model import Allow, Measured, NeedsMeasure
from dbgate.session.effects import Measure
from dbgate.session.life import unreadable_life

FULL = AuditUnavailable("no space left on device")
ANYHOW = NeedsMeasure((COUNT,), (RULE,), otherwise=Allow("UPDATE payroll.employees SET dept = 1"))


def test_rows_that_only_reviewers_would_see_may_stay_uncounted() -> None:
    error = StatementError("division by zero", sqlstate="22012")
    trace = live(always(ANYHOW), replies={Measure: error})
    assert trace.run.text == "UPDATE payroll.employees SET dept = 1"
    assert trace.shown[0][1] == "the rows it touches could not be counted: division by zero"
    assert trace.finished.exit_code == 0


def test_what_has_drifted_is_not_run_uncounted() -> None:
    trace = live(always(ANYHOW), replies={Measure: StatementError("no such table", sqlstate="42P01")})
    assert "Run" not in trace.names
    assert trace.finished.exit_code == 1


def test_nothing_is_counted_when_the_look_cannot_be_recorded() -> None:
    trace = live(always(ANYHOW), fails={"notice": FULL})
    assert {"Measure", "Run"}.isdisjoint(trace.names)
    assert (trace.finished.exit_code, bool(trace.finished.closes)) == (6, True)


def test_a_text_that_is_no_sql_ends_the_session_when_it_cannot_be_recorded() -> None:
    error = StatementError("syntax error", sqlstate="42601")
    trace = Trace(unreadable_life(error, "SELEC 1", 1, TERMS), fails={"statement.intent": FULL})
    assert trace.names == ["statement.intent", "Show"]
    assert (trace.finished.exit_code, bool(trace.finished.closes)) == (6, True)


@pytest.mark.parametrize("measured", [False, True])
def test_a_judgement_that_cannot_be_recorded_runs_nothing(measured: bool) -> None:
    def judge(source: Source, rows: Measured | None) -> Judgement:
        if measured and rows is None:
            return always(ANYHOW)(source, rows)
        raise FULL

    trace = live(judge, replies={Measure: Measured(())})
    assert "Run" not in trace.names
    assert (trace.finished.exit_code, bool(trace.finished.closes)) == (6, True)


def test_a_dry_run_names_the_rules() -> None:
    trace = live(always(REWRITE), terms=msgspec.structs.replace(TERMS, dry_run=True))
    assert trace.finished.detail["rules"] == ["staff-read"]
    assert trace.finished.detail["masked"] == ["payroll.employees.ssn"]
