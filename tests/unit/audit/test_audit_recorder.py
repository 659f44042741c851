from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import START, Installation, intent, lines, outcome

from dbgate.audit import recorder as recorder_module
from dbgate.audit import spool
from dbgate.audit.keys import own_keys
from dbgate.audit.record import FIRST_PREV
from dbgate.audit.recorder import open_session
from dbgate.audit.transcript import Segment, check_transcript
from dbgate.errors import EXIT_AUDIT, AuditUnavailable

HEAVY = ("obstore", "zstandard", "keyring", "rich", "requests")


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def check(here: Installation, directory: Path) -> Any:
    segments = [Segment(path.name, path.read_bytes()) for path in spool.segments(directory)]
    return check_transcript(directory.name, segments, {key.id: key for key in own_keys(here.state_dir)})


def test_each_record_carries_the_hash_of_the_line_before(here: Installation) -> None:
    recorder = here.open()
    assert recorder.record("statement.intent", intent(1)) == 1
    assert recorder.record("statement.outcome", outcome(1)) == 2
    recorder.close({"reason": "ended", "statements": 1})
    raw = (recorder.directory / "00000.jsonl").read_bytes().split(b"\n")
    assert raw.pop() == b""
    records = lines(recorder.directory / "00000.jsonl")
    assert [record["kind"] for record in records] == [
        "session.start",
        "statement.intent",
        "statement.outcome",
        "session.end",
    ]
    assert [record["prev"] for record in records] == [FIRST_PREV] + [hashlib.sha256(r).hexdigest() for r in raw[:-1]]
    assert records[0]["identity"] == START["identity"]
    assert records[0]["bucket"] == here.url
    assert records[3]["records"] == 4
    assert records[3]["head"] == records[3]["prev"]
    found = check(here, recorder.directory)
    assert found.intact.holds
    assert found.complete.holds


