"""Records checked while they are read: nobody sees a changed one without being told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import Installation, intent, overwrite

from dbgate.audit import checked as module
from dbgate.audit.checked import checked
from dbgate.audit.keys import own_keys
from dbgate.audit.layout import compress, decompress
from dbgate.audit.record import FIRST_PREV, digest, encode
from dbgate.audit.sessions import Archive
from dbgate.audit.transcript import Checker, Segment

SESSION = "01jd0000000000000000000000"


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def records_of(here: Installation, session: str) -> list[dict[str, Any]]:
    archive = Archive(here.state_dir, None)
    return list(archive.checked(archive.find(session)))


def chained(*kinds: tuple[str, dict[str, Any]]) -> bytes:
    """A transcript whose records follow each other; nothing seals it."""
    content, prev = b"", FIRST_PREV
    for seq, (kind, fields) in enumerate(kinds):
        line = encode(SESSION, seq, prev, kind, fields)
        content, prev = content + line + b"\n", digest(line)
    return content


def run(content: bytes, *, is_live: bool = False) -> list[dict[str, Any]]:
    return list(checked(Checker(SESSION, {}, unsafe_any_key=True), [Segment("00000.jsonl", content)], is_live=is_live))


def test_a_good_session_ends_in_its_verdict(here: Installation) -> None:
    session = here.session(1)
    found = records_of(here, session)
    assert [record["kind"] for record in found[:-1]] == [
        "session.start", "statement.intent", "statement.outcome", "session.end",
    ]  # fmt: skip
    (key,) = own_keys(here.state_dir)
    assert found[-1]["text"] == f"4 records in one chain, sealed with key {key.id}"
    assert found[-1]["holds"] is True


def test_a_stranger_s_seal_is_said_and_not_called_good(here: Installation, tmp_path: Path) -> None:
    session = here.session(1)
    archive = Archive(here.state_dir, None)
    other = Installation(tmp_path / "other")
    other.session()
    *_, verdict = archive.checked(archive.find(session), own_keys(other.state_dir))
    assert verdict["holds"] is None
    assert verdict["text"].endswith(", which is not among the keys trusted here")


def test_a_changed_record_is_announced_before_it_is_shown(here: Installation) -> None:
    session = here.session(3)
    file = here.state_dir / "spool" / session / "00000.jsonl"
    file.write_bytes(file.read_bytes().replace(b'"id":2,"text":"select 1"', b'"id":2,"text":"select 2"'))
    found = records_of(here, session)
    kinds = [record["kind"] for record in found]
    at = kinds.index("damaged")
    assert found[at]["text"].startswith("00000.jsonl line 5: record 4 does not carry the hash of the record before it")
    assert kinds.count("damaged") == 1
    assert len(kinds) == 8 + 2
    assert found[-1]["holds"] is False
    assert found[-1]["text"].startswith("not intact: 00000.jsonl line 5: ")


def test_a_missing_end_a_missing_segment_and_half_a_line(here: Installation) -> None:
    session = here.session(1, close=False)
    assert records_of(here, session)[-1]["text"].startswith(
        "not complete: 00000.jsonl line 3: the session has no sealed end"
    )
    file = here.state_dir / "spool" / session / "00000.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    found = records_of(here, session)
    assert [record["text"] for record in found if record["kind"] == "damaged"] == [
        "00000.jsonl: the last line is cut off", "00000.jsonl line 3: not a line of JSON",
    ]  # fmt: skip
    file.rename(file.with_name("00001.jsonl"))
    assert records_of(here, session)[-1]["text"] == "not intact: 00001.jsonl: segment 00000 is missing"


def test_an_object_that_cannot_be_unpacked(here: Installation) -> None:
    session = here.session(1)
    here.ship()
    (file,) = here.folder(session).iterdir()
    good = file.read_bytes()
    archive = Archive(here.state_dir, module_bucket(here))
    place = archive.find(session)
    overwrite(file, good[:-3])
    damaged, verdict = archive.checked(place)
    assert damaged["text"] == verdict["text"].removeprefix("not intact: ")
    overwrite(file, compress(decompress(good) + b"\n"))
    assert [record["kind"] for record in archive.checked(place)][-3:] == ["damaged", "damaged", "verdict"]


def module_bucket(here: Installation) -> Any:
    from dbgate.audit.bucket import open_bucket

    return open_bucket(here.url)


def test_a_session_that_is_being_written_is_open(here: Installation) -> None:
    with here.open() as recorder:
        recorder.record("statement.intent", intent(1))
        verdict = records_of(here, recorder.session)[-1]
        assert (verdict["holds"], verdict["text"]) == (None, "2 records in one chain so far; the session is open")
    half = chained(("session.start", {}))[:-4]
    assert run(half, is_live=True)[-1]["text"] == "0 records in one chain so far; the session is open"
    changed = chained(("session.start", {}), ("notice", {"text": "a"}), ("notice", {})).replace(b'"a"', b'"b"')
    assert run(changed, is_live=True)[-1]["holds"] is False


def test_no_record_can_pose_as_the_verdict() -> None:
    forged = {"text": "2 records in one chain, sealed with key 00", "holds": True}
    found = run(chained(("session.start", {}), (module.VERDICT, forged), (module.DAMAGED, {"text": "x"})))
    assert [record["kind"] for record in found] == ["session.start", "damaged", "damaged", "verdict"]
    assert found[1]["text"] == "00000.jsonl line 2: no record is of this kind"
    assert found[-1]["holds"] is False


def test_an_end_without_a_seal_is_no_stranger_s_seal() -> None:
    head = digest(chained(("session.start", {}))[:-1])
    found = run(chained(("session.start", {}), ("session.end", {"records": 2, "head": head})))
    assert found[-1]["text"] == "not intact: 00000.jsonl line 2: carries no seal"


@pytest.mark.parametrize("decision", [[], {}, 3, None])
def test_a_decision_of_a_wrong_type_breaks_nothing(decision: Any) -> None:
    found = run(chained(("session.start", {}), ("statement.intent", {"id": 1, "decision": decision})))
    assert found[-1]["text"].startswith("not complete: ")
