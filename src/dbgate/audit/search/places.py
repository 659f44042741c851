"""Holding segments to the place where they stand, so that nobody's statements are counted twice, or as somebody else's.

No hash and no seal is looked at: `audit verify` does that.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dbgate.audit.layout import session_prefix
from dbgate.audit.record import START, is_record_of, parse

_SEQ = re.compile(rb'\{"v":1,"session":"[^"]{0,64}","seq":(\d{1,15}),')


class Places:
    """Remembers of each session's segments which records they hold."""

    def __init__(self, first_line: Callable[[str], bytes]) -> None:
        """`first_line` gives the first line of a folder's first segment."""
        self._first_line = first_line
        self._belongs: dict[str, str] = {}
        self._spans: dict[tuple[str, int], tuple[int, int]] = {}
        """The first record of each segment that was looked at, and the one behind its last."""
        self._held: dict[str, int] = {}
        """The segments that fit, and their sizes: DuckDB reads each twice."""

    def fault(self, name: str, content: bytes) -> str:
        """Why a segment cannot stand under its name (`FOLDER/00000.jsonl.zst`), or the empty text."""
        if self._held.get(name) == len(content):
            return ""
        fault = self._fault(name, content)
        if not fault:
            self._held[name] = len(content)
        return fault

    def _fault(self, name: str, content: bytes) -> str:
        folder, _, file = name.rpartition("/")
        session, number = folder.rpartition("/")[2], int(file[:5])
        if not content.endswith(b"\n"):
            return "its last line is cut off"
        found = _SEQ.match(content)
        first = int(found[1]) if found and number else 0
        if number and not first:
            return "it begins with no record that may follow"
        seq, at, last = first, 0, len(content)
        while at < last:
            if not is_record_of(content, session, seq, at):
                return f"line {seq - first + 1} is not record {seq} of this session"
            seq, at = seq + 1, content.index(b"\n", at) + 1
        span = first, seq
        self._spans[folder, number] = span
        before, after = self._spans.get((folder, number - 1)), self._spans.get((folder, number + 1))
        if (before and before[1] != span[0]) or (after and span[1] != after[0]):
            return "the records of this session do not go on from one segment to the next"
        return self._misplaced(folder, content[: content.index(b"\n")] if number == 0 else None)

    def _misplaced(self, folder: str, line: bytes | None) -> str:
        if folder not in self._belongs:
            try:
                self._belongs[folder] = _belongs(folder, self._first_line(folder) if line is None else line)
            except ValueError as error:
                self._belongs[folder] = str(error)
        return self._belongs[folder]


def _belongs(folder: str, line: bytes) -> str:
    """Why a session that begins with `line` cannot stand in `folder`, or the empty text. Raises `ValueError`."""
    start = parse(line)
    if start["kind"] != START:
        return "the session does not begin with session.start"
    expected = session_prefix(start)
    return "" if folder == expected else f"the session belongs to {expected}"
