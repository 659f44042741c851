"""The tests in policy files, run through the real gate on an imagined catalog."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dbgate.catalog import Catalog, CatalogColumn, CatalogRelation
from dbgate.config import load_policy_file
from dbgate.config.policies import builtin_dir
from dbgate.gate.policy.advice import terms
from dbgate.gate.policy.imagined import imagine
from dbgate.gate.policy.model import Policy
from dbgate.gate.policy.read import read_policy
from dbgate.gate.policy.trial import NOON, idle_globs, judge_once, run_tests
from dbgate.gate.syntax import parse_one, split
from dbgate.model import Identity, NeedsApproval

FRAME = """\
version: 1
classify: [{columns: ["app.users.ssn", "*.*.email"], tag: pii.ssn}]
mask: {"*": {method: redact}}
rows: [{table: app.users, where: "region = 'EU'", except: {groups: [admins]}}]
rules:
  - {id: read, effect: allow, when: {groups: [staff, admins], access: read}}
  - {id: write, effect: allow, when: {groups: [staff], access: write}}
  - {id: bulk, effect: approve, when: {access: write, rows: ">10"}, reviewers: [{groups: [dba]}]}
tests:
"""


def outcome(test: str) -> str:
    """Why the test fails, or nothing."""
    failures = run_tests(read_policy([("p.yaml", f"{FRAME}  - {{{test}}}\n")]))
    return failures[0].reason if failures else ""


@pytest.mark.parametrize("name", ["default", "read-only", "payroll", "webshop"])
def test_the_policies_that_come_with_dbgate_pass_their_own_tests(name: str) -> None:
    policy = load_policy_file(builtin_dir() / f"{name}.yaml")
    assert len(policy.tests) >= 5
    assert [(f.test.sql, f.reason) for f in run_tests(policy)] == []


@pytest.mark.parametrize(
    "test",
    [
        'sql: "SELECT id FROM app.orders", as: {groups: [staff]}, expect: allow, rule: read',
        'sql: "SELECT * FROM app.users", as: {groups: [admins]}, expect: mask, masked: [app.users.ssn]',
        'sql: "SELECT u.email, o.id FROM app.users u JOIN app.orders o ON o.user_id = u.id", as: {groups: [staff]}, '
        "expect: mask, masked: [app.users.email]",
        'sql: "WITH x AS (SELECT id FROM app.orders) SELECT id FROM x", as: {groups: [staff]}, expect: allow',
        'sql: "INSERT INTO app.orders (id, total) VALUES (1, 2)", as: {groups: [staff]}, rows: 1, expect: allow',
        "sql: \"UPDATE app.orders SET note = 'x' WHERE id = :id\", parameters: {id: '5'}, as: {groups: [staff]}, rows: 11, "
        "expect: approve, rule: bulk",
        'sql: "DROP TABLE app.users", as: {groups: [staff]}, expect: deny',
        'sql: "SELECT relname FROM pg_catalog.pg_class", as: {groups: [staff]}, expect: allow',
        'sql: "SELECT 1", expect: deny',
    ],
)
def test_statements_are_judged_as_if_their_tables_existed(test: str) -> None:
    assert outcome(test) == ""


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ('sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, expect: allow', "expected allow, got mask by read"),
        ('sql: "SELECT id FROM app.orders", expect: allow', "expected allow, got deny: no rule allows select"),
        (
            'sql: "SELECT id FROM app.orders", as: {groups: [staff]}, expect: allow, rule: write',
            "expected the rule write, got read",
        ),
        (
            'sql: "SELECT ssn, email FROM app.users", as: {groups: [staff]}, expect: mask, masked: [app.users.ssn]',
            "expected app.users.ssn to be masked, got app.users.email, app.users.ssn",
        ),
        (
            'sql: "UPDATE app.orders SET a = 1 WHERE id = 1", as: {groups: [staff]}, expect: allow',
            "it hangs on the rows that the statement touches (bulk): say rows: …",
        ),
        ('sql: "SELECT 1; SELECT 2", as: {groups: [staff]}, expect: allow', "a test holds one statement, this one 2"),
        ('sql: "SELEC 1", as: {groups: [staff]}, expect: deny', "syntax error"),
    ],
)
def test_failures_say_what_came_instead(test: str, reason: str) -> None:
    assert reason in outcome(test)


def policy_of(text: str) -> Policy:
    return read_policy([("p.yaml", f"version: 1\n{text}")])


def imagined(sql: str) -> dict[str, tuple[str, ...]]:
    catalog = imagine(parse_one(sql), read_policy([("p.yaml", FRAME.removesuffix("tests:\n"))]))
    return {f"{r.schema}.{r.name}": tuple(c.name for c in r.columns) for r in catalog.relations}


def test_what_a_statement_names_is_imagined() -> None:
    assert imagined("SELECT o.id, total, u.name FROM app.orders o JOIN users u ON u.id = o.user_id") == {
        "app.orders": ("id", "total", "user_id"),
        "public.users": ("name", "id"),
    }
    assert imagined("MERGE INTO a.t USING b.s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v") == {
        "a.t": ("v", "k"),
        "b.s": ("k", "v"),
    }
    assert imagined("COPY app.orders (id, note) TO STDOUT") == {"app.orders": ("id", "note")}
    assert imagined("CREATE TEMP TABLE t AS SELECT id FROM app.orders") == {"app.orders": ("id",)}
    assert imagined("SELECT * FROM app.users") == {"app.users": ("ssn", "region")}
    assert imagined("WITH q AS (SELECT 1 AS a) SELECT a FROM q") == {}


def test_idle_globs_are_those_that_match_nothing() -> None:
    text = CatalogColumn(1, "ssn", "text", 25, 25, "text", "S")
    catalog = Catalog("d", "r", 170000, ("public",), "f", ("app",), (CatalogRelation(1, "app", "users", "r", (text,)),))
    policy = policy_of(
        'classify: [{columns: ["app.users.ssn", "app.user.ssn", "*.*.email"], tag: a}]\n'
        "rows: [{table: app.gone, where: x}]\n"
        'rules: [{id: r, effect: allow, when: {tables: ["app.*", "ap.*", "pg_temp.*"]}}]\n'
    )
    found = [(idle.glob, idle.ref.line) for idle in idle_globs(policy, catalog, ["p.yaml"])]
    assert found == [("app.user.ssn", 2), ("*.*.email", 2), ("app.gone", 3), ("ap.*", 4)]
    assert list(idle_globs(policy, catalog, ["other.yaml"])) == []


OPENING = """\
version: 1
classify:
  - {columns: ["app.users.ssn"], tag: pii.ssn}
  - {columns: ["app.users.pay"], tag: finance.pay}
