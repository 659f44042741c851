"""What the pages show, and what their forms do, without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.approvals.kit import ALICE, BOB, CARA, DBA, EVE, OWNERS, request_of, unmask_request_of
from tests.console.kit import RunningConsole, running_console

from dbgate.model import Actor, ApprovalRequest, Identity, RequestKind, Sample, SessionLimits

BELL_AND_BIDI = "\x07\x1b[2J\u202e\u2066\ufeff"
HOSTILE = f"<script>alert(1)</script>\"'&{BELL_AND_BIDI}"


@pytest.fixture
def console(tmp_path: Path) -> Iterator[RunningConsole]:
    with running_console(tmp_path) as made:
        yield made


def asked(console: RunningConsole, asked: ApprovalRequest | None = None, who: Identity = ALICE) -> str:
    return console.running.client(who).ask(asked or request_of(who)).id


def text_of(page: str) -> str:
    """The page's words: without tags, spaces made one."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_a_request_is_approved_by_a_form(console: RunningConsole) -> None:
    name = asked(console, request_of(ALICE, clauses=(DBA, OWNERS)))
    bob = console.surfer(BOB)
    inbox = bob.get("/").text
    assert "1 request waits for you." in inbox
    assert f'href="/requests/{name}"' in inbox
    done = bob.submit(f"/requests/{name}/approve", f"/requests/{name}/approve", note="checked with finance")
    assert (done.status_code, done.headers["location"]) == (303, f"/requests/{name}?done=approve")
    page = text_of(bob.get(done.headers["location"]).text)
    assert "Your approval is recorded." in page
    assert "1 of 2 people have agreed" in page
    assert "checked with finance" in page
    assert console.running.client(ALICE).state(name).summary.startswith("1 of 2 approvals: needs data-owners (1)")
    console.surfer(CARA).submit(f"/requests/{name}", f"/requests/{name}/approve", note="")
    assert console.running.client(ALICE).state(name).status == "approved"


def test_everything_that_a_reviewer_needs(console: RunningConsole) -> None:
    name = asked(
        console,
        request_of(
            ALICE,
            statement="UPDATE payroll.pay SET amount=amount*$1 WHERE region='EU'",
            parameters=("1.02", None),
            measured={"payroll.pay": 1200, "payroll.history": 3600},
            message="Ask finance first.",
        ),
    )
    page = console.surfer(BOB).get(f"/requests/{name}").text
    shown = text_of(page)
    for expected in (
        "alice@example.com unverified",
        "prod-payroll production",
        "yearly raise",
        "payroll.pay 1,200",
        "payroll.history 3,600",
        "in all 4,800",
        "payroll.pay.iban",
        "bulk (payroll.yaml:31)",
        "Ask finance first.",
        "dba 0 of 1",
        "$1 1.02",
        "$2 NULL",
    ):
        assert expected in shown, expected
    assert '<span class="q-k">UPDATE</span>' in page
    bare = re.sub(r"<[^>]+>", "", page)
    assert "region = &#39;EU&#39;" in bare
    assert "UPDATE payroll.pay SET amount=amount*$1 WHERE region=&#39;EU&#39;" in bare
    assert re.search(r'<time datetime="[0-9T:.-]+Z" data-until="in">\d{4}-\d\d-\d\d \d\d:\d\d UTC</time>', page)


def test_to_see_values_in_clear(console: RunningConsole) -> None:
    name = asked(console, unmask_request_of(ALICE))
    shown = text_of(console.surfer(BOB).get(f"/requests/{name}/approve").text)
    assert "alice@example.com will see pii.email, pii.ssn in clear on prod-payroll for 30 min" in shown
    assert "payroll.employees.ssn" in shown


def test_a_denial_needs_its_reason(console: RunningConsole) -> None:
    name, bob = asked(console), console.surfer(BOB)
    path = f"/requests/{name}/deny"
    refused = bob.submit(path, path, note="  \r\n ")
    assert refused.status_code == 422
    assert "a denial needs a note that says why" in refused.text
    assert console.running.client(ALICE).state(name).status == "pending"
    assert bob.submit(path, path, note="wait\r\nfor Monday").status_code == 303
    assert console.running.client(ALICE).history(name)[-1]["note"] == "wait\nfor Monday"
    late = bob.get(path)
    assert late.status_code == 409
    assert "this request is denied: there is nothing left to deny" in late.text


