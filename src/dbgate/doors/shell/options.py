"""What a person can set in the shell, for the time of the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

EXPANDED = ("on", "off", "auto")


@dataclass(slots=True)
class Options:
    r"""Set by `\x`, `\timing`, `\pset` and `\o`. `output` is a file that results go to, instead of the screen."""

    expanded: str = "auto"
    timing: bool = False
    pager: bool = True
    null: str = "NULL"
    output: TextIO | None = None
