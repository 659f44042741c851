r"""A psql script as items: statements, and the backslash commands among them.

Cut with dbgate's own scanner. `\if` is decided when the script is played, because its variables come from results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dbgate.gate.lexer import Token, tokens

_COMMAND = re.compile(r"\\(\w+|\S)(.*)")
_SENDS = frozenset({"g", "gx", "gset", "gexec", "gdesc", "crosstabview", "watch", "bind"})
_COPY_IN = re.compile(r"\s*\\?copy\b.*\bfrom\s+(?:stdin|pstdin)\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    r"""A statement as written, variables not replaced yet. `line` counts from 1.

    `send` is the backslash command that sends it (`gset`, `gexec`, …; empty for a semicolon) with its `argument`;
    `data` the lines that follow a COPY FROM STDIN; `joined` tells that `\;` put several statements into one message.
    """

    text: str
    line: int
    send: str = ""
    argument: str = ""
    data: str | None = None
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A backslash command: `name` without the backslash, and the rest of its line."""

    name: str
    argument: str
    line: int
    data: str | None = None


Item = Statement | Command


def read_script(text: str) -> list[Item]:
    """The items of a script, in order."""
    return list(_Reader(text).items())


@dataclass(slots=True)
class _Open:
    """The statement that is being read."""

    pieces: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    line: int = 0
    parens: int = 0
    blocks: int = 0
    joined: bool = False


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._open = _Open()

    def items(self) -> Iterator[Item]:
        while self._position < len(self._text):
            yield from self._next()
        rest = "\n".join(self._open.pieces).strip()
        if self._open.words:
            yield Statement(rest, self._open.line)

    def _next(self) -> Iterator[Item]:
        """Reads on to the end of a statement or over a backslash command."""
        start = self._position
        first: int | None = None
        for token in tokens(self._text[start:]):
            at = start + token.start
            if token.text == "\\" and token.kind == "other":
                self._keep(first, at)
                yield from self._command(at)
                return
            if first is None:
                first = at
            if not self._open.words:
                self._open.line = self._line(at)
            if token.text == ";" and self._open.parens <= 0 and self._open.blocks <= 0:
                self._keep(first, at)
                self._position = at + 1
                yield from self._finish()
                return
            self._follow(token)
        self._keep(first, len(self._text))
        self._position = len(self._text)

    def _keep(self, first: int | None, end: int) -> None:
        if first is not None and first < end:
            self._open.pieces.append(self._text[first:end].rstrip())

    def _follow(self, token: Token) -> None:
        words = self._open.words
        words.append(token.word or token.kind)
        if token.kind == "mark":
            self._open.parens += {"(": 1, ")": -1}.get(token.text, 0)
        elif token.word == "atomic" and words[-2:-1] == ["begin"] and words[0] == "create":
            self._open.blocks = 1
        elif self._open.blocks:
            self._open.blocks += {"case": 1, "end": -1}.get(token.word, 0)

    def _command(self, at: int) -> Iterator[Item]:
        end = self._text.find("\n", at)
        end = len(self._text) if end < 0 else end
        match = _COMMAND.match(self._text[at:end])
        self._position = end + 1
        if match is None:
            return
        name, argument = match[1], match[2]
        if name == ";":
            self._position = at + 2
            self._open.pieces.append(";")
            self._open.joined = True
            return
        if name in _SENDS:
            argument, _, behind = argument.partition("\\")
            self._position = at + 1 + len(name) + len(argument) if behind else end + 1
            yield from self._finish(name, argument.strip())
            return
        if name == "r":
            self._open = _Open()
            return
        if name != "copy" and "\\" in argument and name in {"set", "echo", "pset", "if", "else", "x", "t", "a"}:
            argument, _, _ = argument.partition("\\")
            self._position = at + 1 + len(name) + len(argument)
        data = self._data() if name == "copy" and _COPY_IN.match(f"\\copy {argument}") else None
        yield Command(name, argument.strip(), self._line(at), data)

    def _finish(self, send: str = "", argument: str = "") -> Iterator[Item]:
        made, self._open = self._open, _Open()
        text = "\n".join(made.pieces).strip()
        if not made.words:
            return
        data = None
        if made.words[:1] == ["copy"] and _COPY_IN.match(text):
            data = self._data()
        yield Statement(text, made.line, send, argument, data, made.joined)

    def _data(self) -> str:
        r"""The lines up to `\.`, from the line after this one."""
        start = self._position
        if not self._text.startswith("\n", start - 1):
            start = self._text.find("\n", start) + 1
        end = re.compile(r"^\\\.[ \t]*$", re.MULTILINE).search(self._text, start)
        stop, behind = (end.start(), end.end() + 1) if end else (len(self._text), len(self._text))
        self._position = behind
        return self._text[start:stop]

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1


def replace_variables(text: str, variables: Mapping[str, str]) -> str:
    """The text with `:name`, `:'name'` and `:"name"` replaced where such a variable is known."""
    if ":" not in text:
        return text
    pieces: list[str] = []
    done = 0
    before: Token | None = None
    for token in tokens(text):
        value: str | None = None
        start = token.start
        if token.kind == "name":
            value = variables.get(token.text[1:])
        elif before is not None and before.text == ":" and before.end == start and token.text[:1] in "'\"":
            quote = token.text[0]
            found = variables.get(token.text[1:-1])
            value = None if found is None else quote + found.replace(quote, 2 * quote) + quote
            start = before.start
        if value is not None:
            pieces += [text[done:start], value]
            done = token.end
        before = token
    return "".join(pieces) + text[done:]


_WORD = re.compile(r"""\s+|:\{\?(\w+)\}|'((?:[^']|'')*)'|:(['"]?)(\w+)\3|"([^"]*)"|([^\s'":]+|:)""")


def read_arguments(text: str, variables: Mapping[str, str]) -> list[str]:
    """The arguments of a backslash command, unquoted, variables replaced."""
    found: list[str] = []
    fresh = True
    for match in _WORD.finditer(text):
        known, quoted, mark, name, double, plain = match.groups()
        if match[0].isspace():
            fresh = True
            continue
        if known is not None:
            piece = "TRUE" if known in variables else "FALSE"
        elif name is not None:
            piece = mark + variables[name] + mark if name in variables else match[0]
        else:
            piece = next(x for x in (quoted, double, plain) if x is not None).replace("''", "'")
        if fresh:
            found.append(piece)
        else:
            found[-1] += piece
        fresh = False
    return found
