"""Picks the writer for a format; each is imported only when it is used."""

from __future__ import annotations

from typing import Any, BinaryIO, TextIO

from dbgate.doors.formats.interface import FORMATS, Writer
from dbgate.doors.formats.sink import Sink
from dbgate.errors import UsageError
from dbgate.text import suggest


def open_writer(
    format: str,  # noqa: A002  the word people use for it
    stream: TextIO | BinaryIO | Any,
    *,
    color: bool = False,
    width: int | None = None,
    is_terminal: bool = False,
    expanded: str = "off",
    null: str = "NULL",
    max_cell: int | None = None,
) -> Writer:
    """Return the writer of results in `format` to `stream` (text or binary, left open). Raises `UsageError`.

    `is_terminal` tells that people read the stream directly: then CSV makes control characters visible too, which
    the other formats do anyway. `color`, `width` (columns of the terminal, None without one), `expanded` (`on`, `off`,
    `auto`), `null` and `max_cell` (columns after which a text is cut) belong to the table.
    """
    match format:
        case "table":
            from dbgate.doors.formats.style import Style
            from dbgate.doors.formats.table import TableWriter

            return TableWriter(
                stream if isinstance(stream, Sink) else Sink(stream, encoding=None),
                style=Style(color),
                terminal_width=width,
                expanded=expanded,
                null=null,
                max_cell=max_cell,
            )
        case "csv":
            from dbgate.doors.formats.csv import CsvWriter

            return CsvWriter(_sink(stream), for_terminal=is_terminal)
        case "json":
            from dbgate.doors.formats.json import JsonWriter

            return JsonWriter(_sink(stream))
        case "ndjson":
            from dbgate.doors.formats.json import NdjsonWriter

            return NdjsonWriter(_sink(stream))
        case "markdown":
            from dbgate.doors.formats.markdown import MarkdownWriter

            return MarkdownWriter(_sink(stream))
    raise UsageError(f"no such format: {format}", hint=suggest(format, FORMATS))


def _sink(stream: TextIO | BinaryIO | Any) -> Sink:
    return stream if isinstance(stream, Sink) else Sink(stream)
