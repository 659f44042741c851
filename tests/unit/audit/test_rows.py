"""Rows and values in temporary files: all that was put in comes out, and memory stays small."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import START, intent, outcome

from dbgate.audit.kept import MEMORY_BYTES, Kept
from dbgate.audit.replay.player import Options, Player
from dbgate.audit.replay.recording import Recording
from dbgate.audit.replay.rows import BLOCK_ROWS, Rows
from dbgate.audit.replay.view import View


@pytest.mark.parametrize("count", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 40 * BLOCK_ROWS + 7])
def test_rows_come_back_wherever_they_stand(count: int) -> None:
    rows: Rows[tuple[float, int]] = Rows("dI", lambda row: (row[0], row[1]))
    for number in range(count):
        rows.append(number / 2, number)
        if number % 997 == 0:
            assert rows[-1] == (number / 2, number)
    assert len(rows) == count
    assert list(rows) == [(number / 2, number) for number in range(count)]
    chosen = random.Random(1)
    for place in (chosen.randrange(count) for _ in range(min(count, 500))):
        assert rows[place] == rows[place - count] == (place / 2, place)
    for beyond in (count, -count - 1):
        with pytest.raises(IndexError):
            rows[beyond]
    rows.close()
    rows.close()


def test_values_are_read_as_often_as_wanted() -> None:
    values = Kept()
    half = {"text": "\ud800 \u2028", "n": [1.5, None]}
    count = MEMORY_BYTES // 1000
    for number in range(count):
        values.append({"number": number, "more": "x" * 1000, "half": half})
    for _ in range(2):
        assert [value["number"] for value in values] == list(range(count))
    assert next(iter(values))["half"] == half
    assert len(values) == count
    values.close()


def many(count: int) -> Iterator[dict[str, Any]]:
    """A session with so many statements, a write in a thousand, a denial in the middle."""
    envelope = {"v": 1, "session": "01m8pkg2tp4825g0vej51zrc44", "prev": "0" * 64}
    yield {**envelope, **START, "seq": 0, "time": "2026-01-31T08:00:00.000000Z", "kind": "session.start"}
    for number in range(1, count + 1):
        at = f"2026-01-31T{8 + number // 3600 % 12:02}:{number // 60 % 60:02}:{number % 60:02}.000000Z"
        access = "write" if number % 1000 == 0 else "read"
        said = intent(number, f"SELECT {number}", "deny" if number == count // 2 else "allow", access=access)
        yield {**envelope, **said, "time": at, "kind": "statement.intent"}
        yield {**envelope, **outcome(number), "time": at, "kind": "statement.outcome"}
    yield {"kind": "verdict", "time": "", "text": "fine", "holds": True}


def test_a_recording_of_many_statements_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbgate.audit.replay.recording.MEMORY_BYTES", 100_000)
    peaks = []
    for count in (6_000, 36_000):
        tracemalloc.start()
        with Recording(many(count)) as recording:
            player = Player(recording, Options())
            player.begin()
            view = View(player)
            player.seek(player.total_s)
            player.jump("denial", forward=False)
            assert recording.text(player.focus.cue if player.focus else -1) == f"payroll=> SELECT {count // 2}"
            assert recording.statement_at(player.current) == recording.statements[count // 2 - 1]
            foot = "".join(text for line in view.draw(120, 40)[-4:] for _, text in line)
            assert f"statement {count // 2} of {count}" in foot
            assert foot.count("D") == 1
            assert foot.count("W") >= count // 1000 - 1 if count == 6_000 else foot.count("W") > 20
            player.toggle_exact()
            player.jump("write", forward=True)
            assert (
                recording.statement_at(player.current)
                == recording.statements[count // 2 + 1000 - count // 2 % 1000 - 1]
            )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 5_000_000, peaks
