from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import Installation, intent, lines, outcome

from dbgate.audit import recovery as recovery_module
from dbgate.audit import spool
from dbgate.audit.log import InstallationLog
from dbgate.audit.recovery import recover
from dbgate.errors import AuditUnavailable


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def dead(here: Installation, torn: bytes = b"") -> Path:
    """A session whose process died after an intent, with torn bytes behind."""
    with here.open() as recorder:
        recorder.record("statement.intent", intent(1))
        recorder.record("statement.outcome", outcome(1))
        recorder.record("statement.intent", intent(2, text="delete from t"))
        recorder.record("statement.intent", intent(3, decision="deny"))
    path = recorder.directory / "00000.jsonl"
    path.write_bytes(path.read_bytes() + torn)
    return recorder.directory


def proven(here: Installation) -> None:
    """Everything ships, verifies, and the spool is empty."""
    report = here.ship()
    assert not report.refused
    verdicts = here.verify(seen=True)
    assert verdicts.holds(), (verdicts.intact, verdicts.complete, verdicts.anchored)
    assert spool.spooled(here.state_dir) == []


def test_a_dead_session_is_ended_with_unknown_outcomes(here: Installation) -> None:
    directory = dead(here)
    before = (directory / "00000.jsonl").read_bytes()
    assert recover(here.state_dir, "file") == [directory.name]
    assert (directory / "00000.jsonl").read_bytes().startswith(before)
    records = lines(directory / "00000.jsonl")
    assert [(r["id"], r["status"]) for r in records if r["kind"] == "statement.outcome"] == [
        (1, "SELECT 1"),
        (2, "unknown"),
    ]
    end = records[-1]
    assert (end["reason"], end["statements"], end["denied"], end["unknown"]) == ("crashed", 3, 1, 1)
    assert recover(here.state_dir, "file") == []
    proven(here)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"v":1,"session":"01j',
        b"\x00" * 300,
        b"\xff\xfe",
        b'{"v":1}\n{"half',
        b"not a record\n" * 50,
        b"\n",
    ],
)
def test_torn_bytes_are_set_aside_and_named(here: Installation, torn: bytes) -> None:
    directory = dead(here, torn)
    recover(here.state_dir, "file")
    assert (directory / "torn-00000.bin").read_bytes() == torn
    (notice,) = [r for r in lines(directory / "00000.jsonl") if r["kind"] == "notice"]
    assert notice["torn"]["file"] == "torn-00000.bin"
    assert notice["torn"]["bytes"] == len(torn)
    proven(here)
    assert (here.folder(directory.name) / "torn-00000.bin.zst").exists()


def test_what_follows_a_changed_record_is_set_aside_as_evidence(here: Installation) -> None:
    directory = dead(here)
    path = directory / "00000.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"status":"SELECT 1"', b'"status":"SELECT 9"'))
    recover(here.state_dir, "file")
    assert (directory / "torn-00000.bin").read_bytes() == b"".join(whole.splitlines(keepends=True)[3:])
    records = lines(path)
    assert [record["kind"] for record in records[3:]] == ["notice", "session.end"]
    assert "do not hold" in records[3]["text"]
    proven(here)


def test_a_live_session_is_left_alone(here: Installation) -> None:
    with here.open() as recorder:
        assert recover(here.state_dir, "file") == []
        assert here.ship().waiting == [recorder.session]
        recorder.record("notice", {"text": "still mine"})
        recorder.close({})
    proven(here)


def test_the_next_start_ends_dead_sessions(here: Installation) -> None:
    directory = dead(here)
    with here.open() as recorder:
        assert spool.is_sealed(directory)
        recorder.close({})
    proven(here)


def test_a_session_without_a_whole_start_is_refused_with_a_way_out(here: Installation) -> None:
    directory = dead(here)
    (directory / "00000.jsonl").write_bytes(b"rubbish")
    with pytest.raises(AuditUnavailable, match="does not even begin") as raised:
        here.open()
    assert str(directory) in raised.value.message
    assert "move it out" in raised.value.hint


