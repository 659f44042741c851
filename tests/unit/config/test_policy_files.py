"""Which files make a policy: its own, what it extends, and the built-in ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dbgate.config import is_builtin, load_policy, load_policy_file
from dbgate.config.policies import builtin_dir, builtin_names
from dbgate.errors import DocumentError, UsageError
from dbgate.model import Target

RULE = "rules:\n  - {{id: {0}, when: {{access: read}}, effect: allow}}\n"


def write(place: Path, name: str, *extends: str, rest: str = "") -> Path:
    file = place / name
    file.parent.mkdir(exist_ok=True)
    line = f"extends: [{', '.join(extends)}]\n" if extends else ""
    rule = RULE.format(f"{file.parent.name}-{file.stem}".replace(" ", "-"))
    file.write_text(f"version: 1\n{line}{rest or rule}")
    return file


def names(file: Path) -> list[str]:
    return [Path(name).name for name in load_policy_file(file).files]


def test_a_target_without_a_policy_gets_the_built_in_one() -> None:
    policy = load_policy(Target("t", "postgres", ""))
    assert [Path(name).name for name in policy.files] == ["labels.yaml", "default.yaml", "read-only.yaml"]
    assert {rule.effect for rule in policy.rules} == {"allow", "deny"}
    assert all(is_builtin(Path(name)) for name in policy.files)


def test_files_are_read_once_and_what_is_extended_first(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml")
    write(tmp_path, "left.yaml", "base.yaml")
    write(tmp_path, "right.yaml", "./base.yaml")
    top = write(tmp_path, "top.yaml", "left.yaml", "right.yaml")
    assert names(top) == ["base.yaml", "left.yaml", "right.yaml", "top.yaml"]


def test_extends_starts_at_the_file_that_says_so(tmp_path: Path) -> None:
    write(tmp_path / "team", "a.yaml", "../shared/b.yaml")
    write(tmp_path / "shared", "b.yaml", "c.yaml")
    write(tmp_path / "shared", "c.yaml")
    assert names(tmp_path / "team" / "a.yaml") == ["c.yaml", "b.yaml", "a.yaml"]


def test_default_yaml_is_built_in_unless_one_stands_beside(tmp_path: Path) -> None:
    top = write(tmp_path, "top.yaml", "default.yaml")
    assert load_policy_file(top).files[:-1] == tuple(str(builtin_dir() / n) for n in ("labels.yaml", "default.yaml"))
    write(tmp_path, "default.yaml")
    assert names(top) == ["default.yaml", "top.yaml"]


@pytest.mark.parametrize("chain", [["a.yaml"], ["a.yaml", "b.yaml"], ["a.yaml", "b.yaml", "c.yaml"]])
def test_circles_are_errors(tmp_path: Path, chain: list[str]) -> None:
    for name, following in zip(chain, chain[1:] + chain[:1], strict=True):
        write(tmp_path, name, following)
    with pytest.raises(DocumentError, match=r"extends this file in turn") as caught:
        load_policy_file(tmp_path / "a.yaml")
    assert caught.value.line == 2


def test_a_circle_through_a_link_ends(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    with pytest.raises(DocumentError, match="extends this file in turn"):
        load_policy_file(tmp_path / "a.yaml")


def test_missing_files_are_named(tmp_path: Path) -> None:
    top = write(tmp_path, "top.yaml", "defualt.yaml")
    with pytest.raises(DocumentError, match=r"top\.yaml:2: extends: there is no file .*defualt\.yaml"):
        load_policy_file(top)
    with pytest.raises(UsageError, match="the policy of t is not there"):
        load_policy(Target("t", "postgres", "", policy=str(tmp_path / "gone.yaml")))


def test_the_digest_follows_every_byte_of_every_file(tmp_path: Path) -> None:
    base, top = write(tmp_path, "base.yaml"), write(tmp_path, "top.yaml", "base.yaml")
    digests = {load_policy_file(top).digest}
    base.write_text(base.read_text() + "# a comment\n")
    digests.add(load_policy_file(top).digest)
    top.write_text(top.read_text() + "\n")
    digests.add(load_policy_file(top).digest)
    assert len(digests) == 3


def test_the_same_id_in_two_files_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", rest=RULE.format("same"))
    top = write(tmp_path, "top.yaml", "base.yaml", rest=RULE.format("same"))
    with pytest.raises(DocumentError, match=r"top\.yaml:4: the rule same stands twice, first in .*base\.yaml:3"):
        load_policy_file(top)


def test_every_built_in_policy_is_listed() -> None:
    assert set(builtin_names()) < {file.name for file in builtin_dir().glob("*.yaml")}


def test_reading_the_configuration_imports_nothing_heavy() -> None:
    code = "import sys, dbgate.config, dbgate.cli.app; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"psycopg", "rich", "sqlglot", "requests", "msal", "yaml", "pgparse"} & set(loaded)
