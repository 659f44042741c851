"""Finding the files of a policy: the target's own, what it extends, and the built-in ones."""

from __future__ import annotations

from pathlib import Path

from dbgate.config.reading import read_text
from dbgate.errors import UsageError
from dbgate.gate.policy.model import Policy
from dbgate.gate.policy.read import PolicyFile, join_files, parse_file
from dbgate.model import Target

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
    return join_files(policy_files(file))


def policy_files(file: Path) -> list[PolicyFile]:
    """The file and all that it extends, each once, what is extended before what extends it."""
    found: dict[Path, PolicyFile] = {}
    _collect(file.absolute(), (), found)
    return list(found.values())


def _collect(file: Path, above: tuple[Path, ...], found: dict[Path, PolicyFile]) -> None:
    """Add what `file` extends, then the file itself. `above` are the files that led here."""
    place = file.resolve()
    if place in found:
        return
    parsed = parse_file(str(file), read_text(file))
    for name in parsed.extends:
        wanted = _extended(file, name.text())
        if not wanted.exists():
            raise name.error(f"extends: there is no file {wanted}", f"built in are: {', '.join(builtin_names())}")
        if wanted.resolve() == place or wanted.resolve() in above:
            raise name.error(f"extends: {name.text()} extends this file in turn", "break the circle")
        _collect(wanted, (*above, place), found)
    found[place] = parsed


def _extended(file: Path, name: str) -> Path:
    """What a name in `extends` means: a file beside, or a built-in policy when there is none."""
    beside = file.parent / Path(name).expanduser()
    built_in = builtin_dir() / name
    # A built-in policy that extends another means the built-in one, and so does its copy beside it.
    return built_in if not beside.exists() and name in builtin_names() else beside


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