unmask: [{tags: ["pii.*"], groups: [staff], approval: {groups: [privacy], count: 1, for: 30m}}]
rules:
  - {id: read, effect: allow, when: {groups: [staff, guests], access: read}}
  - {id: write, effect: allow, when: {groups: [staff], access: write}}
tests:
"""


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ('sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, unmasked: [pii.ssn], expect: allow', ""),
        ('sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, unmasked: ["pii.*"], expect: allow', ""),
        ('sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, expect: mask, masked: [app.users.ssn]', ""),
        (
            'sql: "SELECT ssn, pay FROM app.users", as: {groups: [staff]}, unmasked: pii.ssn, expect: mask, masked: [app.users.pay]',
            "",
        ),
        (
            'sql: "UPDATE app.users SET name = ssn WHERE id = 1", as: {groups: [staff]}, unmasked: pii.ssn, expect: deny',
            "",
        ),
        (
            'sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, unmasked: [finance.pay], expect: mask',
            "no unmask entry of the policy lets you ask to see finance.pay in clear; your groups: staff",
        ),
        (
            'sql: "SELECT ssn FROM app.users", as: {groups: [guests]}, unmasked: [pii.ssn], expect: mask',
            "no unmask entry of the policy lets you ask to see pii.ssn in clear; your groups: guests",
        ),
        (
            'sql: "SELECT ssn FROM app.users", as: {groups: [staff]}, unmasked: [pii.sn], expect: mask',
            "no such tag: pii.sn; did you mean pii.ssn?",
        ),
    ],
)
def test_what_reviewers_agreed_to_show(test: str, reason: str) -> None:
    failures = run_tests(read_policy([("p.yaml", f"{OPENING}  - {{{test}}}\n")]))
    assert [failure.reason for failure in failures] == ([reason] if reason else [])


APPROVALS = """\
version: 1
classify: [{columns: ["app.users.ssn"], tag: pii.ssn}]
mask: {"*": {method: redact}}
rules:
  - {id: read, effect: allow, when: {access: read}}
  - {id: verbs, effect: approve, when: {verbs: delete}, reviewers: [{groups: [dba]}], uses: 5}
  - {id: tables, effect: approve, when: {access: write, tables: ["pay.*"]}, reviewers: [{groups: [a]}, {groups: [b], count: 2}]}
  - {id: tags, effect: approve, when: {access: write, tags: "pii.*"}, reviewers: [{groups: [privacy]}]}
  - {id: rows, effect: approve, when: {access: write, rows: ">10"}, reviewers: [{groups: [dba]}]}
  - {id: actor, effect: approve, when: {access: write, actor: agent}, reviewers: [{groups: [owners]}], break_glass: {groups: [oncall]}}
  - {id: place, effect: approve, when: {access: write, environment: production}, reviewers: [{groups: [dba]}], grant: session, for: 1h}
  - {id: night, effect: approve, when: {access: write, outside: "Mon-Fri 08:00-18:00 Europe/Berlin"}, reviewers: [{groups: [dba]}],
     break_glass: {groups: [oncall]}}
  - {id: write, effect: allow, when: {access: write}}
