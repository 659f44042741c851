r"""What was typed, cut into statements and backslash commands; and whether it is complete.

Only for the convenience of typing: what a statement is and does, the gate decides on its own parse of the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from dbgate.gate.lexer import Token, tokens

_SEND = re.compile(r"\\gx?(?=\s|;|$)")
_OPENERS = frozenset("'\"$")
_SENTINEL = "\x01"


class Piece(msgspec.Struct, frozen=True):
    r"""A statement with its semicolon, or a backslash command to the end of its line. `expanded` is for `\gx`."""

    text: str
    is_command: bool = False
    expanded: bool = False


class Typed(msgspec.Struct, frozen=True):
    """The complete pieces of a text, the unfinished statement that remains, and what is open in it.

    `opened` is `'`, `"`, `$`, `*` (a comment), `(`, `-` (just no semicolon yet), or empty when nothing remains.
    """

    pieces: tuple[Piece, ...]
    rest: str = ""
    opened: str = ""


def cut(text: str) -> Typed:
    """Cut a text into pieces."""
    pieces: list[Piece] = []
    position = 0
    pending = ""
    stream = _Stream(text)
    while position < len(text):
        stream.seek(position)
        scan = _Scan(text, stream, position, pending)
        pieces += [Piece(scan.statement, expanded=scan.expanded)] if scan.statement else []
        pieces += [Piece(scan.command, is_command=True)] if scan.command else []
        position, pending = scan.end, scan.rest
        if scan.opened:
            return Typed(tuple(pieces), scan.rest, scan.opened)
    return Typed(tuple(pieces), pending, "-" if pending else "")


def is_complete(text: str) -> bool:
    """Whether Enter should send the text: nothing is left open, or its last line is a backslash command."""
    if not text.strip() or is_farewell(text):
        return True
    typed = cut(text)
    if not typed.rest:
        return True
    last_line = text.rstrip("\n").rpartition("\n")[2]
    ends_with_command = bool(typed.pieces) and typed.pieces[-1].is_command
    return ends_with_command and typed.pieces[-1].text == last_line.strip()


def is_farewell(text: str) -> bool:
    """Whether the text is just `exit` or `quit`, as people expect it to work."""
    return text.strip().rstrip(";").rstrip().lower() in {"exit", "quit"}


class _Stream:
    """The tokens of a text from any place on; a last one, the sentinel, comes out unless a comment swallowed it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._base = -1
        self._at = -1
        self._tokens: Iterator[Token] = iter(())

    def seek(self, position: int) -> None:
        """Go on at `position`; the scanner starts anew unless it stands there already."""
        if position != self._at:
            self._base = position
            self._tokens = tokens(self._text[position:] + "\n" + _SENTINEL)

    def __iter__(self) -> Iterator[tuple[Token, int]]:
        """Tokens and where they start in the text."""
        for token in self._tokens:
            self._at = self._base + token.end
            yield token, self._base + token.start


class _Scan:
    """Reads one statement or one backslash command from `start`; `before` is an unfinished statement ahead of it."""

    def __init__(self, text: str, stream: _Stream, start: int, before: str) -> None:
        self._text = text
        self._stream = stream
        self._start = start
        self._before = before
        self._words: list[str] = []
        self._parens = 0
        self._blocks = 0
        self.statement = ""
        self.command = ""
        self.rest = before
        self.opened = ""
        self.expanded = False
        self.end = len(text)
        self._read()

    def _read(self) -> None:
        for token, at in self._stream:
            if at > len(self._text):
                self._remain("(" if self._parens > 0 else "")
                return
            if self._ends(token, at):
                return
        self._remain("*")

    def _ends(self, token: Token, at: int) -> bool:
        """Whether the piece ends here."""
        if token.kind == "other" and token.text in _OPENERS:
            self._remain(token.text)
            return True
        if token.text == "\\":
            return self._backslash(at)
        if token.text == ";" and self._parens <= 0 and self._blocks <= 0:
            self._finish(at + 1, at + 1)
            return True
        self._follow(token)
        return False

    def _backslash(self, at: int) -> bool:
        send = _SEND.match(self._text, at)
        if send and (self._words or self._before):
            line = self._text[send.end() :].partition("\n")[0].strip(" \t\r;")
            if line and not line.startswith(("\\", "--")):  # `\g FILE` runs nothing: there is no such command
                self.command, self.end = f"{send.group()} {line}", at + len(self._text[at:].partition("\n")[0])
                return True
            self.expanded = send.group() == "\\gx"
            self._finish(at, self._behind_semicolon(send.end()))
            return True
        line_start = self._text.rfind("\n", 0, at) + 1
        if self._words and self._text[line_start:at].strip():
            return False
        line_end = self._text.find("\n", at)
        self.end = len(self._text) if line_end < 0 else line_end + 1
        self.command = self._text[at : self.end].strip()
        self.rest = self._joined(at) if self._words else self._before
        return True

    def _behind_semicolon(self, at: int) -> int:
        match = re.compile(r"\s*;").match(self._text, at)
        return match.end() if match else at

    def _follow(self, token: Token) -> None:
        self._words.append(token.word)
        if token.kind == "mark":
            self._parens += {"(": 1, ")": -1}.get(token.text, 0)
        elif token.word == "atomic" and self._words[-2:-1] == ["begin"] and self._words[0] == "create":
            self._blocks = 1
        elif self._blocks:
            self._blocks += {"case": 1, "end": -1}.get(token.word, 0)

    def _finish(self, statement_end: int, end: int) -> None:
        statement = self._joined(statement_end)
        self.statement = statement if statement.strip(" \t\r\n;") else ""
        self.rest = ""
        self.end = end

    def _remain(self, opened: str) -> None:
        rest = self._joined(len(self._text))
        # Comments alone are nothing to wait for.
        meaningful = bool(self._words or self._before or opened)
        self.rest = rest if meaningful else ""
        self.opened = (opened or "-") if meaningful else ""

    def _joined(self, end: int) -> str:
        before = f"{self._before}\n" if self._before else ""
        return before + self._text[self._start : end].strip()
