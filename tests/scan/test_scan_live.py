"""`dbgate policy scan` through the command line on a real PostgreSQL: recall and precision on databases of known truth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from tests.conftest import LiveDatabase
from tests.scan import first, second, third
from tests.scan.world import Table, script, truth

from dbgate.cli.app import run
from dbgate.errors import EXIT_OK

READERS = """\
version: 1
classify: [{columns: ["nowhere.*.*"], tag: none}]
rules: [{id: read, when: {groups: [staff], access: read}, effect: allow}]
"""


def configure(home: Path, database: LiveDatabase, policy: str = READERS) -> None:
    """A configuration whose target `db` is the database."""
    (home / "policy.yaml").write_text(policy)
    document = {
        "identity": {"provider": "local", "groups": ["staff"]},
        "audit": {"key_store": "file"},
        "targets": {"db": {"engine": "postgres", "dsn": database.dsn, "policy": "policy.yaml"}},
    }
    (home / "config.yaml").write_text(yaml.safe_dump(document))


def scanned(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, set[str]]:
    """The tags that a scan proposes, by column."""
    assert run(["policy", "scan", "db", "--format", "json", *options]) == EXIT_OK
    found: dict[str, set[str]] = {}
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        found.setdefault(finding["column"], set()).add(finding["tag"])
    return found


def measure(tables: Sequence[Table], found: dict[str, set[str]]) -> tuple[float, float, str]:
    """Recall and precision over columns, and a line for each tag. A column with a wrong tag only counts against both."""
    known = truth(tables)
    hit, missed, wrong = Counter[str](), Counter[str](), Counter[str]()
    for column, tag in known.items():
        tags = found.get(column, set())
        if tag:
            (hit if tag in tags else missed)[tag] += 1
        if tags and tag not in tags:
            wrong[min(tags)] += 1
    assert set(found) <= set(known)
    lines = [
        f"{tag:16} found {hit[tag]:3}  missed {missed[tag]:3}  wrong {wrong[tag]:3}"
        for tag in sorted({*hit, *missed, *wrong})
    ]
    recall = hit.total() / (hit.total() + missed.total())
    precision = hit.total() / (hit.total() + wrong.total())
    text = "\n".join([f"{len(known)} columns: recall {recall:.3f}, precision {precision:.3f}", *lines])
    return recall, precision, text


@pytest.mark.parametrize("world", [first, second, third], ids=["first", "second", "third"])
def test_recall_and_precision(
    world: object, database: LiveDatabase, dbgate_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scan was tuned on `first`, then on `second`; `third` was written afterwards and is only measured."""
    tables = world.tables()  # type: ignore[attr-defined]
    database.execute(script(tables))
    configure(dbgate_home, database)
    recall, precision, text = measure(tables, scanned(capsys))
    print(text)
    assert recall >= 0.95, text
    assert precision >= 0.9, text
