-- The database of the corpus. Every labelled cell holds a sentinel; run.py looks for them wherever anything comes out.
CREATE SCHEMA payroll;
CREATE SCHEMA shop;
CREATE TABLE payroll.departments (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE payroll.employees (
    id int PRIMARY KEY, full_name text NOT NULL, ssn text UNIQUE, email varchar(80), salary numeric(12,2), region text,
    notes text, dept int REFERENCES payroll.departments ON DELETE CASCADE, badge bigint, profile jsonb,
    tags text[], hired date, ssn_length int GENERATED ALWAYS AS (length(ssn)) STORED,
    words tsvector GENERATED ALWAYS AS (to_tsvector('simple', coalesce(ssn, ''))) STORED);
CREATE TABLE payroll.pay (id int PRIMARY KEY, employee_id int REFERENCES payroll.employees ON DELETE CASCADE, iban text, amount numeric);
CREATE TABLE payroll.cards (ssn_ref text REFERENCES payroll.employees (ssn), colour text);
CREATE TABLE payroll.visits (id int, at date NOT NULL, ssn text, place text) PARTITION BY RANGE (at);
CREATE TABLE payroll.visits_2024 PARTITION OF payroll.visits FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE payroll.visits_2025 PARTITION OF payroll.visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE payroll.people (id int, phone text);
CREATE TABLE payroll.contractors (firm text) INHERITS (payroll.people);
CREATE TABLE shop.orders (id int PRIMARY KEY, customer text, total numeric, placed timestamp, lines jsonb);
CREATE TABLE public.log (id int, t text, n int);
CREATE VIEW payroll.directory AS SELECT id, full_name, email AS mail FROM payroll.employees;
CREATE VIEW payroll.rich AS SELECT id, full_name FROM payroll.employees WHERE salary > 1000;
CREATE VIEW payroll.nested AS SELECT d.*, upper(e.ssn) AS code FROM payroll.directory d JOIN payroll.employees e USING (id);
CREATE VIEW payroll.totals AS SELECT dept, sum(salary) AS total, count(*) AS heads FROM payroll.employees GROUP BY dept;
CREATE MATERIALIZED VIEW payroll.stored AS SELECT id, ssn AS s, lower(email) AS m, full_name FROM payroll.employees;
CREATE FUNCTION payroll.read_ssn(int) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ssn FROM payroll.employees WHERE id = $1';
CREATE FUNCTION payroll.shout() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE NOTICE 'row % %', NEW.ssn, NEW.salary; RETURN NEW; END$$;
CREATE TRIGGER shout BEFORE UPDATE ON payroll.employees FOR EACH ROW EXECUTE FUNCTION payroll.shout();
CREATE OPERATOR payroll.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
INSERT INTO payroll.departments SELECT g, 'dept ' || g FROM generate_series(1, 4) g;
INSERT INTO payroll.employees (id, full_name, ssn, email, salary, region, notes, dept, badge, profile, tags, hired)
SELECT g, 'Person ' || g, 'Zebrafish' || 10 + g || '-99' || 30 + g, 'walrusine' || 40 + g || '@mail.example', 774130 + g + 0.37,
    CASE WHEN g % 2 = 0 THEN 'EU' ELSE 'US' END, 'note', 1 + g % 4, 5150770000 + g,
    jsonb_build_object('pin', 'okapitis' || 60 + g), ARRAY['tapirish' || 70 + g], date '2020-01-01' + g
FROM generate_series(1, 12) g;
INSERT INTO payroll.pay SELECT g, g, 'KOALABEAR' || 50 + g || 'DE00', g * 10 FROM generate_series(1, 12) g;
INSERT INTO payroll.cards SELECT ssn, 'red' FROM payroll.employees WHERE id < 4;
INSERT INTO payroll.visits SELECT g, date '2024-06-01' + g * 40, 'Zebrafish' || 80 + g || '-00', 'gate' FROM generate_series(1, 12) g;
INSERT INTO payroll.people VALUES (1, 'gazelleon11');
INSERT INTO payroll.contractors VALUES (2, 'gazelleon12', 'acme');
INSERT INTO shop.orders SELECT g, 'c' || g % 5, g * 1.5, timestamp '2024-01-01' + g * interval '1 day',
    jsonb_build_array(jsonb_build_object('sku', 'a' || g, 'n', g)) FROM generate_series(1, 40) g;
INSERT INTO public.log SELECT g, 't' || g, g FROM generate_series(1, 10) g;
REFRESH MATERIALIZED VIEW payroll.stored;
ANALYZE;
-- Every kind of type that a mask may have to stand for.
CREATE SCHEMA hr;
CREATE DOMAIN hr.code AS text CHECK (VALUE <> 'never');
CREATE TYPE hr.mood AS ENUM ('calm', 'wild');
CREATE TABLE hr.kinds (
    id int PRIMARY KEY, plain text, c char(20), v varchar(4), d hr.code, nm name, n numeric(8,2), i smallint, b bigint, u uuid,
    t timestamptz, dt date, j json, jb jsonb, arr text[], by bytea, bo boolean, e hr.mood, iv interval, r int4range, bits bit(3), x "char");
CREATE TABLE hr.keyed (LIKE hr.kinds);
INSERT INTO hr.kinds SELECT g, 'plain ' || g, 'Zebrafish' || g, 'Zebr', 'Zebrafish' || g, 'Zebrafish' || g, 774131.37, 7741, 5150770000 + g,
    ('51507700-0000-0000-0000-0000000000' || 10 + g)::uuid, timestamptz '7741-01-01 UTC' + g * interval '1 day', date '7741-01-01' + g,
    '{"pin": "okapitis"}', '{"pin": "okapitis"}', ARRAY['tapirish'], 'Zebrafish'::bytea, true, 'wild', interval '7741 days',
    int4range(7741, 7742), B'101', 'Z' FROM generate_series(1, 3) g;
INSERT INTO hr.kinds (id, plain) VALUES (4, 'all empty');
INSERT INTO hr.keyed SELECT * FROM hr.kinds;
-- Rows that one may not see: their unlabelled columns hold sentinels.
CREATE TABLE hr.regional (id int PRIMARY KEY, region text NOT NULL, note text, amount int);
INSERT INTO hr.regional SELECT g, CASE WHEN g % 2 = 0 THEN 'EU' ELSE 'US' END, CASE WHEN g % 2 = 0 THEN 'seen' ELSE 'Zebrafish' || g END, g
FROM generate_series(1, 8) g;
CREATE TABLE hr.events (id int, region text, note text) PARTITION BY LIST (region);
CREATE TABLE hr.events_eu PARTITION OF hr.events FOR VALUES IN ('EU');
CREATE TABLE hr.events_us PARTITION OF hr.events FOR VALUES IN ('US');
INSERT INTO hr.events VALUES (1, 'EU', 'seen'), (2, 'US', 'Zebrafish hidden');
CREATE TABLE hr.parts (id int, note text) PARTITION BY RANGE (id);
CREATE TABLE hr.parts_low PARTITION OF hr.parts FOR VALUES FROM (0) TO (10);
INSERT INTO hr.parts VALUES (1, 'seen'), (2, 'Zebrafish hidden');
CREATE VIEW hr.regional_view AS SELECT id, note FROM hr.regional WHERE amount > 0;
CREATE MATERIALIZED VIEW hr.regional_stored AS SELECT id, note FROM hr.regional;
-- Views of every shape.
CREATE VIEW hr.both AS SELECT ssn AS secret FROM payroll.employees UNION SELECT iban FROM payroll.pay;
CREATE VIEW hr.barrier WITH (security_barrier) AS SELECT id, ssn FROM payroll.employees WHERE region = 'EU';
CREATE VIEW hr.with_cte AS WITH q AS (SELECT id, email FROM payroll.employees) SELECT id, upper(email) AS shouted FROM q;
CREATE VIEW hr.renamed (a, b) AS SELECT id, ssn FROM payroll.employees;
CREATE VIEW hr.grouped AS SELECT e.id, e.full_name, count(p.id) AS payments FROM payroll.employees e
    LEFT JOIN payroll.pay p ON p.employee_id = e.id GROUP BY e.id;
CREATE VIEW hr.windowed AS SELECT id, rank() OVER (ORDER BY salary DESC) AS place FROM payroll.employees;
CREATE VIEW hr.star AS SELECT * FROM payroll.employees;
CREATE VIEW hr.top AS SELECT id, full_name FROM payroll.employees ORDER BY salary DESC LIMIT 1;
CREATE RECURSIVE VIEW hr.chain (n, s) AS SELECT 1, ssn FROM payroll.employees WHERE id = 1 UNION ALL SELECT n + 1, s FROM chain WHERE n < 3;
CREATE VIEW hr.whole AS SELECT e.id, to_jsonb(e) AS doc FROM payroll.employees e;
CREATE VIEW hr.calls AS SELECT id, payroll.read_ssn(id) AS found FROM payroll.departments;
CREATE VIEW hr.calls_below AS SELECT found AS f FROM hr.calls;
CREATE VIEW hr.statistics AS SELECT tablename, attname, most_common_vals::text AS v, histogram_bounds::text AS h FROM pg_stats;
CREATE VIEW hr.statements AS SELECT pid, query FROM pg_stat_activity;
CREATE VIEW hr.passwords AS SELECT rolname, rolpassword FROM pg_authid;
CREATE VIEW hr.xml AS SELECT query_to_xml('SELECT ssn FROM payroll.employees', true, false, '') AS x WHERE false;
CREATE MATERIALIZED VIEW hr.statistics_stored AS SELECT attname, histogram_bounds::text AS h FROM pg_stats WHERE tablename = 'employees';
CREATE MATERIALIZED VIEW hr.turned AS SELECT q.x AS turned FROM (SELECT reverse(ssn) AS x FROM payroll.employees) q;
CREATE MATERIALIZED VIEW hr.turned_again AS SELECT turned AS again FROM hr.turned;
CREATE MATERIALIZED VIEW hr.chosen AS SELECT id, full_name FROM payroll.employees WHERE salary > 774135;
CREATE MATERIALIZED VIEW hr.mixed AS SELECT id AS k, coalesce(ssn, email) AS m FROM payroll.employees;
CREATE TABLE hr.contacts (id int PRIMARY KEY, reach text);
ALTER TABLE hr.contacts ALTER reach SET STATISTICS 0;
INSERT INTO hr.contacts SELECT g, 'walrusine' || g || '@mail.example' FROM generate_series(1, 3) g;
CREATE VIEW hr.contact_view AS SELECT id, reach AS contact_email FROM hr.contacts;
CREATE TABLE hr.locked (id int PRIMARY KEY, code text, city text);
INSERT INTO hr.locked SELECT g, 'Zebrafish' || g, 'city ' || g FROM generate_series(1, 3) g;
CREATE VIEW hr.unlocked AS SELECT id, code, reverse(code) AS back, city FROM hr.locked;
CREATE VIEW hr.unlocked_some AS SELECT id, city FROM hr.locked WHERE code LIKE 'Zebra%';
-- Whole rows that are kept, names that play games, functions behind types and operators.
CREATE TABLE hr.snapshots (id int PRIMARY KEY, taken payroll.employees, all_taken payroll.employees[]);
INSERT INTO hr.snapshots SELECT e.id, e, ARRAY[e] FROM payroll.employees e WHERE id < 3;
CREATE TABLE hr.log (id int PRIMARY KEY, ssn text, t text);
INSERT INTO hr.log VALUES (1, 'Zebrafish1', 'one');
CREATE TABLE hr."Odd ""Name" ("Ssn ü" text, "a.b" int, "select" text);
INSERT INTO hr."Odd ""Name" VALUES ('Zebrafish7', 1, 'x');
CREATE TABLE hr.a_very_long_table_name_that_fills_all_sixty_three_bytes_of_a_na (id int, ssn text);
INSERT INTO hr.a_very_long_table_name_that_fills_all_sixty_three_bytes_of_a_na VALUES (1, 'Zebrafish9');
CREATE FUNCTION hr.is_known(text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS 'SELECT EXISTS (SELECT 1 FROM payroll.employees WHERE ssn = $1)';
CREATE DOMAIN hr.known AS text CHECK (hr.is_known(VALUE));
CREATE FUNCTION hr.same(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT hr.is_known($1)';
CREATE OPERATOR hr.<~~> (LEFTARG = text, RIGHTARG = text, FUNCTION = hr.same);
CREATE AGGREGATE hr.collect (text) (SFUNC = textcat, STYPE = text);
CREATE SEQUENCE shop.numbers;
CREATE SEQUENCE shop."Mixed.Case";
CREATE TABLE shop.items (id int PRIMARY KEY, name text, price numeric, tags text[], doc jsonb, raw json, made timestamptz DEFAULT now());
INSERT INTO shop.items SELECT g, 'item ' || g, g * 2.5, ARRAY['t' || g % 3, 'all'], jsonb_build_object('n', g, 'in', jsonb_build_array(g, g + 1)), '{"k": 1}'
FROM generate_series(1, 12) g;
CREATE TABLE shop.stock (item int REFERENCES shop.items, place text, count int, PRIMARY KEY (item, place));
INSERT INTO shop.stock SELECT g, p, g * 3 FROM generate_series(1, 12) g, unnest(ARRAY['east', 'west']) p;
CREATE TABLE shop.log (id int PRIMARY KEY, kind text);
INSERT INTO shop.log SELECT g, 'k' || g FROM generate_series(1, 5) g;
CREATE VIEW shop.names AS SELECT id, name FROM shop.items;
CREATE VIEW shop.some_names AS SELECT id, name FROM shop.items WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_class);
-- A filter that costs more than what a person may ask: the planner would ask that first.
CREATE TABLE hr.costly (id int PRIMARY KEY, region text, note text);
INSERT INTO hr.costly SELECT g, CASE WHEN g % 2 = 0 THEN 'EU' ELSE 'US' END, CASE WHEN g % 2 = 0 THEN '1' ELSE 'Zebrafish' || g END FROM generate_series(1, 6) g;
CREATE VIEW hr.costly_view AS SELECT id, note FROM hr.costly;
-- Stored queries over functions whose columns nobody names.
CREATE MATERIALIZED VIEW hr.populated AS SELECT e.id, x.ssn AS kept FROM payroll.employees e, jsonb_populate_record(NULL::payroll.visits, to_jsonb(e)) x;
CREATE MATERIALIZED VIEW hr.populated_one AS
    SELECT ssn AS kept FROM jsonb_populate_record(NULL::payroll.visits, (SELECT to_jsonb(e) FROM payroll.employees e WHERE id = 1)) x;
-- Sequences that number labelled columns.
CREATE TABLE hr.numbered (id int PRIMARY KEY, no bigint GENERATED BY DEFAULT AS IDENTITY);
SELECT setval('hr.numbered_no_seq', 7741);
CREATE SEQUENCE hr.by_default;
ALTER TABLE hr.numbered ADD spare bigint DEFAULT nextval('hr.by_default');
SELECT setval('hr.by_default', 7742);
CREATE SEQUENCE hr.numbered_no_seq2;
CREATE TABLE shop.tickets (id serial PRIMARY KEY, title text, "No" int GENERATED BY DEFAULT AS IDENTITY);
INSERT INTO shop.tickets (title) SELECT 'ticket ' || g FROM generate_series(1, 3) g;
CREATE VIEW hr.last_number AS SELECT lastval() AS n;
CREATE VIEW hr.sequence_view AS SELECT last_value FROM hr.numbered_no_seq;
-- Views that read masked texts as values of other types.
CREATE DOMAIN hr.long_code AS text CHECK (length(VALUE) > 5);
CREATE TABLE hr.coded (id int PRIMARY KEY, ssn hr.long_code, plain text);
INSERT INTO hr.coded SELECT g, 'Zebrafish' || 100 + g, 'plain' FROM generate_series(1, 3) g;
CREATE VIEW hr.cast_view AS SELECT id, right(ssn, 3)::int AS number, to_date(right(ssn, 3), 'DDD') AS day, plain FROM hr.coded;
CREATE VIEW hr.cast_again AS SELECT id, number + 1 AS next, plain FROM hr.cast_view;
CREATE VIEW hr.kept_row AS SELECT c.id, c AS kept FROM hr.coded c;
-- Stored queries that give as many rows as a hidden value asks for.
CREATE MATERIALIZED VIEW hr.per_letter AS SELECT id, generate_series(1, length(ssn)) AS n FROM payroll.employees;
CREATE MATERIALIZED VIEW hr.per_step AS SELECT e.id FROM payroll.employees e, generate_series(1, length(e.ssn)) g;
CREATE MATERIALIZED VIEW hr.per_tag AS SELECT e.id, full_name FROM payroll.employees e LEFT JOIN LATERAL unnest(e.tags) t ON true;
CREATE MATERIALIZED VIEW hr.per_key AS SELECT e.id FROM payroll.employees e CROSS JOIN LATERAL jsonb_object_keys(e.profile) k;
CREATE MATERIALIZED VIEW hr.per_cte AS WITH q AS (SELECT id, regexp_split_to_table(ssn, '') AS c FROM payroll.employees) SELECT id FROM q;
CREATE VIEW hr.per_code AS SELECT id, city FROM hr.locked, unnest(string_to_array(code, 'a')) u;
CREATE MATERIALIZED VIEW hr.gathered AS SELECT id, ARRAY(SELECT upper(t) FROM unnest(e.tags) t) AS tags FROM payroll.employees e;
-- Partitions that a hidden column chooses: statistics of their other columns tell which rows lie there.
CREATE TABLE hr.bands (id int, pay int, place text) PARTITION BY RANGE (pay);
CREATE TABLE hr.bands_low PARTITION OF hr.bands FOR VALUES FROM (0) TO (800000);
CREATE TABLE hr.bands_high PARTITION OF hr.bands FOR VALUES FROM (800000) TO (9000000);
INSERT INTO hr.bands SELECT g, 774130 + g, 'spot ' || g FROM generate_series(1, 6) g;
-- Row security of the database: a view shows what its owner sees.
CREATE TABLE hr.secured (id int PRIMARY KEY, owner text, employee int); ALTER TABLE hr.secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON hr.secured USING (owner = 'nobody');
INSERT INTO hr.secured SELECT g, 'somebody', g FROM generate_series(1, 4) g;
CREATE VIEW hr.secured_view AS SELECT s.id, s.owner, e.ssn FROM hr.secured s JOIN payroll.employees e ON e.id = s.employee;
CREATE VIEW hr.secured_above AS SELECT id, owner, upper(ssn) AS code FROM hr.secured_view;
CREATE VIEW hr.secured_some AS SELECT s.id FROM hr.secured s JOIN payroll.employees e ON e.id = s.employee WHERE e.salary > 774131;
-- A check that only a child has.
CREATE TABLE hr.banked (id int PRIMARY KEY, amount int, ssn text);
CREATE TABLE hr.banked_child (PRIMARY KEY (id), CHECK (amount > length(ssn))) INHERITS (hr.banked);
INSERT INTO hr.banked VALUES (1, 100, 'Zebrafish1'); INSERT INTO hr.banked_child VALUES (2, 100, 'Zebrafish2');
-- Foreign tables that name tables of this database. Nothing answers for them: what is sent is compared.
CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER loop FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE hr.away (id int, number text OPTIONS (column_name 'ssn'), email text, full_name text)
    SERVER loop OPTIONS (schema_name 'payroll', table_name 'employees');
CREATE FOREIGN TABLE hr.away_rows (id int, note text) SERVER loop OPTIONS (table_name 'regional');
CREATE VIEW hr.away_view AS SELECT id, number AS n FROM hr.away;
-- A filter that only a child has.
CREATE TABLE hr.branches (id int PRIMARY KEY, note text); INSERT INTO hr.branches VALUES (1, 'seen');
CREATE TABLE hr.branches_far () INHERITS (hr.branches); INSERT INTO hr.branches_far VALUES (2, 'seen'), (3, 'Zebrafish hidden');
-- Rules: what they do, a statement does not show.
CREATE TABLE hr.ruled (id int PRIMARY KEY, t text);
CREATE RULE also AS ON INSERT TO hr.ruled DO ALSO INSERT INTO public.log SELECT id, ssn, 1 FROM payroll.employees;
CREATE VIEW hr.over_ruled AS SELECT id, t FROM hr.ruled;
CREATE VIEW hr.ruled_view AS SELECT id, name FROM shop.items;
CREATE RULE instead AS ON UPDATE TO hr.ruled_view DO INSTEAD UPDATE shop.items SET name = new.name WHERE id = old.id
    RETURNING id, (SELECT ssn FROM payroll.employees WHERE employees.id = 1);
-- What differs between the servers' versions: columns that are computed when they are read, keys without overlaps (18).
DO $$
DECLARE newest boolean := current_setting('server_version_num')::int >= 180000;
BEGIN
    EXECUTE format('CREATE TABLE hr.derived (id int PRIMARY KEY, ssn text, plain text, shown text GENERATED ALWAYS AS (reverse(ssn)) %1$s,
        mixed text GENERATED ALWAYS AS (plain || left(ssn, 12)) %1$s, size int GENERATED ALWAYS AS (length(plain)) %1$s)',
        CASE WHEN newest THEN 'VIRTUAL' ELSE 'STORED' END);
    EXECUTE format('CREATE TABLE hr.stays (room int4range, during daterange, ssn text, PRIMARY KEY (room, during %s))',
        CASE WHEN newest THEN 'WITHOUT OVERLAPS' ELSE '' END);
END $$;
INSERT INTO hr.derived (id, ssn, plain) SELECT g, 'Zebrafish' || g, 'plain ' || g FROM generate_series(1, 3) g;
INSERT INTO hr.stays SELECT int4range(g, g + 1), daterange('2024-01-01', '2024-02-01'), 'Zebrafish' || g FROM generate_series(1, 3) g;
CREATE DOMAIN hr.known_again AS hr.known;
CREATE TYPE hr.holder AS (a int, k hr.known);
CREATE TABLE hr.with_domain (id int, k hr.known);
CREATE VIEW hr.derived_view AS SELECT id, shown AS turned, size FROM hr.derived;
CREATE MATERIALIZED VIEW hr.derived_stored AS SELECT id, mixed AS m, size FROM hr.derived;
ANALYZE;
