"""`dbgate audit prove` and `witness`, and what `verify` makes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.audit.samples import Installation, overwrite

from dbgate.audit.keys import own_keys
from dbgate.cli.app import run


class Desk:
    """Two people: one has the bucket and its log's key, the other one is the witness."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = Installation(root / "here")
        self.root = root
        self._capsys, self._patch = capsys, monkeypatch
        for name in ("here", "witness", "nobody"):
            (root / name).mkdir()
            (root / name / "config.yaml").write_text(f"audit:\n  bucket: {self.here.url}\n  key_store: file\n")

    def dbgate(self, *arguments: object, who: str = "here") -> tuple[int, str, str]:
        self._patch.setenv("DBGATE_CONFIG", str(self.root / who / "config.yaml"))
        self._patch.setenv("DBGATE_STATE_DIR", str(self.root / who / "state"))
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = self._capsys.readouterr()
        return code, out, err

    @property
    def key(self) -> Path:
        """The public key of the log."""
        return self.here.state_dir / "keys" / f"{own_keys(self.here.state_dir)[0].id}.pub"

    @property
    def witness_key(self) -> Path:
        state = self.root / "witness" / "state"
        return state / "keys" / f"{own_keys(state)[0].id}.pub"

    def witness(self, *more: object) -> tuple[int, str, str]:
        return self.dbgate("audit", "witness", "--key", self.key, *more, who="witness")

    def verify(self, *more: object) -> tuple[int, str, str]:
        return self.dbgate("audit", "verify", self.here.bucket_dir, "--key", self.key, *more, who="nobody")


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, capsys, monkeypatch)


def shipped(desk: Desk, count: int = 1) -> list[str]:
    made = [desk.here.session() for _ in range(count)]
    desk.here.ship()
    return made


def test_a_session_is_proven_without_the_bucket(desk: Desk, tmp_path: Path) -> None:
    _, session, _ = shipped(desk, 3)
    folder = tmp_path / "evidence"
    code, _, err = desk.dbgate("audit", "prove", session, "-o", folder)
    assert code == 0, err
    shutil.rmtree(desk.here.bucket_dir)
    code, out, err = desk.dbgate("audit", "verify", folder, "--key", desk.key, who="nobody")
    assert (code, err) == (0, "")
    assert f"anchored  yes  {session}: proven to be 3 of the 9 leaves of log dbgate/" in out
    assert (
        "proven to be 3 of the 9 leaves"
        in desk.dbgate("audit", "verify", folder, "--key", desk.key, "--format", "json", who="nobody")[1]
    )
    assert sorted(path.name.split("-")[0] for path in folder.glob("*proof")) == ["leaf", "leaf", "leaf"]


def test_changed_evidence_is_found(desk: Desk, tmp_path: Path) -> None:
    first, second = shipped(desk, 2)
    folder, other = tmp_path / "evidence", tmp_path / "other"
    desk.dbgate("audit", "prove", first, "-o", folder)
    desk.dbgate("audit", "prove", second, "-o", other)
    proofs = sorted(folder.glob("*.tlog-proof"))

    def refused() -> bool:
        code, out, _ = desk.dbgate("audit", "verify", folder, "--key", desk.key, who="nobody")
        assert ("anchored  NO" in out) == (code == 1)
        return code == 1

    assert not refused()
    for file in [*proofs, *folder.glob("*.zst")]:
        content = file.read_bytes()
        for at in range(0, len(content), 7):
            file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            assert refused(), (file, at)
        file.unlink()
        assert refused(), file
        file.write_bytes(content)
    shutil.copy(sorted(other.glob("leaf-*"))[0], folder)
    assert not refused()  # A true leaf of another session takes nothing away.
    for file in folder.glob("leaf-*"):
        file.unlink()
    for file in other.glob("leaf-*"):
        shutil.copy(file, folder)
    assert refused()  # The other session's leaves say nothing of this one.


def test_evidence_is_refused_with_another_key(desk: Desk, tmp_path: Path) -> None:
    (session,) = shipped(desk)
    folder = tmp_path / "evidence"
    desk.dbgate("audit", "prove", session, "-o", folder)
    desk.witness()
    code, out, _ = desk.dbgate("audit", "verify", folder, "--key", desk.witness_key, who="nobody")
    assert code == 1
    assert "intact    NO" in out
    assert "anchored  NO" in out


def test_prove_says_what_it_cannot(desk: Desk, tmp_path: Path) -> None:
    (session,) = shipped(desk)
    assert desk.dbgate("audit", "prove", session, "-o", desk.root)[0] == 2
    code, _, err = desk.dbgate("audit", "prove", session, "-o", tmp_path / "x", "--key", own_key(desk, "witness"))
    assert code == 2
    assert "no trusted key has signed the checkpoint" in err
    checkpoint = next(desk.here.bucket_dir.rglob("checkpoint"))
    checkpoint.unlink()
    code, _, err = desk.dbgate("audit", "prove", session, "-o", tmp_path / "x")
    assert code == 2
    assert "the bucket has no log" in err


