"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One edit: the bytes from `start` to `end` of `path` become `text`.

    `function` is the outermost function or method around it, by qualified name; empty for a statement of the module.
    `key` names it without line numbers. `name` is set instead for entries of allow-lists (`lists`). `rule` tells that it lets
    more through, as far as its form tells (`generation`), `whole` that a whole statement is gone by it, not a part of one.
    """

    path: str
    function: str
    kind: str
    label: str
    start: int
    end: int
    text: str
    line: int
    ordinal: int = 0
    name: str = ""
    rule: bool = True
    whole: bool = False

    @property
    def key(self) -> str:
        """What `equivalent.yaml` calls it."""
        again = f" #{self.ordinal}" if self.ordinal else ""
        return f"{self.path}: {self.function or 'module'}: {self.kind} {self.label}{again}"

    def applied(self, source: bytes) -> bytes:
        """The text of the file with this edit."""
        return source[: self.start] + self.text.encode() + source[self.end :]
