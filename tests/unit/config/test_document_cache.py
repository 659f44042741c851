"""What is kept of files that were read: right after every change, and no way to weaken a policy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dbgate.config import cache, load_policy_file, load_settings
from dbgate.gate.policy.model import Policy
from dbgate.settings import Settings

POLICY = "version: 1\nextends: [default.yaml]\nrules:\n  - {id: own, effect: allow, when: {access: read}}\n"
CONFIG = "identity: {provider: local, groups: [a]}\ntargets:\n  t: {engine: postgres, dsn: x, policy: p.yaml}\n"


@pytest.fixture
def home(dbgate_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a configuration, a policy, and a state directory that is there already."""
    (dbgate_home / "st").mkdir(mode=0o700)
    monkeypatch.setenv("DBGATE_STATE_DIR", str(dbgate_home / "st"))
    (dbgate_home / "config.yaml").write_text(CONFIG)
    (dbgate_home / "p.yaml").write_text(POLICY)
    return dbgate_home


def kept(home: Path) -> list[Path]:
    place = home / "st" / "documents"
    return sorted(place.iterdir()) if place.exists() else []


def recalled(home: Path) -> Policy | None:
    return cache.recall(home / "st", home / "p.yaml", Policy)


def test_what_is_kept_is_what_was_read(home: Path) -> None:
    settings, policy = load_settings(), load_policy_file(home / "p.yaml")
    assert recalled(home) == policy
    assert cache.recall(home / "st", home / "config.yaml", Settings) is not None
    assert load_settings() == settings
    assert load_policy_file(home / "p.yaml") == policy
    assert [file.stat().st_mode & 0o777 for file in kept(home)] == [0o600, 0o600]


def test_reading_again_needs_no_yaml(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dbgate.config import load_settings, load_policy\n"
        "load_policy(load_settings().targets['t']); print('yaml' in sys.modules)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout.strip() for run in runs] == ["True", "False"]


def test_a_changed_file_is_read_again(home: Path) -> None:
    assert load_policy_file(home / "p.yaml").rules[0].effect == "allow"
    status = (home / "p.yaml").stat()
    (home / "p.yaml").write_text(POLICY.replace("allow", "deny "))
    os.utime(home / "p.yaml", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert recalled(home) is None
    assert load_policy_file(home / "p.yaml").rules[0].effect == "deny"
    (home / "config.yaml").write_text(CONFIG.replace("[a]", "[b]"))
    assert load_settings().identity.groups == ("b",)


def test_a_file_that_appears_beside_takes_the_place_of_the_built_in_one(home: Path) -> None:
    assert "default-no-blanket" in {rule.id for rule in load_policy_file(home / "p.yaml").rules}
    (home / "default.yaml").write_text("version: 1\nrules: [{id: mine, effect: deny, when: {verbs: drop}}]\n")
    assert [rule.id for rule in load_policy_file(home / "p.yaml").rules] == ["own", "mine"]


def test_a_file_that_is_gone_is_gone(home: Path) -> None:
    load_policy_file(home / "p.yaml")
    (home / "p.yaml").unlink()
    assert recalled(home) is None


def test_policies_that_this_user_cannot_write_are_always_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_policy_file(home / "p.yaml")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert recalled(home) is None


def open_file(home: Path) -> None:
    for file in kept(home):
        file.chmod(0o620)


def open_directory(home: Path) -> None:
    (home / "st" / "documents").chmod(0o770)


def open_state(home: Path) -> None:
    (home / "st").chmod(0o755)


def cut(home: Path) -> None:
    for file in kept(home):
        file.write_bytes(file.read_bytes()[:-20])


def garble(home: Path) -> None:
    for file in kept(home):
        file.write_bytes(b"\xc1 not msgpack")


def empty(home: Path) -> None:
    for file in kept(home):
        file.write_bytes(b"")


def link(home: Path) -> None:
    for file in kept(home):
        elsewhere = home / file.name
        file.rename(elsewhere)
        file.symlink_to(elsewhere)


def link_directory(home: Path) -> None:
    (home / "st" / "documents").rename(home / "moved")
    (home / "st" / "documents").symlink_to(home / "moved")


def other_version(home: Path) -> None:
    for file in kept(home):
        found = msgspec.msgpack.decode(file.read_bytes(), type=cache.Kept)
        file.write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(found, made_by="0.0.1 5")))


@pytest.mark.parametrize(
    "spoil", [open_file, open_directory, open_state, cut, garble, empty, link, link_directory, other_version]
)
def test_what_is_not_plainly_ours_and_whole_is_not_believed(home: Path, spoil: Callable[[Path], None]) -> None:
    expected = load_policy_file(home / "p.yaml")
    spoil(home)
    assert recalled(home) is None
    assert load_policy_file(home / "p.yaml") == expected


def test_a_configuration_from_a_pipe_is_read_each_time(home: Path) -> None:
    pipe = home / "pipe"
    os.mkfifo(pipe)
    for _ in range(2):
        writer = subprocess.Popen(["sh", "-c", f'printf "identity: {{groups: [x]}}" > "{pipe}"'])
        assert load_settings(pipe).identity.groups == ("x",)
        assert writer.wait(timeout=10) == 0
    assert kept(home) == []


def test_an_endless_file_is_refused() -> None:
    from dbgate.errors import DocumentError

    with pytest.raises(DocumentError):
        load_settings(Path("/dev/zero"))


def test_nothing_is_kept_where_others_could_write(home: Path) -> None:
    (home / "st").chmod(0o770)
    load_policy_file(home / "p.yaml")
    assert kept(home) == []


def test_no_state_directory_is_made_for_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBGATE_STATE_DIR", str(home / "none"))
    load_settings()
    load_policy_file(home / "p.yaml")
    assert not (home / "none").exists()


def test_errors_are_never_kept(home: Path) -> None:
    from dbgate.errors import DocumentError

    (home / "p.yaml").write_text("version: 7\n")
    for _ in range(2):
        with pytest.raises(DocumentError, match="there is no version 7"):
            load_policy_file(home / "p.yaml")
    assert kept(home) == []