def test_a_note_that_is_too_long_is_kept_and_refused(console: RunningConsole) -> None:
    name, bob = asked(console), console.surfer(BOB)
    refused = bob.submit(f"/requests/{name}", f"/requests/{name}/approve", note="n" * 4097)
    assert refused.status_code == 422
    assert "n" * 4097 in refused.text
    assert console.running.client(ALICE).state(name).status == "pending"


def test_withdraw_and_revoke(console: RunningConsole) -> None:
    alice, bob = console.surfer(ALICE), console.surfer(BOB)
    name = asked(console)
    assert "My open requests" in alice.get("/").text
    assert alice.submit(f"/requests/{name}", f"/requests/{name}/withdraw", note="").status_code == 303
    assert console.running.client(ALICE).state(name).status == "withdrawn"
    second = asked(console)
    bob.submit(f"/requests/{second}", f"/requests/{second}/approve", note="")
    assert "Approved, not used yet" in bob.get("/").text
    assert bob.submit(f"/requests/{second}", f"/requests/{second}/revoke", note="wrong table").status_code == 303
    assert console.running.client(ALICE).state(second).status == "revoked"


def test_nobody_decides_their_own_by_a_form_either(console: RunningConsole) -> None:
    dba = replace(ALICE, groups=("dba",))
    name = asked(console)
    own = console.surfer(dba)
    page = own.get(f"/requests/{name}").text
    assert f'action="/requests/{name}/approve"' not in page
    assert "You may not approve it: nobody decides their own request." in page
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token
    refused = own.post(f"/requests/{name}/approve", {"csrf": token[1], "note": ""})
    assert refused.status_code == 403
    assert "nobody decides their own request" in refused.text
    assert console.running.client(ALICE).state(name).status == "pending"


def test_strangers_see_nothing(console: RunningConsole) -> None:
    name = asked(console)
    eve = console.surfer(EVE)
    for path in (f"/requests/{name}", f"/requests/{name}/approve", "/requests/nothing"):
        assert eve.get(path).status_code == 404
    assert name not in eve.get("/").text + eve.get("/history").text
    assert eve.get("/sessions").status_code == 404


def test_an_agent_that_asks_is_marked_with_the_human_behind_it(console: RunningConsole) -> None:
    agent = replace(ALICE, subject="copilot-7", name="Copilot", actor=Actor.AGENT, on_behalf_of="alice@example.com")
    by_agent, by_human = asked(console, request_of(agent), agent), asked(console)
    bob = console.surfer(BOB)
    mark = '<span class="mark">agent for alice@example.com</span>'
    page = bob.get(f"/requests/{by_agent}").text
    assert mark in page
    assert '<span class="person">Copilot</span>' in page
    assert bob.get("/").text.count(mark) == 1
    assert "agent for" not in bob.get(f"/requests/{by_human}").text


def test_hostile_texts_stay_texts(console: RunningConsole) -> None:
    who = replace(
        ALICE,
        subject="mallory",
        email=f"m{HOSTILE}@example.com",
        name=HOSTILE,
        actor=Actor.AGENT,
        on_behalf_of=HOSTILE,
        groups=(HOSTILE,),
    )
    name = asked(
        console,
        request_of(
            who,
            target=f"t{HOSTILE}",
            environment=HOSTILE,
            statement=f"SELECT '{HOSTILE.replace(chr(39), '')}'",
            parameters=(HOSTILE,),
            reason=HOSTILE,
            message=HOSTILE,
            verb=HOSTILE,
            relations=(HOSTILE,),
            rules=(HOSTILE,),
            measured={HOSTILE: 1},
            masked=(HOSTILE,),
            session=HOSTILE,
        ),
        who,
    )
    bob = console.surfer(BOB)
    bob.submit(f"/requests/{name}", f"/requests/{name}/approve", note=HOSTILE)
    paths = ("/", "/mine", "/history", f"/history?target={HOSTILE}", f"/requests/{name}", f"/requests/{name}/revoke")
    for path in (*paths, f"/requests/{name}?done={HOSTILE}", f"/nothing{HOSTILE}"):
        page = bob.get(path).text
        assert "<script>alert" not in page
        assert not set("\x07\x1b\u202e\u2066\ufeff") & set(page), path
    assert "\\u202e\\u2066\\ufeff" in bob.get(f"/requests/{name}").text


