"""Constants that meet labelled columns stay out of what the server repeats."""

from __future__ import annotations

from dbgate.session.masking import hidden_values, hide


def test_only_constants_that_the_record_leaves_out_are_hidden() -> None:
    text = "SELECT 'open' FROM t WHERE ssn = 'O''Brien 1' AND pay > 41234 AND n = 5"
    recorded = "SELECT 'open' FROM t WHERE ssn = '***' AND pay > '***' AND n = 5"
    assert hidden_values(text, recorded) == {"O'Brien 1", "41234"}


def test_a_constant_that_stands_twice_and_is_left_out_once_is_hidden() -> None:
    assert hidden_values("SELECT 'x1' WHERE ssn = 'x1'", "SELECT 'x1' WHERE ssn = '***'") == {"x1"}


def test_parameters_that_the_record_leaves_out_are_hidden() -> None:
    assert hidden_values("SELECT $1, $2", "SELECT $1, $2", ("a", None), ("***", None)) == {"a"}


def test_dollar_quotes_are_taken_off() -> None:
    assert hidden_values("SELECT $q$it's$q$", "SELECT '***'") == {"it's"}


def test_values_are_hidden_in_plans_and_messages() -> None:
    plan = "Filter: (ssn = 'O''Brien 1'::text) AND (pay > '41234'::numeric) AND (initial = '9'::text) rows=9"
    hidden = hide(plan, {"O'Brien 1", "41234", "9"})
    assert hidden == "Filter: (ssn = '***'::text) AND (pay > '***'::numeric) AND (initial = '***'::text) rows=9"
    assert hide('invalid input syntax for type integer: "O\'Brien 1"', {"O'Brien 1"}).endswith('"***"')


def test_a_long_number_is_hidden_as_a_whole_word_only() -> None:
    assert hide("cost 41234 of 412345", {"41234"}) == "cost *** of 412345"
