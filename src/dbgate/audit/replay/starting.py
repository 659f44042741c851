"""Where a replay begins when it is told to begin elsewhere: at a statement, or at a time."""

from __future__ import annotations

import re
from bisect import bisect_left
from datetime import UTC, datetime

from dbgate.audit.replay.recording import Recording
from dbgate.errors import UsageError

_CLOCK = re.compile(r"(?:(\d{1,4}):)?(\d{1,4}):(\d{2})")
_SPAN = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?")


def first_cue(recording: Recording, text: str) -> int:
    """The frame to begin with: `3` is a statement, `1:30` or `1m30s` a time since the start, `2026-01-31T08:00:20` a time (UTC).

    Raises `UsageError` when it is none of these, or not in the recording.
    """
    if text.isdecimal() and text.isascii():
        return _statement(recording, text)
    at_s = _seconds(text)
    if at_s is None:
        at_s = _since_start(recording, text)
    first = bisect_left(recording.cues, at_s - 1e-9, key=lambda cue: cue.at_s)
    return min(first, len(recording.cues) - 1)


def _statement(recording: Recording, number: str) -> int:
    for statement in recording.statements:
        if statement.number == number:
            return statement.cue
    statements = recording.statements
    known = f"its statements are {statements[0].number} to {statements[-1].number}" if statements else ""
    raise UsageError(f"there is no statement {number}", hint=known or "no statement was recorded")


def _seconds(text: str) -> float | None:
    clock = _CLOCK.fullmatch(text)
    if clock:
        return float(int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3]))
    span = _SPAN.fullmatch(text) if text else None
    return float(int(span[1] or 0) * 3600 + int(span[2] or 0) * 60 + int(span[3] or 0)) if span else None


def _since_start(recording: Recording, text: str) -> float:
    began = recording.clock(0.0)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _no_place(text) from None
    if began is None:
        raise _no_place(text)
    return max((at.replace(tzinfo=at.tzinfo or UTC) - began).total_seconds(), 0.0)


def _no_place(text: str) -> UsageError:
    hint = "write a statement's number, 1:30, 1m30s or 2026-01-31T08:00:20"
    return UsageError(f"not a place to begin: {text}", hint=hint)
