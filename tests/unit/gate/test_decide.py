from __future__ import annotations

import pytest
from tests.catalogs import CATALOG, judged, policy, ref, rule

from dbgate.errors import StatementError
from dbgate.gate.policy.model import Comparison, RowFilter
from dbgate.model import Access, Allow, Deny, Measured, NeedsApproval, NeedsMeasure, Relation, Rewrite

MASKED_SSN = (
    "(CASE WHEN ssn IS NULL THEN NULL WHEN pg_catalog.length(ssn) OPERATOR(pg_catalog.>) 4 THEN '***' "
    "OPERATOR(pg_catalog.||) pg_catalog.right(ssn, 4) ELSE '***' END)::pg_catalog.text AS ssn"
)


def text_of(sql: str, **more: object) -> str:
    decision = judged(sql, **more).decision  # type: ignore[arg-type]
    assert isinstance(decision, Allow | Rewrite), decision
    return decision.text


def reason_of(sql: str, **more: object) -> str:
    decision = judged(sql, **more).decision  # type: ignore[arg-type]
    assert isinstance(decision, Deny), decision
    return decision.reason


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("SELECT id FROM payroll.departments", "SELECT id FROM payroll.departments"),
        ("select  1 -- as typed", "select  1 -- as typed"),
        (
            "SELECT ssn AS x FROM payroll.employees e",
            f"SELECT ssn AS x FROM (SELECT {MASKED_SSN} FROM payroll.employees e) e",
        ),
        (
            "select id from ONLY payroll.employees",
            "select id from (SELECT id FROM ONLY payroll.employees) AS employees",
        ),
        (
            "TABLE payroll.pay",
            "SELECT * FROM (SELECT id, employee_id, ('***')::pg_catalog.text AS iban FROM payroll.pay) AS pay",
        ),
        (
            "SELECT pay.ctid, * FROM payroll.pay",
            "SELECT pay.ctid, pay.id, pay.employee_id, pay.iban FROM "
            "(SELECT id, employee_id, ('***')::pg_catalog.text AS iban, ctid FROM payroll.pay) AS pay",
        ),
        (
            "SELECT payroll.pay.id FROM payroll.pay",
            "SELECT pay.id FROM (SELECT id FROM payroll.pay) AS pay",
        ),
        (
            "SELECT e.full_name, count(*) FROM payroll.employees e GROUP BY e.id",
            "SELECT e.full_name, count(*) FROM (SELECT id, full_name FROM payroll.employees e) e "
            "GROUP BY e.full_name, e.id",
        ),
        (
            "SELECT number FROM payroll.directory",
            f"SELECT number FROM (SELECT id, ssn AS number FROM (SELECT id, {MASKED_SSN} FROM payroll.employees) "
            "AS employees) AS directory",
        ),
        (
            "DELETE FROM payroll.pay WHERE id = 1 RETURNING iban, id",
            "DELETE FROM payroll.pay WHERE id = 1 RETURNING (('***')::pg_catalog.text) AS iban, id",
        ),
        (
            "COPY payroll.pay (id, iban) TO STDOUT",
            "COPY (SELECT id, iban FROM (SELECT id, ('***')::pg_catalog.text AS iban FROM ONLY payroll.pay) AS copied) "
            "TO STDOUT",
        ),
    ],
)
def test_what_is_sent(typed: str, sent: str) -> None:
    assert text_of(typed) == sent


def test_names_are_resolved_as_the_server_does() -> None:
    assert text_of("SELECT id FROM log") == "SELECT id FROM pg_temp.log"
    assert text_of("SELECT id FROM public.log") == "SELECT id FROM public.log"
    assert (
        text_of("WITH log AS (SELECT 1 AS id) SELECT id FROM log") == "WITH log AS (SELECT 1 AS id) SELECT id FROM log"
    )
    assert text_of("SELECT relname FROM pg_class") == "SELECT relname FROM pg_catalog.pg_class"
    assert text_of("SELECT id FROM pay", search_path=("payroll",)).startswith(
        "SELECT id FROM (SELECT id FROM payroll.pay)"
    )


