"""Which settings a statement may set, reset and show (PostgreSQL 15 to 18). Names are folded to lower case.

`SET x`, `RESET x`, `SHOW x`, `current_setting('x')` and a function's or role's `SET` clause all ask here. The names of
`SET TRANSACTION`, `SET SESSION CHARACTERISTICS` and `SET TRANSACTION SNAPSHOT` in the parse tree stand here too; their
modes are judged by `statement_kind`.
"""

from __future__ import annotations

import re

from dbgate.gate.allow.verdict import SAFE, UNKNOWN, Verdict

_SET = frozenset(
    """
    array_nulls backend_flush_after bytea_output check_function_bodies constraint_exclusion cpu_index_tuple_cost
    cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction datestyle default_statistics_target
    default_table_access_method default_tablespace default_text_search_config default_toast_compression
    default_transaction_deferrable default_transaction_isolation effective_cache_size effective_io_concurrency
    enable_async_append enable_bitmapscan enable_distinct_reordering enable_gathermerge enable_group_by_reordering
    enable_hashagg enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material
    enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash
    enable_partition_pruning enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate
    enable_self_join_elimination enable_seqscan enable_sort enable_tidscan escape_string_warning extra_float_digits
    from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed geqo_selection_bias geqo_threshold
    gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier icu_validation_level intervalstyle
    io_combine_limit jit jit_above_cost jit_expressions jit_inline_above_cost jit_optimize_above_cost
    jit_tuple_deforming join_collapse_limit lc_monetary lc_numeric lc_time maintenance_io_concurrency
    maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers max_parallel_workers_per_gather
    md5_password_warnings min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation
    parallel_setup_cost parallel_tuple_cost plan_cache_mode quote_all_identifiers random_page_cost
    recursive_worktable_factor seed seq_page_cost session_characteristics stats_fetch_consistency
    synchronize_seqscans synchronous_commit temp_buffers temp_tablespaces timezone timezone_abbreviations
    transaction transaction_deferrable transaction_isolation vacuum_buffer_usage_limit vacuum_cost_delay
    vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit vacuum_cost_page_miss vacuum_failsafe_age
    vacuum_freeze_min_age vacuum_freeze_table_age vacuum_max_eager_freeze_failure_rate
    vacuum_multixact_failsafe_age vacuum_multixact_freeze_min_age vacuum_multixact_freeze_table_age vacuum_truncate
    work_mem xmlbinary xmloption
    """.split()
)
"""Formats, the planner, memory, maintenance, transaction modes: they change how a statement runs or what its result
looks like, never which values it may see."""

_ON = frozenset({"1", "on", "true", "yes"})
_VALUES: dict[str, tuple[frozenset[str], str]] = {
    "backslash_quote": (frozenset({"safe_encoding"}), "another value would make the server read strings differently"),
    "client_encoding": (frozenset({"utf8", "utf-8", "unicode"}), "dbgate talks UTF-8 with the server"),
    "client_min_messages": (
        frozenset({"notice", "warning", "error"}),
        "debug messages show plans and statements: notice, warning or error may be set",
    ),
    "default_transaction_read_only": (_ON, "dbgate decides which transactions may write"),
    "row_security": (_ON, "row security stays on"),
    "session_replication_role": (frozenset({"origin"}), "triggers and foreign keys stay on"),
    "standard_conforming_strings": (_ON, "another value would make the server read strings differently"),
    "transaction_read_only": (_ON, "dbgate decides which transactions may write"),
    "transform_null_equals": (
        frozenset({"off", "false", "0", "no"}),
        "another value would make the server read conditions differently",
    ),
}
"""Settings that may be given some values only: those that leave dbgate's guards standing."""

BOUNDED = frozenset(
    {
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "lock_timeout",
        "statement_timeout",
        "transaction_timeout",
    }
)
"""Timeouts: a person may lower them below the policy's limit, never raise or switch them off (`timeout_ms`)."""

_OWNED = {
    "application_name": "dbgate writes there who is at work, for the database's own log",
    "is_superuser": "the server sets it",
    "role": "dbgate owns the role of the session",
    "session_authorization": "dbgate owns the role of the session",
    "session_user": "dbgate owns the role of the session",
}
_PREFIXES = {
    "debug_": "it prints plans and values",
    "log_": "it prints statements and values into the server's log",
    "trace_": "it prints what the server does",
    "track_": "it steers what the server records",
    "ssl": "it belongs to the server's connections",
    "tcp_": "dbgate owns the connection",
}
_PATH = Verdict(False, "search_path", "dbgate resolves names and applies the path itself", kind="owned")
_TIMEOUT = Verdict(False, "bounded", "it may only be lowered", "name a value within the policy's limits", "bounded")

