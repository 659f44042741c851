"""The queries that read a catalog: a fixed number, sent in one round trip, whatever the size of the database.

They run with an empty `search_path`, so that every name that PostgreSQL deparses comes out qualified, and see the
temporary relations of this session but not those of others. Section 51 of PostgreSQL's manual describes the tables.
"""

from __future__ import annotations

_OTHERS_TEMPORARY = """
  SELECT c.oid FROM pg_class c
  WHERE c.relpersistence = 't' AND c.relnamespace <> pg_my_temp_schema()
"""

FIRST_USER_OID = 16384
"""Smaller ones belong to objects that came with the server, which change with its version only (access/transam.h)."""

NEWEST = """
  (SELECT max(oid) FROM pg_catalog.pg_proc)::text || ' ' || (SELECT max(oid) FROM pg_catalog.pg_operator)::text
  || ' ' || (SELECT max(oid) FROM pg_catalog.pg_cast)::text
  || ' ' || (SELECT pg_catalog.sum(pg_catalog.hash_record_extended((oid, nspname, nspowner, nspacl), 0))
    FROM pg_catalog.pg_namespace WHERE NOT pg_catalog.pg_is_other_temp_schema(oid))::text
"""
"""What says that functions, operators and casts are new, or that names of the search path may mean others."""

_VERSIONS = "json_build_array(count(*), sum(hash_record_extended((xmin, ctid), 0)))"

FINGERPRINT = f"""
WITH others AS MATERIALIZED ({_OTHERS_TEMPORARY})
SELECT json_build_array(3, current_setting('server_version_num'),
  (SELECT oid FROM pg_database WHERE datname = current_database()),
  (SELECT json_build_array(oid, rolsuper) FROM pg_roles WHERE rolname = CURRENT_USER),
  (SELECT json_build_array(count(*), sum(hash_record_extended(
      (oid, relname, relnamespace, relkind, reltype, relnatts, relhasrules, relhastriggers, relowner, relacl, relrowsecurity, relforcerowsecurity), 0)))
    FROM pg_class WHERE relkind IN ('r','p','v','m','f','S','c') AND oid NOT IN (SELECT oid FROM others)),
  (SELECT {_VERSIONS} FROM pg_attribute
    WHERE attrelid >= {FIRST_USER_OID} AND attnum > 0 AND attrelid NOT IN (SELECT oid FROM others)),
  (SELECT {_VERSIONS} FROM pg_attrdef WHERE adrelid NOT IN (SELECT oid FROM others)),
  (SELECT {_VERSIONS} FROM pg_constraint WHERE conrelid NOT IN (SELECT oid FROM others)),
  (SELECT {_VERSIONS} FROM pg_type WHERE oid >= {FIRST_USER_OID} AND typrelid = 0 AND typcategory <> 'A'),
  (SELECT json_build_array(count(*), sum(hash_record_extended((inhrelid, inhparent), 0))) FROM pg_inherits),
  (SELECT {_VERSIONS} FROM pg_rewrite WHERE ev_class >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_proc WHERE oid >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_operator WHERE oid >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_cast WHERE oid >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_opclass WHERE oid >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_amproc WHERE oid >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_trigger WHERE NOT tgisinternal),
  (SELECT {_VERSIONS} FROM pg_namespace WHERE NOT pg_is_other_temp_schema(oid)),
  (SELECT {_VERSIONS} FROM pg_extension),
  (SELECT {_VERSIONS} FROM pg_description WHERE objoid >= {FIRST_USER_OID}),
  (SELECT {_VERSIONS} FROM pg_foreign_table),
  (SELECT {_VERSIONS} FROM pg_auth_members)), {NEWEST}
"""
"""One value that changes with every change of definitions, privileges and comments; and what `Catalog.newest` holds.

Vacuum, analyze and truncation do not change it: of `pg_class`, which they write to, only definitions are hashed. A row's
place (`ctid`) changes with every update, its `xmin` not with a second one in the same transaction.
"""

_RELATIONS = """
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r','p','v','m','f','S','c') AND n.nspname <> 'pg_toast' AND NOT pg_is_other_temp_schema(n.oid)
"""

