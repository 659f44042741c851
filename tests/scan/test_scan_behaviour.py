"""What a scan may see, what it leaves behind, and what it says: through the command line on a real PostgreSQL."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import zstandard
from tests.conftest import LiveDatabase
from tests.scan.test_scan_live import configure, scanned
from tests.scan.values import Values

from dbgate.cli.app import run
from dbgate.errors import EXIT_DENIED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE

TABLES = """
CREATE SCHEMA crm;
CREATE TABLE crm.people (id int PRIMARY KEY, mail text UNIQUE, card text, secret_word text, doc jsonb, note text);
CREATE TABLE crm.logins (mail text REFERENCES crm.people (mail), at timestamp);
CREATE VIEW crm.reachable AS SELECT id, mail AS c1, lower(mail) AS c2 FROM crm.people;
CREATE VIEW crm.notes AS SELECT id, 'mailto:' || id || '@corp.example' AS made FROM crm.people;
CREATE TABLE crm.visits (day date, who text) PARTITION BY RANGE (day);
CREATE TABLE crm.visits_2024 PARTITION OF crm.visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE crm.closed (iban text);
"""
POLICY = """\
version: 1
classify: [{columns: ["crm.people.secret_word"], tag: secret.word}]
rules: [{id: read, when: {groups: [staff], access: read, tables: ["crm.people", "crm.[visits]"]}, effect: allow}]
"""


@pytest.fixture
def sentinels(database: LiveDatabase, dbgate_home: Path) -> set[str]:
    """A database of sentinels, and a target `db` whose policy opens all of it but `crm.closed`; returns the sentinels."""
    v = Values(7)
    people = [
        (n, f"sentinel{v.digits(9)}@corp.example", v.card(), f"word{v.digits(9)}", v.digits(9)) for n in range(40)
    ]
    script = TABLES
    for n, mail, card, word, key in people:
        doc = json.dumps({"sentinel" + key: {"contact": mail}, "card": card})
        script += f"INSERT INTO crm.people VALUES ({n}, '{mail}', '{card}', '{word}', '{doc}', 'Paid with {card} by {mail}, thank you');"
        script += (
            f"INSERT INTO crm.logins VALUES ('{mail}', now()); INSERT INTO crm.visits VALUES ('2024-03-01', '{mail}');"
        )
    script += f"INSERT INTO crm.closed VALUES ('{v.iban()}');"
    database.execute(script)
    policy = POLICY.replace('"crm.[visits]"', '"crm.logins", "crm.visits*", "crm.reachable", "crm.notes"')
    configure(dbgate_home, database, policy)
    return {cell for person in people for cell in map(str, person[1:])} | {"sentinel"}


def spoiled(text: str, sentinels: set[str]) -> list[str]:
    """The forms of sentinels that stand in a text: plain, reversed, hex, base64, hashed."""
    found = []
    for value in sentinels:
        data = value.encode()
        forms = [value, value[::-1], data.hex(), base64.b64encode(data).decode()[:-4], hashlib.sha256(data).hexdigest()]
        found += [form for form in forms if form.lower() in text.lower()]
    return found


def written_in(home: Path) -> list[str]:
    """The texts of all files, transcripts too, which are shipped away and packed meanwhile."""
    run(["audit", "ship"])
    texts = []
    for path in home.rglob("*"):
        try:
            data = path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            continue
        if path.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                data = reader.read()
        texts.append(data.decode("utf-8", "replace"))
    return texts


@pytest.mark.parametrize("form", ["table", "yaml", "json"])
def test_no_value_is_told_or_recorded(
    sentinels: set[str], dbgate_home: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert run(["policy", "scan", "db", "--format", form, "--min-confidence", "0.1"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert "crm.people.mail" in out
    assert spoiled(out + err, sentinels) == []
    written = written_in(dbgate_home)
    assert any("statement.intent" in text for text in written)
    assert [found for text in written for found in spoiled(text, sentinels)] == []


def test_a_broken_weighing_tells_only_what_kind_of_error(
    sentinels: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbgate.scan.weighing import weigh as whole

    def broken(subject: object, sample: object) -> object:
        if len(sample):  # type: ignore[arg-type]
            raise RuntimeError(f"could not read {sample.values[0]}")  # type: ignore[attr-defined]
        return whole(subject, sample)  # type: ignore[arg-type]

    monkeypatch.setattr("dbgate.doors.scanning.weigh", broken)
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    out, err = capsys.readouterr()
    assert "could not be weighed (RuntimeError)" in out + err
    assert spoiled(out + err, sentinels) == []


def test_every_statement_is_recorded_before_it_runs(
    sentinels: set[str], dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "scan", "db", "--reason", "TICKET-7"]) == EXIT_OK
    capsys.readouterr()
    assert run(["sessions", "list", "--format", "json"]) == EXIT_OK
    session = json.loads(capsys.readouterr().out)[0]["session"]
    assert run(["replay", session, "--export", "json"]) == EXIT_OK
    records = json.loads(capsys.readouterr().out)
    records = records if isinstance(records, list) else records["records"]
    start = next(r for r in records if r["kind"] == "session.start")
    assert (start["door"], start["reason"]) == ("scan", "TICKET-7")
    intents = {r["id"]: r for r in records if r["kind"] == "statement.intent"}
    outcomes = {r["id"]: r for r in records if r["kind"] == "statement.outcome"}
    texts = [r["text"] for r in intents.values()]
    assert texts[0] == "SET default_transaction_read_only = on"
    assert any("FROM crm.people" in text and "LIMIT 200" in text for text in texts)
    assert not any("secret_word" in text for text in texts)
    assert all(not r.get("digest") for r in outcomes.values())
    denied = [r["text"] for r in intents.values() if r["decision"] == "deny"]
    assert len(denied) == 1
    assert "crm.closed" in denied[0]
    assert not [r for r in records if r["kind"] == "output"]


def test_a_scan_sees_what_its_person_may_see(sentinels: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    found = {f["column"]: f for f in report["findings"]}
    assert found["crm.people.card"]["recognized"] == 40
    assert found["crm.people.card"]["chance"] < 0.2
    assert found["crm.closed.iban"]["sampled"] == 0
    assert [n["table"] for n in report["not_sampled"]] == ["crm.closed"]
    assert "crm.people.secret_word" not in found or found["crm.people.secret_word"]["sampled"] == 0


def test_proposals_prefer_the_column_that_values_come_from(
    sentinels: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    states = {
        f["column"]: f["state"] for f in json.loads(capsys.readouterr().out)["findings"] if f["tag"] == "pii.email"
    }
    assert states["crm.people.mail"] == "new"
    assert states["crm.logins.mail"] == "follows"
    assert states["crm.visits.who"] == "new"
    assert states["crm.notes.made"] == "new"
    assert not {"crm.reachable.c1", "crm.reachable.c2", "crm.visits_2024.who"} & set(states)


def test_documents_are_looked_into_and_keys_that_are_data_are_not_shown(
    sentinels: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    found = [f for f in json.loads(capsys.readouterr().out)["findings"] if f["column"] == "crm.people.doc"]
    assert {f["tag"]: f["path"] for f in found} == {"pii.email": "$.*.*", "finance.card": "$.card"}


def test_the_proposal_is_a_policy_that_leaves_nothing_new(
    sentinels: set[str], dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = dbgate_home / "found.yaml"
    assert run(["policy", "scan", "db", "-o", str(file), "--fail-on-new"]) == EXIT_DENIED
    assert capsys.readouterr().out == ""
    assert run(["policy", "check", str(file), "--target", "db"]) == EXIT_OK
    assert "matches nothing" not in capsys.readouterr().err
    policy = dbgate_home / "policy.yaml"
    policy.write_text(policy.read_text().replace("version: 1\n", "version: 1\nextends: [found.yaml]\n"))
    assert run(["policy", "scan", "db", "--fail-on-new", "--format", "json"]) == EXIT_OK
    states = {f["state"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert states == {"covered"}


def test_globs_narrow_a_scan(sentinels: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert {c.rpartition(".")[0] for c in scanned(capsys, "--table", "visits*")} == {"crm.visits"}
    assert scanned(capsys, "--schema", "nowhere") == {}


def test_a_wrong_format_is_a_usage_error(sentinels: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "scan", "db", "--format", "yml"]) == EXIT_USAGE
    assert capsys.readouterr().err == "error: no such format: yml\nhint: did you mean yaml?\n"


def test_nothing_can_be_changed_by_a_scan(
    database: LiveDatabase, dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A view whose function writes: the policy trusts it, the session does not."""
    database.execute(
        "CREATE TABLE public.seen (n int);"
        "CREATE FUNCTION public.mark() RETURNS text LANGUAGE sql AS 'INSERT INTO public.seen VALUES (1) RETURNING n::text';"
        "CREATE VIEW public.marked AS SELECT public.mark() AS contact"
    )
    configure(
        dbgate_home,
        database,
        "version: 1\nrules: [{id: all, when: {groups: [staff]}, effect: allow}]\nfunctions: {allow: ['public.mark()']}\n",
    )
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert [n["table"] for n in report["not_sampled"]] == ["public.marked"]
    assert database.query("SELECT count(*) FROM public.seen") == [(0,)]