SECRET = frozenset(
    """archive_cleanup_command archive_command krb_server_keyfile primary_conninfo recovery_end_command restore_command
    ssl_passphrase_command""".split()
)
"""Shown to nobody: commands and connection strings, in which passwords stand."""

_SHOWN_ONLY = frozenset(
    """
    allow_alter_system allow_in_place_tablespaces allow_system_table_mods application_name archive_library archive_mode
    archive_timeout authentication_timeout autovacuum autovacuum_analyze_scale_factor autovacuum_analyze_threshold
    autovacuum_freeze_max_age autovacuum_max_workers autovacuum_multixact_freeze_max_age autovacuum_naptime
    autovacuum_vacuum_cost_delay autovacuum_vacuum_cost_limit autovacuum_vacuum_insert_scale_factor
    autovacuum_vacuum_insert_threshold autovacuum_vacuum_max_threshold autovacuum_vacuum_scale_factor
    autovacuum_vacuum_threshold autovacuum_work_mem autovacuum_worker_slots backtrace_functions bgwriter_delay
    bgwriter_flush_after bgwriter_lru_maxpages bgwriter_lru_multiplier block_size bonjour bonjour_name
    checkpoint_completion_target checkpoint_flush_after checkpoint_timeout checkpoint_warning
    client_connection_check_interval cluster_name commit_delay commit_siblings commit_timestamp_buffers
    compute_query_id config_file createrole_self_grant data_checksums data_directory data_directory_mode
    data_sync_retry db_user_namespace deadlock_timeout debug_assertions debug_discard_caches debug_io_direct
    debug_logical_replication_streaming debug_parallel_query debug_pretty_print debug_print_parse debug_print_plan
    debug_print_rewritten dynamic_library_path dynamic_shared_memory_type event_source event_triggers exit_on_error
    extension_control_path extension_destdir external_pid_file file_copy_method file_extend_method
    force_parallel_mode fsync full_page_writes gss_accept_delegation hba_file hot_standby hot_standby_feedback
    huge_page_size huge_pages huge_pages_status ident_file idle_replication_slot_timeout ignore_checksum_failure
    ignore_invalid_pages ignore_system_indexes in_hot_standby integer_datetimes io_max_combine_limit
    io_max_concurrency io_method io_workers is_superuser jit_debugging_support jit_dump_bitcode
    jit_profiling_support jit_provider krb_caseins_users lc_collate lc_ctype lc_messages listen_addresses
    lo_compat_privileges local_preload_libraries log_autovacuum_min_duration log_checkpoints log_connections
    log_destination log_directory log_disconnections log_duration log_error_verbosity log_executor_stats
    log_file_mode log_filename log_hostname log_line_prefix log_lock_failures log_lock_waits
    log_min_duration_sample log_min_duration_statement log_min_error_statement log_min_messages
    log_parameter_max_length log_parameter_max_length_on_error log_parser_stats log_planner_stats
    log_recovery_conflict_waits log_replication_commands log_rotation_age log_rotation_size
    log_startup_progress_interval log_statement log_statement_sample_rate log_statement_stats log_temp_files
    log_timezone log_transaction_sample_rate log_truncate_on_rotation logging_collector logical_decoding_work_mem
    maintenance_io_concurrency max_active_replication_origins max_connections max_files_per_process
    max_function_args max_identifier_length max_index_keys max_locks_per_transaction
    max_logical_replication_workers max_notify_queue_pages max_parallel_apply_workers_per_subscription
    max_pred_locks_per_page max_pred_locks_per_relation max_pred_locks_per_transaction max_prepared_transactions
    max_replication_slots max_slot_wal_keep_size max_stack_depth max_standby_archive_delay
    max_standby_streaming_delay max_sync_workers_per_subscription max_wal_senders max_wal_size max_worker_processes
    min_dynamic_shared_memory min_wal_size multixact_member_buffers multixact_offset_buffers notify_buffers
    num_os_semaphores oauth_validator_libraries old_snapshot_threshold password_encryption port post_auth_delay
    pre_auth_delay primary_slot_name promote_trigger_file recovery_init_sync_method recovery_min_apply_delay
    recovery_prefetch recovery_target recovery_target_action recovery_target_inclusive recovery_target_lsn
    recovery_target_name recovery_target_time recovery_target_timeline recovery_target_xid
    remove_temp_files_after_crash reserved_connections restart_after_crash restrict_nonsystem_relation_kind role
    scram_iterations search_path segment_size send_abort_for_crash send_abort_for_kill serializable_buffers
    server_encoding server_version server_version_num session_authorization session_preload_libraries shared_buffers
    shared_memory_size shared_memory_size_in_huge_pages shared_memory_type shared_preload_libraries ssl ssl_ca_file
    ssl_cert_file ssl_ciphers ssl_crl_dir ssl_crl_file ssl_dh_params_file ssl_ecdh_curve ssl_groups ssl_key_file
    ssl_library ssl_max_protocol_version ssl_min_protocol_version ssl_passphrase_command_supports_reload
    ssl_prefer_server_ciphers ssl_tls13_ciphers subtransaction_buffers summarize_wal superuser_reserved_connections
    sync_replication_slots synchronized_standby_slots synchronous_standby_names syslog_facility syslog_ident
    syslog_sequence_numbers syslog_split_messages tcp_keepalives_count tcp_keepalives_idle tcp_keepalives_interval
    tcp_user_timeout temp_file_limit trace_connection_negotiation trace_notify trace_recovery_messages trace_sort
    track_activities track_activity_query_size track_commit_timestamp track_cost_delay_timing track_counts
    track_functions track_io_timing track_wal_io_timing transaction_buffers unix_socket_directories
    unix_socket_group unix_socket_permissions update_process_title vacuum_defer_cleanup_age wal_block_size
    wal_buffers wal_compression wal_consistency_checking wal_decode_buffer_size wal_init_zero wal_keep_size
    wal_level wal_log_hints wal_receiver_create_temp_slot wal_receiver_status_interval wal_receiver_timeout
    wal_recycle wal_retrieve_retry_interval wal_segment_size wal_sender_timeout wal_skip_threshold
    wal_summary_keep_time wal_sync_method wal_writer_delay wal_writer_flush_after zero_damaged_pages
    """.split()
)
"""Settings of the server and of dbgate that may be read, and not be changed."""


