"""Folders that only their owner may enter."""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> list[Path]:
    """Make a folder, and those above it that are missing, with mode 0700; return them, the highest first.

    Those that are there stay as they are. `Path.mkdir(mode=…, parents=True)` makes the ones above with the default
    mode. Raises `OSError`.
    """
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    made = missing[::-1]
    for one in made:
        one.mkdir(mode=0o700, exist_ok=True)
    return made
