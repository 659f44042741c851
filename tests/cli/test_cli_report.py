"""`dbgate audit report`: every figure comes from the bucket, and can be computed again."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from tests.audit.evidence import EVIL, decisions, evidence, who
from tests.audit.samples import Installation, overwrite
from tests.cli.test_cli_audit import Desk
from tests.cli.test_cli_audit import desk as desk

from dbgate.audit import layout
from dbgate.audit.bucket import open_bucket
from dbgate.audit.report.controls import STANDARDS
from dbgate.audit.report.figures import FIGURES
from dbgate.audit.search import Engine

PERIOD = ("--from", "2020-01-01", "--to", "2099-01-01")


@pytest.fixture
def full(desk: Desk) -> Desk:
    evidence(desk.here)
    return desk


def packed(desk: Desk, *arguments: str, code: int = 0, standard: str = "soc2") -> dict[str, Any]:
    ran = desk.dbgate("audit", "report", "--standard", standard, "--format", "json", *(arguments or PERIOD))
    assert ran.code == code, ran.err
    told: dict[str, Any] = json.loads(ran.out)
    return told


def written(desk: Desk, *arguments: str, code: int = 0, standard: str = "soc2") -> str:
    path = desk.here.root / "report.html"
    ran = desk.dbgate("audit", "report", "--standard", standard, "-o", str(path), *(arguments or PERIOD))
    assert ran.code == code, ran.err
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text()


def numbers(told: dict[str, Any]) -> dict[str, int]:
    return {name: int(f["rows"][0][0]) for name, f in told["figures"].items() if f["columns"] == ["n"]}


def test_the_figures_are_what_happened(full: Desk) -> None:
    assert numbers(packed(full)) == {
        "sessions": 4, "people": 4, "unverified_sessions": 1, "agent_sessions": 1, "unsealed_sessions": 0, "crashed_sessions": 1,
        "statements": 13, "ran": 10, "denied": 2, "unread": 1, "failed": 2, "rolled_back": 1, "unknown_outcomes": 1,
        "without_reason": 6, "labelled": 3, "masked": 2, "clear": 2, "unmasked": 1, "writes": 4, "definitions": 1,
        "administration": 0, "granted": 1, "agent_writes": 1, "guesses": 1, "policies": 2, "requested": 2, "approvals": 2,
        "approved": 1, "requests_denied": 1, "self_approved": 0, "refused_attempts": 1, "broke_glass": 2, "unreviewed": 1,
    }  # fmt: skip


@pytest.mark.parametrize("arguments", [PERIOD, (*PERIOD, "--target", EVIL[:20], "--seed", "it's")])
def test_every_figure_can_be_computed_again(full: Desk, arguments: tuple[str, ...]) -> None:
    told = packed(full, *arguments)
    assert set(told["figures"]) == set(FIGURES)
    with Engine(open_bucket(full.here.url), lambda date: True) as engine:
        for name, figure in told["figures"].items():
            answer = engine.ask(figure["query"])
            assert [column.name for column in answer.columns] == figure["columns"]
            assert [list(row) for batch in answer.batches() for row in batch] == figure["rows"], name


def test_audit_search_computes_them_again(full: Desk) -> None:
    told = packed(full)["figures"]
    for name in ("self_approved", "clear", "unreviewed", "data", "requests", "samples"):
        ran = full.dbgate("audit", "search", told[name]["query"], "--format", "json")
        assert ran.code == 0, ran.err
        (again,) = json.loads(ran.out)
        assert [column["name"] for column in again["columns"]] == told[name]["columns"]
        assert [[text(cell) for cell in row] for row in again["rows"]] == told[name]["rows"]


def text(cell: Any) -> str | None:
    """A cell of `--format json` as the report holds it."""
    return cell if cell is None or isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def table(told: dict[str, Any], name: str) -> list[dict[str, str]]:
    figure = told["figures"][name]
    return [dict(zip(figure["columns"], row, strict=True)) for row in figure["rows"]]


def test_access_review_and_approvals(full: Desk) -> None:
    told = packed(full)
    data = {(row["person"], row["tag"]): (row["masked"], row["clear"]) for row in table(told, "data")}
    assert data == {
        ("mia@example.com", "pii.ssn"): ("2", "0"),
        ("mia@example.com", "finance.pay"): ("0", "1"),
        ("leo@example.com", "pii.ssn"): ("0", "1"),
    }
    requests = {row["request"]: row for row in table(told, "requests")}
    assert requests["r1"]["agreed"] == "grace@example.com, heidi@example.com"
    assert (requests["r1"]["state"], requests["r1"]["reason"], requests["r1"]["notes"]) == (
        "approved",
        "INC-7",
        "looks right",
    )
    assert (requests["r2"]["refused_by"], requests["r2"]["state"]) == ("grace@example.com", "denied")
    reviews = {row["request"]: (row["review"], row["reviewers"]) for row in table(told, "exceptions")}
    assert reviews == {"r3": ("NOT REVIEWED", ""), "r4": ("reviewed", "grace@example.com")}
    (attempt,) = table(told, "attempts")
    assert (attempt["person"], attempt["why"]) == ("leo@example.com", "nobody approves their own request")


def test_a_reviewer_who_is_the_requester_is_counted(full: Desk) -> None:
    decisions(full.here, {"request": "r5", "action": "approval", "by": who("leo"), "status": "pending"})
    full.here.ship()
    assert numbers(packed(full))["self_approved"] == 1


def test_samples_are_drawn_again_by_their_seed(full: Desk) -> None:
    def drawn(*more: str) -> list[list[str]]:
        rows: list[list[str]] = packed(full, *PERIOD, *more)["figures"]["samples"]["rows"]
        return rows

    first = drawn("--sample", "4")
    assert len(first) == 4
    assert drawn("--sample", "4") == first
    assert drawn("--sample", "4", "--seed", "2") != first
    assert drawn("--sample", "0") == []


def test_period_and_target_choose(full: Desk) -> None:
    assert set(numbers(packed(full, "--from", "2020-01-01", "--to", "2020-02-01")).values()) == {0}
    told = numbers(packed(full, *PERIOD, "--target", "prod/*"))
    assert (told["sessions"], told["statements"], told["requested"]) == (1, 2, 0)
    injected = packed(full, *PERIOD, "--target", "' OR true OR target GLOB '*")
    assert set(numbers(injected).values()) == {0}


class Texts(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("standard", STANDARDS)
def test_the_page_says_the_same_and_nothing_leaves_its_cell(full: Desk, standard: str) -> None:
    page = written(full, standard=standard)
    told = packed(full, standard=standard)
    seen = Texts(page)
    assert not seen.tags.keys() & {"script", "img", "link", "iframe", "object", "form", "base"}
    assert {value for name, value in seen.attributes if name in ("href", "src")} <= {
        f"#{value}" for name, value in seen.attributes if name == "id"
    }
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert "url(" not in page
    assert "://" not in re.sub(r"file://\S+?[< ]|https://login\.example\.com", "", page), (
        "no other host is named but in data"
    )
    assert "\x1b" not in page
    assert "\u202e" not in page
    for control in told["controls"]:
        assert f"{control['id']} · {control['title']}" in seen.text
        assert control["does"] in seen.text
        assert control["limits"] in seen.text
    for figure in told["figures"].values():
        assert figure["label"] in seen.text
        assert " ".join(figure["query"].split()) in " ".join(seen.text.split())
    for word in ("Period", "intact: holds", "complete: holds", "anchored: holds", *told["limits"], *told["keys"]):
        assert word in seen.text
    assert "NOT REVIEWED" in seen.text


def test_every_control_has_figures_that_exist() -> None:
    for standard in STANDARDS.values():
        for control in standard.controls:
            assert control.figures
            assert set(control.figures) <= FIGURES.keys()
    assert [control.id for control in STANDARDS["soc2"].controls] == [
        "CC6.1",
        "CC6.2",
        "CC6.3",
        "CC6.8",
        "CC7.2",
        "CC8.1",
    ]
    assert [control.id for control in STANDARDS["fedramp"].controls] == [
        "AC-2", "AC-3", "AC-5", "AC-6", "AU-2", "AU-3", "AU-6", "AU-9", "AU-10", "AU-12",
    ]  # fmt: skip


def test_a_report_on_a_copy_names_the_command_that_verifies_it(full: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = full.here.root / "a copy"
    shutil.copytree(full.here.bucket_dir, copy)
    monkeypatch.chdir(full.here.state_dir / "keys")
    page = written(full, *PERIOD, "--bucket", str(copy))
    command = re.search(r"To verify again: <code>dbgate (audit verify .*?)</code>", page)
    assert command
    arguments = shlex.split(html.unescape(command[1]))
    assert arguments[2] == copy.as_uri()
    assert full.dbgate(*arguments).code == 0
    shutil.rmtree(copy)
    assert full.dbgate(*arguments).code == 7


def test_a_key_that_signed_nothing_is_missed(full: Desk, tmp_path: Path) -> None:
    other = Installation(tmp_path / "other")
    other.session()
    keys = [str(next((here.state_dir / "keys").glob("*.pub"))) for here in (full.here, other)]
    told = packed(full, *PERIOD, "--key", keys[0], "--key", keys[1], code=1)
    assert told["integrity"]["complete"]["evidence"] == "nothing that is here was signed with it"


def test_what_does_not_verify_is_said_first(full: Desk) -> None:
    hurt = full.here.session()
    full.here.ship()
    file = full.here.folder(hurt) / "00000.jsonl.zst"
    overwrite(file, layout.compress(layout.decompress(file.read_bytes()).replace(b"select 1", b"select 2")))
    told = packed(full, "--from", "2020-01-01", "--to", "2020-02-01", code=1)
    assert told["integrity"]["intact"]["holds"] is False
    assert [item["session"] for item in told["integrity"]["sessions"]] == [hurt], (
        "of another period, and named all the same"
    )
    told = packed(full, code=1)
    assert told["integrity"]["sessions"][0]["session"] == hurt
    assert len(told["integrity"]["sessions"]) == told["integrity"]["checked"] == 6
    page = Texts(written(full, code=1)).text
    assert "intact: DOES NOT HOLD" in page
    assert f"{hurt}" in page


def test_a_damaged_object_stops_the_report_unless_it_is_left_out(full: Desk) -> None:
    hurt = full.here.session()
    full.here.ship()
    file = full.here.folder(hurt) / "00000.jsonl.zst"
    overwrite(file, file.read_bytes()[:-9])
    ran = full.dbgate("audit", "report", "--standard", "soc2", *PERIOD)
    assert (ran.code, ran.out) == (7, "")
    assert "LEFT OUT" in written(full, *PERIOD, "--skip-damaged", code=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "a report is about a period"),
        (("--from", "1d"), "a report is about a period"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "ends before it begins"),
        ((*PERIOD, "--key", "/none.pub"), "/none.pub"),
    ],
)
def test_wrong_usage(full: Desk, arguments: tuple[str, ...], said: str) -> None:
    ran = full.dbgate("audit", "report", "--standard", "soc2", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert full.dbgate("audit", "report", "--standard", "iso", *PERIOD).code == 2


def test_long_tables_are_cut_and_say_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    evidence(desk.here)
    monkeypatch.setattr("dbgate.audit.report.pack.MOST_ROWS", 2)
    told = packed(desk)
    assert (len(told["figures"]["data"]["rows"]), told["figures"]["data"]["total"]) == (2, 3)
    assert "The first 2 of 3 rows." in Texts(written(desk)).text
