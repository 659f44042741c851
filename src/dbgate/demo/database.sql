-- The demo's database: a company's payroll and a small shop. Made data; no row means anybody.
CREATE SCHEMA payroll;
CREATE SCHEMA shop;
CREATE SCHEMA reporting;

CREATE TABLE payroll.departments (
    id int PRIMARY KEY,
    name text NOT NULL UNIQUE,
    country text NOT NULL
);

CREATE TYPE payroll.contract AS ENUM ('permanent', 'fixed-term', 'intern');

CREATE TABLE payroll.employees (
    id int PRIMARY KEY,
    full_name text NOT NULL,
    email text NOT NULL UNIQUE,
    ssn text NOT NULL UNIQUE,
    phone text,
    department_id int NOT NULL REFERENCES payroll.departments ON DELETE CASCADE,
    manager_id int REFERENCES payroll.employees ON DELETE SET NULL,
    region text NOT NULL,
    contract payroll.contract NOT NULL DEFAULT 'permanent',
    salary numeric(10, 2) NOT NULL,
    hired date NOT NULL,
    skills text[] NOT NULL DEFAULT '{}',
    profile jsonb NOT NULL DEFAULT '{}',
    notes text,
    initials text GENERATED ALWAYS AS (left(full_name, 1)) STORED
);

CREATE TABLE payroll.pay (
    id bigint NOT NULL,
    employee_id int NOT NULL REFERENCES payroll.employees ON DELETE CASCADE,
    paid_on date NOT NULL,
    amount numeric(10, 2) NOT NULL,
    bonus numeric(10, 2) NOT NULL DEFAULT 0,
    iban text NOT NULL,
    PRIMARY KEY (id, paid_on)
) PARTITION BY RANGE (paid_on);
CREATE TABLE payroll.pay_2024 PARTITION OF payroll.pay FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE payroll.pay_2025 PARTITION OF payroll.pay FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE payroll.pay_2026 PARTITION OF payroll.pay FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');

CREATE TABLE shop.customers (
    id int PRIMARY KEY,
    name text NOT NULL,
    contact_email text NOT NULL,
    city text
);
CREATE TABLE shop.orders (
    id int PRIMARY KEY,
    customer_id int NOT NULL REFERENCES shop.customers ON DELETE CASCADE,
    placed timestamptz NOT NULL,
    lines jsonb NOT NULL,
    total numeric(10, 2) NOT NULL
);

INSERT INTO payroll.departments
SELECT n, (ARRAY['Engineering', 'Finance', 'Sales', 'Support', 'Legal', 'Operations', 'Research', 'People'])[n],
    (ARRAY['DE', 'FR', 'US', 'IE', 'PL', 'NL', 'SE', 'ES'])[n]
FROM generate_series(1, 8) n;

INSERT INTO payroll.employees
    (id, full_name, email, ssn, phone, department_id, manager_id, region, contract, salary, hired, skills, profile)
SELECT n,
    first || ' ' || last,
    lower(first) || '.' || lower(last) || n || '@corp.example',
    lpad((100 + n % 800)::text, 3, '0') || '-' || lpad((10 + n % 89)::text, 2, '0') || '-' || lpad((n * 7919 % 10000)::text, 4, '0')
        || CASE WHEN n > 10000 THEN '/' || n ELSE '' END,
    '+49 30 ' || lpad((n::bigint * 104729 % 10000000)::text, 7, '0'),
    1 + n % 8,
    CASE WHEN n > 40 THEN 1 + n % 40 END,
    CASE WHEN n % 3 = 0 THEN 'US' ELSE 'EU' END,
    (ARRAY['permanent', 'permanent', 'permanent', 'fixed-term', 'intern'])[1 + n % 5]::payroll.contract,
    38000 + (n * 6151 % 92000),
    date '2012-01-01' + (n * 31 % 5000),
    ARRAY[(ARRAY['sql', 'python', 'law', 'sales'])[1 + n % 4], (ARRAY['german', 'french', 'polish'])[1 + n % 3]],
    jsonb_build_object('desk', 'B' || n % 300, 'badge', n * 17 % 100000)
FROM generate_series(1, 40000) n,
    LATERAL (SELECT (ARRAY['Ada', 'Grace', 'Edsger', 'Barbara', 'Alan', 'Radia', 'Donald', 'Frances', 'Tony', 'Jean'])[1 + n % 10] AS first,
        (ARRAY['Marsh', 'Okafor', 'Lindgren', 'Rossi', 'Dubois', 'Nowak', 'Haas', 'Silva', 'Byrne'])[1 + n % 9] AS last) names;

INSERT INTO payroll.pay (id, employee_id, paid_on, amount, bonus, iban)
SELECT (m - 1) * 40000 + e.id, e.id, date '2024-11-28' + m * 91, round(e.salary / 12, 2),
    CASE WHEN e.id % 11 = 0 THEN 250 ELSE 0 END, 'DE' || lpad((e.id * 97 % 100)::text, 2, '0') || lpad((e.id * 7907)::text, 18, '0')
FROM payroll.employees e, generate_series(1, 5) m;

INSERT INTO shop.customers
SELECT n, 'Customer ' || n, 'customer' || n || '@shop.example', (ARRAY['Berlin', 'Paris', 'Dublin', 'Gdansk'])[1 + n % 4]
FROM generate_series(1, 500) n;
INSERT INTO shop.orders
SELECT n, 1 + n % 500, timestamptz '2026-01-01 08:00+00' + n * interval '37 minutes',
    jsonb_build_array(jsonb_build_object('sku', 'A-' || n % 90, 'quantity', 1 + n % 4)), 5 + n * 13 % 400
FROM generate_series(1, 5000) n;

CREATE INDEX ON payroll.employees (department_id);
CREATE INDEX ON payroll.employees (manager_id);
CREATE INDEX ON payroll.pay (employee_id);

CREATE VIEW payroll.directory AS SELECT id, full_name, email, department_id, region FROM payroll.employees;
CREATE VIEW reporting.headcount AS
SELECT d.name AS department, e.region, count(*) AS heads
FROM payroll.employees e JOIN payroll.departments d ON d.id = e.department_id GROUP BY 1, 2;
CREATE VIEW reporting.pay_by_department AS
SELECT d.name AS department, sum(p.amount) AS paid, count(DISTINCT e.id) AS people
FROM payroll.pay p JOIN payroll.employees e ON e.id = p.employee_id JOIN payroll.departments d ON d.id = e.department_id
GROUP BY 1;
CREATE MATERIALIZED VIEW reporting.orders_by_day AS
SELECT date_trunc('day', placed) AS day, count(*) AS orders, sum(total) AS total FROM shop.orders GROUP BY 1;
CREATE FUNCTION public.fiscal_year(day date) RETURNS int LANGUAGE sql IMMUTABLE
    RETURN extract(year FROM day + interval '3 months')::int;
CREATE FUNCTION payroll.ssn_of(employee int) RETURNS text LANGUAGE sql SECURITY DEFINER
    AS 'SELECT ssn FROM payroll.employees WHERE id = employee';
COMMENT ON COLUMN payroll.employees.ssn IS 'Social security number';
COMMENT ON COLUMN payroll.pay.iban IS 'Account that the salary goes to';
