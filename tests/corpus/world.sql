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
