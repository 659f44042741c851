"""What stands for views, parts and whole tables: masks where a view casts them, filters of all levels, an order that tells nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, column, judged, policy, ref, table

from dbgate.catalog import Catalog, CatalogColumn
from dbgate.gate.policy.model import Classify, MaskMethod, RowFilter, Unmask
from dbgate.model import Allow, Deny, Relation, Rewrite


def view(definition: str, *columns: str) -> Catalog:
    """The catalog with a view `payroll.made` over the employees."""
    text = f" SELECT {definition} FROM payroll.employees;"
    made = table(50, "payroll.made", *columns, kind="v", definition=text, depends=(11,))
    return replace(CATALOG, relations=(*CATALOG.relations, made), fingerprint=definition)


@pytest.mark.parametrize(
    ("definition", "method", "masked_again"),
    [
        ("id, ssn::integer AS n", "partial", True),
        ("id, (ssn)::integer + 1 AS n", "partial", True),
        ("id, COALESCE((ssn)::integer, 0) AS n", "null", False),
        ("id, length((ssn)::varchar) AS n", "partial", False),
        ("id, length(ssn) AS n", "partial", False),
        ("id, length('1'::text) + id AS n", "partial", False),
    ],
)
def test_a_view_that_casts_a_masked_text_gives_a_mask_of_its_own(
    definition: str, method: str, masked_again: bool
) -> None:
    given = replace(policy(digest=method), mask=(("pii.ssn", MaskMethod(method, last=4)),))
    decision = judged("SELECT n FROM payroll.made", given, view(definition, "id int", "n int")).decision
    assert isinstance(decision, Allow | Rewrite)
    assert ("NULL::integer" in decision.text) == masked_again, decision.text


FAMILY = replace(
    CATALOG,
    fingerprint="family",
    relations=(
        table(20, "s.grand", "id int!", "note text", kind="p"),
        table(21, "s.parent", "id int!", "note text", kind="p", parents=(20,)),
        table(22, "s.child", "id int!", "note text", parents=(21,)),
    ),
    foreign_keys=(),
)


@pytest.mark.parametrize("name", ["grand", "parent", "child"])
def test_a_filter_holds_for_parts_of_all_levels(name: str) -> None:
    given = policy(rows=(RowFilter("s.grand", "id < 5", ref("f")),))
    decision = judged(f"SELECT note FROM s.{name}", given, FAMILY).decision
    assert isinstance(decision, Rewrite)
    assert "WHERE (id < 5) OFFSET 0" in decision.text


@pytest.mark.parametrize("name", ["grand", "parent"])
def test_rows_of_a_part_that_a_filter_hides_are_not_read_through_what_is_above_it(name: str) -> None:
    given = policy(rows=(RowFilter("s.child", "id < 5", ref("f")),))
    decision = judged(f"SELECT note FROM s.{name}", given, FAMILY).decision
    assert isinstance(decision, Deny)
    assert "row filter" in decision.reason


NOT_SORTED = "json xml point box circle lseg line path polygon txid_snapshot pg_snapshot".split()


def test_rows_of_partitions_that_a_hidden_column_chooses_are_ordered_by_what_is_seen() -> None:
    kinds = [CatalogColumn(10 + n, f"c_{kind}", kind, 600, 600, kind, "U") for n, kind in enumerate(NOT_SORTED)]
    columns = (column(1, "id int"), column(2, "secret int"), *kinds)
    whole = replace(table(30, "s.whole", kind="p", partition_key="RANGE (secret)"), columns=columns)
    given = replace(policy(digest="ordered"), classify=(Classify(("s.whole.secret",), "pii.ssn", ref("a")),), mask=())
    catalog = replace(CATALOG, relations=(whole,), foreign_keys=(), fingerprint="ordered")
    decision = judged("SELECT * FROM s.whole", given, catalog).decision
    assert isinstance(decision, Rewrite)
    assert decision.text.endswith("FROM s.whole ORDER BY id) AS whole")


def test_a_mask_has_the_collation_of_its_column() -> None:
    written = CatalogColumn(3, "ssn", "text", 25, 25, "text", "S", collation='pg_catalog."C"')
    employees = replace(table(11, "payroll.employees"), columns=(column(1, "id int"), written))
    catalog = replace(CATALOG, relations=(employees,), foreign_keys=(), fingerprint="collated")
    decision = judged("SELECT ssn FROM payroll.employees", policy(), catalog).decision
    assert isinstance(decision, Rewrite)
    assert '::pg_catalog.text COLLATE pg_catalog."C" AS ssn FROM' in decision.text


MADE = CatalogColumn(4, "upper", "text", 25, 25, "text", "S", generated="s", default="upper(ssn)")
COPIED = replace(
    CATALOG,
    fingerprint="copied",
    relations=(
        replace(table(11, "payroll.employees"), columns=(column(1, "id int"), column(3, "ssn text"), MADE)),
        replace(table(15, "public.log"), columns=(column(1, "id int"), replace(MADE, number=2, default="'x'"))),
        table(16, "pg_temp_3.notes", "id int!"),
    ),
    foreign_keys=(),
)


@pytest.mark.parametrize(
    ("sql", "sent", "output"),
    [
        ("COPY payroll.employees TO STDOUT", "COPY (SELECT id, ssn FROM (SELECT id, ", (1,)),
        ("COPY payroll.employees (id) TO STDOUT", "COPY (SELECT id FROM (SELECT id FROM ONLY", ()),
        ("COPY payroll.employees (upper, id) TO STDOUT", "COPY (SELECT upper, id FROM (SELECT id, ", (0,)),
        ("COPY public.log TO STDOUT", "COPY public.log (id) TO STDOUT", ()),
        ("COPY notes TO STDOUT", "COPY pg_temp_3.notes (id) TO STDOUT", ()),
    ],
)
def test_a_copy_gives_the_columns_that_the_server_would_give(sql: str, sent: str, output: tuple[int, ...]) -> None:
    decision = judged(sql, policy(), COPIED).decision
    assert isinstance(decision, Allow | Rewrite), decision
    assert decision.text.startswith(sent)
    assert (decision.output if isinstance(decision, Rewrite) else ()) == output


def test_only_hidden_columns_are_told_as_compared_by_their_masks() -> None:
    sees = replace(policy(digest="sees ssn"), unmask=(Unmask(("pii.ssn",), ("staff",), ref("open")),))
    decision = judged("SELECT salary FROM payroll.employees WHERE ssn = 'x'", sees).decision
    assert isinstance(decision, Rewrite)
    assert decision.predicates == ()


@pytest.mark.parametrize(
    ("definition", "masked_again"),
    [
        ("id, to_number(ssn, '999') AS n", True),
        ("id, to_char(id, '999') AS n", False),
    ],
)
def test_a_view_that_reads_a_number_from_a_masked_text_gives_a_mask_of_its_own(
    definition: str, masked_again: bool
) -> None:
    kind = "n numeric" if masked_again else "n text"
    decision = judged("SELECT n FROM payroll.made", policy(), view(definition, "id int", kind)).decision
    assert isinstance(decision, Allow | Rewrite)
    assert ("NULL::numeric" in decision.text) == masked_again, decision.text


@pytest.mark.parametrize(
    ("definition", "made", "masked_again"),
    [
        ("id, ssn || (id::numeric)::text AS n", CatalogColumn(2, "n", "text", 25, 25, "text", "S"), False),
        ("id, ARRAY[ssn, (id::numeric)::text] AS n", CatalogColumn(2, "n", "text[]", 1009, 1009, "text[]", "A"), False),
        ("id, (ssn)::date AS n", CatalogColumn(2, "n", "date", 1082, 1082, "date", "D"), True),
    ],
)
def test_texts_and_lists_keep_their_masks_where_a_view_casts(
    definition: str, made: CatalogColumn, masked_again: bool
) -> None:
    given = view(definition, "id int")
    made_of = replace(given.relations[-1], columns=(column(1, "id int"), made))
    catalog = replace(given, relations=(*given.relations[:-1], made_of))
    decision = judged("SELECT n FROM payroll.made", policy(), catalog).decision
    assert isinstance(decision, Rewrite)
    shown_as_made = decision.text.startswith(f"SELECT n FROM (SELECT {definition} FROM (")
    assert shown_as_made == (not masked_again), decision.text


def test_a_view_that_cannot_be_written_out_shows_nothing_of_system_catalogs() -> None:
    made = table(
        60,
        "payroll.odd",
        "x text",
        kind="v",
        definition=" SELECT rolpassword AS x FROM pg_authid, nowhere.t;",
        depends=(11,),
    )
    catalog = replace(CATALOG, relations=(*CATALOG.relations, made), fingerprint="odd")
    decision = judged("SELECT x FROM payroll.odd", catalog=catalog).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "payroll.odd reads system catalogs that hold samples or texts"


def test_what_a_filter_stood_in_is_told() -> None:
    decision = judged(
        "SELECT id FROM public.log", policy(rows=(RowFilter("public.log", "t = 'x'", ref("f")),))
    ).decision
    assert isinstance(decision, Rewrite)
    assert decision.filtered == (Relation("public", "log", 15, "r"),)
