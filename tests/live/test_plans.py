"""What the gate sends is planned like what was typed: the same joins, scans and indexes.

The demo's database, with statistics. Where a condition stands on a labelled or filtered column, the plans cannot be the
same: those statements stand in `DIFFERENT`, with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import msgspec
import pytest
from tests.conftest import LiveDatabase

from dbgate.database import connect
from dbgate.gate.decide import Context, judge
from dbgate.gate.policy.model import Policy, RowFilter
from dbgate.gate.policy.read import read_policy
from dbgate.gate.syntax import split
from dbgate.model import Allow, Identity, Rewrite, RuleRef, Target
from dbgate.session.ports import Database

pytestmark = pytest.mark.live

EQUAL = [
    # the demo's own
    "SELECT id, full_name, email, ssn, salary FROM payroll.employees ORDER BY id LIMIT 3",
    "SELECT substr(e.ssn, 1, 3), reverse(ssn), row_to_json(e)->>'ssn' FROM payroll.employees e ORDER BY id LIMIT 2",
    # index look-ups
    "SELECT * FROM payroll.employees WHERE id = 17",
    "SELECT ssn, email FROM payroll.employees WHERE id IN (1, 2, 3)",
    "SELECT full_name, ssn FROM payroll.employees e WHERE e.id BETWEEN 10 AND 20",
    "SELECT full_name FROM payroll.employees WHERE department_id = 3 AND id < 50",
    "SELECT max(id), min(id) FROM payroll.employees",
    # top-n and order
    "SELECT * FROM payroll.employees ORDER BY id DESC LIMIT 10",
    "SELECT id, ssn FROM payroll.employees ORDER BY hired LIMIT 5 OFFSET 5",
    "SELECT DISTINCT ON (department_id) department_id, id, ssn FROM payroll.employees ORDER BY department_id, id",
    # joins
    "SELECT e.full_name, e.ssn, d.name FROM payroll.employees e JOIN payroll.departments d ON d.id = e.department_id",
    "SELECT e.ssn, d.name FROM payroll.employees e JOIN payroll.departments d ON d.id = e.department_id WHERE e.id = 5",
    "SELECT e.ssn, m.full_name FROM payroll.employees e LEFT JOIN payroll.employees m ON m.id = e.manager_id WHERE e.id < 9",
    "SELECT e.id, e.email, d.name, m.salary FROM payroll.employees e JOIN payroll.departments d ON d.id = e.department_id "
    "JOIN payroll.employees m ON m.id = e.manager_id WHERE d.country = 'DE' ORDER BY e.id LIMIT 20",
    "SELECT e.ssn FROM payroll.employees e WHERE EXISTS (SELECT FROM payroll.pay p WHERE p.employee_id = e.id AND p.paid_on > '2026-01-15')",
    "SELECT e.ssn FROM payroll.employees e WHERE e.department_id NOT IN (SELECT id FROM payroll.departments WHERE country = 'DE')",
    # aggregates, windows
    "SELECT department_id, count(*), max(hired) FROM payroll.employees GROUP BY department_id",
    "SELECT e.id, e.full_name, count(p.id) FROM payroll.employees e LEFT JOIN payroll.pay p ON p.employee_id = e.id GROUP BY e.id, e.full_name",
    "SELECT id, rank() OVER (PARTITION BY department_id ORDER BY hired), ssn FROM payroll.employees",
    "WITH d AS MATERIALIZED (SELECT department_id AS k, count(*) AS n FROM payroll.employees GROUP BY 1) SELECT * FROM d WHERE n > 3",
    # partitions
    "SELECT id, amount, iban FROM payroll.pay WHERE paid_on = '2026-03-31'",
    "SELECT sum(amount) FROM payroll.pay WHERE paid_on >= '2026-02-01' AND paid_on < '2026-03-01'",
    "SELECT e.full_name, p.iban FROM payroll.pay p JOIN payroll.employees e ON e.id = p.employee_id WHERE p.id = 7 AND p.paid_on = '2026-03-31'",
    # views
    "SELECT * FROM reporting.headcount WHERE department = 'Legal'",
    "SELECT full_name, email FROM payroll.directory WHERE id = 12",
    "SELECT day, total FROM reporting.orders_by_day ORDER BY day LIMIT 3",
    # set operations, sub-selects, lateral
    "SELECT ssn FROM payroll.employees WHERE id = 1 UNION ALL SELECT iban FROM payroll.pay WHERE id = 1",
    "SELECT d.name, x.ssn FROM payroll.departments d, LATERAL (SELECT ssn FROM payroll.employees e WHERE e.department_id = d.id ORDER BY e.id LIMIT 1) x",
    "SELECT (SELECT e.ssn FROM payroll.employees e WHERE e.id = d.id) FROM payroll.departments d",
]  # fmt: skip
DIFFERENT = {
    "SELECT id FROM payroll.employees WHERE ssn = '101-22-7919'": "the index on ssn would tell whose it is",
    "SELECT id FROM payroll.employees WHERE email = 'grace.okafor@corp.example'": "the index on email would tell whose it is",
    "SELECT count(*) FROM payroll.pay WHERE amount > 9000": "every mask of it is NULL: no row can match",
    "SELECT id FROM payroll.employees ORDER BY ssn LIMIT 3": "masks have another order than the index",
    "SELECT e.id FROM payroll.employees e JOIN payroll.employees o ON o.ssn = e.ssn": "masks have no index",
}
IGNORED = frozenset(
    """Startup Cost|Total Cost|Plan Rows|Plan Width|Output|Alias|Subplan Name|Sort Key|Group Key|Filter|Hash Cond|Merge Cond
    |Join Filter|Presorted Key|Inner Unique|Recheck Cond|Cache Key|Window""".replace("\n    ", "").split("|")
)
"""What names expressions and estimates; kinds of nodes, relations, indexes and their conditions stay."""


@pytest.fixture(scope="module")
def demo(module_database: LiveDatabase) -> LiveDatabase:
    """The demo's database, readable, with statistics."""
    module_database.execute((resources.files("dbgate.demo") / "database.sql").read_text())
    for schema in ("payroll", "shop", "reporting"):
        module_database.execute(
            f"GRANT USAGE ON SCHEMA {schema} TO {module_database.app_user};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {module_database.app_user}"
        )
    module_database.execute("ANALYZE")
    return module_database


