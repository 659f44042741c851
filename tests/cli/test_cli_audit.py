"""`dbgate sessions`, `replay` and `audit` as people run them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest
from tests.audit.samples import Installation, intent, outcome, overwrite

from dbgate.audit import layout, spool
from dbgate.audit.checked import DAMAGED
from dbgate.audit.keys import own_keys
from dbgate.audit.replay import terminal as screens
from dbgate.audit.replay.player import Player
from dbgate.audit.replay.recording import Recording
from dbgate.audit.sessions import Place
from dbgate.cli import audit_progress, replay
from dbgate.cli.app import run


@dataclass(frozen=True)
class Ran:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Desk:
    """An installation and a way to run dbgate on it."""

    def __init__(self, here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
        self.here = here
        self._capsys = capsys

    def dbgate(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        code = run(arguments)
        out, err = self._capsys.readouterr()
        return Ran(code, out, err)


def environment(here: Installation) -> dict[str, str]:
    config = here.root / "config.yaml"
    config.write_text(f"audit:\n  bucket: {here.url}\n  key_store: file\n")
    return {
        "DBGATE_CONFIG": str(config),
        "DBGATE_STATE_DIR": str(here.state_dir),
        "DBGATE_BUCKET": here.url,
        "HOME": str(here.root),
    }


def desk_at(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose installation stands below `root`."""
    here = Installation(root)
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    return Desk(here, capsys)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return desk_at(tmp_path, capsys, monkeypatch)


def eventful(here: Installation) -> str:
    """A session with a masked result, a denial and an evil cell."""
    with here.open() as recorder:
        recorder.record("statement.intent", intent(1, "SELECT ssn\nFROM t", "rewrite", rules=["staff (p.yaml:3)"]))
        recorder.record("output", {"id": 1, "text": " ssn\n ***6789 \x1b[2Jgone\n"}, durable=False)
        recorder.record("statement.outcome", outcome(1, masked=["s.t.ssn"]))
        recorder.record("statement.intent", intent(2, "DROP TABLE t", "deny", verb="drop", rules=["no-destruction"]))
        recorder.close({"reason": "quit", "statements": 2})
    return recorder.session


def test_a_log_that_was_rolled_back_is_no_log_to_do_without(desk: Desk) -> None:
    eventful(desk.here)
    desk.here.ship()
    shutil.copytree(desk.here.bucket_dir, desk.here.root / "before")
    eventful(desk.here)
    desk.here.ship()
    shutil.rmtree(desk.here.bucket_dir)
    shutil.copytree(desk.here.root / "before", desk.here.bucket_dir)
    for more in ([], ["--allow-unanchored"]):
        ran = desk.dbgate("audit", "verify", *more)
        assert ran.code == 1
        assert "error: not anchored: " in ran.err
        assert "the log was rolled back" in ran.err
        assert "hint: keep the bucket and the spool as they are" in ran.err
        assert "accepts" not in ran.err


def test_nothing_recorded_yet(desk: Desk) -> None:
    assert desk.dbgate("sessions") == Ran(0, "", "notice: no sessions\n")
    ran = desk.dbgate("audit", "ship")
    assert (ran.code, ran.err) == (0, "notice: 0 sessions shipped (0 objects, 0 bytes)\n")
    ran = desk.dbgate("audit", "verify")
    assert ran.code == 2
    assert ran.err.startswith("error: there is no key to verify with")
    assert "--key KEYID.pub" in ran.err


