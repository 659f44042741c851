"""Statements and backslash commands as they are typed."""

from __future__ import annotations

import pytest

from dbgate.doors.shell.pieces import Piece, Typed, cut, is_complete


def sql(*texts: str) -> tuple[Piece, ...]:
    return tuple(Piece(text) for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n ",
        "select 1;",
        "select 1; ",
        "select 1; -- done",
        "select 1; /* done */",
        "select ';';",
        "select 1;\nselect 2;",
        "select $$;$$;",
        "select $a$ $$ ; $a$;",
        "select E'it\\'s;';",
        "\\d",
        "\\d it's",
        "\\i it's.sql",
        "select 1 \\gx",
        "select 1 \\g",
        "select 1\n\\q",
        "-- only a comment",
        ";",
        "create function f() returns int begin atomic select case when true then 1 end; select 2; end;",
    ],
)
def test_enter_sends(text: str) -> None:
    assert is_complete(text)


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("select 1", "-"),
        ("select ';", "'"),
        ("select 'it''s;", "'"),
        ('select "a;', '"'),
        ("select $$ ;", "$"),
        ("select $a$ ; $$", "$"),
        ("select 1 /* ;", "*"),
        ("select 1; /* ;", "*"),
        ("select 1 -- ;", "-"),
        ("select (1;", "("),
        ("select 1; select 2", "-"),
        ("create function f() returns int begin atomic select 1;", "-"),
        ("select 'a\n\\q", "'"),
        ("\\d\nselect 1", "-"),
    ],
)
def test_enter_starts_a_new_line(text: str, opened: str) -> None:
    assert not is_complete(text)
    assert cut(text).opened == opened


def test_several_statements_and_commands() -> None:
    typed = cut("select 1;\n\\d foo'bar\n  select ';' ; ;\n\\x\n\nselect 3")
    assert typed == Typed(
        (
            Piece("select 1;"),
            Piece("\\d foo'bar", is_command=True),
            Piece("select ';' ;"),
            Piece("\\x", is_command=True),
        ),
        rest="select 3",
        opened="-",
    )


def test_a_command_amid_a_statement_leaves_the_statement() -> None:
    typed = cut("select 1,\n\\d t\n2")
    assert typed.pieces == (Piece("\\d t", is_command=True),)
    assert typed.rest == "select 1,\n2"
    assert cut("select 1,\n\\d t\n2;").pieces == (Piece("\\d t", is_command=True), Piece("select 1,\n2;"))


def test_a_backslash_within_a_line_of_sql_is_left_to_the_parser() -> None:
    assert cut("select \\ 1;").pieces == sql("select \\ 1;")
    assert cut("select 'a\\gx';").pieces == sql("select 'a\\gx';")


def test_g_with_a_file_is_no_command_and_runs_nothing() -> None:
    assert cut("select 1 \\g /tmp/x\nselect 2;").pieces == (Piece("\\g /tmp/x", is_command=True), Piece("select 2;"))
    assert cut("select 1 \\g ;\nselect 2;").pieces == sql("select 1", "select 2;")


def test_gx_asks_for_expanded_output_once() -> None:
    assert cut("select 1 \\gx").pieces == (Piece("select 1", expanded=True),)
    assert cut("select 1\n\\gx\nselect 2;").pieces == (Piece("select 1", expanded=True), Piece("select 2;"))
    assert cut("select 1 \\g ;").pieces == (Piece("select 1"),)


def test_comments_belong_to_their_statement() -> None:
    assert cut("/* why; */ select 1; -- tail").pieces == sql("/* why; */ select 1;")


def test_a_large_paste_is_cut_quickly() -> None:
    text = "insert into t values (1, 'a;b');\n" * 30_000
    typed = cut(text)
    assert len(typed.pieces) == 30_000
    assert typed.pieces[-1] == Piece("insert into t values (1, 'a;b');")