def test_a_crash_between_seal_and_leaf_is_mended(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    recorder = here.open()
    with monkeypatch.context() as patched:
        patched.setattr(InstallationLog, "append", die)
        with pytest.raises(KeyboardInterrupt):
            recorder.close({"reason": "ended"})
    assert recover(here.state_dir, "file") == [recorder.session]
    assert lines(recorder.directory / "00000.jsonl")[-1]["reason"] == "ended"
    proven(here)


class Died(BaseException):
    """The process dies here."""


STEPS = ("create_file", "write_all", "sync_dir")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("nth", range(1, 4))
@pytest.mark.parametrize("half", [False, True])
def test_recovery_that_dies_itself_is_resumed(
    here: Installation, monkeypatch: pytest.MonkeyPatch, step: str, nth: int, half: bool
) -> None:
    directory = dead(here, b'{"torn')
    real: Callable[..., None] = getattr(spool, step)
    calls = 0

    def dying(*arguments: Any, **options: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < nth:
            return real(*arguments, **options)
        if half and step == "write_all":
            real(arguments[0], arguments[1][: len(arguments[1]) // 2])
        elif half:
            real(*arguments, **options)
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(spool, step, dying)
        with contextlib.suppress(Died):
            recover(here.state_dir, "file")
    recover(here.state_dir, "file")
    records = lines(directory / "00000.jsonl")
    assert [r["status"] for r in records if r["kind"] == "statement.outcome"] == ["SELECT 1", "unknown"]
    kept = b"".join(path.read_bytes() for path in spool.torn_files(directory))
    assert b'{"torn' in kept
    named = {record["torn"]["file"] for record in records if "torn" in record}
    assert named == {path.name for path in spool.torn_files(directory)}
    proven(here)


def test_what_was_never_begun_is_swept_after_an_hour(here: Installation) -> None:
    here.session()
    old = spool.spool_dir(here.state_dir) / ".new-01jd0000000000000000000000"
    young = spool.spool_dir(here.state_dir) / ".new-01jd0000000000000000000001"
    for directory in (old, young):
        directory.mkdir()
        (directory / spool.LOCK).touch()
    ago = old.stat().st_mtime - recovery_module.STALE_S - 1
    os.utime(old, (ago, ago))
    recover(here.state_dir, "file")
    assert not old.exists()
    assert young.exists()


KILLED = """
import sys
from pathlib import Path
from dbgate.audit.recorder import open_session
state = Path(sys.argv[1])
recorder = open_session(state_dir=state, bucket="", start={"target": "t"}, key_store="file")
number = 0
while True:
    number += 1
    recorder.record("statement.intent", {"id": number, "text": "x" * (number * 37 % 3000), "decision": "allow"})
    print(number, flush=True)
    recorder.record("statement.outcome", {"id": number, "status": "SELECT 1"}, durable=False)
"""


def test_kill_9_at_any_moment_loses_no_intent(here: Installation) -> None:
    """Whatever a statement's sender was told to be on record is on record after the kill."""
    told: dict[str, int] = {}
    for delay_lines in (1, 3, 17, 60):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(here.state_dir)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        last = 0
        for _ in range(delay_lines):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = max([last, *(int(word) for word in rest if word.isdigit())])
        (session,) = set(spool.spooled(here.state_dir)) - set(told)
        told[session] = last
    recover(here.state_dir, "file")
    for session, last in told.items():
        records = lines(spool.session_dir(here.state_dir, session) / "00000.jsonl")
        intents = [r["id"] for r in records if r["kind"] == "statement.intent"]
        outcomes = [r["id"] for r in records if r["kind"] == "statement.outcome"]
        assert intents == outcomes == list(range(1, len(intents) + 1))
        assert len(intents) >= last
    proven(here)


@pytest.mark.parametrize("interrupted", [0, 1, 2])
def test_much_that_does_not_hold_is_set_aside_in_pieces(
    here: Installation, monkeypatch: pytest.MonkeyPatch, interrupted: int
) -> None:
    torn = bytes(range(256)) * 9 + b"end"
    directory = dead(here, torn)
    monkeypatch.setattr(recovery_module, "SEGMENT_BYTES", 1000)
    if interrupted:
        (directory / "torn-00000.bin").write_bytes(torn[: 1000 if interrupted == 2 else 300])
        (directory / "torn-00001.bin").write_bytes(torn[1000:1500] if interrupted == 2 else b"")
    recover(here.state_dir, "file")
    files = spool.torn_files(directory)
    assert [file.stat().st_size for file in files] == [1000, 1000, 307]
    assert b"".join(file.read_bytes() for file in files) == torn
    records = lines(directory / "00000.jsonl")
    named = [record["torn"]["file"] for record in records if record["kind"] == "notice"]
    assert named == [file.name for file in files]
    proven(here)
