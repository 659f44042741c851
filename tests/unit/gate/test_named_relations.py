"""Which relations a statement names: rules on tables hold for it, the judgement hangs on them, and names mean one thing."""

from __future__ import annotations

import msgspec
import pytest
from tests.catalogs import CATALOG, judged, policy, ref, rule, table

from dbgate.errors import StatementError
from dbgate.gate.policy.model import RowFilter
from dbgate.gate.splice import Splices
from dbgate.model import Access, Allow, Deny, Rewrite

ANYTHING = rule("anything", access=(Access.READ, Access.WRITE, Access.DDL, Access.ADMIN))
NO_PAY = policy(ANYTHING, rule("no-pay", "deny", tables=("payroll.pay",)))


@pytest.mark.parametrize(
    "sql",
    [
        "COPY payroll.pay (id) TO STDOUT",
        "COPY payroll.pay TO STDOUT",
        "EXPLAIN UPDATE payroll.pay SET employee_id = 1 WHERE id = 1",
        "EXPLAIN DELETE FROM payroll.pay WHERE id = 1",
        "EXPLAIN INSERT INTO payroll.pay (id) VALUES (1)",
        "DROP TABLE payroll.pay",
        "DROP TABLE payroll.departments, payroll.pay",
        "COMMENT ON TABLE payroll.pay IS 'x'",
        "COMMENT ON COLUMN payroll.pay.id IS 'x'",
        "ALTER TABLE payroll.pay ADD COLUMN x int",
    ],
)
def test_a_rule_on_a_table_holds_for_every_kind_of_statement(sql: str) -> None:
    decision = judged(sql, NO_PAY).decision
    assert isinstance(decision, Deny)
    assert [str(known.id) for known in decision.rules] == ["no-pay"]
    other = judged(sql.replace("payroll.pay", "public.log").replace("employee_id", "id"), NO_PAY)
    assert isinstance(other.decision, Allow | Rewrite)


@pytest.mark.parametrize(
    ("sql", "pins"),
    [
        ("SELECT 1", ()),
        ("SELECT id FROM payroll.pay", (12,)),
        ("SELECT number FROM payroll.directory", (13, 11)),
        ("EXPLAIN SELECT number FROM payroll.directory", (13, 11)),
        ("COPY payroll.employees (id) TO STDOUT", (11,)),
        ("DELETE FROM payroll.pay p USING payroll.departments d WHERE d.id = p.id", (12, 10)),
        ("DROP TABLE payroll.pay", ()),
    ],
)
def test_a_judgement_hangs_on_what_it_read_about(sql: str, pins: tuple[int, ...]) -> None:
    assert sorted(judged(sql, policy(ANYTHING)).pins) == sorted(pins)


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("SELECT id FROM log", "SELECT id FROM pg_temp.log"),
        ("DELETE FROM log WHERE id = 1", "DELETE FROM pg_temp.log WHERE id = 1"),
        ("UPDATE log SET secret = 'x' WHERE id = 1", "UPDATE pg_temp.log SET secret = 'x' WHERE id = 1"),
        ("INSERT INTO log VALUES (1, 'x')", "INSERT INTO pg_temp.log VALUES (1, 'x')"),
        ("DELETE FROM ONLY departments WHERE id = 1", "DELETE FROM ONLY payroll.departments WHERE id = 1"),
    ],
)
def test_names_are_sent_as_they_were_understood(sql: str, sent: str) -> None:
    decision = judged(sql, search_path=("public", "payroll")).decision
    assert isinstance(decision, Allow)
    assert decision.text == sent
    (edit,) = decision.edits
    start, end, length = edit
    assert sql[:start] + sent[start : start + length] + sql[end:] == sent


def test_a_copy_shows_which_of_its_columns_are_masked() -> None:
    judgement = judged("COPY payroll.employees (id, ssn) TO STDOUT")
    assert isinstance(judgement.decision, Rewrite)
    assert judgement.decision.output == (1,)
    assert [str(column) for column in judgement.columns] == ["payroll.employees.id", "payroll.employees.ssn"]
    with pytest.raises(StatementError, match='column "nope" of relation "employees" does not exist') as caught:
        judged("COPY payroll.employees (id, nope) TO STDOUT")
    assert caught.value.sqlstate == "42703"


def test_whole_rows_hold_the_columns_that_are_known_alone() -> None:
    """A column that is added later is not shown before dbgate knows it."""
    decision = judged("SELECT row_to_json(d) FROM payroll.departments d").decision
    assert isinstance(decision, Allow | Rewrite)
    assert decision.text == "SELECT row_to_json(d) FROM (SELECT id, name FROM payroll.departments d) d"


def test_a_view_that_the_grammar_does_not_know_is_refused() -> None:
    odd = table(50, "payroll.odd", "id int", kind="v", definition="SELECT id FROM § WHERE", depends=(11,))
    catalog = msgspec.structs.replace(CATALOG, relations=(*CATALOG.relations, odd), fingerprint="2")
    decision = judged("SELECT id FROM payroll.odd", catalog=catalog).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "the view payroll.odd is written in a newer syntax than dbgate knows"


def test_a_text_that_is_not_what_was_meant_is_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Splices, "apply", lambda self, text: text)
    decision = judged("SELECT ssn, 1 AS unproven FROM payroll.employees").decision
    assert isinstance(decision, Deny)
    assert decision.reason == "the statement cannot be masked safely: the rewritten statement is not the intended one"


PLACED = "SELECT c FROM ({}) AS j (a, b, c, x, y)"
JOIN = "payroll.departments d JOIN payroll.employees e ON e.dept = d.id"


@pytest.mark.parametrize("join", [JOIN, f"({JOIN}) AS i JOIN public.log l ON l.id = i.dept"])
def test_system_columns_have_no_place_beside_names_by_position(join: str) -> None:
    runs = judged(PLACED.format(join)).decision
    assert isinstance(runs, Rewrite)
    assert (
        "(SELECT id, NULL AS name FROM payroll.departments d) d" in runs.text
    )  # none may be missing before the others
    decision = judged(PLACED.format(join.replace("e.dept = d.id", "e.dept = d.id AND e.ctid IS NOT NULL"))).decision
    assert isinstance(decision, Deny)
    assert "have names by position" in decision.reason


def test_a_view_that_cannot_be_looked_into_shows_no_filtered_rows() -> None:
    """Its own role reads the table: the filter would not reach it."""
    hidden = table(60, "payroll.shifts", "id int", "region text", readable=False)
    view = table(61, "payroll.rota", "id int", kind="v", definition=" SELECT id FROM payroll.shifts;", depends=(60,))
    catalog = msgspec.structs.replace(CATALOG, relations=(*CATALOG.relations, hidden, view), fingerprint="3")
    assert isinstance(judged("SELECT id FROM payroll.rota", catalog=catalog).decision, Allow)
    rows = (RowFilter("payroll.shifts", "region = 'EU'", ref("eu")),)
    decision = judged("SELECT id FROM payroll.rota", policy(rows=rows), catalog).decision
    assert isinstance(decision, Deny)
    assert "the view payroll.rota reads a table with a row filter" in decision.reason
