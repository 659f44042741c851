"""A scanner for PostgreSQL's lexical structure: just enough to find token borders.

PostgreSQL's grammar (pgparse) says what a statement means; the scanner only says where its words stand, so
that text can be replaced. Whatever is built with it is parsed again and proven (`splice.py`).
Source: PostgreSQL manual, 4.1 "Lexical Structure"; `standard_conforming_strings` is on.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property

import msgspec

from dbgate.errors import StatementError

# Letters are all but the ASCII characters that are none. Said this way round, the sets compile in no time: a range up to
# the last character of Unicode takes `re` some ten milliseconds.
_LETTER = r"[^\x00-@\[-^`{-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-/:-@\[-^`{-\x7f]"
_OF_WORD = r"[^\x00-#%-/:-@\[-^`{-\x7f]"

_SCAN = rf"""
      (?P<space>\s+|--[^\r\n]*)
    | (?P<comment>/\*)
    | (?P<string>
          [eE]'(?:[^'\\]|\\.|'')*'(?:[ \t\f\v]*[\r\n]\s*'(?:[^'\\]|\\.|'')*')*
        | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*'
        | \$(?P<tag>(?:{_LETTER}{_LETTER_OR_DIGIT}*)?)\$.*?\$(?P=tag)\$ )
    | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*")
    | (?P<word>{_LETTER}{_OF_WORD}*)
    | (?P<param>\$[0-9]+)
    | (?P<number>(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?[A-Za-z0-9_]*)
    | (?P<cast>::|:=)
    | (?P<name>:[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>[(){{}}\[\],;.:])
    | (?P<operator>[-+*/<>=~!@\#%^&|`?]+?(?=--|/\*)|[-+*/<>=~!@\#%^&|`?]+)
    | (?P<other>.)
    """
"""The scanner, compiled when a text first has to be scanned: most short statements never are."""


@cache
def _scanner() -> re.Pattern[str]:
    return re.compile(_SCAN, re.VERBOSE | re.DOTALL)


_BLOCK = re.compile(r"/\*|\*/")


class Token(msgspec.Struct, frozen=True):
    """A token: `kind` is a group name of the scanner, `start` and `end` are character offsets."""

    kind: str
    start: int
    end: int
    text: str

    @property
    def word(self) -> str:
        """The keyword in lower case; empty for everything but a bare word."""
        return self.text.lower() if self.kind == "word" else ""


def _end_of_comment(text: str, start: int) -> int:
    """The offset behind a block comment that begins at `start`; comments nest."""
    depth = 0
    for match in _BLOCK.finditer(text, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(text)


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of `text`, without white space and comments."""
    position = 0
    length = len(text)
    scan = _scanner().match
    while position < length:
        match = scan(text, position)
        if match is None:  # cannot happen: `other` takes any character
            raise ValueError(position)
        kind = match.lastgroup or "other"
        if kind == "comment":
            position = _end_of_comment(text, position)
            continue
        if kind != "space":
            yield Token(kind, position, match.end(), match.group())
        position = match.end()


class Tokens:
    """The tokens of a text, found by offset."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def list(self) -> list[Token]:
        """All tokens, in order."""
        return [*tokens(self.text)]

    @cached_property
    def _starts(self) -> Sequence[int]:
        return [token.start for token in self.list]

    def index_at(self, start: int) -> int:
        """The index of the token that starts at `start`. Raises `LookupError` when none does."""
        index = bisect_left(self._starts, start)
        if index < len(self._starts) and self._starts[index] == start:
            return index
        raise LookupError(start)

    def index_after(self, start: int) -> int:
        """The index of the first token that ends behind `start`."""
        index = bisect_left(self._starts, start)
        return index - 1 if index and self.list[index - 1].end > start else index

    def matching(self, index: int) -> int:
        """The index of the closing parenthesis for the opening one at `index`."""
        depth = 0
        for i in range(index, len(self.list)):
            text = self.list[i].text if self.list[i].kind == "mark" else ""
            depth += {"(": 1, ")": -1}.get(text, 0)
            if depth == 0:
                return i
        raise LookupError(index)

    def name_end(self, index: int) -> int:
        """The index behind a dotted name (`a.b.c`, `a.*`) that starts at `index`."""
        i = index + 1
        while i + 1 < len(self.list) and self.list[i].text == "." and self.list[i].kind == "mark":
            i += 2
        return i


def clause(tokens: Tokens, start: int, word: str) -> int | None:
    """The index of a keyword at the top level behind `start`; `IS DISTINCT FROM` is none."""
    depth = 0
    for index in range(start, len(tokens.list)):
        token = tokens.list[index]
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "mark" else 0
        if depth == 0 and token.word == word and tokens.list[index - 1].word not in {"distinct", "as"}:
            return index
    return None


class Offsets:
    """Turns the byte offsets of PostgreSQL's parser into character offsets."""

    def __init__(self, text: str) -> None:
        self._ascii = text.isascii()
        if not self._ascii:
            self._starts: list[int] = []
            at = 0
            for char in text:
                self._starts.append(at)
                at += len(char.encode("utf-8"))

    def to_chars(self, byte_offset: int) -> int:
        """The character offset for a byte offset into the UTF-8 text."""
        return byte_offset if self._ascii else bisect_left(self._starts, byte_offset)


def bind_names(text: str, values: Mapping[str, str | None]) -> tuple[str, tuple[str, ...]]:
    """Replace each `:name` that `values` knows by `$n`; return the text and the names in order of n.

    Text inside strings, quoted names and comments stays as it is; `::` is a cast. Raises `StatementError`
    when the text mixes `$n` with named parameters.
    """
    if not values or ":" not in text:
        return text, ()
    order: dict[str, int] = {}
    pieces: list[str] = []
    position = 0
    numbered = False
    for token in tokens(text):
        numbered = numbered or token.kind == "param"
        if token.kind == "name" and token.text[1:] in values:
            number = order.setdefault(token.text[1:], len(order) + 1)
            pieces += [text[position : token.start], f"${number}"]
            position = token.end
    if numbered and order:
        raise StatementError("the text mixes $n with :name parameters", hint="use :name throughout")
    return "".join(pieces) + text[position:], tuple(order)


def unbound_names(text: str) -> list[str]:
    """The `:name` placeholders that stand in `text`."""
    return [token.text[1:] for token in tokens(text) if token.kind == "name"]
