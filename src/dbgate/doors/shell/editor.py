"""Editing a statement in the person's own editor."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from dbgate.errors import UsageError


def edit(text: str) -> str:
    """Let the person edit `text` in `VISUAL` or `EDITOR`, and return what they saved. Raises `UsageError`."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        argv = shlex.split(command)
        with tempfile.TemporaryDirectory(prefix="dbgate-") as folder:
            file = Path(folder) / "statement.sql"
            file.write_text(text + ("\n" if text and not text.endswith("\n") else ""), encoding="utf-8")
            status = subprocess.run([*argv, str(file)], check=False).returncode
            if status:
                raise UsageError(f"the editor ended with status {status}", hint="the statement is as it was")
            return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot edit with {command}: {error}", hint="set EDITOR to your editor") from None