RELATIONS = """
WITH inherited AS (
  SELECT inhrelid, json_agg(inhparent ORDER BY inhseqno) AS parents FROM pg_inherits GROUP BY inhrelid
), depending AS (
  SELECT r.ev_class, json_agg(DISTINCT d.refobjid) AS depends
  FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
  WHERE r.rulename = '_RETURN' GROUP BY r.ev_class
), ruled AS (
  SELECT DISTINCT ev_class FROM pg_rewrite WHERE rulename <> '_RETURN'
), triggered AS (
  SELECT DISTINCT tgrelid FROM pg_trigger WHERE NOT tgisinternal
), marked AS (
  SELECT x.oid, sum(x.mark)::text AS mark FROM (
    SELECT ev_class AS oid, hashtextextended(ev_action::text, 0) AS mark FROM pg_rewrite
    UNION ALL SELECT adrelid, hashtextextended(adbin::text, 0) FROM pg_attrdef) AS x
  WHERE x.oid >= 16384 GROUP BY x.oid
), away AS (
  SELECT f.ftrelid, json_build_array(max(o.option_value) FILTER (WHERE o.option_name = 'schema_name'),
    max(o.option_value) FILTER (WHERE o.option_name = 'table_name')) AS remote
  FROM pg_foreign_table f LEFT JOIN LATERAL pg_options_to_table(f.ftoptions) o ON true GROUP BY f.ftrelid
)
SELECT c.oid, n.nspname, c.relname, c.relkind, i.parents,
  CASE WHEN c.relkind IN ('v','m') AND n.nspname NOT IN ('pg_catalog','information_schema')
    THEN pg_get_viewdef(c.oid, false) END,
  d.depends, has_table_privilege(c.oid, 'SELECT'), array_to_json(k.conkey), r.ev_class IS NOT NULL,
  t.tgrelid IS NOT NULL, greatest(c.reltuples, 0)::bigint, o.description, c.reltype,
  CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, m.mark,
  c.relrowsecurity AND row_security_active(c.oid), f.remote
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN inherited i ON i.inhrelid = c.oid
LEFT JOIN depending d ON d.ev_class = c.oid
LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
LEFT JOIN ruled r ON r.ev_class = c.oid
LEFT JOIN triggered t ON t.tgrelid = c.oid
LEFT JOIN marked m ON m.oid = c.oid
LEFT JOIN away f ON f.ftrelid = c.oid
LEFT JOIN pg_description o ON o.objoid = c.oid AND o.classoid = 'pg_class'::regclass AND o.objsubid = 0
WHERE c.relkind IN ('r','p','v','m','f','S','c') AND n.nspname <> 'pg_toast' AND NOT pg_is_other_temp_schema(n.oid)
ORDER BY n.nspname, c.relname
"""

COLUMNS = f"""
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated
FROM pg_attribute a
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN ({_RELATIONS})
ORDER BY a.attrelid, a.attnum
"""

COLUMN_TEXTS = f"""
SELECT a.attrelid, a.attnum::int, 'default', pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attgenerated <> '' AND a.attrelid IN ({_RELATIONS})
UNION ALL
SELECT objoid, objsubid, 'comment', description FROM pg_description
WHERE classoid = 'pg_class'::regclass AND objsubid > 0 AND objoid >= 16384
UNION ALL
SELECT a.attrelid, a.attnum, 'remote', o.option_value
FROM pg_attribute a CROSS JOIN LATERAL pg_options_to_table(a.attfdwoptions) o
WHERE a.attfdwoptions IS NOT NULL AND o.option_name = 'column_name'
UNION ALL
SELECT a.attrelid, a.attnum, 'collation', format('%I.%I', n.nspname, c.collname)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON b.oid = t.typbasetype
JOIN pg_collation c ON c.oid = a.attcollation JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE a.attcollation <> COALESCE(b.typcollation, t.typcollation) AND a.attnum > 0 AND a.attrelid >= 16384
UNION ALL
SELECT atttypid, atttypmod, 'type', format_type(atttypid, atttypmod) FROM (
  SELECT DISTINCT atttypid, atttypmod FROM pg_attribute WHERE attnum > 0 AND atttypmod >= 0 AND NOT attisdropped
) AS used
"""
"""Texts that few columns have, and the names of types with a modifier, by type and modifier."""

