"""Verifying in several processes, and taking up again what was verified before."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import Installation, overwrite

from dbgate.audit import examination, rotation
from dbgate.audit.bucket import Bucket, open_bucket
from dbgate.audit.examination import Job, examine_all
from dbgate.audit.keys import own_keys
from dbgate.audit.layout import compress, decompress
from dbgate.audit.verification import VerifyReport, verify_bucket
from dbgate.audit.verified import VerifiedSessions
from dbgate.cli.audit_report import report_json
from dbgate.errors import Unreachable, UsageError


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    """Six shipped sessions."""
    installation = Installation(tmp_path)
    for _ in range(5):
        installation.session(2)
    installation.torn_session()
    installation.ship()
    return installation


def verified(here: Installation, *, bucket: Bucket | None = None, processes: int = 1, **options: Any) -> VerifyReport:
    """Verify, remembering in `FILE` beside the bucket."""
    source = bucket or open_bucket(here.url)
    with VerifiedSessions(here.root / "FILE", source.url, own_keys(here.state_dir)) as before:
        return verify_bucket(
            source, keys=own_keys(here.state_dir), seen=here.seen(), before=before, processes=processes, **options
        )


def objects(here: Installation) -> list[Path]:
    return sorted(here.bucket_dir.glob("sessions/*/*/*/*"))


def changed(file: Path) -> None:
    overwrite(file, compress(decompress(file.read_bytes()).replace(b"select 1", b"select 2")))


def test_several_processes_find_what_one_finds(here: Installation) -> None:
    def both() -> VerifyReport:
        bucket, keys = open_bucket(here.url), own_keys(here.state_dir)
        one = verify_bucket(bucket, keys=keys, seen=here.seen())
        several = verify_bucket(bucket, keys=keys, seen=here.seen(), processes=2)
        assert report_json(several) == report_json(one)
        return several

    assert both().holds()
    changed(objects(here)[2])
    objects(here)[4].unlink()
    report = both()
    assert not report.intact.holds
    assert not report.complete.holds
    assert [item.intact.holds for item in report.sessions].count(False) == 1


def test_a_bucket_that_goes_away_is_said_by_every_process(here: Installation) -> None:
    jobs = [Job("01jd0000000000000000000000", "sessions/a/b/c", ("00000.jsonl.zst",))] * 3
    bucket = open_bucket(here.url)
    shutil.rmtree(here.bucket_dir)
    here.bucket_dir.write_text("in the way")
    with pytest.raises(Unreachable) as error:
        list(examine_all(bucket, jobs, {}, processes=2))
    assert error.value.hint


def die(_: Job) -> None:
    """What happens to a process that the machine has no memory for."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_no_verdict(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "_work", die)
    jobs = [Job("01jd0000000000000000000000", "sessions/a/b/c", ())]
    with pytest.raises(Unreachable, match="ended unexpectedly"):
        list(examine_all(open_bucket(here.url), jobs, {}, processes=2))


def test_what_was_verified_is_spared_and_told(here: Installation) -> None:
    first = verified(here)
    assert (first.holds(), first.known) == (True, 0)
    told: list[tuple[int, int, int]] = []
    again = verified(here, progress=lambda *numbers: told.append(numbers))
    assert (again.holds(), again.known) == (True, 6)
    assert report_json(again) == report_json(first)
    assert [numbers[:2] for numbers in told] == [(number, 6) for number in range(1, 7)]
    assert told[-1][2] == sum(file.stat().st_size for file in objects(here))
    here.session()
    here.ship()
    more = verified(here, processes=2)
    assert (more.holds(), more.known, len(more.sessions)) == (True, 6, 7)


