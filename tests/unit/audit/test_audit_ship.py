from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import Installation, intent, overwrite

from dbgate.audit import bucket as bucket_module
from dbgate.audit import layout, spool
from dbgate.audit import recorder as recorder_module
from dbgate.audit import shipping as shipping_module
from dbgate.audit.background import ship_in_background
from dbgate.audit.bucket import FileBucket, open_bucket
from dbgate.audit.log import InstallationLog
from dbgate.audit.record import SEGMENT_BYTES
from dbgate.audit.shipping import ship
from dbgate.errors import AuditUnavailable, TranscriptAltered, Unreachable, UsageError


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def shipped_bytes(here: Installation, session: str) -> bytes:
    """The transcript as the bucket has it."""
    files = sorted(here.folder(session).glob("0*.zst"))
    return b"".join(layout.decompress(file.read_bytes()) for file in files)


def test_a_session_moves_byte_for_byte(here: Installation) -> None:
    session = here.session(3)
    content = (spool.session_dir(here.state_dir, session) / "00000.jsonl").read_bytes()
    report = here.ship()
    assert report.shipped == [session]
    assert report.objects == 1
    assert spool.spooled(here.state_dir) == []
    assert shipped_bytes(here, session) == content
    folder = here.folder(session)
    assert folder.parent.name == "target=payroll"
    assert folder.parent.parent.name.startswith("date=20")
    assert (here.bucket_dir / "keys").exists()
    assert here.ship().shipped == []


def test_a_session_of_many_segments(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "SEGMENT_BYTES", 500)
    session = here.session(10)
    content = b"".join(f.read_bytes() for f in spool.segments(spool.session_dir(here.state_dir, session)))
    here.ship()
    assert len(list(here.folder(session).iterdir())) > 5
    assert shipped_bytes(here, session) == content
    assert here.verify(seen=True).holds()


@pytest.mark.parametrize("target", ["a/b", "..", "../../etc", "ü ß", "x=y", "%2e", "", "a\x00b", "#1"])
def test_a_target_name_never_leaves_its_folder(here: Installation, target: str) -> None:
    session = here.session(start={"target": target})
    here.ship()
    folder = here.folder(session)
    assert folder.parent.parent.parent.parent == here.bucket_dir
    assert here.verify(seen=True).holds()


def test_a_file_bucket_is_private_and_its_objects_read_only(here: Installation) -> None:
    session = here.session()
    here.ship()
    for path in [here.bucket_dir, *here.bucket_dir.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o400), path
    assert here.folder(session).exists()


def test_a_shared_file_bucket_gives_its_mode_to_what_is_made_in_it(here: Installation) -> None:
    here.bucket_dir.mkdir()
    here.bucket_dir.chmod(0o2770)
    session = here.session()
    here.ship()
    assert here.folder(session).stat().st_mode & 0o7777 == 0o2770
    (file,) = here.folder(session).iterdir()
    assert file.stat().st_mode & 0o777 == 0o440


class Died(BaseException):
    """The process dies here."""


STEPS: list[tuple[Any, str]] = [
    (FileBucket, "put_new"),
    (FileBucket, "get"),
    (FileBucket, "replace"),
    (bucket_module, "_sync_file"),
    (InstallationLog, "ensure"),
    (InstallationLog, "remember_published"),
    (spool, "remove"),
    (spool, "remove_tree"),
]


