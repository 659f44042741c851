"""What each format writes, and that data cannot play tricks in it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from dbgate.doors.formats import FORMATS, Batch, open_writer, write_result
from dbgate.doors.formats.csv import defuse
from dbgate.doors.formats.layout import LEAST_SHRUNK
from dbgate.doors.formats.style import unstyled
from dbgate.errors import StatementError, UsageError
from dbgate.model import Column

PEOPLE = [Column("id", "integer"), Column("name", "text"), Column("ssn", "text")]
ROWS: Batch = [("1", "Pia", "***4321"), ("20", None, "***1")]
NASTY = "\x1b]0;owned\x07\x9b31m\u202etxt.exe\u2066\x00\x7f\u2028"


def written(
    format_name: str, columns: Sequence[Column], rows: Batch, masked: Sequence[int] = (), **options: Any
) -> str:
    stream = io.BytesIO()
    writer = open_writer(format_name, stream, **options)
    writer.begin(columns, masked)
    writer.rows(list(rows))
    writer.end(f"SELECT {len(rows)}", len(rows), [])
    writer.close()
    return stream.getvalue().decode("utf-8")


def masked_result(format_name: str) -> str:
    stream = io.StringIO()
    writer = open_writer(format_name, stream)
    writer.begin(PEOPLE, [2])
    writer.rows(list(ROWS))
    writer.end("SELECT 2", 2, ["ssn"])
    writer.begin([], [])
    writer.end("UPDATE 3", 3, [])
    writer.close()
    return stream.getvalue()


def test_table() -> None:
    assert masked_result("table") == (
        " id | name | ssn •\n"
        "----+------+---------\n"
        "  1 | Pia  | ***4321\n"
        " 20 | NULL | ***1\n"
        "(2 rows)\n"
        "masked: ssn\n"
        "\n"
        "UPDATE 3\n"
    )


def test_csv() -> None:
    assert masked_result("csv") == "id,name,ssn\n1,Pia,***4321\n20,,***1\n"


def test_json() -> None:
    assert masked_result("json") == (
        '[{"columns": [{"name": "id", "type": "integer"}, {"name": "name", "type": "text"}, '
        '{"name": "ssn", "type": "text"}], "rows": [\n'
        ' [1, "Pia", "***4321"],\n'
        ' [20, null, "***1"]\n'
        '], "row_count": 2, "masked": ["ssn"], "status": "SELECT 2"},\n'
        '{"columns": [], "rows": [], "row_count": 3, "masked": [], "status": "UPDATE 3"}]\n'
    )


def test_ndjson() -> None:
    assert masked_result("ndjson") == (
        '{"id": 1, "name": "Pia", "ssn": "***4321"}\n{"id": 20, "name": null, "ssn": "***1"}\n'
    )


def test_markdown() -> None:
    assert masked_result("markdown") == (
        "| id | name | ssn |\n"
        "| ---: | --- | --- |\n"
        "| 1 | Pia | \\*\\*\\*4321 |\n"
        "| 20 | *NULL* | \\*\\*\\*1 |\n"
        "\n"
        "masked: ssn\n"
        "\n"
        "UPDATE 3\n"
    )


def test_json_without_statements_is_an_empty_array() -> None:
    stream = io.StringIO()
    open_writer("json", stream).close()
    assert json.loads(stream.getvalue()) == []


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        open_writer("jsno", io.StringIO())
    assert caught.value.message == "no such format: jsno"
    assert caught.value.hint == "did you mean json?"


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("batches", [[], [[]], [ROWS], [ROWS[:1], [], ROWS[1:]]])
def test_batching_does_not_show(format_name: str, batches: list[Batch]) -> None:
    stream = io.StringIO()
    writer = open_writer(format_name, stream)
    writer.begin(PEOPLE, [])
    for batch in batches:
        writer.rows(list(batch))
    rows = [row for batch in batches for row in batch]
    writer.end(f"SELECT {len(rows)}", len(rows), [])
    writer.close()
    assert stream.getvalue() == written(format_name, PEOPLE, rows)


@pytest.mark.parametrize("format_name", ["table", "json", "ndjson", "markdown"])
def test_nothing_that_steers_a_terminal_comes_out(format_name: str) -> None:
    for columns, row in (
        ([Column("x", "text")], (NASTY,)),
        ([Column(NASTY, NASTY)], ("x",)),
        ([Column("n", "integer")], (NASTY,)),
        ([Column("b", "boolean")], (NASTY,)),
        ([Column("j", "jsonb")], (json.dumps(NASTY, ensure_ascii=False),)),
        ([Column("j", "json")], (NASTY,)),
    ):
        text = written(format_name, columns, [row])
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028]", text), (columns, text)


def test_colours_are_the_only_escapes_in_a_table() -> None:
    text = written("table", [Column("x", "text")], [(NASTY,), (None,)], color=True, masked=[0])
    assert "\x1b" in text
    plain = written("table", [Column("x", "text")], [(NASTY,), (None,)], masked=[0])
    assert [line.rstrip() for line in unstyled(text).splitlines()] == plain.splitlines()
    assert "\x1b" not in unstyled(text)


def test_csv_goes_raw_to_files_and_harmless_to_terminals() -> None:
    column = [Column("x", "text")]
    assert written("csv", column, [("a\x1b[31m\tb",)]) == "x\na\x1b[31m\tb\n"
    assert written("csv", column, [("a\x1b[31m\tb\u202e",)], is_terminal=True) == "x\na\\x1b[31m\tb\\u202e\n"


def test_csv_tells_null_from_the_empty_string_and_reads_back() -> None:
    columns = [Column("a", "text"), Column("b", "text")]
    rows: Batch = [("x", None), ("", "y"), ('say "hi"', "a,b"), ("two\nlines", "car\rriage"), (" blank ", "ü日本")]
    text = written("csv", columns, rows)
    assert text == ('a,b\nx,\n"",y\n"say ""hi""","a,b"\n"two\nlines","car\rriage"\n blank ,ü日本\n')
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[1:] == [[cell or "" for cell in row] for row in rows]


