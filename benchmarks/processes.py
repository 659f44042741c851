"""Time whole processes in turn, so that a machine whose speed drifts slows both sides of a ratio."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall seconds of several runs of one command, and its peak memory in MiB."""

    seconds: tuple[float, ...]
    peak_mib: float

    @property
    def median_s(self) -> float:
        """The median."""
        return statistics.median(self.seconds)


_LAUNCHER = """
import os, sys, time
began = time.perf_counter()
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - began, status, usage.ru_maxrss, file=open(int(sys.argv[1]), "w"))
"""
"""A small process between: what is forked from a large one counts the large one's memory as its own peak."""


def run_once(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command to its end; return wall seconds and peak memory in MiB. Raises `RuntimeError` when it fails."""
    ours, theirs = os.pipe()
    with os.fdopen(ours) as told:
        try:
            ran = subprocess.run(
                [PYTHON, "-I", "-S", "-c", _LAUNCHER, str(theirs), *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs],
                check=True,
            )
        finally:
            os.close(theirs)
        seconds, status, peak_kib = told.read().split()
    code = os.waitstatus_to_exitcode(int(status))
    if code:
        said = ran.stderr.decode(errors="replace")[-500:]
        raise RuntimeError(f"{list(command[:4])} ended with {code}: {said}")
    return float(seconds), int(peak_kib) / 1024


def in_turn(commands: Sequence[Sequence[str]], environment: Mapping[str, str], *, runs: int) -> list[Timing]:
    """Run the commands A B A B …, one warm-up round first."""
    seconds: list[list[float]] = [[] for _ in commands]
    peaks = [0.0 for _ in commands]
    for turn in range(runs + 1):
        for index, command in enumerate(commands):
            elapsed, peak = run_once(command, environment)
            if turn:
                seconds[index].append(elapsed)
                peaks[index] = max(peaks[index], peak)
    return [Timing(tuple(s), p) for s, p in zip(seconds, peaks, strict=True)]


def ratio(ours: Timing, theirs: Timing) -> float:
    """The median of the ratios, pair by pair."""
    return statistics.median(a / b for a, b in zip(ours.seconds, theirs.seconds, strict=True))


def report(name: str, value: str, goal: str = "") -> None:
    """Print one line of the table."""
    print(f"  {name:<58} {value:>16}   {goal}", flush=True)


PYTHON = sys.executable
