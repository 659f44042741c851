"""Which relations of `pg_catalog` and `information_schema` a statement may read, and which of their columns in clear.

Most hold definitions: names, types, privileges, counters. Some hold samples of stored rows, the text of statements, or
passwords; there single columns are replaced, so that `\\d` and the introspection of drivers go on working, or the relation
is refused. Columns are replaced rather than rows left out: a condition that a person writes can then not be run on what
it must not see. Only rows that hold no secret are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dbgate.gate.allow.settings import SECRET
from dbgate.gate.allow.verdict import SAFE, UNKNOWN, Verdict
from dbgate.gate.names import literal, quote
from dbgate.model import ColumnName

_SAFE = frozenset(
    """
    pg_aggregate pg_am pg_amop pg_amproc pg_attrdef pg_auth_members pg_available_extension_versions
    pg_available_extensions pg_cast pg_class pg_collation pg_constraint pg_conversion pg_database pg_default_acl
    pg_depend pg_description pg_enum pg_event_trigger pg_extension pg_foreign_data_wrapper pg_foreign_table pg_group
    pg_index pg_indexes pg_inherits pg_init_privs pg_language pg_largeobject_metadata pg_locks pg_matviews
    pg_namespace pg_opclass pg_operator pg_opfamily pg_parameter_acl pg_partitioned_table pg_policies pg_policy
    pg_prepared_xacts pg_proc pg_publication pg_publication_namespace pg_publication_rel pg_publication_tables
    pg_range pg_replication_origin pg_replication_origin_status pg_replication_slots pg_rewrite pg_rules pg_seclabel
    pg_seclabels pg_sequence pg_shdepend pg_shdescription pg_shseclabel pg_stat_all_indexes
    pg_stat_all_tables pg_stat_archiver pg_stat_bgwriter pg_stat_checkpointer pg_stat_database
    pg_stat_database_conflicts pg_stat_gssapi pg_stat_io pg_stat_progress_analyze pg_stat_progress_basebackup
    pg_stat_progress_cluster pg_stat_progress_copy pg_stat_progress_create_index pg_stat_progress_vacuum
    pg_stat_recovery_prefetch pg_stat_replication pg_stat_replication_slots pg_stat_slru pg_stat_ssl
    pg_stat_subscription pg_stat_subscription_stats pg_stat_sys_indexes pg_stat_sys_tables pg_stat_user_functions
    pg_stat_user_indexes pg_stat_user_tables pg_stat_wal pg_stat_xact_all_tables pg_stat_xact_sys_tables
    pg_stat_xact_user_functions pg_stat_xact_user_tables pg_statio_all_indexes pg_statio_all_sequences
    pg_statio_all_tables pg_statio_sys_indexes pg_statio_sys_sequences pg_statio_sys_tables pg_statio_user_indexes
    pg_statio_user_sequences pg_statio_user_tables pg_statistic_ext pg_subscription_rel pg_tables pg_tablespace
    pg_timezone_abbrevs pg_timezone_names pg_transform pg_trigger pg_ts_config pg_ts_config_map pg_ts_dict
    pg_ts_parser pg_ts_template pg_type pg_views pg_wait_events
    """.split()
)

_INFORMATION_SCHEMA = frozenset(
    """
    _pg_foreign_data_wrappers _pg_foreign_table_columns _pg_foreign_tables administrable_role_authorizations
    applicable_roles attributes character_sets check_constraint_routine_usage check_constraints
    collation_character_set_applicability collations column_column_usage column_domain_usage column_options
    column_privileges column_udt_usage columns constraint_column_usage constraint_table_usage data_type_privileges
    domain_constraints domain_udt_usage domains element_types enabled_roles foreign_data_wrapper_options
    foreign_data_wrappers foreign_servers foreign_table_options foreign_tables information_schema_catalog_name
    key_column_usage parameters referential_constraints role_column_grants role_routine_grants role_table_grants
    role_udt_grants role_usage_grants routine_column_usage routine_privileges routine_routine_usage
    routine_sequence_usage routine_table_usage routines schemata sequences sql_features sql_implementation_info
    sql_parts sql_sizing table_constraints table_privileges tables transforms triggered_update_columns triggers
    udt_privileges usage_privileges user_defined_types user_mappings view_column_usage view_routine_usage
    view_table_usage views
    """.split()
)

_HIDDEN = "'<insufficient privilege>'::pg_catalog.text"
"""What PostgreSQL itself shows instead of another user's statement (manual, 27.2.3)."""

