"""Emphasis on a terminal, by SGR sequences (ECMA-48, 8.3.117), or none."""

from __future__ import annotations

import re

import msgspec

_SGR = re.compile(r"\x1b\[[0-9;]*m")


class Style(msgspec.Struct, frozen=True):
    """What parts of a result look like. With `is_on` false everything is plain text."""

    is_on: bool

    def heading(self, text: str) -> str:
        """A column's name: bold."""
        return self._with("1", text)

    def faint(self, text: str) -> str:
        """Lines and footers."""
        return self._with("2", text)

    def null(self, text: str) -> str:
        """NULL."""
        return self._with("2", text)

    def mask(self, text: str) -> str:
        """A masked value: magenta italics."""
        return self._with("3;35", text)

    def error(self, text: str) -> str:
        """The first word of an error or a denial: bold red."""
        return self._with("1;31", text)

    def notice(self, text: str) -> str:
        """The first word of a notice: yellow."""
        return self._with("33", text)

    def hint(self, text: str) -> str:
        """The first word of a hint: cyan."""
        return self._with("36", text)

    def _with(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.is_on and text else text


def unstyled(text: str) -> str:
    """`text` without the sequences that a `Style` put in."""
    return _SGR.sub("", text) if "\x1b" in text else text
