"""The published vectors, and whatever else: both verifiers come to the same verdicts."""

from __future__ import annotations

import base64
import json
import os
import random
import runpy
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import Installation, overwrite

from dbgate.audit import layout
from dbgate.audit.bucket import open_bucket
from dbgate.audit.keys import own_keys, parse_public_key
from dbgate.audit.note import open_checkpoint
from dbgate.audit.verification import verify_bucket

DOCS = Path(__file__).parents[3] / "docs"
SECOND = DOCS / "verify.py"
PUBLISHED = json.loads((DOCS / "vectors.json").read_text())
second = runpy.run_path(str(SECOND))


def first_says(bucket: Path, keys: list[bytes], seen: list[bytes]) -> dict[str, bool]:
    trusted = [parse_public_key(pem) for pem in keys]
    known = [open_checkpoint(note, trusted) for note in seen]
    found = verify_bucket(open_bucket(bucket.as_uri()), keys=trusted, seen=known, pinned=trusted)
    return {name: getattr(found, name).holds for name in ("intact", "complete", "anchored")}


def second_says(bucket: Path, keys: list[bytes], seen: list[bytes]) -> dict[str, bool]:
    trusted = dict(second["read_key"](pem) for pem in keys)
    known = [second["read_checkpoint"](note, trusted) for note in seen]
    faults = second["verify"](bucket, trusted, known, datetime.now(UTC))
    return {name: not found for name, found in faults.items()}


@pytest.mark.parametrize("vector", PUBLISHED["vectors"], ids=lambda vector: str(vector["name"]))
def test_both_verifiers_say_of_a_published_vector_what_it_expects(vector: dict[str, Any], tmp_path: Path) -> None:
    blobs = {name: base64.b64decode(content) for name, content in PUBLISHED["blobs"].items()}
    for path, blob in vector["files"].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(blobs[blob])
    keys = [pem.encode() for pem in vector["keys"]]
    seen = [blobs[name] for name in vector["seen"]]
    assert second_says(tmp_path, keys, seen) == vector["expect"]
    assert first_says(tmp_path, keys, seen) == vector["expect"]


def test_the_second_verifier_is_short_and_shares_no_code() -> None:
    text = SECOND.read_text()
    assert len(text.splitlines()) < 200
    assert "import dbgate" not in text
    assert "from dbgate" not in text


def test_the_second_verifier_is_a_command(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    session = here.session()
    here.ship()
    (key,) = here.bucket_dir.glob("keys/*.pub")
    checkpoint = next(here.bucket_dir.rglob("checkpoint"))
    command = [sys.executable, str(SECOND), str(here.bucket_dir), str(key), str(checkpoint)]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.split()) == (0, ["intact", "yes", "complete", "yes", "anchored", "yes"])
    (segment,) = here.folder(session).glob("00000*")
    overwrite(segment, segment.read_bytes()[:-1])
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert f"intact    NO   {session}: " in bad.stdout


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "00001.jsonl.zst")


def a_pipe_among_the_keys(folder: Path) -> None:
    os.mkfifo(folder.parents[3] / "keys" / ("0" * 32 + ".pub"))


def a_device(folder: Path) -> None:
    (folder / "00001.jsonl.zst").symlink_to("/dev/zero")


def a_link_to_nowhere(folder: Path) -> None:
    (folder / "torn-00000.bin.zst").symlink_to("/nonexistent")


def a_name_for_a_terminal(folder: Path) -> None:
    (folder / "\x1b[2J\u202e\n.zst").write_bytes(b"")


def a_name_that_is_no_text(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.zst")).write_bytes(b"")


def a_digit_of_another_script(folder: Path) -> None:
    (folder / "0000\u0661.jsonl.zst").write_bytes(layout.compress(b"\n"))


def a_frame_that_claims_too_much(folder: Path) -> None:
    overwrite(folder / "00000.jsonl.zst", layout.compress(b"\n" * (145 << 20)))


ODD = [
    a_pipe,
    a_pipe_among_the_keys,
    a_device,
    a_link_to_nowhere,
    a_name_for_a_terminal,
    a_name_that_is_no_text,
    a_digit_of_another_script,
    a_frame_that_claims_too_much,
]


@pytest.mark.parametrize("put", ODD)
def test_what_a_directory_may_hold_and_a_bucket_may_not(put: Callable[[Path], None], tmp_path: Path) -> None:
    """Neither verifier waits for it, reads without end, calls the bucket intact, or lets a name reach the terminal."""
    here = Installation(tmp_path)
    session = here.session()
    here.ship()
    keys = [key.pem() for key in own_keys(here.state_dir)]
    put(here.folder(session))
    assert first_says(here.bucket_dir, keys, [])["intact"] is False
    assert second_says(here.bucket_dir, keys, [])["intact"] is False
    (key,) = (here.state_dir / "keys").glob("*.pub")
    command = [sys.executable, str(SECOND), str(here.bucket_dir), str(key)]
    ran = subprocess.run(command, capture_output=True, check=False)
    assert ran.returncode == 1
    assert len(ran.stdout.decode("ascii").replace("\n", "").splitlines()) == 1
    assert b"\x1b" not in ran.stdout


def test_a_link_back_is_no_way_round(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    folder = here.folder((here.session(), here.ship())[0])
    (folder / "up").symlink_to("..")
    assert str(here.verify().intact).endswith(f"{folder.name}/up: does not belong among the sessions")


def test_a_session_behind_a_link_counts(tmp_path: Path) -> None:
    """Of a copy whose older days stand on another disk, say."""
    here = Installation(tmp_path)
    here.session()
    here.ship()
    (day,) = here.bucket_dir.glob("sessions/*")
    day.rename(tmp_path / "elsewhere")
    day.symlink_to(tmp_path / "elsewhere")
    report = here.verify(seen=True)
    assert report.holds()
    assert len(report.sessions) == 1


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A log of more than one full tile."""
    here = Installation(tmp_path_factory.mktemp("long"))
    for number in range(90):
        here.session(number % 2)
        if number in (20, 88):
            here.ship()
    here.ship()
    return here


def pems(here: Installation) -> list[bytes]:
    return [key.pem() for key in own_keys(here.state_dir)]


def test_both_verifiers_agree_on_a_log_of_several_tiles(long_log: Installation) -> None:
    assert any(path.name == "000" and path.parent.name == "0" for path in long_log.bucket_dir.rglob("*"))
    assert any(path.parent.parent.name == "1" for path in long_log.bucket_dir.rglob("000.p/1"))
    good = {"intact": True, "complete": True, "anchored": True}
    assert first_says(long_log.bucket_dir, pems(long_log), []) == good
    assert second_says(long_log.bucket_dir, pems(long_log), []) == good


def test_both_verifiers_find_the_same_changes_of_any_object(tmp_path: Path) -> None:
    """Whatever byte of whatever object is changed: neither lets it pass, and they agree what it breaks."""
    here = Installation(tmp_path)
    here.session(1)
    here.ship()
    here.session(1)
    here.ship()
    chosen = random.Random(7)  # Which bytes: the same on every run.
    for file in sorted(path for path in here.bucket_dir.rglob("*") if path.is_file()):
        content = file.read_bytes()
        for at in chosen.sample(range(len(content)), min(12, len(content))):
            overwrite(file, content[:at] + bytes([content[at] ^ 1 << chosen.randrange(8)]) + content[at + 1 :])
            said = second_says(here.bucket_dir, pems(here), [])
            assert said == first_says(here.bucket_dir, pems(here), []), (file, at)
            assert not all(said.values()), (file, at)
        file.write_bytes(content)