@pytest.mark.parametrize("cell", ["=1+1", "+49", "-1", "@SUM(A1)", "\t=1", "\r=1"])
@pytest.mark.parametrize("type_name", ["text", "character varying(20)", "public.colour", "name", "citext", "xml"])
def test_csv_defuses_formulas_in_text(cell: str, type_name: str) -> None:
    text = written("csv", [Column("x", type_name)], [("harmless",), (cell,), (None,)])
    assert next(csv.reader(io.StringIO(text.split("\n", 2)[2], newline=""))) == [f"'{cell}"]


@pytest.mark.parametrize(
    ("cell", "type_name"),
    [
        ("-1", "integer"),
        ("-1.5", "numeric(10,2)"),
        ("-1e-05", "double precision"),
        ("-1 days", "interval"),
        ("-$1.00", "money"),
        ("-infinity", "timestamp(3) with time zone"),
        ("-1", "jsonb"),
    ],
)
def test_csv_leaves_numbers_and_dates_alone(cell: str, type_name: str) -> None:
    assert written("csv", [Column("x", type_name)], [(cell,)]).splitlines()[1] == cell


def test_csv_defuses_column_names_too() -> None:
    assert written("csv", [Column("=cmd()", "integer")], [("1",)]).splitlines()[0] == "'=cmd()"


def test_defuse_is_pure_and_touches_only_the_beginning() -> None:
    assert [defuse(cell) for cell in ("", "a=1", "=1", "'=1")] == ["", "a=1", "'=1", "'=1"]


