"""The player: where it stands in time, what its keys do, and what it says of whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.audit.test_audit_replay import NASTY, RECORDS, at, nasty_records, record

from dbgate.audit.replay import recording as recordings
from dbgate.audit.replay.player import MAX_SPEED, MIN_SPEED, Options, Player
from dbgate.audit.replay.recording import Recording
from dbgate.audit.replay.starting import first_cue
from dbgate.audit.replay.view import View, fit, stamp, wrap
from dbgate.errors import UsageError
from dbgate.text import printable

Make = Callable[..., Player]


@pytest.fixture
def make() -> Iterator[Make]:
    """`make(records, **options)`: a player that has begun."""
    opened: list[Recording] = []

    def made(records: list[dict[str, Any]] | None = None, **options: Any) -> Player:
        opened.append(Recording(RECORDS if records is None else records))
        player = Player(opened[-1], Options(**options))
        player.begin()
        return player

    yield made
    for recording in opened:
        recording.__exit__(None, None, None)


def drawn(player: Player, width: int = 80, height: int = 24) -> list[str]:
    return ["".join(text for _, text in line) for line in View(player).draw(width, height)]


def seen(player: Player) -> str:
    return player.recording.text(player.current)


def test_time_passes_as_recorded_with_pauses_cut(make: Make) -> None:
    player = make(idle_limit_s=2.0)
    assert (player.shown, player.playing) == (1, True)
    assert player.total_s == pytest.approx(1 + 0.5 + 0.1 + 2 + 1 + 2 + 1 + 1)
    assert player.due_s() == pytest.approx(1.0)
    assert not player.advance(0.0) or player.shown == 1
    player.advance(0.99)
    assert player.shown == 1
    player.advance(0.02)
    assert seen(player) == "[allowed, rewritten by staff (p.yaml:3) · masked s.t.ssn]"
    player.advance(0.6)
    assert seen(player) == "[SELECT 1 · 12 ms]"
    player.advance(2.0)
    assert seen(player) == "hint: write one"
    player.advance(3600)
    assert (player.is_over, player.playing, player.position_s) == (True, False, player.total_s)
    assert not player.advance(1.0)


def test_exact_pacing_keeps_every_pause_and_the_place(make: Make) -> None:
    player = make(idle_limit_s=None)
    assert player.total_s == pytest.approx(27.0)
    player = make(idle_limit_s=2.0)
    player.jump("denial", forward=True)
    assert player.position_s == pytest.approx(3.6)
    player.toggle_exact()
    assert [player.position_s, player.total_s] == pytest.approx([20.0, 27.0])
    assert player.message == "pauses as recorded"
    player.toggle_exact()
    assert player.position_s == pytest.approx(3.6)
    assert player.message == "pauses cut to 2 s"


def test_speed_keys_double_and_halve_within_bounds(make: Make) -> None:
    player = make(speed=2.0)
    assert player.due_s() == pytest.approx(0.5)
    player.advance(0.5)
    assert player.position_s == pytest.approx(1.0)
    player.faster(up=True)
    assert player.options.speed == 4.0
    for _ in range(30):
        player.faster(up=True)
    assert player.options.speed == MAX_SPEED
    for _ in range(60):
        player.faster(up=False)
    assert player.options.speed == MIN_SPEED


def test_seeking(make: Make) -> None:
    player = make(idle_limit_s=None)
    player.skip(5)
    assert player.position_s == pytest.approx(5.0)
    assert player.playing
    assert seen(player) == "[SELECT 1 · 12 ms]"
    player.skip(-100)
    assert (player.position_s, player.shown) == (0.0, 1)
    player.seek_part(8)
    assert player.position_s == pytest.approx(21.6)
    assert seen(player).startswith("[approval requested")
    player.seek(player.total_s)
    assert player.is_over
    player.toggle()
    assert (player.position_s, player.playing) == (0.0, True)
    player.toggle()
    assert not player.playing


@pytest.mark.parametrize(
    ("mark", "texts"),
    [
        ("statement", ["[allowed, rewritten", "[denied by", "[approved by"]),
        ("denial", ["[denied by"]),
        ("approval", ["[approval requested", "[approval redeemed"]),
        ("write", ["[approved by"]),
        ("error", ["[error"]),
    ],
)
def test_jumping_to_marks_and_back(make: Make, mark: str, texts: list[str]) -> None:
    records = [
        {**item, "access": "write", "writes": ["t"]} if item.get("text") == "UPDATE t SET a = 1 -- all" else item
        for item in RECORDS
    ]
    player = make(records)
    for text in texts:
        player.jump(mark, forward=True)
        assert seen(player).startswith(text)
        assert not player.playing
    player.jump(mark, forward=True)
    assert (player.message, seen(player).startswith(texts[-1])) == (f"no further {mark}", True)
    for text in reversed(texts[:-1]):
        player.jump(mark, forward=False)
        assert seen(player).startswith(text)
    player.jump(mark, forward=False)
    assert player.message == f"no earlier {mark}"


def test_a_denied_write_is_a_denial_and_no_write(make: Make) -> None:
    denied = record(
        "statement.intent", at(1), id=1, text="DELETE FROM t", decision="deny", access="write", writes=["t"]
    )
    player = make([record("session.start", at(0)), denied])
    player.jump("write", forward=True)
    assert player.message == "no further write"
    player.jump("denial", forward=True)
    assert seen(player) == "[denied]"


def test_searching_everything_in_both_directions(make: Make) -> None:
    player = make()
    player.again(forward=True)
    assert player.message == "nothing to look for: / and a text"
    player.search("table t")
    assert "DROP TABLE t" in "\n".join(drawn(player))
    assert "UPDATE" not in "\n".join(drawn(player))
    player.search("g1")
    assert seen(player) == "[approved by bulk · grant g1]"
    player.again(forward=True)
    assert player.message == "went on from the beginning"
    assert seen(player) == "[approved by bulk · grant g1]"
    player.search("SSN")
    assert player.message == "not found: SSN"
    player.search("ssn")
    assert (player.message, player.focus and player.focus.cue) == ("went on from the beginning", 1)
    player.again(forward=False)
    assert player.message == "went on from the end"
    assert player.focus is not None
    assert player.recording.text(player.focus.cue).startswith(" ssn")


def test_steps_show_a_statement_each_and_wait_before_the_next(make: Make) -> None:
    player = make(step=True)
    assert [line for line in drawn(player) if "=>" in line] == []
    player.advance(100)
    assert player.shown == 1
    player.toggle()
    assert "SELECT 1 · 12 ms" in seen(player)
    player.toggle()
    assert seen(player).startswith("[approval redeemed")
    player.toggle()
    assert player.is_over
    player.toggle()
    assert player.message == "this is the end"
    player.toggle_step()
    assert not player.options.step


def test_one_piece_at_a_time(make: Make) -> None:
    player = make()
    player.frame(forward=True)
    assert (seen(player), player.playing) == ("payroll=> SELECT ssn\nFROM t", False)
    player.frame(forward=False)
    player.frame(forward=False)
    assert player.shown == 1


def test_the_foot_says_who_where_what_and_who_approved(make: Make) -> None:
    player = make()
    assert drawn(player)[-4:] == [
        fit(" play 0:00 / 0:08  1x  08:00:00 UTC  statement 0 of 3  ----------D-A-----A--E--", 80),
        fit(" mia@example.com (human, oidc) on payroll (production)", 80),
        " " * 80,
        fit(" ? keys   checked: ", 80),
    ]
    player.jump("denial", forward=True)
    assert drawn(player)[-2].rstrip() == " #2 denied (rules: no-destruction)"
    player.jump("approval", forward=True)
    assert drawn(player)[-2].strip() == ""
    player.jump("statement", forward=True)
    assert drawn(player)[-2].rstrip() == " #3 approved by dba@example.com (rules: bulk)"
    assert drawn(player)[-4].startswith(" stop 0:06 / 0:08  1x  08:00:25 UTC  statement 3 of 3")


def test_who_approved_is_found_by_the_grant(make: Make) -> None:
    records = [
        record("session.start", at(0)),
        record("approval.redeemed", at(1), id=1, grant="g", approved_by=["a@example.com"]),
        record("statement.intent", at(1), id=1, decision="approve", grant="g"),
        record("statement.intent", at(2), id=2, decision="approve", grant="g"),
        record("statement.intent", at(3), id=3, decision="rewrite", unmasked=[{"column": "c", "grant": "g"}, 7]),
        record("statement.intent", at(4), id=4, decision="approve", grant="other"),
        record("statement.intent", at(5), id=1, decision="allow"),
    ]
    player = make(records)
    assert [statement.approved_by for statement in player.recording.statements] == [
        "a@example.com", "a@example.com", "a@example.com", "", "",
    ]  # fmt: skip


def test_where_the_chain_breaks_the_foot_says_so(make: Make) -> None:
    records = [
        *RECORDS[:4],
        {"kind": "damaged", "time": "", "text": "00000.jsonl line 5: wrong"},
        *RECORDS[4:],
        {"kind": "verdict", "time": "", "text": "not intact: 00000.jsonl line 5: wrong", "holds": False},
    ]
    player = make(records)
    assert drawn(player)[-1].rstrip() == " ? keys   checked: not intact: 00000.jsonl line 5: wrong"
    player.jump("fault", forward=True)
    assert seen(player) == "damaged: 00000.jsonl line 5: wrong"
    assert drawn(player)[-1].rstrip().startswith(" ? keys   NOT PROVEN FROM HERE ON: not intact")
    player.jump("denial", forward=True)
    assert "NOT PROVEN FROM HERE ON" in drawn(player)[-1]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (7, 5), (20, 6), (80, 24), (200, 60)])
def test_every_size_is_filled_exactly(make: Make, width: int, height: int) -> None:
    player = make([*RECORDS, record("notice", at(28), text="全角 \u0301 x" * 30)])
    for place in range(player.shown, len(player.recording.cues) + 1):
        player._show(place)
        lines = drawn(player, width, height)
        assert len(lines) == height
        for line in lines:
            assert max(map(len, wrap(line, max(width, 2)))) <= max(width, 2) + line.count("\u0301")


def test_scrolling_stays_within_what_there_is(make: Make) -> None:
    player = make()
    player.seek(player.total_s)
    bottom = drawn(player, 60, 14)
    player.scroll_by(3)
    assert drawn(player, 60, 14)[3:10] == bottom[:7]
    player.scroll_by(1000)
    top = drawn(player, 60, 14)
    assert top[0].startswith("session ") or top[0].startswith("person ")
    player.scroll_by(-1000)
    assert drawn(player, 60, 14)[:10] == bottom[:10]


def test_a_hit_in_a_long_result_is_scrolled_to(make: Make) -> None:
    text = "\n".join(f"row {number}" for number in range(500))
    player = make([record("session.start", at(0)), record("output", at(1), id=1, text=text)])
    player.search("row 123")
    view = "\n".join(drawn(player))
    assert "row 122" in view
    assert "row 123" in view
    assert "row 499" not in view
    styles = [style for line in View(player).draw(80, 24) for style, part in line if part == "row 123"]
    assert styles == [" reverse"]


def test_nothing_recorded_can_steer_the_screen(make: Make) -> None:
    player = make(nasty_records())
    for place in range(1, len(player.recording.cues) + 1):
        player._show(place)
        for line in drawn(player, 120, 40):
            assert printable(line) == line
    player.search(NASTY)
    assert all(printable(line) == line for line in drawn(player))


@pytest.fixture
def growing() -> Iterator[Player]:
    """A player of which the first three records are read."""
    with Recording(iter(RECORDS), whole=False) as recording:
        recording.read(3)
        player = Player(recording, Options())
        player.begin()
        yield player


def test_a_recording_is_played_while_it_is_read(growing: Player, make: Make) -> None:
    whole = make()
    assert (growing.recording.is_whole, growing.recording.records) == (False, 3)
    assert drawn(growing)[0] == drawn(whole)[0]
    foot = drawn(growing, width=120)[-4:]
    assert "+  1x" in foot[0]
    assert foot[3].split("   ")[1].strip() == "reading and checking: 3 records"
    for _ in range(100):
        growing.advance(60.0)
        growing.read(1)
    assert growing.recording.is_whole
    growing.advance(1e6)
    assert growing.is_over
    assert growing.total_s == whole.total_s
    assert [growing.recording.text(n) for n in range(len(growing.recording.cues))] == [
        whole.recording.text(n) for n in range(len(whole.recording.cues))
    ]
    assert list(growing.recording.times(None)) == list(whole.recording.times(None))
    assert "+" not in drawn(growing)[-4]


WAITING: list[Callable[[Player], object]] = [
    lambda player: player.jump("error", forward=True),
    lambda player: player.search("no such text"),
    lambda player: player.search("dbgate", forward=False),
    lambda player: player.seek_part(10),
    lambda player: player.seek(1e9),
]


@pytest.mark.parametrize("act", WAITING)
def test_what_needs_the_rest_waits_for_it(growing: Player, make: Make, act: Callable[[Player], object]) -> None:
    act(growing)
    assert growing.message == "as soon as all is read"
    assert not growing.playing
    growing.read(1)
    assert growing.message == "as soon as all is read"
    growing.read(1000)
    whole = make()
    act(whole)
    assert growing.message == whole.message
    assert (growing.position_s == growing.total_s) is (whole.position_s == whole.total_s)


def test_one_piece_and_one_statement_more_wait_for_it(growing: Player, make: Make) -> None:
    whole = make()
    while growing.message != "as soon as all is read":
        growing.frame(forward=True)
    before = growing.shown
    growing.read(1000)
    assert (growing.shown, growing.message) == (before + 1, "")
    with Recording(iter(RECORDS), whole=False) as recording:
        recording.read(3)
        player = Player(recording, Options(step=True))
        player.begin()
        player.next_statement()
        assert player.message == "as soon as all is read"
        player.read(1000)
        whole.options.step = True
        whole.begin()
        whole.next_statement()
        assert (player.shown, player.message) == (whole.shown, whole.message)


def test_a_jump_that_waited_lands_where_it_should(growing: Player, make: Make) -> None:
    whole = make()
    for player in (growing, whole):
        player.jump("error", forward=True)
    growing.read(1000)
    assert (growing.shown, growing.message) == (whole.shown, whole.message)
    for player in (growing, whole):
        player.seek_part(5)
    assert growing.position_s == whole.position_s


def test_another_key_forgets_what_waits(growing: Player) -> None:
    growing.seek_part(10)
    growing.forget()
    growing.read(1000)
    assert not growing.is_over


def test_what_is_read_already_needs_no_waiting(growing: Player) -> None:
    growing.jump("statement", forward=True)
    assert growing.message == ""
    growing.jump("statement", forward=False)
    growing.jump("statement", forward=False)
    assert growing.message == "no earlier statement"


def test_odd_recordings_are_played_all_the_same(make: Make) -> None:
    odd = [
        record("session.start", "0001-01-01T00:00:00+14:00", identity=7),
        record("statement.intent", "9999-12-31T23:59:59.999999-14:00", id=[], decision=[], rules={}, unmasked=3),
        record("approval.redeemed", at(1), approved_by="x", grant=[]),
        record("approval.redeemed", at(1), approved_by=[{}], grant={}, id={}),
        record("statement.outcome", at(1), status=[]),
    ]
    player = make(odd)
    player.seek(player.total_s)
    assert drawn(player)[0] != ""
    empty = make([])
    empty.jump("denial", forward=True)
    empty.toggle()
    empty.skip(5)
    empty.frame(forward=True)
    empty.frame(forward=False)
    empty.search("x")
    assert len(drawn(empty)) == 24


def test_long_texts_leave_memory(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "MEMORY_BYTES", 1000)
    player = make([record("session.start", at(0))] + [record("output", at(n), text=f"{n:03}" * 200) for n in range(20)])
    assert player.recording.text(7) == "006" * 200
    assert player.recording.search("019", 0, forward=True) == 20


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("3", "payroll=> UPDATE t SET a = 1 -- all"),
        ("0:20", "payroll=> DROP TABLE t"),
        ("21s", "[approval requested · request r1 · measured s.t: 420]"),
        ("0m25s", "[approval redeemed · request r1 · by dba@example.com]"),
        ("2026-01-31T08:00:26", "[error · 57014 · cancelled]"),
        ("2026-01-31T09:00:26+01:00", "[error · 57014 · cancelled]"),
        ("2020-01-01", "session   "),
        ("9:59:59", "session ended: quit"),
    ],
)
def test_where_to_begin(make: Make, text: str, shown: str) -> None:
    player = make()
    index = first_cue(player.recording, text)
    assert player.recording.text(index).startswith(shown)
    player.begin_at(index)
    assert player.shown == player.recording.last_of_record(index) + 1


@pytest.mark.parametrize("text", ["9", "x", "1:2", "-1", "2026-13-01", "٣"])
def test_no_place_to_begin(make: Make, text: str) -> None:
    player = make()
    with pytest.raises(UsageError):
        first_cue(player.recording, text)


def test_stamps_and_widths() -> None:
    assert [stamp(0), stamp(65), stamp(3661.2)] == ["0:00", "1:05", "1:01:01"]
    assert wrap("全角文字x", 4) == ["全角", "文字", "x"]
    assert wrap("a\tb\n\nc", 20) == ["a       b", "", "c"]
    assert [fit("全角文字", 5), fit("ab", 4), fit("abc", 1)] == ["全角…", "ab  ", "a"]