def test_list_show_ship_and_verify(desk: Desk) -> None:
    session = eventful(desk.here)
    listed = desk.dbgate("sessions", "list")
    heading, row = listed.out.splitlines()
    assert heading.split() == ["SESSION", "STARTED", "(UTC)", "PERSON", "TARGET", "STMTS", "OUTCOME"]
    assert row.startswith(session)
    assert row.split()[3:] == ["mia@example.com", "payroll", "2", "1", "denied"]
    assert listed.err == "notice: 1 of them not shipped yet\n"

    shipped = desk.dbgate("audit", "ship")
    assert shipped.code == 0
    assert shipped.err.startswith("notice: 1 session shipped (1 object, ")
    assert desk.dbgate("sessions").out == listed.out
    assert desk.dbgate("sessions").err == ""

    shown = desk.dbgate("sessions", "show", session[-6:])
    assert f"session   {session}\n" in shown.out
    assert "person    mia@example.com (human, oidc)\n" in shown.out
    rows = shown.out.splitlines()[-2:]
    assert rows[0].split() == ["1", "SELECT", "ssn", "FROM", "t", "rewrite", "staff", "ssn", "SELECT", "1", "1", "0.5"]
    assert rows[1].split() == ["2", "DROP", "TABLE", "t", "deny", "no-destruction", "not", "run"]

    verified = desk.dbgate("audit", "verify")
    assert verified.code == 0
    assert verified.err == ""
    words = {line.split()[0]: line.split()[1] for line in verified.out.splitlines()[-3:]}
    assert words == {"intact": "yes", "complete": "yes", "anchored": "yes"}
    assert own_keys(desk.here.state_dir)[0].id in verified.out


def test_one_changed_byte_is_refused(desk: Desk) -> None:
    session = eventful(desk.here)
    desk.here.session()
    desk.here.ship()
    file = desk.here.folder(session) / "00000.jsonl.zst"
    plain = layout.decompress(file.read_bytes())
    overwrite(file, layout.compress(plain.replace(b"DROP TABLE", b"DROP tABLE")))
    ran = desk.dbgate("audit", "verify")
    assert ran.code == 1
    assert f"error: {session} is not intact: 00000.jsonl line 6: record 5 does not carry the hash" in ran.err
    assert "error: not anchored: " in ran.err
    assert "\nintact    NO   " in ran.out
    document = json.loads(desk.dbgate("audit", "verify", "--format", "json").out)
    assert document["intact"]["holds"] is False
    assert document["intact"]["place"] == f"{session} 00000.jsonl line 6"
    assert desk.dbgate("audit", "verify", "--allow-unanchored").code == 1
    replayed = desk.dbgate("replay", session)
    assert replayed.code == 1
    assert "notice: this transcript was altered: 00000.jsonl line 6" in replayed.err
    assert replayed.out.splitlines()[-1].startswith("checked: not intact: 00000.jsonl")


@pytest.mark.parametrize(
    "options", [["--from", "2"], *(["--export", form] for form in ("cast", "html", "json", "sql"))]
)
def test_what_does_not_hold_together_is_shown_to_its_end_and_ends_with_1(desk: Desk, options: list[str]) -> None:
    session = eventful(desk.here)
    file = desk.here.state_dir / "spool" / session / "00000.jsonl"
    whole = file.read_bytes()
    good = desk.dbgate("replay", session, *options)
    assert (good.code, good.err) == (0, "")
    file.write_bytes(whole.replace(b"DROP TABLE", b"DROP tABLE"))
    altered = desk.dbgate("replay", session, *options)
    assert altered.code == 1
    assert altered.err.startswith("notice: this transcript was altered: 00000.jsonl line 6")
    assert "DROP tABLE" in altered.out
    assert "not intact: 00000.jsonl line 6" in altered.out
    file.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    cut = desk.dbgate("replay", session, *options)
    assert cut.code == 1
    assert cut.err.startswith("notice: this transcript is not whole: not complete: ")
    assert "the session has no sealed end" in cut.out


