"""Where labels go from the columns that the policy names: along every way on which values are kept elsewhere, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, column, table

from dbgate.catalog import Catalog, CatalogRelation, CatalogType, ForeignKey, Numbering
from dbgate.gate.labels import Tagged, TagMap, key_tags, tag_columns
from dbgate.gate.relations import Schema

ELSEWHERE = 9999
"""The OID of what is not in the catalog: the server's own relations are not."""


def catalog_of(*relations: CatalogRelation, **more: Any) -> Catalog:
    """A catalog of these relations alone."""
    return replace(CATALOG, relations=relations, foreign_keys=more.pop("foreign_keys", ()), **more)


def tagged(catalog: Catalog, **labelled: str) -> TagMap:
    """The tags of a database where `table='column tag'` are labelled."""
    known = {(name, said.split()[0]): frozenset(said.split()[1:]) for name, said in labelled.items()}
    return tag_columns(Schema(catalog), lambda schema, name, column: known.get((name, column), frozenset()))


def shown(tags: TagMap) -> dict[str, str]:
    """Tags by `oid.column`, with a `~` where the column holds what was made from the value."""
    return {
        f"{oid}.{name}": " ".join(sorted(t.tags)) + ("" if t.exact else " ~")
        for oid, columns in tags.columns.items()
        for name, t in columns.items()
    }


SOURCE = table(1, "s.source", "id int!", "secret text", "note text")


def test_what_is_known_is_no_change() -> None:
    tags = TagMap()
    assert tags.add(1, "a", ["x"])
    assert not tags.add(1, "a", ["x"])
    assert not tags.add(1, "b", [])
    assert tags.columns == {1: {"a": Tagged(frozenset({"x"}))}}
    assert tags.add(1, "a", ["y"])
    assert tags.add(1, "a", ["y"], exact=False)
    assert not tags.add(1, "a", ["y"])
    assert tags.columns == {1: {"a": Tagged(frozenset({"x", "y"}), exact=False)}}


def test_without_a_label_nothing_is_tagged() -> None:
    tags = tagged(catalog_of(SOURCE))
    assert (tags.columns, tags.own, tags.predicates) == ({}, {}, {})


def test_only_the_globs_own_columns_are_their_own() -> None:
    child = table(2, "s.child", "id int!", "secret text", parents=(1,))
    tags = tagged(catalog_of(SOURCE, child), source="secret pii")
    assert tags.own == {(1, "secret"): frozenset({"pii"})}


@pytest.mark.parametrize("labelled", ["grand", "parent", "child"])
def test_relatives_share_labels_of_columns_that_they_share(labelled: str) -> None:
    relations = (
        table(1, "s.grand", "id int!", "secret text", parents=(ELSEWHERE,)),
        table(2, "s.parent", "id int!", "secret text", "note text", parents=(1,)),
        table(3, "s.child", "secret text", "id int", "extra text", parents=(2,)),
        table(4, "s.other", "id int", "secret text"),
    )
    tags = tagged(catalog_of(*relations), **{labelled: "secret pii"})
    assert shown(tags) == {"1.secret": "pii", "2.secret": "pii", "3.secret": "pii"}


def test_columns_that_one_relative_lacks_stay_with_the_others() -> None:
    child = table(2, "s.child", "id int!", "secret text", "note text", "extra text", parents=(1,))
    assert shown(tagged(catalog_of(SOURCE, child), child="extra pii")) == {"2.extra": "pii"}


def test_a_label_goes_on_where_the_last_thing_looked_at_brought_nothing_new() -> None:
    late = table(2, "s.late", "id int", "secret text", parents=(1,))
    known = table(5, "s.known", "id int", "secret text", "note text", parents=(1,))
    copy = table(6, "s.copy", "one text")
    catalog = catalog_of(SOURCE, late, known, copy, foreign_keys=(ForeignKey("k", 6, (1,), 2, (2,), "a", "a"),))
    tags = tagged(catalog, source="secret pii", known="secret pii")
    assert shown(tags) == {"1.secret": "pii", "5.secret": "pii", "2.secret": "pii", "6.one": "pii"}


def test_a_foreign_key_takes_labels_to_what_refers_and_not_back() -> None:
    copy = table(2, "s.copy", "id int!", "one int", "two text")
    far = table(3, "s.far", "id int!", "two text")
    keys = (
        ForeignKey("k", 2, (2, 3), 1, (1, 2), "a", "a"),
        ForeignKey("l", 3, (2,), 2, (3,), "a", "a"),
        ForeignKey("gone", ELSEWHERE, (1,), 1, (2,), "a", "a"),
    )
    catalog = catalog_of(far, copy, SOURCE, foreign_keys=keys)
    assert shown(tagged(catalog, source="secret pii")) == {"1.secret": "pii", "2.two": "pii", "3.two": "pii"}
    assert shown(tagged(catalog, far="two pii")) == {"3.two": "pii"}


def test_a_generated_column_holds_what_it_is_made_from() -> None:
    made = (
        replace(column(4, "upper text"), generated="s", default="upper(secret) || (source.note)"),
        replace(column(5, "plain text"), generated="s", default="lower(note)"),
        replace(column(6, "usual text"), default="secret"),
    )
    source = replace(SOURCE, columns=(*SOURCE.columns, *made))
    tags = tagged(catalog_of(source), source="secret pii")
    assert shown(tags) == {"1.secret": "pii", "1.upper": "pii ~"}
    assert shown(tagged(catalog_of(source), source="usual pii")) == {"1.usual": "pii"}


