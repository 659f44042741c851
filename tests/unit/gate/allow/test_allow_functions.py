"""Functions: what may be called, what may not, and why."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dbgate.gate.allow import functions
from dbgate.gate.allow.functions import NOT_REVIEWED, REASONS, SAMPLE_METHODS, SPECIAL, call_by_dot, verdict
from dbgate.gate.names import strings
from dbgate.gate.syntax import parse_one
from dbgate.model import Tree

UNSAFE = {
    "reads-files": "pg_read_file pg_read_binary_file pg_ls_dir pg_ls_waldir pg_ls_logdir pg_stat_file pg_hba_file_rules",
    "runs-sql": "query_to_xml query_to_xmlschema query_to_xml_and_xmlschema ts_stat",
    "reads-relations": "table_to_xml schema_to_xml database_to_xml cursor_to_xml table_to_xml_and_xmlschema currtid2",
    "own-query-text": "current_query pg_cursor pg_prepared_statement pg_get_backend_memory_contexts",
    "other-sessions": "pg_stat_get_activity pg_stat_get_backend_activity pg_stat_get_backend_pid",
    "row-samples": "pg_mcv_list_items",
    "signals": "pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal",
    "sleeps": "pg_sleep pg_sleep_for pg_sleep_until",
    "locks": "pg_advisory_lock pg_try_advisory_lock pg_advisory_xact_lock_shared pg_advisory_unlock_all",
    "large-objects": "lo_import lo_export lo_get lo_put lo_from_bytea lo_unlink lo_creat lo_open loread lowrite",
    "writes": "pg_notify pg_stat_reset pg_export_snapshot pg_logical_emit_message pg_restore_attribute_stats pg_nextoid",
    "replication": "pg_logical_slot_get_changes pg_create_logical_replication_slot pg_drop_replication_slot",
    "settings": "pg_show_all_settings",
    "server-internals": "pg_config pg_control_system plpgsql_validator satisfies_hash_partition",
    "type-input-output": "textout domain_in record_out array_in pg_mcv_list_out cstring_out numerictypmodin",
    "not-callable": "RI_FKey_check_ins tsvector_update_trigger bernoulli plpgsql_call_handler int4recv bthandler",
}
"""A sample of each class, by hand, so that a slip of the review tool is seen."""

NEEDED = {
    "psql": """pg_get_userbyid pg_encoding_to_char pg_table_is_visible format_type pg_get_expr pg_get_indexdef
        pg_get_constraintdef pg_get_viewdef pg_get_functiondef pg_get_function_result pg_get_function_arguments
        pg_get_statisticsobjdef_columns pg_relation_is_publishable pg_partition_tree pg_partition_ancestors pg_table_size
        pg_total_relation_size pg_size_pretty pg_database_size pg_tablespace_size pg_tablespace_location obj_description
        col_description shobj_description pg_get_partkeydef pg_options_to_table array_to_string pg_describe_object
        has_database_privilege pg_get_triggerdef pg_get_ruledef pg_function_is_visible pg_type_is_visible""",
    "pgJDBC": """pg_get_keywords current_schemas current_schema current_database array_upper array_lower generate_series
        generate_subscripts pg_get_expr has_table_privilege version pg_is_in_recovery row_number""",
    "DBeaver and pgAdmin": """pg_get_serial_sequence pg_relation_size pg_indexes_size pg_get_function_identity_arguments
        pg_backend_pid pg_postmaster_start_time pg_stat_get_numscans pg_blocking_pids session_user current_user
        pg_available_extensions pg_has_role has_schema_privilege has_column_privilege pg_get_partition_constraintdef
        pg_last_xact_replay_timestamp pg_is_wal_replay_paused txid_current_if_assigned inet_server_addr inet_client_addr
        pg_conf_load_time pg_get_object_address pg_identify_object aclexplode acldefault pg_my_temp_schema""",
    "SQLAlchemy and Django": """pg_get_constraintdef unnest string_agg array_agg json_build_object jsonb_agg
        pg_collation_is_visible pg_sequence_parameters pg_table_is_visible to_regclass pg_get_serial_sequence""",
    "analysts": """count sum avg min max percentile_cont percentile_disc mode stddev corr lag lead first_value ntile
        date_trunc date_part extract to_char to_date to_timestamp age make_date now clock_timestamp generate_series
        regexp_replace regexp_matches split_part lower upper initcap concat concat_ws format coalesce_not lpad repeat
        round trunc random random_normal setseed gen_random_uuid md5 sha256 encode decode jsonb_path_query jsonb_set
        jsonb_to_recordset json_populate_record to_jsonb row_to_json to_tsvector to_tsquery ts_rank ts_headline width_bucket
        array_position string_to_array xpath xmlagg hashtext pg_typeof pg_column_size""",
}


@pytest.mark.parametrize("kind", sorted(UNSAFE))
def test_unsafe_functions_are_refused_with_their_reason(kind: str) -> None:
    for name in UNSAFE[kind].split():
        for count in (None, 0, 1, 2, 3, 4):
            found = verdict(name, count)
            assert not found.safe, name
            assert (found.kind, found.special) == (kind, ""), name
            assert found.reason == REASONS[kind][0]


def test_every_reason_has_functions_and_every_refused_function_a_reason() -> None:
    assert set(functions.refused().values()) == set(REASONS) == set(UNSAFE)


@pytest.mark.parametrize("who", sorted(NEEDED))
def test_what_people_and_programs_need_is_safe(who: str) -> None:
    names = set(NEEDED[who].split()) - {"coalesce_not"}
    assert {name for name in names if not verdict(name, 1).safe} == set()


def test_a_name_stands_on_one_list_only() -> None:
    safe, refused, special = functions.safe(), set(functions.refused()), set(SPECIAL)
    assert not safe & refused
    assert not safe & special
    assert not refused & special


def test_the_lists_hold_plain_names_in_order() -> None:
    lines = functions._lines("safe_functions.txt")
    assert lines == sorted(set(lines))
    assert all(name.replace("_", "a").isalnum() for name in [*lines, *functions.refused()])


@pytest.mark.parametrize(
    "name", ["", "no_such_function", "PG_SLEEP", "Lower", "lower ", "pg_catalog.lower", "lower\n", "#"]
)
def test_an_unknown_name_is_refused_as_not_reviewed(name: str) -> None:
    assert verdict(name, 1).reason == NOT_REVIEWED
    assert not verdict(name).safe


def test_overloads_are_told_apart_by_their_arguments_only_where_that_is_enough() -> None:
    assert verdict("ts_rewrite", 3).safe
    assert verdict("ts_rewrite", 2).kind == "runs-sql"
    assert verdict("ts_rewrite").kind == "runs-sql"


def test_conditions_are_named() -> None:
    assert verdict("current_setting", 1).special == "setting-reader"
    assert verdict("set_config", 3).special == "setting-writer"
    assert verdict("nextval", 1).special == verdict("setval", 2).special == "writes-sequence"
    assert verdict("currval", 1).special == verdict("lastval", 0).special == "reads-sequence"
    assert verdict("pg_input_is_valid", 2).special == "type-reader"
    assert verdict("txid_current", 0).special == "assigns-transaction-id"
    assert not any(found.safe for found in SPECIAL.values())


def test_a_type_can_be_called_with_one_argument() -> None:
    assert verdict("inet", 1).safe
    assert verdict("jsonb", 1).safe
    assert not verdict("jsonb", 2).safe
    for name in ("pg_mcv_list", "pg_ndistinct", "gtsvector", "cstring", "internal", "anyarray"):
        assert not verdict(name, 1).safe, name


def test_functions_of_other_schemas_are_not_built_in() -> None:
    assert verdict("_pg_expandarray", 1, "information_schema").safe
    assert not verdict("lower", 1, "information_schema").safe
    assert not verdict("lower", 1, "public").safe
    assert not verdict("_pg_expandarray", 1).safe


def test_sampling_methods_are_named_apart_from_functions() -> None:
    assert {"system", "bernoulli"} == SAMPLE_METHODS
    assert not any(verdict(name, 1).safe for name in SAMPLE_METHODS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ('/etc/passwd'::text).pg_read_file",
        "SELECT (q.x).pg_sleep FROM (SELECT 1.0::float8 AS x) q",
        "SELECT ('dbgate.key'::text).current_setting",
        "SELECT (16400::oid).lo_get",
        "SELECT (ARRAY['SELECT 1'])[1].ts_stat",
        "SELECT q.current_setting FROM q",
    ],
)
def test_a_call_written_as_a_field_is_a_call(sql: str) -> None:
    names = [name for name in _field_names(parse_one(sql)) if not call_by_dot(name).safe]
    assert names, "the parse tree hides the call elsewhere"


def test_a_field_is_no_call() -> None:
    assert call_by_dot("zip_code").safe
    assert call_by_dot("lower").safe
    assert not call_by_dot("current_setting").safe


def _field_names(node: object) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _field_names(item)]
    if not isinstance(node, dict):
        return []
    own: list[str] = []
    for key in ("indirection", "fields"):
        own += strings([n for n in node.get(key, ()) if "String" in n])
    return own + [name for value in node.values() for name in _field_names(value)]


@pytest.mark.parametrize(
    "expression",
    [
        "a AT TIME ZONE 'UTC'",
        "a AT LOCAL",
        "overlay(a placing 'x' from 1 for 2)",
        "position('x' in a)",
        "substring(a from 1 for 2)",
        "substring(a similar 'x' escape '#')",
        "trim(both 'x' from a)",
        "extract(year from a)",
        "a IS NFC NORMALIZED",
        "normalize(a, NFKD)",
        "collation for (a)",
        "xmlexists('//x' passing a)",
        "(a, b) OVERLAPS (c, d)",
        "a SIMILAR TO 'x' ESCAPE '#'",
        "a LIKE 'x' ESCAPE '#'",
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY a)",
        "system_user",
        "count(*) FILTER (WHERE a)",
    ],
)
def test_what_the_grammar_turns_into_calls_is_safe(expression: str) -> None:
    calls = list(_calls(parse_one(f"SELECT {expression} FROM t")))
    assert calls or expression == "system_user"
    for name, count in calls:
        assert verdict(name, count).safe, name


def _calls(node: object) -> list[tuple[str, int]]:
    if isinstance(node, list):
        return [call for item in node for call in _calls(item)]
    if not isinstance(node, dict):
        return []
    own = []
    body: Tree | None = node.get("FuncCall")
    if body is not None:
        own.append((strings(body["funcname"])[-1], len(body.get("args", ()))))
    return own + [call for value in node.values() for call in _calls(value)]


def test_the_lists_are_read_without_costly_imports() -> None:
    program = (
        "import sys\n"
        "from dbgate.gate.allow import functions, nodes, settings, system\n"
        "functions.verdict('pg_sleep', 1)\n"
        "print([m for m in ('importlib.resources', 'psycopg', 'pgparse', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_documentation_counts_right() -> None:
    text = (Path(__file__).parents[4] / "docs" / "functions.md").read_text()
    counts = dict(re.findall(r"^\| ([a-z-]+) \| (\d+) \|", text, re.MULTILINE))
    kinds = Counter(functions.refused().values())
    assert counts == {"safe": str(len(functions.safe())), **{kind: str(n) for kind, n in kinds.items()}}


def test_a_type_may_be_called_with_the_one_value_that_it_casts() -> None:
    assert verdict("inet").safe
    assert verdict("inet", 1).safe
    assert not verdict("inet", 2).safe
