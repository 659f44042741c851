"""What is counted beforehand is what the server counts when the statement really runs: the same tables, the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.conftest import LiveDatabase

from dbgate.database.connection import Connection, connect
from dbgate.gate.decide import Context, judge
from dbgate.gate.policy.read import read_policy
from dbgate.gate.syntax import split
from dbgate.model import CountQuery, Identity, NeedsMeasure
from dbgate.session.changes import changed_rows

WORLD = """
CREATE SCHEMA s;
CREATE TABLE s.org (id int PRIMARY KEY, parent int REFERENCES s.org ON DELETE CASCADE, name text);
CREATE TABLE s.member (
  id int PRIMARY KEY, org int REFERENCES s.org ON DELETE CASCADE ON UPDATE CASCADE, boss int, note text,
  FOREIGN KEY (boss) REFERENCES s.member ON DELETE SET NULL);
CREATE TABLE s.badge (member int PRIMARY KEY REFERENCES s.member ON DELETE CASCADE, code text);
CREATE TABLE s.entry (id int, badge int REFERENCES s.badge ON DELETE CASCADE, day date, PRIMARY KEY (id, day))
  PARTITION BY RANGE (day);
CREATE TABLE s.entry_a PARTITION OF s.entry FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE s.entry_b PARTITION OF s.entry FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE s.region (code text PRIMARY KEY, name text);
CREATE TABLE s.shop (id int PRIMARY KEY, region text REFERENCES s.region ON UPDATE CASCADE ON DELETE SET NULL);
CREATE TABLE s.sale (shop int REFERENCES s.shop ON DELETE CASCADE, amount int, region text REFERENCES s.region ON UPDATE CASCADE);
CREATE TABLE s.left_ (id int PRIMARY KEY);
CREATE TABLE s.right_ (id int PRIMARY KEY, l int REFERENCES s.left_ ON DELETE CASCADE);
CREATE TABLE s.both_ (l int REFERENCES s.left_ ON DELETE CASCADE, r int REFERENCES s.right_ ON DELETE CASCADE);
CREATE TABLE s.pair (a text REFERENCES s.region ON UPDATE CASCADE, b text REFERENCES s.region ON UPDATE CASCADE);
CREATE TABLE s.mark (entry int, day date, FOREIGN KEY (entry, day) REFERENCES s.entry ON DELETE SET NULL);
CREATE TABLE s.remark (entry int, day date, FOREIGN KEY (entry, day) REFERENCES s.entry_a ON DELETE CASCADE);
INSERT INTO s.org SELECT n, nullif(n - 1, 0), 'org ' || n FROM generate_series(1, 30) n;
CREATE TABLE s.tree (id int PRIMARY KEY, parent int REFERENCES s.tree ON DELETE CASCADE);
INSERT INTO s.tree SELECT n, nullif(n - 1, 0) FROM generate_series(1, 30) n;
INSERT INTO s.member SELECT n, 1 + n % 30, nullif(n / 4, 0), 'x' FROM generate_series(1, 90) n;
INSERT INTO s.badge SELECT n, 'b' || n FROM generate_series(1, 60) n;
INSERT INTO s.entry SELECT n, 1 + n % 60, date '2026-01-01' + n % 59 FROM generate_series(1, 300) n;
INSERT INTO s.region VALUES ('n', 'North'), ('s', 'South'), ('w', 'West'), ('e', 'East');
INSERT INTO s.shop SELECT n, (ARRAY['n','s','w'])[1 + n % 3] FROM generate_series(1, 12) n;
INSERT INTO s.shop SELECT 100 + n, 'e' FROM generate_series(1, 5) n;
INSERT INTO s.sale SELECT 1 + n % 12, n, (ARRAY['n','s','w'])[1 + n % 3] FROM generate_series(1, 50) n;
INSERT INTO s.pair VALUES ('n', 'n'), ('n', 's'), ('w', 's');
INSERT INTO s.mark SELECT id, day FROM s.entry WHERE id % 5 = 0;
INSERT INTO s.remark SELECT id, day FROM s.entry WHERE id % 3 = 0 AND day < '2026-02-01';
INSERT INTO s.left_ SELECT generate_series(1, 5);
INSERT INTO s.right_ SELECT n, 1 + n % 5 FROM generate_series(1, 10) n;
INSERT INTO s.both_ SELECT 1 + n % 5, 1 + n % 10 FROM generate_series(1, 40) n;
ANALYZE;
"""

POLICY = """
version: 1
rules:
  - {id: all, when: {access: [read, write]}, effect: approve, reviewers: [{groups: [dba]}]}