def own_key(desk: Desk, who: str) -> Path:
    desk.dbgate("audit", "witness", "--key", desk.key, who=who)
    return desk.witness_key


def test_a_witness_cosigns_what_grows(desk: Desk) -> None:
    shipped(desk)
    code, out, err = desk.witness()
    assert code == 0, err
    assert "cosigned, 3 leaves, seen first now" in out
    shipped(desk)
    assert "cosigned, 3 leaves before, 6 now" in desk.witness()[1]
    code, _, err = desk.verify("--witness", desk.witness_key)
    assert code == 0
    assert "saw 6 leaves at" in err
    assert desk.verify()[0] == 0


def test_a_log_that_nobody_cosigned_is_not_anchored(desk: Desk) -> None:
    shipped(desk)
    desk.dbgate("audit", "witness", "--key", desk.key, "-o", desk.root / "elsewhere", who="witness")
    code, out, _ = desk.verify("--witness", desk.witness_key)
    assert code == 1
    assert "has cosigned nothing" in out
    shutil.copytree(desk.root / "elsewhere", desk.here.bucket_dir, dirs_exist_ok=True)
    assert desk.verify("--witness", desk.witness_key)[0] == 0


def test_a_forged_cosignature_is_found(desk: Desk) -> None:
    shipped(desk)
    desk.witness()
    (file,) = desk.here.bucket_dir.glob("log/*/*/cosigned/*/*")
    content = file.read_bytes()
    for at in range(len(content)):
        overwrite(file, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert desk.verify("--witness", desk.witness_key)[0] == 1, at
    overwrite(file, content)
    assert desk.verify("--witness", desk.witness_key)[0] == 0


def rolled_back(desk: Desk, before: Path) -> None:
    shutil.rmtree(desk.here.bucket_dir / "log")
    shutil.copytree(before, desk.here.bucket_dir / "log")


def test_a_witness_refuses_a_log_that_was_rolled_back_or_forked(desk: Desk, tmp_path: Path) -> None:
    shipped(desk)
    shutil.copytree(desk.here.bucket_dir / "log", tmp_path / "log-before")
    shutil.copytree(desk.here.state_dir, tmp_path / "state-before")
    shipped(desk)
    desk.witness()
    cosigned = next(desk.here.bucket_dir.glob("log/*/*/cosigned"))
    shutil.copytree(cosigned, tmp_path / "cosigned")

    rolled_back(desk, tmp_path / "log-before")
    code, _, err = desk.witness()
    assert code == 1
    assert "was rolled back: it had 6 leaves and has 3" in err
    assert not list(desk.here.bucket_dir.glob("log/*/*/cosigned/*/*"))

    shutil.rmtree(desk.here.state_dir)
    shutil.copytree(tmp_path / "state-before", desk.here.state_dir)
    shipped(desk)  # Another history from the same beginning, with the same key.
    code, _, err = desk.witness()
    assert code == 1
    assert "was forked: its first 6 leaves are others than before" in err
    shutil.copytree(tmp_path / "cosigned", cosigned)
    code, out, _ = desk.verify("--witness", desk.witness_key)
    assert code == 1
    assert "was forked" in out


def test_silence_is_provable(desk: Desk) -> None:
    shipped(desk)
    assert desk.verify("--max-silence", "1h")[0] == 0
    code, out, _ = desk.verify("--max-silence", "0")
    assert code == 1
    assert "nothing was logged from 20" in out
    (log,) = desk.here.bucket_dir.glob("log/*/*")
    size = (log / "checkpoint").read_text().split("\n")[1]
    code, _, err = desk.dbgate("audit", "ship", "--heartbeat")
    assert code == 0, err
    assert (size, (log / "checkpoint").read_text().split("\n")[1]) == ("3", "4")
    (entries,) = log.glob("tile/entries/000.p/4")
    assert b'"kind":"heartbeat"' in entries.read_bytes()
    shipped(desk)
    assert desk.verify("--max-silence", "1h")[0] == 0
    second = [
        sys.executable,
        str(Path(__file__).parents[2] / "docs" / "verify.py"),
        str(desk.here.bucket_dir),
        str(desk.key),
    ]
    assert subprocess.run(second, check=False).returncode == 0


def test_an_installation_without_sessions_can_prove_its_silence(desk: Desk) -> None:
    code, _, err = desk.dbgate("audit", "ship", "--heartbeat")
    assert code == 0, err
    code, out, _ = desk.verify("--max-silence", "1m")
    assert code == 0
    assert "1 leaves under a checkpoint signed" in out


def test_a_witness_does_not_forget(desk: Desk) -> None:
    shipped(desk)
    desk.witness()
    (memory,) = (desk.root / "witness" / "state" / "witness").iterdir()
    memory.write_bytes(memory.read_bytes()[:-10])
    code, _, err = desk.witness()
    assert code == 6
    assert "must not be removed" in err