@pytest.mark.parametrize(
    ("cell", "type_name", "expected"),
    [
        ("-5", "bigint", "-5"),
        ("9223372036854775807", "bigint", "9223372036854775807"),
        ("1234567890123456789.000000000000000100", "numeric", "1234567890123456789.000000000000000100"),
        ("0.10", "numeric(10,2)", "0.10"),
        ("NaN", "numeric", '"NaN"'),
        ("-Infinity", "double precision", '"-Infinity"'),
        ("1e+20", "double precision", "1e+20"),
        ("***", "integer", '"***"'),
        ("1,2", "integer", '"1,2"'),
        ("007", "numeric", '"007"'),
        ("t", "boolean", "true"),
        ("f", "boolean", "false"),
        ("?", "boolean", '"?"'),
        ('{"a": 1.50, "a": 2}', "json", '{"a": 1.50, "a": 2}'),
        ('{"a":\n\t[1,\r\n2]}', "json", '{"a":  [1,  2]}'),
        ('"\x9b\u202e"', "jsonb", '"\\u009b\\u202e"'),
        ("{not json", "json", '"{not json"'),
        ("NaN", "jsonb", '"NaN"'),
        ("1} , {", "jsonb", '"1} , {"'),
        ("{1,2}", "integer[]", '"{1,2}"'),
        ("2024-01-01", "date", '"2024-01-01"'),
        ("é日\U000e0001", "text", '"é日\\udb40\\udc01"'),
        ("\ud800", "text", '"\\ud800"'),
        (None, "jsonb", "null"),
        (None, "integer", "null"),
    ],
)
def test_json_cells(cell: str | None, type_name: str, expected: str) -> None:
    text = written("json", [Column("x", type_name)], [(cell,)])
    assert text.splitlines()[1] == f" [{expected}]"
    json.loads(text)
    line = written("ndjson", [Column("x", type_name)], [(cell,)])
    assert line == f'{{"x": {expected}}}\n'


def test_a_json_number_of_any_length_or_a_deep_value_does_not_break_it() -> None:
    deep = "[" * 100_000
    for cell in ("9" * 5000, deep):
        text = written("json", [Column("x", "jsonb")], [(cell,)])
        assert cell in text


def test_ndjson_names_stay_distinct() -> None:
    columns = [Column(name, "text") for name in ("a", "a", "a_2", "a", "%s")]
    line = written("ndjson", columns, [("1", "2", "3", "4", "5")])
    assert json.loads(line) == {"a": "1", "a_3": "2", "a_2": "3", "a_4": "4", "%s": "5"}


def test_markdown_shows_data_literally() -> None:
    cell = "a|b `c` *d* [e](javascript:f) ![g](h) <i> &lt; _j_ snake_case ~k~ \\ http://evil www.evil\nl"
    text = written("markdown", [Column("x", "text")], [(cell,)])
    assert text.splitlines()[2] == (
        "| a\\|b \\`c\\` \\*d\\* \\[e\\](javascript:f) \\!\\[g\\](h) &lt;i> &amp;lt; \\_j\\_ snake_case \\~k\\~ \\\\ "
        "http&#58;//evil www&#46;evil<br>l |"
    )


def test_table_aligns_wide_and_combining_characters_and_many_lines() -> None:
    rows: Batch = [("1", "日本"), ("2", "e\u0301a\tb"), ("3", "one\ntwo")]
    assert written("table", [Column("n", "integer"), Column("t", "text")], rows) == (
        " n | t\n---+---------\n 1 | 日本\n 2 | e\u0301a    b\n 3 | one    +\n   | two\n(3 rows)\n\n"
    )


def test_table_without_rows_and_with_a_status_of_its_own() -> None:
    assert written("table", PEOPLE[:2], []) == " id | name\n----+------\n(0 rows)\n\n"
    stream = io.StringIO()
    writer = open_writer("table", stream)
    writer.begin(PEOPLE[:1], [])
    writer.rows([("1",)])
    writer.end("INSERT 0 1", 1, [])
    assert stream.getvalue() == " id\n----\n  1\n(1 row)\nINSERT 0 1\n\n"


