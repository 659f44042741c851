"""From YAML text to nodes with lines: mapping, list, scalar.

What YAML offers beyond plain data is refused, so that a line means what it says: anchors and aliases, merge
keys, tags, several documents, invisible characters, a key twice. Sizes and depth are bounded. Scalars keep
their text: what type one has is for its reader to ask, since YAML 1.1 and 1.2 disagree (`no`, `010`, `1_000`).
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import msgspec

from dbgate.errors import DocumentError
from dbgate.text import printable

MAX_SIZE_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 100_000

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_BOOLEAN_1_1 = frozenset(w for word in ("yes", "no", "on", "off", "y", "n") for w in (word, word.title(), word.upper()))
_QUOTED = ("'", '"', "|", ">")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NUMBER_LIKE = re.compile(r"[-+]?(\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+|\.inf|\.nan)", re.I)
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


class Scalar(msgspec.Struct, frozen=True):
    """A single value as written. `quoted` tells that it is text whatever it looks like."""

    text: str
    line: int
    quoted: bool = False

    @property
    def kind(self) -> str:
        """What it is: `text`, `number`, `integer`, `boolean` or `nothing`."""
        if self.quoted:
            return "text"
        if self.text in _NULL:
            return "nothing"
        if self.text in _TRUE or self.text in _FALSE or self.text in _BOOLEAN_1_1:
            return "boolean"
        if _INTEGER.fullmatch(self.text):
            return "integer"
        return "number" if _NUMBER_LIKE.fullmatch(self.text) else "text"


class Items(msgspec.Struct, frozen=True):
    """A list."""

    items: list[Node]
    line: int


class Mapping(msgspec.Struct, frozen=True):
    """A mapping, in the order of the file. Keys are text and unique; `lines` holds the line of each."""

    items: dict[str, Node]
    lines: dict[str, int]
    line: int


Node = Scalar | Items | Mapping


def decode(data: bytes, file: str) -> str:
    """The text of a file in UTF-8 of at most `MAX_SIZE_BYTES`. Raises `DocumentError`."""
    if len(data) > MAX_SIZE_BYTES:
        raise DocumentError(f"the file is larger than {MAX_SIZE_BYTES // 1024} KiB", file=file, line=1)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("the file is not UTF-8", file=file, line=line, hint="save it as UTF-8") from None


def parse_nodes(text: str, file: str) -> Node:
    """Parse a text that holds one YAML document. `file` is its name for messages. Raises `DocumentError`."""
    if not (text.isascii() and text.isprintable()):
        plain = text.replace("\r\n", "\n")
        hidden = _INVISIBLE.search(plain)
        if hidden:
            line = plain.count("\n", 0, hidden.start()) + 1
            raise DocumentError(
                f"an invisible character, U+{ord(hidden[0]):04X}", file=file, line=line, hint="remove it"
            )
    return _compose(text, file)


def _compose(text: str, file: str) -> Node:
    """Build the nodes from the parser's events, without recursion, so that no text can exhaust the stack."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    building = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=loader):
            building.take(event)
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, file) from None
    if building.root is None or (isinstance(building.root, Scalar) and building.root.kind == "nothing"):
        raise DocumentError("the file is empty", file=file, line=1)
    return building.root


class _Builder:
    """Nodes from YAML events."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.open: list[Items | Mapping] = []
        self.keys: list[Scalar | None] = []
        self.count = 0

    def take(self, event: Any) -> None:
        """Take the next event. Raises `DocumentError` for what is refused."""
        name = type(event).__name__
        if name in {"StreamStartEvent", "StreamEndEvent", "DocumentEndEvent"}:
            return
        line = event.start_mark.line + 1
        if name == "DocumentStartEvent":
            if self.root is not None:
                self.fail("a second document begins", line, "keep one document in a file")
            return
        if name in {"MappingEndEvent", "SequenceEndEvent"}:
            self.open.pop()
            self.keys.pop()
            return
        self.check(event, name, line)
        if name == "ScalarEvent":
            self.add(Scalar(event.value, line, quoted=event.style in _QUOTED))
            return
        node = Mapping({}, {}, line) if name == "MappingStartEvent" else Items([], line)
        self.add(node)
        self.open.append(node)
        self.keys.append(None)
        if len(self.open) > MAX_DEPTH:
            self.fail(f"nested more than {MAX_DEPTH} deep", line, "")

    def check(self, event: Any, name: str, line: int) -> None:
        """Refuse what is not plain data."""
        self.count += 1
        if self.count > MAX_NODES:
            self.fail(f"more than {MAX_NODES} values", line, "")
        if name == "AliasEvent":
            self.fail(f"an alias, *{event.anchor}", line, f'quote text that begins with *: "*{event.anchor}"')
        if event.anchor is not None:
            self.fail(f"an anchor, &{event.anchor}", line, f'quote text that begins with &: "&{event.anchor}"')
        if event.tag is not None:
            self.fail(f"a YAML tag, {event.tag}", line, "quote text that begins with !")
        if name == "ScalarEvent":
            hidden = _INVISIBLE.search(event.value)
            if hidden:
                self.fail(f"an invisible character, U+{ord(hidden[0]):04X}", line, "write it without the escape")

    def add(self, node: Node) -> None:
        """Put a node where it belongs."""
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Items):
            parent.items.append(node)
            return
        key = self.keys[-1]
        if key is None:
            self.keys[-1] = self.key(node, parent)
            return
        parent.items[key.text] = node
        parent.lines[key.text] = key.line
        self.keys[-1] = None

    def key(self, node: Node, parent: Mapping) -> Scalar:
        """A key of a mapping: text, and not there yet."""
        if not isinstance(node, Scalar):
            self.fail("a key that is not text", node.line, "")
        if node.text == "<<" and not node.quoted:
            self.fail("a merge key, <<", node.line, "write the keys out")
        if node.kind != "text":
            self.fail(f"the key {shown(node)} is {_READ_AS[node.kind]} to YAML", node.line, f'quote it: "{node.text}"')
        if node.text in parent.items:
            first = parent.lines[node.text]
            self.fail(f"the key {node.text} stands twice, first in line {first}", node.line, "remove one of them")
        return node

    def fail(self, message: str, line: int, hint: str) -> NoReturn:
        """Raise the error."""
        raise DocumentError(message, file=self.file, line=line, hint=hint)


_READ_AS = {"integer": "a number", "number": "a number", "boolean": "true or false", "nothing": "nothing"}


def shown(node: Node) -> str:
    """A node for messages: what was found."""
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.kind == "nothing":
        return "nothing" if not node.text else f"nothing ({node.text})"
    short = node.text if len(node.text) <= 60 else node.text[:57] + "…"
    return printable(short) if node.kind != "text" else f'"{printable(short)}"'


def _syntax_error(error: Any, text: str, file: str) -> DocumentError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark is not None else 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "the text cannot be read"
    lines = text.splitlines()
    source = lines[line - 1] if 0 < line <= len(lines) else ""
    hint = "indent with spaces; quote text that holds : # { } [ ] , & * ! | > ' \" % @"
    if "\t" in source[: len(source) - len(source.lstrip())]:
        hint = "indent with spaces, not with tabs"
    elif "alias" in f"{getattr(error, 'context', '')} {problem}":
        hint = 'quote text that begins with *, for example "*"'
    return DocumentError(f"not YAML: {problem}", file=file, line=line, hint=hint)