@pytest.mark.parametrize(("place", "step"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("nth", [1, 2, 4])
@pytest.mark.parametrize("done", [False, True])
def test_a_shipper_that_dies_anywhere_is_resumed(
    here: Installation, monkeypatch: pytest.MonkeyPatch, place: Any, step: str, nth: int, done: bool
) -> None:
    """Neither lost nor doubled, whatever step the process died before (or after)."""
    contents = {}
    for _ in range(2):
        session = here.session()
        contents[session] = (spool.session_dir(here.state_dir, session) / "00000.jsonl").read_bytes()
    real: Callable[..., Any] = getattr(place, step)
    calls = 0

    def dying(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < nth:
            return real(*arguments, **options)
        if done:
            real(*arguments, **options)
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(place, step, dying)
        with contextlib.suppress(Died):
            here.ship()
    for session, content in contents.items():
        directory = spool.session_dir(here.state_dir, session)
        assert directory.exists() or shipped_bytes(here, session) == content
    assert here.ship().refused == {}
    assert spool.spooled(here.state_dir) == []
    assert {session: shipped_bytes(here, session) for session in contents} == contents
    assert here.verify(seen=True).holds()
    assert not list(spool.spool_dir(here.state_dir).iterdir())


def test_a_bucket_that_is_away_keeps_everything_in_the_spool(here: Installation) -> None:
    session = here.session()
    here.bucket_dir.write_text("a file in the way")
    with pytest.raises(Unreachable, match="cannot be reached") as raised:
        here.ship()
    assert "nothing is lost" in raised.value.hint
    assert spool.spooled(here.state_dir) == [session]
    here.bucket_dir.unlink()
    assert here.ship().shipped == [session]


def lying(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes | None], bytes | None], about: str = "sessions/"
) -> None:
    real = FileBucket.get

    def get(self: FileBucket, path: str) -> bytes | None:
        content = real(self, path)
        return answer(content) if about in path else content

    monkeypatch.setattr(FileBucket, "get", get)


def test_a_bucket_that_took_nothing_is_found_out(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    session = here.session()
    lying(monkeypatch, lambda content: None)
    with pytest.raises(Unreachable, match=r"took .* and does not have it"):
        here.ship()
    assert spool.spooled(here.state_dir) == [session]


@pytest.mark.parametrize("about", ["/checkpoint", "/tile/", "keys/"])
def test_a_bucket_that_lost_a_part_of_the_log_is_found_out(
    here: Installation, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    session = here.session()
    with monkeypatch.context() as patched:
        lying(patched, lambda content: None, about)
        with pytest.raises(Unreachable, match=f"took .*{about}.* and does not have it"):
            here.ship()
        assert spool.spooled(here.state_dir) == [session]
    assert here.ship().shipped == [session]


def test_reads_that_are_late_keep_a_session_until_they_are_not(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = here.session()
    assert here.ship().shipped == [first]
    second, old = here.session(), here.bucket_dir / "log"
    (checkpoint,) = old.rglob("checkpoint")
    before = checkpoint.read_bytes()
    with monkeypatch.context() as patched:
        lying(patched, lambda content: before, "/checkpoint")
        with pytest.raises(Unreachable, match="checkpoint"):
            here.ship()
        assert spool.spooled(here.state_dir) == [second]
    assert here.ship().shipped == [second]


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"", lambda c: layout.compress(b"x")]
)
def test_a_bucket_that_kept_something_else_is_found_out(
    here: Installation, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    session = here.session()
    lying(monkeypatch, lambda content: change(content) if content else content)
    report = here.ship()
    assert "other bytes than the transcript" in report.refused[session]
    assert spool.spooled(here.state_dir) == [session]


def test_an_object_in_the_way_is_never_overwritten(here: Installation) -> None:
    squatted, other = here.session(), here.session()
    content = (spool.session_dir(here.state_dir, squatted) / "00000.jsonl").read_bytes()
    day = content.partition(b'"time":"')[2][:10].decode()
    path = here.bucket_dir / f"sessions/date={day}/target=payroll/{squatted}/00000.jsonl.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"squatter")
    report = here.ship()
    assert list(report.refused) == [squatted]
    assert report.shipped == [other]
    assert path.read_bytes() == b"squatter"
    assert spool.spooled(here.state_dir) == [squatted]


def test_the_same_content_packed_otherwise_is_ours(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run before an upgrade of the compressor was cut off after the upload."""
    import zstandard

    session = here.session()
    with monkeypatch.context() as patched:
        patched.setattr(
            layout, "compress", lambda c: zstandard.ZstdCompressor(level=1, write_checksum=True).compress(c)
        )
        patched.setattr(shipping_module, "publish_log", lambda *_: (_ for _ in ()).throw(Unreachable("cut off")))
        with pytest.raises(Unreachable):
            here.ship()
    assert here.ship().shipped == [session]
    assert here.verify(seen=True).holds()


def test_a_spooled_session_without_a_seal_is_not_shipped(here: Installation) -> None:
    session = here.session()
    file = spool.session_dir(here.state_dir, session) / "00000.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    assert "does not end with a seal" in here.ship().refused[session]
    file.write_bytes(b"")
    assert "was changed" in here.ship().refused[session]
    file.unlink()
    assert "is empty" in here.ship().refused[session]


@pytest.mark.parametrize("change", ["rolled back", "replaced"])
def test_a_log_in_the_bucket_that_is_not_ours_stops_shipping(here: Installation, tmp_path: Path, change: str) -> None:
    here.session()
    here.ship()
    (checkpoint,) = here.bucket_dir.glob("log/*/*/checkpoint")
    if change == "replaced":
        overwrite(checkpoint, b"rubbish")
    else:
        (here.state_dir / "log" / "leaves").write_bytes(b"")
        (here.state_dir / "log" / "checkpoint").unlink()
    here.session()
    with pytest.raises(TranscriptAltered):
        here.ship()
    assert len(spool.spooled(here.state_dir)) == 1


def test_one_shipper_at_a_time(here: Installation) -> None:
    session = here.session()
    lock = spool.try_lock(here.state_dir / spool.SHIP_LOCK, create=True)
    assert lock is not None
    try:
        assert here.ship().busy
        assert not ship_in_background(here.state_dir)
    finally:
        os.close(lock)
    assert here.ship().shipped == [session]


def test_a_session_sealed_while_a_shipper_worked_is_shipped_too(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = here.session()
    late: list[str] = []
    real = shipping_module.publish_log

    def publish(*arguments: Any) -> None:
        real(*arguments)
        if not late:
            late.append(here.session())

    monkeypatch.setattr(shipping_module, "publish_log", publish)
    assert here.ship().shipped == [first, *late]


def test_nothing_to_ship_touches_no_bucket(here: Installation) -> None:
    assert here.ship().shipped == []
    assert not here.bucket_dir.exists()
    assert not ship_in_background(here.state_dir)


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditUnavailable):
        ship(tmp_path / "file" / "state", "file:///nowhere", "file")


BACKGROUND = """
import sys
from pathlib import Path
from dbgate.audit.background import ship_in_background
print(ship_in_background(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def test_the_background_shipper_holds_nobody_up(here: Installation, tmp_path: Path) -> None:
    """The parent's pipes close when the parent ends, and the session arrives later."""
    session = here.session()
    config = tmp_path / "config.yaml"
    config.write_text(f"audit:\n  bucket: {here.url}\n  key_store: file\n")
    environment = {**os.environ, "DBGATE_STATE_DIR": str(here.state_dir), "HOME": str(tmp_path)}
    environment.pop("DBGATE_BUCKET", None)
    trap = tmp_path / "cwd" / "dbgate"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('imported from the current folder')")
    done = subprocess.run(
        [sys.executable, "-P", "-c", BACKGROUND, str(here.state_dir), str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=trap.parent,
        check=True,
    )
    assert done.stdout == "True\n"
    assert done.stderr == ""
    until = time.monotonic() + 60
    while spool.spooled(here.state_dir) and time.monotonic() < until:
        time.sleep(0.05)
    assert shipped_bytes(here, session)
    lock = None
    while lock is None and time.monotonic() < until:
        lock = spool.try_lock(here.state_dir / spool.SHIP_LOCK)
        time.sleep(0.05)
    assert lock is not None
    os.close(lock)
    assert here.verify(seen=True).holds()


@pytest.mark.parametrize(
    "url",
    ["", "sessions", "ftp://x", "file://host/x", "file:relative", "file:///x?y=1", "s3:///x", "s3://b?regoin=eu"],
)
def test_a_wrong_url_is_a_usage_error(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        open_bucket(url)
    assert raised.value.hint


def test_a_misspelt_option_of_a_bucket_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match="unknown option of an s3 bucket: regoin") as raised:
        open_bucket("s3://b?regoin=eu")
    assert raised.value.hint == "did you mean region?"


def test_a_path_with_spaces_is_a_bucket(tmp_path: Path) -> None:
    here = Installation(tmp_path / "a b ü")
    session = here.session()
    assert here.ship().shipped == [session]


def test_staging_is_swept_after_an_hour(here: Installation) -> None:
    here.session()
    here.ship()
    old, young = here.bucket_dir / "tmp" / "old", here.bucket_dir / "tmp" / "young"
    for file in (old, young):
        file.write_bytes(b"")
    os.utime(old, (0, 0))
    open_bucket(here.url, create=True)
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"rubbish", layout.compress(b"a") * 2, layout.compress(b"a") + b"x", layout.compress(b"abc" * 99)[:-3]],
)
def test_only_one_whole_frame_is_unpacked(content: bytes) -> None:
    with pytest.raises(ValueError):
        layout.decompress(content)


def test_a_frame_without_size_or_with_an_enormous_one_is_refused() -> None:
    import zstandard

    with pytest.raises(ValueError, match="impossible size"):
        layout.decompress(zstandard.ZstdCompressor(write_content_size=False).compress(b"a"))
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(200 * 1024 * 1024))
    with pytest.raises(ValueError, match="impossible size"):
        layout.decompress(bomb)
    assert SEGMENT_BYTES < 200 * 1024 * 1024


def test_an_intent_of_megabytes_arrives(here: Installation) -> None:
    with here.open() as recorder:
        recorder.record("statement.intent", intent(1, text="x" * 5_000_000, decision="deny"))
        recorder.close({})
    here.ship()
    assert len(shipped_bytes(here, recorder.session)) > 5_000_000
    assert here.verify(seen=True).holds()