def test_files_are_private(here: Installation) -> None:
    here.session()
    for path in [here.state_dir, *here.state_dir.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        expected = 0o700 if path.is_dir() else 0o644 if path.suffix == ".pub" else 0o600
        assert mode == expected, path


def test_a_spool_open_to_others_is_closed(here: Installation) -> None:
    spool.spool_dir(here.state_dir).mkdir(parents=True)
    spool.spool_dir(here.state_dir).chmod(0o777)
    here.session()
    assert stat.S_IMODE(spool.spool_dir(here.state_dir).stat().st_mode) == 0o700


def test_an_intent_is_on_disk_when_record_returns(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        os.fsync(descriptor)

    with here.open() as recorder:
        monkeypatch.setattr(spool, "sync_data", sync)
        recorder.record("statement.intent", intent(1))
        assert synced == [(recorder.directory / "00000.jsonl").stat().st_size]
        recorder.record("output", {"id": 1, "text": "x"}, durable=False)
        assert len(synced) == 1


def test_a_statement_without_outcome_gets_unknown_at_the_end(here: Installation) -> None:
    recorder = here.open()
    recorder.record("statement.intent", intent(1))
    recorder.record("statement.intent", intent(2, decision="deny"))
    recorder.close({})
    records = lines(recorder.directory / "00000.jsonl")
    assert [(r["id"], r["status"]) for r in records if r["kind"] == "statement.outcome"] == [(1, "unknown")]
    assert check(here, recorder.directory).complete.holds


def test_totals_cannot_forge_the_seal(here: Installation) -> None:
    recorder = here.open()
    recorder.close({"reason": "x", "records": 99, "head": "0", "seal": {"key": "me"}})
    end = lines(recorder.directory / "00000.jsonl")[-1]
    assert end["records"] == 2
    assert list(end)[-1] == "seal"
    assert check(here, recorder.directory).intact.holds


@pytest.mark.parametrize("kind", ["session.start", "session.end"])
def test_start_and_end_are_not_for_others(here: Installation, kind: str) -> None:
    with here.open() as recorder, pytest.raises(AuditUnavailable):
        recorder.record(kind, {})


@pytest.mark.parametrize("fields", [{"x": float("nan")}, {"prev": "0"}, {"x": "y" * (65 * 1024 * 1024)}])
def test_a_record_that_cannot_be_written_stops_everything(here: Installation, fields: Mapping[str, Any]) -> None:
    with here.open() as recorder:
        with pytest.raises(AuditUnavailable, match="cannot be written") as raised:
            recorder.record("notice", fields)
        assert raised.value.exit_code == EXIT_AUDIT
        assert raised.value.hint
        with pytest.raises(AuditUnavailable):
            recorder.record("statement.intent", intent(1))
        with pytest.raises(AuditUnavailable):
            recorder.close({})


def test_a_removed_spool_stops_the_session(here: Installation) -> None:
    with here.open() as recorder:
        shutil.rmtree(recorder.directory)
        with pytest.raises(AuditUnavailable, match="removed while the session was open"):
            recorder.record("statement.intent", intent(1))


@pytest.mark.parametrize("change", [b"forged\n", None])
def test_a_transcript_changed_underneath_stops_the_session(here: Installation, change: bytes | None) -> None:
    with here.open() as recorder:
        path = recorder.directory / "00000.jsonl"
        path.write_bytes(path.read_bytes() + change if change else path.read_bytes()[:-1])
        with pytest.raises(AuditUnavailable, match="changed by somebody else"):
            recorder.record("statement.intent", intent(1))


def test_a_failed_sync_stops_everything(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with here.open() as recorder:
        with monkeypatch.context() as patched:
            patched.setattr(spool, "sync_data", fail)
            with pytest.raises(AuditUnavailable, match="Input/output error"):
                recorder.record("statement.intent", intent(1))
        with pytest.raises(AuditUnavailable, match="Input/output error"):
            recorder.record("statement.intent", intent(2))


FULL_DISK = """
import resource, sys
from pathlib import Path
from dbgate.audit.recorder import open_session
from dbgate.errors import AuditUnavailable
state = Path(sys.argv[1])
with open_session(state_dir=state, bucket="", start={"target": "t"}, key_store="file") as recorder:
    size = (recorder.directory / "00000.jsonl").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 400, size + 400))
    try:
        for number in range(1, 10):
            recorder.record("statement.intent", {"id": number, "text": "x" * 100, "decision": "allow"})
    except AuditUnavailable as error:
        print(number, error.exit_code, error.message, error.hint)
"""


def test_a_full_disk_stops_the_session_and_recovery_ends_it(here: Installation) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(here.state_dir)], capture_output=True, text=True, check=True
    )
    number, code, message = done.stdout.split(" ", 2)
    assert (number, code) == ("2", str(EXIT_AUDIT))
    assert "File too large" in message
    assert "nothing runs unrecorded" in message
    here.session()
    first, _ = spool.spooled(here.state_dir)
    found = check(here, spool.session_dir(here.state_dir, first))
    assert found.intact.holds
    assert found.complete.holds
    assert found.end["reason"] == "crashed"


def test_an_unwritable_spool_is_refused(here: Installation) -> None:
    """A file where the directory should be stops root and users alike."""
    here.state_dir.mkdir()
    (here.state_dir / "spool").write_text("in the way")
    with pytest.raises(AuditUnavailable) as raised:
        here.open()
    assert raised.value.exit_code == EXIT_AUDIT
    assert str(here.state_dir / "spool") in raised.value.message


def test_a_log_that_cannot_be_written_is_refused_and_leaves_no_session(here: Installation) -> None:
    here.session()
    leaves = here.state_dir / "log" / "leaves"
    leaves.unlink()
    leaves.mkdir()
    with pytest.raises(AuditUnavailable, match="audit log cannot be written"):
        here.open()


def test_segments_are_closed_at_their_size(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "SEGMENT_BYTES", 1000)
    recorder = here.open()
    for number in range(1, 6):
        recorder.record("statement.intent", intent(number, text="x" * 700))
        recorder.record("statement.outcome", outcome(number))
    recorder.close({})
    names = [path.name for path in spool.segments(recorder.directory)]
    assert names == [f"{number:05d}.jsonl" for number in range(len(names))]
    assert len(names) >= 4
    found = check(here, recorder.directory)
    assert found.intact.holds
    assert found.complete.holds
    assert found.records == 12


@pytest.mark.parametrize("written", [True, False])
def test_an_interrupt_in_the_middle_of_a_write_leaves_the_session_usable(
    here: Installation, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    real = spool.write_all

    def interrupted(descriptor: int, content: bytes) -> None:
        if written:
            real(descriptor, content)
        raise KeyboardInterrupt

    recorder = here.open()
    with monkeypatch.context() as patched:
        patched.setattr(spool, "write_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recorder.record("statement.intent", intent(1))
    assert recorder.record("notice", {"text": "still here"}) == (2 if written else 1)
    recorder.close({})
    found = check(here, recorder.directory)
    assert found.intact.holds
    assert found.complete.holds


def test_leaving_the_block_without_close_lets_go(here: Installation) -> None:
    with here.open() as recorder:
        assert spool.is_live(recorder.directory)
    assert not spool.is_live(recorder.directory)
    with pytest.raises(AuditUnavailable):
        recorder.record("notice", {})


def test_threads_may_record_at_once(here: Installation) -> None:
    recorder = here.open()
    threads = [threading.Thread(target=lambda: [recorder.record("heartbeat", {}) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close({})
    assert check(here, recorder.directory).records == 82


def test_two_sessions_of_one_installation_do_not_meet(here: Installation) -> None:
    with here.open() as one, here.open() as two:
        assert one.session != two.session
        one.record("notice", {"text": "one"})
        two.record("notice", {"text": "two"})
        one.close({})
        two.close({})
    assert check(here, one.directory).intact.holds
    assert check(here, two.directory).intact.holds


def test_opening_and_recording_import_nothing_heavy(here: Installation) -> None:
    here.session()
    script = (
        "import sys; from pathlib import Path; from dbgate.audit.recorder import open_session\n"
        "r = open_session(state_dir=Path(sys.argv[1]), bucket='', start={})\n"
        "r.record('statement.intent', {'id': 1, 'decision': 'allow'})\n"
        "r.record('statement.outcome', {'id': 1})\n"
        "before = {m.split('.')[0] for m in sys.modules}\n"
        "r.close({})\n"
        "after = {m.split('.')[0] for m in sys.modules}\n"
        "print(sorted(before & {*sys.argv[2:], 'cryptography'}), sorted(after & set(sys.argv[2:])))"
    )
    command = [sys.executable, "-c", script, str(here.state_dir), *HEAVY]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[] []\n"


def test_an_unknown_key_store_is_a_usage_error(tmp_path: Path) -> None:
    from dbgate.errors import UsageError

    with pytest.raises(UsageError, match="unknown key store: vault"):
        open_session(state_dir=tmp_path, bucket="", start={}, key_store="vault")
