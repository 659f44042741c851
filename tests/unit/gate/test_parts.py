"""The data-changing parts of statements, each as a text that can be counted."""

from __future__ import annotations

import pytest

from dbgate.gate.parts import changing_parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("SELECT id FROM a.b", ()),
        (
            "DELETE FROM a.c USING (SELECT id FROM a.b FOR UPDATE) x WHERE x.id = c.id",
            ("DELETE FROM a.c USING (SELECT id FROM a.b  ) x WHERE x.id = c.id",),
        ),
        (
            "WITH RECURSIVE q AS (SELECT 1) DELETE FROM a.b USING q",
            ("WITH RECURSIVE q AS (SELECT 1) DELETE FROM a.b USING q",),
        ),
        ("DELETE FROM a.b WHERE id = 1", ("DELETE FROM a.b WHERE id = 1",)),
        ("EXPLAIN (ANALYZE, COSTS OFF) DELETE FROM a.b", ("DELETE FROM a.b",)),
        ("COPY (DELETE FROM a.b RETURNING id) TO STDOUT", ("DELETE FROM a.b RETURNING id",)),
        ('PREPARE "update" (int) AS UPDATE a.b SET c = $1', ("UPDATE a.b SET c = $1",)),
        (
            "WITH x AS (UPDATE a.b SET c = 1 RETURNING id), y AS (DELETE FROM a.c) SELECT * FROM x",
            ("UPDATE a.b SET c = 1 RETURNING id", "WITH x AS (SELECT  id FROM a.b  ) DELETE FROM a.c"),
        ),
        (
            "WITH q AS (SELECT 1 AS id), d AS (DELETE FROM a.b USING q WHERE q.id = b.id RETURNING b.id) DELETE FROM a.c",
            (
                "WITH q AS (SELECT 1 AS id), d AS (SELECT  b.id FROM a.b ,  q  WHERE q.id = b.id )  DELETE FROM a.c",
                "WITH q AS (SELECT 1 AS id) DELETE FROM a.b USING q WHERE q.id = b.id RETURNING b.id",
            ),
        ),
        (
            "DELETE FROM a.b WHERE id IN (SELECT id FROM a.b FOR NO KEY UPDATE OF b, c SKIP LOCKED)",
            ("DELETE FROM a.b WHERE id IN (SELECT id FROM a.b  )",),
        ),
        ("INSERT INTO a.b SELECT nextval('s'), 1", ("INSERT INTO a.b SELECT CAST(0 AS bigint), 1",)),
        ("DELETE FROM a.b WHERE id < nextval('s')", ("DELETE FROM a.b WHERE id < nextval('s')",)),
        (
            "WITH u AS (UPDATE ONLY a.b AS x SET c = extract(day FROM d), e = y.z IS DISTINCT FROM 1 FROM a.y AS y WHERE y.i = x.i RETURNING x.id, "
            "upper(n) AS n) DELETE FROM a.c USING u WHERE u.id = c.id",
            (
                "WITH u AS (SELECT  x.id, upper(n) AS n FROM ONLY a.b AS x ,  a.y AS y  WHERE y.i = x.i ) "
                " DELETE FROM a.c USING u WHERE u.id = c.id",
                "UPDATE ONLY a.b AS x SET c = extract(day FROM d), e = y.z IS DISTINCT FROM 1 FROM a.y AS y WHERE y.i = x.i RETURNING x.id, "
                "upper(n) AS n",
            ),
        ),
        (
            "WITH u AS (UPDATE a.b SET c = 1 RETURNING id) INSERT INTO a.c SELECT id FROM u",
            (
                "WITH u AS (SELECT  id FROM a.b  )  INSERT INTO a.c SELECT id FROM u",
                "UPDATE a.b SET c = 1 RETURNING id",
            ),
        ),
        (
            "WITH u AS (UPDATE a.b SET c = 1 RETURNING *), d AS (DELETE FROM a.c) DELETE FROM a.e",
            (" DELETE FROM a.e", "UPDATE a.b SET c = 1 RETURNING *", "DELETE FROM a.c"),
        ),
        (
            "WITH d AS (DELETE FROM a.b USING a.y RETURNING b.id) DELETE FROM a.c USING d WHERE d.id = c.id",
            (
                "WITH d AS (SELECT  b.id FROM a.b ,  a.y  )  DELETE FROM a.c USING d WHERE d.id = c.id",
                "DELETE FROM a.b USING a.y RETURNING b.id",
            ),
        ),
        ("WITH d (x) AS (DELETE FROM a.b RETURNING id) SELECT 1", ("DELETE FROM a.b RETURNING id",)),
        (
            "WITH i AS (INSERT INTO a.b SELECT nextval('s')) SELECT 1",
            ("INSERT INTO a.b SELECT CAST(0 AS bigint)",),
        ),
        (
            "DELETE FROM a.b WHERE id IN (SELECT id FROM a.b FOR UPDATE NOWAIT)",
            ("DELETE FROM a.b WHERE id IN (SELECT id FROM a.b  )",),
        ),
        ("TRUNCATE a.b", None),
        ("WITH q AS (SELECT 1), d AS (WITH r AS (SELECT 2) DELETE FROM a.b) SELECT 1", None),
        ("WITH q AS (SELECT 1 AS a) SEARCH DEPTH FIRST BY a SET o, d AS (DELETE FROM a.b) SELECT 1", None),
        ("WITH u AS (UPDATE a.b SET c = 1 RETURNING b) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b SET c = 1 RETURNING a.b.*) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b SET c = 1 RETURNING id, c) DELETE FROM a.c USING u WHERE u.id = c.id", None),
        ("WITH u AS (UPDATE a.b SET c = 1 RETURNING upper(b.c)) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b SET c = 1 RETURNING *) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b AS x SET c = 1 RETURNING x) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b AS x SET c = 1 RETURNING (x).id) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b SET c = 1 RETURNING new.id) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (UPDATE a.b SET (d, c) = (1, 2) RETURNING (SELECT c)) INSERT INTO a.c TABLE u", None),
        ("WITH u AS (INSERT INTO a.b VALUES (1) RETURNING id) DELETE FROM a.c USING u WHERE u.id = c.id", None),
        ("WITH RECURSIVE u AS (UPDATE a.b SET c = 1 RETURNING id) SELECT 1", None),
        ("DELETE FROM a.b WHERE c = substring('abc' for share)", None),
    ],
)
def test_parts_stand_alone(text: str, parts: tuple[str, ...] | None) -> None:
    assert changing_parts(text) == parts
