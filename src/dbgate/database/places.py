"""Where an embedded server stands: a folder that its user can reach, found again by the next start.

Root runs the server as another user, who cannot pass through root's private folders. The server of such a folder
stands in the temporary folder instead; the folder asked for is its anchor, and once that is gone, so is the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from dbgate.database import holds
from dbgate.errors import UsageError
from dbgate.private import make_private

_AWAY = re.compile(r"dbgate-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group to run the server as."""

    uid: int
    gid: int


def open_to(path: Path, account: Account) -> bool:
    """Whether `account` may pass through every folder above `path` and read it, by the permission bits."""
    real = path.resolve()
    for place, needed in ((real, 5 if real.is_dir() else 4), *((parent, 1) for parent in real.parents)):
        try:
            status = place.stat()
        except FileNotFoundError:
            continue
        shift = 6 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 0
        if (status.st_mode >> shift) & needed != needed:
            return False
    return True


def place_for(directory: Path, account: Account | None) -> Path:
    """Where the server of `directory` stands: there, or, when `account` cannot get there, in the temporary folder.

    Raises `UsageError` when there is no place that `account` can reach.
    """
    if account is None or open_to(directory.parent, account):
        return directory
    for base in _temporary_folders():
        if open_to(base, account):
            return base / ("dbgate-" + hashlib.sha256(os.fsencode(directory)).hexdigest()[:16])
    raise UsageError(f"{directory} is out of reach for the server's user", hint="name a folder that all may enter")


def anchor(directory: Path, place: Path) -> None:
    """Tie a server that stands away from `directory` to it, and remove those whose anchor is gone."""
    if place == directory:
        return
    make_private(directory)
    (place / "anchor").write_bytes(os.fsencode(directory))
    for other in place.parent.iterdir():
        if _AWAY.fullmatch(other.name) and other != place:
            with contextlib.suppress(OSError):
                _remove_unanchored(other)


def _remove_unanchored(place: Path) -> None:
    """Remove a server of ours that nothing ties to its folder any more, unless it is used."""
    if place.is_symlink() or place.stat().st_uid != os.geteuid():
        return
    directory = Path(os.fsdecode((place / "anchor").read_bytes()))
    if not directory.exists() and not holds.watched(place) and not (place / "detached").exists():
        shutil.rmtree(place)


def _temporary_folders() -> tuple[Path, ...]:
    return Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")  # noqa: S108 - `own_directory` checks


def own_directory(place: Path, account: Account | None) -> None:
    """Make the folder `place` unless it is there. Raises `UsageError` if it is not a folder of our own."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(mode=0o700, exist_ok=True)
    status = place.lstat()
    if place.is_symlink() or not place.is_dir() or status.st_uid != os.geteuid():
        raise UsageError(f"{place} belongs to somebody else", hint="remove it, or name another folder")
    place.chmod(0o711 if account else 0o700)
