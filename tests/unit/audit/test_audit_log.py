"""The Merkle tree, tiles, notes and the installation's log, against published vectors."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from pathlib import Path

import pytest

from dbgate.audit.keys import ensure_key, load_key, own_keys
from dbgate.audit.log import InstallationLog, end_leaf, start_leaf
from dbgate.audit.merkle import bundles, index_path, leaf_hash, node_hash, root_hash, split_bundle, tiles
from dbgate.audit.note import Checkpoint, open_checkpoint, sign_checkpoint
from dbgate.errors import TranscriptAltered

# The reference inputs and root of the Certificate Transparency implementations.
CT_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_roots_are_those_of_rfc_6962() -> None:
    hashes = [leaf_hash(bytes.fromhex(text)) for text in CT_INPUTS]
    assert root_hash([]).hex() == hashlib.sha256().hexdigest()
    assert hashes[0].hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert root_hash(hashes).hex() == CT_ROOT


def mth(leaves: list[bytes]) -> bytes:
    """The recursive definition of RFC 6962, section 2.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(mth(leaves[:split]), mth(leaves[split:]))


def test_roots_follow_the_recursive_definition() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(70)]
    for size in range(1, 70):
        assert root_hash(leaves[:size]) == mth(leaves[:size])


def test_tiles_of_70000_leaves_are_those_of_the_specification() -> None:
    leaves = [number.to_bytes(32, "big") for number in range(70_000)]
    found = dict(tiles(leaves))
    level0 = [path for path in found if path.startswith("tile/0/")]
    assert len(level0) == 274
    assert len(found["tile/0/000"]) == 8192
    assert len(found["tile/0/273.p/112"]) == 112 * 32
    assert len(found["tile/1/000"]) == 8192
    assert len(found["tile/1/001.p/17"]) == 17 * 32
    assert len(found["tile/2/000.p/1"]) == 32
    assert len(found) == 274 + 2 + 1
    assert found["tile/2/000.p/1"] == root_hash([root_hash(leaves[i * 256 : i * 256 + 256]) for i in range(256)])


def test_a_tree_of_256_has_a_full_tile_and_one_above() -> None:
    assert list(dict(tiles([bytes(32)] * 256))) == ["tile/0/000", "tile/1/000.p/1"]


def test_known_full_tiles_are_not_given_again() -> None:
    leaves = [number.to_bytes(32, "big") for number in range(600)]
    assert list(dict(tiles(leaves, known=512))) == ["tile/0/002.p/88", "tile/1/000.p/2"]
    assert list(dict(bundles(leaves, known=300))) == ["tile/entries/001", "tile/entries/002.p/88"]


def test_paths_of_tiles() -> None:
    assert index_path(0) == "000"
    assert index_path(999) == "999"
    assert index_path(1234067) == "x001/x234/067"


def test_bundles_split_into_their_entries() -> None:
    entries = [b"", b"a", b"b" * 300]
    ((path, bundle),) = bundles(entries)
    assert path == "tile/entries/000.p/3"
    assert split_bundle(bundle) == entries
    for cut in range(1, len(bundle)):
        try:
            assert split_bundle(bundle[:cut]) == entries[: len(split_bundle(bundle[:cut]))]
        except ValueError:
            continue


def test_the_note_says_what_the_specification_says(tmp_path: Path) -> None:
    ensure_key(tmp_path, "file")
    key = load_key(tmp_path, "file")
    text, _, signature = sign_checkpoint(Checkpoint("dbgate/1", 5, bytes(32)), key).decode().partition("\n\n")
    assert text == f"dbgate/1\n5\n{base64.b64encode(bytes(32)).decode()}"
    dash, name, encoded = signature.rstrip("\n").split(" ")
    tagged = base64.b64decode(encoded)
    assert (dash, name) == ("\u2014", "dbgate/1")
    assert tagged[:4] == hashlib.sha256(b"dbgate/1\n\x01" + key.public.raw).digest()[:4]
    assert key.public.verifies(tagged[4:], f"{text}\n".encode())