def test_expanded_table() -> None:
    text = written("table", PEOPLE, [("1", "Pia\nPan", None)], expanded="on", null="~")
    assert text == ("-[ RECORD 1 ]--------\nid   | 1\nname | Pia\n     | Pan\nssn  | ~\n(1 row)\n\n").replace(
        "-[ RECORD 1 ]--------", text.splitlines()[0]
    )
    assert text.startswith("-[ RECORD 1 ]")


def test_a_table_expands_by_itself_only_when_it_cannot_fit_the_terminal() -> None:
    columns = [Column(f"column_{i}", "text") for i in range(6)]
    row: Batch = [tuple("v" * 30 for _ in columns)]
    assert written("table", columns, row, expanded="auto", width=80).startswith("-[ RECORD 1 ]")
    assert written("table", columns, row, expanded="auto", width=250).startswith(" column_0 ")
    assert written("table", columns, row, expanded="auto").startswith(" column_0 ")
    assert written("table", columns, row, expanded="off", width=80).startswith(" column_0 ")


def test_long_text_is_cut_to_the_terminal_and_numbers_never() -> None:
    columns = [Column("n", "numeric"), Column("t", "text")]
    rows: Batch = [("9" * 40, "x" * 500), ("1", "日本" * 200)]
    text = written("table", columns, rows, expanded="auto", width=80)
    lines = text.splitlines()
    assert lines[2].startswith(f" {'9' * 40} | {'x' * 33}…")
    assert lines[4] == "(2 rows; long values are cut, \\x shows them whole)"
    assert all(len(line) <= 80 for line in lines)
    assert "x" * 500 in written("table", columns, rows)
    assert "x" * 500 in written("table", columns, rows, expanded="on", width=80)


def test_a_huge_value_is_clipped_on_the_screen_only() -> None:
    columns = [Column("t", "text")]
    rows: Batch = [("\x1b" + "é" * 3_000_000,)]
    for expanded in ("on", "auto"):
        text = written("table", columns, rows, expanded=expanded, width=80, max_cell=2000)
        assert len(text) < 110_000
        assert (
            text.splitlines()[-2] == "(1 row; values are cut after 100,000 characters, dbgate exec writes them whole)"
        )
    assert "é" * 3_000_000 in written("table", columns, rows)


def test_headings_are_never_cut() -> None:
    columns = [Column("a_rather_long_heading_that_needs_its_room", "text"), Column("b", "text")]
    rows: Batch = [("x", "y" * 300)]
    text = written("table", columns, rows, expanded="auto", width=41 + LEAST_SHRUNK + 6)
    assert text.splitlines()[0].startswith(" a_rather_long_heading_that_needs_its_room |")
    assert "y" * (LEAST_SHRUNK - 1) + "…" in text


def test_rows_beyond_the_measured_ones_stream_with_the_same_widths() -> None:
    stream = io.StringIO()
    writer = open_writer("table", stream)
    writer.begin([Column("n", "integer"), Column("t", "text")], [])
    writer.rows([("1", "a")] * 999)
    assert stream.getvalue() == ""
    writer.rows([("2", "b")])
    begun = stream.getvalue()
    assert begun.count("\n") == 1002
    writer.rows([("12345", "much longer")])
    assert stream.getvalue() == begun + " 12345 | much longer\n"


def test_few_huge_rows_are_not_held_back() -> None:
    stream = io.StringIO()
    writer = open_writer("table", stream)
    writer.begin([Column("t", "text")], [])
    for _ in range(3):
        writer.rows([("x" * 2_000_000,)])
    assert stream.getvalue().count("x") == 6_000_000


