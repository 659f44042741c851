from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, NOW, STAFF, judged, policy, ref, rule

from dbgate.catalog import CatalogFunction
from dbgate.errors import StatementError
from dbgate.gate.decide import Context, Judgement, judge
from dbgate.gate.policy.model import Comparison, FunctionList, MaskMethod, RowFilter
from dbgate.gate.syntax import split
from dbgate.gate.tracking import SessionObjects
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


@pytest.mark.parametrize(
    ("mask", "method"),
    [
        ((("pii.*", MaskMethod("partial", last=4)), ("finance.*", MaskMethod("null"))), "null"),
        ((("*", MaskMethod("partial", last=4)), ("finance.pay", MaskMethod("null"))), "null"),
        ((("pii.*", MaskMethod("partial", last=4)),), "redact"),
    ],
)
def test_a_tag_is_masked_by_its_own_method_or_by_that_of_a_glob_it_matches(
    mask: tuple[tuple[str, MaskMethod], ...], method: str
) -> None:
    given = replace(policy(digest=str(mask)), mask=mask)
    decision = judged("SELECT salary FROM payroll.employees", given).decision
    assert isinstance(decision, Rewrite)
    assert [m.method for m in decision.masked] == [method]


@pytest.mark.parametrize(
    ("which", "locked"),
    [
        ("", {"payroll.employees", "payroll.departments"}),
        (" OF e", {"payroll.employees"}),
        (" OF d", {"payroll.departments"}),
    ],
)
def test_a_lock_is_a_write_to_what_it_locks(which: str, locked: set[str]) -> None:
    sql = f"SELECT e.id FROM payroll.employees e JOIN payroll.departments d ON d.id = e.dept FOR UPDATE{which}"
    statement = judged(sql).statement
    assert {str(t.relation) for t in statement.touches if t.access is Access.WRITE} == locked


@pytest.mark.parametrize("name", ["n", "v.n"])
def test_a_setting_that_a_column_names_is_read_only_where_no_secret_stands(name: str) -> None:
    sent = text_of(f"SELECT current_setting({name}, true) FROM (VALUES ('dbgate.key')) v(n)")
    assert sent.startswith(f"SELECT current_setting(CASE WHEN pg_catalog.lower({name}::pg_catalog.text")
    assert f"THEN NULL ELSE {name} END, true) FROM" in sent


@pytest.mark.parametrize(
    ("method", "mask"),
    [
        ("hash", "pg_catalog.encode("),
        ("token", "'tok_' OPERATOR(pg_catalog.||) pg_catalog.substr(pg_catalog.encode("),
    ],
)
def test_keyed_masks_differ_in_how_much_of_the_digest_they_keep(method: str, mask: str) -> None:
    given = replace(policy(digest=method), mask=(("finance.account", MaskMethod(method)),))
    sent = text_of("SELECT iban FROM payroll.pay", given=given)
    assert f"SELECT iban FROM (SELECT ({mask}" in sent
    assert "pg_catalog.current_setting('dbgate.key') OPERATOR(pg_catalog.||) iban" in sent


# -- what is recorded ------------------------------------------------------------------------------------------------


def with_parameters(sql: str, *parameters: str | None, objects: SessionObjects | None = None) -> Judgement:
    (source,) = split(sql)
    context = Context(STAFF, policy(), CATALOG, "production", NOW, objects=objects or SessionObjects())
    return judge(replace(source, parameters=parameters), context)


def after(*scripts: str) -> SessionObjects:
    """The tracked objects of a session in which the statements have run."""
    objects = SessionObjects()
    for sql in scripts:
        judgement = judged(sql, objects=objects)
        assert isinstance(judgement.decision, Allow | Rewrite)
        objects = judgement.changes.apply(objects)
    return objects


def test_the_rewritten_statement_is_recorded_without_what_meets_a_label() -> None:
    kept = judged("SELECT iban FROM payroll.pay WHERE id = 77")
    assert "WHERE id = 77" in kept.recorded_rewritten
    assert judged("SELECT 77").recorded_rewritten == "SELECT 77"
    hidden = judged("SELECT id FROM payroll.employees WHERE ssn = 'q77'")
    assert hidden.recorded_rewritten.endswith("WHERE ssn = '***'")
    denied = judged("UPDATE payroll.pay SET id = 1 WHERE iban = 'q77'")
    assert isinstance(denied.decision, Deny)
    assert denied.recorded_rewritten == ""


def test_what_nobody_could_look_into_is_recorded_without_constants() -> None:
    judgement = with_parameters("DO 'begin secret end'", "secret", None)
    assert isinstance(judgement.decision, Deny)
    assert judgement.recorded_text == "DO '***'"
    assert judgement.recorded_parameters == ("***", None)
    assert (judgement.statement.verb, judgement.statement.access) == ("do", Access.WRITE)