def test_a_checkpoint_is_read_back_by_its_key_only(tmp_path: Path) -> None:
    ensure_key(tmp_path / "a", "file")
    ensure_key(tmp_path / "b", "file")
    key, other = load_key(tmp_path / "a", "file"), load_key(tmp_path / "b", "file")
    checkpoint = Checkpoint("dbgate/1", 5, bytes(range(32)))
    note = sign_checkpoint(checkpoint, key)
    assert open_checkpoint(note, [other.public, key.public]) == Checkpoint(
        "dbgate/1", 5, bytes(range(32)), key.public.id
    )
    with pytest.raises(ValueError, match="no trusted key"):
        open_checkpoint(note, [other.public])
    cosigned = note + sign_checkpoint(checkpoint, other).split(b"\n\n")[1]
    assert open_checkpoint(cosigned, [key.public]).size == 5


def test_every_changed_byte_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    ensure_key(tmp_path, "file")
    key = load_key(tmp_path, "file")
    note = sign_checkpoint(Checkpoint("dbgate/1", 5, bytes(range(32))), key)
    for at in range(len(note)):
        for changed in (note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :], note[:at] + note[at + 1 :]):
            with pytest.raises(ValueError):
                open_checkpoint(changed, [key.public])


@pytest.fixture
def log(tmp_path: Path) -> InstallationLog:
    ensure_key(tmp_path, "file")
    return InstallationLog(tmp_path)


def test_leaves_are_signed_as_they_stand(log: InstallationLog, tmp_path: Path) -> None:
    log.append(start_leaf("01jd0000000000000000000000", b"line"))
    note, entries = log.signed(load_key(tmp_path, "file"))
    checkpoint = open_checkpoint(note, own_keys(tmp_path))
    assert checkpoint.origin == log.origin
    assert checkpoint.root == root_hash([leaf_hash(entry) for entry in entries])
    assert json.loads(entries[0])["record"] == hashlib.sha256(b"line").hexdigest()
    assert log.signed(load_key(tmp_path, "file"))[0] == note


def test_a_leaf_is_added_once(log: InstallationLog) -> None:
    leaves = [start_leaf("01jd0000000000000000000000", b"a"), end_leaf("01jd0000000000000000000000", b"b", 2)]
    log.append(leaves[0])
    log.ensure(leaves)
    log.ensure(leaves)
    assert [json.loads(entry)["kind"] for entry in log.entries()] == ["session.start", "session.end"]


def test_two_processes_never_add_the_same_leaf_twice(log: InstallationLog, tmp_path: Path) -> None:
    leaves = [start_leaf(f"01jd00000000000000000000{number:02d}", b"a") for number in range(20)]
    threads = [threading.Thread(target=InstallationLog(tmp_path).ensure, args=([leaf],)) for leaf in leaves * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.entries()) == len({json.loads(entry)["session"] for entry in log.entries()}) == 20


def test_a_torn_leaf_is_cut_off(log: InstallationLog, tmp_path: Path) -> None:
    log.append(start_leaf("01jd0000000000000000000000", b"a"))
    file = log.directory / "leaves"
    file.write_bytes(file.read_bytes() + b'{"v":1,"ki')
    log.append(start_leaf("01jd0000000000000000000001", b"b"))
    assert [json.loads(entry)["session"][-1] for entry in log.entries()] == ["0", "1"]


def test_garbage_of_a_power_cut_is_never_signed(log: InstallationLog, tmp_path: Path) -> None:
    log.append(start_leaf("01jd0000000000000000000000", b"a"))
    file = log.directory / "leaves"
    file.write_bytes(file.read_bytes() + b"\x00" * 40 + b"\n")
    log.append(start_leaf("01jd0000000000000000000001", b"b"))
    _, entries = log.signed(load_key(tmp_path, "file"))
    assert len(entries) == 2


@pytest.mark.parametrize("change", [lambda c: c.replace(b"session.start", b"session.stars"), lambda c: b""])
def test_a_log_changed_after_it_was_signed_is_refused(log: InstallationLog, tmp_path: Path, change: object) -> None:
    log.append(start_leaf("01jd0000000000000000000000", b"a"))
    log.signed(load_key(tmp_path, "file"))
    file = log.directory / "leaves"
    file.write_bytes(change(file.read_bytes()))  # type: ignore[operator]
    log.append(start_leaf("01jd0000000000000000000001", b"b"))
    with pytest.raises(TranscriptAltered, match="not the ones signed before"):
        log.signed(load_key(tmp_path, "file"))


def test_origins_differ(tmp_path: Path) -> None:
    origins = {InstallationLog(tmp_path / name).origin for name in "abc"}
    assert len(origins) == 3
    assert all(origin.startswith("dbgate/") and len(origin) == 23 for origin in origins)
