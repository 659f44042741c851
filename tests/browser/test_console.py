"""The console as people use it: signed in by the provider, with scripts, keys and phones."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from playwright.sync_api import Dialog, expect
from tests.approvals.kit import DBA, OWNERS, request_of, unmask_request_of
from tests.browser.kit import Console, Person

from dbgate.model import ApprovalRequest, Identity

LONG = """WITH late AS (SELECT id FROM payroll.pay WHERE paid_on < $1 AND region = 'EU' AND NOT locked),
adj AS (SELECT e.id, c.factor FROM payroll.employees e JOIN payroll.contracts c ON c.employee = e.id)
UPDATE payroll.pay p SET amount = round(p.amount * adj.factor, 2), note = 'yearly raise' FROM adj, late
WHERE p.employee = adj.id AND late.id = p.id"""


def raise_of(who: Identity) -> ApprovalRequest:
    return request_of(
        who,
        statement=LONG,
        parameters=("2026-01-01",),
        clauses=(DBA, OWNERS),
        measured={"payroll.pay": 1200, "payroll.pay_history": 3600},
        masked=("payroll.pay.iban", "payroll.employees.ssn"),
        reason="Yearly raise for EU contracts, TICKET-4711.",
        message="Bulk changes of pay need a DBA and the data owner.",
    )


def numbered(n: int) -> Callable[[Identity], ApprovalRequest]:
    return lambda who: request_of(who, parameters=(str(n),))


def status_of(console: Console, name: str) -> str:
    found = console.service.get(console.person("closer", "dba", "data-owners"), name)
    return found.status.value


def test_from_a_deep_link_through_the_provider(console: Console, people: Callable[..., Person]) -> None:
    name = console.ask(request=raise_of)
    person = people()
    page = person.sign_in("hana", f"/requests/{name}")
    assert page.url == f"{console.url}/requests/{name}"
    (cookie,) = [one for one in person.context.cookies(console.url) if one["name"] == "__Host-dbgate"]
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    assert cookie["expires"] == -1
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    assert "eyJ" not in page.content()


def test_the_inbox_updates_itself(console: Console, hana: Person) -> None:
    page = hana.open("/")
    hana.live()
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    name = console.ask(request=raise_of)
    row = page.locator(f'[data-row][data-id="{name}"]')
    expect(row).to_be_visible()
    expect(row).to_contain_text("update payroll.pay")
    expect(row).to_contain_text("4,800 rows")
    expect(row).to_contain_text("dora@example.com")
    expect(row.locator("[data-until]")).to_have_text(re.compile(r"^in (59 min|1 h 0 min)$"))
    expect(page).to_have_title("(1) Inbox · dbgate")
    expect(page.locator("[data-announce]")).to_have_text("1 request waits for you.")
    console.ask(request=unmask_request_of)
    expect(page.locator("[data-row]")).to_have_count(2)
    hana.shot("inbox")
    console.service.withdraw(console.person("dora", "engineering"), name, "")
    expect(row).to_have_count(0)


def test_moving_with_keys_survives_news(console: Console, hana: Person) -> None:
    names = [console.ask(request=numbered(n)) for n in range(3)]
    page = hana.open("/")
    hana.live()
    links = page.locator("[data-row] [data-open]")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(links.nth(1)).to_be_focused()
    console.ask(request=raise_of)
    expect(page.locator("[data-row]")).to_have_count(4)
    expect(page.locator(f'[data-id="{names[1]}"] [data-open]')).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{console.url}/requests/{names[1]}")
    page.go_back()
    expect(page.locator("[data-row]")).to_have_count(4)


def test_approve_with_keys_and_a_dialog(console: Console, hana: Person) -> None:
    name = console.ask(request=raise_of)
    page = hana.open(f"/requests/{name}")
    hana.live()
    hana.shot("request", full=True)
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("a")
    dialog = page.locator("#dialog-approve")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("dora@example.com may run exactly this statement on prod-payroll")
    expect(dialog).to_contain_text("touching at most 4,800 rows")
    expect(dialog.get_by_label("Note")).to_be_focused()
    hana.shot("dialog")
    page.keyboard.type("adj factors look right")
    expect(dialog.get_by_label("Note")).to_have_value("adj factors look right")
    dialog.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    expect(page.locator(".agreed")).to_contain_text("adj factors look right")
    expect(page.locator("[data-region=decision]")).to_contain_text("1 of 2 people have agreed")
    expect(page.get_by_text("You may not approve it: you have already approved this request.")).to_be_visible()
    assert status_of(console, name) == "pending"


def test_what_others_decide_shows_at_once(console: Console, hana: Person, people: Callable[..., Person]) -> None:
    name = console.ask(request=raise_of)
    page = hana.open(f"/requests/{name}")
    hana.live()
    bob = people()
    other = bob.sign_in("bob", f"/requests/{name}")
    bob.live()
    page.keyboard.press("a")
    page.locator("#dialog-approve").get_by_role("button", name="Approve").click()
    expect(other.locator("[data-region=decision]")).to_contain_text("1 of 2 people have agreed")
    expect(other.locator(".agreed")).to_contain_text("hana@example.com agreed")
    other.get_by_role("link", name="Approve").click()
    other.locator("#dialog-approve").get_by_role("button", name="Approve").click()
    expect(page.locator("h1 .status")).to_have_text("approved")
    expect(page.locator("[data-region=decision]")).to_contain_text(re.compile("Approved, usable for (59 min|1 h)"))
    assert status_of(console, name) == "approved"
    page.get_by_role("link", name="Revoke").click()
    page.locator("#dialog-revoke").get_by_role("button", name="Revoke").click()
    expect(other.locator("h1 .status")).to_have_text("revoked")


def test_a_denial_asks_why(console: Console, hana: Person) -> None:
    name = console.ask()
    page = hana.open("/")
    hana.live()
    page.keyboard.press("j")
    page.keyboard.press("d")
    expect(page).to_have_url(f"{console.url}/requests/{name}/deny")
    page.get_by_role("button", name="Deny").click()
    assert page.evaluate("document.querySelector('textarea').validity.valueMissing")
    page.get_by_label("Note").fill("Wait for Monday")
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text("Your denial is recorded.")).to_be_visible()
    expect(page.locator(".event").first).to_contain_text("Wait for Monday")
    assert status_of(console, name) == "denied"


def test_a_dialog_that_comes_too_late(console: Console, hana: Person) -> None:
    name = console.ask()
    page = hana.open(f"/requests/{name}")
    hana.live()
    page.keyboard.press("a")
    page.keyboard.type("fine")
    console.service.withdraw(console.person("dora", "engineering"), name, "not needed")
    expect(page.locator("h1 .status")).to_have_text("withdrawn")
    dialog = page.locator("#dialog-approve")
    expect(dialog.get_by_label("Note")).to_have_value("fine")
    dialog.get_by_role("button", name="Approve").click()
    expect(page.get_by_text(f"request {name} was withdrawn")).to_be_visible()


def test_without_scripts(console: Console, people: Callable[..., Person]) -> None:
    name = console.ask(request=raise_of)
    person = people(java_script_enabled=False)
    page = person.sign_in("hana", "/")
    page.get_by_role("link", name="update payroll.pay").click()
    expect(page.get_by_text("expires 20")).not_to_have_count(0)
    page.get_by_role("link", name="Approve").click()
    expect(page).to_have_url(f"{console.url}/requests/{name}/approve")
    page.get_by_label("Note").fill("by hand")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Your approval is recorded.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
    assert [one["name"] for one in person.context.cookies(console.url) if one["name"].startswith("__Host-")] == []


def test_signing_out_in_another_tab(console: Console, hana: Person) -> None:
    name = console.ask()
    page = hana.open("/")
    hana.live()
    second = hana.context.new_page()
    second.goto(f"{console.url}/mine")
    second.get_by_role("button", name="Sign out").click()
    expect(second.get_by_role("heading", name="Signed out")).to_be_visible()
    console.service.withdraw(console.person("dora", "engineering"), name, "")
    expect(page.get_by_text("You are signed out, so this page stands still.")).to_be_visible()


def test_hostile_texts_do_nothing(console: Console, hana: Person) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e\x1b[2J"
    mallory = console.person("mallory", "engineering")
    mallory = replace(mallory, email=f"{hostile}@example.com", name=hostile)

    def ask(who: Identity) -> ApprovalRequest:
        return request_of(who, statement=f"SELECT $${hostile}$$", reason=hostile, message=hostile, masked=(hostile,))

    name = console.ask(mallory, ask)
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    hana.page.on("dialog", note)
    for path in ("/", f"/requests/{name}", f"/requests/{name}/deny", "/history"):
        page = hana.open(path)
        expect(page.locator("main")).to_contain_text("<img src=x onerror=alert(1)>")
        assert page.locator("main img, main script").count() == 0
        assert not set("\u202e\x1b") & set(page.content())
    hana.open(f"/requests/{name}")
    hana.live()
    console.service.deny(console.person("closer", "dba"), name, hostile)
    expect(hana.page.locator(".event").first).to_contain_text("<img src=x")
    assert dialogs == []


def test_the_policy_stops_what_slips_through(console: Console, hana: Person) -> None:
    page = hana.open("/")
    violations = page.evaluate(
        """async () => {
            const found = [];
            document.addEventListener('securitypolicyviolation', (event) => found.push(event.effectiveDirective));
            const script = document.createElement('script');
            try { script.textContent = 'window.slipped = 1'; document.body.append(script); } catch {}
            try { document.body.insertAdjacentHTML('beforeend', '<img src="https://evil.invalid/x">'); } catch {}
            try { await fetch('https://evil.invalid/'); } catch {}
            const style = document.createElement('style');
            style.textContent = 'body { display: none }';
            document.head.append(style);
            await new Promise((done) => setTimeout(done, 0));
            return [found.sort(), window.slipped ?? 0, getComputedStyle(document.body).display];
        }"""
    )
    assert violations[1:] == [0, "block"]
    assert {"connect-src", "require-trusted-types-for", "style-src-elem"} <= set(violations[0])
    assert all("Content Security Policy" in problem or "TrustedHTML" in problem for problem in hana.problems)
    hana.problems.clear()


def test_another_site_can_neither_frame_nor_post(console: Console, hana: Person) -> None:
    name = console.ask()
    page = hana.context.new_page()
    page.route(
        "https://evil.invalid/**",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f'<iframe src="{console.url}/"></iframe>'
            f'<form method="post" action="{console.url}/requests/{name}/approve"><input name="note"></form>',
        ),
    )
    page.goto("https://evil.invalid/")
    frame = page.frames[1]
    assert frame.url in ("about:blank", "chrome-error://chromewebdata/", "")
    with page.expect_navigation():
        page.evaluate("document.forms[0].submit()")
    assert page.url.startswith(console.url)
    assert status_of(console, name) == "pending"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(console: Console, people: Callable[..., Person], scheme: str) -> None:
    name = console.ask(request=raise_of)
    person = people(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme=scheme)
    page = person.sign_in("hana")
    person.ready()
    person.shot(f"phone-inbox-{scheme}")
    for path in ("/", "/mine", "/history", f"/requests/{name}", f"/requests/{name}/approve", "/sessions"):
        page = person.open(path)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, f"{path} is {width} wide"
    page = person.open(f"/requests/{name}")
    person.live()
    expect(page.get_by_role("link", name="Approve")).to_be_in_viewport()
    person.shot(f"phone-request-{scheme}")
    page.get_by_role("link", name="Approve").tap()
    dialog = page.locator("#dialog-approve")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Approve").tap()
    expect(page.get_by_text("Your approval is recorded.")).to_be_visible()


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('.unseen, .skip, dialog:not([open])')) continue;
    const [front, back] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName} ${ratio.toFixed(2)}: ${element.textContent.trim().slice(0, 30)}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_landmarks_and_names(console: Console, people: Callable[..., Person], scheme: str) -> None:
    name = console.ask(request=raise_of)
    other = console.ask(request=unmask_request_of)
    console.service.approve(console.person("bob", "data-owners"), name, "as agreed")
    person = people(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    page = person.sign_in("hana")
    session = "/sessions"
    for path in (
        "/",
        "/history",
        f"/requests/{name}",
        f"/requests/{other}",
        f"/requests/{name}/deny",
        session,
        "/nothing",
    ):
        person.open(path)
        assert page.evaluate(CONTRAST) == [], path
        assert page.locator("main").count() == page.locator("h1").count() == 1, path
        assert page.locator("html[lang=en]").count() == 1
        unnamed = page.evaluate(
            "() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
            ".filter((field) => !field.labels.length && !field.ariaLabel).map((field) => field.name)"
        )
        assert unnamed == [], path
        ids = page.evaluate("() => [...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids)), path
    person.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    person.shot(f"inbox-{scheme}")
    person.open(f"/requests/{name}")
    person.shot(f"request-{scheme}", full=True)


def test_history_and_its_filters(console: Console, hana: Person) -> None:
    name = console.ask(request=lambda who: request_of(who, target="shop", statement="DELETE FROM carts"))
    console.service.deny(console.person("closer", "dba"), name, "no")
    page = hana.open("/history")
    page.get_by_label("Status").select_option("denied")
    page.get_by_label("Target").fill("shop")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator(f'[data-id="{name}"]')).to_be_visible()
    hana.shot("history")
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="My requests")).to_be_visible()


def test_recordings_and_their_player(console: Console, hana: Person) -> None:
    page = hana.open("/sessions")
    expect(page.locator("tbody tr")).to_have_count(25)
    hana.shot("sessions")
    page.get_by_role("link", name="Earlier").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    page.get_by_label("Outcome").select_option("denied")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    screen = page.locator("[data-player]")
    expect(screen).to_contain_text("***7919")
    expect(screen).to_contain_text("SELECT '<b>\\u202e\\x1b[2J'")
    expect(page.get_by_text("Every record carries the hash of the one before it")).to_be_visible()
    statements = screen.locator(".f-statement")
    expect(statements).to_have_count(3)
    hana.shot("replay")
    page.keyboard.press("p")
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(statements.nth(0)).to_have_class(re.compile("current"))
    expect(statements.nth(1)).to_be_hidden()
    page.get_by_role("button", name="Next statement").click()
    expect(statements.nth(1)).to_be_visible()
    expect(statements.nth(2)).to_be_hidden()
    page.get_by_label("Speed").select_option("16")
    page.get_by_role("button", name="Play").click()
    expect(statements.nth(2)).to_be_visible()
    expect(screen).to_have_attribute("data-state", "still")
    expect(screen.locator(".f-end")).to_be_visible()


def test_recordings_are_for_auditors(console: Console, people: Callable[..., Person]) -> None:
    person = people()
    page = person.sign_in("bob")
    expect(page.get_by_role("link", name="Sessions")).to_have_count(0)
    page.goto(f"{console.url}/sessions")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()


def test_a_transcript_that_was_altered(console: Console, hana: Person) -> None:
    page = hana.open(f"/sessions/{console.altered}")
    expect(page.get_by_text("This transcript was altered")).to_be_visible()
