"""Every single change of a shipped transcript is detected: by anybody, by somebody who chains anew, by the key's holder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import Installation, intent, outcome, overwrite

from dbgate.audit.bucket import open_bucket
from dbgate.audit.keys import load_key, own_keys
from dbgate.audit.layout import compress, decompress
from dbgate.audit.record import END, ENVELOPE, FIRST_PREV, digest, encode
from dbgate.audit.seal import sealed_end
from dbgate.audit.verification import verify_bucket

Lines = list[bytes]
PLAIN = "a change that knows nothing"
CHAINED = "with every hash made anew"
SEALED = "with every hash and the seal made anew, by who holds the key"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A session with a record of every kind that a person's session has, beside two others."""
    installation = Installation(tmp_path_factory.mktemp("mutations"))
    installation.session(1)
    with installation.open() as recorder:
        recorder.record("approval.requested", {"id": 1, "request": "r", "measured": {"a.b": 4}})
        recorder.record("approval.redeemed", {"id": 1, "request": "r", "approved_by": ["dba@example.com"]})
        recorder.record("statement.intent", intent(1, "update a.b set c = 1", "approve", grant="g"))
        recorder.record("statement.outcome", outcome(1, "UPDATE 4"))
        recorder.record("statement.intent", intent(2, "select ssn from a.b", "rewrite"))
        recorder.record("output", {"id": 2, "text": " ***6789\n"})
        recorder.record("statement.outcome", outcome(2))
        recorder.record("statement.intent", intent(3, "drop table a.b", "deny"))
        recorder.record("notice", {"level": "denied", "text": "no"})
        recorder.record("heartbeat", {"silent_s": 300.0})
        recorder.close({"reason": "quit", "statements": 3})
    installation.session(1)
    installation.ship()
    assert installation.verify(seen=True).holds()
    (installation.root / "session").write_text(recorder.session)
    return installation


@pytest.fixture
def file(here: Installation) -> Iterator[Path]:
    """The session's object, put back afterwards."""
    (found,) = here.folder((here.root / "session").read_text()).iterdir()
    content = found.read_bytes()
    yield found
    overwrite(found, content)
    assert here.verify(seen=True).holds()


def chained(here: Installation, lines: Lines, *, sealed: bool) -> Lines:
    """The lines with `seq` and `prev` as they should be, and with a new seal if the forger holds the key."""
    found: Lines = []
    prev = FIRST_PREV
    for seq, line in enumerate(lines):
        record: dict[str, Any] = json.loads(line)
        fields = {name: value for name, value in record.items() if name not in ENVELOPE}
        session = str(record["session"])
        if record["kind"] == END and sealed:
            made = sealed_end(session, seq, prev, fields, load_key(here.state_dir, "file"))
        else:
            made = encode(session, seq, prev, record["kind"], fields)
        found.append(made)
        prev = digest(made)
    return found


def without(lines: Lines, at: int) -> Lines:
    return lines[:at] + lines[at + 1 :]


def doubled(lines: Lines, at: int) -> Lines:
    return lines[: at + 1] + lines[at:]


def swapped(lines: Lines, at: int) -> Lines:
    return lines[:at] + lines[at : at + 2][::-1] + lines[at + 2 :]


def cut(lines: Lines, at: int) -> Lines:
    return lines[:at]


def replaced(lines: Lines, at: int) -> Lines:
    record = json.loads(lines[at])
    record["text"] = "select 'nothing to see'"
    return [*lines[:at], json.dumps(record, separators=(",", ":")).encode(), *lines[at + 1 :]]


@pytest.mark.parametrize("forger", [PLAIN, CHAINED, SEALED])
@pytest.mark.parametrize("change", [without, doubled, swapped, cut, replaced])
def test_every_record_counts(
    here: Installation, file: Path, change: Callable[[Lines, int], Lines], forger: str
) -> None:
    lines = decompress(file.read_bytes()).splitlines()
    assert len(lines) == 12
    for at in range(len(lines)):
        forged = change(lines, at)
        if forged == lines:
            continue
        if forger != PLAIN:
            forged = chained(here, forged, sealed=forger == SEALED)
        overwrite(file, compress(b"".join(line + b"\n" for line in forged)))
        report = here.verify(seen=True)
        assert not report.holds(), (change, at)
        assert not report.intact.holds or not report.complete.holds, (change, at)


def test_every_byte_of_every_object_counts(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    here.session(1)
    here.ship()
    files = sorted(path for path in here.bucket_dir.rglob("*") if path.is_file())
    assert {path.relative_to(here.bucket_dir).parts[0] for path in files} == {"sessions", "log", "keys"}
    for path in files:
        content = path.read_bytes()
        try:
            for at in range(len(content)):
                overwrite(path, content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
                assert not here.verify(seen=True).holds(), (path, at)
        finally:
            overwrite(path, content)
    assert here.verify(seen=True).holds()


def test_every_missing_object_counts(here: Installation) -> None:
    for path in sorted(path for path in here.bucket_dir.rglob("*") if path.is_file()):
        if path.parent.name == "keys":
            continue  # the verifier brings its own
        content = path.read_bytes()
        path.unlink()
        assert not here.verify(seen=True).holds(), path
        path.write_bytes(content)
    assert here.verify(seen=True).holds()


def test_every_missing_session_and_every_log_of_earlier_counts(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    earlier = []
    for number in range(4):
        here.session(1)
        here.ship()
        shutil.copytree(here.bucket_dir / "log", tmp_path / f"log-{number}")
        earlier.append(tmp_path / f"log-{number}")
    for folder in sorted(here.bucket_dir.glob("sessions/*/*/*")):
        shutil.move(folder, tmp_path / "taken")
        report = here.verify(seen=True)
        assert not report.complete.holds, folder
        shutil.move(tmp_path / "taken", folder)
    for log in earlier:
        shutil.rmtree(here.bucket_dir / "log")
        shutil.copytree(log, here.bucket_dir / "log")
        assert here.verify(seen=True).anchored.holds == (log == earlier[-1]), log


def test_a_forked_history_counts(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    here.session(1)
    here.ship()
    shutil.copytree(here.state_dir, tmp_path / "state-before")
    shutil.copytree(here.bucket_dir, tmp_path / "bucket-before")
    here.session(1)
    here.ship()
    told = here.seen()
    for name in ("state", "bucket"):
        shutil.rmtree(tmp_path / name)
        shutil.move(tmp_path / f"{name}-before", tmp_path / name)
    here.session(2)
    here.session(3)
    here.ship()
    assert here.verify().holds()
    report = verify_bucket(open_bucket(here.url), keys=own_keys(here.state_dir), seen=told)
    assert not report.anchored.holds
