"""A bucket told to a sink: all of it, once, whatever arrives late or cannot be read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.audit.samples import Installation, intent, outcome, overwrite

from dbgate.audit import layout
from dbgate.audit.bucket import Bucket, open_bucket
from dbgate.audit.siem import Cursor, Event, Feed, Wanted, telling
from dbgate.audit.siem.sinks import AppendedFile
from dbgate.audit.siem.telling import tell
from dbgate.errors import Unreachable, UsageError


class Kept:
    """A sink that keeps what was settled, and forgets the rest when it breaks."""

    def __init__(self, *, limit: int = 0, breaks_at: int = -1) -> None:
        self.limit = limit
        self.arrived: list[str] = []
        self._waiting: list[str] = []
        self._breaks_at = breaks_at

    def send(self, event: Event, line: str) -> None:
        if len(self.arrived) + len(self._waiting) == self._breaks_at:
            raise Unreachable("gone")
        self._waiting.append(line)

    def settle(self) -> None:
        self.arrived += self._waiting
        self._waiting = []

    @property
    def uids(self) -> list[str]:
        return [json.loads(line)["uid"] for line in self.arrived]


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    for count in (1, 2, 3):
        made.session(count)
    made.ship()
    return made


def bucket(here: Installation) -> Bucket:
    return open_bucket(here.bucket_dir.as_uri())


def everything(here: Installation, wanted: Wanted | None = None) -> list[str]:
    sink = Kept()
    tell(Feed(bucket(here), wanted or Wanted()), "json", sink)
    return sink.uids


@pytest.fixture
def cursor(tmp_path: Path) -> Path:
    return tmp_path / "cursor"


def more(here: Installation, cursor: Path, sink: Kept | None = None) -> list[str]:
    """What one run with a cursor tells."""
    sink = sink or Kept()
    with Cursor(cursor, {"format": "json"}) as kept:
        tell(Feed(bucket(here), Wanted()), "json", sink, kept)
    return sink.uids


def test_every_event_once_and_the_same_again(here: Installation) -> None:
    uids = everything(here)
    assert len(uids) == 3 * 2 + 6
    assert len(set(uids)) == len(uids)
    assert everything(here) == uids


def test_a_cursor_tells_what_is_new(here: Installation, cursor: Path) -> None:
    assert more(here, cursor) == everything(here)
    assert more(here, cursor) == []
    late = here.session(2)
    here.ship()
    assert {uid.split(".")[0] for uid in more(here, cursor)} == {late}
    assert more(here, cursor) == []
    assert cursor.stat().st_mode & 0o777 == 0o600


def test_a_session_that_arrives_weeks_late_is_not_missed(here: Installation, cursor: Path) -> None:
    more(here, cursor)
    old = Installation(here.root / "other")
    name = old.session(1)
    old.ship()
    before = old.folder(name)
    lines = layout.decompress((before / "00000.jsonl.zst").read_bytes()).split(b"\n")
    start = json.loads(lines[0]) | {"time": "2020-01-01T00:00:00.000000Z"}
    folder = here.bucket_dir / layout.session_prefix(start)
    folder.mkdir(parents=True)
    content = json.dumps(start, separators=(",", ":")).encode()
    (folder / "00000.jsonl.zst").write_bytes(layout.compress(content + b"\n"))
    assert more(here, cursor) == [f"{name}.0"]


@pytest.mark.parametrize("batch", [1, 2, 5000])
def test_nothing_is_lost_when_the_sink_breaks_anywhere(
    here: Installation, cursor: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "BATCH_EVENTS", batch)
    every = everything(here)
    for place in range(len(every)):
        path = cursor.with_name(f"cursor-{place}")
        broken = Kept(breaks_at=place)
        with pytest.raises(Unreachable):
            more(here, path, broken)
        rest = more(here, path)
        assert set(broken.uids + rest) == set(every)
        assert len(broken.uids + rest) - len(every) <= batch + 1, "a batch, and the event at its edge"
        assert more(here, path) == []


def put(here: Installation, folder: str, segments: list[bytes]) -> None:
    place = here.bucket_dir / folder
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for number, content in enumerate(segments):
        (place / f"{number:05}.jsonl.zst").write_bytes(layout.compress(content))


def test_a_session_that_is_not_whole_yet(here: Installation, cursor: Path) -> None:
    with here.open() as session:
        session.record("statement.intent", intent(1))
        session.record("statement.outcome", outcome(1))
        session.record("statement.intent", intent(2))
        session.record("statement.outcome", outcome(2))
        session.close({"reason": "ended"})
    here.ship()
    place = here.folder(session.session)
    folder = str(place.relative_to(here.bucket_dir))
    lines = layout.decompress((place / "00000.jsonl.zst").read_bytes()).splitlines(keepends=True)
    put(here, folder, [b"".join(lines[:4])])
    first = more(here, cursor)
    assert [uid for uid in first if uid.startswith(session.session)] == [f"{session.session}.{n}" for n in (0, 1)]
    assert more(here, cursor) == []
    put(here, folder, [b"".join(lines[:4]), b"".join(lines[4:])])
    assert more(here, cursor) == [f"{session.session}.{n}" for n in (3, 5)]
    feed = Feed(bucket(here), Wanted())
    tell(feed, "json", Kept())
    assert (feed.open, feed.damaged) == ([], {})


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a changed record": lambda c: c.replace(b'"select 1"', b'"select 2"', 1),
    "a dropped record": lambda c: b"".join(c.splitlines(keepends=True)[:2] + c.splitlines(keepends=True)[3:]),
    "a doubled record": lambda c: b"".join([*c.splitlines(keepends=True)[:2], *c.splitlines(keepends=True)[1:]]),
    "no JSON": lambda c: b"".join([*c.splitlines(keepends=True)[:2], b"{\n"]),
    "another session's": lambda c: c.replace(b'"session":"', b'"session":"x'),
    "another target's": lambda c: c.replace(b'"target":"payroll"', b'"target":"else"'),
    "too deep": lambda c: c.replace(b'"parameters":[]', b'"parameters":' + b"[" * 900 + b"]" * 900, 1),
    "no start": lambda c: b"".join(c.splitlines(keepends=True)[1:]),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_stops_its_session_and_no_other(here: Installation, cursor: Path, name: str) -> None:
    every = everything(here)
    hurt = here.session(1)
    here.ship()
    file = here.folder(hurt) / "00000.jsonl.zst"
    whole = file.read_bytes()
    overwrite(file, layout.compress(DAMAGES[name](layout.decompress(whole))))
    feed, sink = Feed(bucket(here), Wanted()), Kept()
    with Cursor(cursor, {"format": "json"}) as kept:
        tell(feed, "json", sink, kept)
    assert list(feed.damaged) == [str(here.folder(hurt).relative_to(here.bucket_dir))]
    assert set(every) <= set(sink.uids)
    assert f"{hurt}.3" not in sink.uids, "its end is behind the damage"
    overwrite(file, whole)
    rest = more(here, cursor)
    assert {uid for uid in sink.uids + rest if uid.startswith(hurt)} == {f"{hurt}.{n}" for n in (0, 1, 3)}
    assert not set(rest) & set(sink.uids)


def test_a_copy_in_another_folder_is_not_told_twice(here: Installation) -> None:
    every = everything(here)
    place = here.folder(every[0].split(".")[0])
    shutil.copytree(place, here.bucket_dir / "sessions/date=2026-01-01/target=payroll" / place.name)
    assert sorted(everything(here)) == sorted(every)


def test_wanted_target_person_and_time(here: Installation) -> None:
    with here.open(target="prod/pay roll", identity={"email": "leo@example.com", "subject": "7"}) as leo:
        leo.record("statement.intent", intent(1))
        leo.record("statement.outcome", outcome(1))
        leo.close({"reason": "ended"})
    here.ship()
    his = {f"{leo.session}.{n}" for n in (0, 1, 3)}
    assert set(everything(here, Wanted(target="prod/*"))) == his
    assert set(everything(here, Wanted(person="LEO@"))) == his
    assert set(everything(here, Wanted(target="payroll"))).isdisjoint(his)


def test_a_cursor_goes_on_with_the_same_export_only(cursor: Path, tmp_path: Path) -> None:
    with Cursor(cursor, {"format": "json", "target": ""}) as open_:
        assert open_.told("x") == -1
        with pytest.raises(UsageError, match="another export uses"):
            Cursor(cursor, {"format": "json", "target": ""})
    with pytest.raises(UsageError, match="its format is json, not cef"):
        Cursor(cursor, {"format": "cef"})
    with Cursor(cursor, {"format": "json"}) as again:
        again.keep({"a": (3, False), "b": (9, True)})
        assert (again.told("a"), again.told("b")) == (3, None)
    other = tmp_path / "notes.txt"
    other.write_text("these are my notes, and no database at all, long enough to be looked at\n" * 20)
    with pytest.raises(UsageError, match="is not a cursor"):
        Cursor(other, {})
    assert other.read_text().startswith("these are my notes")
    with pytest.raises(UsageError, match="cannot write the cursor"):
        Cursor(tmp_path / "none" / "cursor", {})


def test_a_line_that_a_crash_cut_off_is_ended(here: Installation, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b'{"uid":"a"}\n{"uid"')
    with AppendedFile(path) as sink:
        tell(Feed(bucket(here), Wanted()), "json", sink)
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"uid":"a"}', '{"uid"']
    assert [json.loads(line)["uid"] for line in lines[2:]] == everything(here)


def test_events_are_cut_to_the_sink(here: Installation) -> None:
    with here.open() as session:
        session.record("statement.intent", intent(1, "select " + "x" * 100_000))
        session.record("statement.outcome", outcome(1))
        session.close({"reason": "ended"})
    here.ship()
    sink = Kept(limit=3000)
    told = tell(Feed(bucket(here), Wanted()), "json", sink, overhead=lambda event: 500)
    assert (told.events, told.shortened) == (len(everything(here)), 1)
    assert max(map(len, sink.arrived)) <= 2500
    (cut,) = (json.loads(line) for line in sink.arrived if "truncated_to" in line)
    assert cut["statement"]["text"] == "select " + "x" * (cut["statement"]["truncated_to"] - 7) + "…"
