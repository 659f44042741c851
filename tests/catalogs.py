"""A small catalog and policy for tests that need no server."""

from __future__ import annotations

from datetime import UTC, datetime

from dbgate.catalog import Catalog, CatalogColumn, CatalogFunction, CatalogRelation, ForeignKey
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.policy.model import Classify, MaskMethod, Policy, RowFilter, Rule, When
from dbgate.gate.syntax import split
from dbgate.model import Access, Identity, RuleRef

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)

_TYPES = {
    "int": ("integer", 23, "N"),
    "text": ("text", 25, "S"),
    "numeric": ("numeric", 1700, "N"),
    "date": ("date", 1082, "D"),
}


def column(number: int, spec: str) -> CatalogColumn:
    """A column from `name type`; `!` behind the type makes it NOT NULL."""
    name, kind = spec.rstrip("!").split()
    type_name, oid, category = _TYPES[kind]
    return CatalogColumn(number, name, type_name, oid, oid, type_name, category, not_null=spec.endswith("!"))


def table(oid: int, full_name: str, *columns: str, kind: str = "r", **more: object) -> CatalogRelation:
    """A relation; the first column is its primary key."""
    schema, name = full_name.split(".")
    made = tuple(column(n, spec) for n, spec in enumerate(columns, 1))
    return CatalogRelation(oid, schema, name, kind, made, primary_key=(1,), **more)  # type: ignore[arg-type]


CATALOG = Catalog(
    database="payroll",
    role="app",
    server_version=180000,
    search_path=("public",),
    fingerprint="1",
    schemas=("payroll", "public", "pg_temp_3"),
    relations=(
        table(10, "payroll.departments", "id int!", "name text"),
        table(11, "payroll.employees", "id int!", "full_name text", "ssn text", "salary numeric", "dept int"),
        table(12, "payroll.pay", "id int!", "employee_id int", "iban text"),
        table(
            13,
            "payroll.directory",
            "id int",
            "number text",
            kind="v",
            definition=" SELECT id, ssn AS number FROM payroll.employees;",
            depends=(11,),
        ),
        table(
            14,
            "payroll.rich",
            "id int",
            kind="m",
            definition=" SELECT id FROM payroll.employees WHERE salary > 1;",
            depends=(11,),
        ),
        table(15, "public.log", "id int!", "t text"),
        table(16, "pg_temp_3.log", "id int!", "secret text"),
    ),
    foreign_keys=(
        ForeignKey("dept", 11, (5,), 10, (1,), "c", "a"),
        ForeignKey("employee", 12, (2,), 11, (1,), "c", "c"),
    ),
    functions=(
        CatalogFunction(30, "public", "fiscal_year", "date"),
        CatalogFunction(31, "public", "leak", "payroll.employees"),
    ),
    system={"pg_catalog.pg_class": ("oid", "relname"), "pg_catalog.pg_authid": ("oid", "rolpassword")},
)

STAFF = Identity("local:test", "sam", email="sam@example.com", groups=("staff",))


def ref(name: str) -> RuleRef:
    """A rule reference into a file of tests."""
    return RuleRef(name, "test.yaml", 1)


def rule(name: str, effect: str = "allow", *, message: str = "", **when: object) -> Rule:
    """A rule with its conditions as keywords."""
    return Rule(ref(name), When(**when), effect, message=message)  # type: ignore[arg-type]


def policy(*rules: Rule, rows: tuple[RowFilter, ...] = (), digest: str = "") -> Policy:
    """A policy that hides ssn, salary and iban; without rules everybody may read and write."""
    chosen = rules or (rule("read", access=(Access.READ,)), rule("write", access=(Access.WRITE,)))
    return Policy(
        digest=digest or repr((chosen, rows)),
        files=("test.yaml",),
        classify=(
            Classify(("payroll.employees.ssn",), "pii.ssn", ref("a")),
            Classify(("payroll.employees.salary",), "finance.pay", ref("b")),
            Classify(("*.*.iban",), "finance.account", ref("c")),
        ),
        mask=(("pii.ssn", MaskMethod("partial", last=4)), ("finance.pay", MaskMethod("null"))),
        rules=chosen,
        rows=rows,
    )


def judged(sql: str, given: Policy | None = None, catalog: Catalog = CATALOG, **more: object) -> Judgement:
    """The judgement on one statement for a member of staff."""
    (source,) = split(sql)
    context = Context(STAFF, given or policy(), catalog, "production", NOW, **more)  # type: ignore[arg-type]
    return judge(source, context)
