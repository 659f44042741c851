"""`dbgate sessions list` by every filter, from spool and bucket, in every format; `sessions show` with all that is known."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.audit.samples import START, Installation, intent, outcome, overwrite
from tests.cli.test_cli_audit import Desk, desk_at

from dbgate.audit.bucket import Bucket, open_bucket
from dbgate.audit.layout import compress, decompress
from dbgate.audit.sessions import Archive
from dbgate.audit.summary import Filter


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    return desk_at(tmp_path, capsys, monkeypatch)


def written(here: Installation, *records: tuple[str, dict[str, Any]], **start: Any) -> str:
    with here.open(**start) as recorder:
        for kind, fields in records:
            recorder.record(kind, fields)
        recorder.close({"reason": "quit"})
    return recorder.session


def fill(here: Installation) -> dict[str, str]:
    """Sessions by what happened in them."""
    identity: Any = START["identity"]
    pay: Any = {"relations": ["payroll.pay"], "access": "write", "verb": "update", "writes": ["payroll.pay"]}
    staff: Any = {"relations": ["payroll.employees"], "tags": ["pii.ssn"]}
    return {
        "reading": written(here, ("statement.intent", intent(1, **staff)), ("statement.outcome", outcome(1))),
        "approved": written(
            here,
            ("approval.redeemed", {"id": 1, "request": "r-7", "grant": "g", "approved_by": ["dba@example.com"], "measured": {"payroll.pay": 4}}),
            ("statement.intent", intent(1, "UPDATE payroll.pay SET a = 1", "approve", grant="g", **pay)),
            ("statement.outcome", outcome(1, "UPDATE 4", rows=4)),
            ("statement.intent", intent(2, "SELECT 1", "deny")),
        ),
        "unknown": written(
            here,
            ("statement.intent", intent(1, "UPDATE payroll.pay SET a = 1", **pay)),
            identity={**identity, "actor": "agent", "email": "bot@example.com", "on_behalf_of": "mia@example.com"},
        ),
        "denied": written(
            here,
            ("statement.intent", intent(1, "DROP TABLE payroll.pay", "deny", verb="drop", relations=["payroll.pay"])),
            target="other/target",
        ),
        "labelled": written(
            here,
            ("statement.intent", intent(1, labelled=[{"column": "a.b.c", "tag": "finance.pay", "hidden": True}, 7])),
            ("statement.outcome", outcome(1, "error", sqlstate="22012")),
        ),
    }  # fmt: skip


CASES = [
    (["--outcome", "denied"], {"approved", "denied"}),
    (["--outcome", "approved"], {"approved"}),
    (["--outcome", "unknown"], {"unknown"}),
    (["--outcome", "failed"], {"unknown", "labelled"}),
    (["--outcome", "ok"], {"reading"}),
    (["--verb", "UPDATE"], {"approved", "unknown"}),
    (["--verb", "drop"], {"denied"}),
    (["--table", "payroll.*"], {"reading", "approved", "unknown", "denied"}),
    (["--table", "payroll.pay"], {"approved", "unknown", "denied"}),
    (["--table", "payroll"], set()),
    (["--tag", "pii.*"], {"reading"}),
    (["--tag", "finance.pay"], {"labelled"}),
    (["--actor", "agent"], {"unknown"}),
    (["--actor", "human", "--table", "payroll.pay"], {"approved", "denied"}),
    (["--target", "other/*"], {"denied"}),
    (["--target", "payroll", "--since", "1h", "--person", "BOT"], {"unknown"}),
    # Of one and the same statement: the denied one touched no table.
    (["--outcome", "denied", "--table", "payroll.pay"], {"denied"}),
    (["--outcome", "approved", "--verb", "update", "--table", "*.pay"], {"approved"}),
    (["--outcome", "approved", "--verb", "select"], set()),
    (["--outcome", "unknown", "--verb", "update"], {"unknown"}),
]


@pytest.mark.parametrize("where", ["spool", "bucket", "copy"])
def test_every_filter(desk: Desk, where: str, tmp_path: Path) -> None:
    names = {session: name for name, session in fill(desk.here).items()}
    more: list[str] = []
    if where != "spool":
        desk.here.ship()
    if where == "copy":
        shutil.move(desk.here.bucket_dir, tmp_path / "copy")
        more = ["--bucket", str(tmp_path / "copy")]
    for options, expected in CASES:
        ran = desk.dbgate("sessions", "list", "--format", "json", *options, *more)
        assert {names[item["session"]] for item in json.loads(ran.out)} == expected, options
    newest = desk.dbgate("sessions", "list", "--format", "json", "--limit", "2", *more)
    assert [names[item["session"]] for item in json.loads(newest.out)] == ["labelled", "denied"]


def test_a_session_that_does_not_hold_together_is_named(desk: Desk) -> None:
    """Without any check of hashes: a record less, another's records, a place where it does not belong."""
    names = fill(desk.here)
    desk.here.ship()
    assert desk.dbgate("sessions", "list", "--outcome", "damaged", "--format", "csv").out.count("\n") == 1
    less, mixed, moved = (desk.here.folder(names[name]) for name in ("approved", "reading", "denied"))
    records = decompress((less / "00000.jsonl.zst").read_bytes()).splitlines(keepends=True)
    overwrite(less / "00000.jsonl.zst", compress(b"".join(records[:2] + records[3:])))
    (mixed / "00001.jsonl.zst").write_bytes((desk.here.folder(names["unknown"]) / "00000.jsonl.zst").read_bytes())
    shutil.copytree(moved, moved.parents[2] / "date=2020-01-01" / "target=other" / moved.name)
    found = desk.dbgate("sessions", "list", "--outcome", "damaged", "--format", "ndjson")
    rows = [json.loads(line) for line in found.out.splitlines()]
    assert {row["session"] for row in rows} == {names["approved"], names["reading"], names["denied"]}
    (row,) = (row for row in rows if row["session"] == names["reading"])
    assert (row["statements"], row["verbs"]) == (1, "select")
    assert "1  damaged, 1 denied" in desk.dbgate("sessions", "list").out