_NO_OPTIONS = "NULL::pg_catalog.text[]"
_NO_TEXT = "NULL::pg_catalog.text"


def _same(*pairs: str) -> str:
    """`a=b` for each pair, joined by AND, with the operator of `pg_catalog` whatever the search path holds."""
    return " AND ".join(pair.replace("=", " OPERATOR(pg_catalog.=) ") for pair in pairs)


_TABLE = (
    "FROM (VALUES {tables}) AS h(s, t) "
    f"JOIN pg_catalog.pg_namespace AS n ON {_same('n.nspname=h.s')} "
    f"JOIN pg_catalog.pg_class AS r ON {_same('r.relnamespace=n.oid', 'r.relname=h.t')} "
)
_COLUMN = (
    _TABLE.replace("{tables}", "{columns}").replace("h(s, t)", "h(s, t, c)")
    + f"JOIN pg_catalog.pg_attribute AS a ON {_same('a.attrelid=r.oid', 'a.attname=h.c')} "
)
_INDEX = f"JOIN pg_catalog.pg_index AS i ON {_same('i.indrelid=r.oid')} "
_INDEX_NAME = f"JOIN pg_catalog.pg_class AS x ON {_same('x.oid=i.indexrelid')} "

_BY_NAME = (
    "EXISTS (SELECT 1 FROM (VALUES {columns}) AS h(s, t, c) "
    f"WHERE {_same('h.s=schemaname', 'h.t=tablename', 'h.c=attname')}) "
    f"OR EXISTS (SELECT 1 {_TABLE}{_INDEX}{_INDEX_NAME}WHERE {_same('n.nspname=schemaname', 'x.relname=tablename')})"
)
_BY_OID = (
    f"EXISTS (SELECT 1 {_COLUMN}WHERE {_same('r.oid=starelid', 'a.attnum=staattnum')}) "
    f"OR EXISTS (SELECT 1 {_TABLE}{_INDEX}WHERE {_same('i.indexrelid=starelid')})"
)
_BY_TABLE = f"EXISTS (SELECT 1 FROM (VALUES {{tables}}) AS h(s, t) WHERE {_same('h.s=schemaname', 'h.t=tablename')})"
_BY_SEQUENCE = (
    f"EXISTS (SELECT 1 FROM (VALUES {{tables}}) AS h(s, t) WHERE {_same('h.s=schemaname', 'h.t=sequencename')})"
)
_BY_STATISTICS = (
    f"EXISTS (SELECT 1 {_TABLE}JOIN pg_catalog.pg_statistic_ext AS e ON {_same('e.stxrelid=r.oid')} "
    f"WHERE {_same('e.oid=stxoid')})"
)
_BY_ATTRIBUTE = (
    f"EXISTS (SELECT 1 {_COLUMN}WHERE {_same('r.oid=pg_attribute.attrelid', 'a.attnum=pg_attribute.attnum')})"
)
"""Conditions that hold for rows that describe hidden columns, or an index or statistics over their table. `{columns}`
stands for `('schema', 'table', 'column'), …`, `{tables}` for `('schema', 'table'), …`."""

_SAMPLES = """null_frac avg_width n_distinct most_common_vals most_common_freqs histogram_bounds correlation
    most_common_elems most_common_elem_freqs elem_count_histogram range_length_histogram range_empty_frac
    range_bounds_histogram"""
_RAW_SAMPLES = "stanullfrac stawidth stadistinct " + " ".join(
    f"{column}{n}" for column in ("stakind", "staop", "stacoll", "stanumbers", "stavalues") for n in range(1, 6)
)
_GROUP_SAMPLES = """n_distinct dependencies most_common_vals most_common_val_nulls most_common_freqs
    most_common_base_freqs"""


def _samples(names: str, condition: str) -> Verdict:
    return _masked("it shows samples of stored rows", condition, **dict.fromkeys(names.split(), "NULL"))


def _masked(reason: str, condition: str = "", rows: str = "", /, **columns: str) -> Verdict:
    return Verdict(False, "masked", reason, columns=tuple(columns.items()), condition=condition, rows=rows)


def _own_parameters(column: str) -> str:
    """Settings of a role: the values of those with a dot in the name, where applications keep secrets, are left out."""
    name = "pg_catalog.split_part(u.c, '=', 1)"
    return (
        f"CASE WHEN {column} IS NOT NULL THEN ARRAY(SELECT CASE WHEN pg_catalog.strpos({name}, '.') "
        f"OPERATOR(pg_catalog.>) 0 THEN pg_catalog.concat({name}, '=***') ELSE u.c END "
        f"FROM pg_catalog.unnest({column}) WITH ORDINALITY AS u(c, o) ORDER BY u.o) END"
    )