def setting_verdict(name: str, action: str, value: str | None = None) -> Verdict:
    """Say whether a statement may `set`, `reset` or `show` a setting.

    `value` is the constant that a `SET` gives (text form), or None when it is not known: settings that may have some
    values only are refused then. Special verdicts are `search_path` (dbgate applies and tracks it), `bounded` (a
    timeout, see `BOUNDED`) and `values` (refused with this value). Raises `ValueError` for another action.
    """
    if action not in {"set", "reset", "show"}:
        raise ValueError(action)
    name = name.lower().replace("session characteristics", "session_characteristics")
    if name.startswith("dbgate."):
        return Verdict(False, reason="dbgate's own settings are its own", kind="owned")
    if action == "show":
        return _shown(name)
    if name in _SET:
        return SAFE
    if name in _VALUES:
        return _with_value(name, action, value)
    if name in BOUNDED:
        return _TIMEOUT
    if name == "search_path":
        return _PATH
    return _refusal(name)


def _shown(name: str) -> Verdict:
    if name == "all":
        return Verdict(False, reason="it shows every setting, dbgate's own too", hint="select from pg_settings")
    if name in SECRET:
        return Verdict(False, reason="it may hold a password", kind="secret")
    known = name in _SHOWN_ONLY or name in _SET or name in _VALUES or name in BOUNDED
    return SAFE if known else UNKNOWN


def _with_value(name: str, action: str, value: str | None) -> Verdict:
    values, reason = _VALUES[name]
    if action == "set" and value is not None and value.strip().lower() in values:
        return SAFE
    return Verdict(False, "values", reason, f"SET {name} = {min(values)} is allowed", "values")


def _refusal(name: str) -> Verdict:
    reason = _OWNED.get(name)
    if reason is not None:
        return Verdict(False, reason=reason, kind="owned")
    for prefix, reason in _PREFIXES.items():
        if name.startswith(prefix):
            return Verdict(False, reason=reason, kind="server")
    if name in _SHOWN_ONLY or name in SECRET:
        return Verdict(False, reason="it belongs to the server", kind="server")
    if "." in name:
        return Verdict(
            False,
            reason="row security and functions may trust what it says",
            hint="an administrator sets it, for the role or the database",
            kind="custom",
        )
    return UNKNOWN


_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_DURATION = r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*\Z"


def timeout_ms(value: str) -> float | None:
    """The milliseconds that a timeout's value means (`'5s'`, `5000`, `'1.5 min'`); None when it is not plainly one.

    0 switches a timeout off. Source: PostgreSQL manual, 19.1.1; units are case-sensitive there and here.
    """
    match = re.match(_DURATION, value, re.ASCII)
    if match is None or (match[2] and match[2] not in _UNITS_MS):
        return None
    return float(match[1]) * _UNITS_MS[match[2] or "ms"]