def test_a_stored_view_that_chose_its_rows_by_a_hidden_column_is_refused() -> None:
    assert "chosen by values (finance.pay)" in reason_of("SELECT id FROM payroll.rich")


def test_the_result_says_what_is_masked() -> None:
    decision = judged("SELECT id, ssn, lower(ssn) FROM payroll.employees WHERE salary > 1").decision
    assert isinstance(decision, Rewrite)
    assert decision.output == (1, 2)
    assert [str(column) for column in decision.predicates] == ["payroll.employees.salary"]
    assert {(str(m.column), m.method) for m in decision.masked} == {
        ("payroll.employees.ssn", "partial"),
        ("payroll.employees.salary", "null"),
    }


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE payroll.employees SET full_name = ssn WHERE id = 1", "writes and reads payroll.employees.ssn"),
        ("DELETE FROM payroll.pay WHERE iban = 'x'", "writes and reads payroll.pay.iban"),
        ("CREATE TABLE public.c AS SELECT ssn FROM payroll.employees", "would store masks of payroll.employees.ssn"),
        ("SELECT leak(e) FROM payroll.employees e", "public.leak(payroll.employees) is not allowed"),
        ("SELECT e.leak FROM payroll.employees e", "calls the function public.leak"),
        ("SELECT ('/etc/passwd'::text).pg_read_file", "pg_read_file is refused"),
        ("SELECT pg_read_file('x')", "pg_read_file is refused"),
        ("SELECT nobody_knows(1)", "nobody_knows is refused: not reviewed"),
        ("UPDATE payroll.employees e SET dept = 1 WHERE id = 1 RETURNING e", "whole rows"),
        ("DO $$ BEGIN END $$", ""),
        ("EXECUTE p", "no prepared statement p"),
        ("DROP TABLE public.log", "no rule allows drop"),
    ],
)
def test_what_is_denied_and_why(sql: str, reason: str) -> None:
    assert reason in reason_of(sql)


@pytest.mark.parametrize(
    ("sql", "verb", "access"),
    [
        ("SELECT 1", "select", Access.READ),
        ("WITH d AS (DELETE FROM public.log WHERE id = 1 RETURNING id) SELECT * FROM d", "delete", Access.WRITE),
        ("EXPLAIN ANALYZE DELETE FROM public.log WHERE id = 1", "delete", Access.WRITE),
        ("EXPLAIN DELETE FROM public.log WHERE id = 1", "explain", Access.READ),
        ("SELECT id FROM public.log FOR UPDATE", "update", Access.WRITE),
        ("SELECT id INTO TEMP x FROM public.log", "create", Access.DDL),
        ("BEGIN", "begin", Access.TRANSACTION),
    ],
)
def test_the_verb_is_the_strongest_thing_in_the_tree(sql: str, verb: str, access: Access) -> None:
    statement = judged(sql).statement
    assert (statement.verb, statement.access) == (verb, access)


def test_the_strictest_effect_wins_and_no_match_denies() -> None:
    read = rule("read", access=(Access.READ,))
    never = rule("never", "deny", tables=("payroll.pay",), message="Pay is out of bounds.")
    assert reason_of("SELECT id FROM payroll.pay", given=policy(never, read)) == "Pay is out of bounds."
    assert reason_of("SELECT id FROM payroll.pay", given=policy(read, never)) == "Pay is out of bounds."
    only = policy(rule("logs", access=(Access.READ,), tables=("public.*",)))
    assert reason_of("SELECT id FROM payroll.pay", given=only) == "no rule allows select on payroll.pay"
    assert text_of("SELECT 1", given=only) == "SELECT 1"


def test_rows_are_measured_before_a_rule_on_rows_decides() -> None:
    write = rule("write", access=(Access.WRITE,))
    bulk = rule("bulk", "approve", verbs=("update", "delete"), rows=Comparison(">", 10))
    given = policy(write, bulk)
    sql = "DELETE FROM payroll.departments WHERE id < 3"
    decision = judged(sql, given).decision
    assert isinstance(decision, NeedsMeasure)
    assert [str(q.relation) for q in decision.queries] == ["payroll.departments", "payroll.employees", "payroll.pay"]
    relation = Relation("payroll", "departments", 10)
    assert isinstance(judged(sql, given, measured=Measured(((relation, 10),))).decision, Allow)
    assert isinstance(judged(sql, given, measured=Measured(((relation, 11),))).decision, NeedsApproval)


