"""`dbgate connect` on a real PostgreSQL, key by key: the whole way from the prompt to the transcript."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard
from tests.conftest import LiveDatabase
from tests.shell.terminal import ROOT, Terminal

pytestmark = pytest.mark.live

SSN = "778-62-8144"
SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS hr;
CREATE TABLE IF NOT EXISTS hr.people (id int PRIMARY KEY, name text NOT NULL, ssn text, pay numeric(10,2));
TRUNCATE hr.people;
INSERT INTO hr.people VALUES (1, 'Pia', '{SSN}', 10.50), (2, E'Evil \\x1b]0;owned\\x07', NULL, NULL);
GRANT USAGE ON SCHEMA hr TO PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON hr.people TO PUBLIC;
"""
POLICY = """
version: 1
classify:
  - {columns: ["hr.people.ssn"], tag: pii.ssn}
mask:
  pii.ssn: {method: partial, last: 4}
rules:
  - {id: read, when: {access: read}, effect: allow}
  - {id: write, when: {verbs: [insert, update, delete], tables: ["hr.*"]}, effect: allow}
  - {id: no-destruction, when: {verbs: [drop, truncate, alter]}, effect: deny, message: "Schema changes go through migrations."}
"""


@pytest.fixture
def home(tmp_path: Path, module_database: LiveDatabase) -> dict[str, str]:
    """The environment of a person with one target, `hr`."""
    module_database.execute(SCHEMA)
    (tmp_path / "policy.yaml").write_text(POLICY)
    config = {
        "identity": {"provider": "local", "user": "pia", "email": "pia@example.com", "groups": ["engineering"]},
        "audit": {"key_store": "file", "bucket": (tmp_path / "audit").as_uri()},
        "targets": {
            "hr": {
                "engine": "postgres",
                "dsn": module_database.app_dsn,
                "environment": "production",
                "policy": str(tmp_path / "policy.yaml"),
            }
        },
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    return {
        "HOME": str(tmp_path),
        "DBGATE_CONFIG": str(tmp_path / "config.yaml"),
        "DBGATE_STATE_DIR": str(tmp_path / "state"),
    }


def connect(home: dict[str, str], *arguments: str) -> Terminal:
    return Terminal([sys.executable, "-m", "dbgate", "connect", "hr", *arguments], environment=home)


def recorded(home: dict[str, str]) -> str:
    """Everything that the session left on disk but for the history: the spool, and the bucket once it was shipped."""
    files = [p for folder in ("state", "audit") for p in (Path(home["HOME"]) / folder).rglob("*") if p.is_file()]
    texts = []
    for path in files:
        with contextlib.suppress(FileNotFoundError):  # shipped meanwhile
            data = path.read_bytes()
            if path.suffix == ".zst":
                data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
            texts.append(data.decode("latin-1") if path.suffix != ".history" else "")
    return "\n".join(texts)


def test_from_the_prompt_to_the_transcript(home: dict[str, str]) -> None:
    with connect(home) as terminal:
        terminal.prompt()
        terminal.see("hr production=>")
        terminal.line("select * from hr.people order by id;")
        screen = terminal.see("(2 rows)", "masked: ssn (pii.ssn)")
        assert "  1 | Pia" in screen
        assert "| ***8144 | 10.50" in screen
        assert "Evil \\x1b]0;owned\\x07" in screen
        assert SSN not in screen
        terminal.line("select id from hr.people where ssn = 'x';")
        terminal.see("notice: compared on its mask: hr.people.ssn")
        terminal.line("drop table hr.people;")
        terminal.see("denied: rule no-destruction")
        terminal.line("\\why")
        terminal.see("Denied by rule no-destruction")
        terminal.line("selec 1;")
        terminal.see('error: syntax error at or near "selec"')
        terminal.line("\\q")
        assert terminal.end() == 0
    end = time.monotonic() + 20
    while "session.end" not in (everything := recorded(home)) and time.monotonic() < end:
        time.sleep(0.1)
    assert "***8144" in everything
    assert "no-destruction" in everything
    assert SSN not in everything


def test_transactions_show_and_describing_works_when_they_failed(home: dict[str, str]) -> None:
    with connect(home) as terminal:
        terminal.line("begin;")
        terminal.see("hr production*=>")
        terminal.line("update hr.people set pay = 1 where id = 1;")
        terminal.see("UPDATE 1")
        terminal.line("select 1/0;")
        terminal.see("hr production!=>")
        terminal.line("\\d hr.people")
        screen = terminal.see("Primary key: id")
        assert " ssn    | text          |          | pii.ssn" in screen
        terminal.line("rollback;")
        terminal.see("ROLLBACK")
        terminal.line("select pay from hr.people where id = 1;")
        terminal.see("10.50")


@pytest.mark.parametrize("wrong", ["selec 1;", "select 1 from nowhere;"])
def test_an_error_that_dbgate_itself_finds_fails_the_transaction_too(wrong: str, home: dict[str, str]) -> None:
    with connect(home) as terminal:
        terminal.line("begin;")
        terminal.line("update hr.people set pay = 1 where id = 1;")
        terminal.see("UPDATE 1")
        terminal.line(wrong)
        terminal.see("hr production!=>")
        terminal.line("commit;")
        terminal.see("ROLLBACK")
        terminal.line("select pay from hr.people where id = 1;")
        terminal.see("10.50")


def test_ctrl_c_cancels_the_statement_and_keeps_the_session(home: dict[str, str]) -> None:
    with connect(home) as terminal:
        terminal.line("select count(*) from generate_series(1, 1000000000) a;")
        terminal.see("generate_series(1, 1000000000) a;")
        terminal.prompt_is_gone()
        terminal.type("\x03")
        terminal.see("error: cancelled")
        terminal.line("select 'still here';")
        terminal.see("(1 row)")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_names_of_the_database_are_proposed(home: dict[str, str]) -> None:
    with connect(home) as terminal:
        terminal.prompt()
        terminal.type("select * from hr.peo")
        terminal.see("people  table")
        terminal.type("\t where na")
        terminal.see("hr.people where na")
        terminal.see("text · people")


def test_statements_from_a_pipe(home: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dbgate", "connect", "hr"],
        input="select ssn from hr.people where id = 1;\ndrop table hr.people;\nselect 3;",
        env={"PATH": "/usr/bin:/bin", **home},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout.startswith(" ssn •\n---------\n ***8144\n(1 row)\nmasked: ssn (pii.ssn)\n")
    assert done.stderr.splitlines()[:2] == [
        "notice: standard input is not a terminal", "hint: dbgate exec hr is made for scripts",
    ]  # fmt: skip
    assert "denied: rule no-destruction" in done.stderr
    assert "what follows was not run" in done.stderr
    assert done.returncode == 3
