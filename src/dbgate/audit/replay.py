"""Playing a session in a terminal, at its own pace or step by step."""

from __future__ import annotations

import os
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
    """How fast to play. `speed` 2 is twice as fast, 0 does not wait; waits never exceed `max_idle_s`."""

    speed: float = 1.0
    max_idle_s: float = 2.0

    def wait_s(self, gap_s: float) -> float:
        """How long to wait for a gap of the recording."""
        return min(gap_s, self.max_idle_s) / self.speed if self.speed > 0 else 0.0


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
    step: Callable[[], bool] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Write the frames to `out`, waiting in between. Returns False when the viewer left early.

    `step` is called before each statement and tells whether to go on.
    """
    last_s = 0.0
    try:
        for frame in shown:
            if step is not None:
                if frame.role == "statement" and not step():
                    return False
            elif wait_s := pace.wait_s(frame.at_s - last_s):
                sleep(wait_s)
            last_s = frame.at_s
            out.write(painted(frame, colour=colour))
            out.flush()
    finally:
        if colour:
            out.write(RESET)
            out.flush()
    return True


def wait_for_key(terminal: int, out: TextIO) -> bool:
    """Wait for a key on the terminal (a descriptor). False for `q`, Escape or the end of input."""
    import termios
    import tty

    prompt = "-- any key: next statement, q: leave --"
    out.write(f"\x1b[2m{prompt}{RESET}")
    out.flush()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        key = os.read(terminal, 32)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        out.write("\r\x1b[K")
        out.flush()
    return key not in (b"", b"q", b"Q", b"\x04", b"\x1b")
