"""Statements that nest deeper than the interpreter's stack, and those that nest too deeply for anybody."""

from __future__ import annotations

import sys

import pytest
from tests.catalogs import CATALOG, NOW, STAFF, judged, policy

from dbgate.errors import StatementError
from dbgate.gate.decide import Context, judge
from dbgate.gate.depth import deeply
from dbgate.gate.splice import normal
from dbgate.gate.syntax import parse_one, split
from dbgate.model import Allow, Deny, Rewrite


@pytest.mark.parametrize(
    "expression",
    [
        "+".join(["id"] * 2000),
        "||".join(["'a'"] * 2000),
        "NOT " * 1500 + "true",
        "(SELECT " * 300 + "1" + ")" * 300,
        "CASE WHEN true THEN 1 ELSE " * 300 + "0" + " END" * 300,
    ],
)
def test_long_chains_are_judged(expression: str) -> None:
    decision = judged(f"SELECT {expression} FROM payroll.departments").decision
    assert isinstance(decision, Allow | Rewrite)


def test_masks_stand_in_long_chains_too() -> None:
    decision = judged("SELECT " + "||".join(["ssn"] * 1500) + " FROM payroll.employees").decision
    assert isinstance(decision, Rewrite)
    assert decision.output == (0,)
    assert "right(ssn, 4)" in decision.text


def test_what_nests_too_deeply_is_refused_clearly() -> None:
    limit = sys.getrecursionlimit()
    with pytest.raises(StatementError, match="nests too deeply"):
        parse_one("SELECT " + "+".join(["1"] * 30_000))
    assert sys.getrecursionlimit() == limit
    refused = judged("SELECT " + "+".join(["1"] * 9_000)).decision
    assert isinstance(refused, Deny | Allow)  # by the interpreter's version
    with pytest.raises(StatementError, match="memory exhausted"):
        parse_one("SELECT " + "(" * 20_000 + "1" + ")" * 20_000)


def test_what_no_stack_holds_is_refused_and_recorded_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = split("SELECT 'secret' || " + "||".join(["id"] * 2000) + " FROM payroll.departments")
    monkeypatch.setattr("dbgate.gate.depth.MAX_FRAMES", sys.getrecursionlimit())
    judgement = judge(source, Context(STAFF, policy(), CATALOG, "production", NOW))
    assert judgement.decision == Deny("the statement nests too deeply", hint="write it flatter")
    assert judgement.recorded_text.startswith("SELECT '***' || id")


def test_errors_come_back_from_the_deep_stack() -> None:
    def fails(depth: int) -> object:
        if depth:
            return fails(depth - 1)
        raise StatementError("at the bottom")

    with pytest.raises(StatementError, match="at the bottom"):
        deeply(lambda: fails(5_000))
    with pytest.raises(RecursionError):
        deeply(lambda: normal(_nested(50_000)))


def _nested(depth: int) -> object:
    made: object = []
    for _ in range(depth):
        made = [made]
    return made
