"""What was typed before, per target, in the state directory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from prompt_toolkit.history import FileHistory

from dbgate.private import make_private

MAX_BYTES = 2 * 1024 * 1024
"""A longer history loses its older half."""

_PASSWORD = re.compile(r"\bpassword\b[^;]*'", re.IGNORECASE)


def history_path(state_dir: Path, target: str) -> Path:
    """The history file of a target."""
    return state_dir / "history" / f"{quote(target, safe='')}.history"


class TargetHistory(FileHistory):
    """A history file that only its owner can read (0600).

    Lines that begin with a space are not kept at all, statements with a password only until the shell ends, and the
    same line twice in a row once. A file that cannot be written is reported once, and forgotten.
    """

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        super().__init__(str(path))
        self._path = path
        self._report = report
        self._is_writable = True
        self._latest = ""

    def open(self) -> None:
        """Make the file, and shorten it when it has grown too long."""
        try:
            make_private(self._path.parent)
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            self._path.chmod(0o600)
            if self._path.stat().st_size > MAX_BYTES:
                kept = self._path.read_bytes()[-MAX_BYTES // 2 :]
                start = kept.find(b"\n# ")
                self._path.write_bytes(kept[start + 1 :] if start >= 0 else b"")
        except OSError as error:
            self._give_up(error)

    def load_history_strings(self) -> list[str]:
        """The entries, latest first."""
        try:
            return list(super().load_history_strings())
        except OSError as error:
            self._give_up(error)
            return []

    def append_string(self, string: str) -> None:
        """Remember a line."""
        text = string.rstrip()
        if text and not string.startswith(" ") and text != self._latest:
            self._latest = text
            super().append_string(text)

    def store_string(self, string: str) -> None:
        """Write a line to the file."""
        if not self._is_writable or _PASSWORD.search(string):
            return
        try:
            super().store_string(string)
        except (OSError, UnicodeEncodeError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self._is_writable:
            self._is_writable = False
            self._report(f"what you type is not kept, for {self._path} cannot be used: {error}")