TYPES = """
WITH RECURSIVE checked (oid, function) AS (
  SELECT k.contypid, d.refobjid
  FROM pg_constraint k JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
    AND d.refclassid = 'pg_proc'::regclass
  WHERE k.contypid <> 0
  UNION
  SELECT h.holder, checked.function FROM checked JOIN (
    SELECT oid AS holder, typbasetype AS held FROM pg_type WHERE typbasetype <> 0
    UNION ALL SELECT oid, typelem FROM pg_type WHERE typcategory = 'A'
    UNION ALL SELECT rngtypid, rngsubtype FROM pg_range UNION ALL SELECT rngmultitypid, rngtypid FROM pg_range
    UNION ALL SELECT c.reltype, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.reltype <> 0 AND a.attnum > 0 AND NOT a.attisdropped) AS h ON h.held = checked.oid
)
SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typbasetype, format_type(t.oid, NULL),
  COALESCE(x.extname, ''), COALESCE(c.relkind, ec.relkind, 'c') = 'c', f.functions
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_class ec ON ec.oid = e.typrelid
LEFT JOIN pg_depend m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid AND m.deptype = 'e'
LEFT JOIN pg_extension x ON x.oid = m.refobjid
LEFT JOIN (SELECT oid, json_agg(DISTINCT function) AS functions FROM checked GROUP BY oid) AS f ON f.oid = t.oid
WHERE NOT pg_is_other_temp_schema(n.oid) AND n.nspname <> 'pg_toast'
"""
"""The functions of a type are those that its checks call, or those of a type within it: base, element, column."""

FUNCTIONS = """
SELECT p.oid, n.nspname, p.proname, oidvectortypes(p.proargtypes), p.prokind, l.lanname, p.prosecdef,
  COALESCE(x.extname, ''), format_type(p.prorettype, NULL), p.pronargs - p.pronargdefaults - (p.provariadic <> 0)::int, p.provariadic <> 0, r.refobjid,
  array_to_json(p.proargtypes::oid[]),
  (SELECT json_agg(DISTINCT o) FROM unnest(p.prorettype || p.proallargtypes) o WHERE o >= 16384)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_depend m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid AND m.deptype = 'e'
LEFT JOIN pg_extension x ON x.oid = m.refobjid
LEFT JOIN pg_depend r ON l.lanname = 'internal' AND r.classid = 'pg_proc'::regclass AND r.objid = p.oid
  AND r.deptype = 'i' AND r.refclassid = 'pg_type'::regclass
WHERE n.nspname NOT IN ('pg_catalog','information_schema') AND NOT pg_is_other_temp_schema(n.oid)
ORDER BY n.nspname, p.proname, 4
"""

FOREIGN_KEYS = """
SELECT conname, conrelid, array_to_json(conkey), confrelid, array_to_json(confkey),
  CASE WHEN unenforced THEN 'a' ELSE confdeltype END, CASE WHEN unenforced THEN 'a' ELSE confupdtype END
FROM pg_constraint AS k, LATERAL (SELECT to_jsonb(k) @> '{"conenforced": false}' AS unenforced) AS u
WHERE contype = 'f' ORDER BY conrelid, conname
"""
"""A key that is not enforced (PostgreSQL 18) still tells where values come from, but carries nothing along."""

CONSTRAINTS = """
SELECT 'constraint', conname::text, contype::text, conrelid::oid, array_to_json(conkey)::text FROM pg_constraint
WHERE contype IN ('c', 'u', 'p', 'x') AND conrelid <> 0 AND conkey IS NOT NULL
ORDER BY 4, 2
"""

