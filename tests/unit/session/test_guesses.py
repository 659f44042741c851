"""Guesses at hidden values by the errors of constraints: flagged, and few in a session."""

from __future__ import annotations

import pytest
from tests.catalogs import judged

from dbgate.errors import StatementError
from dbgate.model import Allow, Deny, Outcome
from dbgate.session.effects import Failed
from dbgate.session.guesses import MAX_GUESSES, Guesses, tells

GUESS = "INSERT INTO payroll.employees (id, ssn) VALUES (9, 'a guess')"
TAKEN = Outcome("error", sqlstate="23505")


@pytest.mark.parametrize(
    ("sql", "guesses"),
    [
        (GUESS, ("payroll.employees.ssn",)),
        (
            "UPDATE payroll.employees SET ssn = 'x', salary = 1 WHERE id = 1",
            ("payroll.employees.salary", "payroll.employees.ssn"),
        ),
        ("INSERT INTO payroll.employees (id, full_name) VALUES (9, 'x')", ()),
        ("DELETE FROM payroll.employees WHERE id = 9", ()),
        ("SELECT id FROM payroll.employees WHERE ssn = 'x'", ()),
    ],
)
def test_a_write_to_a_hidden_column_may_be_a_guess(sql: str, guesses: tuple[str, ...]) -> None:
    assert judged(sql).guesses == guesses


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (TAKEN, True),
        (Outcome("error", sqlstate="23503"), True),
        (Outcome("INSERT 0 0"), True),
        (Outcome("INSERT 0 1"), False),
        (Outcome("error", sqlstate="22001"), False),
    ],
)
def test_what_its_outcome_tells(outcome: Outcome, told: bool) -> None:
    assert tells(judged(GUESS), outcome) is told
    assert not tells(judged("INSERT INTO payroll.employees (id) VALUES (9)"), outcome)


def test_a_session_has_few_guesses() -> None:
    guesses, guess = Guesses(), judged(GUESS)
    failed = Failed(StatementError("taken", sqlstate="23505"), TAKEN)
    for _ in range(MAX_GUESSES):
        assert isinstance(guesses.bounded(guess).decision, Allow)
        guesses.note(guess, failed)
        guesses.note(guess, Outcome("INSERT 0 1"))
    decision = guesses.bounded(guess).decision
    assert isinstance(decision, Deny)
    assert "payroll.employees.ssn" in decision.reason
    other = judged("INSERT INTO payroll.employees (id) VALUES (9)")
    assert guesses.bounded(other) is other