def test_formats_for_programs(desk: Desk) -> None:
    sessions = fill(desk.here)
    rows = list(csv.DictReader(io.StringIO(desk.dbgate("sessions", "list", "--format", "csv").out)))
    assert [row["session"] for row in rows] == sorted(sessions.values(), reverse=True)
    approved = next(row for row in rows if row["session"] == sessions["approved"])
    assert {name: approved[name] for name in ("person", "actor", "outcomes", "statements", "approved", "rows", "verbs", "tables")} == {
        "person": "mia@example.com", "actor": "human", "outcomes": "denied,approved", "statements": "2", "approved": "1",
        "rows": "4", "verbs": "select,update", "tables": "payroll.pay",
    }  # fmt: skip
    lines = desk.dbgate("sessions", "list", "--format", "ndjson", "--actor", "agent").out.splitlines()
    assert [json.loads(line)["on_behalf_of"] for line in lines] == ["mia@example.com"]
    assert desk.dbgate("sessions", "list", "--format", "markdown").out.startswith("| session")
    nobody = desk.dbgate("sessions", "list", "--format", "csv", "--person", "nobody")
    assert nobody.out.splitlines() == [desk.dbgate("sessions", "list", "--format", "csv").out.splitlines()[0]]


def test_a_list_is_harmless(desk: Desk) -> None:
    evil = "=1+1\x1b[2J\u202e"
    written(desk.here, identity={"email": evil}, reason=evil, environment=evil)
    assert "'=1+1" in desk.dbgate("sessions", "list", "--format", "csv").out
    for form in ("table", "json", "ndjson", "markdown"):
        assert "\x1b" not in desk.dbgate("sessions", "list", "--format", form).out


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--actor", "humna"], "did you mean human?"),
        (["--format", "xml"], "see dbgate sessions list --help"),
        (["--bucket", "ftp://x"], "a bucket is file://"),
    ],
)
def test_wrong_options_name_the_right_ones(desk: Desk, options: list[str], hint: str) -> None:
    ran = desk.dbgate("sessions", "list", *options)
    assert (ran.code, ran.out) == (2, "")
    assert hint in ran.err