def test_a_reason_is_asked_for_where_the_policy_wants_one(
    sentinels: set[str], dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = dbgate_home / "policy.yaml"
    policy.write_text(policy.read_text() + "reason: required\n")
    assert run(["policy", "scan", "db"]) == EXIT_USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert (
        "error: the scan cannot begin: the policy of this target asks for a reason\nhint: give one with --reason TEXT\n"
        in err
    )


def test_nobody_is_asked_to_approve_a_sample(
    sentinels: set[str], dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = dbgate_home / "policy.yaml"
    hold = "{id: hold, when: {tables: ['crm.logins']}, effect: approve, reviewers: [{groups: [dba], count: 1}]}"
    policy.write_text(policy.read_text().replace("rules: [", f"rules: [{hold}, "))
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    reasons = {n["table"]: n["reason"] for n in json.loads(capsys.readouterr().out)["not_sampled"]}
    assert reasons["crm.logins"] == "it needs an approval, which is not asked for here"


def test_columns_of_all_types_are_sampled(
    database: LiveDatabase, dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {
        "c": "public.mail", "v": "varchar(60)", "n": "text[]", "f": "public.pair", "q": "bytea", "j": "json", "k": "public.pair[]",
    }  # fmt: skip
    others = "e public.mood, g int4range, i money, b bit(3), l point, m tsvector, o public.mood[], s oid, x time, y interval, z boolean"
    database.execute(
        "CREATE DOMAIN public.mail AS text; CREATE TYPE public.mood AS ENUM ('a', 'b'); CREATE TYPE public.pair AS (a int, b text);"
        f"CREATE TABLE public.t ({', '.join(f'{name} {kind}' for name, kind in columns.items())}, {others}, t inet, u macaddr);"
        "INSERT INTO public.t SELECT m, m, ARRAY[m], ROW(n, m)::public.pair, convert_to(m, 'UTF8'), json_build_object('a', m),"
        " ARRAY[ROW(n, m)::public.pair], 'a', '[1,2)', 1, '101', '(1,2)', 'a b', ARRAY['a']::public.mood[], 1, '10:00', '1 day', true,"
        " '10.0.0.1', '08:00:2b:01:02:03' FROM (SELECT n, 'sentinel' || n || '@corp.example' AS m FROM generate_series(1, 30) n) AS s"
    )
    configure(dbgate_home, database)
    assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    found = {f["column"]: f["tag"] for f in report["findings"]}
    assert found == {f"public.t.{name}": "pii.email" for name in columns} | {
        "public.t.t": "pii.ip",
        "public.t.u": "pii.device",
    }
    assert report["not_sampled"] == []


def test_a_locked_table_does_not_hold_the_scan(
    sentinels: set[str], database: LiveDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database.dsn) as other:
        other.execute("LOCK TABLE crm.logins IN ACCESS EXCLUSIVE MODE")
        assert run(["policy", "scan", "db", "--format", "json"]) == EXIT_OK
    report = json.loads(capsys.readouterr().out)
    assert {n["table"]: n["reason"] for n in report["not_sampled"]}[
        "crm.logins"
    ] == "canceling statement due to lock timeout"
    assert "crm.visits.who" in {f["column"] for f in report["findings"]}


def test_an_interrupted_scan_tells_what_it_found(
    sentinels: set[str], database: LiveDatabase, dbgate_home: Path
) -> None:
    slow = "SELECT count(*)::text AS mail FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"
    database.execute(f"CREATE VIEW crm.zz AS {slow}")
    policy = dbgate_home / "policy.yaml"
    policy.write_text(policy.read_text().replace('"crm.notes"', '"crm.notes", "crm.zz"'))
    command = [sys.executable, "-m", "dbgate", "policy", "scan", "db", "--format", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    running = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%crm.zz%' AND pid <> pg_backend_pid()"
    while process.poll() is None and not database.query(running):
        time.sleep(0.05)
    process.terminate()  # as Ctrl-C; SIGINT itself is ignored where the tests run in the background
    out, err = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED, err
    report = json.loads(out)
    assert report["interrupted"] is True
    assert "crm.people.card" in {f["column"] for f in report["findings"]}
    assert b"notice: the scan was interrupted: " in err
    assert spoiled((out + err).decode(), sentinels) == []
