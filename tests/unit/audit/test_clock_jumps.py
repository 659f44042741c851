"""A clock that is set back or forward, in the middle of a session and between sessions: the order is that of `seq`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.audit.samples import Installation, intent

DAY_NS = 86_400 * 10**9


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.mark.parametrize("jumps", [(-400, 0, 3), (400, -1, 0), (-20_000, 20_000, -20_000)])
def test_sessions_verify_whatever_the_clock_does(
    here: Installation, monkeypatch: pytest.MonkeyPatch, jumps: tuple[int, ...]
) -> None:
    real, days = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + days[0] * DAY_NS)
    made = []
    for _ in range(2):
        with here.open() as recorder:
            for number, jump in enumerate(jumps, 1):
                days[0] = jump
                recorder.record("statement.intent", intent(number))
                recorder.record("statement.outcome", {"id": number, "status": "SELECT 1", "rows": 1})
            recorder.close({})
            made.append(recorder.session)
        assert sorted(here.ship().shipped) == sorted(made[-1:])
    report = here.verify()
    for verdict in (report.intact, report.complete, report.anchored):
        assert verdict.holds, verdict
    assert sorted(item.session for item in report.sessions) == sorted(made)