def test_show_says_everything(desk: Desk) -> None:
    session = fill(desk.here)["approved"]
    shown = desk.dbgate("sessions", "show", session)
    lines = shown.out.splitlines()
    assert "person    mia@example.com (human, oidc)" in lines
    assert "reason    INC-4711" in lines
    assert "outcome   1 denied, 1 approved" in lines
    (intact,) = [line for line in lines if line.startswith("intact ")]
    assert intact.startswith("intact    6 records in one chain, sealed with key ")
    assert [line.split() for line in lines[-5:-3]] == [
        ["1", "UPDATE", "payroll.pay", "SET", "a", "=", "1", "approve", "UPDATE", "4", "4", "0.5"],
        ["2", "SELECT", "1", "deny", "not", "run"],
    ]
    assert lines[-2].split() == ["#", "APPROVAL", "REQUEST", "BY", "AT", "(UTC)", "ABOUT"]
    row = lines[-1].split()
    assert row[:4] == ["1", "redeemed", "r-7", "dba@example.com"]
    assert row[-2:] == ["payroll.pay:", "4"]
    document = json.loads(desk.dbgate("sessions", "show", session, "--format", "json").out)
    assert document["integrity"]["holds"] is True
    assert [item["approved_by"] for item in document["approvals"]] == [["dba@example.com"]]
    assert [item["intent"]["decision"] for item in document["statements"]] == ["approve", "deny"]


def test_show_says_when_the_record_was_changed(desk: Desk, tmp_path: Path) -> None:
    session = fill(desk.here)["reading"]
    desk.here.ship()
    stranger = Installation(tmp_path / "stranger")
    stranger.session()
    (other,) = (stranger.state_dir / "keys").glob("*.pub")
    assert desk.dbgate("sessions", "show", session).code == 0
    assert desk.dbgate("sessions", "show", session, "--key", str(other)).code == 1
    (file,) = desk.here.folder(session).iterdir()
    overwrite(file, compress(decompress(file.read_bytes()).replace(b"select 1", b"select 2")))
    shown = desk.dbgate("sessions", "show", session)
    assert "intact    NO: not intact: 00000.jsonl line 3: record 2 does not carry" in shown.out
    assert shown.code == 1
    assert desk.dbgate("sessions", "show", session, "--format", "json").code == 1
    assert desk.dbgate("sessions", "show", session, "--key", "/nowhere").code == 2


class Counting(Bucket):
    """Counts what is read of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket.url, bucket._store)
        self.got: list[str] = []

    def get(self, path: str) -> bytes | None:
        self.got.append(path)
        return super().get(path)


def test_no_more_is_read_than_has_to_be(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbgate.audit.recorder.SEGMENT_BYTES", 100)
    sessions = fill(desk.here)
    desk.here.ship()
    assert len(list(desk.here.folder(sessions["approved"]).iterdir())) > 3

    def read(**wanted: Any) -> list[str]:
        bucket = Counting(open_bucket(desk.here.url))
        list(Archive(None, bucket).wanted_in_bucket(Filter(**wanted)))
        return bucket.got

    folder = desk.here.folder(sessions["denied"])
    assert {path.rsplit("/", 1)[0] for path in read(target="other/*")} == {
        str(folder.relative_to(desk.here.bucket_dir))
    }
    assert len(read(person="nobody")) == len(sessions)
    assert all(path.endswith("/00000.jsonl.zst") for path in read(actor="service"))
    assert len(read()) > 3 * len(sessions)
