"""JSON: one array with one object per statement; and NDJSON: one object per row.

Numbers stand as PostgreSQL wrote them, digit for digit; NaN and infinities are strings. `json` and `jsonb` are
embedded as they are. Everything else is a string in PostgreSQL's text form. Characters that could steer a terminal
are escaped, which no reader can tell from the characters themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from json import JSONEncoder
from json.encoder import encode_basestring as _quoted
from typing import TypeAlias

from dbgate.doors.formats.interface import Batch
from dbgate.doors.formats.kinds import JSON, NUMBERS, base
from dbgate.doors.formats.sink import Sink
from dbgate.model import Column, Json

Cells: TypeAlias = tuple[str | None, ...]
Encoder: TypeAlias = Callable[[Cells], Iterable[str]]

_dumps = JSONEncoder(ensure_ascii=False).encode
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_ONE_NUMBER = re.compile(_NUMBER)
_NUMBERS = re.compile(f"{_NUMBER}(?:\\0{_NUMBER})*")


class JsonWriter:
    """Writes the array of statements."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._opened = False
        self._encoders: list[Encoder] = []
        self._first = True
        self._broken = False

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Open the statement's object and its rows."""
        self._settle()
        self._encoders = [encoder(column.type) for column in columns]
        self._first = True
        listed = ", ".join(f'{{"name": {string(c.name)}, "type": {string(c.type)}}}' for c in columns)
        before = ",\n" if self._opened else "["
        self._sink.write(f'{before}{{"columns": [{listed}], "rows": [')
        self._opened = True

    def rows(self, batch: Batch) -> None:
        """Write one array a row."""
        if not batch:
            return
        columns = [encode(cells) for encode, cells in zip(self._encoders, zip(*batch, strict=True), strict=True)]
        lines = map(", ".join, zip(*columns, strict=True)) if columns else [""] * len(batch)
        opening = "\n [" if self._first else ",\n ["
        self._first = False
        self._sink.write(opening + "],\n [".join(lines) + "]")

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Close the rows and the object; one that broke off stays open for its error."""
        names = ", ".join(map(string, masked_names))
        rows_end = "]" if self._first else "\n]"
        self._sink.write(f'{rows_end}, "row_count": {row_count}, "masked": [{names}], "status": {string(status)}')
        self._broken = status == "error"
        if not self._broken:
            self._sink.write("}")

    def failure(self, error: Mapping[str, Json], *, status: str | None = None, request: str = "") -> None:
        """Write the object of a statement that gave no result, or add `error` to the result that broke off."""
        if not self._broken:
            self.begin((), ())
            asked = f', "request": {string(request)}' if request else ""
            told = string(status) if status else "null"
            self._sink.write(f'], "row_count": 0, "masked": [], "status": {told}{asked}')
            self._broken = True
        self._sink.write(f', "error": {_escaped(_dumps(error))}')
        self._settle()

    def rehearsal(self, decision: str, rules: Json, masked: Json, text: str) -> None:
        """Write the object of a statement that a dry run decided: what would be sent, under which rules."""
        self.begin((), ())
        fields: dict[str, Json] = {
            "row_count": 0,
            "masked": masked,
            "status": "dry run",
            "decision": decision,
            "rules": rules,
        }
        listed = _escaped(_dumps(fields | {"rewritten": text}))
        self._sink.write(f"], {listed[1:]}")

    def _settle(self) -> None:
        if self._broken:
            self._sink.write("}")
            self._broken = False

    def close(self) -> None:
        """Close the array."""
        self._settle()
        self._sink.write("]\n" if self._opened else "[]\n")
        self._sink.flush()


class NdjsonWriter:
    """Writes one object a row, keyed by column name. A name that comes again gets a number: `name_2`."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._encoders: list[Encoder] = []
        self._template = ""

    def begin(self, columns: Sequence[Column], masked: Sequence[int]) -> None:
        """Learn the keys."""
        self._encoders = [encoder(column.type) for column in columns]
        keys = [string(name).replace("%", "%%") for name in distinct([c.name for c in columns])]
        self._template = "{" + ", ".join(f"{key}: %s" for key in keys) + "}\n"

    def rows(self, batch: Batch) -> None:
        """Write one line a row."""
        if not batch:
            return
        columns = [encode(cells) for encode, cells in zip(self._encoders, zip(*batch, strict=True), strict=True)]
        lines: Iterable[tuple[str, ...]] = zip(*columns, strict=True) if columns else [()] * len(batch)
        self._sink.write("".join([self._template % line for line in lines]))

    def end(self, status: str, row_count: int, masked_names: Sequence[str]) -> None:
        """Nothing: NDJSON has no place for it."""

    def failure(self, error: Mapping[str, Json], *, status: str | None = None, request: str = "") -> None:
        """Write a line for a statement that waits for approval, or was refused it: its request is needed later."""
        if request:
            told = {"status": status, "request": request, "error": error}
            self._sink.write(_escaped(_dumps(told)) + "\n")

    def close(self) -> None:
        """Flush."""
        self._sink.flush()


def string(text: str) -> str:
    """A JSON string in which every character is harmless on a terminal."""
    quoted = _quoted(text)
    return quoted if quoted.isprintable() else _escaped(quoted)


def distinct(names: Sequence[str]) -> list[str]:
    """Names for keys: the second `name` becomes `name_2`, or the next number that is free."""
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        key, number = name, 1
        while key in seen or (number > 1 and key in taken):
            number += 1
            key = f"{name}_{number}"
        seen.add(key)
        result.append(key)
    return result


def encoder(type_name: str) -> Encoder:
    """How cells of that type become JSON, a column of a batch at a time."""
    kind = base(type_name)
    if kind in NUMBERS:
        return _numbers
    if kind == "boolean":
        return _booleans
    return _documents if kind in JSON else _strings


def _numbers(cells: Cells) -> Iterable[str]:
    if None not in cells and _NUMBERS.fullmatch("\0".join(cells)):  # type: ignore[arg-type]  # no None in it
        return cells  # type: ignore[return-value]
    return ["null" if c is None else c if _ONE_NUMBER.fullmatch(c) else string(c) for c in cells]


def _booleans(cells: Cells) -> Iterable[str]:
    words = {None: "null", "t": "true", "f": "false", "true": "true", "false": "false"}
    return [words[c] if c in words else string(c or "") for c in cells]


def _strings(cells: Cells) -> Iterable[str]:
    quoted = ["null" if c is None else _quoted(c) for c in cells]
    return quoted if "".join(quoted).isprintable() else [q if q.isprintable() else _escaped(q) for q in quoted]


def _documents(cells: Cells) -> Iterable[str]:
    return ["null" if c is None else _document(c) for c in cells]


def _document(text: str) -> str:
    """A JSON value as it is, on one line; a string when it is not valid JSON."""
    import msgspec

    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return string(text)
    if text.isprintable():
        return text
    # White space of valid JSON stands between tokens, every other character that needs an escape inside a string.
    return _escaped(text.translate(_ONE_LINE))


_ONE_LINE = str.maketrans("\n\r\t", "   ")


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\u200c\u200d" else _escape(c) for c in text)


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