"""

EXACT = [
    "UPDATE s.sale SET amount = amount + 1 WHERE amount % 7 = 0",
    "UPDATE s.sale AS x SET amount = 0 FROM s.shop h WHERE h.id = x.shop AND h.region = 'n'",
    "UPDATE s.sale SET amount = 0 FROM (VALUES (1), (1), (2)) v (n) WHERE v.n = shop",
    "WITH big AS (SELECT shop FROM s.sale GROUP BY shop HAVING sum(amount) > 100) UPDATE s.sale SET amount = 1 FROM big WHERE big.shop = sale.shop",
    "UPDATE s.region SET code = code || 'x' WHERE code <> 'w'",
    "UPDATE s.region SET code = 'm' WHERE code = 'n' -- one row refers to it twice",
    "UPDATE s.region SET name = upper(name)",
    "DELETE FROM s.region WHERE code = 'e'",
    "DELETE FROM s.shop WHERE id < 4",
    "DELETE FROM s.sale USING s.shop WHERE shop.id = sale.shop AND shop.region IN ('n', 's')",
    "DELETE FROM s.left_ WHERE id <= 2",
    "DELETE FROM s.badge WHERE member < 20",
    "DELETE FROM s.entry WHERE day >= '2026-01-20' AND day < '2026-02-10'",
    "UPDATE s.entry SET day = day + 31 WHERE id % 5 > 0 AND id % 3 > 0 AND day < '2026-01-25'",
    "UPDATE s.entry SET badge = 1 WHERE id IN (SELECT n FROM generate_series(1, 40) n)",
    "INSERT INTO s.left_ VALUES (100), (101)",
    "INSERT INTO s.left_ SELECT 100 + n FROM generate_series(1, 17) n",
    "WITH more AS (SELECT 200 + n AS n FROM generate_series(1, 6) n) INSERT INTO s.left_ SELECT n FROM more WHERE n > 202",
    "INSERT INTO s.left_ DEFAULT VALUES",
    "WITH d AS (DELETE FROM s.sale WHERE amount < 4 RETURNING *) INSERT INTO s.left_ SELECT 500 + amount FROM d",
    "WITH u AS (UPDATE s.sale SET amount = 0 WHERE amount < 4 RETURNING shop) INSERT INTO s.left_ SELECT DISTINCT 500 + shop FROM u",
    """WITH u AS (UPDATE s.sale AS x SET amount = 0 FROM s.shop h WHERE h.id = x.shop AND h.region = 'n' RETURNING x.shop, h.region)
       DELETE FROM s.left_ USING u WHERE u.shop = left_.id AND u.region = 'n'""",
    """MERGE INTO s.sale AS t USING (SELECT id, region FROM s.shop WHERE id < 9) AS x ON t.shop = x.id
       WHEN MATCHED AND CASE WHEN t.amount > 30 THEN true ELSE false END THEN DELETE
       WHEN MATCHED AND x.region = 'n' THEN UPDATE SET amount = 0 WHEN MATCHED THEN DO NOTHING""",
    """MERGE INTO s.left_ t USING (SELECT n FROM generate_series(3, 12) n) x ON t.id = x.n
       WHEN NOT MATCHED AND x.n % 2 = 0 THEN INSERT VALUES (x.n)""",
    """MERGE INTO s.shop t USING s.region x ON t.region = x.code AND x.code = 'n'
       WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE AND t.id > 6 THEN UPDATE SET region = 's'""",
    """WITH src AS (SELECT 3 AS id) MERGE INTO s.left_ t USING src ON t.id = src.id WHEN MATCHED THEN DELETE""",
    "DELETE FROM s.org WHERE id = 25",
    "DELETE FROM s.tree WHERE id = 12 -- all below it, eighteen levels",
]

AT_MOST = [
    """WITH u AS (UPDATE s.sale AS x SET amount = 0 FROM (VALUES (1), (1), (2)) v (n) WHERE v.n = shop RETURNING x.shop)
       INSERT INTO s.left_ SELECT 500 + row_number() OVER () FROM u""",
    "INSERT INTO s.left_ SELECT n FROM generate_series(1, 9) n ON CONFLICT DO NOTHING",
    "INSERT INTO s.left_ VALUES (1), (77) ON CONFLICT (id) DO NOTHING",
    "DELETE FROM s.member WHERE id IN (3, 4, 40)",
    "DELETE FROM s.org WHERE id = 2",
    "DELETE FROM s.org WHERE id = 12 -- some members lose their boss before they go themselves",
]


@pytest.fixture(scope="module")
def connection(module_database: LiveDatabase) -> Iterator[Connection]:
    module_database.execute(WORLD)
    module_database.execute("ALTER TABLE s.left_ ALTER id SET DEFAULT 999")
    made = connect(module_database.target(superuser=True))
    yield made
    made.close()


def queries(connection: Connection, text: str) -> tuple[CountQuery, ...]:
    """The gate's queries for one statement."""
    policy = read_policy([("p.yaml", POLICY)])
    source = split(text)[0]
    context = Context(Identity("i", "s"), policy, connection.catalog(), "", datetime(2026, 1, 1, tzinfo=UTC))
    decision = judge(source, context).decision
    assert isinstance(decision, NeedsMeasure), decision
    return decision.queries