def test_history_in_pages_and_filtered(console: RunningConsole) -> None:
    names = [
        asked(console, request_of(ALICE, statement=f"UPDATE t SET a = {n}", target=f"t{n % 2}")) for n in range(33)
    ]
    console.running.client(BOB).decide(names[3], "deny", "no")
    bob = console.surfer(BOB)
    first = bob.get("/history").text
    assert first.count("data-row") == 30
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = bob.get(following[1].replace("&amp;", "&")).text
    assert second.count("data-row") == 3
    assert 'rel="next"' not in second
    listed = re.findall(r'data-id="([0-9a-f]+)"', first + second)
    assert listed == names[::-1]
    assert re.findall(r'data-id="([0-9a-f]+)"', bob.get("/history?status=denied").text) == [names[3]]
    assert len(re.findall("data-row", bob.get("/history?target=t1").text)) == 16
    assert "No request is like that" in bob.get("/history?role=mine").text
    assert bob.get("/history?status=<b>&role=x").status_code == 200


def test_what_ran_by_breaking_the_glass_is_reviewed(console: RunningConsole) -> None:
    asked_for = request_of(
        ALICE,
        kind=RequestKind.BREAK_GLASS,
        break_glass=("engineering",),
        reason="the shop is down",
        clauses=(DBA, OWNERS),
    )
    grant = console.running.client(ALICE).break_glass(asked_for)
    bob, cara = console.surfer(BOB), console.surfer(CARA)
    shown = text_of(bob.get("/").text)
    assert "1 request waits for you." in shown
    assert "review due" in shown
    path = f"/requests/{grant.request}"
    page = text_of(bob.get(path).text)
    for expected in (
        "This ran without approval (break-glass)",
        "the shop is down",
        "Nobody has reviewed it yet",
        "open to engineering",
    ):
        assert expected in page, expected
    done = bob.submit(f"{path}/approve", f"{path}/approve", note="was needed")
    assert done.headers["location"] == f"{path}?done=review"
    assert "Your review is recorded." in bob.get(done.headers["location"]).text
    assert cara.submit(f"{path}/deny", f"{path}/deny", note="").status_code == 422
    done = cara.submit(f"{path}/deny", f"{path}/deny", note="there is a runbook for that")
    assert "Your objection is recorded." in cara.get(done.headers["location"]).text
    assert console.running.client(ALICE).state(grant.request).status == "objected"


def test_a_session_and_its_limits(console: RunningConsole) -> None:
    name = asked(
        console,
        request_of(ALICE, kind=RequestKind.SESSION, limits=SessionLimits(statements=20, rows=5000), expires_s=7200),
    )
    page = text_of(console.surfer(BOB).get(f"/requests/{name}").text)
    for expected in (
        "a session under bulk",
        "This asks for a whole session",
        "may do all that these rules hold on prod-payroll , in one session, for 2 h, at most 20 statements, at most 5,000 rows",
        "20 statements, 5,000 rows in all",
        "for 2 h after the last approval, by one session",
    ):
        assert expected in page, expected


def test_several_runs(console: RunningConsole) -> None:
    name = asked(console, request_of(ALICE, uses=3, measured={}))
    page = text_of(console.surfer(BOB).get(f"/requests/{name}").text)
    assert "after the last approval, 3 times" in page
    assert "may run exactly this statement 3 times on prod-payroll" in page
    assert "The rows could not be counted: the run is held to no number." in page


def test_a_sample_before_and_after(console: RunningConsole) -> None:
    changes = Sample(
        "payroll.pay",
        "update",
        ("id", "iban", "amount"),
        (("7", "***", "100"),),
        (("7", "***", "102"),),
        "2 more columns",
    )
    adds = Sample("payroll.log", "insert", ("note",), (), ((None,), ("<b>",)))
    name = asked(console, request_of(ALICE, sample=(changes, adds)))
    page = console.surfer(BOB).get(f"/requests/{name}").text
    assert "<td>7</td><td>***</td><td><del>100</del> <ins>102</ins></td>" in page
    assert "2 more columns" in page
    assert '<td><span class="null">NULL</span></td>' in page
    assert "<td>&lt;b&gt;</td>" in page


def test_fields_that_the_page_does_not_know_are_shown() -> None:
    from dbgate.console.rendering import facts

    view = {"id": 1, "limits": {"rows": 10, "tables": ["a", "b"]}, "break_glass": True, "nothing": [], "note": "x"}
    assert facts(view, frozenset({"id"})) == [
        ("limits", "rows: 10\ntables: a\nb"),
        ("break glass", "yes"),
        ("note", "x"),
    ]
