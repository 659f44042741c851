"""What the shell proposes while people type."""

from __future__ import annotations

import time

import msgspec
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from tests.shell.world import CATALOG, column

from dbgate.catalog import CatalogRelation
from dbgate.doors.shell.completion import LIMIT, SqlCompleter
from dbgate.doors.shell.names import Names, folded, quoted
from dbgate.doors.shell.place import TableRef, Wants, place_of

NAMES = Names(CATALOG, CATALOG.search_path)
COMMANDS = (("\\d", "describe"), ("\\dt", "tables"), ("\\x", "expanded"), ("\\i", "run a file"), ("\\pset", "options"))


def place(marked: str) -> tuple[Wants, str]:
    cursor = marked.index("|")
    found = place_of(marked.replace("|", ""), cursor)
    return found.wants, found.prefix


def proposed(marked: str, *, asked: bool = True, names: Names | None = NAMES) -> list[str]:
    cursor = marked.index("|")
    completer = SqlCompleter(lambda: names, COMMANDS)
    document = Document(marked.replace("|", ""), cursor)
    return [c.text for c in completer.get_completions(document, CompleteEvent(completion_requested=asked))]


@pytest.mark.parametrize(
    ("marked", "wants"),
    [
        ("|", Wants.START),
        ("select 1; |", Wants.START),
        ("select |", Wants.COLUMN),
        ("select a, |", Wants.COLUMN),
        ("select a |", Wants.KEYWORD),
        ("select count(|", Wants.COLUMN),
        ("select count(*) |", Wants.KEYWORD),
        ("select * from |", Wants.RELATION),
        ("select * from a, |", Wants.RELATION),
        ("select * from a |", Wants.KEYWORD),
        ("select * from a join |", Wants.RELATION),
        ("select * from a join b on |", Wants.CONDITION),
        ("select * from a join b on a.x = b.y and |", Wants.CONDITION),
        ("select * from a join b using (|", Wants.COLUMN),
        ("select * from a where |", Wants.COLUMN),
        ("select * from a where x = |", Wants.COLUMN),
        ("select * from a where x in (|", Wants.START),
        ("select * from (|", Wants.START),
        ("select * from (select * from |", Wants.RELATION),
        ("select * from (select 1) |", Wants.KEYWORD),
        ("select * from a order by |", Wants.COLUMN),
        ("select * from a group by x |", Wants.KEYWORD),
        ("select a is distinct from |", Wants.COLUMN),
        ("select x::|", Wants.TYPE),
        ("select cast(x as |", Wants.TYPE),
        ("insert into |", Wants.RELATION),
        ("insert into t (|", Wants.TARGET_COLUMN),
        ("insert into t (a, |", Wants.TARGET_COLUMN),
        ("update |", Wants.RELATION),
        ("update t set |", Wants.TARGET_COLUMN),
        ("update t set a = |", Wants.COLUMN),
        ("delete from |", Wants.RELATION),
        ("delete from t using |", Wants.RELATION),
        ("truncate table |", Wants.RELATION),
        ("set |", Wants.SETTING),
        ("show |", Wants.SETTING),
        ("set work_mem |", Wants.KEYWORD),
        ("select 'text |", Wants.NOTHING),
        ("select $$ from |", Wants.NOTHING),
        ("select 1 -- from |", Wants.NOTHING),
        ("select 1 /* from |", Wants.NOTHING),
        ("select 12|", Wants.NOTHING),
    ],
)
def test_place(marked: str, wants: Wants) -> None:
    assert place(marked)[0] is wants


def test_scope() -> None:
    text = (
        'with q as (select 1) select  from payroll.employees e, only pay as p join q on true left join "Odd" using (x)'
    )
    found = place_of(text, text.index("select  from") + 7)
    assert found.tables == (
        TableRef("payroll", "employees", "e"),
        TableRef("", "pay", "p"),
        TableRef("", "q"),
        TableRef("", "Odd"),
    )
    assert found.queries == ("q",)


def test_tables_after_from() -> None:
    assert proposed("select * from |")[:5] == ["employees", "pay", "pay_2024", "staff", "audit.log"]
    assert proposed("select * from em|") == ["employees"]
    assert proposed("select * from lo|") == ["audit.log"]
    assert proposed("select * from payroll.|") == ["employees", "employees_id_seq", "pay", "pay_2024", "raise_all"]
    assert proposed("update empl|") == ["employees"]
    assert proposed("insert into pay_|") == ["pay_2024"]
    assert proposed("with q as (select 1) select * from q|") == ["q"]