PREPARED = (
    "PREPARE hidden(text) AS SELECT id, ssn FROM payroll.employees WHERE ssn = $1",
    "PREPARE shown(int) AS SELECT id FROM payroll.pay WHERE id = $1",
)


def test_arguments_of_a_prepared_statement_are_recorded_masked_where_it_meets_a_label() -> None:
    objects = after(*PREPARED)
    hidden = with_parameters("EXECUTE hidden('q77')", objects=objects)
    assert (hidden.recorded_text, hidden.recorded_parameters) == ("EXECUTE hidden('***')", ())
    bound = with_parameters("EXECUTE hidden($1)", "q77", objects=objects)
    assert bound.recorded_parameters == ("***",)
    shown = with_parameters("EXECUTE shown(77)", "5", objects=objects)
    assert (shown.recorded_text, shown.recorded_parameters) == ("EXECUTE shown(77)", ("5",))


def output_of(sql: str, objects: SessionObjects) -> tuple[int, ...]:
    decision = judged(sql, objects=objects).decision
    assert isinstance(decision, Allow | Rewrite), decision
    return decision.output if isinstance(decision, Rewrite) else ()


def test_masked_columns_are_those_of_the_prepared_query_or_the_cursor() -> None:
    objects = after(
        *PREPARED,
        "DECLARE masked CURSOR FOR SELECT id, ssn FROM payroll.employees",
        "DECLARE plain CURSOR FOR SELECT id FROM payroll.employees",
    )
    assert output_of("EXECUTE hidden('x')", objects) == (1,)
    assert output_of("EXECUTE shown(1)", objects) == ()
    assert output_of("EXPLAIN EXECUTE hidden('x')", objects) == ()
    assert output_of("FETCH masked", objects) == (1,)
    assert isinstance(judged("FETCH plain", objects=objects).decision, Allow)


@pytest.mark.parametrize(("where", "given"), [("", False), (" WHERE true", False), (" WHERE id = 1", True)])
def test_a_statement_tells_whether_it_restricts_its_rows(where: str, given: bool) -> None:
    assert judged(f"DELETE FROM payroll.pay{where}").statement.has_where is given


def test_the_place_of_an_error_counts_characters() -> None:
    sql = "SELECT 'é', (SELECT q.x)"
    with pytest.raises(StatementError) as caught:
        judged(sql)
    assert caught.value.position == sql.index("q.x") + 1


def test_what_a_statement_calls_is_refused_before_what_it_executes() -> None:
    assert reason_of("EXECUTE nothing(pg_read_file('x'))").startswith("the function pg_read_file is refused")


def test_functions_of_the_information_schema_are_known_by_name() -> None:
    assert reason_of("SELECT information_schema._pg_nothing(1)").endswith("_pg_nothing is not known")


def test_a_copy_to_a_program_says_where_it_would_run() -> None:
    assert reason_of("COPY payroll.pay TO PROGRAM 'cat'") == "COPY with a program runs it on the server"


@pytest.mark.parametrize(
    ("sql", "counted"),
    [
        ("DELETE FROM public.log WHERE random() < 0.5", 1),
        ("DELETE FROM public.log WHERE id = 1", 1),
        ("SELECT id FROM public.log", 0),
        ("WITH x AS (DELETE FROM public.log WHERE random() < 0.5 RETURNING id) SELECT id FROM x", None),
    ],
)
def test_a_count_is_what_the_statement_alone_chooses(sql: str, counted: int | None) -> None:
    given = policy(rule("any", access=tuple(Access)), rule("many", "deny", rows=Comparison(">", 5)))
    decision = judged(sql, given).decision
    if counted is None:
        assert isinstance(decision, Deny)
        assert "cannot be counted" in decision.reason
    else:
        assert isinstance(decision, NeedsMeasure)
        assert len(decision.queries) == counted


@pytest.mark.parametrize("sql", ["DISCARD TEMP", "CALL public.note(1)"])
def test_what_may_change_relations_asks_for_the_catalog_again(sql: str) -> None:
    note = CatalogFunction(45, "public", "note", "integer", kind="p", argument_types=(23,))
    catalog = replace(CATALOG, functions=(*CATALOG.functions, note), fingerprint="note")
    given = replace(policy(rule("any", access=tuple(Access))), functions=FunctionList(("public.note(integer)",)))
    judgement = judged(sql, given, catalog)
    assert isinstance(judgement.decision, Allow), judgement.decision
    assert judgement.changes.catalog
