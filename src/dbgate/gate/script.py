"""A script as the statements in it, those that cannot be read included.

PostgreSQL's grammar reads a whole script or none of it. Where it reads none, the script is cut at its semicolons, as psql
cuts it, and each piece is read alone: what stands before a mistake runs, as it would in psql. A cut in a wrong place
cannot make a statement that nobody typed pass unseen: each piece is parsed, judged and recorded as what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from dbgate.errors import StatementError
from dbgate.gate.lexer import Token, tokens
from dbgate.gate.syntax import Source, split


class Unread(msgspec.Struct, frozen=True):
    """A statement that could not be read: its `text` as typed, and why. The error's position counts in the text."""

    text: str
    error: StatementError


def read_script(script: str, values: Mapping[str, str | None] | None = None) -> list[Source | Unread]:
    """The statements of a script in order; never raises for what stands in it. `values` are its named parameters."""
    try:
        return [*split(script, values)]
    except StatementError as error:
        pieces = list(_pieces(script)) if error.sqlstate != _NOT_TEXT else []
        if len(pieces) < 2:
            return [Unread(script, error)]
    return [one for start, end in pieces for one in _read(script, start, end, values)]


_NOT_TEXT = "22021"
_QUOTES = frozenset("'\"$")


def _read(script: str, start: int, end: int, values: Mapping[str, str | None] | None) -> list[Source | Unread]:
    text = script[start:end]
    try:
        return [replace(source, offset=source.offset + start) for source in split(text, values)]
    except StatementError as error:
        lead = len(text) - len(text.lstrip())
        error.position = max(error.position - lead, 0)
        return [Unread(text.strip(), error)]


def _pieces(script: str) -> Iterator[tuple[int, int]]:
    """The borders of the statements, without their semicolons.

    Semicolons in parentheses and in BEGIN ATOMIC … END end no statement. Behind a quote that nothing closes, all is one piece.
    """
    start = depth = 0
    inside: list[str] = []
    before: Token | None = None
    for token in tokens(script):
        if _is_open(token, before):
            break
        if token.kind == "mark":
            depth = max(depth + {"(": 1, ")": -1}.get(token.text, 0), 0)
        inside = _blocks(inside, token, before)
        if token.kind == "mark" and token.text == ";" and not depth and not inside:
            yield start, token.start
            start = token.end
        before = token
    if script[start:].strip():
        yield start, len(script)


def _is_open(token: Token, before: Token | None) -> bool:
    """Whether a quote begins at a token that nothing closes. The scanner then gives the mark alone, and of `E'…\\'` the `E`."""
    if token.kind == "other":
        return token.text in _QUOTES
    return token.kind == "string" and before is not None and before.word == "e" and before.end == token.start


def _blocks(inside: list[str], token: Token, before: Token | None) -> list[str]:
    """The blocks that are open behind a token: BEGIN ATOMIC, and CASE within it."""
    if token.word == "atomic" and before is not None and before.word == "begin":
        return [*inside, "begin"]
    if inside and token.word == "case":
        return [*inside, "case"]
    if inside and token.word == "end":
        return inside[:-1]
    return inside
