"""From text to statements: PostgreSQL's own grammar decides what a statement is.

Facts on libpg_query that this file guards against: text stops at the first NUL; offsets are in bytes; trees
deeper than the interpreter's recursion limit raise `RecursionError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pgparse

from dbgate.errors import StatementError
from dbgate.gate.depth import deeply
from dbgate.gate.lexer import Offsets, bind_names, tokens, unbound_names
from dbgate.gate.positions import parameter_edits, typed_position
from dbgate.model import Edits, Tree

MAX_TEXT_BYTES = 16 * 1024 * 1024
TOO_COMPLEX = "54001"


class Source(msgspec.Struct, frozen=True):
    """One statement as it was typed.

    `text` is the statement without surrounding white space and semicolon, with `:name` placeholders
    replaced by `$n`; `parameters` are their values in the order of n. `tree` is the body of the raw parse
    tree with byte locations into `text`; `offset` is where the statement began in the script, in characters.
    `typed` is the text with its `:name` placeholders, which `edits` replaced; empty where there were none.
    """

    text: str
    tree: Tree
    offset: int = 0
    parameters: tuple[str | None, ...] = ()
    typed: str = ""
    edits: Edits = ()


def split(script: str, values: Mapping[str, str | None] | None = None) -> list[Source]:
    """Split a script into statements. Raises `StatementError` when any of it is not SQL (`script.py` reads the rest).

    `values` are the named parameters; each statement is bound to those that it mentions.
    """
    _check_text(script)
    bound, names = bind_names(script, values or {})
    edits = parameter_edits(script, names) if names else ()
    statements = _parse(bound, edits)
    offsets = Offsets(bound)
    result = []
    for raw in statements:
        text, offset = _cut(bound, raw, offsets)
        if names:
            typed = script[typed_position(offset + 1, edits) - 1 : typed_position(offset + len(text) + 1, edits) - 1]
            text, used = _renumber(text, names)
            parameters = tuple((values or {})[name] for name in used)
            result.append(Source(text, parse_one(text), offset, parameters, typed, parameter_edits(typed, names)))
            continue
        reusable = offset == 0 and not raw.get("stmt_location")
        result.append(Source(text, raw["stmt"] if reusable else parse_one(text), offset))
    return result


def parse_one(text: str) -> Tree:
    """Parse a text that has to hold exactly one statement and return its tree."""
    statements = _parse(text)
    if len(statements) != 1:
        raise StatementError("more than one statement where one was expected", sqlstate="42601")
    stmt: Tree = statements[0]["stmt"]
    return stmt


def _check_text(text: str) -> None:
    if "\0" in text:
        raise StatementError(
            "the text holds a NUL character", sqlstate="22021", position=text.index("\0") + 1, hint="remove it"
        )
    try:
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise StatementError(
            "the text is not valid Unicode (a lone surrogate)", sqlstate="22021", position=error.start + 1
        ) from None
    if size > MAX_TEXT_BYTES:
        raise StatementError(
            f"the text is larger than {MAX_TEXT_BYTES // 1024 // 1024} MiB", sqlstate=TOO_COMPLEX, hint="split it"
        )


def _parse(text: str, edits: Edits = ()) -> list[dict[str, Any]]:
    try:
        result: list[dict[str, Any]] = deeply(lambda: pgparse.parse(text))
    except pgparse.PGQueryError as error:
        raise _syntax_error(error, text, edits) from None
    except RecursionError:
        raise StatementError(
            "the statement nests too deeply", sqlstate=TOO_COMPLEX, hint="use IN lists or VALUES for long chains"
        ) from None
    return [raw for raw in result if raw.get("stmt")]


def _syntax_error(error: pgparse.PGQueryError, text: str, edits: Edits) -> StatementError:
    from dbgate.gate.grammar_errors import sqlstate_of
    from dbgate.gate.newer import newer_syntax

    position = int(error.position or 0)
    message, hint = newer_syntax(text, position) or (str(error.message), "")
    sqlstate = sqlstate_of(message, text, position)
    missing = unbound_names(text)
    if missing:
        hint = f"give a value: -p {missing[0]}=…"
    return StatementError(message, sqlstate=sqlstate, position=typed_position(position, edits), hint=hint)


def _cut(script: str, raw: Mapping[str, Any], offsets: Offsets) -> tuple[str, int]:
    start = offsets.to_chars(raw.get("stmt_location", 0))
    length = raw.get("stmt_len", 0)
    end = offsets.to_chars(raw.get("stmt_location", 0) + length) if length else len(script)
    text = script[start:end]
    lead = len(text) - len(text.lstrip())
    text = text.strip()
    return text, start + lead


def _renumber(text: str, names: Sequence[str]) -> tuple[str, list[str]]:
    """Number the named parameters of one statement from 1; return the text and their names in order."""
    highest = len(names)
    used: dict[str, int] = {}
    pieces: list[str] = []
    position = 0
    for token in tokens(text):
        if token.kind == "param" and 1 <= int(token.text[1:]) <= highest:
            number = used.setdefault(names[int(token.text[1:]) - 1], len(used) + 1)
            pieces += [text[position : token.start], f"${number}"]
            position = token.end
    return "".join(pieces) + text[position:], list(used)
