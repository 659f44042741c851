"""No change of a transcript, of its log or of its copy goes unseen, wherever it strikes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.audit.samples import Installation, overwrite

from dbgate.audit.keys import PublicKey, own_keys
from dbgate.audit.record import FIRST_PREV, encode, parse
from dbgate.audit.transcript import Segment, check_transcript

SESSION = "01jd0000000000000000000000"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Two shipped sessions, one of them recovered with torn bytes."""
    installation = Installation(tmp_path_factory.mktemp("property"))
    installation.session(2)
    installation.torn_session()
    installation.ship()
    assert installation.verify(seen=True).holds()
    return installation


@pytest.fixture(scope="module")
def sealed(here: Installation) -> tuple[str, bytes, dict[str, PublicKey]]:
    """A small sealed transcript, its session, and the trusted keys."""
    session = here.session(1)
    content = (here.state_dir / "spool" / session / "00000.jsonl").read_bytes()
    return session, content, {key.id: key for key in own_keys(here.state_dir)}


def proven(session: str, content: bytes, keys: dict[str, PublicKey]) -> bool:
    found = check_transcript(session, [Segment("00000.jsonl", content)], keys)
    return found.intact.holds and found.complete.holds


def test_every_byte_of_a_transcript_counts(sealed: tuple[str, bytes, dict[str, PublicKey]]) -> None:
    session, content, keys = sealed
    assert proven(session, content, keys)
    for at in range(len(content)):
        for changed in (
            content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
            content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :],
            content[:at] + content[at + 1 :],
            content[:at] + content[at : at + 1] + content[at:],
            content[:at],
        ):
            if changed != content:
                assert not proven(session, changed, keys), (at, changed)


@given(st.data())
def test_no_splice_of_a_transcript_verifies(
    sealed: tuple[str, bytes, dict[str, PublicKey]], data: st.DataObject
) -> None:
    session, content, keys = sealed
    lines = content.splitlines(keepends=True)
    picked = data.draw(st.lists(st.sampled_from(lines), max_size=6))
    changed = b"".join(picked)
    assert proven(session, changed, keys) == (changed == content)


@given(st.data())
def test_no_replacement_of_bytes_verifies(sealed: tuple[str, bytes, dict[str, PublicKey]], data: st.DataObject) -> None:
    session, content, keys = sealed
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 40)))
    changed = content[:start] + data.draw(st.binary(max_size=40)) + content[stop:]
    assert proven(session, changed, keys) == (changed == content)


def objects(here: Installation) -> list[Path]:
    return sorted(path for path in here.bucket_dir.rglob("*") if path.is_file())


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_no_change_of_any_object_of_the_bucket_verifies(
    here: Installation, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    file = data.draw(st.sampled_from(objects(here)))
    content = file.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "drop", "double", "cut", "remove"]))
    changed = {
        "flip": content[:at] + bytes([content[at] ^ (1 << data.draw(st.integers(0, 7)))]) + content[at + 1 :],
        "drop": content[:at] + content[at + 1 :],
        "double": content[:at] + content[at : at + 1] + content[at:],
        "cut": content[:at],
        "remove": None,
    }[kind]
    if changed is None and "keys/" in str(file):
        return  # The verifier brings its own keys.
    try:
        if changed is None:
            file.unlink()
        else:
            overwrite(file, changed)
        assert not here.verify(seen=True).holds(), (file, kind, at)
    finally:
        file.unlink(missing_ok=True)
        overwrite_new(file, content)
    assert file.read_bytes() == content


def overwrite_new(file: Path, content: bytes) -> None:
    file.write_bytes(content)


@given(st.permutations(range(3)))
def test_no_exchange_of_objects_verifies(
    here: Installation, tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    copy = tmp_path_factory.mktemp("exchanged")
    shutil.rmtree(copy)
    shutil.copytree(here.bucket_dir, copy)
    files = sorted(copy.glob("sessions/*/*/*/*"))
    contents = [file.read_bytes() for file in files]
    assert len(files) == 3
    for file, number in zip(files, order, strict=True):
        overwrite(file, contents[number])
    assert here.verify(directory=copy).holds() == (order == [0, 1, 2])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text().filter(lambda name: name not in ("v", "session", "seq", "prev", "time", "kind")), JSON)
)
def test_what_is_recorded_is_what_is_read(fields: dict[str, object]) -> None:
    line = encode(SESSION, 0, FIRST_PREV, "notice", fields)  # type: ignore[arg-type]
    assert b"\n" not in line
    record = parse(line)
    assert {name: record[name] for name in fields} == fields
