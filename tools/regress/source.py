"""Fetches PostgreSQL's regression SQL: Debian's source package, by apt, without root and without touching its state."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dbgate.errors import Unreachable, UsageError

PACKAGE = "postgresql-15"
WANTED = re.compile(r"src/test/regress/(?:(?:sql|data|expected)/.+|\w+_schedule)\Z")
"""What is taken out of the source: the SQL, its data, the expected output, the order of the files."""

_HINT = "fetch it where apt reaches a mirror with source packages, and name the unpacked src/test/regress by --source"


def fetch(folder: Path) -> Path:
    """The folder `regress` with `sql`, `data`, `expected` and `parallel_schedule`; fetched if it is not there yet.

    Raises `UsageError` without apt, `Unreachable` when the package cannot be had.
    """
    folder = folder.absolute()
    found = folder / "regress"
    if (found / "parallel_schedule").is_file():
        return found
    if shutil.which("apt-get") is None:
        raise UsageError("PostgreSQL's regression SQL comes by apt, which is not here", hint=_HINT)
    print(f"fetching the source package {PACKAGE}", file=sys.stderr)
    tarball = _download(folder / "apt")
    new = folder / "regress.new"
    shutil.rmtree(new, ignore_errors=True)
    _unpack(tarball, new)
    if not (new / "parallel_schedule").is_file():
        raise Unreachable(f"{tarball.name} holds no regression SQL", hint=_HINT)
    shutil.rmtree(found, ignore_errors=True)
    new.rename(found)
    shutil.rmtree(folder / "apt", ignore_errors=True)
    return found


def _download(state: Path) -> Path:
    """The original tarball, by a private apt state made from the machine's own sources."""
    for part in ("lists/partial", "cache/archives/partial", "sources", "download"):
        (state / part).mkdir(parents=True, exist_ok=True)
    _write_sources(state / "sources")
    settings = state / "apt.conf"
    settings.write_text(_settings(state), encoding="utf-8")
    _apt(settings, state, "update")
    said = ""
    for version in _versions(settings, state):
        done = _apt(settings, state / "download", "source", "--download-only", f"{PACKAGE}={version}")
        tarballs = [path for path in (state / "download").glob("*.orig.tar.*") if path.suffix != ".asc"]
        if done.returncode == 0 and tarballs:
            return tarballs[0]
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else said
    raise Unreachable(f"the source package {PACKAGE} cannot be fetched: {said or 'no source has it'}", hint=_HINT)


def _versions(settings: Path, state: Path) -> list[str]:
    """The versions that the sources offer, newest first: a mirror may not hold them all."""
    done = _apt(settings, state, "showsrc", "--only-source", PACKAGE, program="apt-cache")
    return list(dict.fromkeys(re.findall(r"^Version: (\S+)$", done.stdout, re.MULTILINE)))


def _apt(settings: Path, folder: Path, *words: str, program: str = "apt-get") -> subprocess.CompletedProcess[str]:
    command = [program, "-q", "-c", str(settings), *words]
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )


def _settings(state: Path) -> str:
    """Read after the machine's own configuration, of which proxies, mirrors and certificates stay."""
    folder = str(state.absolute())
    user = pwd.getpwuid(os.getuid()).pw_name
    return "\n".join(
        (
            "#clear APT::Update::Post-Invoke;",
            "#clear APT::Update::Post-Invoke-Success;",
            f'Dir::State::Lists "{folder}/lists";',
            f'Dir::Cache "{folder}/cache";',
            f'Dir::Etc::SourceParts "{folder}/sources";',
            'Dir::Etc::SourceList "/dev/null";',
            f'APT::Sandbox::User "{user}";',
            'Acquire::Languages "none";',
            "",
        )
    )


def _write_sources(folder: Path) -> None:
    """The machine's sources as sources of source packages."""
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix in {".list", ".sources"} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            lines = _old_lines(text) if path.suffix == ".list" else _new_lines(text)
            (folder / path.name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _old_lines(text: str) -> Iterator[str]:
    """One line a source: `deb [options] URI suite component…`."""
    for line in text.splitlines():
        if re.match(r"deb(?:-src)?\s", line):
            yield re.sub(r"\Adeb(?:-src)?\s", "deb-src ", line)


def _new_lines(text: str) -> Iterator[str]:
    """Paragraphs of fields (deb822)."""
    for line in text.splitlines():
        yield "Types: deb-src" if line.startswith("Types:") else line


def _unpack(tarball: Path, folder: Path) -> None:
    with tarfile.open(tarball) as archive:
        for member in archive:
            inner = member.name.partition("/")[2]
            stream = archive.extractfile(member) if member.isfile() and WANTED.match(inner) else None
            if stream is not None:
                path = folder / inner.removeprefix("src/test/regress/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(stream.read())
