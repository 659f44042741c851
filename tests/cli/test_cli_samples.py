"""What reviewers see of a change: the rows counted by table, and a few of them, labelled columns masked for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.reviewing import DORA, Reviewed, reviewed
from tests.cli.test_cli_exec import WORLD
from tests.conftest import LiveDatabase

from dbgate.cli.app import run as dbgate

POLICY = """
version: 1
classify:
  - {columns: [payroll.employees.ssn], tag: pii.ssn}
  - {columns: [payroll.employees.salary], tag: finance.pay}
mask:
  pii.ssn: {method: partial, last: 4}
  finance.pay: {method: "null"}
unmask:
  - {tags: ["*"], groups: [engineering]}
rules:
  - {id: read, when: {access: read}, effect: allow}
  - {id: care, when: {access: write}, effect: approve, reviewers: [{groups: [dba]}]}
"""


@pytest.fixture(scope="module")
def world(module_database: LiveDatabase) -> LiveDatabase:
    module_database.execute(WORLD.format(app=module_database.app_user))
    module_database.execute("UPDATE payroll.employees SET note = 'free ' || id")
    return module_database


@pytest.fixture
def desk(
    dbgate_home: Path,
    world: LiveDatabase,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reviewed]:
    with reviewed(dbgate_home, world, capsys, tmp_path, monkeypatch) as made:
        made.setup(POLICY)
        yield made


def asked(desk: Reviewed, text: str, *arguments: str) -> dict[str, Any]:
    """The request that a statement makes, as its reviewer sees it."""
    done = desk.exec("--format", "json", "--no-wait", *arguments, "-c", text)
    assert done.code == 4, done.err
    return dict(desk.service.client(DORA).state(str(done.json[0]["request"])).view)


def test_an_update_shows_old_and_new_values(desk: Reviewed) -> None:
    view = asked(desk, "UPDATE payroll.pay p SET amount = p.amount * 1.5 WHERE id IN (2, 1)")
    assert view["measured"] == {"payroll.pay": 2}
    (sample,) = view["sample"]
    assert (sample["relation"], sample["verb"], sample["columns"]) == ("payroll.pay", "update", ["id", "amount"])
    assert sorted(zip(sample["before"], sample["after"], strict=True)) == [
        (["1", "10"], ["1", "15.0"]),
        (["2", "10"], ["2", "15.0"]),
    ]


def test_labelled_columns_are_masked_for_everybody_old_and_new(desk: Reviewed) -> None:
    text = "UPDATE payroll.employees SET ssn = '999-99-9999', salary = salary * 2, note = 'x' WHERE ssn LIKE '%6003'"
    (sample,) = asked(desk, text)["sample"]
    assert sample["columns"] == ["id", "ssn", "salary", "note"]
    assert sample["before"] == [["3", "***6003", None, "free 3"]]
    assert sample["after"] == [["3", "***", "***", "x"]]


@pytest.mark.parametrize(
    ("value", "tail"),
    [
        ("ssn", ""),
        ("employees.ssn || ''", ""),
        ("(SELECT ssn FROM payroll.employees LIMIT 1)", ""),
        ("to_jsonb(employees)::text", ""),
        ("(employees).ssn", ""),
        ("x.full_name", " FROM (SELECT id, ssn AS full_name FROM payroll.employees) AS x WHERE x.id = employees.id"),
        ("full_name2", " FROM (SELECT id AS i, ssn AS full_name2 FROM payroll.employees) AS x WHERE x.i = id"),
    ],
)
def test_no_new_value_is_made_of_a_labelled_column(desk: Reviewed, value: str, tail: str) -> None:
    where = tail or " WHERE true"
    text = f"UPDATE payroll.employees SET note = {value}{where} AND employees.id = 4"
    view = asked(desk, text)
    (sample,) = view["sample"]
    assert [row[sample["columns"].index("note")] for row in sample["after"]] == ["***"]
    assert "6004" not in str(view["sample"])


def test_a_delete_shows_rows_and_counts_what_goes_along(desk: Reviewed) -> None:
    view = asked(desk, "DELETE FROM payroll.employees WHERE id = 5")
    assert view["measured"] == {"payroll.employees": 1, "payroll.pay": 3}
    (sample,) = view["sample"]
    assert sample["before"] == [["5", "Person 5", "***6005", None, "free 5"]]
    assert sample["after"] == []


def test_an_insert_shows_new_rows(desk: Reviewed) -> None:
    text = "INSERT INTO payroll.employees (id, full_name, ssn) VALUES (50, 'New', '1-2'), (:id, 'Other', NULL)"
    view = asked(desk, text, "-p", "id=51")
    assert view["measured"] == {"payroll.employees": 2}
    assert view["sample"][0]["after"] == [["50", "New", "***"], ["51", "Other", "***"]]


def test_an_insert_from_labelled_relations_shows_none(desk: Reviewed) -> None:
    view = asked(desk, "INSERT INTO payroll.employees (id, full_name) SELECT id + 100, ssn FROM payroll.employees")
    assert view["measured"] == {"payroll.employees": 9}
    assert view["sample"][0]["note"] == "no sample: the rows are made of relations with labelled columns"
    assert "6001" not in str(view["sample"])


def test_a_merge_shows_the_rows_of_its_branches(desk: Reviewed) -> None:
    text = (
        "MERGE INTO payroll.pay t USING (SELECT n FROM generate_series(1, 40) n) x ON t.id = x.n"
        " WHEN MATCHED AND x.n < 3 THEN DELETE WHEN MATCHED AND x.n < 6 THEN UPDATE SET amount = 0"
        " WHEN NOT MATCHED THEN INSERT VALUES (x.n, 1, 1)"
    )
    view = asked(desk, text)
    assert view["measured"] == {"payroll.pay": 15}
    assert [(s["verb"], len(s["before"])) for s in view["sample"]] == [("delete", 2), ("update", 3)]


def test_the_terminal_shows_it(desk: Reviewed) -> None:
    view = asked(desk, "UPDATE payroll.pay SET amount = 11 WHERE id <= 2")
    assert dbgate(["requests", "show", str(view["id"])]) == 0
    out = desk.capsys.readouterr().out
    assert "sample (a few rows, labelled columns masked)\n  update payroll.pay\n    id  amount\n" in out
    assert "    1   10 → 11\n" in out


def test_a_sample_that_fails_tells_nothing_of_the_error(desk: Reviewed) -> None:
    text = "UPDATE payroll.pay SET amount = 1 / (id - 3) WHERE id <= 5"
    view = asked(desk, text)
    assert view["sample"] == [
        {
            "relation": "payroll.pay",
            "verb": "update",
            "columns": [],
            "before": [],
            "after": [],
            "note": "a sample could not be taken",
        }
    ]
