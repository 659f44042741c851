"""Telling what a bucket holds to a sink, batch by batch; the cursor moves only behind what has arrived."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dbgate.audit.siem.cef import cef
from dbgate.audit.siem.cursor import Cursor
from dbgate.audit.siem.events import Event, shortened, words
from dbgate.audit.siem.feed import Feed
from dbgate.audit.siem.ocsf import ocsf
from dbgate.audit.siem.plain import CUTS, line, plain
from dbgate.audit.siem.sinks import Sink
from dbgate.errors import UsageError

_ODD = re.compile(r"[^A-Za-z0-9@.,:;+*/ _-]")
BATCH_EVENTS = 5000
BATCH_SESSIONS = 500


@dataclass(slots=True)
class Told:
    """What a run did. `shortened` counts events that were too long for the sink."""

    events: int = 0
    sessions: int = 0
    shortened: int = 0


Format = Callable[[Event], str | None]


def _json(made: Callable[[Event], Mapping[str, Any] | None]) -> Format:
    def format_(event: Event) -> str | None:
        told = made(event)
        return None if told is None else line(told)

    return format_


FORMATS: Mapping[str, Format] = {"ocsf": _json(ocsf), "cef": cef, "json": _json(plain)}
"""By name: an event as one line without line ends, or None when the format has no place for it."""


def tell(
    feed: Feed,
    form: str,
    sink: Sink,
    cursor: Cursor | None = None,
    *,
    overhead: Callable[[Event], int] = lambda event: 0,
    progress: Callable[[Told], None] = lambda told: None,
) -> Told:
    """Send everything that the cursor does not know yet. `overhead` are the bytes that the sink adds to a line.

    Raises `Unreachable`, `UsageError`: what was sent since the last batch is then sent again next time.
    """
    told = Told()
    marks: dict[str, tuple[int, bool]] = {}
    waiting = 0

    def settle() -> None:
        nonlocal waiting
        sink.settle()
        if cursor is not None:
            cursor.keep(marks)
        marks.clear()
        waiting = 0
        progress(told)

    for folder in feed.folders():
        after = cursor.told(folder) if cursor is not None else -1
        if after is None:
            continue

        def mark(up_to: int, ended: bool, folder: str = folder) -> None:
            marks[folder] = (up_to, ended)

        for event in feed.session(folder, after, mark):
            waiting += _send(event, FORMATS[form], sink, overhead, told)
            if waiting >= BATCH_EVENTS:
                settle()
        told.sessions += 1
        if len(marks) >= BATCH_SESSIONS:
            settle()
    settle()
    return told


def _send(event: Event, format_: Format, sink: Sink, overhead: Callable[[Event], int], told: Told) -> int:
    text = format_(event)
    if text is None:
        return 0
    if sink.limit:
        room = sink.limit - overhead(event)
        if len(text.encode()) > room:
            text = _fitted(event, format_, room)
            told.shortened += 1
    sink.send(event, text)
    told.events += 1
    return 1


def _fitted(event: Event, format_: Format, room: int) -> str:
    """The event in `room` bytes: with its texts cut, or else without those that are not needed to know what it is."""
    for event_ in [*(_cut(event, length) for length in CUTS), _bare(event)]:
        text = format_(event_)
        if text is not None and len(text.encode()) <= room:
            return text
    raise UsageError(
        f"event {event.uid} does not fit into {room} bytes", hint="--syslog-limit BYTES, as much as the receiver takes"
    )


def _cut(event: Event, length: int) -> Event:
    """The event with its long texts and lists cut. What names it stays whole."""
    return replace(
        event,
        start=shortened(event.start, max(length, 64)),
        record=shortened(event.record, length) | _envelope(event) | {"truncated_to": length},
        outcome=shortened(event.outcome, length),
    )


def _bare(event: Event) -> Event:
    """What happened to whom, in short words of ASCII."""

    def few(fields: Mapping[str, Any], *names: str) -> dict[str, Any]:
        return {name: _ODD.sub("?", words(fields.get(name))[:24]) for name in names if words(fields.get(name))}

    names = ("decision", "verb", "access", "action", "request", "reason", "status")
    who = few(event.identity, "subject", "email", "actor")
    return replace(
        event,
        start=few(event.start, "target", "door", "host", "version", "time") | {"identity": who},
        record=few(event.record, *names) | _envelope(event) | {"by": who, "truncated_to": 0},
        outcome=few(event.outcome, "status", "sqlstate"),
    )


def _envelope(event: Event) -> dict[str, Any]:
    return {name: event.record[name] for name in ("session", "seq", "time", "kind")}