BEHIND = """
WITH RECURSIVE own AS (
  SELECT p.oid FROM pg_proc p WHERE p.oid >= 16384 AND NOT EXISTS (
    SELECT FROM pg_depend m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid AND m.deptype = 'e')
), direct(type, kind, function) AS (
  SELECT t.oid, 'use', f FROM pg_type t, unnest(ARRAY[t.typinput::oid, t.typoutput::oid, t.typreceive::oid,
    t.typsend::oid, t.typmodin::oid, t.typmodout::oid]) f WHERE t.oid >= 16384 AND f >= 16384
  UNION ALL
  SELECT r.rngtypid, 'use', f FROM pg_range r, unnest(ARRAY[r.rngcanonical::oid, r.rngsubdiff::oid]) f WHERE f >= 16384
  UNION ALL
  SELECT c.opcintype, 'use', a.amproc::oid FROM pg_opclass c JOIN pg_amproc a ON a.amprocfamily = c.opcfamily
    AND a.amproclefttype = c.opcintype WHERE c.opcdefault AND a.amproc::oid >= 16384
  UNION ALL
  SELECT c.opcintype, 'use', o.oprcode::oid FROM pg_opclass c JOIN pg_amop a ON a.amopfamily = c.opcfamily
    AND a.amoplefttype = c.opcintype JOIN pg_operator o ON o.oid = a.amopopr
    WHERE c.opcdefault AND o.oprcode::oid >= 16384
  UNION ALL
  SELECT k.contypid, 'check', d.refobjid FROM pg_constraint k JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass
    AND d.objid = k.oid AND d.refclassid = 'pg_proc'::regclass WHERE k.contypid <> 0
), inside(type, part) AS (
  SELECT oid, typelem FROM pg_type WHERE typelem >= 16384
  UNION ALL SELECT oid, typbasetype FROM pg_type WHERE typbasetype >= 16384
  UNION ALL SELECT rngtypid, rngsubtype FROM pg_range WHERE rngsubtype >= 16384
  UNION ALL SELECT rngmultitypid, rngtypid FROM pg_range WHERE rngtypid >= 16384
  UNION ALL SELECT c.reltype, a.atttypid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.reltype <> 0 AND a.atttypid >= 16384 AND a.attnum > 0
), behind(type, kind, function) AS (
  SELECT type, kind, function FROM direct WHERE function IN (SELECT oid FROM own)
  UNION
  SELECT i.type, b.kind, b.function FROM behind b JOIN inside i ON i.part = b.type
)
SELECT kind, type, json_agg(function ORDER BY function), NULL::text, NULL::text FROM behind GROUP BY kind, type
UNION ALL
SELECT 'part', type, json_agg(part), NULL, NULL FROM inside
WHERE EXISTS (SELECT FROM own) GROUP BY type
UNION ALL
SELECT 'cast', c.castsource, json_build_array(c.castfunc::oid, c.casttarget), t.typname::text,
  c.castcontext::text || s.typname
FROM pg_cast c JOIN pg_type t ON t.oid = c.casttarget JOIN pg_type s ON s.oid = c.castsource WHERE c.oid >= 16384
"""
"""Functions of somebody's own behind types (their input and output, comparing, checks), also where a type stands inside
of another, and behind casts; and which types stand inside of which, where there are any such functions."""

REST = """
SELECT 'schema', nspname::text, NULL::text, NULL::oid, NULL::oid, NULL::oid FROM pg_namespace
WHERE nspname NOT LIKE 'pg\\_toast%' AND NOT pg_is_other_temp_schema(oid)
UNION ALL
SELECT 'extension', extname::text, NULL, NULL, NULL, NULL FROM pg_extension
UNION ALL
SELECT 'operator', n.nspname::text, o.oprname::text, o.oprcode::oid, o.oprleft, o.oprright FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE n.nspname <> 'pg_catalog'
UNION ALL
SELECT 'numbering', '', NULL, d.objid, d.refobjid, d.refobjsubid::oid
FROM pg_sequence s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
  AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
UNION ALL
SELECT 'numbering', '', NULL, s.seqrelid, a.adrelid, a.adnum::int::oid
FROM pg_sequence s JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid
  AND d.classid = 'pg_attrdef'::regclass JOIN pg_attrdef a ON a.oid = d.objid
ORDER BY 1, 2, 3, 4, 5, 6
"""
