"""Words to propose while typing: PostgreSQL's keywords, common functions, types and settings.

Only proposals: what may be used, the gate decides. Reserved words are from the PostgreSQL manual, appendix C.
"""

from __future__ import annotations

RESERVED = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary
    references returning right select session_user similar some symmetric system_user table tablesample then to
    trailing true union unique user using variadic verbose when where window with
    """.split()
)
"""Words that need quotes as a name."""

STARTERS = tuple(
    """
    SELECT INSERT UPDATE DELETE MERGE WITH VALUES TABLE BEGIN COMMIT ROLLBACK SAVEPOINT RELEASE EXPLAIN SHOW SET RESET
    CREATE ALTER DROP TRUNCATE COMMENT GRANT REVOKE ANALYZE VACUUM REFRESH REINDEX COPY DECLARE FETCH MOVE CLOSE
    PREPARE EXECUTE DEALLOCATE LOCK CALL DO LISTEN NOTIFY UNLISTEN DISCARD START END ABORT
    """.split()
)
"""Words that begin a statement."""

KEYWORDS = tuple(
    sorted(
        {
            *STARTERS,
            *"""
            ALL AND ANY ARRAY AS ASC BETWEEN BOTH BY CASCADE CASE CAST CHECK COLLATE COLUMN CONFLICT CONSTRAINT CROSS
            CUBE CURRENT CURRENT_DATE CURRENT_ROLE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER DEFAULT DESC DISTINCT
            DOMAIN ELSE ESCAPE EXCEPT EXCLUDE EXISTS EXTENSION FALSE FILTER FIRST FOLLOWING FOR FOREIGN FROM FULL
            FUNCTION GENERATED GROUP GROUPING HAVING IF ILIKE IN INDEX INNER INTERSECT INTERVAL INTO IS ISOLATION JOIN
            KEY LAST LATERAL LEFT LEVEL LIKE LIMIT LOCAL LOCALTIME LOCALTIMESTAMP LOCKED MATCHED MATERIALIZED NATURAL
            NEXT NO NOT NOTHING NOWAIT NULL NULLS OF OFFSET ON ONLY OR ORDER ORDINALITY OUTER OVER OVERLAPS PARTITION
            PRECEDING PRIMARY PROCEDURE RANGE RECURSIVE REFERENCES REPEATABLE RESTRICT RETURNING RIGHT ROLLUP ROW ROWS
            SCHEMA SEQUENCE SERIALIZABLE SESSION SETS SIMILAR SKIP SOME SYMMETRIC TABLESAMPLE TEMP TEMPORARY THEN TIES
            TO TRANSACTION TRIGGER TRUE TYPE UNBOUNDED UNION UNIQUE UNKNOWN USER USING VERBOSE VIEW WHEN WHERE WINDOW
            WITHIN WITHOUT WORK WRITE ZONE
            """.split(),
        }
    )
)
"""Words within statements."""

FUNCTIONS = tuple(
    """
    abs age any_value array_agg array_append array_cat array_dims array_length array_lower array_position
    array_prepend array_remove array_replace array_to_string array_upper avg bit_and bit_length bit_or bool_and bool_or
    btrim cardinality ceil char_length chr coalesce concat concat_ws corr count cume_dist current_database
    current_schema current_schemas current_setting date_bin date_part date_trunc decode dense_rank div encode every exp
    extract first_value floor format format_type gen_random_uuid generate_series greatest initcap isfinite
    json_agg json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
    json_each json_each_text json_extract_path json_object_agg json_object_keys json_strip_nulls json_typeof
    jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_each_text jsonb_extract_path jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query
    jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof justify_days justify_hours justify_interval lag last_value
    lead least left length ln log lower lpad ltrim make_date make_interval make_time make_timestamp max md5 min mod
    mode now nth_value ntile nullif num_nonnulls num_nulls octet_length overlay percent_rank percentile_cont
    percentile_disc pi pg_backend_pid pg_column_size pg_get_constraintdef pg_get_viewdef pg_relation_size
    pg_size_pretty pg_table_size pg_total_relation_size pg_typeof plainto_tsquery position power quote_ident
    quote_literal random range_agg rank regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table repeat replace reverse right round row_number row_to_json rpad rtrim sign split_part sqrt
    starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strpos
    substr substring sum to_char to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector
    transaction_timestamp translate trim trunc ts_headline ts_rank unnest upper var_pop var_samp variance version
    websearch_to_tsquery width_bucket
    """.split()
)
"""Functions of `pg_catalog` that people use."""

TYPES = tuple(
    """
    bigint bit boolean bytea char character cidr date daterange decimal inet int int4range int8range integer interval
    json jsonb macaddr money numeric numrange real regclass serial smallint text time timestamp timestamptz tsquery
    tsrange tstzrange tsvector uuid varchar xml
    """.split()
)
"""Types to cast to."""

SETTINGS = tuple(
    """
    application_name bytea_output client_encoding client_min_messages datestyle default_transaction_isolation
    enable_bitmapscan enable_hashagg enable_hashjoin enable_indexonlyscan enable_indexscan enable_memoize
    enable_mergejoin enable_nestloop enable_seqscan enable_sort extra_float_digits from_collapse_limit intervalstyle
    jit join_collapse_limit lc_monetary lc_numeric lc_time lock_timeout maintenance_work_mem
    max_parallel_workers_per_gather plan_cache_mode random_page_cost search_path server_version statement_timeout
    temp_buffers timezone transaction_isolation transaction_read_only work_mem
    """.split()
)
"""Settings that people SET and SHOW."""
