"""What a person can set in the shell, for the time of the session."""

from __future__ import annotations

from typing import TextIO

import msgspec

EXPANDED = ("on", "off", "auto")


class Options(msgspec.Struct):
    r"""Set by `\x`, `\timing`, `\pset` and `\o`. `output` is a file that results go to, instead of the screen."""

    expanded: str = "auto"
    timing: bool = False
    pager: bool = True
    null: str = "NULL"
    output: TextIO | None = None
