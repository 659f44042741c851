"""Policy files: the design's example key by key, and every mistake with its file, line and way out."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from dbgate.errors import EXIT_USAGE, DocumentError
from dbgate.gate.policy.model import Comparison, Limits, MaskMethod, Policy, Unmask, Window
from dbgate.gate.policy.read import read_policy
from dbgate.gate.policy.verbs import VERBS
from dbgate.model import Access, Actor, ReviewClause, SessionLimits

EXAMPLE = """\
version: 1
classify:
  - {columns: ["payroll.employees.ssn", "*.*.*ssn*"], tag: pii.ssn}
  - {columns: ["*.*.email", "*.*.*_email"],           tag: pii.email}
  - {columns: ["payroll.employees.salary"],           tag: finance.pay}
  - {columns: ["payroll.pay.iban"],                   tag: finance.account}
mask:
  pii.ssn:         {method: partial, last: 4}
  pii.email:       {method: email}            # p***@example.com
  finance.pay:     {method: "null"}
  finance.account: {method: token}
  "*":             {method: redact}
unmask:
  - {tags: ["finance.*"], groups: [payroll-admins]}
  - {tags: ["pii.*"], groups: [support], approval: {groups: [data-protection], count: 1, for: 30m}}
rows:
  - {table: payroll.employees, where: "region = 'EU'", except: {groups: [payroll-admins]}}
rules:
  - {id: staff-read,      when: {groups: [engineering], access: read}, effect: allow}
  - {id: staff-write,     when: {groups: [engineering], verbs: [insert, update, delete], tables: ["payroll.*"]}, effect: allow}
  - {id: no-destruction,  when: {verbs: [drop, truncate, alter]}, effect: deny, message: "Schema changes go through migrations."}
  - {id: no-blanket,      when: {verbs: [update, delete], where: missing}, effect: deny}
  - {id: bulk,            when: {verbs: [update, delete, merge], rows: ">100"}, effect: approve,
                           reviewers: [{groups: [dba], count: 1}, {groups: [data-owners], count: 1}], expires: 2h}
  - {id: agents,          when: {actor: agent, access: write}, effect: deny}
  - {id: office-hours,    when: {environment: production, access: write, outside: "Mon-Fri 08:00-18:00 Europe/Berlin"}, effect: approve, reviewers: [{groups: [oncall], count: 1}]}
limits: {rows: 10000, bytes: 64MiB, statement_timeout: 30s, lock_timeout: 5s, idle: 15m, session: 8h}
functions: {allow: ["public.fiscal_year(date)"]}
reason: required                # optional | required
tests:
  - {sql: "DROP TABLE payroll.employees", as: {groups: [engineering]}, expect: deny, rule: no-destruction}
