"""The proof of a rewrite: the new text parses to what was meant, or it is refused."""

from __future__ import annotations

import pytest

from dbgate.gate.splice import Edit, RewriteError, Splices, outline, query_tree
from dbgate.gate.syntax import parse_one

TEXT = "SELECT a, b FROM t AS x"
SOURCE = "SELECT '***' AS a, b FROM s.t WHERE c = 1"


def spliced(source: str = SOURCE) -> tuple[Splices, dict[str, object]]:
    """What puts a source in the place of `t`, and the tree of the text."""
    tree = parse_one(TEXT)
    body = tree["SelectStmt"]["fromClause"][0]["RangeVar"]
    query = query_tree(source)
    node = {"RangeSubselect": {"subquery": query, "alias": body["alias"]}}
    return Splices([Edit(17, 18, f"({source})")], {id(body): node}, {}, {id(query): source}), tree


def test_what_was_meant_is_proven() -> None:
    splices, tree = spliced()
    assert splices.apply(TEXT) == f"SELECT a, b FROM ({SOURCE}) AS x"
    splices.prove(tree, splices.apply(TEXT))
    splices.prove(tree, f"SELECT  a,b FROM /* no matter */ ({SOURCE.lower().replace('as', ' AS ')}) x")


@pytest.mark.parametrize(
    "rewritten",
    [
        TEXT,
        f"SELECT a, c FROM ({SOURCE}) AS x",
        f"SELECT a, b FROM ({SOURCE}) AS y",
        f"SELECT a, b FROM ({SOURCE.replace('***', '**')}) AS x",
        f"SELECT a, b FROM ({SOURCE.replace('= 1', '= 2')}) AS x",
        f"SELECT a, b FROM ({SOURCE.replace(chr(39) + '***' + chr(39), 'a')}) AS x",
        f"SELECT a, b FROM ({SOURCE.replace('s.t', 't')}) AS x",
        f"SELECT a, b FROM ({SOURCE} LIMIT 1) AS x",
        f"SELECT a, b FROM ({SOURCE.replace(' WHERE c = 1', '')}) AS x",
        f"SELECT a, b FROM LATERAL ({SOURCE}) AS x",
        f"SELECT a, b FROM ({SOURCE}) AS x, t",
        f"SELECT a, b FROM ({SOURCE}) AS x; SELECT 1",
    ],
)
def test_anything_else_is_refused(rewritten: str) -> None:
    splices, tree = spliced()
    with pytest.raises(RewriteError, match=r"not the intended one|does not parse"):
        splices.prove(tree, rewritten)


def test_outlines_leave_out_locations_and_nothing_else() -> None:
    one, other = query_tree("SELECT a, 'x' FROM t"), query_tree("SELECT   a,   'x'   FROM   t")
    assert one != other
    assert outline(one) == outline(other)
    texts = ['"location":1', '"location":2', '\\"location\\":1', '","location":1,"', '","location":2,"', "1", "2", ""]
    made = [outline(query_tree("SELECT '" + text + "' FROM t")) for text in texts]
    made += [outline(query_tree(f"SELECT {n} FROM t")) for n in (1, 2, 12)]
    assert all(a != b for i, a in enumerate(made) for b in made[:i])


def test_a_value_that_looks_like_a_location_is_compared() -> None:
    source = "SELECT '\"location\":1' AS a FROM t"
    splices, tree = spliced(source)
    splices.prove(tree, f"SELECT a, b FROM ({source}) AS x")
    with pytest.raises(RewriteError):
        splices.prove(tree, f"SELECT a, b FROM ({source.replace(':1', ':2')}) AS x")


def test_edits_that_overlap_are_refused() -> None:
    with pytest.raises(RewriteError, match="overlap"):
        Splices([Edit(0, 5, "x"), Edit(3, 7, "y")]).apply("SELECT 1")
