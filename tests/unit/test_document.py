"""Strict YAML: every mistake is an error with file, line and what to do; nothing is guessed."""

from __future__ import annotations

import pytest

from dbgate.document import Reader, Value, decode, parse_document
from dbgate.document.nodes import MAX_DEPTH, MAX_NODES, MAX_SIZE_BYTES
from dbgate.errors import EXIT_USAGE, DocumentError


def read(text: str) -> Reader:
    return parse_document(text, "f.yaml").mapping()


def value(text: str) -> Value:
    return read(f"key: {text}").required("key")


def error_of(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse_document(text, "f.yaml")
    return caught.value


def test_values_keep_the_line_that_they_stand_on() -> None:
    reader = read("a: one\n# comment\nb:\n  - x\n  - y\nc: {d: 1}\n")
    assert reader.text("a") == "one"
    assert [item.line for item in reader.sequence("b")] == [4, 5]
    assert reader.required("c").line == 6
    assert reader.line_of("b") == 3
    reader.finish()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\na: 2\n", 2, "the key a stands twice, first in line 1"),
        ("b: {a: 1, a: 2}\n", 1, "the key a stands twice, first in line 1"),
        ("a: &x 1\nb: *x\n", 1, "an anchor, &x"),
        ("a: 1\nb: *x\n", 2, "an alias, *x"),
        ("a: 1\n<<: {b: 1}\n", 2, "a merge key, <<"),
        ("a: !!python/object:os.system x\n", 1, "a YAML tag, tag:yaml.org,2002:python/object:os.system"),
        ("a: !secret x\n", 1, "a YAML tag, !secret"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins"),
        ("1: x\n", 1, "the key 1 is a number to YAML"),
        ("on: x\n", 1, "the key on is true or false to YAML"),
        ("~: x\n", 1, "the key nothing (~) is nothing to YAML"),
        ("? [a]\n: x\n", 1, "a key that is not text"),
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("a: b\u202ec\n", 1, "an invisible character, U+202E"),
        ("a: 1\nb: \u200b\n", 2, "an invisible character, U+200B"),
        ('a: "x\\u202e"\n', 1, "an invisible character, U+202E"),
        ('a: "x\\0"\n', 1, "an invisible character, U+0000"),
        ("a: x\x07\n", 1, "an invisible character, U+0007"),
        ("a: 1\r\nb: \x1b\r\n", 2, "an invisible character, U+001B"),
    ],
)
def test_what_is_not_plain_data_is_refused(text: str, line: int, message: str) -> None:
    error = error_of(text)
    assert (error.line, error.message) == (line, f"f.yaml:{line}: {message}")
    assert error.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ("a:\n\tb: 1\n", 2, "tabs"),
        ("mask:\n  *: {method: redact}\n", 2, '"*"'),
        ("a: [1, 2\n", 2, "quote"),
        ("a: b: c\n", 1, "quote"),
        ("rows: {rows: >100}\n", 1, "quote"),
        ("a: 'open\n", 2, "quote"),
    ],
)
def test_syntax_errors_name_the_line_and_the_way_out(text: str, line: int, hint: str) -> None:
    error = error_of(text)
    assert error.message.startswith(f"f.yaml:{error.line}: not YAML: ")
    assert abs(error.line - line) <= 1
    assert hint in error.hint


def test_depth_size_and_number_are_bounded() -> None:
    assert "nested more than" in error_of("a: " + "[" * (MAX_DEPTH + 1)).message
    assert error_of("a: " + "[" * 200_000).exit_code == EXIT_USAGE
    assert "more than" in error_of("a: [" + "1," * (MAX_NODES + 1) + "]").message
    with pytest.raises(DocumentError, match="larger than 1024 KiB"):
        decode(b"a" * (MAX_SIZE_BYTES + 1), "f.yaml")