"""

LABEL = '- {columns: ["a.b.c"], tag: pii.ssn}'


def read(text: str) -> Policy:
    return read_policy([("p.yaml", text)])


def error_of(text: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value


def test_the_whole_example_is_read() -> None:
    policy = read(EXAMPLE)
    assert [(entry.tag, entry.columns) for entry in policy.classify] == [
        ("pii.ssn", ("payroll.employees.ssn", "*.*.*ssn*")),
        ("pii.email", ("*.*.email", "*.*.*_email")),
        ("finance.pay", ("payroll.employees.salary",)),
        ("finance.account", ("payroll.pay.iban",)),
    ]
    assert dict(policy.mask) == {
        "pii.ssn": MaskMethod("partial", last=4),
        "pii.email": MaskMethod("email"),
        "finance.pay": MaskMethod("null"),
        "finance.account": MaskMethod("token"),
        "*": MaskMethod("redact"),
    }
    assert policy.mask[-1][0] == "*"
    first, second = policy.unmask
    assert isinstance(first, Unmask)
    assert (first.tags, first.groups, first.approval) == (("finance.*",), ("payroll-admins",), None)
    assert second.approval is not None
    assert (second.approval.clauses, second.approval.for_s) == ((ReviewClause(("data-protection",), 1),), 1800)
    (rows,) = policy.rows
    assert (rows.table, rows.where, rows.except_groups) == ("payroll.employees", "region = 'EU'", ("payroll-admins",))
    assert policy.limits == Limits(10000, 64 * 1024 * 1024, 30.0, 5.0, 900.0, 28800.0)
    assert policy.functions.allow == ("public.fiscal_year(date)",)
    assert policy.reason_required
    (test,) = policy.tests
    assert (test.expect, test.groups, test.rule) == ("deny", ("engineering",), "no-destruction")


def test_the_rules_of_the_example() -> None:
    rules = {rule.id: rule for rule in read(EXAMPLE).rules}
    assert list(rules) == [
        "staff-read",
        "staff-write",
        "no-destruction",
        "no-blanket",
        "bulk",
        "agents",
        "office-hours",
    ]
    assert rules["staff-read"].when.access == (Access.READ,)
    assert rules["staff-write"].when.tables == ("payroll.*",)
    assert (rules["no-destruction"].effect, rules["no-destruction"].message) == (
        "deny",
        "Schema changes go through migrations.",
    )
    assert rules["no-blanket"].when.where_missing
    assert rules["bulk"].when.rows == Comparison(">", 100)
    assert rules["bulk"].clauses == (ReviewClause(("dba",), 1), ReviewClause(("data-owners",), 1))
    assert rules["bulk"].expires_s == 7200
    assert rules["agents"].when.actor == (Actor.AGENT,)
    assert rules["office-hours"].when.outside == Window(frozenset(range(5)), time(8), time(18), "Europe/Berlin")
    assert rules["office-hours"].when.environment == ("production",)
    assert rules["office-hours"].expires_s == 3600
    assert (rules["bulk"].ref.file, rules["bulk"].ref.line) == ("p.yaml", 23)


RULE = "version: 1\nrules:\n  - {id: a, effect: allow, when: {access: read}}\n"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("rules: []\n", 1, "the key version is missing", "add version"),
        ("reason: required\n", 1, "the key version is missing", "add version"),
        ("verson: 1\nreason: required\n", 1, "unknown key: verson", "did you mean version?"),
        ("version: 2\n", 1, "there is no version 2", "version: 1"),
        ('version: "1"\n', 1, "version: expected a whole number", ""),
        ("version: 1\nrule: []\n", 2, "unknown key: rule", "did you mean rules?"),
        ("version: 1\nrules: []\n", 2, "rules: the list is empty", "leave the key out"),
        ("version: 1\nclassify: []\n", 2, "classify: the list is empty", ""),
        ("version: 1\ntests: []\n", 2, "tests: the list is empty", ""),
        ("version: 1\nmask: {}\n", 2, "mask: the mapping is empty", ""),
        ("version: 1\nlimits: {}\n", 2, "limits: the mapping is empty", ""),
        ("version: 1\nrules:\n", 2, "rules: nothing stands behind the key", ""),
        ("version: 1\nrules: {id: a}\n", 2, "rules: expected a list, found a mapping", ""),
        ("version: 1\nreason: maybe\n", 2, "reason: there is no maybe", "optional, required"),
        (RULE + "  - {id: a, effect: deny, when: {access: read}}\n", 4, "the rule a stands twice", "another id"),
        ("version: 1\nrules:\n  - {id: a, when: {access: read}}\n", 3, "the key effect is missing", "add effect"),
        (
            "version: 1\nrules:\n  - {id: a, when: {access: read}, efect: deny}\n",
            3,
            "unknown key in rules: efect",
            "did you mean effect?",
        ),
        ("version: 1\nrules:\n  - {id: a, effect: allow}\n", 3, "the key when is missing", "add when"),
        ("version: 1\nrules:\n  - {id: a, effect: allow, when: {}}\n", 3, "when: the mapping is empty", ""),
        ("version: 1\nrules:\n  - {id: a b, effect: allow, when: {access: read}}\n", 3, "a b cannot be an id", ""),
        ("version: 1\nrules:\n  - {effect: allow, when: {access: read}}\n", 3, "the key id is missing", ""),
    ],
)
def test_mistakes_in_the_frame(text: str, line: int, message: str, hint: str) -> None:
    error = error_of(text)
    assert (error.line, error.message.startswith(f"p.yaml:{line}: ")) == (line, True)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("when", "message", "hint"),
    [
        ("{group: [a]}", "unknown key in when: group", "did you mean groups?"),
        ("{groups: []}", "groups: the list is empty", "leave the key out"),
        ('{groups: [""]}', "groups: the text is empty", ""),
        ("{groups: [no]}", "groups: expected text, found no", 'quote it: "no"'),
        ("{groups: {a: b}}", "groups: expected text, found a mapping", ""),
        ("{groups: [a], not_groups: [a]}", "a stands in groups and in not_groups", "never match"),
        ("{access: reads}", "access: there is no reads", "did you mean read?"),
        ("{access: []}", "access: the list is empty", ""),
        ("{verbs: [updat]}", "verbs: there is no updat", "did you mean update?"),
        ("{verbs: [UPDATE]}", "verbs: there is no UPDATE", ""),
        ("{verbs: []}", "verbs: the list is empty", ""),
        ("{actor: robot}", "actor: there is no robot", "agent"),
        ("{where: absent}", "where: there is no absent", "missing"),
        ("{where: missing, verbs: [insert]}", "where: missing is for update and delete", "never match"),
        ("{tables: [payroll]}", "payroll has 1 dotted part, not 2", ""),
        ('{tables: ["a.b.c"]}', "a.b.c has 3 dotted parts, not 2", ""),
        ('{tables: ["a.[bc]"]}', "bracket", ""),
        ('{tables: ["a. b"]}', "space", ""),
        ('{tables: [".b"]}', "empty part", ""),
        ("{rows: 100}", "rows: expected a comparison", "before the number"),
        ('{rows: "100"}', "rows: expected a comparison", ""),
        ('{rows: "> -1"}', "rows: expected a comparison", ""),
        ('{rows: ">١"}', "rows: expected a comparison", ""),
        ('{rows: [">1"]}', "rows: expected a comparison", ""),
        ('{outside: "Mon-Fri 08:00-18:00 Europe/Berln"}', "no time zone Europe/Berln", "did you mean Europe/Berlin?"),
        ('{outside: "Mon-Fri 08:00-18:00 ../../etc/passwd"}', "no time zone ../../etc/passwd", ""),
        ('{outside: "Mon-Fri 08:00-18:00"}', "expected days, hours and a time zone", "Europe/Berlin"),
        ('{outside: "Mo-Fr 08:00-18:00 UTC"}', "there is no day Mo", "did you mean Mon?"),
        ('{outside: "Mon 8:00-18:00 UTC"}', "expected days, hours and a time zone", ""),
        ('{outside: "Mon 08:00-24:30 UTC"}', "there is no time 24:30", ""),
        ('{inside: "Mon 08:00-08:00 UTC"}', "begins and ends at the same time", ""),
        ('{tags: ["pii.*"]}', "no tag matches pii.*", "there are no tags"),
    ],
)
def test_mistakes_in_conditions(when: str, message: str, hint: str) -> None:
    error = error_of(f"version: 1\n\nrules:\n  - id: a\n    effect: deny\n    when: {when}\n")
    assert error.line == 6
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("effect: alow", "effect: there is no alow"),
        ("effect: approve", "the key reviewers is missing"),
        ("effect: approve, reviewers: []", "reviewers: the list is empty"),
        ("effect: approve, reviewers: [{groups: []}]", "groups: the list is empty"),
        ("effect: approve, reviewers: [{count: 1}]", "the key groups is missing"),
        ("effect: approve, reviewers: [{groups: [a], count: 0}]", "count: expected a number from 1 to 20, found 0"),
        ("effect: approve, reviewers: [{groups: [a], count: -1}]", "count: expected a number from 1"),
        ("effect: approve, reviewers: [{groups: [a]}, {groups: [a]}]", "the same clause stands twice"),
        ("effect: approve, reviewers: [{groups: [a]}], expires: 30", "expires: expected a duration"),
        ("effect: approve, reviewers: [{groups: [a]}], expires: 0s", "expires: expected a duration above zero"),
        ("effect: approve, reviewers: [{groups: [a]}], expires: 10ms", "expires: expected a duration of at least 1s"),
        ("effect: deny, reviewers: [{groups: [a]}]", "reviewers does not go with effect: deny"),
        ("effect: deny, break_glass: {groups: [a]}", "break_glass does not go with effect: deny"),
        ("effect: allow, uses: 5", "uses does not go with effect: allow"),
        ("effect: approve, reviewers: [{groups: [a]}], uses: 0", "uses: expected a number from 1 to 1000, found 0"),
        ("effect: approve, reviewers: [{groups: [a]}], uses: 1001", "uses: expected a number from 1 to 1000"),
        ("effect: approve, reviewers: [{groups: [a]}], statements: 5", "statements goes with grant: session only"),
        ("effect: approve, reviewers: [{groups: [a]}], for: 1h", "for goes with grant: session only"),
        ("effect: approve, reviewers: [{groups: [a]}], rows: 5", "rows goes with grant: session only"),
        ("effect: approve, reviewers: [{groups: [a]}], grant: forever", "grant: there is no forever"),
        ("effect: approve, reviewers: [{groups: [a]}], grant: session", "the key for is missing"),
        ("effect: approve, reviewers: [{groups: [a]}], grant: session, for: 25h", "granted a day at most"),
        (
            "effect: approve, reviewers: [{groups: [a]}], grant: session, for: 1h, uses: 2",
            "uses does not go with grant: session",
        ),
        (
            "effect: approve, reviewers: [{groups: [a]}], grant: session, for: 1h, expires: 1h",
            "expires does not go with grant: session",
        ),
        (
            "effect: approve, reviewers: [{groups: [a]}], grant: session, for: 1h, at: commit",
            "at: commit does not go with grant",
        ),
        ("effect: approve, reviewers: [{groups: [a]}], at: commit, uses: 2", "at: commit does not go with uses"),
        ("effect: approve, reviewers: [{groups: [a]}], at: noon", "at: there is no noon"),
        ("effect: approve, reviewers: [{groups: [a]}], break_glass: {}", "break_glass: the mapping is empty"),
        ("effect: approve, reviewers: [{groups: [a]}], break_glass: {groups: []}", "groups: the list is empty"),
        ("effect: allow, expires: 1h", "expires does not go with effect: allow"),
        ('effect: deny, message: ""', "message: the text is empty"),
    ],
)
def test_mistakes_in_effects(rest: str, message: str) -> None:
    error = error_of(f"version: 1\nrules:\n  - {{id: a, when: {{access: write}}, {rest}}}\n")
    assert (error.line, message in error.message) == (3, True), error.message


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("classify: [{columns: [], tag: a}]", "columns: the list is empty"),
        ("classify: [{columns: [ssn], tag: a}]", "ssn has 1 dotted part, not 3"),
        ('classify: [{columns: ["*.*.*ssn*", "a..b"], tag: a}]', "a..b has an empty part"),
        ("classify: [{columns: [a.b.c]}]", "the key tag is missing"),
        ('classify: [{columns: ["a. b.c"], tag: a}]', "a. b.c has a space at the end of a part"),
        (f"classify: [{LABEL[2:]}]\nmask: {{'pii ssn': {{method: redact}}}}", "mask: pii ssn is no tag"),
        ('rows: [{table: a.b, where: "a = 1 -- one\\n"}]', "where: expected one SQL condition and nothing else"),
        ('rows: [{table: a.b, where: "a = 1 /* one */"}]', "where: expected one SQL condition and nothing else"),
        ('classify: [{columns: [a.b.c], tag: "pii.*"}]', "pii.* cannot be a tag"),
        ("classify: [{columns: [a.b.c], tag: pii..x}]", "pii..x cannot be a tag"),
        ("classify: [{colums: [a.b.c], tag: a}]", "unknown key in classify: colums"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.snn: {{method: redact}}}}", "no classify entry gives the tag pii.snn"),
        (f"classify: [{LABEL[2:]}]\nmask: {{'fin.*': {{method: redact}}}}", "no tag matches fin.*"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.ssn: {{method: blur}}}}", "method: there is no blur"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.ssn: {{method: partial}}}}", "partial shows from 1 to 8 characters"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.ssn: {{method: partial, last: 9}}}}", "partial shows from 1 to 8"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.ssn: {{method: email, last: 4}}}}", "unknown key in pii.ssn: last"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.ssn: {{}}}}", "pii.ssn: the mapping is empty"),
        (f"classify: [{LABEL[2:]}]\nmask: {{pii.ssn: redact}}", "pii.ssn: expected a mapping"),
        (
            f"classify: [{LABEL[2:]}]\nunmask: [{{tags: [pii.ssm], groups: [a]}}]",
            "no classify entry gives the tag pii.ssm",
        ),
        (f"classify: [{LABEL[2:]}]\nunmask: [{{tags: ['pii ssn'], groups: [a]}}]", "tags: pii ssn is no tag"),
        (f"classify: [{LABEL[2:]}]\nunmask: [{{tags: [pii.ssn], groups: []}}]", "groups: the list is empty"),
        (f"classify: [{LABEL[2:]}]\nunmask: [{{tags: [pii.ssn]}}]", "the key groups is missing"),
        (
            f"classify: [{LABEL[2:]}]\nunmask: [{{tags: [pii.ssn], groups: [a], approval: {{groups: [b]}}}}]",
            "the key for is missing",
        ),
        (
            f"classify: [{LABEL[2:]}]\nunmask: [{{tags: [pii.ssn], groups: [a], approvals: {{groups: [b]}}}}]",
            "unknown key in unmask: approvals",
        ),
        ("rows: [{table: a.b, where: ''}]", "where: the text is empty"),
        ("rows: [{table: a, where: x}]", "a has 1 dotted part, not 2"),
        ("rows: [{table: a.b, where: 'x ='}]", "where: not a SQL condition"),
        ("rows: [{table: a.b, where: 'true) OR (true'}]", "where: not a SQL condition"),
        ("rows: [{table: a.b, where: 'true; DROP TABLE x'}]", "where: not a SQL condition"),
        ("rows: [{table: a.b, where: 'true ORDER BY 1'}]", "where: not a SQL condition"),
        ("rows: [{table: a.b, where: 'true -- '}]", "where: not a SQL condition"),
        ("rows: [{table: a.b, where: 'true /* x */'}]", "where: expected one SQL condition"),
        ("rows: [{table: a.b, where: x, except: [a]}]", "except: expected a mapping"),
        ("rows: [{table: a.b, where: x, except: {group: [a]}}]", "unknown key in except: group"),
        ("limits: {rows: 0}", "rows: expected a number from 1"),
        ("limits: {row: 5}", "unknown key in limits: row"),
        ("limits: {statement_timeout: 30}", "statement_timeout: expected a duration"),
        ("limits: {statement_timeout: 0s}", "statement_timeout: expected a duration above zero"),
        ("limits: {bytes: 64mb}", "bytes: expected a size"),
        ("functions: {allow: []}", "allow: the list is empty"),
        ("functions: {allow: [fiscal_year]}", "fiscal_year is not a function's signature"),
        ('functions: {allow: ["fiscal_year(date)"]}', "is not a function's signature"),
        ('functions: {allow: ["public.f(date,)"]}', "nothing is not a type"),
        ('functions: {allow: ["public.*(date)"]}', "is not a function's signature"),
        ('functions: {allow: ["public.f(*)"]}', "* is not a type"),
        ("functions: {extensions: []}", "extensions: the list is empty"),
        ("tests: [{sql: x, expect: denied}]", "expect: there is no denied"),
        ("tests: [{sql: x, expect: deny, rule: a}]", "rule: there is no rule a"),
        ("tests: [{sql: x, expect: deny, as: {group: [a]}}]", "unknown key in as: group"),
        ("tests: [{sql: x, expect: deny, at: '2026-01-01 12:00'}]", "at: expected a time with its offset"),
        ("tests: [{sql: x, expect: deny, rows: '5'}]", "rows: expected a whole number"),
        ("extends: []", "extends: the list is empty"),
        ("extends: [a.yaml, a.yaml]", "extends: a.yaml stands twice"),
    ],
)
def test_mistakes_in_sections(section: str, message: str) -> None:
    error = error_of(f"version: 1\n{section}\n")
    assert message in error.message
    assert error.line >= 2


def test_conditions_take_one_word_or_a_list() -> None:
    one = read(
        "version: 1\nrules:\n  - {id: a, effect: deny, when: {groups: x, verbs: drop, tables: a.b, actor: agent}}\n"
    )
    many = read(
        "version: 1\nrules:\n  - {id: a, effect: deny, when: {groups: [x], verbs: [drop], tables: [a.b], actor: [agent]}}\n"
    )
    assert one.rules[0].when == many.rules[0].when
    assert one.rules[0].when.verbs == ("drop",)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Mon-Fri", {0, 1, 2, 3, 4}),
        ("Sat,Sun", {5, 6}),
        ("Fri-Mon", {4, 5, 6, 0}),
        ("Mon,Wed-Thu", {0, 2, 3}),
        ("Sun", {6}),
    ],
)
def test_days_of_windows(text: str, days: set[int]) -> None:
    policy = read(f'version: 1\nrules:\n  - {{id: a, effect: deny, when: {{inside: "{text} 22:00-24:00 UTC"}}}}\n')
    assert policy.rules[0].when.inside == Window(frozenset(days), time(22), time(0), "UTC")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("public.f()", "public.f()"),
        ("public.f( int ,int8[] )", "public.f(integer, bigint[])"),
        (
            "public.f(int2, int4, bool[], float4, float8)",
            "public.f(smallint, integer, boolean[], real, double precision)",
        ),
        ("public.f(decimal, char, bpchar, varbit)", "public.f(numeric, character, character, bit varying)"),
        (
            "public.f(timestamp, time, timetz)",
            "public.f(timestamp without time zone, time without time zone, time with time zone)",
        ),
        ("app.price_with_tax(numeric,varchar)", "app.price_with_tax(numeric, character varying)"),
        ("app.at(timestamptz, double  precision)", "app.at(timestamp with time zone, double precision)"),
        ('"App"."Price"(app.money)', "App.Price(app.money)"),
    ],
)
def test_signatures_are_written_as_the_catalog_writes_them(written: str, meant: str) -> None:
    assert read(f"version: 1\nfunctions: {{allow: ['{written}']}}\n").functions.allow == (meant,)


def test_the_file_that_extends_goes_first() -> None:
    base = (
        "version: 1\nreason: required\nlimits: {rows: 5, idle: 1m}\n"
        f"classify:\n  {LABEL}\nmask: {{pii.ssn: {{method: redact}}}}\n"
        "rules: [{id: base, effect: deny, when: {access: read}}]\n"
        "tests: [{sql: x, expect: allow}]\n"
    )
    own = (
        "version: 1\nlimits: {rows: 7}\nmask: {pii.ssn: {method: token}}\n"
        "rules: [{id: own, effect: deny, when: {access: read}}]\ntests: [{sql: z, expect: deny, rule: base}]\n"
    )
    policy = read_policy([("base.yaml", base), ("own.yaml", own)])
    assert dict(policy.mask) == {"pii.ssn": MaskMethod("token")}
    assert policy.limits == Limits(rows=7, idle_s=60.0)
    assert policy.reason_required
    assert [rule.id for rule in policy.rules] == ["own", "base"]
    assert [test.sql for test in policy.tests] == ["z"]
    assert policy.files == ("base.yaml", "own.yaml")


def test_masks_stand_from_the_most_to_the_least_telling() -> None:
    policy = read(
        "version: 1\nclassify: [{columns: [a.b.c], tag: pii.ssn}, {columns: [a.b.d], tag: pii.x}]\n"
        'mask: {"*": {method: redact}, "pii.*": {method: hash}, "p*": {method: "null"}, pii.ssn: {method: token}}\n'
    )
    assert [tag for tag, _ in policy.mask] == ["pii.ssn", "pii.*", "p*", "*"]


def test_tests_say_who_when_and_how_many() -> None:
    policy = read(
        "version: 1\ntests:\n  - {sql: 'SELECT :id', expect: mask, masked: [a.b.c], parameters: {id: '5'}, rows: 3,\n"
        "     environment: production, at: 2026-03-02T12:00:00+01:00, as: {groups: [x], email: a@b.example, actor: agent}}\n"
    )
    (test,) = policy.tests
    assert (test.groups, test.email, test.actor) == (("x",), "a@b.example", Actor.AGENT)
    assert (test.rows, test.environment, test.masked) == (3, "production", ("a.b.c",))
    assert test.parameters == (("id", "5"),)
    assert test.at == datetime(2026, 3, 2, 11, tzinfo=UTC)


def test_nothing_moves_between_files_unseen() -> None:
    one = read_policy([("a", "version: 1\n"), ("b", "version: 1\nreason: required\n")])
    two = read_policy([("a", "version: 1\nreason: required\n"), ("b", "version: 1\n")])
    assert one.digest != two.digest
    assert one.digest.startswith("sha256:")


def test_every_verb_of_the_grammar_is_known() -> None:
    from dbgate.gate.allow.nodes import STATEMENTS

    assert {kind.verb for kind in STATEMENTS.values()} <= set(VERBS)


def test_what_an_approval_is_good_for() -> None:
    text = """\
version: 1
rules:
  - {id: five, when: {verbs: update}, effect: approve, reviewers: [{groups: [a]}], uses: 5, break_glass: {groups: [oncall]}}
  - {id: hour, when: {verbs: delete}, effect: approve, reviewers: [{groups: [a]}], grant: session, for: 1h, statements: 20, rows: 500}
  - {id: late, when: {verbs: insert}, effect: approve, reviewers: [{groups: [a]}], at: commit, expires: 2h}
"""
    five, hour, late = read(text).rules
    assert (five.uses, five.session, five.break_glass, five.expires_s) == (5, None, ("oncall",), 3600)
    assert (hour.uses, hour.session, hour.expires_s) == (1, SessionLimits(20, 500), 3600)
    assert (late.at_commit, late.expires_s) == (True, 7200)
