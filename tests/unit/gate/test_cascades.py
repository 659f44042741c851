"""Which tables foreign keys carry a change to, each once for every way there, however the keys lie and are listed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from tests.catalogs import CATALOG, table

from dbgate.catalog import CatalogRelation, ForeignKey
from dbgate.gate.cascades import Node, Rows, counting
from dbgate.gate.relations import Schema

NAMES = "abcdefg"


def relations() -> tuple[CatalogRelation, ...]:
    return tuple(table(n, f"s.{name}", "id int!", "one int", "two int") for n, name in enumerate(NAMES, 1))


def key(pair: str, on_delete: str = "c", column: int = 2) -> ForeignKey:
    """A key from the column of one table to the first column of another: `"ba"` refers from b to a."""
    child, parent = (NAMES.index(name) + 1 for name in pair)
    return ForeignKey(pair, child, (column,), parent, (1,), on_delete, "a")


def followed(*keys: ForeignKey, made: tuple[CatalogRelation, ...] = ()) -> list[str]:
    """What is counted when rows of `a` are deleted."""
    schema = Schema(replace(CATALOG, relations=made or relations(), foreign_keys=keys))
    found = counting(schema, [Rows(Node(1, "delete"), "SELECT")])
    assert found is not None
    return sorted(f"{node.action} {schema.by_oid[node.relation].name}" for node, _ in found)


@pytest.mark.parametrize(
    ("keys", "touched"),
    [
        ([], []),
        ([key("ba", "a"), key("ca", "r")], []),
        ([key("ba"), key("cb", "n"), key("dc")], ["delete b", "update c"]),
        ([key("ba"), key("ca"), key("db"), key("dc", column=3)], ["delete b", "delete c", "delete d"]),
        (
            [key("ba"), key("ca"), key("db"), key("dc", column=3), key("ed", "n")],
            ["delete b", "delete c", "delete d", "update e", "update e"],
        ),
        ([key("ba"), key("cb"), key("bc", column=3)], ["delete b", "delete c"]),
        ([key("ba"), key("cb"), key("bc", column=3), key("dc", "n")], ["delete b", "delete c", "update d"]),
        ([key("aa", "n")], ["update a"]),
        ([key("ba", "n"), key("ba", "n", column=3)], ["update b", "update b"]),
    ],
)
def test_every_way_is_followed_once(keys: list[ForeignKey], touched: list[str]) -> None:
    assert followed(*keys) == sorted(["delete a", *touched])


@pytest.mark.parametrize("backwards", [False, True])
def test_keys_of_partitions_are_those_of_the_whole(backwards: bool) -> None:
    """Rows of `c`, a part of `b`, follow once; those of `d`, which refers to a part of `a`, follow too."""
    a, b, c, d, e, *_ = relations()
    made = (a, b, replace(c, parents=(b.oid,)), d, replace(e, parents=(a.oid,)))
    keys = [key("ba", "n"), key("ca", "n"), key("be", "n"), key("ce", "n"), key("de", "n")]
    assert followed(*(reversed(keys) if backwards else keys), made=made) == ["delete a", "update b", "update d"]