def _setting_value(column: str) -> str:
    secrets = ", ".join(literal(name) for name in sorted(SECRET))
    return (
        f"CASE WHEN name OPERATOR(pg_catalog.=) ANY (ARRAY[{secrets}]::pg_catalog.text[]) "
        f"OR pg_catalog.starts_with(pg_catalog.lower(name), 'dbgate.') THEN NULL ELSE {column} END"
    )


def shown_name(reference: str) -> str:
    """The name of a setting in a column, or NULL where the setting may hold a secret: an application's own, or dbgate's."""
    name = f'pg_catalog.lower({reference}::pg_catalog.text COLLATE pg_catalog."C")'
    secrets = ", ".join(literal(known) for known in sorted(SECRET))
    return (
        f"CASE WHEN {name} OPERATOR(pg_catalog.=) ANY (ARRAY[{secrets}]::pg_catalog.text[]) "
        f"OR (pg_catalog.strpos({name}, '.') OPERATOR(pg_catalog.>) 0 AND NOT pg_catalog.starts_with({name}, 'plpgsql.')) "
        f"THEN NULL ELSE {reference} END"
    )


_STATEMENTS = "it shows the text of statements"
_PASSWORDS = "it may hold passwords"
_NOT_OURS = "NOT pg_catalog.starts_with(name, 'dbgate_')"
"""Leaves out the prepared statements of dbgate itself."""

_MASKED: dict[str, Verdict] = {
    "pg_attribute": _masked("it holds default values of rows", _BY_ATTRIBUTE, attmissingval="NULL"),
    "pg_authid": _masked(_PASSWORDS, rolpassword=_NO_TEXT),
    "pg_cursors": _masked(_STATEMENTS, statement=_HIDDEN),
    "pg_db_role_setting": _masked(_PASSWORDS, setconfig=_own_parameters("setconfig")),
    "pg_foreign_server": _masked(_PASSWORDS, srvoptions=_NO_OPTIONS),
    "pg_prepared_statements": _masked(_STATEMENTS, "", _NOT_OURS, statement=_HIDDEN),
    "pg_roles": _masked(_PASSWORDS, rolconfig=_own_parameters("rolconfig")),
    "pg_sequences": _masked("it shows the last values of sequences", _BY_SEQUENCE, last_value="NULL"),
    "pg_shadow": _masked(_PASSWORDS, passwd=_NO_TEXT, useconfig=_own_parameters("useconfig")),
    "pg_settings": _masked(_PASSWORDS, **{c: _setting_value(c) for c in ("setting", "boot_val", "reset_val")}),
    "pg_stat_activity": _masked(_STATEMENTS, query=_HIDDEN),
    "pg_stat_wal_receiver": _masked(_PASSWORDS, conninfo=_NO_TEXT),
    "pg_statistic": _samples(_RAW_SAMPLES, _BY_OID),
    "pg_statistic_ext_data": _samples("stxdndistinct stxddependencies stxdmcv stxdexpr", _BY_STATISTICS),
    "pg_stats": _samples(_SAMPLES, _BY_NAME),
    "pg_stats_ext": _samples(_GROUP_SAMPLES, _BY_TABLE),
    "pg_stats_ext_exprs": _samples(_SAMPLES, _BY_TABLE),
    "pg_subscription": _masked(_PASSWORDS, subconninfo=_NO_TEXT),
    "pg_user": _masked(_PASSWORDS, useconfig=_own_parameters("useconfig")),
    "pg_user_mapping": _masked(_PASSWORDS, umoptions=_NO_OPTIONS),
    "pg_user_mappings": _masked(_PASSWORDS, umoptions=_NO_OPTIONS),
    "information_schema._pg_foreign_servers": _masked(_PASSWORDS, srvoptions=_NO_OPTIONS),
    "information_schema._pg_user_mappings": _masked(_PASSWORDS, umoptions=_NO_OPTIONS),
    "information_schema.foreign_server_options": _masked(
        _PASSWORDS, option_value="NULL::information_schema.character_data"
    ),
    "information_schema.user_mapping_options": _masked(
        _PASSWORDS, option_value="NULL::information_schema.character_data"
    ),
}

