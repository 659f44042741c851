"""Reading nodes as what they ought to be; whatever they are not is an error with file and line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import msgspec

from dbgate.document.nodes import Items, Mapping, Node, Scalar, parse_nodes, shown
from dbgate.errors import DocumentError
from dbgate.text import printable, suggest

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]+) ?([kKMGT]i?B|B)")
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "kiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def parse_document(text: str, file: str) -> Value:
    """Parse a text that holds one YAML document. `file` is its name for messages. Raises `DocumentError`."""
    return Value(parse_nodes(text, file), file)


class Value(msgspec.Struct, frozen=True):
    """A node to be read as one type. `name` is the key that it stands under, for messages."""

    node: Node
    file: str
    name: str = ""

    @property
    def line(self) -> int:
        """The line it begins on, 1-based."""
        return self.node.line

    def error(self, message: str, hint: str = "") -> DocumentError:
        """An error at this place."""
        return DocumentError(message, file=self.file, line=self.line, hint=hint)

    def wrong(self, expected: str, hint: str = "") -> DocumentError:
        """The error of a wrong type: what was expected, what was found."""
        where = f"{self.name}: " if self.name else ""
        return self.error(f"{where}expected {expected}, found {shown(self.node)}", hint)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, Items)

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, Mapping)

    def text(self) -> str:
        """Text that is not empty. What YAML may take for a number or a boolean has to be quoted."""
        node = self.node
        if not isinstance(node, Scalar):
            raise self.wrong("text")
        if node.kind in {"integer", "number", "boolean"}:
            raise self.wrong("text", f'quote it: "{node.text}"')
        if node.kind == "nothing":
            raise self.wrong("text", f'quote it if that is the text: "{node.text}"' if node.text else "")
        if not node.text.strip():
            raise self.error(f"{self.name}: the text is empty", "leave the key out, or write something")
        return node.text

    def texts(self) -> tuple[str, ...]:
        """One text, or a list of at least one; never twice the same."""
        if not isinstance(self.node, Items):
            return (self.text(),)
        found: list[str] = []
        for value in self.values():
            text = value.text()
            if text in found:
                raise value.error(f"{self.name}: {printable(text)} stands twice", "remove one of them")
            found.append(text)
        return tuple(found)

    def integer(self, *, minimum: int = 0, maximum: int = 2**53) -> int:
        """A whole number between the bounds."""
        node = self.node
        if not isinstance(node, Scalar) or node.kind != "integer":
            digits = isinstance(node, Scalar) and node.text.lstrip("+0").replace("_", "")
            hint = f"write it plainly: {digits}" if digits and digits.isascii() and digits.isdigit() else ""
            raise self.wrong("a whole number", hint)
        digits = node.text
        number = int(digits) if len(digits) < 20 else maximum + 1
        if not minimum <= number <= maximum:
            raise self.error(f"{self.name}: expected a number from {minimum} to {maximum}, found {digits[:40]}")
        return number

    def duration(self) -> float:
        """A time span such as `30s`, `15m` or `1h30m`, above zero, in seconds."""
        node = self.node
        if not isinstance(node, Scalar) or node.kind in {"integer", "number"}:
            raise self.wrong("a duration", "say the unit: ms, s, m, h or d, for example 30s or 1h30m")
        text = self.text()
        parts = _DURATION.findall(text)
        units = [unit for _, unit in parts]
        ordered = sorted(set(units), key=list(_SECONDS).index)
        if not parts or "".join(n + unit for n, unit in parts) != text or units != ordered:
            raise self.wrong("a duration", "for example 30s, 15m or 1h30m")
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
        if not 0 < seconds <= 10 * 366 * _SECONDS["d"]:
            raise self.wrong("a duration above zero, of ten years at most", "leave the key out for none")
        return seconds

    def size(self) -> int:
        """A size such as `64MiB` or `500kB`, above zero, in bytes."""
        if isinstance(self.node, Scalar) and self.node.kind == "integer":
            return self.integer(minimum=1)
        found = _SIZE.fullmatch(self.text()) if isinstance(self.node, Scalar) and self.node.kind == "text" else None
        if found is None or len(found[1]) > 12 or int(found[1]) == 0:
            raise self.wrong("a size", "for example 64MiB or 500kB")
        return int(found[1]) * _BYTES[found[2]]

    def choice(self, options: Iterable[str]) -> str:
        """One of the words in `options`."""
        words = tuple(options)
        node = self.node
        # A word of ours is that word, whatever YAML takes it for: `method: null`.
        if isinstance(node, Scalar) and node.text in words:
            return node.text
        if not isinstance(node, Scalar) or node.kind == "nothing":
            raise self.wrong(f"one of {', '.join(words)}")
        name = f"{self.name}: " if self.name else ""
        raise self.error(f"{name}there is no {printable(node.text[:60])}", suggest(node.text, words))

    def choices(self, options: Iterable[str]) -> tuple[str, ...]:
        """One or more of the words in `options`, never twice the same."""
        words = tuple(options)
        if not isinstance(self.node, Items):
            return (self.choice(words),)
        found: list[str] = []
        for value in self.values():
            word = value.choice(words)
            if word in found:
                raise value.error(f"{self.name}: {word} stands twice", "remove one of them")
            found.append(word)
        return tuple(found)

    def values(self) -> tuple[Value, ...]:
        """The values of a list that is not empty."""
        if not isinstance(self.node, Items):
            raise self.wrong("a list")
        if not self.node.items:
            raise self.error(f"{self.name}: the list is empty", "leave the key out, or name something")
        return tuple(Value(node, self.file, self.name) for node in self.node.items)

    def mapping(self) -> Reader:
        """A mapping that is not empty."""
        if not isinstance(self.node, Mapping):
            raise self.wrong("a mapping of keys to values")
        if not self.node.items:
            raise self.error(f"{self.name}: the mapping is empty", "leave the key out, or name something")
        return Reader(self.node, self.file, self.name)


class Reader(msgspec.Struct):
    """A mapping, read key by key. `finish`, or leaving its `with` block, refuses keys that nobody asked for."""

    node: Mapping
    file: str
    name: str = ""
    asked: set[str] = msgspec.field(default_factory=set)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if kind is None:
            self.finish()

    @property
    def line(self) -> int:
        """The line it begins on, 1-based."""
        return self.node.line

    def error(self, message: str, hint: str = "") -> DocumentError:
        """An error at the beginning of the mapping."""
        return DocumentError(message, file=self.file, line=self.line, hint=hint)

    def value(self, key: str) -> Value | None:
        """The value of `key`, or None when it is not there. A key without a value is an error."""
        self.asked.add(key)
        node = self.node.items.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and not node.quoted and not node.text:
            raise DocumentError(
                f"{key}: nothing stands behind the key", file=self.file, line=self.node.lines[key], hint="leave it out"
            )
        return Value(node, self.file, key)

    def required(self, key: str) -> Value:
        """The value of `key`. Raises when it is missing; a key much like it is taken for the mistake."""
        value = self.value(key)
        if value is not None:
            return value
        for other in self.node.items:
            if other not in self.asked and suggest(other, [key]).startswith("did you mean"):
                raise self._unknown(other)
        what = f"{self.name}: " if self.name else ""
        raise self.error(f"{what}the key {key} is missing", f"add {key}: …")

    def keys(self) -> tuple[str, ...]:
        """All keys, in the order of the file; from now on every one of them is known."""
        self.asked.update(self.node.items)
        return tuple(self.node.items)

    def line_of(self, key: str) -> int:
        """The line of a key, 1-based."""
        return self.node.lines[key]

    def text(self, key: str, default: str | None = None) -> str:
        """The text of `key`; required without a default."""
        return self.required(key).text() if default is None or self.has(key) else default

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The text or list of texts of `key`; required without a default."""
        return self.required(key).texts() if default is None or self.has(key) else default

    def integer(self, key: str, default: int | None = None, *, minimum: int = 0, maximum: int = 2**53) -> int:
        """The whole number of `key`; required without a default."""
        if default is not None and not self.has(key):
            return default
        return self.required(key).integer(minimum=minimum, maximum=maximum)

    def size(self, key: str, default: int | None = None) -> int:
        """The size of `key` in bytes; required without a default."""
        return self.required(key).size() if default is None or self.has(key) else default

    def choice(self, key: str, options: Iterable[str], default: str | None = None) -> str:
        """The word of `key`; required without a default."""
        return self.required(key).choice(options) if default is None or self.has(key) else default

    def sequence(self, key: str) -> tuple[Value, ...]:
        """The values of the list of `key`; none when it is not there."""
        value = self.value(key)
        return value.values() if value is not None else ()

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        self.asked.add(key)
        return key in self.node.items

    def finish(self) -> None:
        """Raise for the first key that nobody asked for."""
        for key in self.node.items:
            if key not in self.asked:
                raise self._unknown(key)

    def _unknown(self, key: str) -> DocumentError:
        where = f" in {self.name}" if self.name else ""
        message = f"unknown key{where}: {printable(key[:60])}"
        return DocumentError(message, file=self.file, line=self.node.lines[key], hint=suggest(key, self.asked))
