"""What a statement calls, reads of the settings, updates beside its rows, and changes of what dbgate tracks."""

from __future__ import annotations

import msgspec
import pytest
from tests.catalogs import CATALOG, judged, policy, ref, rule, table

from dbgate.gate.policy.model import Comparison
from dbgate.gate.steady import is_steady
from dbgate.gate.syntax import parse_one
from dbgate.gate.tracking import Changes
from dbgate.model import Access, Allow, Deny, NeedsMeasure

READS = rule("read", access=(Access.READ, Access.SESSION, Access.TRANSACTION))
WRITES = rule("write", access=(Access.WRITE,))
ALL = policy(READS, WRITES)


@pytest.mark.parametrize(
    ("sql", "functions", "settings"),
    [
        ("SELECT upper('a'), pg_catalog.lower('b')", {"upper", "pg_catalog.lower"}, set()),
        ("SELECT current_setting('TimeZone')", {"current_setting"}, {"TimeZone"}),
        ("SELECT set_config('timezone', 'UTC', false)", {"set_config"}, {"timezone"}),
        ("SET timezone = 'UTC'", set(), {"timezone"}),
        ("RESET timezone", set(), {"timezone"}),
        ("SHOW timezone", set(), {"timezone"}),
        ("CALL payroll.run(1)", {"payroll.run"}, set()),
    ],
)
def test_functions_and_settings_are_named(sql: str, functions: set[str], settings: set[str]) -> None:
    statement = judged(sql, ALL).statement
    assert set(statement.functions) == functions
    assert set(statement.settings) == settings


@pytest.mark.parametrize(
    ("sql", "changes"),
    [
        ("BEGIN", Changes()),
        ("SAVEPOINT a", Changes()),
        ("COMMIT", Changes(search_path=True, catalog=True, end_transaction=True)),
        ("ROLLBACK", Changes(search_path=True, catalog=True, end_transaction=True)),
        ("ROLLBACK TO a", Changes(search_path=True, catalog=True)),
        ("SET search_path = payroll", Changes(search_path=True)),
    ],
)
def test_the_end_of_a_transaction_changes_what_names_mean(sql: str, changes: Changes) -> None:
    assert judged(sql, ALL).changes == changes


NUMBERED = msgspec.structs.replace(
    CATALOG, relations=(*CATALOG.relations, table(40, "payroll.tickets", kind="S")), fingerprint="4"
)


def test_a_number_is_taken_by_those_who_may_update_its_sequence() -> None:
    sql = "SELECT nextval('payroll.tickets')"
    assert isinstance(judged(sql, ALL, NUMBERED).decision, Allow)
    for given in (policy(READS), policy(READS, WRITES, rule("no", "deny", tables=("payroll.tickets",)))):
        assert isinstance(judged(sql, given, NUMBERED).decision, Deny)
    writes = judged("INSERT INTO public.log (id) SELECT nextval('payroll.tickets')", ALL, NUMBERED).statement.writes
    assert [str(relation) for relation in writes] == ["public.log", "payroll.tickets"]


@pytest.mark.parametrize(
    ("sql", "steady"),
    [
        ("SELECT 1 FROM payroll.pay WHERE id = 1", True),
        ("SELECT 1 FROM pg_catalog.pg_locks", False),
        ("SELECT 1 FROM information_schema.tables", False),
        ("SELECT 1 FROM payroll.pay TABLESAMPLE system (1)", False),
        ("SELECT random()", False),
        ("SELECT p.random FROM payroll.pay p", False),
        ("SELECT (p).random FROM payroll.pay p", False),
        ("SELECT pg_stat_get_xact_numscans(1)", False),
        ("SELECT current_setting('dbgate.key')", True),
        ("SELECT current_setting('transaction_read_only')", False),
        ("SELECT current_setting('transaction' || '_read_only')", False),
    ],
)
def test_a_count_says_nothing_of_a_condition_that_changes_by_itself(sql: str, steady: bool) -> None:
    assert is_steady(parse_one(sql)) is steady


def test_rows_that_cannot_be_counted_may_be_too_many() -> None:
    many = rule("many", "deny", access=(Access.WRITE,), rows=Comparison(">", 10))
    text = "WITH gone AS (DELETE FROM public.log WHERE {} RETURNING id) UPDATE payroll.pay SET employee_id = 1 WHERE id = 1"
    assert isinstance(judged(text.format("id = 2"), policy(READS, WRITES, many)).decision, NeedsMeasure)
    decision = judged(text.format("random() < 0.5"), policy(READS, WRITES, many)).decision
    assert isinstance(decision, Deny)
    assert (decision.rules, "cannot be counted" in decision.reason) == ((ref("many"),), True)