def test_tables_are_shown_unasked_and_columns_only_for_a_prefix() -> None:
    assert proposed("select * from |", asked=False)[0] == "employees"
    assert proposed("select |", asked=False) == []
    assert proposed("select fu|  from employees", asked=False) == ["full_name", "full", "function"]


def test_columns_of_the_tables_in_scope() -> None:
    assert proposed("select | from employees e")[:6] == ["id", "full_name", "ssn", '"Region"', "initials", "e"]
    assert proposed("select e.| from employees e") == ["id", "full_name", "ssn", '"Region"', "initials"]
    assert proposed("select payroll.employees.s| from payroll.employees") == ["ssn"]
    assert proposed("select * from employees where reg|")[0] == '"Region"'
    assert proposed('select * from employees where "Re|')[0] == '"Region"'
    assert proposed("insert into employees (s|")[0] == "ssn"
    assert proposed("update employees set fu|")[0] == "full_name"


def test_ambiguous_columns_come_qualified() -> None:
    found = proposed("select i| from employees e join pay p on true")
    assert found[:3] == ["e.id", "p.id", "initials"]


def test_join_conditions_come_from_foreign_keys() -> None:
    assert proposed("select * from employees e join pay p on |", asked=False)[0] == "p.employee_id = e.id"
    assert proposed("select * from pay join employees on |")[0] == "employees.id = pay.employee_id"


def test_functions_keywords_types_and_settings() -> None:
    assert "fiscal_year" in proposed("select fisc|")
    assert "citext_eq" not in proposed("select cite|")
    assert proposed("SEL|") == ["SELECT"]
    assert proposed("sel|") == ["select"]
    assert proposed("select a fr|")[0] == "from"
    assert proposed("select 1::col|") == ["colour"]
    assert proposed("select 1::bigi|") == ["bigint"]
    assert proposed("set work|")[0] == "work_mem"


def test_commands_and_their_arguments() -> None:
    assert proposed("\\|") == [command for command, _ in COMMANDS]
    assert proposed("\\d|") == ["\\d", "\\dt"]
    assert proposed("\\d em|") == ["employees"]
    assert proposed("\\x |") == ["on", "off", "auto"]
    assert proposed("\\pset pa|") == ["pager"]
    assert proposed("\\pset pager o|") == ["on", "off"]
    assert proposed("select \\|") == []


def test_nothing_known_yet_still_proposes_keywords() -> None:
    assert proposed("sel|", names=None) == ["select"]
    assert proposed("select * from |", names=None) == ["ONLY", "LATERAL", "SELECT", "VALUES"]


def test_names_that_play_tricks_are_not_proposed() -> None:
    everything = proposed("select * from |") + proposed("select * from public.|") + proposed("\\d |")
    assert not [text for text in everything if "evil" in text or not text.isprintable()]


def test_names_are_quoted_when_they_have_to_be() -> None:
    assert [quoted(n) for n in ("plain", "Mixed", "select", 'a"b', "ä", "a b", "")] == [
        "plain", '"Mixed"', '"select"', '"a""b"', '"ä"', '"a b"', '""',
    ]  # fmt: skip
    assert [folded(n) for n in ("Plain", '"Mixed"', '"a""b"', '"open')] == ["plain", "Mixed", 'a"b', "open"]


def test_ten_thousand_tables_are_quick() -> None:
    many = tuple(
        CatalogRelation(1000 + i, "public", f"table_{i:05d}", "r", tuple(column(n, f"c{n}") for n in range(20)))
        for i in range(10_000)
    )
    names = Names(msgspec.structs.replace(CATALOG, relations=many), ("public",))
    started = time.process_time()
    assert len(proposed("select * from |", names=names)) == LIMIT
    first = time.process_time() - started
    started = time.process_time()
    for prefix in ("t", "ta", "09", "table_0999", "zzz"):
        proposed(f"select * from {prefix}|", names=names)
    each = (time.process_time() - started) / 5
    assert first < 2
    assert each < 0.2
    assert proposed("select * from table_0999|", names=names) == [f"table_0999{i}" for i in range(10)]
