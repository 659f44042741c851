"""Finding the files of a policy: the target's own, what it extends, and the built-in ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dbgate.config.places import read_bytes, state_dir
from dbgate.errors import UsageError
from dbgate.gate.policy.model import Policy
from dbgate.model import Target

if TYPE_CHECKING:
    from dbgate.gate.policy.read import PolicyFile

WITHOUT_POLICY = "read-only.yaml"
"""The built-in policy of a target that has none of its own."""


def load_policy(target: Target) -> Policy:
    """The policy of a target. Raises `DocumentError`, `UsageError`."""
    file = Path(target.policy) if target.policy else builtin_dir() / WITHOUT_POLICY
    if target.policy and not file.exists():
        raise UsageError(
            f"the policy of {target.name} is not there: {file}",
            hint="correct policy: in the configuration, or write it",
        )
    return load_policy_file(file)


def load_policy_file(file: Path) -> Policy:
    """The policy of a file and all that it extends. Raises `DocumentError`, `UsageError`."""
    from dbgate.config import cache

    main, state = file.absolute(), state_dir()
    known = cache.recall(state, main, Policy)
    if known is not None:
        return known
    from dbgate.gate.policy.read import join_files

    files = PolicyFiles(main)
    policy = join_files(files.parsed)
    cache.keep(state, main, policy, files.sources, files.absent)
    return policy


class PolicyFiles:
    """A policy file and all that it extends, each once, what is extended before what extends it.

    `parsed` are the files, `sources` their bytes, `absent` the places where a file would have been taken, had it
    been there. Raises `DocumentError`, `UsageError`.
    """

    def __init__(self, main: Path) -> None:
        self.sources: list[tuple[Path, bytes]] = []
        self.absent: list[Path] = []
        self._found: dict[Path, PolicyFile] = {}
        self._collect(main, ())

    @property
    def parsed(self) -> list[PolicyFile]:
        """The files in their order."""
        return list(self._found.values())

    def _collect(self, file: Path, above: tuple[Path, ...]) -> None:
        """Add what `file` extends, then the file itself. `above` are the files that led here."""
        from dbgate.document import decode
        from dbgate.gate.policy.read import parse_file

        place = file.resolve()
        if place in self._found:
            return
        content = read_bytes(file)
        self.sources.append((file, content))
        parsed = parse_file(str(file), decode(content, str(file)))
        for name in parsed.extends:
            wanted = self._extended(file, name.text())
            if not wanted.exists():
                raise name.error(f"extends: there is no file {wanted}", f"built in are: {', '.join(builtin_names())}")
            if wanted.resolve() == place or wanted.resolve() in above:
                raise name.error(f"extends: {name.text()} extends this file in turn", "break the circle")
            self._collect(wanted, (*above, place))
        self._found[place] = parsed

    def _extended(self, file: Path, name: str) -> Path:
        """What a name in `extends` means: a file beside, or a built-in policy when there is none."""
        beside = file.parent / Path(name).expanduser()
        if os.path.lexists(beside) or name not in builtin_names():
            return beside
        self.absent.append(beside)
        return builtin_dir() / name


def builtin_dir() -> Path:
    """Where the built-in policies stand: in the package, or beside `src` in a source tree."""
    package = Path(__file__).parents[1] / "policies"
    return package if package.is_dir() else Path(__file__).parents[3] / "policies"


def builtin_names() -> tuple[str, ...]:
    """The built-in policies that others may extend."""
    return ("default.yaml", "labels.yaml", "read-only.yaml")


def is_builtin(file: Path) -> bool:
    """Whether a file is one of the built-in policies."""
    return file.parent == builtin_dir() and file.name in builtin_names()