def test_an_ascii_stream_gets_ascii_marks() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    writer = open_writer("table", stream, width=40, expanded="auto")
    writer.begin([Column("t", "text")], [0])
    writer.rows([("é" + "x" * 50,)])
    writer.end("SELECT 1", 1, ["t"])
    writer.close()
    text = raw.getvalue().decode("ascii")
    assert text.splitlines()[0].rstrip() == " t *"
    assert "\\xe9xxx" in text
    assert "x..." in text


class FakeRows:
    def __init__(self, columns: Sequence[Column], batches: Sequence[Batch], status: str, error: bool = False) -> None:
        self.columns = tuple(columns)
        self._batches = batches
        self.status = status
        self.affected = 7
        self._error = error

    def batches(self) -> Iterator[Batch]:
        yield from (list(batch) for batch in self._batches)
        if self._error:
            raise StatementError("division by zero", sqlstate="22012")

    def close(self) -> None:
        raise AssertionError("nobody asked for it")


def test_write_result_counts_and_hashes_independently_of_batches() -> None:
    one = write_result(FakeRows(PEOPLE, [ROWS], "SELECT 2"), open_writer("csv", io.BytesIO()), [2])
    two = write_result(FakeRows(PEOPLE, [ROWS[:1], ROWS[1:]], "SELECT 2"), open_writer("json", io.BytesIO()), [2])
    assert one == two
    assert (one.status, one.rows) == ("SELECT 2", 2)
    assert one.size_bytes == len('["1","Pia","***4321"]\n["20",null,"***1"]\n')
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", one.digest)
    other = write_result(FakeRows(PEOPLE, [[("1", "Pia", None)]], "S"), open_writer("csv", io.BytesIO()), [])
    assert other.digest != one.digest


def test_write_result_of_a_statement_without_rows() -> None:
    outcome = write_result(FakeRows((), [], "UPDATE 7"), open_writer("json", stream := io.StringIO()), [])
    assert (outcome.status, outcome.rows, outcome.digest, outcome.size_bytes) == ("UPDATE 7", 7, "", 0)
    assert '"row_count": 7' in stream.getvalue()


@pytest.mark.parametrize(
    ("format_name", "expected"),
    [
        ("table", "--\n(2 rows)\n\n"),
        ("csv", "\n\n"),
        (
            "json",
            '[{"columns": [], "rows": [\n [],\n []\n], "row_count": 2, "masked": [], "status": "SELECT 2"}]\n',
        ),
        ("ndjson", "{}\n{}\n"),
        ("markdown", "(2 rows)\n"),
    ],
)
def test_rows_without_columns_are_counted(format_name: str, expected: str) -> None:
    stream = io.StringIO()
    writer = open_writer(format_name, stream)
    outcome = write_result(FakeRows((), [[(), ()]], "SELECT 2"), writer, [])
    writer.close()
    assert (outcome.rows, outcome.size_bytes) == (2, 6)
    assert outcome.digest
    assert stream.getvalue() == expected


def test_write_result_finishes_the_document_when_the_statement_breaks_off() -> None:
    stream = io.StringIO()
    writer = open_writer("json", stream)
    with pytest.raises(StatementError):
        write_result(FakeRows(PEOPLE, [ROWS], "", error=True), writer, [2])
    writer.close()
    (result,) = json.loads(stream.getvalue())
    assert result["rows"] == [[1, "Pia", "***4321"], [20, None, "***1"]]
    assert (result["status"], result["row_count"], result["masked"]) == ("error", 2, ["ssn"])


def test_a_table_that_breaks_off_says_so() -> None:
    stream = io.StringIO()
    with pytest.raises(StatementError):
        write_result(FakeRows(PEOPLE[:1], [[("1",)]], "", error=True), open_writer("table", stream), [])
    assert stream.getvalue() == " id\n----\n  1\n(1 row before the error)\n\n"
    stream = io.StringIO()
    with pytest.raises(StatementError):
        write_result(FakeRows(PEOPLE[:1], [], "", error=True), open_writer("table", stream), [])
    assert stream.getvalue() == ""