def test_a_bomb_of_aliases_ends_at_its_first_anchor() -> None:
    bomb = 'a: &a ["x","x"]\n' + "".join(
        f"{c}: &{c} [*{p},*{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert error_of(bomb).message == "f.yaml:1: an anchor, &a"


def test_only_utf8_is_read() -> None:
    assert decode(b"\xef\xbb\xbfa: \xc3\xa4\r\n", "f.yaml") == "a: ä\r\n"
    with pytest.raises(DocumentError, match=r"f\.yaml:2: the file is not UTF-8"):
        decode(b"a: 1\nb: \xff\n", "f.yaml")
    with pytest.raises(DocumentError, match="not UTF-8"):
        decode("a: 1".encode("utf-16"), "f.yaml")


@pytest.mark.parametrize("word", ["no", "off", "YES", "true", "10", "1.5", "0x1f", "1_000", "1e3", "null", "~", ".inf"])
def test_what_yaml_may_not_take_for_text_has_to_be_quoted(word: str) -> None:
    with pytest.raises(DocumentError, match="expected text") as caught:
        value(word).text()
    assert f'"{word}"' in caught.value.hint
    assert value(f'"{word}"').text() == word
    assert value(f"'{word}'").text() == word


@pytest.mark.parametrize("word", ["nothing", "norway", "2026-01-01", "10.0.0.1", "10-20", "a b", "08:00-18:00"])
def test_plain_words_are_text(word: str) -> None:
    assert value(word).text() == word


@pytest.mark.parametrize("text", ["", "  ", '""', '" "', "[a]", "{a: b}"])
def test_text_is_there_and_is_text(text: str) -> None:
    with pytest.raises(DocumentError):
        value(text).text()


def test_texts_are_one_or_several_never_none() -> None:
    assert value("a").texts() == ("a",)
    assert value("[a, b]").texts() == ("a", "b")
    for wrong, message in [("[]", "the list is empty"), ("[a, a]", "a stands twice"), ("[a, [b]]", "found a list")]:
        with pytest.raises(DocumentError, match=message):
            value(wrong).texts()


@pytest.mark.parametrize("text", ["1.5", "010", "1_000", "+5", '"5"', "five", "[5]", "-1", "99999999999999999999999"])
def test_numbers_are_plain_and_within_bounds(text: str) -> None:
    with pytest.raises(DocumentError):
        value(text).integer()


def test_numbers_say_how_to_write_them() -> None:
    assert value("42").integer() == 42
    with pytest.raises(DocumentError) as caught:
        value("1_000").integer()
    assert caught.value.hint == "write it plainly: 1000"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800), ("1.5h", 5400), ('"5m"', 300)]
)
def test_durations(text: str, seconds: float) -> None:
    assert value(text).duration() == seconds


@pytest.mark.parametrize(
    "text", ["30", "0", "0s", "s", "30 s", "30x", "1m1h", "1h1h", "-5s", "1e9d", "99999999d", "[5s]", "5s!", "٣s"]
)
def test_durations_have_units_and_are_above_zero(text: str) -> None:
    with pytest.raises(DocumentError):
        value(text).duration()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 << 20),
        ("1 GiB", 1 << 30),
        ("500kB", 500_000),
        ("2KiB", 2048),
        ("2KB", 2000),
        ("1B", 1),
        ("1048576", 1 << 20),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert value(text).size() == size


@pytest.mark.parametrize("text", ["0", "0B", "64 MIB", "64mb", "64M", "-1B", "1.5MiB", "MiB", "[1]"])
def test_sizes_have_units_and_are_above_zero(text: str) -> None:
    with pytest.raises(DocumentError):
        value(text).size()


def test_choices_name_the_nearest_word() -> None:
    assert value("allow").choice(("allow", "deny")) == "allow"
    assert value("null").choice(("null", "redact")) == "null"
    with pytest.raises(DocumentError, match="there is no alow") as caught:
        value("alow").choice(("allow", "deny"))
    assert caught.value.hint == "did you mean allow?"
    with pytest.raises(DocumentError, match="read stands twice"):
        value("[read, read]").choices(("read", "write"))


def test_unknown_keys_name_the_nearest_known_one() -> None:
    reader = read("name: x\n\ncolour: red\n")
    reader.text("name")
    reader.value("color")
    with pytest.raises(DocumentError) as caught:
        reader.finish()
    assert caught.value.message == "f.yaml:3: unknown key: colour"
    assert caught.value.hint == "did you mean color?"


def test_a_misspelt_key_is_named_before_the_missing_one() -> None:
    with pytest.raises(DocumentError, match="unknown key: efect") as caught:
        read("id: a\nefect: deny\n").text("effect")
    assert (caught.value.line, caught.value.hint) == (2, "did you mean effect?")
    with pytest.raises(DocumentError, match="the key effect is missing"):
        read("id: a\n").text("effect")


def test_leaving_a_reader_checks_it() -> None:
    with pytest.raises(DocumentError, match="unknown key: b"), read("a: x\nb: y\n") as reader:
        reader.text("a")
    with pytest.raises(ZeroDivisionError), read("a: x\nb: y\n"):
        raise ZeroDivisionError


def test_a_key_without_a_value_is_an_error() -> None:
    with pytest.raises(DocumentError, match=r"f\.yaml:2: rules: nothing stands behind the key"):
        read("a: x\nrules:\n").value("rules")
    with pytest.raises(DocumentError, match="the mapping is empty"):
        value("{}").mapping()


def test_a_document_is_a_mapping() -> None:
    for text in ("- a\n", "just text\n"):
        with pytest.raises(DocumentError, match=r"f\.yaml:1: expected a mapping of keys to values"):
            parse_document(text, "f.yaml").mapping()
