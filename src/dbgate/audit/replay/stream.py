"""A session as a stream of text: for pipes and files, and for terminals that are none to draw on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TextIO

from dbgate.audit.frames import Frame

RESET = "\x1b[0m"
STYLES = {
    "header": "\x1b[36m",
    "statement": "\x1b[1m",
    "allow": "\x1b[32m",
    "mask": "\x1b[33m",
    "approval": "\x1b[35m",
    "deny": "\x1b[1;31m",
    "outcome": "\x1b[2m",
    "notice": "\x1b[33m",
    "error": "\x1b[31m",
    "end": "\x1b[36m",
}
"""How each role looks, as SGR sequences (ECMA-48). `output` looks like the terminal itself."""
SPACED = ("statement", "end")
"""Roles with an empty line before them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to play. `speed` 2 is twice as fast, 0 does not wait; pauses are cut to `max_idle_s`, if it is not None."""

    speed: float = 1.0
    max_idle_s: float | None = 2.0

    def wait_s(self, gap_s: float) -> float:
        """How long to wait for a gap of the recording."""
        gap_s = gap_s if self.max_idle_s is None else min(gap_s, self.max_idle_s)
        return gap_s / self.speed if self.speed > 0 else 0.0


def painted(frame: Frame, *, colour: bool) -> str:
    """A frame as text for a terminal, with a final newline and its style around each line."""
    style = STYLES.get(frame.role, "") if colour else ""
    lines = frame.text.split("\n")
    text = "\n".join(f"{style}{line}{RESET}" for line in lines) if style else "\n".join(lines)
    return ("\n" if frame.role in SPACED else "") + text + "\n"


def play(
    shown: Iterable[Frame],
    out: TextIO,
    pace: Pace,
    *,
    colour: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Write the frames to `out`, waiting in between."""
    last_s: float | None = None
    try:
        for frame in shown:
            if wait_s := pace.wait_s(frame.at_s - (frame.at_s if last_s is None else last_s)):
                sleep(wait_s)
            last_s = frame.at_s
            out.write(painted(frame, colour=colour))
            out.flush()
    finally:
        if colour:
            out.write(RESET)
            out.flush()
