"""`dbgate audit keys`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.audit.samples import Installation

from dbgate.audit.keys import load_key
from dbgate.cli.app import run


@pytest.fixture
def here(dbgate_home: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    made = Installation(dbgate_home / "there")
    (dbgate_home / "config.yaml").write_text(
        f"identity: {{provider: local}}\naudit: {{bucket: '{made.url}', key_store: file}}\n"
    )
    monkeypatch.setenv("DBGATE_STATE_DIR", str(made.state_dir))
    return made


def test_from_the_first_key_to_a_revocation(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "keys", "list"]) == 0
    assert "there is no key yet" in capsys.readouterr().err
    here.session()
    assert run(["audit", "ship"]) == 0
    first = load_key(here.state_dir, "file").public.id
    capsys.readouterr()
    assert run(["audit", "keys", "rotate"]) == 0
    second = capsys.readouterr().out.strip()
    assert second != first
    assert run(["audit", "keys", "revoke", first[:6]]) == 2
    assert "a revocation needs a reason" in capsys.readouterr().err
    assert run(["audit", "keys", "revoke", first[:6], "--reason", "the laptop\x1b[2J was stolen"]) == 0
    said = capsys.readouterr()
    assert f"{first} is revoked" in said.err
    here.session()
    assert run(["audit", "ship"]) == 0
    capsys.readouterr()
    assert run(["audit", "verify"]) == 0
    capsys.readouterr()
    old = str(here.bucket_dir / "keys" / f"{first}.pub")
    assert run(["audit", "verify", str(here.bucket_dir), "--key", old]) == 0
    assert f"key {first} vouches for {second}" in "".join(capsys.readouterr())
    assert run(["audit", "keys", "list"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[:2] for line in shown.splitlines()[1:]] == [[first, "revoked"], [second, "current"]]
    assert "the laptop\\x1b[2J was stolen" in shown
    assert run(["audit", "keys", "list", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(one["key"], one["state"], one["vouched_by"]) for one in listed] == [
        (first, "revoked", None),
        (second, "current", first),
    ]


def test_keys_that_cannot_be_revoked(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    here.session()
    assert run(["audit", "keys", "revoke", "nothing", "--reason", "x"]) == 2
    assert "dbgate audit keys list" in capsys.readouterr().err
