"""Heartbeats: silence is recorded, and only silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit.samples import Installation, intent, lines

from dbgate.audit.pulse import Pulse
from dbgate.errors import AuditUnavailable


def kinds(directory: Path) -> list[str]:
    return [record["kind"] for record in lines(directory / "00000.jsonl")]


def test_a_silent_session_records_heartbeats_and_verifies(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    here = Installation(tmp_path)
    with here.open() as recorder:
        with Pulse(recorder, 0.05):
            wait_until(lambda: kinds(recorder.directory).count("heartbeat") >= 3)
        recorder.close({"reason": "ended", "statements": 0})
    beats = [record for record in lines(recorder.directory / "00000.jsonl") if record["kind"] == "heartbeat"]
    assert all(record["silent_s"] >= 0.05 for record in beats)
    here.ship()
    assert here.verify(seen=True).holds()


def test_a_busy_session_records_none(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    with here.open() as recorder, Pulse(recorder, 3600):
        for number in range(1, 20):
            recorder.record("statement.intent", intent(number, decision="deny"))
    assert "heartbeat" not in kinds(recorder.directory)


def test_no_heartbeat_follows_the_end(tmp_path: Path, wait_until: Callable[..., None]) -> None:
    here = Installation(tmp_path)
    with here.open() as recorder, Pulse(recorder, 0.02) as pulse:
        recorder.close({"reason": "ended", "statements": 0})
        wait_until(lambda: not pulse.is_beating)
    assert kinds(recorder.directory) == ["session.start", "session.end"]


def test_a_session_that_cannot_record_its_heartbeat_runs_nothing_more(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    here = Installation(tmp_path)
    with here.open() as recorder, Pulse(recorder, 0.02) as pulse:
        (recorder.directory / "00000.jsonl").unlink()
        wait_until(lambda: not pulse.is_beating)
        with pytest.raises(AuditUnavailable, match="removed while the session was open"):
            recorder.record("statement.intent", intent(1))
