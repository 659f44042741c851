"""What `dbgate doctor` finds: one line each, with what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from dbgate.errors import EXIT_OK, DbgateError
from dbgate.text import printable

if TYPE_CHECKING:
    from dbgate.model import Json


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_COLOURS = {Level.OK: "\x1b[32m", Level.WARN: "\x1b[33m", Level.FAIL: "\x1b[31m"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `exit_code` is what a command that needs it would end with."""

    level: Level
    name: str
    text: str
    hint: str = ""
    exit_code: int = EXIT_OK

    def to_json(self) -> dict[str, Json]:
        """The finding for scripts."""
        return {"level": str(self.level), "name": self.name, "text": self.text, "hint": self.hint}


@dataclass(slots=True)
class Findings:
    """All findings, in the order of what depends on what. With `show` each is printed as it comes."""

    show: bool = True
    found: list[Finding] = field(default_factory=list)

    def ok(self, name: str, text: str, hint: str = "") -> None:
        """It is as it should be."""
        self._add(Finding(Level.OK, name, text, hint))

    def warn(self, name: str, text: str, hint: str) -> None:
        """It works, but may not be meant."""
        self._add(Finding(Level.WARN, name, text, hint))

    def fail(self, name: str, error: DbgateError) -> None:
        """It does not work."""
        text = error.message.removeprefix(f"{name}: ")
        self._add(Finding(Level.FAIL, name, text, error.hint, error.exit_code))

    @contextmanager
    def looking(self, name: str) -> Iterator[None]:
        """Take an error inside as a failure of `name`."""
        try:
            yield
        except DbgateError as error:
            self.fail(name, error)

    @property
    def exit_code(self) -> int:
        """That of the first failure: what comes later may only follow from it."""
        return next((f.exit_code for f in self.found if f.level is Level.FAIL), EXIT_OK)

    def _add(self, finding: Finding) -> None:
        self.found.append(finding)
        if self.show:
            print_finding(finding)


def print_finding(finding: Finding) -> None:
    """Print a finding to stdout: level, name, what was found, and below it what to do."""
    colour = _COLOURS[finding.level] if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ""
    level = f"{colour}{finding.level:<4}{chr(27) + '[0m' if colour else ''}"
    print(f"{level}  {printable(finding.name)}: {printable(finding.text)}", flush=True)
    for line in finding.hint.splitlines():
        print(f"      hint: {printable(line)}", flush=True)