@pytest.fixture(scope="module")
def connection(demo: LiveDatabase) -> Iterator[Database]:
    opened = connect(Target("demo", "postgres", demo.app_dsn))
    opened.execute_unrecorded("SET max_parallel_workers_per_gather = 0")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def policy() -> Policy:
    """The demo's labels and masks, without its row filters."""
    text = (resources.files("dbgate.demo") / "policy.yaml").read_text()
    found = read_policy([("policy.yaml", text)])
    rules = read_policy([("all.yaml", "version: 1\nrules: [{id: all, when: {access: read}, effect: allow}]")]).rules
    return msgspec.structs.replace(found, rows=(), rules=rules)


def sent(sql: str, connection: Database, policy: Policy) -> Allow | Rewrite:
    (source,) = split(sql)
    identity = Identity("local:test", "ada", groups=("engineering",))
    decision = judge(source, Context(identity, policy, connection.catalog(), "test", datetime.now(UTC))).decision
    assert isinstance(decision, Allow | Rewrite), decision
    return decision


def plan(sql: str, connection: Database) -> Any:
    """The plan of a statement as PostgreSQL tells it, without names of expressions and estimates."""
    (row,) = [
        row for batch in connection.run(f"EXPLAIN (FORMAT json, VERBOSE, COSTS off) {sql}").batches() for row in batch
    ]
    return shape(json.loads(row[0] or "[]")[0]["Plan"])


def shape(node: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in node.items() if key not in IGNORED and key != "Plans"}
    below = [shape(child) for child in node.get("Plans", ())]
    if kept["Node Type"] == "Index Only Scan":  # a mask that is NULL reads no column
        kept["Node Type"] = "Index Scan"
    return {**kept, "Plans": below} if below else kept


@pytest.mark.parametrize("sql", EQUAL)
def test_the_plan_is_that_of_what_was_typed(sql: str, connection: Database, policy: Policy) -> None:
    decision = sent(sql, connection, policy)
    assert plan(decision.text, connection) == plan(sql, connection)


def test_most_of_them_are_rewritten(connection: Database, policy: Policy) -> None:
    assert sum(isinstance(sent(sql, connection, policy), Rewrite) for sql in EQUAL) > 20


@pytest.mark.parametrize("sql", DIFFERENT)
def test_a_condition_on_a_mask_cannot_use_the_index(sql: str, connection: Database, policy: Policy) -> None:
    assert plan(sent(sql, connection, policy).text, connection) != plan(sql, connection)


def test_a_row_filter_keeps_the_index_on_what_it_names(
    connection: Database, demo: LiveDatabase, policy: Policy
) -> None:
    """The fence holds a person's conditions back from rows that they may not see; the filter's own uses its index."""
    filtered = msgspec.structs.replace(
        policy, digest="filtered", rows=(RowFilter("payroll.employees", "id < 20", RuleRef("rows", "policy.yaml", 1)),)
    )
    found = plan(
        sent("SELECT full_name FROM payroll.employees WHERE hired > '2020-01-01'", connection, filtered).text,
        connection,
    )
    assert "employees_pkey" in json.dumps(found)