def test_rows_and_arrays_of_rows_hold_what_their_columns_hold() -> None:
    kept = (
        replace(column(1, "p text"), base_type="s.source", category="C"),
        replace(column(2, "ps text"), base_type="s.source[]", category="A"),
        replace(column(3, "d text"), base_type="s.holder", category="C"),
        replace(column(4, "other text"), base_type="s.other", category="C"),
        replace(column(5, "named text"), base_type="s.source"),
    )
    keeper = replace(table(2, "s.keeper", "id int"), columns=kept)
    domain = CatalogType(50, "s", "holder", "d", base="s.source")
    tags = tagged(catalog_of(keeper, SOURCE, types=(domain,)), source="secret pii")
    assert shown(tags) == {"1.secret": "pii", "2.p": "pii ~", "2.ps": "pii ~", "2.d": "pii ~"}


def test_composite_types_have_labels_and_hold_rows_as_tables_do() -> None:
    inner = table(60, "s.contact", "kind text", "secret text", kind="c")
    outer = replace(
        table(61, "s.wrapped", "n int", kind="c"),
        columns=(replace(column(1, "inside text"), base_type="s.contact", category="C"),),
    )
    tags = tagged(catalog_of(SOURCE, composites=(inner, outer)), contact="secret pii")
    assert shown(tags) == {"60.secret": "pii", "61.inside": "pii ~"}


def test_a_sequence_tells_the_last_value_of_its_column() -> None:
    numbers = (table(2, "s.numbers", "last_value int", kind="S"), table(3, "s.free", "last_value int", kind="S"))
    given = (Numbering(2, 1, 2), Numbering(3, 1, 3), Numbering(ELSEWHERE, 1, 2), Numbering(3, ELSEWHERE, 1))
    tags = tagged(catalog_of(SOURCE, *numbers, numberings=given), source="secret pii")
    assert shown(tags) == {"1.secret": "pii", "2.last_value": "pii ~"}


PARTED = (
    table(1, "s.whole", "id int", "at date", "secret text", kind="p", partition_key="RANGE (secret)"),
    table(2, "s.half", "id int", "at date", "secret text", kind="p", partition_key="LIST (at)", parents=(1,)),
    table(3, "s.leaf", "id int", "at date", "secret text", parents=(2,)),
    table(4, "s.other", "id int", "secret text", kind="p", partition_key='HASH (id, "SECRET")'),
    table(5, "s.part", "id int", "secret text", parents=(4,)),
)


def test_the_keys_of_all_levels_choose_the_rows_of_a_partition() -> None:
    tags = tagged(catalog_of(*PARTED), whole="secret pii", half="at born", other="secret pii")
    assert {oid: sorted(found) for oid, found in tags.predicates.items()} == {2: ["pii"], 3: ["born", "pii"]}


def test_a_key_has_the_tags_of_the_columns_that_it_names() -> None:
    tags = tagged(catalog_of(*PARTED), whole="secret pii", other="secret pii")
    assert [key_tags(relation, tags) for relation in PARTED] == [frozenset({"pii"}), *[frozenset()] * 4]


@pytest.mark.parametrize("name", ["fine", "broken"])
def test_stored_queries_carry_labels_on(name: str) -> None:
    fine = " SELECT secret AS a, lower(note) AS b, upper(secret) AS c FROM s.source;"
    view = table(
        2, "s.view", "a text", "b text", "c text", kind="v", depends=(1, ELSEWHERE),
        definition=fine if name == "fine" else " SELECT FROM nowhere, 1;",
    )  # fmt: skip
    over = table(3, "s.over", "x text", kind="v", depends=(2,), definition=" SELECT b AS x FROM s.view;")
    plain = table(4, "s.plain", "a text", kind="v", depends=(5,), definition=" SELECT 'secret'::text AS a;")
    tags = tagged(catalog_of(over, view, plain, SOURCE), source="secret pii")
    expected = {"1.secret": "pii", "2.a": "pii", "2.c": "pii ~"}
    if name == "broken":
        expected = {"1.secret": "pii", **{f"2.{c}": "pii ~" for c in "abc"}, "3.x": "pii ~"}
    assert shown(tags) == expected
    assert tags.unknown == (set() if name == "fine" else {2})
    assert tags.predicates.get(2, frozenset()) == frozenset()


def test_what_chooses_the_rows_of_a_stored_query_is_known_above_it() -> None:
    chosen = table(
        2,
        "s.chosen",
        "a text",
        kind="m",
        depends=(1,),
        definition=" SELECT note AS a FROM s.source WHERE secret = '1';",
    )
    over = table(3, "s.over", "b text", kind="v", depends=(2,), definition=" SELECT a AS b FROM s.chosen;")
    tags = tagged(catalog_of(over, chosen, SOURCE), source="secret pii")
    assert tags.predicates == {2: frozenset({"pii"}), 3: frozenset({"pii"})}
    assert shown(tags) == {"1.secret": "pii", "2.a": "pii ~", "3.b": "pii ~"}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, generate_series(1, length(secret)) AS n FROM s.source",
        "SELECT (SELECT 1) AS one, generate_series(1, length(secret)) AS n FROM s.source",
        "SELECT (SELECT 1) AS one, g AS n FROM s.source, generate_series(1, length(secret)) AS g",
        "SELECT id, g.n FROM s.source, XMLTABLE('/a' PASSING (secret::xml) COLUMNS n int) AS g",
    ],
)
def test_how_many_rows_a_hidden_value_makes_tells_about_it(query: str) -> None:
    made = table(2, "s.made", "id int", "n int", kind="m", depends=(1,), definition=f" {query};")
    assert tagged(catalog_of(made, SOURCE), source="secret pii").predicates == {2: frozenset({"pii"})}
