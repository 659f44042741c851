"""Reading a transcript and checking it at once: nobody sees a record before its place in the chain was looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dbgate.audit.record import parse
from dbgate.audit.transcript import Checker, Segment

DAMAGED = "damaged"
"""The kind given to a line that cannot be read, or does not follow. It stands in no transcript."""
VERDICT = "verdict"
"""The kind given to what was found in the end: `text`, and `holds` (None when it depends on what is trusted)."""


def checked(checker: Checker, segments: Iterable[Segment], *, is_live: bool = False) -> Iterator[dict[str, Any]]:
    """The records of a session, and a last one of kind `verdict`. Where the chain breaks, a record of kind `damaged` says why.

    A session that is still being written (`is_live`) may end in half a line.
    """
    for segment in segments:
        if is_live and not segment.content.endswith(b"\n"):
            segment = Segment(segment.name, segment.content[: segment.content.rfind(b"\n") + 1], segment.damage)
            if not segment.content and not segment.damage:
                continue
        fault = checker.segment(segment)
        if segment.damage or fault:
            yield damaged(f"{segment.name}: {segment.damage or fault}")
        if segment.damage:
            continue
        *lines, rest = segment.content.split(b"\n")
        for number, line in enumerate(lines, 1):
            place = f"{segment.name} line {number}"
            fault = checker.line(place, line)
            if fault:
                yield damaged(f"{place}: {fault}; nothing from here on is proven")
            yield read_line(line, place)
        if rest:
            yield read_line(rest, f"{segment.name} line {len(lines) + 1}")
    yield _verdict(checker, is_live=is_live)


def damaged(text: str) -> dict[str, Any]:
    """A record of kind `damaged`."""
    return {"kind": DAMAGED, "time": "", "text": text}


def read_line(line: bytes, place: str) -> dict[str, Any]:
    """A record, or one of kind `damaged` that says why this is none."""
    try:
        record = parse(line)
    except ValueError as error:
        return damaged(f"{place}: {error}")
    return damaged(f"{place}: no record is of this kind") if record["kind"] in (DAMAGED, VERDICT) else record


def _verdict(checker: Checker, *, is_live: bool) -> dict[str, Any]:
    found = checker.finish()
    holds: bool | None = False
    if not found.intact.holds:
        text = f"not intact: {found.intact}"
    elif is_live and not found.end:
        holds, text = None, f"{found.records} records in one chain so far; the session is open"
    elif not found.complete.holds:
        text = f"not complete: {found.complete}"
    else:
        holds = True if checker.trusts(found.sealed_by) else None
        stranger = "" if holds else ", which is not among the keys trusted here"
        text = f"{found.records} records in one chain, sealed with key {found.sealed_by}{stranger}"
    return {"kind": VERDICT, "time": "", "text": text, "holds": holds}
