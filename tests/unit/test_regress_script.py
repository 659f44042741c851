"""Reading psql scripts for the comparison, and what counts as the same answer."""

from __future__ import annotations

import pytest
from tools.regress.outcomes import group_of
from tools.regress.script import Command, Statement, read_arguments, read_script, replace_variables
from tools.regress.seen import Seen, difference, says


def texts(script: str) -> list[str]:
    return [
        item.text if isinstance(item, Statement) else f"\\{item.name} {item.argument}".strip()
        for item in read_script(script)
    ]


@pytest.mark.parametrize(
    ("script", "items"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';' -- not; here\n;", ["SELECT ';' -- not; here"]),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
            ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)"],
        ),
        ("\\set x 1\nSELECT :x;", ["\\set x 1", "SELECT :x"]),
        ("SELECT 1\n\\pset null ''\n;", ["\\pset null ''", "SELECT 1"]),
        ("SELECT $$a;b$$;SELECT 3;", ["SELECT $$a;b$$", "SELECT 3"]),
    ],
)
def test_statements_and_commands(script: str, items: list[str]) -> None:
    assert texts(script) == items


def test_what_sends_a_statement() -> None:
    first, second, third = read_script("SELECT 1 AS a \\gset p_\nSELECT 2 \\gexec\nSELECT 3\\; SELECT 4;")
    assert first == Statement("SELECT 1 AS a", 1, "gset", "p_")
    assert second == Statement("SELECT 2", 2, "gexec")
    assert isinstance(third, Statement)
    assert third.joined


def test_the_lines_of_a_copy_belong_to_it() -> None:
    copy, command, select = read_script("COPY t (a) FROM stdin;\n1\t';\n\\.\n\\copy t from stdin\nx\n\\.\nSELECT 1;")
    assert copy == Statement("COPY t (a) FROM stdin", 1, data="1\t';\n")
    assert command == Command("copy", "t from stdin", 4, "x\n")
    assert select == Statement("SELECT 1", 7)


def test_variables() -> None:
    known = {"n": "5", "s": "it's"}
    assert replace_variables("SELECT :n, :'s', :\"n\", ':n', a::n, :other", known) == (
        "SELECT 5, 'it''s', \"5\", ':n', a::n, :other"
    )
    assert read_arguments("file :s '/data/x'':n'", known) == ["file", "it's", "/data/x':n"]
    assert read_arguments(":{?n} :{?m}", known) == ["TRUE", "FALSE"]


@pytest.mark.parametrize(
    ("shown", "message", "same"),
    [
        ("division by zero", "division by zero", True),
        ('invalid input syntax for type integer: "…"', 'invalid input syntax for type integer: "12a"', True),
        ('column "…" does not exist', 'relation "x" does not exist', False),
        ("a function or trigger raised an error: raise exception (text withheld)", "anything", True),
        ("", "division by zero", False),
    ],
)
def test_messages_without_values(shown: str, message: str, same: bool) -> None:
    assert says(shown, message) is same


def test_an_order_counts_where_it_was_asked_for() -> None:
    one = Seen(["a"], [23], [("1",), ("2",)], "SELECT 2")
    other = Seen(["a"], [23], [("2",), ("1",)], "SELECT 2")
    assert difference(one, other) == ""
    assert difference(one, other, ordered=True).startswith("rows: row 1")
    assert difference(one, Seen(["a"], [23], [("1",), ("1",)], "SELECT 2")).startswith("rows")


def test_denials_are_grouped_without_names() -> None:
    assert group_of("the function lo_get is refused: it reads") == "function refused: it reads"
    assert group_of("public.t has columns that you see only masked: a, b") == "definition over masked columns"
