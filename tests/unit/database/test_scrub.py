"""What of a server's message may be shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbgate.database.scrub import GONE, identifiers, scrub

NAMES = frozenset({"employees", "payroll", "ssn", "integer", "character varying", "employees_pkey"})

SECRETS = ("666-12-3456", "ada@example.com", "Løvelace", "12345", "x=1", 'a" and "b', "a'b", "two\nlines", "")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ('invalid input syntax for type integer: "666-12-3456"', 'invalid input syntax for type integer: "…"'),
        ('invalid input syntax for type integer: "a" b "c"', 'invalid input syntax for type integer: "…"'),
        ('invalid input syntax for type integer: "ssn" 666 "ssn"', 'invalid input syntax for type integer: "…"'),
        ('value "99999999999" is out of range for type integer', 'value "…" is out of range for type integer'),
        ('value "a" is "b" is out of range for type integer', 'value "…" is out of range for type integer'),
        ('column "ssn" does not exist', 'column "ssn" does not exist'),
        ('column "other" of relation "employees" does not exist', 'column "…" does not exist'),
        ('relation "payroll.employees" does not exist', 'relation "payroll.employees" does not exist'),
        ('relation "payroll.secret" does not exist', 'relation "…" does not exist'),
        ('duplicate key violates "employees_pkey"', 'duplicate key violates "employees_pkey"'),
        ("value too long for type character varying(80)", "value too long for type character varying(80)"),
        ("numeric(10,2) overflow of 123.45", "numeric(10,2) overflow of …"),
        ("there is no parameter $12", "there is no parameter $12"),
        ("could not open relation with OID 16384", "could not open relation with OID …"),
        ("mail to ada@example.com failed", "mail to … failed"),
        ("salary of Løvelace", "salary of …"),
        ("valeur « 666-12-3456 » refusée", "valeur «…» …"),
        ("Wert „666“ ungültig", "Wert „…“ …"),
        ("the value '666-12-3456' is wrong", "the value '…' is wrong"),
        ("can't do that, it doesn't work", "can't do that, it doesn't work"),
        ("permission denied for table employees", "permission denied for table employees"),
        ('an open quote "666-12-3456', "an open quote …"),
        ("two\nlines\tof   text", "two lines of text"),
        ('time zone "666" not recognized', 'time zone "…" not recognized'),
    ],
)
def test_only_names_stay(message: str, shown: str) -> None:
    assert scrub(message, "", NAMES) == shown


@pytest.mark.parametrize(
    ("message", "text", "shown"),
    [
        ('syntax error at or near "selec"', "selec 1", 'syntax error at or near "selec"'),
        (
            'invalid input syntax for type integer: "abc"',
            "select 'abc'::int",
            'invalid input syntax for type integer: "abc"',
        ),
        (
            'invalid input syntax for type integer: "abc"',
            "select 'abcd'::int",
            'invalid input syntax for type integer: "…"',
        ),
        ('invalid input syntax for type integer: "12"', "select 123", 'invalid input syntax for type integer: "…"'),
        (
            "ORDER BY position 5 is not in select list",
            "select 1 order by 5",
            "ORDER BY position 5 is not in select list",
        ),
        (
            "ORDER BY position 5 is not in select list",
            "select 1 order by 55",
            "ORDER BY position … is not in select list",
        ),
        ('relation "Nope" does not exist', 'select * from "Nope"', 'relation "Nope" does not exist'),
    ],
)
def test_what_the_statement_says_itself_stays(message: str, text: str, shown: str) -> None:
    assert scrub(message, text) == shown


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "message",
    [
        'invalid input syntax for type integer: "{}"',
        'invalid input value for enum mood: "{}"',
        'date/time field value out of range: "{}"',
        'malformed array literal: "{}"',
        "unit '{}' not supported",
        'invalid value "{}" for "YYYY"',
    ],
)
def test_a_value_never_stays(message: str, secret: str) -> None:
    shown = scrub(message.format(secret), "", NAMES)
    assert GONE in shown
    assert not secret or secret not in shown
    assert "666" not in shown


@settings(database=None, deadline=None)
@given(st.text(min_size=4).filter(lambda value: not value.isspace() and "…" not in value))
def test_no_value_at_the_end_of_a_message_survives(value: str) -> None:
    shown = scrub(f'invalid input syntax for type integer: "{value}"', "", NAMES)
    assert shown == 'invalid input syntax for type integer: "…"'


@settings(database=None, deadline=None)
@given(st.text(alphabet="ab0123456789-@\" '«»“”\n", min_size=1, max_size=30))
def test_no_digits_survive_wherever_the_value_stands(value: str) -> None:
    shown = scrub(f'value "{value}" is out of range, near {value}', "", NAMES)
    assert not any(char.isdigit() for char in shown)


def test_a_message_stays_short_and_on_one_line() -> None:
    shown = scrub("word " * 10_000)
    assert len(shown) <= 500
    assert "\n" not in scrub("a\nb")


def test_identifiers_are_those_outside_of_literals_and_comments() -> None:
    text = (
        'SELECT "Odd ""Name""", Plain FROM s.t -- secret1\n'
        "WHERE a = 'secret2 ''x' AND b = $tag$secret3$tag$ /* secret4 */ AND c = E'it\\'s secret5'"
    )
    found = identifiers(text)
    assert {'Odd "Name"', "plain", "s", "t", "a", "b", "c"} <= found
    assert not any("secret" in name for name in found)
