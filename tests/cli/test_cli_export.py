"""`dbgate audit export` as people and cron jobs run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.audit.ocsf_rules import faults
from tests.audit.receiver import Receiver
from tests.audit.samples import Installation, intent, outcome, overwrite
from tests.cli.test_cli_audit import Desk, eventful
from tests.cli.test_cli_audit import desk as desk

from dbgate.audit import layout


@pytest.fixture
def session(desk: Desk) -> str:
    made = eventful(desk.here)
    desk.here.ship()
    return made


def exported(desk: Desk, *arguments: str) -> list[dict[str, Any]]:
    """What an export prints on stdout. (It writes bytes.)"""
    path = desk.here.root / "exported"
    ran = desk.dbgate("audit", "export", "-o", str(path), *arguments)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_ocsf_is_the_default_and_valid(desk: Desk, session: str) -> None:
    told = exported(desk)
    assert [event for event in told if faults(event)] == []
    assert [(event["activity_name"], event["disposition"]) for event in told] == [
        ("Connect", "Allowed"),
        ("Query", "Masked"),
        ("drop", "Blocked"),
    ]
    assert [event["metadata"]["uid"] for event in told] == [f"{session}.{n}" for n in (0, 1, 4)]
    assert exported(desk) == told
    assert (desk.here.root / "exported").stat().st_mode & 0o777 == 0o600


def test_json_and_cef_tell_all(desk: Desk, session: str) -> None:
    told = exported(desk, "--format", "json")
    assert [event["kind"] for event in told] == ["session.start", "statement", "statement", "session.end"]
    ran = desk.dbgate("audit", "export", "--format", "cef")
    assert (ran.code, ran.err) == (0, "notice: 4 events of 1 sessions\n")
    assert [line.split("|")[4] for line in ran.out.splitlines()] == [event["kind"] for event in told]


def test_period_target_and_person(desk: Desk, session: str) -> None:
    assert exported(desk, "--to", "2001-01-01") == []
    assert exported(desk, "--from", "2001-01-01", "--to", "2001-01-02") == []
    assert exported(desk, "--until", "2001-01-01") == []
    assert len(exported(desk, "--from", "1d")) == 3
    assert exported(desk, "--target", "x*") == []
    assert exported(desk, "--person", "nobody") == []
    assert len(exported(desk, "--person", "mia", "--target", "pay*")) == 3


def test_a_cursor_for_cron(desk: Desk, session: str, tmp_path: Path) -> None:
    cursor, path = str(tmp_path / "cursor"), tmp_path / "events"
    arguments = ("audit", "export", "--format", "json", "--cursor", cursor, "-o", str(path))
    assert desk.dbgate(*arguments).err == "notice: 4 events of 1 sessions\n"
    assert desk.dbgate(*arguments).err == "notice: 0 events of 0 sessions\n"
    desk.here.session()
    desk.here.ship()
    assert desk.dbgate(*arguments).err == "notice: 3 events of 1 sessions\n"
    uids = [json.loads(line)["uid"] for line in path.read_text().splitlines()]
    assert len(uids) == len(set(uids)) == 7
    ran = desk.dbgate("audit", "export", "--format", "cef", "--since-checkpoint", cursor, "-o", str(path))
    assert (ran.code, "its format is json, not cef" in ran.err) == (2, True)
    ran = desk.dbgate(*arguments, "--to", "2030-01-01")
    assert ran.code == 2


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_syslog(desk: Desk, session: str, kind: str, tmp_path: Path) -> None:
    with Receiver(kind) as receiver:
        ran = desk.dbgate(
            "audit", "export", "--format", "cef", "--syslog", receiver.address, "--cursor", str(tmp_path / "c")
        )
        assert ran.code == 0, ran.err
        assert ("over UDP nobody knows" in ran.err) == (kind == "udp")
        for _ in range(50):
            if len(receiver.messages) == 4:
                break
            receiver._left.wait(0.1)
        assert [message.split(b" ")[5] for message in receiver.messages] == [
            b"session.start",
            b"statement",
            b"statement",
            b"session.end",
        ]


def test_a_receiver_that_is_away_loses_nothing(desk: Desk, session: str, tmp_path: Path) -> None:
    with Receiver("tcp") as gone:
        address = gone.address
    arguments = ("audit", "export", "--cursor", str(tmp_path / "c"), "--syslog")
    ran = desk.dbgate(*arguments, address)
    assert ran.code == 7
    assert "cannot be reached" in ran.err
    ran = desk.dbgate(*arguments, address.replace("tcp", "udp"))
    assert (ran.code, "its receiver is tcp://" in ran.err) == (2, True), "another receiver is another export"


def test_a_long_statement_is_cut_to_the_receivers_limit(desk: Desk) -> None:
    with desk.here.open() as recorder:
        recorder.record("statement.intent", intent(1, "select '" + "=|\n😀" * 9000 + "'"))
        recorder.record("statement.outcome", outcome(1))
        recorder.close({"reason": "ended"})
    desk.here.ship()
    for form in ("ocsf", "cef", "json"):
        with Receiver("tcp") as receiver:
            ran = desk.dbgate(
                "audit", "export", "--format", form, "--syslog", receiver.address, "--syslog-limit", "2048"
            )
            assert ran.code == 0, ran.err
            assert max(map(len, receiver.messages)) <= 2048
            assert "notice: 1 events were shortened to the receiver's limit" in ran.err
            assert b"select '" in receiver.messages[1]


def test_damage_is_told_and_stops_nothing_else(desk: Desk, session: str) -> None:
    other = desk.here.session()
    desk.here.ship()
    file = desk.here.folder(session) / "00000.jsonl.zst"
    overwrite(file, layout.compress(layout.decompress(file.read_bytes()).replace(b"FROM t", b"FROM x")))
    path = desk.here.root / "events"
    ran = desk.dbgate("audit", "export", "--format", "json", "-o", str(path))
    assert ran.code == 7
    assert "error: not read to its end: sessions/date=" in ran.err
    assert session in ran.err
    assert "hint: find out what happened: dbgate audit verify" in ran.err
    assert sum(other in line for line in path.read_text().splitlines()) == 3
    ran = desk.dbgate("audit", "export", "--format", "json", "-o", str(path), "--skip-damaged")
    assert (ran.code, "notice: not read to its end" in ran.err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--syslog", "h:1", "-o", "x"), "exclude each other"),
        (("--cursor", "c", "--to", "1d"), "exclude each other"),
        (("--cursor", "c", "-o", "./c"), "the same file"),
        (("--syslog-ca", "x"), "there is no --syslog"),
        (("--syslog", "h:1", "--syslog-cert", "x"), "go together"),
        (("--syslog", "ftp://h"), "not a syslog receiver"),
        (("--format", "xml"), "xml"),
        (("--from", "yesterday"), "yesterday"),
    ],
)
def test_wrong_usage(desk: Desk, session: str, arguments: tuple[str, ...], said: str) -> None:
    ran = desk.dbgate("audit", "export", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_options_from_the_environment(
    desk: Desk, session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBGATE_AUDIT_EXPORT_FORMAT", "cef")
    monkeypatch.setenv("DBGATE_AUDIT_EXPORT_CURSOR", str(tmp_path / "cursor"))
    monkeypatch.setenv("DBGATE_AUDIT_EXPORT_OUTPUT", str(tmp_path / "events"))
    monkeypatch.setenv("DBGATE_AUDIT_FROM", "1d")
    assert desk.dbgate("audit", "export").code == 0
    assert (tmp_path / "events").read_text().startswith("CEF:0|")
    assert (tmp_path / "cursor").exists()


def test_nothing_shipped_yet_and_a_copied_bucket(desk: Desk, tmp_path: Path) -> None:
    assert desk.dbgate("audit", "export").code == 2
    other = Installation(tmp_path / "other")
    other.session()
    other.ship()
    ran = desk.dbgate("audit", "export", "--format", "cef", "--bucket", str(other.bucket_dir))
    assert (ran.code, len(ran.out.splitlines())) == (0, 3)