_REFUSED = {
    "pg_aios": "it shows the inside of the server",
    "pg_backend_memory_contexts": _STATEMENTS,
    "pg_config": "it shows the inside of the server",
    "pg_file_settings": "it reads the server's files",
    "pg_hba_file_rules": "it reads the server's files",
    "pg_ident_file_mappings": "it reads the server's files",
    "pg_largeobject": "large objects are data that no policy can label",
    "pg_shmem_allocations": "it shows the inside of the server",
    "pg_shmem_allocations_numa": "it shows the inside of the server",
}

SECRETS = (
    ColumnName("pg_catalog", "pg_attribute", "attmissingval"),
    ColumnName("pg_catalog", "pg_authid", "rolpassword"),
    ColumnName("pg_catalog", "pg_db_role_setting", "setconfig"),
    ColumnName("pg_catalog", "pg_foreign_server", "srvoptions"),
    ColumnName("pg_catalog", "pg_largeobject", "data"),
    ColumnName("pg_catalog", "pg_statistic_ext_data", "stxdexpr"),
    ColumnName("pg_catalog", "pg_statistic_ext_data", "stxdmcv"),
    ColumnName("pg_catalog", "pg_subscription", "subconninfo"),
    ColumnName("pg_catalog", "pg_user_mapping", "umoptions"),
)
"""Columns of catalogs whose statistics show what is hidden there: ANALYZE samples catalogs as it does tables."""

OWNED = frozenset({"pg_authid", "pg_shadow"})
"""Catalogs that only superusers may read, and whose views so show them with their owner's rights."""

_EXTENSIONS = {
    "pg_stat_monitor": _masked(_STATEMENTS, query=_HIDDEN, comments=_NO_TEXT, message=_NO_TEXT),
    "pg_stat_statements": _masked(_STATEMENTS, query=_HIDDEN),
}
_EXTENSIONS_REFUSED = frozenset(
    """pg_qualstats pg_qualstats_all pg_qualstats_by_query pg_qualstats_pretty pg_show_plans pg_show_plans_q
    pg_store_plans pg_stat_plans""".split()
)
"""Views of well-known extensions, in whatever schema they were installed, that show statements or their constants."""


def is_system(schema: str, name: str) -> bool:
    """Whether a relation is the server's, or a monitoring view of an extension, so that `system_verdict` judges it."""
    return (
        schema.startswith("pg_") or schema == "information_schema" or name in _EXTENSIONS or name in _EXTENSIONS_REFUSED
    )


def system_verdict(schema: str, name: str) -> Verdict:
    """Say whether a statement may read a system relation: safe, `masked` (see `replacements`), or refused with a reason.

    Ask about relations for which `is_system` holds, temporary tables excepted.
    """
    if schema == "pg_catalog":
        return _catalog_verdict(name)
    if schema == "information_schema":
        found = _MASKED.get(f"{schema}.{name}")
        return found or (SAFE if name in _INFORMATION_SCHEMA else UNKNOWN)
    if schema.startswith("pg_toast"):
        return Verdict(False, reason="it holds values of other tables, which carry no labels there")
    if name in _EXTENSIONS_REFUSED:
        return Verdict(False, reason=_STATEMENTS)
    return _EXTENSIONS.get(name, UNKNOWN)


def _catalog_verdict(name: str) -> Verdict:
    if name in _SAFE:
        return SAFE
    if name in _REFUSED:
        return Verdict(False, reason=_REFUSED[name])
    return _MASKED.get(name, UNKNOWN)


_PLACE = r"\{(columns|tables)\}"


def replacements(verdict: Verdict, hidden: Iterable[ColumnName]) -> dict[str, str]:
    """The SQL that stands for columns of a `masked` relation, by column; the others stay as they are.

    `hidden` are the columns that this identity sees masked, and all columns of tables with a row filter: statistics of
    both would show values. The expressions name the relation's columns without a qualifier (and `pg_attribute`'s with
    its own name): select them straight from the relation, without an alias. A column that this server's version does
    not have is to be left out.
    """
    if not verdict.condition:
        return dict(verdict.columns)
    found = sorted(set(hidden))
    if not found:
        return {}
    lists = {
        "columns": ", ".join(f"({literal(c.schema)}, {literal(c.table)}, {literal(c.column)})" for c in found),
        "tables": ", ".join(f"({literal(s)}, {literal(t)})" for s, t in sorted({(c.schema, c.table) for c in found})),
    }
    condition = re.sub(_PLACE, lambda match: lists[match[1]], verdict.condition)
    return {column: f"CASE WHEN {condition} THEN {value} ELSE {quote(column)} END" for column, value in verdict.columns}