tests:
"""
INSERT = 'sql: "INSERT INTO app.orders VALUES (1)"'


@pytest.mark.parametrize(
    "test",
    [
        f"{INSERT}, rows: 1, expect: allow, rule: write",
        'sql: "DELETE FROM app.orders WHERE id = 1", rows: 1, expect: approve, rule: verbs, uses: 5, grant: statement',
        'sql: "INSERT INTO pay.slips VALUES (1)", rows: 1, expect: approve, rule: tables',
        "sql: \"UPDATE app.users SET ssn = 'x' WHERE id = 1\", rows: 1, expect: approve, rule: tags",
        f"{INSERT}, rows: 11, expect: approve, rule: rows",
        f"{INSERT}, rows: 1, as: {{actor: agent}}, expect: approve, rule: actor",
        # Agents break no glass, whatever their groups.
        f"{INSERT}, rows: 1, as: {{actor: agent, groups: [oncall]}}, expect: approve, rule: actor",
        f"{INSERT}, rows: 1, environment: production, expect: approve, rule: place, grant: session",
        f"{INSERT}, rows: 1, environment: staging, expect: allow",
        # Winter time and summer time: 07:30 and 06:30 in UTC are 08:30 in Berlin.
        f'{INSERT}, rows: 1, at: "2026-01-07T07:30:00Z", expect: allow',
        f'{INSERT}, rows: 1, at: "2026-01-07T06:30:00Z", expect: approve, rule: night',
        f'{INSERT}, rows: 1, at: "2026-07-08T06:30:00Z", expect: allow',
        f'{INSERT}, rows: 1, at: "2026-01-10T10:00:00Z", expect: approve, rule: night',
        f'{INSERT}, rows: 1, at: "2026-01-10T10:00:00Z", as: {{groups: [oncall]}}, expect: break-glass, rule: night',
        # One rule that cannot be broken is enough to ask for all.
        f'{INSERT}, rows: 11, at: "2026-01-10T10:00:00Z", as: {{groups: [oncall]}}, expect: approve, rule: rows',
    ],
)
def test_every_condition_of_an_approval(test: str) -> None:
    failures = run_tests(read_policy([("p.yaml", f"{APPROVALS}  - {{{test}}}\n")]))
    assert [failure.reason for failure in failures] == []


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (
            'sql: "DELETE FROM app.orders WHERE id = 1", expect: approve, uses: 4',
            "expected a grant for 4 runs, got one for 5",
        ),
        (
            'sql: "DELETE FROM app.orders WHERE id = 1", expect: approve, grant: session',
            "expected a grant for a session, got one for a statement",
        ),
        (f"{INSERT}, expect: allow, grant: session", "it needs no approval, so there is no grant"),
        (f"{INSERT}, expect: break-glass", "expected break-glass, got allow"),
    ],
)
def test_grants_that_differ(test: str, why: str) -> None:
    failures = run_tests(read_policy([("p.yaml", f"{APPROVALS}  - {{{test}, rows: 1}}\n")]))
    assert failures[0].reason.startswith(why)


@pytest.mark.parametrize(
    ("sql", "environment", "groups", "rows", "said"),
    [
        ("DELETE FROM app.orders WHERE id = 1", "", (), 1, "approve, by 1 of dba, for 5 runs"),
        ("INSERT INTO pay.slips VALUES (1)", "", (), 1, "approve, by 1 of a and 2 of b"),
        ("INSERT INTO app.orders VALUES (1)", "production", (), 1, "approve, by 1 of dba, for one session and 1 h"),
        (
            "INSERT INTO app.orders VALUES (1)",
            "",
            ("oncall",),
            1,
            "break-glass: runs at once with a reason, reviewed afterwards by 1 of dba",
        ),
    ],
)
def test_an_approval_in_words(sql: str, environment: str, groups: tuple[str, ...], rows: int, said: str) -> None:
    policy = read_policy([("p.yaml", APPROVALS + f"  - {{{INSERT}, rows: 1, expect: allow}}\n")])
    source = split(sql)[0]
    at = datetime(2026, 1, 10, 10, tzinfo=UTC) if groups else NOON
    found = judge_once(
        source,
        policy=policy,
        catalog=imagine(source.tree, policy),
        identity=Identity("i", "s", groups=groups),
        environment=environment,
        now=at,
        rows=rows,
    )
    assert isinstance(found.decision, NeedsApproval)
    assert terms(found.decision) == said