def test_a_copy_is_verified_with_a_pinned_key(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = eventful(desk.here)
    desk.here.ship()
    copy = tmp_path / "copy"
    shutil.copytree(desk.here.bucket_dir, copy)
    (key,) = (desk.here.state_dir / "keys").glob("*.pub")
    pinned = tmp_path / "pinned.pub"
    pinned.write_bytes(key.read_bytes())
    stranger = Installation(tmp_path / "stranger")
    stranger.session()
    (other,) = (stranger.state_dir / "keys").glob("*.pub")
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "auditor"))
    assert desk.dbgate("audit", "verify", str(copy)).code == 2
    assert desk.dbgate("audit", "verify", str(copy), "--key", str(pinned)).code == 0
    assert desk.dbgate("audit", "verify", copy.as_uri(), "--key", str(pinned), "--session", session[:12]).code == 0
    wrong = desk.dbgate("audit", "verify", str(copy), "--key", str(other))
    assert wrong.code == 1
    assert "not among the trusted keys" in wrong.err
    (folder,) = copy.glob("sessions/*/*/*")
    alone = desk.dbgate("audit", "verify", str(folder), "--key", str(pinned))
    assert (alone.code, "--allow-unanchored" in alone.err) == (1, True)
    assert desk.dbgate("audit", "verify", str(folder), "--key", str(pinned), "--allow-unanchored").code == 0
    file = next(folder.iterdir())
    assert desk.dbgate("audit", "verify", str(file), "--key", str(pinned), "--allow-unanchored").code == 0
    for missing in (str(tmp_path / "nowhere"), "file:///nowhere/at/all"):
        assert desk.dbgate("audit", "verify", missing, "--key", str(pinned)).code in (2, 7)


def test_a_rolled_back_copy_is_held_to_a_known_checkpoint(desk: Desk, tmp_path: Path) -> None:
    desk.here.session()
    desk.here.ship()
    shutil.copytree(desk.here.bucket_dir, tmp_path / "old")
    desk.here.session()
    desk.here.ship()
    (checkpoint,) = desk.here.bucket_dir.glob("log/*/*/checkpoint")
    assert desk.dbgate("audit", "verify", str(tmp_path / "old")).code == 0
    ran = desk.dbgate("audit", "verify", str(tmp_path / "old"), "--checkpoint", str(checkpoint))
    assert ran.code == 1
    assert "rolled back: it had 6 leaves and has 3" in ran.err
    checkpoint.chmod(0o600)
    checkpoint.write_text("rubbish")
    assert desk.dbgate("audit", "verify", "--checkpoint", str(checkpoint)).code == 2


def test_a_spooled_session_is_verified_where_it_stands(desk: Desk) -> None:
    session = eventful(desk.here)
    ran = desk.dbgate("audit", "verify", "--session", session)
    assert ran.code == 1
    assert "no log stands beside" in ran.err
    assert desk.dbgate("audit", "verify", "--session", session, "--allow-unanchored").code == 0
    waiting = desk.dbgate("audit", "verify")
    assert "notice: 1 session in the spool, not shipped yet: dbgate audit ship" in waiting.err