def test_an_interrupted_verification_goes_on_where_it_was(here: Installation) -> None:
    def stop(done: int, _total: int, _size: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verified(here, progress=stop)
    file = here.root / "FILE"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(file.read_bytes()[:-20])
    report = verified(here)
    assert (report.holds(), report.known) == (True, 2)
    assert verified(here).known == 6


@pytest.mark.parametrize("how", ["changed", "cut", "swapped", "doubled", "removed", "gone", "torn"])
def test_no_change_hides_behind_what_was_verified(here: Installation, how: str) -> None:
    assert verified(here).holds()
    first, second, *_ = files = [file for file in objects(here) if not file.name.startswith("torn")]
    match how:
        case "changed":
            changed(first)
        case "cut":
            overwrite(first, first.read_bytes()[:-1])
        case "swapped":
            one, two = first.read_bytes(), second.read_bytes()
            overwrite(first, two)
            overwrite(second, one)
        case "doubled":
            shutil.copy(first, first.with_name("00001.jsonl.zst"))
        case "removed":
            first.unlink()
        case "gone":
            shutil.rmtree(first.parent)
        case "torn":
            (torn,) = set(objects(here)) - set(files)
            torn.unlink()
    report = verified(here)
    assert not report.holds()
    assert report.known < 6


def test_what_does_not_hold_is_looked_at_again(here: Installation) -> None:
    changed(objects(here)[0])
    assert not verified(here).holds()
    report = verified(here)
    assert (report.holds(), report.known) == (False, 5)


def test_a_rolled_back_log_is_seen_whatever_was_verified(here: Installation, tmp_path: Path) -> None:
    shutil.copytree(here.bucket_dir, tmp_path / "old")
    here.session()
    here.ship()
    assert verified(here).holds()
    shutil.rmtree(here.bucket_dir / "log")
    shutil.copytree(tmp_path / "old" / "log", here.bucket_dir / "log")
    report = verified(here)
    assert report.known == 7
    assert not report.anchored.holds


def test_a_seal_counts_no_more_once_its_key_is_not_trusted(here: Installation) -> None:
    rotation.rotate(here.state_dir, "file")
    here.session()
    here.ship()
    (first, second) = rotation.key_states(here.state_dir)
    bucket = open_bucket(here.url)
    with VerifiedSessions(here.root / "FILE", bucket.url, [first.key]) as before:
        assert verify_bucket(bucket, keys=[first.key], before=before).holds()
    # The log that vouched for the second key is gone: nothing vouches for what it sealed.
    shutil.rmtree(here.bucket_dir / "log")
    with VerifiedSessions(here.root / "FILE", bucket.url, [first.key]) as before:
        report = verify_bucket(bucket, keys=[first.key], before=before)
    assert report.known == 6
    assert f"is sealed with key {second.key.id}, which is not among the trusted keys" in str(report.intact)


def refused(path: Path, url: str = "file:///b", keys: Any = ()) -> str:
    with pytest.raises(UsageError) as error:
        VerifiedSessions(path, url, keys)
    return error.value.message


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A file as it is made."""
    file = tmp_path / "FILE"
    with VerifiedSessions(file, "file:///b", ()):
        yield file


def test_a_file_that_cannot_be_trusted_is_refused_and_left_alone(
    path: Path, tmp_path: Path, here: Installation
) -> None:
    assert refused(path) == f"{path} is in use"
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    other.chmod(0o600)
    assert refused(other) == f"{other} holds something else"
    assert other.read_text() == "mine"
    shutil.copy(path, tmp_path / "copy")
    assert refused(tmp_path / "copy", "file:///c") == f"{tmp_path / 'copy'} was made with another bucket"
    assert refused(tmp_path / "copy", keys=own_keys(here.state_dir)).endswith("was made with other keys")
    (tmp_path / "copy").chmod(0o620)
    assert refused(tmp_path / "copy").endswith("could have been written by others")
    (tmp_path / "link").symlink_to(path)
    assert refused(tmp_path / "link").startswith("cannot use")
    assert refused(tmp_path / "nowhere" / "x").endswith("No such file or directory")
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refused(tmp_path / "pipe").startswith(("cannot use", f"{tmp_path / 'pipe'} could have"))


def test_another_version_s_findings_count_for_nothing(here: Installation) -> None:
    assert verified(here).holds()
    file = here.root / "FILE"
    head, *rest = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([json.dumps(json.loads(head) | {"dbgate": "0.0.1"}).encode(), *rest]))
    assert verified(here).known == 0
    for broken in (b'{"folder": 7}', b"{}", b"[]", b'{"folder": "x", "objects": {}, "start": {}}', b"\xff"):
        file.write_bytes(file.read_bytes() + broken + b"\n")
    assert verified(here).known == 6