def test_what_cannot_be_counted_counts_as_too_much() -> None:
    given = policy(rule("all"), rule("bulk", "approve", verbs=("delete",), rows=Comparison(">", 10)))
    updated = "WITH u AS (UPDATE public.log SET t = 1 WHERE id = 1 RETURNING t)"
    for sql in (
        f"{updated} DELETE FROM public.log WHERE id IN (SELECT t FROM u)",
        f"WITH RECURSIVE {updated[5:]} DELETE FROM public.log WHERE id = 1",
        "EXPLAIN ANALYZE DELETE FROM public.log WHERE current_setting('transaction_read_only') = 'off' AND id > 1",
        "WITH d AS (DELETE FROM public.log WHERE random() < id RETURNING id) SELECT id FROM d",
        "COPY (DELETE FROM public.log WHERE id IN (SELECT id FROM public.log TABLESAMPLE system (50)) RETURNING 1) TO STDOUT",
    ):
        assert isinstance(judged(sql, given).decision, NeedsApproval), sql


def test_row_filters_are_fenced_and_hold_for_writes() -> None:
    given = policy(rows=(RowFilter("payroll.departments", "name = 'EU'", ref("f")),))
    assert text_of("SELECT id FROM payroll.departments d", given=given) == (
        "SELECT id FROM (SELECT id FROM payroll.departments WHERE (name = 'EU') OFFSET 0) d"
    )
    assert "CASE WHEN (SELECT (name = 'EU') FROM (SELECT departments.*) AS departments) THEN ( id = 1" in text_of(
        "DELETE FROM payroll.departments WHERE id = 1", given=given
    )
    stored = policy(rows=(RowFilter("payroll.employees", "dept = 1", ref("f")),))
    assert "row filter" in reason_of("SELECT id FROM payroll.rich", given=stored)


def test_literals_that_meet_a_labelled_column_are_recorded_masked() -> None:
    judgement = judged("SELECT id FROM payroll.employees WHERE ssn = '123' AND full_name = 'Ann'")
    assert judgement.recorded_text == "SELECT id FROM payroll.employees WHERE ssn = '***' AND full_name = 'Ann'"
    assert judgement.tags == ("pii.ssn",)
    written = judged("INSERT INTO payroll.employees (id, ssn) VALUES (1, '123')")
    assert written.recorded_text == "INSERT INTO payroll.employees (id, ssn) VALUES (1, '***')"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT x.id FROM payroll.pay p", 'missing FROM-clause entry for table "x"'),
        ("SELECT pay.id FROM payroll.pay p", 'invalid reference to FROM-clause entry for table "pay"'),
        ("SELECT 1 FROM (payroll.pay p JOIN payroll.rich r ON true) x WHERE p.id = 1", 'invalid reference .* "p"'),
        ("SELECT 1 FROM payroll.pay p, (SELECT p.id) s", 'invalid reference .* "p"'),
        ("SELECT 1 FROM (SELECT p.id) s, payroll.pay p", 'missing FROM-clause entry .* "p"'),
        ("SELECT (SELECT q.id FROM payroll.rich r) FROM (SELECT 1 FROM payroll.pay q) s", 'missing .* "q"'),
        ("UPDATE payroll.pay AS t SET id = pay.id + 1", 'invalid reference .* "pay"'),
        ("SELECT 1 UNION SELECT pay.id FROM payroll.pay p", 'invalid reference .* "pay"'),
        ("INSERT INTO payroll.pay VALUES (1) ON CONFLICT DO NOTHING RETURNING excluded.id", 'invalid .* "excluded"'),
    ],
)
def test_names_that_do_not_exist_are_never_sent(sql: str, message: str) -> None:
    with pytest.raises(StatementError, match=message):
        judged(sql)


def test_the_nearest_relation_is_suggested() -> None:
    with pytest.raises(StatementError) as caught:
        judged("SELECT 1 FROM payroll.employes")
    assert caught.value.hint == "did you mean payroll.employees?"
    assert CATALOG.relations