def counted(connection: Connection, asked: tuple[CountQuery, ...]) -> dict[str, int]:
    """What the queries count, by table."""
    found: dict[str, int] = {}
    for query in asked:
        rows = connection.count(query.text, query.parameters)
        found[str(query.relation)] = found.get(str(query.relation), 0) + rows
    return {name: rows for name, rows in sorted(found.items()) if rows}


def changed(connection: Connection, text: str, asked: tuple[CountQuery, ...]) -> dict[str, int]:
    """What the server counts when it runs, and is rolled back."""
    connection.execute_unrecorded("BEGIN")
    try:
        before = connection.counters()
        connection.execute_unrecorded(text)
        after = connection.counters()
    finally:
        connection.execute_unrecorded("ROLLBACK")
    assert before is not None
    assert after is not None
    return changed_rows(before, after, asked)


def skip_unknown_merge(connection: Connection, text: str) -> None:
    """MERGE … BY SOURCE came with PostgreSQL 17."""
    if "BY SOURCE" in text and connection.catalog().server_version < 170000:
        pytest.skip("this server has no MERGE … BY SOURCE")


@pytest.mark.parametrize("text", EXACT)
def test_exactly_what_the_server_counts(connection: Connection, text: str) -> None:
    skip_unknown_merge(connection, text)
    asked = queries(connection, text)
    measured = counted(connection, asked)
    assert measured == changed(connection, text, asked)
    assert measured


@pytest.mark.parametrize("text", AT_MOST)
def test_never_fewer_than_the_server_counts(connection: Connection, text: str) -> None:
    asked = queries(connection, text)
    measured = counted(connection, asked)
    for name, rows in changed(connection, text, asked).items():
        assert rows <= measured.get(name, 0), name


def test_truncate_takes_all_that_refers_to_it(connection: Connection) -> None:
    asked = queries(connection, "TRUNCATE s.left_ CASCADE")
    assert counted(connection, asked) == {"s.both_": 40, "s.left_": 5, "s.right_": 10}
    assert counted(connection, queries(connection, "TRUNCATE s.both_")) == {"s.both_": 40}


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM s.left_ WHERE random() < 0.5",
        "INSERT INTO s.region VALUES ('n', 'x') ON CONFLICT (code) DO UPDATE SET code = 'z'",
    ],
)
def test_what_cannot_be_counted_says_so(connection: Connection, text: str) -> None:
    policy = read_policy([("p.yaml", POLICY)])
    context = Context(Identity("i", "s"), policy, connection.catalog(), "", datetime(2026, 1, 1, tzinfo=UTC))
    assert not isinstance(judge(split(text)[0], context).decision, NeedsMeasure)
