"""Every class of attack on transcripts, on the log and on their copies: found, and its place named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.audit.samples import Installation, overwrite

from dbgate.audit import layout
from dbgate.audit.bucket import open_bucket
from dbgate.audit.keys import ensure_key, load_key, own_keys
from dbgate.audit.log import InstallationLog, end_leaf, start_leaf
from dbgate.audit.record import END, digest, encode
from dbgate.audit.seal import DOMAIN, sealed_end
from dbgate.audit.verification import VerifyReport, verify_bucket, verify_files
from dbgate.model import Json


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with three shipped sessions."""
    installation = Installation(tmp_path_factory.mktemp("template"))
    for _ in range(3):
        installation.session(2)
    installation.ship()
    return installation.root


@pytest.fixture
def here(template: Path, tmp_path: Path) -> Installation:
    """A copy of the template, to be attacked."""
    shutil.copytree(template, tmp_path / "here")
    return Installation(tmp_path / "here")


def sessions(here: Installation) -> list[str]:
    return sorted(folder.name for folder in here.bucket_dir.glob("sessions/*/*/*"))


def transcript(here: Installation, session: str) -> list[bytes]:
    return layout.decompress((here.folder(session) / "00000.jsonl.zst").read_bytes()).splitlines()


def rewrite(here: Installation, session: str, lines: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in lines)
    overwrite(here.folder(session) / "00000.jsonl.zst", layout.compress(content))


def test_an_untouched_bucket_holds(here: Installation) -> None:
    report = here.verify(seen=True)
    assert report.holds()
    assert len(report.sessions) == 3
    assert report.notes == []
    assert str(report.intact) == "18 records of 3 sessions in one chain each, every seal holds"
    assert [item.person for item in report.sessions] == ["mia@example.com"] * 3


