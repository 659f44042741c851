"""Sign-ins are kept whole, privately, and not at all where that is impossible."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import keyring.backend
import keyring.backends.fail
import keyring.backends.null
import keyring.errors
import pytest
from keyring.backends.chainer import ChainerBackend
from tests.oidc.memory_keyring import MemoryKeyring

from dbgate.errors import SignInRequired, UsageError
from dbgate.identity.file_store import FileStore, check_folder, check_private
from dbgate.identity.keyring_store import FILE_HINT, KeyringStore, pack, unusable, usable_backend
from dbgate.identity.token_store import open_store
from dbgate.settings import IdentitySettings, Settings

SECRET = b'{"token": "' + os.urandom(6000).hex().encode() + b'"}'


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "identity"
    store = FileStore(folder)
    before = os.umask(0)
    try:
        store.write("k", b"one")
        store.write("k", SECRET)
    finally:
        os.umask(before)
    assert store.read("k") == SECRET
    assert (mode(folder), mode(folder / "k.json")) == (0o700, 0o600)
    assert [path.name for path in folder.iterdir()] == ["k.json"]
    assert store.delete("k") is True
    assert store.read("k") is None
    assert store.delete("k") is False
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o660])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, bits: int) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", SECRET)
    store.path("k").chmod(bits)
    with pytest.raises(SignInRequired, match="can be read by others") as error:
        store.read("k")
    assert f"chmod 600 {store.path('k')}" in error.value.hint


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", SECRET)
    store.folder.chmod(0o770)
    with pytest.raises(SignInRequired, match="can be written by others") as error:
        store.read("k")
    assert error.value.hint == f"run: chmod 700 {store.folder}"
    with pytest.raises(SignInRequired, match="can be written by others"):
        store.write("k", b"")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", b"")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(SECRET)
    elsewhere.chmod(0o600)
    store.path("k").unlink()
    store.path("k").symlink_to(elsewhere)
    with pytest.raises(SignInRequired, match="the token store cannot be used"):
        store.read("k")
    store.write("k", b"new")
    assert elsewhere.read_bytes() == SECRET
    assert store.read("k") == b"new"


def test_a_linked_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "identity").symlink_to(tmp_path / "real")
    with pytest.raises(SignInRequired, match="is not a folder"):
        FileStore(tmp_path / "identity").write("k", SECRET)


def test_a_folder_in_the_way_of_a_file_is_refused(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", b"")
    store.path("k").unlink()
    store.path("k").mkdir()
    with pytest.raises(SignInRequired):
        store.read("k")


def test_a_pipe_in_the_way_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "identity")
    store.folder.mkdir(mode=0o700)
    os.mkfifo(store.path("k"), 0o600)
    with pytest.raises(SignInRequired, match="is not a file"):
        store.read("k")


def test_a_full_or_read_only_place_is_an_error_and_keeps_the_old_value(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(SignInRequired, match="the token store cannot be used"):
        FileStore(tmp_path / "state" / "identity").write("k", SECRET)


@pytest.mark.parametrize("piece_chars", [100, 1200, 16_000])
def test_the_keyring_holds_values_larger_than_its_items(piece_chars: int) -> None:
    backend = MemoryKeyring(limit=max(piece_chars, 300))
    store = KeyringStore(backend, piece_chars=piece_chars)
    store.write("k", b"short")
    store.write("k", SECRET)
    assert store.read("k") == SECRET
    store.write("k", b"short again")
    assert store.read("k") == b"short again"
    assert len(backend.items) == 2
    assert store.delete("k") is True
    assert backend.items == {}
    assert store.delete("k") is False
    assert store.read("k") is None


def test_the_keyring_shows_no_half_values() -> None:
    backend = MemoryKeyring()
    store = KeyringStore(backend, piece_chars=1200)
    store.write("k", SECRET)
    for name in [name for name in backend.items if name[1] != "k"]:
        whole = dict(backend.items)
        del backend.items[name]
        with pytest.raises(SignInRequired, match="the stored sign-in is damaged"):
            store.read("k")
        backend.items = whole
    assert store.read("k") == SECRET


class MortalKeyring(MemoryKeyring):
    """A keyring whose caller dies at the change after `lives` more."""

    lives = 10**6

    def set_password(self, service: str, username: str, password: str) -> None:
        self._live()
        super().set_password(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        self._live()
        super().delete_password(service, username)

    def _live(self) -> None:
        self.lives -= 1
        if self.lives < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("before", [None, b"the one before" * 200])
def test_whatever_interrupts_a_write_leaves_a_whole_value_and_nothing_that_cannot_be_removed(
    before: bytes | None,
) -> None:
    for lives in range(60):
        backend = MortalKeyring()
        store = KeyringStore(backend, piece_chars=300)
        if before is not None:
            store.write("k", before)
        backend.lives = lives
        try:
            store.write("k", SECRET)
        except KeyboardInterrupt:
            backend.lives = 10**6
            assert store.read("k") in (before, SECRET), lives
            if lives % 2:
                store.write("k", b"the next one")
                assert store.read("k") == b"the next one"
                assert len(backend.items) == 2, lives
            assert store.delete("k") or not backend.items
            assert backend.items == {}, lives
        else:
            assert lives > 3
            return
    raise AssertionError("the write never ended")


@pytest.mark.parametrize("head", ["", "[]", "not json", '{"pieces": "many"}', '{"pieces": 1, "id": "x"}'])
def test_a_damaged_head_is_an_error_and_can_be_removed(head: str) -> None:
    backend = MemoryKeyring()
    backend.items["dbgate", "k"] = head
    store = KeyringStore(backend)
    with pytest.raises(SignInRequired, match="damaged"):
        store.read("k")
    assert store.delete("k") is True
    assert backend.items == {}


def test_a_locked_keyring_says_what_to_do() -> None:
    backend = MemoryKeyring()
    store = KeyringStore(backend)
    backend.locked = True
    for use in (lambda: store.read("k"), lambda: store.write("k", b""), lambda: store.delete("k")):
        with pytest.raises(SignInRequired, match="the keyring cannot be used: the collection is locked") as error:
            use()
        assert error.value.hint == FILE_HINT


class PlaintextKeyring(MemoryKeyring):
    """As in `keyrings.alt.file`."""


class EncryptedKeyring(MemoryKeyring):
    """As in `keyrings.alt.file`."""


EncryptedKeyring.__module__ = "keyrings.alt.file"


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        (keyring.backends.fail.Keyring, "no keyring"),
        (keyring.backends.null.Keyring, "no keyring"),
        (PlaintextKeyring, "keeps secrets in clear: PlaintextKeyring"),
        (EncryptedKeyring, "keeps secrets in clear: EncryptedKeyring"),
    ],
)
def test_without_a_real_keyring_nothing_is_kept(
    backend: type[keyring.backend.KeyringBackend], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "get_keyring", backend)
    with pytest.raises(SignInRequired, match=reason) as error:
        usable_backend()
    assert "identity.token_store: file" in error.value.hint


def test_of_a_chain_the_best_keyring_serves_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    best, clear = MemoryKeyring(), PlaintextKeyring()
    chain = ChainerBackend()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(keyring, "get_keyring", lambda: chain)
    monkeypatch.setattr(ChainerBackend, "backends", [best, clear])
    assert usable_backend() is best
    monkeypatch.setattr(ChainerBackend, "backends", [clear, best])
    with pytest.raises(SignInRequired, match="in clear"):
        usable_backend()
    monkeypatch.setattr(ChainerBackend, "backends", [])
    with pytest.raises(SignInRequired, match="no keyring"):
        usable_backend()


def test_the_configuration_chooses_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(store: str) -> Settings:
        return Settings(file=None, state_dir=tmp_path, identity=IdentitySettings(token_store=store))

    monkeypatch.setattr(keyring, "get_keyring", MemoryKeyring)
    assert isinstance(open_store(settings("keyring")), KeyringStore)
    assert isinstance(open_store(settings("file")), FileStore)
    with pytest.raises(UsageError, match=r"identity\.token_store is 'files'") as error:
        open_store(settings("files"))
    assert error.value.hint == "one of: keyring, file"


def test_another_users_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", SECRET)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SignInRequired, match=f"belongs to user {os.getuid()}"):
        store.read("k")


def test_the_owner_of_the_file_and_of_its_folder_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "k.json").touch(0o600)
    found = (tmp_path / "k.json").stat()
    check_private(tmp_path / "k.json", found)
    check_folder(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(SignInRequired, match="belongs to user"):
        check_private(tmp_path / "k.json", found)
    with pytest.raises(SignInRequired, match="belongs to user"):
        check_folder(tmp_path)


def test_a_value_is_durable_before_it_takes_its_place_and_so_is_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    sync, put = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        happened.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        happened.append("replace")
        return put(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    FileStore(tmp_path / "identity").write("k", SECRET)
    assert happened == ["file", "replace", "folder"]


def test_a_write_that_fails_leaves_the_old_value_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", SECRET)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SignInRequired, match="No space left on device"):
        store.write("k", b"another")
    assert store.read("k") == SECRET
    assert [path.name for path in store.folder.iterdir()] == ["k.json"]


def test_what_an_interrupted_write_left_goes_with_the_value(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "identity")
    store.write("k", SECRET)
    store.write("other", SECRET)
    for left in (".k-half", ".other-half"):
        (store.folder / left).write_bytes(SECRET)
    assert store.delete("k")
    assert sorted(path.name for path in store.folder.iterdir()) == [".other-half", "other.json"]
    (store.folder / "other.lock").touch()
    store.delete_all()
    assert list(store.folder.iterdir()) == []


class BusyKeyring(MemoryKeyring):
    """A keyring in which another process writes a new value before the first piece is read."""

    def __init__(self, value: bytes) -> None:
        super().__init__(limit=16_000)
        self.value = value

    def get_password(self, service: str, username: str) -> str | None:
        value, self.value = (self.value, b"") if "." in username else (b"", self.value)
        if value:
            KeyringStore(self).write("k", value)
        return super().get_password(service, username)


def test_who_reads_while_another_writes_gets_the_new_value() -> None:
    backend = BusyKeyring(b"")
    KeyringStore(backend).write("k", b"the old value")
    backend.value = b"the new value"
    assert KeyringStore(backend).read("k") == b"the new value"


def test_a_piece_that_was_exchanged_for_another_is_damage() -> None:
    backend = MemoryKeyring(limit=16_000)
    store = KeyringStore(backend)
    store.write("k", b"mine")
    [piece] = [name for name in backend.items if name[1] != "k"]
    backend.items[piece] = pack(b"somebody else's")
    with pytest.raises(SignInRequired, match="the stored sign-in is damaged"):
        store.read("k")


def test_what_a_keyring_says_is_one_line_and_ends() -> None:
    said = unusable(RuntimeError("locked: " + "x" * 500 + "\nTraceback …")).message
    assert said == "the keyring cannot be used: locked: " + "x" * 192
    assert unusable(RuntimeError()).message == "the keyring cannot be used: RuntimeError"
