"""What the gate costs: judging a three-join statement beside parsers alone, and reading a large catalog."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pgparse
import psycopg

from benchmarks.processes import report
from dbgate.cli import COLLECT_AFTER
from dbgate.database import connect, embedded
from dbgate.gate.decide import Context, judge
from dbgate.gate.policy.read import read_policy
from dbgate.gate.syntax import split
from dbgate.model import Identity, Target

STATEMENT = (
    "SELECT e.id, e.full_name, e.ssn, e.email, d.name, p.iban, m.salary FROM payroll.employees e "
    "JOIN payroll.departments d ON d.id = e.department_id JOIN payroll.pay p ON p.employee_id = e.id "
    "LEFT JOIN payroll.employees m ON m.id = e.manager_id "
    "WHERE d.country = 'DE' AND p.paid_on > '2026-01-01' AND e.id > {} ORDER BY e.id, p.id LIMIT 50"
)
TABLES, COLUMNS = 10_000, 20


def judging(dsn: str, policy: Path) -> None:
    """Median times (ms) of parse, decide and rewrite: for a new text, and for one that was judged before."""
    import sqlglot

    gc.set_threshold(*COLLECT_AFTER)
    connection = connect(Target("bench", "postgres", dsn))
    catalog = connection.catalog()
    connection.close()
    rules = read_policy([(policy.name, policy.read_text(encoding="utf-8"))])
    identity = Identity("local:bench", "ada", groups=("engineering",))

    def judged(text: str) -> None:
        (source,) = split(text)
        judge(source, Context(identity, rules, catalog, "demo", datetime.now(UTC)))

    new = iter(STATEMENT.format(number) for number in range(10_000))
    source = split(STATEMENT.format(0))[0]
    context = Context(identity, rules, catalog, "demo", datetime.now(UTC))
    judged(STATEMENT.format(0))
    print("\njudging a three-join statement (ms)")
    report("parse, decide, rewrite: a new text", f"{median(lambda: judged(next(new))):.3f}", "goal ≤ 1.5")
    report("decide: a text that was judged before", f"{median(lambda: judge(source, context)):.3f}", "goal ≤ 0.1")
    report("pgparse: its parse alone", f"{median(lambda: pgparse.parse(STATEMENT.format(1))):.3f}")
    report("sqlglot: its parse alone", f"{median(lambda: sqlglot.parse_one(next(new), read='postgres')):.3f}")


def median(work: Callable[[], object], times: int = 300) -> float:
    """The median time of one call, in milliseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def catalogs(directory: Path) -> None:
    """Reading the catalog of a database with many tables: from the server, and from the file that the last session left."""
    with embedded.start(directory / "large", ephemeral=True) as server:
        columns = ", ".join(f"c{number} text" for number in range(1, COLUMNS))
        with psycopg.connect(server.dsn, autocommit=True) as admin:
            for start in range(0, TABLES, 500):
                made = (f"CREATE TABLE t{n} (id int PRIMARY KEY, {columns})" for n in range(start, start + 500))
                admin.execute("; ".join(made).encode())
            admin.execute("VACUUM ANALYZE pg_attribute")
        target = Target("large", "postgres", server.dsn)
        print(f"\ncatalog of {TABLES:,} tables with {TABLES * COLUMNS:,} columns (s)")
        for what, goal in (("read from the server", "goal ≤ 5"), ("unchanged, read from its file", "goal ≤ 0.3")):
            connection = connect(target, state_dir=directory / "state")
            begun = time.perf_counter()
            connection.catalog()
            report(what, f"{time.perf_counter() - begun:.2f}", goal)
            connection.close()