def test_evidence_is_replayed_from_its_folder(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = eventful(desk.here)
    desk.here.ship()
    (key,) = (desk.here.state_dir / "keys").glob("*.pub")
    assert desk.dbgate("audit", "prove", session, "-o", str(tmp_path / "evidence")).code == 0
    monkeypatch.setenv("DBGATE_STATE_DIR", str(tmp_path / "court"))
    ran = desk.dbgate("replay", str(tmp_path / "evidence"), "--key", str(key))
    assert (ran.code, ran.err) == (0, "")
    assert "***6789" in ran.out
    assert ran.out.splitlines()[-1] == f"checked: 6 records in one chain, sealed with key {key.stem}"
    exported = json.loads(desk.dbgate("replay", str(tmp_path / "evidence"), "--export", "json").out)
    assert exported["summary"]["session"] == session
    (file,) = (tmp_path / "evidence").glob("*.zst")
    overwrite(file, file.read_bytes()[:-1])
    cut = desk.dbgate("replay", str(tmp_path / "evidence"), "--key", str(key))
    assert (cut.code, "there is no transcript in" in cut.err) == (2, True)
    for folder in (tmp_path / "evidence" / "..", tmp_path / "stranger"):
        folder.mkdir(exist_ok=True)
        assert desk.dbgate("replay", str(folder)).code == 2


def test_verifying_goes_on_where_it_was(desk: Desk, tmp_path: Path) -> None:
    session = eventful(desk.here)
    desk.here.ship()
    options = ["audit", "verify", "--resume", str(tmp_path / "verified"), "--jobs", "2"]
    assert desk.dbgate(*options).err == ""
    again = desk.dbgate(*options)
    assert (again.code, again.err) == (0, "notice: 1 session verified before, and the objects are the same\n")
    file = desk.here.folder(session) / "00000.jsonl.zst"
    overwrite(file, layout.compress(layout.decompress(file.read_bytes()).replace(b"DROP TABLE", b"DROP tABLE")))
    changed = desk.dbgate(*options)
    assert changed.code == 1
    assert f"error: {session} is not intact: 00000.jsonl line 6" in changed.err
    other = desk.dbgate(*options[:3], str(desk.here.root / "config.yaml"))
    assert (other.code, "holds something else" in other.err or "by others" in other.err) == (2, True)
    assert "key_store" in (desk.here.root / "config.yaml").read_text()


def test_a_long_recording_is_read_aloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    records: list[dict[str, Any]] = [{"kind": "heartbeat", "time": ""}, {"kind": "heartbeat", "time": ""}]
    with Recording(records, whole=False) as recording:
        replay.read_aloud(recording)
        assert (recording.records, recording.is_whole) == (2, True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(replay, "READING_S", 0.0)
    with Recording(records, whole=False) as recording:
        replay.read_aloud(recording)
    assert capsys.readouterr().err.endswith("\rreading and checking: 2 records\x1b[K\r\x1b[K")


def test_the_screen_comes_before_the_rest_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And who leaves early learns all the same whether the transcript holds together, once the screen is theirs again."""
    said: list[str] = []

    class Screen:
        def __init__(self, player: Player) -> None:
            self._recording = player.recording

        def run(self) -> None:
            self._recording.read(1)
            said.append(capsys.readouterr().err)
            shown.append(self._recording.records)

    shown: list[int] = []
    monkeypatch.setattr(screens, "Screen", Screen)
    monkeypatch.setattr(replay, "FIRST_RECORDS", 2)
    damage: dict[str, Any] = {"kind": DAMAGED, "time": "", "text": "line 3"}
    told = replay.Told([{"kind": "heartbeat", "time": ""}] * 2 + [damage] * 7, Place("s"), is_pinned=False)
    told.hold()
    replay.watch(told, 1.0, None, "", step=False)
    assert (shown, said, told.exit_code) == ([3], [""], 1)
    assert capsys.readouterr().err == ""
    told.tell()
    assert capsys.readouterr().err.startswith("notice: this transcript was altered: line 3\nhint: ")


def test_progress_is_drawn_and_taken_away(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(audit_progress, "DRAW_S", 0.0)
    monkeypatch.setattr(audit_progress, "SAY_S", 0.0)
    lines = audit_progress.Progress()
    lines.tell(1, 3000, 2_500_000)
    lines.clear()
    said = capsys.readouterr().err
    assert said.startswith("notice: verified 1 of 3,000 sessions, 2.5 MB, ")
    assert "\r" not in said
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    drawn = audit_progress.Progress()
    drawn.tell(2, 3000, 5_000_000)
    drawn.clear()
    said = capsys.readouterr().err
    assert said.startswith("\rverified 2 of 3,000 sessions, 5.0 MB, ")
    assert said.endswith("\r\x1b[K")


@pytest.mark.parametrize("command", [["replay"], ["sessions", "show"], ["audit", "verify", "--session"]])
def test_an_unknown_session_is_a_usage_error(desk: Desk, command: list[str]) -> None:
    session = eventful(desk.here)
    ran = desk.dbgate(*command, "zzz")
    assert ran.code == 2
    assert ran.err == "error: no such session: zzz\nhint: list them with: dbgate sessions list\n"
    near = desk.dbgate(*command, session[:-2] + "!!")
    assert near.code == 2
    assert f"hint: did you mean {session}?" in near.err
    desk.here.session()
    several = desk.dbgate(*command, session[:3])
    assert several.code == 2
    assert f"error: 2 sessions begin or end with {session[:3]}\n" in several.err
    assert f"hint: {session}\n" in several.err


def test_a_bucket_that_is_away(desk: Desk) -> None:
    session = eventful(desk.here)
    desk.here.bucket_dir.write_text("in the way")
    ran = desk.dbgate("audit", "ship")
    assert ran.code == 7
    assert ran.err.startswith("error: the audit bucket file://")
    assert "nothing is lost" in ran.err.partition("hint: ")[2]
    assert desk.dbgate("audit", "ship", "--quiet") == Ran(7, "", "")
    assert spool.spooled(desk.here.state_dir) == [session]
    desk.here.bucket_dir.unlink()
    assert desk.dbgate("audit", "ship", "--quiet") == Ran(0, "", "")
    shutil.rmtree(desk.here.bucket_dir)
    listed = desk.dbgate("sessions")
    assert listed.code == 0
    assert listed.err.startswith("notice: the audit bucket")
    assert desk.dbgate("audit", "verify").code == 7


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], 3),
        (["--person", "MIA"], 2),
        (["--person", "nobody"], 0),
        (["--target", "pay*"], 2),
        (["--outcome", "denied"], 1),
        (["--outcome", "crashed"], 1),
        (["--outcome", "ok"], 1),
        (["--verb", "DROP"], 1),
        (["--since", "1h"], 3),
        (["--since", "2099-01-01"], 0),
        (["--until", "2020-01-01"], 0),
        (["--until", "2099-01-01T10:00"], 3),
        (["--limit", "2"], 2),
    ],
)
@pytest.mark.parametrize("shipped", [False, True])
def test_filters(desk: Desk, options: list[str], found: int, shipped: bool) -> None:
    eventful(desk.here)
    desk.here.session(close=False)
    desk.here.session(start={"target": "demo", "identity": {"email": "bob@example.com"}})
    if shipped:
        desk.here.ship()
    ran = desk.dbgate("sessions", "list", "--format", "json", *options)
    assert ran.code == 0
    assert len(json.loads(ran.out)) == found


@pytest.mark.parametrize("options", [["--since", "yesterday"], ["--outcome", "nice"], ["--limit", "0"], ["--person"]])
def test_wrong_options(desk: Desk, options: list[str]) -> None:
    assert desk.dbgate("sessions", "list", *options).code == 2


def test_a_spool_that_cannot_be_read(desk: Desk) -> None:
    desk.here.state_dir.mkdir()
    (desk.here.state_dir / "spool").write_text("in the way")
    ran = desk.dbgate("sessions")
    assert ran.code == 6
    assert "cannot be read: Not a directory" in ran.err


def test_an_open_session_is_listed_as_open(desk: Desk) -> None:
    with desk.here.open() as recorder:
        assert desk.dbgate("sessions").out.rstrip().endswith("open")
        assert "still open" in desk.dbgate("sessions", "show", recorder.session).out
        assert desk.dbgate("replay", recorder.session).err == ""


def test_a_replay_into_a_pipe_does_not_wait(desk: Desk) -> None:
    session = eventful(desk.here)
    ran = desk.dbgate("replay", session)
    assert ran.code == 0
    assert "payroll=> SELECT ssn\nFROM t\n[allowed, rewritten by staff (p.yaml:3)]\n" in ran.out
    assert "***6789 \\x1b[2Jgone" in ran.out
    assert "[denied by no-destruction]" in ran.out
    assert ran.out.splitlines()[-1].startswith("checked: 6 records in one chain, sealed with key ")
    assert "\x1b" not in ran.out


def test_a_replay_into_a_pipe_from_a_statement_on(desk: Desk) -> None:
    ran = desk.dbgate("replay", eventful(desk.here), "--from", "2")
    assert ran.code == 0
    assert "person    mia@example.com" in ran.out
    assert "DROP TABLE" in ran.out
    assert "SELECT ssn" not in ran.out


def test_a_replay_from_another_bucket_with_a_pinned_key(desk: Desk, tmp_path: Path) -> None:
    session = eventful(desk.here)
    desk.here.ship()
    copy = tmp_path / "copy"
    shutil.copytree(desk.here.bucket_dir, copy)
    (key,) = (desk.here.state_dir / "keys").glob("*.pub")
    stranger = Installation(tmp_path / "stranger")
    stranger.session()
    (other,) = (stranger.state_dir / "keys").glob("*.pub")
    ran = desk.dbgate("replay", session, "--bucket", str(copy), "--key", str(key))
    assert ran.out.splitlines()[-1].endswith(f"sealed with key {key.stem}")
    assert (ran.code, ran.err) == (0, "")
    ran = desk.dbgate("replay", session, "--bucket", str(copy), "--key", str(other))
    assert ran.out.splitlines()[-1].endswith("which is not among the keys trusted here")
    assert (ran.code, "notice: this transcript is not proven: " in ran.err) == (1, True)
    assert desk.dbgate("replay", session, "--key", "/nowhere.pub").code == 2


@pytest.mark.parametrize("form", ["cast", "html", "json", "sql"])
def test_exports_to_stdout_and_to_a_private_file(desk: Desk, tmp_path: Path, form: str) -> None:
    session = eventful(desk.here)
    out = desk.dbgate("replay", session, "--export", form).out
    file = tmp_path / f"x.{form}"
    ran = desk.dbgate("replay", session, "--export", form, "-o", str(file))
    assert (ran.code, ran.out, ran.err) == (0, "", f"notice: written to {file}\n")
    assert file.read_text() == out
    assert file.stat().st_mode & 0o777 == 0o600
    assert "DROP TABLE t" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "x"],
        ["--export", "gif"],
        ["--export", "sql", "--step"],
        ["--export", "sql", "--from", "1"],
        ["--step"],
        ["--speed", "0"],
        ["--exact", "--idle-limit", "1"],
        ["--from", "noon"],
    ],
)
def test_wrong_options_of_replay(desk: Desk, options: list[str]) -> None:
    session = eventful(desk.here)
    ran = desk.dbgate("replay", session, *options)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert "hint: " in ran.err or "does not go with" in ran.err or "needs a terminal" in ran.err


def test_an_export_that_cannot_be_written(desk: Desk) -> None:
    session = eventful(desk.here)
    ran = desk.dbgate("replay", session, "--export", "sql", "-o", "/nonexistent/x.sql")
    assert ran.code == 2
    assert "error: cannot write /nonexistent/x.sql: No such file or directory" in ran.err


FORKS = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
"""Python 3.12 and later warn of a fork beside the threads of the test runner."""


def terminal(here: Installation, *arguments: str) -> Any:
    variables = {**os.environ, **environment(here), "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        variables.pop(name, None)
    return pexpect.spawn(
        sys.executable,
        ["-P", "-m", "dbgate", *arguments],
        env=variables,
        encoding="utf-8",
        timeout=30,
        dimensions=(40, 80),
    )


@FORKS
def test_a_list_fits_a_narrow_terminal(tmp_path: Path) -> None:
    here = Installation(tmp_path)
    here.session(start={"target": "a-target-with-a-very-long-name-indeed", "identity": {"email": "x" * 60}})
    child = terminal(here, "sessions")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    plain = child.before.replace("\x1b[1m", "").replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert "…" in plain
    assert max(len(line) for line in plain.splitlines()) <= 80