def test_a_copied_directory_verifies_offline(here: Installation, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(here.bucket_dir, copy)
    assert here.verify(directory=copy).holds()


Edit = Callable[[list[bytes]], list[bytes]]
EDITS: dict[str, tuple[Edit, str]] = {
    "an edited text": (lambda r: [*r[:1], r[1].replace(b"select 1", b"select 2"), *r[2:]], "line 3"),
    "an edited start": (lambda r: [r[0].replace(b"mia@", b"eve@"), *r[1:]], "line 2"),
    "an edited end": (lambda r: [*r[:-1], r[-1].replace(b'"ended"', b'"quits"')], "line 6"),
    "a dropped record": (lambda r: [*r[:2], *r[3:]], "line 3"),
    "a dropped start": (lambda r: r[1:], "line 1"),
    "two records swapped": (lambda r: [r[0], r[2], r[1], *r[3:]], "line 2"),
    "a record twice": (lambda r: [*r[:2], r[1], *r[2:]], "line 3"),
    "an end twice": (lambda r: [*r, r[-1]], "line 7"),
    "a record behind the end": (lambda r: [*r, r[1]], "line 7"),
    "an inserted line": (lambda r: [*r[:2], b"{}", *r[2:]], "line 3"),
    "an empty line": (lambda r: [*r[:2], b"", *r[2:]], "line 3"),
    "another spelling of the same JSON": (lambda r: [r[0], r[1].replace(b'":', b'": ', 1), *r[2:]], "line 3"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_found_at_its_place(here: Installation, name: str) -> None:
    edit, place = EDITS[name]
    victim = sessions(here)[1]
    rewrite(here, victim, edit(transcript(here, victim)))
    report = here.verify()
    assert not report.intact.holds
    assert report.intact.place.startswith(victim)
    (bad,) = [item for item in report.sessions if not item.intact.holds]
    assert bad.session == victim
    assert bad.intact.place == f"00000.jsonl {place}"
    assert not report.anchored.holds
    assert not report.holds(allow_unanchored=True)


def test_a_cut_tail_is_incomplete(here: Installation) -> None:
    victim = sessions(here)[0]
    for keep in range(5, 0, -1):
        rewrite(here, victim, transcript(here, victim)[:keep])
        report = here.verify(session=victim)
        assert not report.complete.holds
        assert "no sealed end" in report.complete.evidence
        assert not report.holds(allow_unanchored=True)


def test_a_missing_last_newline_is_found(here: Installation) -> None:
    victim = sessions(here)[0]
    content = b"\n".join(transcript(here, victim))
    overwrite(here.folder(victim) / "00000.jsonl.zst", layout.compress(content))
    assert "cut off" in here.verify().intact.evidence


def test_the_owner_of_another_key_cannot_reseal(here: Installation, tmp_path: Path) -> None:
    ensure_key(tmp_path / "other", "file")
    forger = load_key(tmp_path / "other", "file")
    victim = sessions(here)[0]
    records = transcript(here, victim)[:3]
    records.append(sealed_end(victim, 3, digest(records[-1]), {"reason": "ended"}, forger))
    rewrite(here, victim, records)
    assert "not among the trusted keys" in here.verify(session=victim).intact.evidence
    # The forger may also put the real key's name on it.
    real = own_keys(here.state_dir)[0].id.encode()
    records[-1] = records[-1].replace(forger.public.id.encode(), real)
    rewrite(here, victim, records)
    assert "forged seal" in here.verify(session=victim).intact.evidence


def test_a_seal_of_another_purpose_does_not_fit(here: Installation) -> None:
    """The signature covers a domain: what the key signed elsewhere is no seal."""
    victim = sessions(here)[0]
    key = load_key(here.state_dir, "file")
    records = transcript(here, victim)
    signed = records[-1][: records[-1].rindex(b',"signature"')]
    assert records[-1].endswith(key.sign(DOMAIN + signed).hex().encode() + b'"}}')
    records[-1] = signed + b',"signature":"' + key.sign(signed).hex().encode() + b'"}}'
    rewrite(here, victim, records)
    assert "forged seal" in here.verify(session=victim).intact.evidence


def test_an_end_without_seal_or_with_wrong_totals_is_found(here: Installation) -> None:
    victim = sessions(here)[0]
    records = transcript(here, victim)[:-1]
    unsealed = encode(victim, len(records), digest(records[-1]), END, {"reason": "ended"})
    rewrite(here, victim, [*records, unsealed])
    assert "carries no seal" in here.verify(session=victim).intact.evidence


def test_the_owner_of_the_key_cannot_rewrite_what_was_anchored(here: Installation) -> None:
    """Even a session resealed with the true key is not the one that the log knows."""
    victim = sessions(here)[0]
    records = transcript(here, victim)[:3]
    key = load_key(here.state_dir, "file")
    records.append(sealed_end(victim, 3, digest(records[-1]), {"reason": "ended"}, key))
    rewrite(here, victim, records)
    report = here.verify(session=victim)
    assert "the log knows another end, after 6 records" in report.intact.evidence
    assert not report.holds(allow_unanchored=True)


def test_swapped_sessions_are_found(here: Installation) -> None:
    one, two, _ = sessions(here)
    content = {name: transcript(here, name) for name in (one, two)}
    rewrite(here, one, content[two])
    rewrite(here, two, content[one])
    report = here.verify()
    assert [item.intact.holds for item in report.sessions] == [False, False, True]
    assert f"belongs to session {two}" in report.sessions[0].intact.evidence


def test_spliced_sessions_are_found(here: Installation) -> None:
    one, two, _ = sessions(here)
    rewrite(here, one, transcript(here, one)[:3] + transcript(here, two)[3:])
    assert here.verify().intact.place == f"{one} 00000.jsonl line 4"


def test_a_missing_session_is_found(here: Installation) -> None:
    victim = sessions(here)[1]
    shutil.rmtree(here.folder(victim))
    report = here.verify()
    assert report.intact.holds
    assert not report.complete.holds
    assert report.complete.place == victim
    assert "was shipped" in report.complete.evidence
    assert here.verify(session=sessions(here)[0]).holds()


def test_a_missing_object_is_found(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from dbgate.audit import recorder

    monkeypatch.setattr(recorder, "SEGMENT_BYTES", 500)
    victim = here.session(4)
    here.ship()
    assert here.verify().holds()
    objects = sorted(here.folder(victim).iterdir())
    assert len(objects) > 3
    for number, path in enumerate(objects):
        content = path.read_bytes()
        path.unlink()
        report = here.verify(session=victim)
        assert not report.holds(allow_unanchored=True), number
        overwrite_new(path, content)
    assert here.verify().holds()


def overwrite_new(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_a_session_under_a_wrong_target_or_date_is_found(here: Installation) -> None:
    victim = sessions(here)[0]
    folder = here.folder(victim)
    other = folder.parent.parent / "target=harmless" / victim
    shutil.copytree(folder, other)
    report = here.verify()
    assert not report.intact.holds
    shutil.rmtree(folder)
    assert "the session belongs to sessions/date=" in here.verify().intact.evidence


def test_a_session_standing_twice_is_found(here: Installation) -> None:
    victim = sessions(here)[0]
    folder = here.folder(victim)
    shutil.copytree(folder, folder.parent.parent / "target=harmless" / victim)
    assert sorted(item.intact.evidence[:20] for item in here.verify().sessions if not item.intact.holds) == [
        "the session belongs ",
        "the session stands i",
    ]


@pytest.mark.parametrize("name", ["sessions/x", "sessions/date=2026-01-01/target=t/notasession/00000.jsonl.zst"])
def test_strays_are_found(here: Installation, name: str) -> None:
    path = here.bucket_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    report = here.verify()
    assert not report.intact.holds
    assert report.intact.place == name


def test_an_object_packed_anew_is_found(here: Installation) -> None:
    """The records are the same; the object is not the one that was shipped."""
    import zstandard

    victim = sessions(here)[0]
    file = here.folder(victim) / "00000.jsonl.zst"
    plain = layout.decompress(file.read_bytes())
    overwrite(file, zstandard.ZstdCompressor(level=1, write_checksum=True).compress(plain))
    assert here.verify().intact.evidence == "is not the object that was shipped"


def test_a_wrong_key_in_the_bucket_is_found(here: Installation, tmp_path: Path) -> None:
    ensure_key(tmp_path / "other", "file")
    (file,) = (here.bucket_dir / "keys").iterdir()
    overwrite(file, own_keys(tmp_path / "other")[0].pem())
    assert here.verify().intact.place == f"keys/{file.name}"


def log_file(here: Installation, pattern: str) -> Path:
    return sorted(here.bucket_dir.glob(f"log/*/*/{pattern}"))[0]


@pytest.mark.parametrize("pattern", ["checkpoint", "tile/0/000.p/*", "tile/entries/000.p/*"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_damaged_log_anchors_nothing(here: Installation, pattern: str, gone: bool) -> None:
    file = log_file(here, pattern)
    if gone:
        file.unlink()
    else:
        overwrite(file, file.read_bytes()[:-1] + b"?")
    report = here.verify()
    assert not report.anchored.holds
    assert report.anchored.place.startswith("log/dbgate/")
    assert report.intact.holds
    assert report.complete.holds
    assert not report.holds(allow_unanchored=True)  # That does without a log, not with any log.


def test_a_bucket_without_its_log_is_not_anchored(here: Installation) -> None:
    shutil.rmtree(here.bucket_dir / "log")
    report = here.verify()
    assert not report.anchored.holds
    assert report.holds(allow_unanchored=True)
    known = here.verify(seen=True)
    assert known.anchored.evidence == "is missing"
    assert not known.holds(allow_unanchored=True)


def test_a_log_rolled_back_with_its_sessions_is_found(here: Installation, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(here.bucket_dir, old)
    here.session()
    here.ship()
    assert here.verify(directory=old).holds()
    report = here.verify(directory=old, seen=True)
    assert "rolled back: it had 12 leaves and has 9" in report.anchored.evidence
    assert not report.holds()


def test_a_forked_log_is_found(here: Installation, tmp_path: Path) -> None:
    """The installation's own key signs another history of the same length."""
    seen = here.seen()
    leaves = here.state_dir / "log" / "leaves"
    history = leaves.read_bytes().splitlines(keepends=True)
    leaves.write_bytes(b"".join([*history[3:], *history[:3]]))
    (here.state_dir / "log" / "checkpoint").unlink()
    shutil.rmtree(here.bucket_dir / "log")
    here.ship()
    bucket = open_bucket(here.url)
    assert verify_bucket(bucket, keys=own_keys(here.state_dir)).holds()
    forked = verify_bucket(bucket, keys=own_keys(here.state_dir), seen=seen)
    assert "forked: its first 9 leaves are others than before" in forked.anchored.evidence


def test_a_log_of_another_origin_is_found(here: Installation, tmp_path: Path) -> None:
    other = Installation(tmp_path / "other")
    other.session()
    other.ship()
    overwrite(log_file(here, "checkpoint"), log_file(other, "checkpoint").read_bytes())
    keys = [*own_keys(here.state_dir), *own_keys(other.state_dir)]
    report = verify_bucket(open_bucket(here.url), keys=keys)
    assert "is that of another log" in report.anchored.evidence


def test_a_session_that_never_arrived_is_missing_after_a_day(here: Installation) -> None:
    lost = "01jd0000000000000000000000"
    InstallationLog(here.state_dir).append(start_leaf(lost, b"start"))
    here.session()
    here.ship()
    bucket = open_bucket(here.url)
    today: VerifyReport = verify_bucket(bucket, keys=own_keys(here.state_dir))
    assert today.holds()
    assert today.notes == [f"session {lost} is known to log {InstallationLog(here.state_dir).origin} and not here yet"]
    later = verify_bucket(bucket, keys=own_keys(here.state_dir), now=datetime.now(UTC) + timedelta(hours=25))
    assert later.complete.place == lost
    assert "never arrived" in later.complete.evidence
    waiting = verify_bucket(
        bucket, keys=own_keys(here.state_dir), elsewhere=[lost], now=datetime.now(UTC) + timedelta(hours=25)
    )
    assert waiting.holds()


def test_tiles_beyond_the_checkpoint_are_noted(here: Installation) -> None:
    old = log_file(here, "checkpoint").read_bytes()
    here.session()
    here.ship()
    overwrite(log_file(here, "checkpoint"), old)
    report = here.verify()
    assert any("tiles beyond its checkpoint" in note for note in report.notes)
    assert not report.anchored.holds


@pytest.mark.parametrize("name", ["tile/0/001.p/300", "tile/0/0", "tile/99/x", "tile/entries/000.p/0", "tile/evil"])
def test_what_is_no_tile_is_found(here: Installation, name: str) -> None:
    path = log_file(here, "checkpoint").parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    report = here.verify()
    assert not report.anchored.holds or any("beyond" in note for note in report.notes)


def test_an_outcome_that_is_missing_is_incomplete(here: Installation) -> None:
    session = "01jd0000000000000000000001"
    key = load_key(here.state_dir, "file")
    lines = [encode(session, 0, "0" * 64, "session.start", {"target": "t"})]
    lines.append(encode(session, 1, digest(lines[-1]), "statement.intent", {"id": 7, "decision": "allow"}))
    lines.append(sealed_end(session, 2, digest(lines[-1]), {}, key))
    file = here.root / "00000.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    found = verify_files(session, [file], keys=own_keys(here.state_dir), place="x")
    assert found.intact.holds
    assert found.complete.evidence == "statement 7 has no outcome"
    assert found.complete.place == "00000.jsonl line 2"
    assert not found.anchored.holds


def test_a_bucket_without_sessions_holds_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = verify_bucket(open_bucket((tmp_path / "empty").as_uri()), keys=[])
    assert report.holds()
    assert str(report.intact).startswith("0 records of 0 sessions")


def test_a_changed_torn_file_is_found(here: Installation) -> None:
    with here.open() as recorder:
        pass
    path = recorder.directory / "00000.jsonl"
    path.write_bytes(path.read_bytes() + b'{"torn')
    here.ship()
    assert here.verify().holds()
    torn = here.folder(recorder.session) / "torn-00000.bin.zst"
    content = torn.read_bytes()
    overwrite(torn, layout.compress(b'{"worn'))
    assert "not what recovery set aside" in here.verify().intact.evidence
    torn.unlink()
    assert "not what recovery set aside" in here.verify().intact.evidence
    overwrite_new(torn, content)
    overwrite_new(torn.with_name("torn-00001.bin.zst"), content)
    assert "not named by any record" in here.verify().intact.evidence


STRANGE: list[dict[str, Json]] = [
    {"v": 1, "kind": "strange", "session": "01jd0000000000000000000000"},
    {"v": 1, "kind": "session.start", "session": "../x", "time": "", "record": "0"},
    {"v": 1, "kind": "session.start", "session": "01jd0000000000000000000000"},
]


@pytest.mark.parametrize("leaf", STRANGE)
def test_leaves_that_are_no_leaves_anchor_nothing(here: Installation, leaf: dict[str, Json]) -> None:
    InstallationLog(here.state_dir).append(leaf)
    here.session()
    here.ship()
    assert "entry 9 is no leaf" in here.verify().anchored.evidence


def test_the_same_leaf_twice_is_harmless_and_two_that_differ_are_not(here: Installation) -> None:
    log = InstallationLog(here.state_dir)
    victim = sessions(here)[0]
    first, last = transcript(here, victim)[0], transcript(here, victim)[-1]
    log.append(start_leaf(victim, first))
    log.append(end_leaf(victim, last, 6))
    here.ship()
    assert here.verify(seen=True).holds()
    log.append(end_leaf(victim, b"another end", 6))
    here.ship()
    assert "entry 11 is no leaf of a log, or contradicts" in here.verify().anchored.evidence


def test_the_report_names_persons_only_as_text(here: Installation) -> None:
    victim = here.session(start={"identity": {"email": ["not", "text"]}, "target": 5})
    here.ship()
    (item,) = here.verify(session=victim).sessions
    assert json.loads(json.dumps([item.person, item.target])) == ["['not', 'text']", "5"]
    assert item.intact.holds
