"""Files that were read before, kept ready in the state directory: reading them again costs no YAML.

What is kept is found by the bytes of every file that it was made from, so a change of one byte makes it worthless.
It can weaken nothing: it is believed only where it is this user's own, closed to others, and made of a file that this
user could have rewritten as well. On a bastion whose policies people cannot write, it is not used. It is never needed;
whatever is wrong with it, the file is read instead.
"""

import hashlib
import os
import stat
from collections.abc import Iterable
from functools import cache as once
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dbgate import __version__

T = TypeVar("T")

_READERS = ("document", "config", "gate/policy", "model", "settings.py")
"""The code that turns files into values: when it changes, nothing that is kept counts."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of one file. `sources` are (path, SHA-256) of all that was read, `absent` paths that were not there."""

    made_by: str
    sources: tuple[tuple[str, str], ...]
    absent: tuple[str, ...]
    value: msgspec.Raw


def recall(state: Path, file: Path, kind: type[T]) -> T | None:
    """What was made of `file` before, if it and all that it drew on is unchanged; else None."""
    if not os.access(file, os.W_OK):
        return None
    place = _place(state, file, kind)
    try:
        content = _own_file(place)
        kept = msgspec.msgpack.decode(content, type=Kept) if content else None
        if kept is None or kept.made_by != _made_by() or any(os.path.lexists(path) for path in kept.absent):
            return None
        if not all(_is_unchanged(path, digest) for path, digest in kept.sources):
            return None
        return msgspec.msgpack.decode(kept.value, type=kind, dec_hook=_decode)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def keep(state: Path, file: Path, value: object, sources: Iterable[tuple[Path, bytes]], absent: Iterable[Path]) -> None:
    """Keep what was made of `file`. `sources` are all files that were read, with their bytes."""
    sources = list(sources)
    if not _is_private(state) or not os.access(file, os.W_OK) or not all(path.is_file() for path, _ in sources):
        return
    place = _place(state, file, type(value))
    kept = Kept(
        _made_by(),
        tuple((str(path), hashlib.sha256(content).hexdigest()) for path, content in sources),
        tuple(map(str, absent)),
        msgspec.Raw(msgspec.msgpack.encode(value, enc_hook=_encode)),
    )
    temporary = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.msgpack.encode(kept))
        temporary.replace(place)
    except OSError:
        temporary.unlink(missing_ok=True)


def _place(state: Path, file: Path, kind: type[Any]) -> Path:
    name = hashlib.sha256(f"{kind.__name__}\0{file}\0{os.environ.get('HOME', '')}".encode()).hexdigest()[:32]
    return state / "documents" / name


def _is_private(directory: Path) -> bool:
    """Whether a directory is this user's and closed to everybody else."""
    try:
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _own_file(place: Path) -> bytes | None:
    """The content of a file that nobody but this user can have written."""
    if not (_is_private(place.parent) and _is_private(place.parent.parent)):
        return None
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
            return None
        return stream.read()


def _is_unchanged(path: str, digest: str) -> bool:
    """Whether a file still has these bytes. A pipe is not looked at: what is read of it is gone."""
    return Path(path).is_file() and hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest


@once
def _made_by() -> str:
    """The version of dbgate, and of the code that reads files, which changes more often in a source tree."""
    root = Path(__file__).parents[1]
    newest = 0
    for name in _READERS:
        place = root / name
        files = place.iterdir() if place.is_dir() else [place]
        newest = max(newest, *(f.stat().st_mtime_ns for f in files if f.suffix == ".py"))
    return f"{__version__} {newest}"


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode(kind: type[Any], value: object) -> object:
    if issubclass(kind, Path):
        return Path(str(value))
    raise NotImplementedError(kind)
